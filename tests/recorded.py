"""A small, plausible run, for tests of everything that looks back: the same each time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evolve.types import SCHEMA, EventKind, Files, Json, Variant
from fitness.account import Account
from fitness.intervals import sealed_claim
from fitness.statistics import Duel, Reading
from populations.ledger import GitLedger
from populations.trees import tree_id

SPAN, SD, SEARCH, SEALED, CHECK, N_MAX = 2.0, 0.25, 8, 40, 30, 400
TOML = b"""name = "tours"
claim = "cases"
direction = "minimise"
unit = "mean tour length"
worst = 20.0
range = [0, 20]
difference_range = [-2, 2]
[program]
entry = "program.py:select"
[cases]
search = 8
sealed = 40
"""
SEED = """def select(current, home, unvisited, distances):
    near = distances[current]
    return min(unvisited, key=lambda city: near[city])
"""


@dataclass(frozen=True)
class Child:
    """An attempt of the script: its true mean score, or the failure that it met."""

    parents: tuple[int, ...]
    operator: str
    idea: str
    mean: float | None
    failure: str = ""
    source: str = ""


CHILDREN = (
    Child((0,), "syntax", "near[city] becomes near[city] * 2", 7.0),
    Child((0,), "syntax", "subtract the way home", 6.55, source="near[city] - 0.3 * distances[home][city]"),
    Child((0,), "syntax", "distances[current] becomes distances", None, "crash"),
    Child((0,), "syntax", "min becomes max", 16.2, source="-near[city]"),
    Child((2,), "tune", "0.3 becomes 0.45", 6.56, source="near[city] - 0.45 * distances[home][city]"),
    Child((2,), "syntax", "0.3 becomes 0.3", None, "duplicate"),
    Child((2, 4), "crossover", "the key of 4 in 2", None, "timeout"),
    Child((5,), "tune", "0.45 becomes 0.41", 6.52, source="near[city] - 0.41 * distances[home][city]"),
    Child(
        (5,), "rewrite", "[red]look[/red] one city\x1b[31m ahead", 6.1,
        source="near[city] - 0.45 * distances[home][city] + 0.2 * min(distances[city])",
    ),
    Child((9,), "syntax", "min becomes max", 6.6, source="near[city] + 0.2 * max(distances[city])"),
    Child((9,), "tune", "0.2 becomes 0.25", 6.09, source="near[city] + 0.25 * min(distances[city])"),
)  # fmt: skip
DUELS = ((2, 0, 4), (5, 2, 6), (9, 2, 9))  # challenger, champion, after which trial


def record(path: Path, *, until: int | None = None, promote: bool = True) -> Path:
    """Write the run to a repository; `until`: only its first events. Without `promote` nothing is dueled."""
    with GitLedger.create(path) as ledger:
        for index, (kind, decision, measured, variant, files) in enumerate(events(promote)):
            if index == until:
                break
            ledger.append(kind, decision, {**measured, "elapsed": index * 0.5}, variant=variant, files=files)
        ledger.sync()
    return path


Written = tuple[EventKind, dict[str, Json], dict[str, Json], Variant | str | None, Files | None]


def events(promote: bool = True) -> Iterator[Written]:
    """The run's events: kind, decision, measured, variant, files."""
    rng = np.random.default_rng(0)
    reading, account = Reading("bounded", SPAN, clipped=True), Account()
    yield (
        "start",
        {
            "schema": SCHEMA, "problem": {"name": "tours", "digest": "0" * 64}, "seed": 0, "parent": None,
            "loaded": [], "claim": "cases", "reading": reading.as_json(), "direction": "minimise",
            "account": {"alpha": 0.1, "duels": 100, "error": "family-wise"},
        },
        {
            "at": 1_700_000_000, "n_max": N_MAX, "batch": 20, "repeatable": True, "case_seconds": 0.001,
            "sandbox": "bubblewrap", "workers": 2, "settings": {}, "versions": {"python": "3.11.0"},
        },
        None,
        {"problem/problem.toml": TOML, "problem/statement.md": b"Visit every city.\n"},
    )  # fmt: skip
    means: dict[str, float] = {}
    ids: list[str | None] = []
    told = 0
    for trial, child in enumerate((Child((), "seed", "", 7.0), *CHILDREN)):
        event, id = _trial(trial, child, ids, told, rng)
        ids.append(id)
        if id is not None and child.mean is not None:
            means[id] = child.mean
        yield event
        told += 1
        for number, (challenger, champion, after) in enumerate(DUELS, 1):
            if promote and after == trial:
                pair = [str(ids[challenger]), str(ids[champion])]
                for event in _duel(number, pair, account, reading, means, told, rng):
                    yield event
                    told += 1
    best, seed = str(ids[9] if promote else ids[0]), str(ids[0])
    champion_scores, seed_scores = (
        (means[id] + SD * rng.standard_normal(SEALED)).tolist() for id in (best, seed)
    )
    claim = sealed_claim(champion_scores, seed_scores if best != seed else None, -1)
    decision = {"opening": 1, "champion": best, "seed": seed, "count": SEALED, "seen": False}
    yield "sealed", decision, {"champion": champion_scores, "seed": seed_scores, **claim}, best, None
    yield (
        "stop",
        {"reason": "trials"},
        {"trials": len(CHILDREN), "evaluations": 40, "usd": 0.0123},
        None,
        None,
    )


def _trial(
    trial: int, child: Child, ids: Sequence[str | None], told: int, rng: np.random.Generator
) -> tuple[Written, str | None]:
    source = (
        SEED.replace("near[city])", (child.source or f"near[city] * {trial + 1}") + ")") if trial else SEED
    )
    files = {"program.py": source.encode()}
    tree = tree_id(files)
    decision = {
        "trial": trial, "told": told, "operator": child.operator, "parents": [ids[n] for n in child.parents],
        "tree": tree, "idea": child.idea, "details": {},
    }  # fmt: skip
    measured: dict[str, Json] = {"usd": 0.0123} if child.operator == "rewrite" else {}
    if child.failure == "duplicate":
        decision |= {"variant": None, "verdict": "duplicate"}
        return (
            "trial",
            decision,
            {"failure": {"kind": "duplicate", "detail": str(ids[2])}},
            None,
            None,
        ), None
    variant = Variant(f"{trial}-{tree[:6]}", files, tuple(decision["parents"]), child.operator, child.idea)
    scores = (
        [20.0] * SEARCH if child.mean is None else (child.mean + SD * rng.standard_normal(SEARCH)).tolist()
    )
    measured |= {"scores": scores, "seconds": [0.001] * SEARCH}
    if child.failure:
        failure = {"kind": child.failure, "detail": "TypeError: 'list' object is not callable"}
        measured["failures"] = {str(n): failure for n in range(SEARCH)}
    decision |= {"variant": variant.id, "verdict": "failed" if child.failure else "evaluated"}
    return ("trial", decision, measured, variant, None), variant.id


def _duel(
    number: int, pair: list[str], account: Account, reading: Reading, means: Mapping[str, float], told: int,
    rng: np.random.Generator,
) -> Iterator[Written]:  # fmt: skip
    challenger, champion = pair
    duel = Duel(reading, account.open(), N_MAX)
    opened = {
        "duel": number,
        "challenger": challenger,
        "champion": champion,
        "level": duel.level,
        "told": told,
    }
    yield "duel_open", opened, {}, challenger, None

    def batch(phase: str, first: int, count: int) -> tuple[Written, list[list[float]]]:
        sides = [(means[id] + SD * rng.standard_normal(count)).tolist() for id in pair]
        decision = {"duel": number, "phase": phase, "first": first, "count": count}
        return (
            "duel_batch",
            decision,
            {"challenger": sides[0], "champion": sides[1], "ran": 2 * count},
            challenger,
            None,
        ), sides

    first = 0
    while duel.verdict is None:
        event, sides = batch("duel", first, 20)
        yield event
        first += 20
        for a, b in zip(*sides, strict=True):
            duel.add(-a, -b)
    end = {"duel": number, "verdict": duel.verdict, "n": duel.n}
    if duel.verdict == "promoted":
        promotion = {
            "promotion": account.promotions + 1,
            "duel": number,
            "variant": challenger,
            "champion": champion,
        }
        account.promote()
        yield "promotion", {**promotion, "n": duel.n}, {"log_e": duel.log_e}, challenger, None
        event, (mine, theirs) = batch("check", 0, CHECK)
        yield event
        gains = sealed_claim(mine, theirs, -1)
        measured = {
            "log_e": duel.log_e,
            "duel_gain": gains["gain"],
            "duel_gain_interval": list(gains["gain_interval"] or ()),
        }
        yield "duel_close", {**end, "promotion": promotion["promotion"]}, measured, challenger, None
    else:
        yield "duel_close", end, {"log_e": duel.log_e}, challenger, None
