"""Evolve a program, prove that it is better, show how it got there.

The public names are resolved on first use (PEP 562): a worker that needs a type loads no loop.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evolve.loop import search as search
    from evolve.types import Evaluation as Evaluation
    from evolve.types import Fitness as Fitness
    from evolve.types import Gate as Gate
    from evolve.types import Operator as Operator
    from evolve.types import Population as Population
    from evolve.types import Sandbox as Sandbox
    from evolve.types import Trial as Trial
    from evolve.types import Variant as Variant
    from fitness.problem import Problem as Problem

_HOMES = {
    "search": "evolve.loop",
    "Problem": "fitness.problem",
    "Variant": "evolve.types",
    "Evaluation": "evolve.types",
    "Trial": "evolve.types",
    "Operator": "evolve.types",
    "Population": "evolve.types",
    "Fitness": "evolve.types",
    "Sandbox": "evolve.types",
    "Gate": "evolve.types",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
