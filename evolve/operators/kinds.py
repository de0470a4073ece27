"""What the values of a program seem to be: numbers, truths or indices, alone or many of them.

Nothing is run and no type is inferred: kinds are a guess from usage (what is indexed, reduced, compared) and
from the vocabulary of Python and numpy. A wrong guess costs a failed child.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Literal, NamedTuple

from evolve.operators.splice import BITS, strength

Role = Literal["number", "truth", "index", "other"]
Shape = Literal["scalar", "array", "any"]


class Kind(NamedTuple):
    """What a value seems to be. `any`: a scalar and an array are both plausible."""

    role: Role
    shape: Shape


SCALAR, ARRAY, NUMBER = Kind("number", "scalar"), Kind("number", "array"), Kind("number", "any")
INDEX, INDICES, OTHER = Kind("index", "scalar"), Kind("index", "array"), Kind("other", "any")
TRUTH = Kind("truth", "scalar")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# What functions and methods of these names give, whichever module they come from.
_ELEMENTWISE = _words(
    """abs absolute fabs sqrt exp log log1p log2 log10 expm1 tanh sin cos tan arctan square sign cbrt negative
    reciprocal maximum minimum power clip hypot arctan2 add subtract multiply divide mod floor ceil rint round
    float_power where nan_to_num pow cumsum cumprod sort diff roll float asarray copy astype full_like"""
)
_REDUCTIONS = _words("mean max min sum std var median prod average percentile quantile norm item dot")
_CHOICES = _words("argmin argmax randrange randint integers index int")
_ARRAYS = _words("zeros ones full empty linspace array zeros_like ones_like empty_like ravel flatten")
_INDICES = _words("arange argsort nonzero flatnonzero argpartition argwhere permutation")
_RANDOM = _words("random uniform normal gauss standard_normal exponential")  # as methods of a generator
_SCALARS = _words("uniform gauss dist atan2 acos asin erf gamma")
CONTAINERS = _words("list tuple set dict sorted reversed enumerate zip map filter frozenset ix_")
SIZES = _words("range zeros ones empty arange")  # their arguments are counts
_TAKE_MANY = CONTAINERS | _REDUCTIONS | _CHOICES | {"len"}  # their one argument is a collection
SETTINGS = _words("axis dtype out shape size key keepdims ndim order side kind seed copy")  # keywords


@cache
def join(*kinds: Kind) -> Kind:
    """Kind of what numeric operands give together."""
    shapes = {kind.shape for kind in kinds}
    shape: Shape = "array" if "array" in shapes else "any" if "any" in shapes else "scalar"
    return Kind("number", shape)


def operated(node: ast.BinOp, left: Kind, right: Kind) -> Kind:
    """Kind of what an arithmetic or bitwise operator gives for operands of these kinds."""
    shape = join(left, right).shape
    if left.role == right.role == "index" and isinstance(node.op, ast.Add | ast.Sub):
        return Kind("index", shape)
    plain = OTHER not in (left, right) or left.role == "number"
    if not plain and isinstance(node.op, ast.Add | ast.Mult | ast.Mod):
        return OTHER  # lists and strings
    return Kind("truth" if strength(node) == BITS else "number", shape)


def called(node: ast.Call) -> str:
    """The name that is called, without what it is an attribute of; empty where there is none."""
    match node.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def result(node: ast.Call, operands: Sequence[Kind], method: bool, own: Mapping[str, Kind]) -> Kind:
    """Kind of what a call gives.

    The operands are the arguments, before them the object of a method; `own`: what the source's own functions
    return.
    """
    name = called(node)
    if name in own and isinstance(node.func, ast.Name):
        return own[name]
    if name == "len":
        return SCALAR
    axis = any(keyword.arg == "axis" for keyword in node.keywords)
    if name in _REDUCTIONS:
        several = isinstance(node.func, ast.Name) and len(operands) > 1  # max(a, b)
        return join(*operands) if several else ARRAY if axis else SCALAR
    if name in _ELEMENTWISE:
        return join(*operands)
    if name in _CHOICES:
        return INDICES if axis else INDEX
    if name in _INDICES:
        return INDICES
    if name in _ARRAYS:
        return ARRAY
    if name == "bool":
        return TRUTH
    if name in CONTAINERS or name in own or not operands:
        return SCALAR if name in ("random", "perf_counter", "time") else OTHER
    if method and name in _RANDOM:
        return SCALAR if len(node.args) in (0, 2) else ARRAY
    return SCALAR if name in _SCALARS else OTHER


_TELLING = frozenset(  # nodes that tell how a name is used
    (ast.Subscript, ast.Call, ast.For, ast.AsyncFor, ast.comprehension, ast.BinOp, ast.UnaryOp, ast.Compare)
)


class Usage:
    """How the body of a function (or a lambda, a module) uses its names, and what they seem to be by that."""

    def __init__(self, body: Sequence[ast.AST]) -> None:
        """Of its nodes, in any order."""
        self._indexing: set[str] = set()  # stand between brackets
        self._collections: set[str] = set()
        self._tables: set[str] = set()  # indexed by tuples, or twice
        self._arithmetic: set[str] = set()
        for node in body:
            if type(node) in _TELLING:
                self._note(node)

    def parameter(self, argument: ast.arg) -> Kind:
        """Kind of a parameter."""
        name = argument.arg
        note = ast.unparse(argument.annotation) if argument.annotation else ""
        many = name in self._collections or bool(re.search(r"array|list|sequence|tuple", note, re.IGNORECASE))
        if name in self._indexing:
            return INDICES if many else INDEX
        if name in self._tables:
            return OTHER
        if note in ("int", "float"):
            return SCALAR
        if name in self._arithmetic:
            return ARRAY if many else NUMBER
        if "array" in note and name not in self._collections:
            return ARRAY
        return OTHER

    def assigned(self, name: str, kind: Kind) -> Kind:
        """Kind of a name that a value of this kind is assigned to."""
        if name in self._tables:
            return OTHER
        many = name in self._collections
        if name in self._indexing and kind.role in ("number", "other"):
            return INDICES if many else INDEX
        if kind == OTHER and name in self._arithmetic:
            return ARRAY if many else NUMBER
        return kind

    def iterated(self, name: str, kind: Kind) -> Kind:
        """Kind of a comprehension's name that takes elements of this kind."""
        if name in self._indexing:
            return INDEX
        if name in self._arithmetic and kind.role != "number":
            return NUMBER
        return kind

    def element(self, node: ast.expr, kind: Kind) -> Kind:
        """Kind of what iterating over an expression of this kind gives."""
        match node:
            case ast.Call(func=ast.Name(id="range")):
                return INDEX
            case ast.Name(id=name) if name in self._tables:
                return NUMBER
        return Kind(kind.role, "scalar") if kind.role in ("number", "index") else OTHER

    def item(self, node: ast.Subscript, base: Kind, indices: Sequence[Kind]) -> Kind:
        """Kind of what indexing a value of the kind `base` gives."""
        role: Role = "index" if base.role == "index" else "number"
        many = sum(kind.shape != "scalar" for kind in indices)
        table = isinstance(node.value, ast.Name) and node.value.id in self._tables
        if many > 1 or (table and len(indices) == 1):
            return OTHER  # rows of a table: no operand for what has one number an item
        if many:
            return Kind(role, "array")
        if len(indices) > 1 or isinstance(node.value, ast.Attribute):
            return Kind(role, "scalar")
        return Kind(role, "scalar" if base.shape == "array" else "any")

    def _note(self, node: ast.AST) -> None:
        match node:
            case ast.Subscript():
                self._note_index(node.slice)
                match node.value:
                    case ast.Name(id=name):
                        self._collections.add(name)
                        if isinstance(node.slice, ast.Tuple):
                            self._tables.add(name)
                    case ast.Subscript(value=ast.Name(id=name)):
                        self._tables.add(name)
            case ast.Call():
                self._note_call(node, called(node))
            case ast.For() | ast.AsyncFor() | ast.comprehension():
                self._add(self._collections, node.iter)
            case ast.BinOp():
                self._add(self._arithmetic, node.left, node.right)
            case ast.UnaryOp(op=ast.USub()):
                self._add(self._arithmetic, node.operand)
            case ast.Compare(ops=[ast.Lt() | ast.LtE() | ast.Gt() | ast.GtE(), *_]):
                self._add(self._arithmetic, node.left, *node.comparators)

    def _note_call(self, node: ast.Call, name: str) -> None:
        if name == "ix_" or name in SIZES:
            self._add(self._indexing, *node.args)
        if name in _TAKE_MANY:
            if isinstance(node.func, ast.Attribute) and not node.args:
                self._add(self._collections, node.func.value)
            if len(node.args) == 1:
                self._add(self._collections, *node.args)
        elif name in _ELEMENTWISE:
            self._add(self._arithmetic, *node.args)

    def _note_index(self, node: ast.expr | None) -> None:
        match node:
            case ast.Name(id=name):
                self._indexing.add(name)
            case ast.Tuple(elts=parts):
                for part in parts:
                    self._note_index(part)
            case ast.BinOp(left=left, right=right):
                self._note_index(left)
                self._note_index(right)
            case ast.Slice():
                for edge in (node.lower, node.upper, node.step):
                    self._note_index(edge)

    @staticmethod
    def _add(names: set[str], *nodes: ast.expr) -> None:
        names.update(node.id for node in nodes if isinstance(node, ast.Name))
