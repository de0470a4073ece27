"""Two parents: pieces of the second go into the first, where their names allow."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Collection, Sequence

import numpy as np

from evolve.operators.analysis import Analysis, before, material
from evolve.operators.expressions import coefficient, pick
from evolve.operators.scopes import Statement, free_names
from evolve.operators.splice import ADD, MULTIPLY, Change, Code, Edit, child, no_child, number, quote
from evolve.operators.territory import Territory
from evolve.types import Parent, Proposal, Trial

_TRIES = 12


class Crossover:
    """Transplants a piece of the second parent into the first, with the locals that the piece needs."""

    name = "crossover"
    arity = 2
    prompt_bytes = 0

    def __init__(self, territory: Territory) -> None:
        self._territory = territory

    def propose(self, parents: Sequence[Parent], rng: np.random.Generator) -> Proposal:
        """Make one child; without one after several tries, a proposal that says so."""
        files = parents[0].variant.files
        found = material(files, self._territory)
        other = material(parents[1].variant.files, self._territory)
        paths = [path for path in found if path in other]
        if not paths:
            return no_child("no file that this operator can read in both parents")
        for _ in range(_TRIES):
            path = pick(rng, paths)
            change = _cross(found[path], other[path], rng)
            if change and (made := child(files, path, found[path].source, [change], self._territory)):
                return made
        return no_child(f"no child that compiles in {_TRIES} tries")

    def tell(self, trial: Trial) -> None:
        """Nothing is learned."""


def _cross(first: Analysis, second: Analysis, rng: np.random.Generator) -> Change | None:
    draw = rng.random()
    if draw < 0.25:
        return _blend(first, second, rng) or _expression(first, second, rng)
    if draw < 0.4:
        return _assignment(first, second, rng)
    if draw < 0.45:
        return _function(first, second, rng)
    return _expression(first, second, rng)


def _blend(first: Analysis, second: Analysis, rng: np.random.Generator) -> Change | None:
    """Numbers moved along the line through both parents, where nothing but numbers tells them apart."""
    ones, others = ([n for n in parent.numbers if not n.structural] for parent in (first, second))
    if len(ones) != len(others) or _bare(first) != _bare(second):
        return None
    far = float(rng.normal(0.7, 0.7))  # 0: the first, 1: the second
    edits, words = [], []
    for one, other in zip(ones, others, strict=True):
        if one.value == other.value or rng.random() < 0.3:
            continue
        value = one.value + far * (other.value - one.value)
        code = number(round(value) if isinstance(one.value, int) and isinstance(other.value, int) else value)
        edits.append(Edit(one.start, one.end, code.fit(one.needs)))
        words.append(f"{one.value} to {code.text}")
    return Change(tuple(edits), "numbers of both parents: " + ", ".join(words[:6])) if edits else None


def _bare(analysis: Analysis) -> str:
    parts, end = [], 0
    for literal in sorted(analysis.numbers):
        if not literal.structural:
            parts.append(analysis.source[end : literal.start])
            end = literal.end
    return "\0".join([*parts, analysis.source[end:]])


def _expression(first: Analysis, second: Analysis, rng: np.random.Generator) -> Change | None:
    """An expression of the second in place of one of the first, or added to it."""
    donors = [site for site in second.sites if site.kind.role in ("number", "truth") and site.size > 1]
    if not donors:
        return None
    donor = pick(rng, donors)
    sites = [
        site
        for site in first.sites
        if site.kind == donor.kind
        and site.code.text != donor.code.text
        and not isinstance(site.node, ast.Constant)
    ]
    same = [site for site in sites if site.where == donor.where]
    if same and rng.random() < 0.6:
        sites = same
    if not sites:
        return None
    site = pick(rng, sites)
    lines = _bindings(free_names(donor.node), donor.statement, set(site.names()))
    if lines is None or (lines and (site.bound or not site.statement.whole)):
        return None
    code = donor.code
    if donor.kind.role == "number" and rng.random() < 0.5:
        share = number(coefficient(rng)).text
        code = Code(f"{site.code.fit(ADD)} + {share} * {donor.code.fit(MULTIPLY + 1)}", ADD)
    edits = [before(first, site.statement, line) for line in lines]
    return Change(
        (*_joined(edits), Edit(site.start, site.end, code.fit(site.needs))),
        f"{site.where}: {quote(site.code.text)} became {quote(code.text)} with the other parent",
    )


def _assignment(first: Analysis, second: Analysis, rng: np.random.Generator) -> Change | None:
    """An assignment of the second, in place of the first's to the same name or before that name is read."""
    donors = [s for s in second.statements if s.whole and s.live and s.scope.parent and s.simple_target]
    if not donors:
        return None
    donor = pick(rng, donors)
    name, text = donor.simple_target, ast.unparse(donor.node)
    assert name is not None
    places = [
        s
        for s in first.statements
        if s.whole and s.scope.name == donor.scope.name and (s.simple_target == name or name in s.reads)
    ]
    if not places:
        return None
    place = pick(rng, places)
    lines = _bindings(donor.reads, donor, set(place.visible()))
    if lines is None:
        return None
    edits = _joined([before(first, place, line) for line in [*lines, text]])
    if place.simple_target == name and rng.random() < 0.7:
        edits = (edits[0]._replace(end=place.end),)
    return Change(edits, f"{place.where}: took {quote(text)} from the other parent")


def _function(first: Analysis, second: Analysis, rng: np.random.Generator) -> Change | None:
    """A function of the second in place of the first's of that name, where it is not all that there is."""
    ours, theirs = (_functions(parent) for parent in (first, second))
    names = [
        name for name in ours if name in theirs and _lines(first, ours[name]) != _lines(second, theirs[name])
    ]
    if len(ours) < 2 or not names:
        return None
    name = pick(rng, names)
    place = ours[name]
    text = _lines(second, theirs[name])
    return Change((Edit(place.line, place.end, text),), f"{name}: the other parent's function")


def _functions(analysis: Analysis) -> dict[str, Statement]:
    defined = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {
        s.node.name: s
        for s in analysis.statements
        if isinstance(s.node, defined) and s.scope.parent is None and s.whole
    }


def _lines(analysis: Analysis, statement: Statement) -> str:
    return analysis.source[statement.line : statement.end]


def _bindings(names: Collection[str], donor: Statement, known: set[str]) -> list[str] | None:
    """Lines of the donor's block that bind the names that are not known; None: some cannot be had."""
    missing = {name for name in names if name not in known and not hasattr(builtins, name)}
    lines: list[str] = []
    for sibling in donor.earlier():
        if sibling.simple_target in missing:
            missing.discard(sibling.simple_target)
            missing |= {name for name in sibling.reads if name not in known and not hasattr(builtins, name)}
            lines.append(ast.unparse(sibling.node))
    return None if missing else lines[::-1]


def _joined(edits: Sequence[Edit]) -> tuple[Edit, ...]:
    """Lines before the same statement as one edit, in order."""
    if not edits:
        return ()
    return (edits[0]._replace(text="".join(edit.text for edit in edits)),)
