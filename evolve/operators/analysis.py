"""What an operator must know of a Python source to change it by splicing text at positions.

One pass over the `ast` of a parent, kept by source: every expression that may be replaced (sites.py), with
its place in the text, the kind of value that it seems to have (kinds.py), and the statement around it, which
knows the names that are bound there (scopes.py).
"""

from __future__ import annotations

import ast
import warnings
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from evolve.operators.kinds import OTHER, SCALAR, Usage, join
from evolve.operators.nodes import Nodes, nodes
from evolve.operators.scopes import Scope, Statement, mark_live, names_read, names_stored
from evolve.operators.sites import Number, Places, Site, Sites
from evolve.operators.splice import TERNARY, Edit
from evolve.operators.territory import Territory
from evolve.types import Files


@dataclass(eq=False, slots=True)
class Analysis:
    """What operators know of one source; all of it lies inside the spans that may change."""

    source: str
    newline: str
    statements: list[Statement]
    sites: list[Site]  # in live statements, as are calls and numbers
    calls: list[Site]  # names of what is called, without the module
    numbers: list[Number]
    numpy: str | None  # the name that the module has here
    math: str | None
    _by_node: dict[int, Site] = field(default_factory=dict)

    def site(self, node: ast.AST) -> Site | None:
        """The site of an expression, if it is one."""
        if not self._by_node:
            self._by_node.update((id(site.node), site) for site in self.sites)
        return self._by_node.get(id(node))

    def fresh(self, stem: str) -> str:
        """A name that the source does not hold."""
        number = 1
        while f"{stem}{number}" in self.source:
            number += 1
        return f"{stem}{number}"


@lru_cache(maxsize=64)  # as many as an elite holds; one takes about a megabyte
def analyse(source: str, spans: tuple[tuple[int, int], ...]) -> Analysis | None:
    """Read a source once; None where that fails. Sites and statements lie inside the spans."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a program may be odd (`x is 1`); only errors count
            tree = ast.parse(source)
        found = Nodes(tree)
        if any(_unprintable(node.value) for node in found.all if type(node) is ast.Constant):
            return None
        return _Reader(Places(source, spans), found).read(tree)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _unprintable(value: object) -> bool:
    """Whether it is an integer that Python would not write down again: of over 4,300 decimal digits."""
    return isinstance(value, int) and value.bit_length() > 14_000


def material(files: Files, territory: Territory) -> dict[str, Analysis]:
    """The Python files of a program that hold something to change, by path."""
    found = {}
    for path in sorted(files):
        if not path.endswith(".py"):
            continue
        try:
            source = files[path].decode()
        except UnicodeDecodeError:
            continue
        spans = tuple(territory.spans(path, source))
        analysis = analyse(source, spans) if spans else None
        if analysis and analysis.sites:
            found[path] = analysis
    return found


def before(analysis: Analysis, statement: Statement, text: str) -> Edit:
    """A line before a statement, indented like it."""
    source = analysis.source
    end = statement.line
    while source[end] in " \t\f":
        end += 1
    return Edit(statement.line, statement.line, f"{source[statement.line : end]}{text}{analysis.newline}")


class _Reader:
    """Walks the statements of one tree; their expressions are left to `Sites`."""

    def __init__(self, places: Places, nodes: Nodes) -> None:
        self._places, self._nodes = places, nodes
        self._sites = Sites(places)
        self._statements: list[Statement] = []
        self._of_scope: defaultdict[Scope, list[Statement]] = defaultdict(list)
        self._aliases: dict[str, str] = {}  # names that the whole source has for modules

    def read(self, tree: ast.Module) -> Analysis:
        self._sites.usage = Usage(self._nodes.all)
        self._block(tree.body, Scope("module", None), None)
        source, sites = self._places.source, self._sites
        return Analysis(
            source,
            "\r\n" if "\r\n" in source else "\n",
            [one for one in self._statements if self._places.inside(one.line, one.end)],
            [site for site in sites.found if site.statement.live],
            [call for call in sites.calls if call.statement.live],
            [number for number in sites.numbers if number.site.statement.live],
            self._aliases.get("numpy"),
            self._aliases.get("math"),
        )

    def _block(self, body: Sequence[ast.stmt], scope: Scope, owner: Statement | None) -> tuple[str, ...]:
        """Read the statements of a block; gives the names that it certainly binds."""
        places = self._places
        block: list[Statement] = []
        for node in body:
            first = min((d.lineno for d in getattr(node, "decorator_list", ())), default=node.lineno)
            line, end = places.line(first), places.line((node.end_lineno or node.lineno) + 1)
            start, stop = places.span(node)
            ahead = places.source[line:start].strip() if first == node.lineno else ""
            behind = places.source[stop:end].strip()
            whole = not ahead and (not behind or behind.startswith("#")) and places.inside(line, end)
            statement = Statement(node, scope, block[-1] if block else None, owner, line, end, whole)
            for known in (block, self._of_scope[scope], self._statements):
                known.append(statement)
            statement.alone = len(body) == 1
            self._statement(statement)
        return tuple(dict.fromkeys(name for statement in block for name in statement.binds))

    def _statement(self, statement: Statement) -> None:
        """Read what a statement holds, and note which names it reads and binds."""
        node, scope, sites = statement.node, statement.scope, self._sites
        sites.statement = statement
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self._function(node, statement)
            case ast.ClassDef():
                statement.binds = (node.name,)
                statement.reads = self._names_below(node)
                scope.kinds[node.name] = OTHER
                self._block(node.body, Scope(node.name, scope), statement)
            case ast.Import() | ast.ImportFrom():
                self._import(node, statement)
            case ast.Assign():
                kind = sites.read(node.value, TERNARY, node)
                for target in node.targets:
                    sites.assign(target, kind, node.value)
                statement.binds = tuple(name for target in node.targets for name in names_stored(target))
                statement.reads = self._names_below(node)
            case ast.AugAssign():
                sites.store(node.target)
                kind = sites.read(node.value, TERNARY, node)
                if isinstance(node.target, ast.Name):
                    scope.kinds[node.target.id] = join(kind, scope.kinds.get(node.target.id, SCALAR))
                statement.reads = names_read(nodes(node.value))
            case ast.AnnAssign(value=ast.expr() as value):
                sites.assign(node.target, sites.read(value, TERNARY, node), value)
                statement.binds = names_stored(node.target)
                statement.reads = names_read(nodes(value))
            case ast.Return(value=ast.expr() as value):
                kind = sites.read(value, TERNARY, node)
                scope.returns = join(kind, scope.returns) if scope.returns else kind
                statement.reads = self._names_below(node)
            case ast.AnnAssign() | ast.Return() | ast.Expr(value=ast.Constant()):
                pass  # without a value, or a docstring
            case ast.Expr():
                sites.read(node.value, TERNARY, node)
                statement.reads = self._names_below(node)
            case ast.If() | ast.While():
                sites.read(node.test, TERNARY, node)
                statement.reads = names_read(nodes(node.test))
                then = self._block(node.body, scope, statement)
                other = self._block(node.orelse, scope, statement)
                if isinstance(node, ast.If):
                    leaves = isinstance(node.body[-1], ast.Return | ast.Raise | ast.Continue | ast.Break)
                    statement.binds = other if leaves else tuple(name for name in then if name in other)
            case ast.For() | ast.AsyncFor():
                kind = sites.read(node.iter, TERNARY, node)
                sites.assign(node.target, sites.usage.element(node.iter, kind))
                statement.inside = names_stored(node.target)
                statement.reads = names_read(nodes(node.iter))
                self._block(node.body, scope, statement)
                self._block(node.orelse, scope, statement)
            case ast.With() | ast.AsyncWith():
                for item in node.items:
                    sites.read(item.context_expr, TERNARY, node)
                    statement.reads |= names_read(nodes(item.context_expr))
                    if item.optional_vars:
                        sites.assign(item.optional_vars, OTHER)
                        statement.inside += names_stored(item.optional_vars)
                statement.binds = statement.inside + self._block(node.body, scope, statement)
            case ast.Try():
                tried = self._block(node.body, scope, statement)
                for handler in node.handlers:
                    self._block(handler.body, scope, statement)
                self._block(node.orelse, scope, statement)
                self._block(node.finalbody, scope, statement)
                statement.binds = () if node.handlers else tried
            case _:  # match, del, global, raise ...: their names count as read, nothing in them changes
                statement.reads = self._names_below(node)
                for inner in self._nodes.below(node):
                    if isinstance(inner, ast.Global | ast.Nonlocal):
                        statement.reads |= frozenset(inner.names)

    def _names_below(self, node: ast.stmt) -> frozenset[str]:
        """Names that are loaded anywhere in a statement."""
        return names_read(self._nodes.below(node))

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef, statement: Statement) -> None:
        outer, sites, arguments = statement.scope, self._sites, node.args
        scope = Scope(node.name, outer)
        named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        around, sites.usage = sites.usage, Usage(self._nodes.below(node))
        scope.kinds = {argument.arg: sites.usage.parameter(argument) for argument in named}
        for extra in (arguments.vararg, arguments.kwarg):
            if extra:
                scope.kinds[extra.arg] = OTHER
        statement.inside = tuple(argument.arg for argument in named)
        statement.binds = (node.name,)
        statement.reads = self._names_below(node)
        self._block(node.body, scope, statement)
        sites.usage = around
        mark_live(self._of_scope[scope])
        outer.kinds[node.name] = OTHER
        if outer.parent is None:
            sites.functions[node.name] = scope.returns or OTHER

    def _import(self, node: ast.Import | ast.ImportFrom, statement: Statement) -> None:
        scope = statement.scope
        names = [alias.asname or alias.name.partition(".")[0] for alias in node.names]
        statement.binds = tuple(names)
        for alias, name in zip(node.names, names, strict=True):
            scope.kinds[name] = OTHER
            if isinstance(node, ast.Import):
                self._sites.modules.add(name)
                if scope.parent is None:
                    self._aliases[alias.name] = name
