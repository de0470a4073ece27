"""What an operator must know of a Python source to change it by splicing text at positions.

One pass over the `ast` of a parent, kept by source: every expression that may be replaced (a `Site`), with
its place in the text, the kind of value that it seems to have, and the statement around it, which knows the
names that are bound there. Kinds are a guess from usage (what is indexed, reduced, compared): a wrong one
costs a failed child.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, NamedTuple

from evolve.operators.splice import Code, Edit
from evolve.operators.territory import Territory
from evolve.types import Files

Role = Literal["number", "truth", "index", "other"]
Shape = Literal["scalar", "array", "any"]


class Kind(NamedTuple):
    """What a value seems to be. `any`: a scalar and an array are both plausible."""

    role: Role
    shape: Shape


SCALAR, ARRAY, NUMBER = Kind("number", "scalar"), Kind("number", "array"), Kind("number", "any")
INDEX, INDICES, OTHER = Kind("index", "scalar"), Kind("index", "array"), Kind("other", "any")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# What functions and methods of these names give, whichever module they come from.
ELEMENTWISE = _words(
    """abs absolute fabs sqrt exp log log1p log2 log10 expm1 tanh sin cos tan arctan square sign cbrt negative
    reciprocal maximum minimum power clip hypot arctan2 add subtract multiply divide mod floor ceil rint round
    float_power where nan_to_num pow cumsum cumprod sort diff roll float asarray copy astype full_like"""
)
REDUCTIONS = _words("mean max min sum std var median prod average percentile quantile norm item dot")
_CHOICES = _words("argmin argmax randrange randint integers index int")
_ARRAYS = _words("zeros ones full empty linspace array zeros_like ones_like empty_like ravel flatten")
_INDICES = _words("arange argsort nonzero flatnonzero argpartition argwhere permutation")
_CONTAINERS = _words("list tuple set dict sorted reversed enumerate zip map filter frozenset ix_")
_SIZES = _words("range zeros ones empty arange")  # their arguments are counts
_SETTINGS = _words("axis dtype out shape size key keepdims ndim order side kind seed copy")

# How strongly an expression binds; its text is put in parentheses where its place asks for more.
TERNARY, OR, AND, NOT, COMPARE, BITS, ADD, MULTIPLY, UNARY, POWER, AWAIT, ATOM = range(1, 13)
_BINDING: dict[type[ast.operator], int] = {
    ast.Add: ADD, ast.Sub: ADD, ast.Mult: MULTIPLY, ast.Div: MULTIPLY, ast.FloorDiv: MULTIPLY,
    ast.Mod: MULTIPLY, ast.MatMult: MULTIPLY, ast.Pow: POWER,
}  # fmt: skip


@dataclass(eq=False, slots=True)
class Scope:
    """A module, class or function: what its names seem to be."""

    name: str
    parent: Scope | None
    kinds: dict[str, Kind] = field(default_factory=dict)
    parameters: tuple[str, ...] = ()
    returns: Kind | None = None
    statements: list[Statement] = field(default_factory=list)  # at any depth, nested scopes apart

    def kind(self, name: str) -> Kind | None:
        """Kind of a name here or further out; None where nothing binds it."""
        scope: Scope | None = self
        while scope:
            if name in scope.kinds:
                return scope.kinds[name]
            scope = scope.parent
        return None


@dataclass(eq=False, slots=True)
class Statement:
    """A statement: its place, its neighbours, what it binds."""

    node: ast.stmt
    scope: Scope
    block: list[Statement]  # its siblings and itself, in order
    owner: Statement | None  # the compound statement around its block
    line: int  # offset where its first line starts
    end: int  # offset behind its last line, newline included
    whole: bool  # nothing else on its lines, and all of them may change
    binds: tuple[str, ...] = ()  # names that are certainly bound after it
    inside: tuple[str, ...] = ()  # names that it binds for its own block: loop variables, parameters
    reads: frozenset[str] = frozenset()
    live: bool = True  # False: it only binds names that nothing reads

    def visible(self) -> list[str]:
        """Names that are certainly bound when this statement starts, innermost first."""
        names: dict[str, None] = {}
        statement: Statement | None = self
        while statement:
            for sibling in statement.block:
                if sibling is statement:
                    break
                names.update(dict.fromkeys(sibling.binds))
            statement = statement.owner
            if statement:
                names.update(dict.fromkeys(statement.inside))
        return list(names)

    def names(self) -> dict[str, Kind]:
        """The visible names with their kinds."""
        kinds = ((name, self.scope.kind(name)) for name in self.visible())
        return {name: kind for name, kind in kinds if kind}

    @property
    def where(self) -> str:
        """What people call its place: the name assigned, else the function."""
        return self.simple_target or self.scope.name

    @property
    def simple_target(self) -> str | None:
        """The one name that it assigns, if that is what it does."""
        match self.node:
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AugAssign(target=ast.Name(id=name)):
                return name
        return None


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


@dataclass(eq=False, slots=True)
class Analysis:
    """What operators know of one source."""

    source: str
    newline: str
    sites: list[Site] = field(default_factory=list)  # in live statements, inside the spans
    calls: list[Site] = field(default_factory=list)  # names of what is called, without the module
    numbers: list[Number] = field(default_factory=list)
    statements: list[Statement] = field(default_factory=list)
    numpy: str | None = None  # the name that the module has here
    math: str | None = None
    functions: dict[str, tuple[int, Kind]] = field(default_factory=dict)  # own functions: parameters, result
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
    """Read a source once; None where it does not parse. Sites and statements lie inside the spans."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a program may be odd (`x is 1`); only errors count
            tree = ast.parse(source)
        return _Reader(source, spans).read(tree)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


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


def strength(node: ast.expr) -> int:
    """How strongly an expression binds."""
    match node:
        case ast.BinOp():
            return _BINDING.get(type(node.op), BITS)
        case ast.UnaryOp():
            return NOT if isinstance(node.op, ast.Not) else UNARY
        case ast.BoolOp():
            return OR if isinstance(node.op, ast.Or) else AND
        case ast.Compare():
            return COMPARE
        case ast.IfExp() | ast.Lambda():
            return TERNARY
        case ast.Await():
            return AWAIT
        case ast.NamedExpr() | ast.Yield() | ast.YieldFrom() | ast.Tuple():
            return 0
    return ATOM


def join(*kinds: Kind) -> Kind:
    """Kind of what numeric operands give together."""
    shapes = {kind.shape for kind in kinds}
    shape: Shape = "array" if "array" in shapes else "any" if "any" in shapes else "scalar"
    return Kind("number", shape)


def names_read(node: ast.AST) -> set[str]:
    """Names that are loaded anywhere in it."""
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}


def before(analysis: Analysis, statement: Statement, text: str) -> Edit:
    """A line before a statement, indented like it."""
    source = analysis.source
    end = statement.line
    while source[end] in " \t\f":
        end += 1
    return Edit(statement.line, statement.line, f"{source[statement.line : end]}{text}{analysis.newline}")


def free_names(node: ast.AST) -> set[str]:
    """Names that it reads and does not bind itself, as comprehensions and lambdas do."""
    own = {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)}
    return names_read(node) - own - {n.arg for n in ast.walk(node) if isinstance(n, ast.arg)}


class _Evidence:
    """How a function's body uses its names."""

    def __init__(self, function: ast.AST) -> None:
        self.indexing: set[str] = set()
        self.collections: set[str] = set()
        self.tables: set[str] = set()  # indexed by tuples, or twice
        self.arithmetic: set[str] = set()
        for node in ast.walk(function):
            self._note(node)

    def _note(self, node: ast.AST) -> None:
        match node:
            case ast.Subscript():
                self._index(node.slice)
                match node.value:
                    case ast.Name(id=name):
                        self.collections.add(name)
                        if isinstance(node.slice, ast.Tuple):
                            self.tables.add(name)
                    case ast.Subscript(value=ast.Name(id=name)):
                        self.tables.add(name)
            case ast.Call():
                name = _called(node)
                if name == "ix_" or name in _SIZES:
                    self._add(self.indexing, node.args)
                if name == "len" or name == "ix_" or name in _CONTAINERS or name in REDUCTIONS | _CHOICES:
                    if isinstance(node.func, ast.Attribute) and not node.args:
                        self._add(self.collections, [node.func.value])
                    if len(node.args) == 1:
                        self._add(self.collections, node.args)
                elif name in ELEMENTWISE:
                    self._add(self.arithmetic, node.args)
            case ast.For() | ast.AsyncFor() | ast.comprehension():
                self._add(self.collections, [node.iter])
            case ast.BinOp():
                self._add(self.arithmetic, [node.left, node.right])
            case ast.UnaryOp(op=ast.USub()):
                self._add(self.arithmetic, [node.operand])
            case ast.Compare(ops=[ast.Lt() | ast.LtE() | ast.Gt() | ast.GtE(), *_]):
                self._add(self.arithmetic, [node.left, *node.comparators])

    def _index(self, node: ast.expr | None) -> None:
        match node:
            case ast.Name(id=name):
                self.indexing.add(name)
            case ast.Tuple(elts=parts):
                for part in parts:
                    self._index(part)
            case ast.BinOp(left=left, right=right):
                self._index(left)
                self._index(right)
            case ast.Slice():
                for edge in (node.lower, node.upper, node.step):
                    self._index(edge)

    @staticmethod
    def _add(names: set[str], nodes: Sequence[ast.expr]) -> None:
        names.update(node.id for node in nodes if isinstance(node, ast.Name))

    def parameter(self, argument: ast.arg) -> Kind:
        name = argument.arg
        note = ast.unparse(argument.annotation) if argument.annotation else ""
        many = name in self.collections or bool(re.search(r"array|list|sequence|tuple", note, re.IGNORECASE))
        if name in self.indexing:
            return INDICES if many else INDEX
        if name in self.tables:
            return OTHER
        if note in ("int", "float"):
            return SCALAR
        if name in self.arithmetic:
            return ARRAY if many else NUMBER
        if "array" in note and name not in self.collections:
            return ARRAY
        return OTHER


class _Reader:
    """Reads one tree into an Analysis."""

    def __init__(self, source: str, spans: Sequence[tuple[int, int]]) -> None:
        self._source = source
        self._spans = spans
        # The parser ends lines at \n, \r\n and \r, and counts columns in bytes of UTF-8.
        self._lines = [0, *(match.end() for match in re.finditer(r"\r\n|\r|\n", source))]
        self._ascii = source.isascii()
        self._found = Analysis(source, "\r\n" if "\r\n" in source else "\n")
        self._modules: set[str] = set()
        self._bound: dict[str, Kind] = {}
        self._evidence: _Evidence
        self._statement: Statement
        self._scope: Scope

    def read(self, tree: ast.Module) -> Analysis:
        self._evidence = _Evidence(tree)
        module = Scope("module", None)
        self._block(tree.body, module, None)
        found = self._found
        found.statements = [statement for statement in found.statements if self._editable(statement)]
        found.sites = [site for site in found.sites if site.statement.live]
        found.numbers = [number for number in found.numbers if number.site.statement.live]
        found.calls = [call for call in found.calls if call.statement.live]
        return found

    # ------------------------------------------------------------------------------------------- places

    def _offset(self, line: int, column: int) -> int:
        start = self._lines[line - 1]
        if self._ascii:
            return start + column
        return start + len(self._source[start : start + column].encode()[:column].decode())

    def _span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        assert node.end_lineno is not None and node.end_col_offset is not None  # the parser sets them
        return (
            self._offset(node.lineno, node.col_offset),
            self._offset(node.end_lineno, node.end_col_offset),
        )

    def _inside(self, start: int, end: int) -> bool:
        return any(low <= start and end <= high for low, high in self._spans)

    def _editable(self, statement: Statement) -> bool:
        return self._inside(statement.line, statement.end)

    def _grouped(self, start: int, end: int) -> tuple[int, int]:
        """The span with the parentheses around it, which only group where an operator is beside them."""
        source = self._source
        while True:
            left, right = start - 1, end
            while left >= 0 and source[left] in " \t":
                left -= 1
            while right < len(source) and source[right] in " \t":
                right += 1
            if left < 0 or right >= len(source) or source[left] != "(" or source[right] != ")":
                return start, end
            start, end = left, right + 1

    # --------------------------------------------------------------------------------------- statements

    def _block(self, body: Sequence[ast.stmt], scope: Scope, owner: Statement | None) -> tuple[str, ...]:
        """Read the statements of a block; gives the names that it certainly binds."""
        block: list[Statement] = []
        for node in body:
            first = min((d.lineno for d in getattr(node, "decorator_list", ())), default=node.lineno)
            line = self._lines[first - 1]
            last = node.end_lineno or node.lineno
            end = self._lines[last] if last < len(self._lines) else len(self._source)
            start, stop = self._span(node)
            before = self._source[line:start] if first == node.lineno else ""
            after = self._source[stop:end].strip()
            whole = not before.strip() and (not after or after.startswith("#")) and self._inside(line, end)
            statement = Statement(node, scope, block, owner, line, end, whole)
            block.append(statement)
            scope.statements.append(statement)
            self._found.statements.append(statement)
            self._scope, self._statement = scope, statement
            self._read_statement(node, statement, scope)
        return tuple(dict.fromkeys(name for statement in block for name in statement.binds))

    def _read_statement(self, node: ast.stmt, statement: Statement, scope: Scope) -> None:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self._function(node, statement, scope)
            case ast.ClassDef():
                statement.binds = (node.name,)
                statement.reads = frozenset(names_read(node))
                scope.kinds[node.name] = OTHER
                self._block(node.body, Scope(node.name, scope), statement)
            case ast.Import() | ast.ImportFrom():
                self._import(node, statement, scope)
            case ast.Assign():
                kind = self._expression(node.value, TERNARY, node)
                for target in node.targets:
                    self._assign(target, kind, node.value, scope)
                statement.binds = tuple(name for target in node.targets for name in _targets(target))
                statement.reads = frozenset(names_read(node))
            case ast.AugAssign():
                self._store(node.target)
                kind = self._expression(node.value, TERNARY, node)
                if isinstance(node.target, ast.Name):
                    scope.kinds[node.target.id] = join(kind, scope.kinds.get(node.target.id, SCALAR))
                statement.reads = frozenset(names_read(node.value))
            case ast.AnnAssign():
                if node.value:
                    kind = self._expression(node.value, TERNARY, node)
                    self._assign(node.target, kind, node.value, scope)
                    statement.binds = tuple(_targets(node.target))
                    statement.reads = frozenset(names_read(node.value))
            case ast.Return():
                if node.value:
                    kind = self._expression(node.value, TERNARY, node)
                    scope.returns = join(kind, scope.returns) if scope.returns else kind
                    statement.reads = frozenset(names_read(node.value))
            case ast.Expr():
                if not isinstance(node.value, ast.Constant):
                    self._expression(node.value, TERNARY, node)
                    statement.reads = frozenset(names_read(node.value))
            case ast.If() | ast.While():
                self._expression(node.test, TERNARY, node)
                statement.reads = frozenset(names_read(node.test))
                then = self._block(node.body, scope, statement)
                other = self._block(node.orelse, scope, statement)
                if isinstance(node, ast.If):
                    leaves = isinstance(node.body[-1], ast.Return | ast.Raise | ast.Continue | ast.Break)
                    statement.binds = other if leaves else tuple(name for name in then if name in other)
            case ast.For() | ast.AsyncFor():
                kind = self._expression(node.iter, TERNARY, node)
                self._assign(node.target, self._element(node.iter, kind), None, scope)
                statement.inside = tuple(_targets(node.target))
                statement.reads = frozenset(names_read(node.iter))
                self._block(node.body, scope, statement)
                self._block(node.orelse, scope, statement)
            case ast.With() | ast.AsyncWith():
                for item in node.items:
                    self._expression(item.context_expr, TERNARY, node)
                    if item.optional_vars:
                        self._assign(item.optional_vars, OTHER, None, scope)
                        statement.inside += tuple(_targets(item.optional_vars))
                statement.reads = frozenset(
                    name for item in node.items for name in names_read(item.context_expr)
                )
                statement.binds = statement.inside + self._block(node.body, scope, statement)
            case ast.Try():
                tried = self._block(node.body, scope, statement)
                for handler in node.handlers:
                    self._block(handler.body, scope, statement)
                self._block(node.orelse, scope, statement)
                self._block(node.finalbody, scope, statement)
                statement.binds = () if node.handlers else tried
            case _:  # match, del, global, raise ...: their names count as read, nothing in them changes
                statement.reads = frozenset(names_read(node))
                for inner in ast.walk(node):
                    if isinstance(inner, ast.Global | ast.Nonlocal):
                        statement.reads |= frozenset(inner.names)

    def _function(
        self, node: ast.FunctionDef | ast.AsyncFunctionDef, statement: Statement, outer: Scope
    ) -> None:
        arguments = node.args
        positional = [*arguments.posonlyargs, *arguments.args]
        every = [*positional, *arguments.kwonlyargs]
        scope = Scope(node.name, outer, parameters=tuple(argument.arg for argument in positional))
        kept = self._evidence, self._bound
        self._evidence, self._bound = _Evidence(node), {}
        scope.kinds = {argument.arg: self._evidence.parameter(argument) for argument in every}
        for extra in (arguments.vararg, arguments.kwarg):
            if extra:
                scope.kinds[extra.arg] = OTHER
        statement.inside = tuple(argument.arg for argument in every)
        statement.binds = (node.name,)
        statement.reads = frozenset(names_read(node))
        self._block(node.body, scope, statement)
        self._evidence, self._bound = kept
        _mark_live(scope)
        outer.kinds[node.name] = OTHER
        if outer.parent is None:
            self._found.functions[node.name] = len(positional), scope.returns or OTHER

    def _import(self, node: ast.Import | ast.ImportFrom, statement: Statement, scope: Scope) -> None:
        names = [alias.asname or alias.name.partition(".")[0] for alias in node.names]
        statement.binds = tuple(names)
        for alias, name in zip(node.names, names, strict=True):
            scope.kinds[name] = OTHER
            if isinstance(node, ast.Import):
                self._modules.add(name)
                if alias.name == "numpy" and scope.parent is None:
                    self._found.numpy = name
                if alias.name == "math" and scope.parent is None:
                    self._found.math = name

    def _assign(self, target: ast.expr, kind: Kind, value: ast.expr | None, scope: Scope) -> None:
        match target:
            case ast.Name(id=name):
                if name in self._evidence.indexing and kind.role in ("number", "other"):
                    kind = Kind("index", "array" if name in self._evidence.collections else "scalar")
                if name in self._evidence.tables:
                    kind = OTHER
                elif kind == OTHER and name in self._evidence.arithmetic:
                    kind = ARRAY if name in self._evidence.collections else NUMBER
                known = scope.kinds.get(name)
                scope.kinds[name] = (
                    kind if known in (None, kind) or known.role != "number" else join(kind, known)
                )
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                if isinstance(value, ast.Tuple) and len(value.elts) == len(parts):
                    for part, each in zip(parts, value.elts, strict=True):
                        self._assign(part, self._guess(each), each, scope)
                else:
                    for part in parts:
                        self._assign(part, OTHER if kind.role == "other" else NUMBER, None, scope)
            case _:
                self._store(target)

    def _store(self, target: ast.expr) -> None:
        match target:
            case ast.Subscript():
                self._store(target.value)
                self._subscript(target.slice)
            case ast.Attribute():
                self._store(target.value)

    # -------------------------------------------------------------------------------------- expressions

    def _expression(self, node: ast.expr, needs: int, parent: ast.AST, fixed: bool = False) -> Kind:
        """Read an expression and what is inside; gives its kind. `fixed`: it is no site itself."""
        count = len(self._found.sites)
        kind = self._inner(node)
        if fixed or isinstance(node, ast.Starred | ast.Slice | ast.JoinedStr):
            return kind
        start, end = self._span(node)
        code = Code(self._source[start:end], strength(node))
        if "\n" in code.text or "\r" in code.text:
            code = Code(ast.unparse(node), ATOM if isinstance(node, ast.Tuple) else code.strength)
        if not isinstance(parent, ast.Call | ast.keyword | ast.ClassDef):
            start, end = self._grouped(start, end)
        if self._inside(start, end):
            size = len(self._found.sites) - count + 1
            site = Site(node, start, end, code, needs, kind, self._statement, parent, dict(self._bound), size)
            self._found.sites.append(site)
            self._number(site)
        return kind

    def _number(self, site: Site) -> None:
        match site.node, site.parent:
            case ast.Constant(value=value), ast.UnaryOp(op=ast.USub()):
                return  # read with its sign
            case (
                (ast.Constant(value=value) | ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=value))),
                _,
            ):
                if isinstance(value, int | float) and not isinstance(value, bool):
                    signed = -value if isinstance(site.node, ast.UnaryOp) else value
                    structural = site.kind.role == "index"
                    self._found.numbers.append(
                        Number(site.start, site.end, site.needs, signed, structural, site)
                    )

    def _inner(self, node: ast.expr) -> Kind:
        match node:
            case ast.Constant(value=value):
                if isinstance(value, bool):
                    return Kind("truth", "scalar")
                return SCALAR if isinstance(value, int | float) else OTHER
            case ast.Name(id=name):
                return self._bound.get(name) or self._scope.kind(name) or OTHER
            case ast.BinOp():
                return self._binary(node)
            case ast.UnaryOp():
                kind = self._expression(node.operand, NOT if isinstance(node.op, ast.Not) else UNARY, node)
                return Kind("truth", kind.shape) if isinstance(node.op, ast.Not) else kind
            case ast.Compare():
                kinds = [self._expression(part, BITS, node) for part in (node.left, *node.comparators)]
                if isinstance(node.ops[0], ast.In | ast.NotIn | ast.Is | ast.IsNot):
                    return Kind("truth", "scalar")
                return Kind("truth", join(*kinds).shape)
            case ast.BoolOp():
                for part in node.values:
                    self._expression(part, strength(node) + 1, node)
                return Kind("truth", "scalar")
            case ast.IfExp():
                self._expression(node.test, OR, node)
                kinds = [self._expression(node.body, OR, node), self._expression(node.orelse, TERNARY, node)]
                return kinds[0] if kinds[0] == kinds[1] or kinds[0].role != "number" else join(*kinds)
            case ast.Call():
                return self._call(node)
            case ast.Subscript():
                kind = self._expression(node.value, ATOM, node, fixed=True)
                return self._item(node, kind, self._subscript(node.slice))
            case ast.Attribute():
                if isinstance(node.value, ast.Name) and node.value.id in self._modules:
                    return SCALAR if node.attr in ("pi", "inf", "e") else OTHER
                kind = self._expression(node.value, ATOM, node, fixed=True)
                return (
                    kind if node.attr in ("T", "real") else INDEX if node.attr in ("size", "ndim") else OTHER
                )
            case ast.List() | ast.Tuple() | ast.Set():
                for part in node.elts:
                    self._expression(part, TERNARY, node)
            case ast.Dict():
                for part in node.values:
                    self._expression(part, TERNARY, node)
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
                self._comprehension(node)
            case ast.Lambda():
                kept = self._bound
                evidence = _Evidence(node)
                names = [*node.args.posonlyargs, *node.args.args]
                self._bound = kept | {argument.arg: evidence.parameter(argument) for argument in names}
                self._expression(node.body, TERNARY, node)
                self._bound = kept
            case ast.NamedExpr():
                kind = self._expression(node.value, TERNARY, node)
                self._assign(node.target, kind, node.value, self._scope)
                return kind
            case ast.Starred() | ast.Await():
                self._expression(node.value, ATOM, node, fixed=True)
        return OTHER

    def _guess(self, node: ast.expr) -> Kind:
        """Kind of an expression that was read before."""
        for site in reversed(self._found.sites):
            if site.node is node:
                return site.kind
        return OTHER

    def _binary(self, node: ast.BinOp) -> Kind:
        binding = strength(node)
        if isinstance(node.op, ast.Pow):
            kinds = [self._expression(node.left, AWAIT, node), self._expression(node.right, UNARY, node)]
        else:
            kinds = [
                self._expression(node.left, binding, node),
                self._expression(node.right, binding + 1, node),
            ]
        if kinds[0].role == kinds[1].role == "index" and isinstance(node.op, ast.Add | ast.Sub):
            return Kind("index", join(*kinds).shape)
        if OTHER in kinds and isinstance(node.op, ast.Add | ast.Mult | ast.Mod) and kinds[0].role != "number":
            return OTHER  # lists and strings
        if binding == BITS:
            return Kind("truth", join(*kinds).shape)
        return join(*kinds)

    def _subscript(self, node: ast.expr) -> list[Kind]:
        """Read what stands between the brackets; its numbers and names are indices."""
        match node:
            case ast.Tuple():
                return [kind for part in node.elts for kind in self._subscript(part)]
            case ast.Slice():
                for part in (node.lower, node.upper, node.step):
                    if part:
                        self._index(part, node)
                return [INDICES]
        return [self._index(node, node)]

    def _index(self, node: ast.expr, parent: ast.AST) -> Kind:
        count = len(self._found.sites)
        numbers = len(self._found.numbers)
        kind = self._expression(node, TERNARY, parent)
        if kind.role != "truth":
            kind = Kind("index", "array" if kind.shape == "array" else "scalar")
            for site in self._found.sites[count:]:
                if site.kind.role == "number" and not isinstance(site.node, ast.Subscript):
                    site.kind = Kind("index", site.kind.shape)
            self._found.numbers[numbers:] = [
                number._replace(structural=True) for number in self._found.numbers[numbers:]
            ]
        return kind

    def _item(self, node: ast.Subscript, base: Kind, indices: list[Kind]) -> Kind:
        role: Role = "index" if base.role == "index" else "number"
        many = sum(kind.shape != "scalar" for kind in indices)
        table = isinstance(node.value, ast.Name) and node.value.id in self._evidence.tables
        if many > 1 or (table and len(indices) == 1):
            return OTHER  # rows of a table: no operand for what has one number an item
        if many:
            return Kind(role, "array")
        if len(indices) > 1 or isinstance(node.value, ast.Attribute):
            return Kind(role, "scalar")
        return Kind(role, "scalar" if base.shape == "array" else "any")

    def _element(self, node: ast.expr, kind: Kind) -> Kind:
        """Kind of what iterating over this gives."""
        match node:
            case ast.Call(func=ast.Name(id="range")):
                return INDEX
            case ast.Name(id=name) if name in self._evidence.tables:
                return Kind("number", "any")
        return Kind(kind.role, "scalar") if kind.role in ("number", "index") else OTHER

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> None:
        kept = self._bound
        for generator in node.generators:
            kind = self._element(generator.iter, self._expression(generator.iter, OR, node))
            names = _targets(generator.target)
            for name in names:
                each = kind if len(names) == 1 else OTHER
                if name in self._evidence.indexing:
                    each = INDEX
                elif name in self._evidence.arithmetic and each.role != "number":
                    each = NUMBER
                self._bound = self._bound | {name: each}
            for test in generator.ifs:
                self._expression(test, OR, node)
        if isinstance(node, ast.DictComp):
            self._expression(node.key, TERNARY, node, fixed=True)
            self._expression(node.value, TERNARY, node)
        else:
            self._expression(node.elt, TERNARY, node)
        self._bound = kept

    def _call(self, node: ast.Call) -> Kind:
        name = _called(node)
        method = isinstance(node.func, ast.Attribute) and not (
            isinstance(node.func.value, ast.Name) and node.func.value.id in self._modules
        )
        count, numbers = len(self._found.sites), len(self._found.numbers)
        kinds: list[Kind] = []
        if method:
            assert isinstance(node.func, ast.Attribute)
            plain = isinstance(node.func.value, ast.Name)
            kinds.append(self._expression(node.func.value, ATOM, node, fixed=plain))
        sized = name in _SIZES
        container = name == "len" or name in _CONTAINERS
        for argument in node.args:
            kinds.append(self._expression(argument, TERNARY, node, fixed=container))
        for keyword in node.keywords:
            if keyword.arg not in _SETTINGS:
                self._expression(keyword.value, TERNARY, keyword)
        if sized:  # counts, not quantities
            for site in self._found.sites[count:]:
                if site.kind.role == "number":
                    site.kind = Kind("index", site.kind.shape)
            self._found.numbers[numbers:] = [
                number._replace(structural=True) for number in self._found.numbers[numbers:]
            ]
        self._note_call(node, name)
        return self._result(node, name, kinds, method)

    def _note_call(self, node: ast.Call, name: str) -> None:
        """Keep the place of the called name: it may be swapped for one of the same family."""
        end = self._span(node.func)[1]
        start = end - len(name)
        if name and self._source[start:end] == name and self._inside(start, end):
            site = Site(
                node.func, start, end, Code(name), ATOM, OTHER, self._statement, node, dict(self._bound), 1
            )
            self._found.calls.append(site)

    def _result(self, node: ast.Call, name: str, kinds: list[Kind], method: bool) -> Kind:
        if name in self._found.functions and isinstance(node.func, ast.Name):
            return self._found.functions[name][1]
        if name == "len":
            return SCALAR
        axis = any(keyword.arg == "axis" for keyword in node.keywords)
        if name in REDUCTIONS:
            several = isinstance(node.func, ast.Name) and len(kinds) > 1  # max(a, b)
            return join(*kinds) if several else ARRAY if axis else SCALAR
        if name in ELEMENTWISE:
            return join(*kinds) if kinds else SCALAR
        if name in _CHOICES:
            return INDICES if axis else INDEX
        if name in _INDICES:
            return INDICES
        if name in _ARRAYS:
            return ARRAY
        if name == "bool":
            return Kind("truth", "scalar")
        if name in _CONTAINERS or name in self._found.functions or (not kinds and not method):
            return SCALAR if name in ("random", "perf_counter", "time") else OTHER
        if method and name in ("random", "uniform", "normal", "gauss", "standard_normal", "exponential"):
            return SCALAR if len(node.args) in (0, 2) else ARRAY
        if name in ("uniform", "gauss", "dist", "atan2", "acos", "asin", "erf", "gamma"):
            return SCALAR
        return OTHER


def _called(node: ast.Call) -> str:
    match node.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def _targets(node: ast.expr) -> list[str]:
    names = [part for part in ast.walk(node) if isinstance(part, ast.Name)]
    return [name.id for name in names if isinstance(name.ctx, ast.Store)]


def _binding_only(statement: Statement) -> bool:
    match statement.node:
        case ast.Assign(targets=targets):
            return all(isinstance(target, ast.Name | ast.Tuple) for target in targets)
        case ast.AugAssign(target=ast.Name()) | ast.AnnAssign(target=ast.Name()):
            return True
    return False


def _mark_live(scope: Scope) -> None:
    """Find the assignments of a function that nothing reads, through others of their kind too."""
    bindings = [statement for statement in scope.statements if _binding_only(statement)]
    read: set[str] = set()
    for statement in scope.statements:
        if not _binding_only(statement):
            read |= statement.reads
    for statement in bindings:
        statement.live = False
    grown = True
    while grown:
        grown = False
        for statement in bindings:
            names = statement.binds or (statement.simple_target,)
            if not statement.live and not read.isdisjoint(names):
                statement.live = grown = True
                read |= statement.reads
