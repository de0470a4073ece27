"""The workhorse without a model: small random edits of a program's syntax, made where they are plausible."""

from __future__ import annotations

import ast
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from evolve.operators.analysis import Analysis, before, material
from evolve.operators.expressions import Expressions, coefficient, pick
from evolve.operators.kinds import Kind
from evolve.operators.scopes import Statement
from evolve.operators.sites import Number, Site
from evolve.operators.splice import (
    ADD,
    MULTIPLY,
    NOT,
    OR,
    POWER,
    TERNARY,
    UNARY,
    Change,
    Code,
    Edit,
    child,
    no_child,
    number,
    quote,
)
from evolve.operators.territory import Territory
from evolve.types import Parent, Proposal, Trial

_TRIES = 12
_EDITS = np.cumsum((0.78, 0.15, 0.05, 0.02))[:-1].tolist()  # share of children with at most 1, 2, 3 edits
_WITH_OPERATOR = (ast.BinOp, ast.Compare, ast.BoolOp)
_WITH_PARTS = (ast.BinOp, ast.UnaryOp, ast.Call, ast.IfExp, ast.BoolOp)
_COMPARISON = ("<", "<=", ">", ">=", "==", "!=")
_SIGNS: dict[type[ast.AST], str] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%", ast.Pow: "**",
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=",
    ast.And: "and", ast.Or: "or",
}  # fmt: skip
_STRENGTHS = {"+": ADD, "-": ADD, "*": MULTIPLY, "/": MULTIPLY, "//": MULTIPLY, "%": MULTIPLY}
_FAMILIES = tuple(
    tuple(family.split())
    for family in (
        "mean min max sum std",
        "maximum minimum",
        "sqrt log1p tanh square exp abs sin cos",
        "floor ceil rint",
        "argmin argmax",
    )
)


class Syntax:
    """Changes constants, operators, expressions, statements of one parent: one edit mostly, up to four."""

    name = "syntax"
    arity = 1
    prompt_bytes = 0

    def __init__(self, territory: Territory) -> None:
        self._territory = territory

    def propose(self, parents: Sequence[Parent], rng: np.random.Generator) -> Proposal:
        """Make one child; without one after several tries, a proposal that says so."""
        files = parents[0].variant.files
        found = material(files, self._territory)
        if not found:
            return no_child("no editable Python that this operator can read")
        paths = list(found)
        sizes = np.array([len(found[path].sites) for path in paths], dtype=float)
        for _ in range(_TRIES):
            path = paths[int(rng.choice(len(paths), p=sizes / sizes.sum()))] if len(paths) > 1 else paths[0]
            wanted = 1 + bisect_right(_EDITS, rng.random())
            made = [change for _ in range(wanted) if (change := mutate(found[path], rng))]
            if made and (proposal := child(files, path, found[path].source, made, self._territory)):
                return proposal
        return no_child(f"no child that compiles in {_TRIES} tries")

    def tell(self, trial: Trial) -> None:
        """Nothing is learned."""


def mutate(analysis: Analysis, rng: np.random.Generator) -> Change | None:
    """One random edit; None where the kind that was drawn has no place here."""
    return _MUTATIONS[bisect_right(_CUMULATED, rng.random())].make(analysis, rng)


# ------------------------------------------------------------------------------------------- expressions


def _constant(analysis: Analysis, rng: np.random.Generator) -> Change | None:
    """Another number: a step of any size, the sign, an integer more or less."""
    if not analysis.numbers:
        return None
    literal = pick(rng, analysis.numbers)
    new = _moved(literal, rng)
    old = analysis.source[literal.start : literal.end]
    text = number(new).fit(literal.needs)
    return _replace(literal.site, literal.start, literal.end, old, text)


def _moved(literal: Number, rng: np.random.Generator) -> float:
    value, draw = literal.value, rng.random()
    if isinstance(value, int) and (literal.structural or draw < 0.3):
        step = 1 + int(rng.geometric(0.6)) - 1
        return value + (step if rng.random() < 0.5 else -step) if draw < 0.8 else max(1, value * 2)
    if value == 0 or draw > 0.95:
        return coefficient(rng) * (1 if rng.random() < 0.5 else -1)
    if draw > 0.88:
        return -value
    scale = 0.15 if draw < 0.5 else 0.6
    return value * float(np.exp(min(50.0, scale * rng.standard_t(3))))  # heavy tails: it would overflow


def _operator(analysis: Analysis, rng: np.random.Generator) -> Change | None:
    """Another arithmetic, comparison or boolean operator."""
    site = _draw(analysis, rng, lambda s: isinstance(s.node, _WITH_OPERATOR))
    if not site:
        return None
    node = site.node
    assert isinstance(node, _WITH_OPERATOR)
    op = node.ops[0] if isinstance(node, ast.Compare) else node.op
    old = _SIGNS.get(type(op))
    left, right = _operands(node)
    one, other = analysis.site(left), analysis.site(right)
    if not (old and one and other):
        return None
    if isinstance(node, ast.Compare):
        new = pick(rng, [sign for sign in _COMPARISON if sign != old])
    elif isinstance(node, ast.BoolOp):
        new = "or" if old == "and" else "and"
    else:
        near = {"+": "-", "-": "+", "*": "/", "/": "*"}.get(old, "*")
        new = near if rng.random() < 0.75 else pick(rng, [sign for sign in "+-*/" if sign != old])
    between = analysis.source[one.end : other.start]
    if between.count(old) != 1:
        return None
    if isinstance(node, ast.BinOp):  # the new operator may bind otherwise than the old one
        binding = _STRENGTHS[new]
        text = f"{one.code.fit(binding)} {new} {other.code.fit(binding + 1)}"
        return _put(site, Code(text, binding))
    start = one.end + between.index(old)
    edit = Edit(start, start + len(old), new)
    return Change((edit,), f"{site.where}: {quote(site.code.text)} with {new} for {old}")


def _swap_operands(analysis: Analysis, rng: np.random.Generator) -> Change | None:
    site = _draw(
        analysis, rng, lambda s: isinstance(s.node, ast.BinOp) and isinstance(s.node.op, ast.Sub | ast.Div)
    )
    if not site:
        return None
    assert isinstance(site.node, ast.BinOp)
    one, other = analysis.site(site.node.left), analysis.site(site.node.right)
    if not (one and other):
        return None
    binding = site.code.strength
    sign = _SIGNS[type(site.node.op)]
    text = f"{other.code.fit(binding)} {sign} {one.code.fit(binding + 1)}"
    return _put(site, Code(text, binding))


def _substitute(analysis: Analysis, rng: np.random.Generator) -> Change | None:
    """Another expression of the same kind in place of one."""
    site = _draw(analysis, rng, lambda s: s.kind.role in ("number", "truth", "index") and s.size < 12)
    if not site:
        return None
    build = Expressions(analysis, site.statement, site.bound, rng)
    code: Code | None
    match site.kind.role:
        case "number":
            code = build.number(site.kind.shape, depth=int(rng.integers(3)))
            if code and rng.random() < 0.2:
                code = build.scaled(code)
        case "truth":
            code = build.truth(site.kind.shape)
        case _:
            names = build.names("index", site.kind.shape)
            code = Code(pick(rng, names)) if names else None
    return _put(site, code)


def _add_term(analysis: Analysis, rng: np.random.Generator) -> Change | None:
    """`E + c * name`, or `E * (1 + c * name)`."""
    site = _numeric(analysis, rng)
    if not site:
        return None
    build = Expressions(analysis, site.statement, site.bound, rng)
    shape = "scalar" if site.kind.shape == "array" and rng.random() < 0.15 else site.kind.shape
    term = build.number(shape, depth=1 + int(rng.integers(3)))
    if not term:
        return None
    return _put(site, _with_term(site.code, build.scaled(term), rng))


def _with_term(code: Code, term: Code, rng: np.random.Generator) -> Code:
    draw = rng.random()
    if draw < 0.7:
        sign = pick(rng, ("+", "-"))
        return Code(f"{code.fit(ADD)} {sign} {term.fit(MULTIPLY)}", ADD)
    if draw < 0.9:
        sign = pick(rng, ("+", "-"))
        return Code(f"{code.fit(MULTIPLY)} * (1 {sign} {term.fit(MULTIPLY)})", MULTIPLY)
    return Code(f"{code.fit(MULTIPLY)} * {term.fit(MULTIPLY + 1)}", MULTIPLY)


def _scale(analysis: Analysis, rng: np.random.Generator) -> Change | None:
    """`c * E`, `E ** c`."""
    site = _numeric(analysis, rng)
    if not site:
        return None
    if rng.random() < 0.25:
        power = pick(rng, ("2", "0.5", "1.5", "3", "0.8"))
        return _put(site, Code(f"abs({site.code.text}) ** {power}", POWER))
    return _put(site, Code(f"{number(coefficient(rng)).text} * {site.code.fit(MULTIPLY + 1)}", MULTIPLY))


def _wrap(analysis: Analysis, rng: np.random.Generator) -> Change | None:
    """A function around an expression, or an expression combined with another one."""
    site = _numeric(analysis, rng)
    if not site:
        return None
    build = Expressions(analysis, site.statement, site.bound, rng)
    if rng.random() < 0.5:
        return _put(site, build.wrap(site.code, site.kind.shape))
    other = build.number(site.kind.shape, depth=2)
    return _put(site, build.combine(site.code, build.scaled(other)) if other else None)


def _unwrap(analysis: Analysis, rng: np.random.Generator) -> Change | None:
    """One operand or argument in place of the whole."""
    site = _draw(
        analysis,
        rng,
        lambda s: isinstance(s.node, _WITH_PARTS) and s.kind.role in ("number", "truth"),
    )
    if not site:
        return None
    inner = [found for part in _operands(site.node) if (found := analysis.site(part))]
    same = [part for part in inner if _agree(part.kind, site.kind)]
    return _put(site, pick(rng, same).code) if same else None


def _branch(analysis: Analysis, rng: np.random.Generator) -> Change | None:
    """`E if condition else F`, or the same for each item of an array."""
    site = _numeric(analysis, rng)
    if not site:
        return None
    build = Expressions(analysis, site.statement, site.bound, rng)
    shape = site.kind.shape
    other = build.scaled(site.code) if rng.random() < 0.4 else build.number(shape, depth=1)
    each = shape == "array" and analysis.numpy is not None
    test = build.truth("array" if each and rng.random() < 0.7 else "scalar")
    if not (other and test):
        return None
    if each:
        return _put(site, Code(f"{analysis.numpy}.where({test.text}, {site.code.text}, {other.text})"))
    return _put(site, Code(f"{site.code.fit(OR)} if {test.fit(OR)} else {other.fit(TERNARY)}", TERNARY))


def _call(analysis: Analysis, rng: np.random.Generator) -> Change | None:
    """Another function of the same family."""
    if not analysis.calls:
        return None
    site = pick(rng, analysis.calls)
    name = site.code.text
    family = next((family for family in _FAMILIES if name in family), ())
    others = [other for other in family if other != name]
    if not others:
        return None
    return _replace(site, site.start, site.end, name, pick(rng, others))


def _negate(analysis: Analysis, rng: np.random.Generator) -> Change | None:
    """`-E`, `not E`."""
    site = _draw(analysis, rng, lambda s: s.kind.role in ("number", "truth"))
    if not site:
        return None
    if site.kind.role == "truth":
        return _put(site, Code(f"not {site.code.fit(NOT)}", NOT)) if site.kind.shape == "scalar" else None
    return _put(site, Code(f"-{site.code.fit(UNARY)}", UNARY))


# -------------------------------------------------------------------------------------------- statements


def _new_local(analysis: Analysis, rng: np.random.Generator) -> Change | None:
    """A new local before a statement, and a term with it in there."""
    site = _numeric(analysis, rng)
    if not site or site.bound or not site.statement.whole:
        return None
    build = Expressions(analysis, site.statement, site.bound, rng)
    code = build.number(site.kind.shape)
    if not code or code.text.isidentifier():
        return None
    name = analysis.fresh("term")
    changed = _with_term(site.code, build.scaled(Code(name)), rng)
    line = before(analysis, site.statement, f"{name} = {code.text}")
    edits = (line, Edit(site.start, site.end, changed.fit(site.needs)))
    return Change(edits, f"{site.where}: new local {quote(f'{name} = {code.text}')} in {quote(changed.text)}")


def _insert(analysis: Analysis, rng: np.random.Generator) -> Change | None:
    """A statement that changes a local before another statement reads it."""
    statement = _whole(analysis, rng)
    if not statement:
        return None
    build = Expressions(analysis, statement, {}, rng)
    known = statement.names()
    names = sorted(name for name in statement.reads if name in known and known[name].role == "number")
    if not names:
        return None
    name = pick(rng, names)
    kind = known[name]
    term = build.number(kind.shape, depth=1)
    if not term:
        return None
    text = f"{name} = {_with_term(Code(name), build.scaled(term), rng).text}"
    test = build.truth("scalar") if rng.random() < 0.3 else None
    if test:
        text = f"if {test.text}: {text}"
    return Change((before(analysis, statement, text),), f"{statement.where}: inserted {quote(text)}")


def _delete(analysis: Analysis, rng: np.random.Generator) -> Change | None:
    """A statement less, where its names stay bound."""
    statement = _whole(analysis, rng)
    if not statement or statement.alone:
        return None
    if isinstance(statement.node, ast.Return) or set(statement.binds) - set(statement.visible()):
        return None
    edit = Edit(statement.line, statement.end, "")
    return Change((edit,), f"{statement.where}: deleted {quote(_text(analysis, statement))}")


def _move(analysis: Analysis, rng: np.random.Generator) -> Change | None:
    """Two neighbours in the other order."""
    statement = _whole(analysis, rng)
    if not statement:
        return None
    after = next((each for each in analysis.statements if each.previous is statement), None)
    if (
        after is None
        or not after.whole
        or isinstance(after.node, ast.Return)
        or not after.reads.isdisjoint(statement.binds)
    ):
        return None
    first = analysis.source[statement.line : statement.end]
    second = analysis.source[after.line : after.end]
    if not second.endswith(("\n", "\r")) or statement.end != after.line:
        return None
    edit = Edit(statement.line, after.end, second + first)
    return Change((edit,), f"{statement.where}: moved {quote(_text(analysis, statement))} down")


def _duplicate(analysis: Analysis, rng: np.random.Generator) -> Change | None:
    """A statement once more, before a later one."""
    statement, place = _whole(analysis, rng), _whole(analysis, rng)
    if not statement or not place or statement is place or statement.scope is not place.scope:
        return None
    if not isinstance(statement.node, ast.Assign | ast.AugAssign | ast.Expr):
        return None
    if (statement.reads & set(statement.scope.kinds)) - set(place.visible()) - {statement.scope.name}:
        return None
    text = ast.unparse(statement.node)
    return Change((before(analysis, place, text),), f"{place.where}: inserted {quote(text)} once more")


# ----------------------------------------------------------------------------------------------- drawing


def _draw(analysis: Analysis, rng: np.random.Generator, fits: Callable[[Site], bool]) -> Site | None:
    sites = [site for site in analysis.sites if fits(site)]
    return pick(rng, sites) if sites else None


def _numeric(analysis: Analysis, rng: np.random.Generator) -> Site | None:
    """A number that is computed: no literal, index or count."""
    return _draw(analysis, rng, lambda s: s.kind.role == "number" and not isinstance(s.node, ast.Constant))


def _whole(analysis: Analysis, rng: np.random.Generator) -> Statement | None:
    places = [s for s in analysis.statements if s.whole and s.live and s.scope.parent and _simple(s.node)]
    return pick(rng, places) if places else None


def _simple(node: ast.stmt) -> bool:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return False  # a docstring
    return isinstance(
        node, ast.Assign | ast.AugAssign | ast.Expr | ast.Return | ast.If | ast.For | ast.While | ast.Break
    )


def _operands(node: ast.expr) -> list[ast.expr]:
    match node:
        case ast.BinOp():
            return [node.left, node.right]
        case ast.Compare():
            return [node.left, node.comparators[0]]
        case ast.UnaryOp():
            return [node.operand]
        case ast.IfExp():
            return [node.body, node.orelse]
        case ast.BoolOp():
            return list(node.values[:2])
        case ast.Call():
            method = [node.func.value] if isinstance(node.func, ast.Attribute) else []
            return [*node.args, *method]
    return []


def _agree(one: Kind, other: Kind) -> bool:
    return one.role == other.role and (one.shape == other.shape or "any" in (one.shape, other.shape))


def _put(site: Site, code: Code | None) -> Change | None:
    if code is None or code.text == site.code.text:
        return None
    return _replace(site, site.start, site.end, site.code.text, code.fit(site.needs))


def _replace(site: Site, start: int, end: int, old: str, new: str) -> Change:
    return Change((Edit(start, end, new),), f"{site.where}: replaced {quote(old)} by {quote(new)}")


def _text(analysis: Analysis, statement: Statement) -> str:
    return analysis.source[statement.line : statement.end].strip()


class _Mutation(NamedTuple):
    weight: float
    make: Callable[[Analysis, np.random.Generator], Change | None]


_MUTATIONS = (
    _Mutation(18, _constant),
    _Mutation(6, _operator),
    _Mutation(2, _swap_operands),
    _Mutation(14, _substitute),
    _Mutation(22, _add_term),
    _Mutation(5, _scale),
    _Mutation(9, _wrap),
    _Mutation(9, _unwrap),
    _Mutation(5, _branch),
    _Mutation(4, _call),
    _Mutation(2, _negate),
    _Mutation(3, _new_local),
    _Mutation(3, _insert),
    _Mutation(3, _delete),
    _Mutation(1, _move),
    _Mutation(1, _duplicate),
)
_SHARES = np.cumsum([mutation.weight for mutation in _MUTATIONS])[:-1]
_CUMULATED = (_SHARES / sum(mutation.weight for mutation in _MUTATIONS)).tolist()
