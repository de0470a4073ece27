"""What came out of a run: the object that `--json` prints and the table shows."""

from __future__ import annotations

from evolve.history import History
from evolve.types import Executor, Gate, Json
from fitness.problem import Problem
from populations.ledger import GitLedger


def summary(
    problem: Problem,
    ledger: GitLedger,
    gate: Gate,
    history: History,
    stopped_by: str | None,
    executor: Executor,
) -> dict[str, Json]:
    """Raw scores throughout: in the problem's unit and direction; gains are positive where better."""
    assert history.champion is not None
    seconds = history.elapsed
    return {
        "run": str(ledger.path),
        "problem": problem.name,
        "claim": problem.claim,
        "trials": history.trials,
        "failures": dict(history.failures),
        "evaluations": history.evaluations,
        "seconds": round(seconds, 3),
        "evaluations_per_second": round(history.evaluations / seconds, 2) if seconds else None,
        "cases_per_second": round(history.case_runs / seconds, 2) if seconds else None,
        "usd": round(history.usd, 6),
        "promotions": history.promotions,
        "seed_score": history.score(history.seed),
        "champion": champion(history),
        "leader": gate.leader(),
        "head": ledger.head,
        "sandbox": executor.level,
        "stopped_by": stopped_by,
    }


def champion(history: History) -> dict[str, Json]:
    """The champion: its search score, and what the sealed draws confirmed."""
    assert history.champion is not None
    entry: dict[str, Json] = {
        "id": history.champion,
        "score": history.score(history.champion),
        "confirmed": None,
        "interval": None,
        "gain": None,
        "gain_interval": None,
        "duel_gain": history.duel_gains.get(history.champion),
    }
    sealed = history.sealed
    if sealed is not None and sealed.index > history.champion_moved:
        entry |= {key: sealed.measured[key] for key in ("confirmed", "interval", "gain", "gain_interval")}
    return entry
