"""What came out of a run: the object that `--json` prints and the table shows."""

from __future__ import annotations

from evolve.history import History
from evolve.types import Gate, Json
from populations.ledger import GitLedger


def summary(
    ledger: GitLedger, gate: Gate, history: History, stopped_by: str | None, sandbox: str
) -> dict[str, Json]:
    """Raw scores throughout: in the problem's unit and direction; gains are positive where better."""
    assert history.champion is not None and history.start is not None
    start, seconds = history.start.decision, history.elapsed
    return {
        "run": str(ledger.path),
        "problem": start["problem"]["name"],
        "claim": start["claim"],
        "trials": history.trials,
        "failures": dict(history.failures),
        "faults": dict(history.faults),
        "evaluations": history.evaluations,
        "seconds": round(seconds, 3),
        "evaluations_per_second": round(history.evaluations / seconds, 2) if seconds else None,
        "cases_per_second": round(history.case_runs / seconds, 2) if seconds else None,
        "usd": round(history.usd, 6),
        "promotions": history.promotions,
        "seed_score": history.score(history.seed),
        "champion": champion(history),
        "leader": gate.leader(),
        "arms": history.contributions.as_json(),
        "head": ledger.head,
        "sandbox": sandbox,
        "stopped_by": stopped_by,
    }


def totals(history: History) -> dict[str, Json]:
    """What a `stop` event measures."""
    return {"trials": history.trials, "evaluations": history.evaluations, "usd": round(history.usd, 6)}


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
    score, seed_score = history.score(history.champion), history.score(history.seed)
    exact = history.start is not None and history.start.decision["claim"] == "artifact"
    if (
        exact and score is not None and seed_score is not None
    ):  # the answer is the result: nothing to estimate
        entry["confirmed"] = score
        if history.champion != history.seed:
            entry["gain"] = history.sign * (score - seed_score)
    sealed = history.sealed
    if sealed is not None and sealed.index > history.champion_moved:
        entry |= {key: sealed.measured[key] for key in ("confirmed", "interval", "gain", "gain_interval")}
        if "constraints" in sealed.measured:
            entry["constraints"] = sealed.measured["constraints"]
    return entry
