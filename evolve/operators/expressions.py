"""New expressions from the names in scope and the vocabulary of the program."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from evolve.operators.analysis import Analysis
from evolve.operators.kinds import Kind, Shape
from evolve.operators.scopes import Statement, free_names
from evolve.operators.splice import ADD, ATOM, BITS, COMPARE, MULTIPLY, POWER, TERNARY, Code, number

T = TypeVar("T")

# Elementwise functions, in forms that are defined for every number.
_NUMPY = (
    "{np}.sqrt({np}.abs({x}))", "{np}.log1p({np}.abs({x}))", "{np}.exp(-{np}.abs({x}))", "{np}.tanh({x})",
    "{np}.abs({x})", "{np}.square({x})",
)  # fmt: skip
_MATH = ("{m}.sqrt(abs({x}))", "{m}.log1p(abs({x}))", "{m}.exp(-abs({x}))", "{m}.tanh({x})", "abs({x})")
_PLAIN = ("abs({x})", "abs({x}) ** 0.5")
_REDUCED = ("{x}.mean()", "{x}.min()", "{x}.max()", "{x}.std()")


def pick(rng: np.random.Generator, items: Sequence[T]) -> T:
    """One of the items, all alike."""
    return items[int(rng.integers(len(items)))]


def coefficient(rng: np.random.Generator) -> float:
    """A positive number of no known scale: mostly between a tenth and two."""
    return float(f"{np.exp(rng.normal(-0.9, 1.0)):.2g}")


class Expressions:
    """Draws expressions for a place: the names bound there, and what the program does with them elsewhere."""

    def __init__(
        self,
        analysis: Analysis,
        statement: Statement,
        bound: dict[str, Kind],
        rng: np.random.Generator,
    ) -> None:
        self._analysis, self._rng = analysis, rng
        self._names = statement.names() | bound

    def names(self, role: str, *shapes: Shape) -> list[str]:
        """Names of this role and one of these shapes."""
        return [name for name, kind in self._names.items() if kind.role == role and kind.shape in shapes]

    def number(self, shape: Shape, depth: int = 0) -> Code | None:
        """A number of this shape; None where the place has no material."""
        rng = self._rng
        draw = rng.random() + 0.25 * depth  # deeper is simpler
        if draw < 0.15 and (found := self._borrowed(shape)):
            return found
        if draw < 0.35:
            left, right = self.number(shape, depth + 1), self._partner(shape, depth + 1)
            if left and right:
                return self.combine(left, right)
        if draw < 0.55 and (inner := self.number(shape, depth + 1)):
            return self.wrap(inner, shape)
        arrays = self.names("number", "array") if shape == "scalar" and self._analysis.numpy else []
        if draw < 0.65 and arrays:
            return Code(pick(rng, _REDUCED).format(x=pick(rng, arrays)))
        return self._name(shape)

    def combine(self, left: Code, right: Code) -> Code:
        """Two numbers by an operator; a divisor is kept from zero."""
        match int(self._rng.integers(6)):
            case 0:
                return Code(f"{left.fit(ADD)} + {right.fit(MULTIPLY)}", ADD)
            case 1:
                return Code(f"{left.fit(ADD)} - {right.fit(MULTIPLY)}", ADD)
            case 2 | 3:
                return Code(f"{left.fit(MULTIPLY)} * {right.fit(MULTIPLY + 1)}", MULTIPLY)
            case 4:
                small = number(coefficient(self._rng))
                return Code(f"{left.fit(MULTIPLY)} / ({small.text} + abs({right.text}))", MULTIPLY)
        low = pick(self._rng, ("min", "max"))
        if np_ := self._analysis.numpy:
            return Code(f"{np_}.{low}imum({left.fit(TERNARY)}, {right.fit(TERNARY)})")
        return Code(f"{left.fit(MULTIPLY)} * {right.fit(MULTIPLY + 1)}", MULTIPLY)

    def wrap(self, inner: Code, shape: Shape) -> Code:
        """A function of a number."""
        rng, found = self._rng, self._analysis
        if rng.random() < 0.2:
            return Code(f"{inner.fit(POWER + 1)} ** 2", POWER)
        if found.numpy:
            return Code(pick(rng, _NUMPY).format(np=found.numpy, x=inner.fit(TERNARY)))
        if found.math and shape == "scalar":
            return Code(pick(rng, _MATH).format(m=found.math, x=inner.fit(TERNARY)))
        text = pick(rng, _PLAIN).format(x=inner.fit(TERNARY))
        return Code(text, POWER if "**" in text else ATOM)

    def scaled(self, code: Code) -> Code:
        """A number with a factor before it, mostly."""
        if self._rng.random() < 0.2:
            return code
        return Code(f"{number(coefficient(self._rng)).text} * {code.fit(MULTIPLY + 1)}", MULTIPLY)

    def truth(self, shape: Shape) -> Code | None:
        """A comparison; for the shape `array` one an item, else one alone."""
        left = self._name("scalar" if shape == "any" else shape)
        if left is None:
            return None
        rng = self._rng
        draw = rng.random()
        right: Code | None
        if draw < 0.35:
            right = number(coefficient(rng))
        elif draw < 0.6 and shape == "array":
            right = Code(f"{left.text}.mean()")
        else:
            other = self._name("scalar" if shape == "any" else shape)
            right = self.scaled(other) if other else number(coefficient(rng))
        return Code(f"{left.fit(BITS)} {pick(rng, ('<', '>'))} {right.fit(BITS)}", COMPARE)

    def _partner(self, shape: Shape, depth: int) -> Code | None:
        if shape == "array" and self._rng.random() < 0.4:
            return self.number("scalar", depth)
        return self.number(shape, depth)

    def _name(self, shape: Shape) -> Code | None:
        match shape:
            case "scalar":
                names = self.names("number", "scalar")
            case "array":
                names = self.names("number", "array") or self.names("number", "any")
            case "any":
                names = self.names("number", "array", "any", "scalar")
        if names:
            return Code(pick(self._rng, names))
        return number(coefficient(self._rng)) if shape == "scalar" else None

    def _borrowed(self, shape: Shape) -> Code | None:
        """An expression that stands elsewhere, its names bound here."""
        sites = self._analysis.sites
        for _ in range(4):
            site = pick(self._rng, sites)
            if site.kind == Kind("number", shape) and 1 < site.size < 12 and self.knows(site.node):
                return site.code
        return None

    def knows(self, node: ast.AST) -> bool:
        """Whether every name that an expression reads is bound here."""
        return all(name in self._names or hasattr(builtins, name) for name in free_names(node))
