"""`evolve compare`: runs of one problem side by side, with what each cost and when that is paid back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rich.table import Table

from evolve.cli.runs import find
from evolve.cli.screen import screen
from evolve.history import History
from evolve.result import champion
from evolve.types import BadInput, Event
from populations.ledger import GitLedger

NOTHING = "no significant improvement"


def compare(runs: Sequence[str], as_json: bool) -> None:
    """Print a row a run. Raises BadInput where they are not of one problem."""
    rows = [row_of(run) for run in runs]
    if len(names := {row["problem"] for row in rows}) > 1:
        raise BadInput("evolve compare", "runs of one problem", ", ".join(sorted(names)))
    out = screen()
    if as_json:
        out.lines([json.dumps(row) for row in rows])
        return
    table = Table(
        "run", "trials", "promoted", "confirmed", "gain", "calls", "tokens", "usd", "s", "paid back"
    )
    for row in rows:
        gain = _interval(row["gain"], row["gain_interval"])
        table.add_row(
            row["run"],
            f"{row['trials']}",
            f"{row['promotions']} of {row['duels']}",
            _interval(row["confirmed"], row["interval"]),
            gain if row["promotions"] else NOTHING,
            f"{row['calls']:,}",
            f"{row['tokens']:,}",
            f"{row['usd']:.2f}",
            f"{row['seconds']:.0f}",
            row["paid_back"],
        )
    out.print(table)
    out.print("promoted: of so many duels; with --clones every one of them would be false.")
    out.print("paid back: solved tasks after which the tokens of the search are saved again.")


def row_of(run: str) -> dict[str, Any]:
    """What one run brought and cost."""
    history, duels, sealed = History(), 0, None
    with GitLedger.read(path := find(run)) as ledger:
        for event in ledger.events():
            history.tell(event)
            duels += event.kind == "duel_open"
            sealed = event if event.kind == "sealed" else sealed
    assert history.start is not None
    found = champion(history)
    return {
        "run": path.name.removesuffix(".git"),
        "problem": history.start.decision["problem"]["name"],
        "trials": history.trials,
        "promotions": history.promotions,
        "duels": duels,
        **{key: found[key] for key in ("confirmed", "interval", "gain", "gain_interval")},
        "calls": history.calls,
        "tokens": history.tokens,
        "usd": history.usd,
        "seconds": history.elapsed,
        "paid_back": paid_back(sealed, history.tokens),
    }


def paid_back(sealed: Event | None, tokens: int) -> str:
    """After how many solved tasks the champion has saved the tokens that the search used."""
    spent = (sealed.measured.get("tokens_a_case") or {}) if sealed is not None else {}
    if sealed is None or "seed" not in spent or sealed.decision["champion"] == sealed.decision["seed"]:
        return "-"
    rates = {side: sum(sealed.measured[side]) / len(sealed.measured[side]) for side in ("champion", "seed")}
    if rates["champion"] <= 0:
        return "never"
    if rates["seed"] <= 0:
        return "the seed solves none"
    saved = spent["seed"] / rates["seed"] - spent["champion"] / rates["champion"]
    return f"{tokens / saved:,.0f} tasks" if saved > 0 else "never: a solved task takes more tokens"


def _interval(value: float | None, interval: Sequence[float] | None) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" + (f" [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else "")
