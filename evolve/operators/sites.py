"""Which expressions of a program may be replaced, where their text is, and what may stand there."""

from __future__ import annotations

import ast
import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from evolve.operators.kinds import (
    CONTAINERS,
    INDEX,
    INDICES,
    NUMBER,
    OTHER,
    SCALAR,
    SETTINGS,
    SIZES,
    TRUTH,
    Kind,
    Usage,
    called,
    join,
    operated,
    result,
)
from evolve.operators.nodes import nodes
from evolve.operators.scopes import Statement, names_stored
from evolve.operators.splice import ATOM, AWAIT, BITS, OR, TERNARY, UNARY, Code, strength


@dataclass(eq=False, slots=True)
class Site:
    """An expression that may be replaced."""

    node: ast.expr
    start: int  # of the expression, with the parentheses that only group it
    end: int
    code: Code  # on one line, without those parentheses
    needs: int  # strength that its place asks for
    kind: Kind
    statement: Statement
    parent: ast.AST
    bound: dict[str, Kind]  # names of the comprehensions and lambdas around it
    size: int  # how many sites it holds, itself included

    @property
    def where(self) -> str:
        """What people call its place: the name assigned, else the function."""
        return self.statement.where

    def names(self) -> dict[str, Kind]:
        """Names that are bound here, with their kinds."""
        return self.statement.names() | self.bound


class Number(NamedTuple):
    """A number literal, its sign included."""

    start: int
    end: int
    needs: int
    value: int | float
    structural: bool  # an index, axis, count or size, not a quantity
    site: Site


def _plain(value: int | float) -> bool:
    """Whether arithmetic can move a literal: not an infinity, a mask, a hash's constant, a sentinel."""
    return abs(value) < (2**53 if isinstance(value, int) else 1e15)


_MAYBE_NUMBERS = (ast.Constant, ast.UnaryOp)
_NO_SITES = (ast.Starred, ast.Slice, ast.JoinedStr)
_WITH_PARENTHESES = (ast.Call, ast.keyword, ast.ClassDef)  # of their own around what they hold


class Places:
    """Where the syntax of a source stands in its text, as character offsets, and what of it may change."""

    def __init__(self, source: str, spans: Sequence[tuple[int, int]]) -> None:
        self.source = source
        self._lows, self._highs = [low for low, _ in spans], [high for _, high in spans]  # in order, apart
        # The parser ends lines at \n, \r\n and \r, and counts columns in bytes of UTF-8.
        self._lines = [0, *(match.end() for match in re.finditer(r"\r\n|\r|\n", source))]
        self._ascii = source.isascii()

    def line(self, number: int) -> int:
        """Where a line starts, counted from 1; behind the last one the end of the source."""
        return self._lines[number - 1] if number <= len(self._lines) else len(self.source)

    def span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        """Where a node starts and ends."""
        last, column = node.end_lineno, node.end_col_offset
        assert last is not None and column is not None  # the parser sets them
        if self._ascii:
            return self._lines[node.lineno - 1] + node.col_offset, self._lines[last - 1] + column
        return self._offset(node.lineno, node.col_offset), self._offset(last, column)

    def inside(self, start: int, end: int) -> bool:
        """Whether all of this text may change."""
        around = bisect_right(self._lows, start) - 1
        return around >= 0 and end <= self._highs[around]

    def grouped(self, start: int, end: int) -> tuple[int, int]:
        """The span with the parentheses around it, which only group where an operator is beside them."""
        source = self.source
        while True:
            left, right = start - 1, end
            while left >= 0 and source[left] in " \t":
                left -= 1
            while right < len(source) and source[right] in " \t":
                right += 1
            if left < 0 or right >= len(source) or source[left] != "(" or source[right] != ")":
                return start, end
            start, end = left, right + 1

    def _offset(self, line: int, column: int) -> int:
        start = self._lines[line - 1]
        return start + len(self.source[start : start + column].encode()[:column].decode())


class Sites:
    """The sites of a source, found expression by expression, what is inside before the whole.

    Whoever walks the statements sets `statement` and `usage`, and fills in `modules` and `functions`.
    """

    statement: Statement  # around the expressions that are read
    usage: Usage  # of the names in the function around it

    def __init__(self, places: Places) -> None:
        self.found: list[Site] = []
        self.calls: list[Site] = []  # names of what is called, without the module
        self.numbers: list[Number] = []
        self.modules: set[str] = set()  # names that modules have here
        self.functions: dict[str, Kind] = {}  # own functions: what they return
        self._places = places
        self._bound: dict[str, Kind] = {}  # by comprehensions and lambdas

    def read(self, node: ast.expr, needs: int, parent: ast.AST, fixed: bool = False) -> Kind:
        """Read an expression and what is inside; gives its kind. `fixed`: it is no site itself."""
        count = len(self.found)
        kind = self._inner(node)
        if fixed or isinstance(node, _NO_SITES):
            return kind
        places = self._places
        start, end = places.span(node)
        code = Code(places.source[start:end], strength(node))
        if node.lineno != node.end_lineno:
            code = Code(ast.unparse(node), ATOM if isinstance(node, ast.Tuple) else code.strength)
        if not isinstance(parent, _WITH_PARENTHESES):
            start, end = places.grouped(start, end)
        if places.inside(start, end):
            size = len(self.found) - count + 1
            site = Site(node, start, end, code, needs, kind, self.statement, parent, self._bound, size)
            self.found.append(site)
            if isinstance(node, _MAYBE_NUMBERS):
                self._number(site)
        return kind

    def assign(self, target: ast.expr, kind: Kind, value: ast.expr | None = None) -> None:
        """Note what a target seems to be, assigned a value of this kind; `value` was read before."""
        match target:
            case ast.Name(id=name):
                names = self.statement.scope.kinds
                kind, known = self.usage.assigned(name, kind), names.get(name)
                if known and known != kind and known.role == "number":
                    kind = join(kind, known)
                names[name] = kind
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                if isinstance(value, ast.Tuple) and len(value.elts) == len(parts):
                    for part, each in zip(parts, value.elts, strict=True):
                        self.assign(part, self._known(each), each)
                else:
                    for part in parts:
                        self.assign(part, OTHER if kind.role == "other" else NUMBER)
            case _:
                self.store(target)

    def store(self, target: ast.expr) -> None:
        """Read the indices of a target that is an item of something."""
        match target:
            case ast.Subscript():
                self.store(target.value)
                self._indices(target.slice)
            case ast.Attribute():
                self.store(target.value)

    def _known(self, node: ast.expr) -> Kind:
        """Kind of an expression that was read before."""
        return next((site.kind for site in reversed(self.found) if site.node is node), OTHER)

    def _number(self, site: Site) -> None:
        """Keep the site's place if it is a number literal."""
        match site.node, site.parent:
            case ast.Constant(), ast.UnaryOp(op=ast.USub()):
                return  # read with its sign
            case ast.Constant(value=value), _:
                sign = 1
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=value)), _:
                sign = -1
            case _:
                return
        if isinstance(value, int | float) and not isinstance(value, bool) and _plain(value):
            structural = site.kind.role == "index"
            self.numbers.append(Number(site.start, site.end, site.needs, sign * value, structural, site))

    def _structural(self, sites: Iterable[Site], first: int) -> None:
        """Numbers turned out to be indices or counts: these sites, and the literals from this one on."""
        for site in sites:
            if site.kind.role == "number":
                site.kind = Kind("index", site.kind.shape)
        self.numbers[first:] = [number._replace(structural=True) for number in self.numbers[first:]]

    def _inner(self, node: ast.expr) -> Kind:
        """Read what is inside an expression; gives the kind of the whole."""
        match node:  # the most frequent first
            case ast.Name(id=name):
                return self._bound.get(name) or self.statement.scope.kind(name) or OTHER
            case ast.Constant(value=value):
                if isinstance(value, bool):
                    return TRUTH
                return SCALAR if isinstance(value, (int, float)) else OTHER
            case ast.BinOp():
                return self._binary(node)
            case ast.Call():
                return self._call(node)
            case ast.Subscript():
                kind = self.read(node.value, ATOM, node, fixed=True)
                return self.usage.item(node, kind, self._indices(node.slice))
            case ast.Attribute():
                return self._attribute(node)
            case ast.UnaryOp():
                kind = self.read(node.operand, strength(node), node)
                return Kind("truth", kind.shape) if isinstance(node.op, ast.Not) else kind
            case ast.Compare():
                compared = [self.read(part, BITS, node) for part in (node.left, *node.comparators)]
                if isinstance(node.ops[0], ast.In | ast.NotIn | ast.Is | ast.IsNot):
                    return TRUTH
                return Kind("truth", join(*compared).shape)
            case ast.BoolOp():
                for part in node.values:
                    self.read(part, strength(node) + 1, node)
                return TRUTH
            case ast.IfExp():
                self.read(node.test, OR, node)
                kind, other = self.read(node.body, OR, node), self.read(node.orelse, TERNARY, node)
                return kind if kind == other or kind.role != "number" else join(kind, other)
            case ast.List() | ast.Tuple() | ast.Set():
                for part in node.elts:
                    self.read(part, TERNARY, node)
            case ast.Dict():
                for part in node.values:
                    self.read(part, TERNARY, node)
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
                self._comprehension(node)
            case ast.Lambda():
                kept, usage = self._bound, Usage(nodes(node))
                names = [*node.args.posonlyargs, *node.args.args]
                self._bound = kept | {argument.arg: usage.parameter(argument) for argument in names}
                self.read(node.body, TERNARY, node)
                self._bound = kept
            case ast.NamedExpr():
                kind = self.read(node.value, TERNARY, node)
                self.assign(node.target, kind, node.value)
                return kind
            case ast.Starred() | ast.Await():
                self.read(node.value, ATOM, node, fixed=True)
        return OTHER

    def _binary(self, node: ast.BinOp) -> Kind:
        binding = strength(node)
        # A power binds to the right, and its right side may have a sign without parentheses.
        needs = (AWAIT, UNARY) if isinstance(node.op, ast.Pow) else (binding, binding + 1)
        return operated(node, self.read(node.left, needs[0], node), self.read(node.right, needs[1], node))

    def _attribute(self, node: ast.Attribute) -> Kind:
        if isinstance(node.value, ast.Name) and node.value.id in self.modules:
            return SCALAR if node.attr in ("pi", "inf", "e") else OTHER
        kind = self.read(node.value, ATOM, node, fixed=True)
        if node.attr in ("T", "real"):
            return kind
        return INDEX if node.attr in ("size", "ndim") else OTHER

    def _indices(self, node: ast.expr) -> list[Kind]:
        """Read what stands between the brackets; its numbers and names are indices."""
        match node:
            case ast.Tuple():
                return [kind for part in node.elts for kind in self._indices(part)]
            case ast.Slice():
                for part in (node.lower, node.upper, node.step):
                    if part:
                        self._index(part, node)
                return [INDICES]
        return [self._index(node, node)]

    def _index(self, node: ast.expr, parent: ast.AST) -> Kind:
        count, numbers = len(self.found), len(self.numbers)
        kind = self.read(node, TERNARY, parent)
        if kind.role == "truth":
            return kind
        items = (site for site in self.found[count:] if not isinstance(site.node, ast.Subscript))
        self._structural(items, numbers)
        return INDICES if kind.shape == "array" else INDEX

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> None:
        kept = self._bound
        for generator in node.generators:
            kind = self.usage.element(generator.iter, self.read(generator.iter, OR, node))
            names = names_stored(generator.target)
            each = kind if len(names) == 1 else OTHER
            self._bound = self._bound | {name: self.usage.iterated(name, each) for name in names}
            for test in generator.ifs:
                self.read(test, OR, node)
        if isinstance(node, ast.DictComp):
            self.read(node.key, TERNARY, node, fixed=True)
            self.read(node.value, TERNARY, node)
        else:
            self.read(node.elt, TERNARY, node)
        self._bound = kept

    def _call(self, node: ast.Call) -> Kind:
        name = called(node)
        count, numbers = len(self.found), len(self.numbers)
        operands: list[Kind] = []
        method = False
        match node.func:
            case ast.Attribute(value=ast.Name(id=module)) if module in self.modules:
                pass
            case ast.Attribute(value=value):
                method = True
                operands.append(self.read(value, ATOM, node, fixed=isinstance(value, ast.Name)))
        container = name == "len" or name in CONTAINERS
        for argument in node.args:
            operands.append(self.read(argument, TERNARY, node, fixed=container))
        for keyword in node.keywords:
            if keyword.arg not in SETTINGS:
                self.read(keyword.value, TERNARY, keyword)
        if name in SIZES:  # counts, not quantities
            self._structural(self.found[count:], numbers)
        self._note_call(node, name)
        return result(node, operands, method, self.functions)

    def _note_call(self, node: ast.Call, name: str) -> None:
        """Keep the place of the called name: it may be swapped for one of the same family."""
        end = self._places.span(node.func)[1]
        start = end - len(name)
        if name and self._places.source[start:end] == name and self._places.inside(start, end):
            code = Code(name)
            self.calls.append(
                Site(node.func, start, end, code, ATOM, OTHER, self.statement, node, self._bound, 1)
            )
