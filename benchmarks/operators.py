"""CPU milliseconds that a child costs, by operator: with a parent that is known, and with a new one."""

from __future__ import annotations

import time

import numpy as np

from evolve import operators
from evolve.types import Operator, Parent, Trial, Variant
from fitness.problem import load

CHILDREN = 300


def main() -> None:
    problem = load("tsp_constructive")
    source = (
        problem.seed_files["program.py"].decode().replace("-to_current", "0.3 * to_home - 1.5 * to_current")
    )
    print(f"{'operator':10} {'known parent':>14} {'new parent':>12}")
    for name, operator in operators.create(["syntax", "crossover", "tune"], problem).items():
        known, new = (_milliseconds(operator, source, fresh) for fresh in (False, True))
        print(f"{name:10} {known:11.2f} ms {new:9.2f} ms")


def _milliseconds(operator: Operator, source: str, fresh: bool) -> float:
    def parents(number: int) -> list[Parent]:
        text = source.replace("1.5 *", f"1.5{number} *") if fresh else source
        variant = Variant(f"{number}-abcdef", {"program.py": text.encode()})
        return [
            Parent(variant, Trial(0, 0, "seed", (), variant.id, "evaluated", 1.0, (1.0,)))
        ] * operator.arity

    operator.propose(parents(0), np.random.default_rng(0))  # imports what is imported late
    made = [parents(number) for number in range(1, CHILDREN + 1)]
    started = time.process_time()
    for number, each in enumerate(made):
        operator.propose(each, np.random.default_rng(number))
    return 1000 * (time.process_time() - started) / CHILDREN


if __name__ == "__main__":
    main()
