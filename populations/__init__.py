"""The population in git (ledger, lineage) and who breeds."""

from __future__ import annotations

from collections.abc import Callable

from evolve.types import Population
from populations.baselines import BestOfN, HillClimb, Random
from populations.elite import Elite
from populations.families import Families
from populations.islands import Islands
from populations.named import named
from populations.pareto import Pareto

KNOWN: dict[str, Callable[[], Population]] = {
    "elite": Elite,
    "pareto": Pareto,
    "islands": Islands,
    "families": Families,
    "best-of-n": BestOfN,
    "random": Random,
    "hill-climb": HillClimb,
}


def create(name: str) -> Population:
    """A population by name or `package.module:Class`. Raises BadInput where there is none."""
    population: Population = named("population", name, KNOWN)()
    return population
