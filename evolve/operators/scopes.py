"""Which names a program binds where, statement by statement.

An operator may use a name where it is certainly bound, and should leave alone what only binds names that
nothing reads.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass, field

from evolve.operators.kinds import Kind
from evolve.operators.nodes import nodes


@dataclass(eq=False, slots=True)
class Scope:
    """A module, class or function: what its names seem to be."""

    name: str
    parent: Scope | None
    kinds: dict[str, Kind] = field(default_factory=dict)
    returns: Kind | None = None

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
    """A statement: its place, its neighbours, what it binds.

    It knows who is before and around it, and nobody knows it back: what nobody asks for any more is free at
    once, without the garbage collector (which a long run lets look at nothing twice).
    """

    node: ast.stmt
    scope: Scope
    previous: Statement | None  # in its block
    owner: Statement | None  # the compound statement around its block
    line: int  # offset where its first line starts
    end: int  # offset behind its last line, newline included
    whole: bool  # nothing else on its lines, and all of them may change
    binds: tuple[str, ...] = ()  # names that are certainly bound after it
    inside: tuple[str, ...] = ()  # names that it binds for its own block: loop variables, parameters
    reads: frozenset[str] = frozenset()
    alone: bool = False  # in its block
    live: bool = True  # False: it only binds names that nothing reads

    def earlier(self) -> list[Statement]:
        """Its block up to it, the nearest first."""
        found, statement = [], self.previous
        while statement:
            found.append(statement)
            statement = statement.previous
        return found

    def visible(self) -> list[str]:
        """Names that are certainly bound when this statement starts, innermost first."""
        names: dict[str, None] = {}
        statement: Statement | None = self
        while statement:
            for sibling in reversed(statement.earlier()):
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

    @property
    def only_binds(self) -> bool:
        """Whether it does nothing but bind names."""
        match self.node:
            case ast.Assign(targets=targets):
                return all(isinstance(target, ast.Name | ast.Tuple) for target in targets)
            case ast.AugAssign(target=ast.Name()) | ast.AnnAssign(target=ast.Name()):
                return True
        return False


def names_read(parts: Sequence[ast.AST]) -> frozenset[str]:
    """Names that these nodes load."""
    return frozenset([n.id for n in parts if type(n) is ast.Name and type(n.ctx) is ast.Load])


def names_stored(node: ast.expr) -> tuple[str, ...]:
    """Names that a target of an assignment binds, in order of breadth."""
    names = [part for part in nodes(node) if isinstance(part, ast.Name)]
    return tuple(name.id for name in names if isinstance(name.ctx, ast.Store))


def free_names(node: ast.AST) -> frozenset[str]:
    """Names that it reads and does not bind itself, as comprehensions and lambdas do."""
    parts = nodes(node)
    own = {n.id for n in parts if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)}
    return names_read(parts) - own - {n.arg for n in parts if isinstance(n, ast.arg)}


def mark_live(statements: Sequence[Statement]) -> None:
    """Find the assignments of a function that nothing reads, through others of their kind too.

    `statements`: the function's, at any depth, those of functions and classes in it apart.
    """
    waiting, read = [], set[str]()
    for statement in statements:
        statement.live = not statement.only_binds
        if statement.live:
            read |= statement.reads
        else:
            waiting.append(statement)
    grown = True
    while grown:
        grown = False
        for statement in waiting:
            names = statement.binds or (statement.simple_target,)
            if not statement.live and not read.isdisjoint(names):
                statement.live = grown = True
                read |= statement.reads
