"""What people read in `git log`: subjects, trailers, the evidence in a tag. Never parsed back."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from evolve.types import Event, Json, Variant


def variant_message(
    event: Event, variant: Variant, score: float | None, gain: float | None, models: str
) -> str:
    """Of a variant's commit: `0.9134 (+0.0121) diff: idea` and the trailers.

    The score is a raw mean; the gain over the first parent is positive where it is better.
    """
    failure = event.measured.get("failure") or next(
        iter((event.measured.get("failures") or {}).values()), None
    )
    trailers = {
        "Trial": event.decision.get("trial"),
        "Operator": variant.operator,
        "Hypothesis": (event.decision.get("details") or {}).get("hypothesis"),
        "Model": models,
        "Score": "" if score is None else f"{score:.10g}",
        "Failure": failure["kind"] if failure else "",
        "Usd": event.measured.get("usd") or "",
    }
    rows = [f"{key}: {one_line(value)}" for key, value in trailers.items() if value not in ("", None)]
    return _headline(event, variant, score, gain) + "\n\n" + "\n".join(rows) + "\n"


def event_message(event: Event, variant: Variant | None, score: float | None, gain: float | None) -> str:
    """Of an event's commit: one line that tells it."""
    d = event.decision
    match event.kind:
        case "trial" if variant is not None:
            text = f"trial {d['trial']}: {_headline(event, variant, score, gain)}"
        case "trial":
            text = f"trial {d['trial']}: {d['verdict']} {_idea(d['operator'], d.get('idea'))}"
        case "proposal":
            text = f"proposal {d['trial']}: {_idea(d['operator'], d.get('idea'))}"
        case "duel_open":
            simpler = ", for being simpler" if d.get("simpler") else ""
            text = f"duel {d['duel']}: {d['challenger']} against {d['champion']}{simpler}"
        case "duel_batch":
            text = f"duel {d['duel']}: {d['phase']} pairs {d['first']} to {d['first'] + d['count'] - 1}"
        case "duel_close":
            text = f"duel {d['duel']}: {d['verdict']} after {d['n']} pairs"
        case "promotion":
            simpler = " (simpler)" if d.get("simpler") else ""
            text = f"promotion {d['promotion']}: {d['variant']} in place of {d['champion']}{simpler}"
        case "demotion":
            text = f"promotion {d['promotion']} undone: {d['champion']} in place of {d['variant']}"
        case "sealed":
            text = f"sealed {d['opening']}: {d['champion']} against {d['seed']}"
        case "control":
            text = f"control: {d['action']} {d.get('variant') or ''}"
        case "lesson" if "dropped" in d:
            text = f"lesson {d['dropped']} dropped: {d['why']}"
        case "lesson":
            text = f"lesson {d['lesson']}: {d['text']}"
        case "stop":
            text = f"stop: {d['reason']}"
        case _:
            text = event.kind
    return one_line(text) + "\n"


def evidence(event: Event, duel: Mapping[str, Json], promotion: Mapping[str, Json]) -> str:
    """Of a promotion's tag: what was decided, on which evidence. `duel`: its opening; empty: an artifact."""
    log_e = event.measured.get("log_e", promotion.get("log_e"))
    rows = {
        "Variant": promotion["variant"],
        "Before": promotion["champion"],
        "Duel": duel.get("duel", "none: the answer proves itself"),
        "Pairs": promotion.get("n"),
        "E-value": None
        if log_e is None
        else f"exp({log_e:.6g})" + (f" = {math.exp(log_e):.4g}" if log_e < 700 else ""),
        "Level": duel.get("level"),
        "Draws": f"same/{duel['duel']}"
        if duel.get("identical")
        else f"gate/{duel['champion']}"
        if duel
        else None,
        "Duel-Gain": event.measured.get("duel_gain"),
        "Duel-Gain-Interval": event.measured.get("duel_gain_interval"),
    }
    title = f"{promotion['variant']} is better than {promotion['champion']}"
    if promotion.get("simpler"):
        title = f"{promotion['variant']} is simpler than {promotion['champion']}, and "
        if duel.get("identical"):
            title += f"gives the same answers as {duel['champion']}"
        else:
            title += f"not worse than {duel['champion']} by more than the margin"
    return (
        title
        + "\n\n"
        + "".join(f"{key}: {one_line(value)}\n" for key, value in rows.items() if value is not None)
    )


def mean(scores: Iterable[float] | None) -> float | None:
    """The raw score that a trial is called by, None without scores."""
    values = list(scores or ())
    return math.fsum(values) / len(values) if values else None


def one_line(value: Any) -> str:
    """Text without newlines and other control characters, safe in a commit's message."""
    text = str(value)
    if not text.isprintable():
        text = "".join(letter if letter.isprintable() else " " for letter in text)
    return " ".join(text.split())


def _headline(event: Event, variant: Variant, score: float | None, gain: float | None) -> str:
    idea = _idea(variant.operator, variant.idea)
    if event.decision.get("verdict") == "failed" or score is None:
        return one_line(f"failed {idea}")
    return one_line(f"{score:.5g}" + ("" if gain is None else f" ({gain:+.3g})") + f" {idea}")


def _idea(operator: Any, idea: Any) -> str:
    text = one_line(idea or "")
    short = text if len(text) <= 100 else text[:99] + "…"
    return f"{operator}: {short}" if short else f"{operator}"
