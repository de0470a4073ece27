"""A run as tables, for spreadsheets and notebooks, and its lineage as a graph."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from evolve.cli.screen import one_line
from evolve.cli.story import Story
from evolve.history import failure_kind, trial_of
from evolve.types import Event
from evolve.ui.view import View
from populations.ledger import GitLedger

Row = dict[str, Any]  # column -> text, number, truth or None; the same columns in each row of a table
TRIALS = (
    "trial", "event", "elapsed", "variant", "parents", "operator", "model", "verdict", "failure", "score",
    "gain", "cases", "failed_cases", "seconds_a_case", "usd", "idea", "scores", "metrics",
)  # fmt: skip
DUELS = (
    "duel", "challenger", "champion", "level", "pairs", "check_pairs", "verdict", "log_e", "promotion",
    "gain", "gain_low", "gain_high", "attempts_before", "elapsed",
)  # fmt: skip
CALLS = (
    "event", "trial", "number", "model", "usd", "prompt_tokens", "reply_tokens", "seconds", "error",
)  # fmt: skip


def tables(ledger: GitLedger) -> dict[str, tuple[Sequence[str], list[Row]]]:
    """The tables of a run by name: columns, and rows in the order of their events."""
    view = View("", "")
    trials: list[Row] = []
    calls: list[Row] = []
    for event in ledger.events():
        view.tell(event)
        if event.kind == "trial":
            trials.append(_trial(event, view.story))
        calls += _calls(event)
    return {
        "trials": (TRIALS, trials),
        "duels": (DUELS, list(_duels(view))),
        "calls": (CALLS, calls),
    }


def _trial(event: Event, story: Story) -> Row:
    trial = trial_of(event, story.sign)
    evaluation = trial.evaluation
    values = (
        trial.index,
        event.index,
        event.measured.get("elapsed"),
        trial.variant,
        " ".join(trial.parents),
        one_line(trial.operator),
        trial.model and one_line(trial.model),
        trial.verdict,
        None if trial.verdict == "evaluated" else failure_kind(trial),
        story.score(trial.variant) if trial.value is not None else None,
        story.gain(trial) if trial.value is not None else None,
        len(evaluation.scores) if evaluation else 0,
        sum(failure is not None for failure in evaluation.failures) if evaluation else 0,
        trial.seconds_a_case if evaluation else None,
        float(trial.usd),
        one_line(trial.idea),
        json.dumps(list(evaluation.scores)) if evaluation else None,
        json.dumps(dict(evaluation.metrics)) if evaluation and evaluation.metrics else None,
    )
    return dict(zip(TRIALS, values, strict=True))


def _duels(view: View) -> Iterator[Row]:
    for each in view.head().get("duels", ()):
        duel = view.story.duels[each["number"]]
        low, high = duel.gain_interval or (None, None)
        values = (
            duel.number, duel.challenger, duel.champion, duel.level, duel.n, each["checks"], duel.verdict,
            each["log_e"], duel.promotion, duel.gain, low, high, each["at"]["trials"], each["at"]["seconds"],
        )  # fmt: skip
        yield dict(zip(DUELS, values, strict=True))


def _calls(event: Event) -> Iterator[Row]:
    for number, row in enumerate(event.measured.get("exchanges", ())):
        values = (
            event.index, event.decision["trial"], number, one_line(row["model"]), float(row["usd"]),
            row["prompt_tokens"], row["reply_tokens"], float(row["seconds"]), one_line(row.get("error", "")),
        )  # fmt: skip
        yield dict(zip(CALLS, values, strict=True))


def cell(value: Any) -> str:
    """A cell of a CSV file; text that a spreadsheet would run as a formula gets an apostrophe before it."""
    if value is None:
        return ""
    if not isinstance(value, str):
        return repr(value) if isinstance(value, float) else str(value)
    return f"'{value}" if value[:1] in "=+-@\t\r" and value else value


def dot(view: View) -> Iterator[str]:
    """The lineage in the language of Graphviz, a line at a time."""
    story, line = view.story, set(view.line(view.story.champion))
    promoted = {each.variant for each in story.promotions if not each.undone}
    yield "digraph lineage {"
    yield '  rankdir=LR; node [shape=box, style=rounded, fontname="sans-serif"];'
    for id, trial in story.history.variants.items():
        score = story.score(id)
        words = [id, "no score" if score is None else f"{score:.6g}", one_line(trial.operator)]
        facts: Mapping[str, str] = {
            "label": "\n".join(words),
            "tooltip": one_line(trial.idea)[:200],
            **({"color": "darkgreen", "penwidth": "2"} if id in line else {}),
            **({"peripheries": "2"} if id in promoted else {}),
        }
        yield f"  {_quoted(id)} [{', '.join(f'{key}={_quoted(text)}' for key, text in facts.items())}];"
        for parent in trial.parents:
            bold = ' [color="darkgreen", penwidth="2"]' if id in line and parent in line else ""
            yield f"  {_quoted(parent)} -> {_quoted(id)}{bold};"
    yield "}"


def _quoted(text: str) -> str:
    """A string of Graphviz's; a newline between parts of a label stays one."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
