"""A request from the page, as far as it can be judged there; the run's own process does the rest."""

from __future__ import annotations

from typing import cast

from evolve.control import AT_ONCE, FOLDER, Mailbox, requested
from evolve.types import BadInput, Json
from evolve.ui.following import Followed
from evolve.ui.view import View


def leave(run: Followed, value: Json) -> str:
    """Leave a request for the process that runs a run; what to tell who asked. Raises BadInput."""
    live = run.live
    with run.opened() as (ledger, view):
        decision = requested(value, view.row)
        action = decision["action"]
        if action in AT_ONCE and not live:
            raise BadInput(action, "a run that a process works on", f"{run.name}, which waits for evolve run")
        if action == "budget":
            _require_raise(view, cast("dict[str, float]", decision["limits"]))
        Mailbox(ledger.folder / FOLDER).put(value)
    if live:
        return f"{action}: asked for; it takes effect with the run's next step"
    return f"{action}: kept; the run's next session reads it"


def _require_raise(view: View, asked: dict[str, float]) -> None:
    """Refuse what is no raise of a budget as it stands."""
    budget = view.budget()
    for name, limit in asked.items():
        now = budget.get(name)
        if now is None:
            raise BadInput(f"limits.{name}", "a budget that this run has", f"{name}, which it does not limit")
        if limit <= now:
            raise BadInput(f"limits.{name}", f"more than {now:g}, as it is now", f"{limit:g}")
