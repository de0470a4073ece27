"""`evolve log`: the events, one a line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from evolve import garbage
from evolve.cli.evidence import gain_text
from evolve.cli.runs import find
from evolve.cli.screen import dollars, duration, number, one_line, screen, signed, with_interval
from evolve.cli.story import Story
from evolve.cli.summary import failed_draws
from evolve.history import failure_kind, faults_of
from evolve.types import Event, Trial, arm
from populations.ledger import GitLedger


def log(run: str, *, as_json: bool) -> None:
    """Print the events of a run."""
    out = screen()
    with GitLedger.read(find(run)) as ledger, garbage.not_looked_for():
        if as_json:
            out.lines(json.dumps(record, allow_nan=False) for record in records(ledger))
        elif out.is_terminal:
            out.lines(
                line if len(line) <= out.width else line[: out.width - 1] + "…" for line in lines(ledger)
            )
        else:
            out.lines(lines(ledger))


def records(ledger: GitLedger) -> Iterator[dict[str, Any]]:
    """One object an event, as `evolve log --json` promises; keys that do not apply are absent."""
    story = Story()
    for event in ledger.events():
        trial = story.tell(event)
        decision, measured = event.decision, event.measured
        kind, _, step = event.kind.partition("_")
        record: dict[str, Any] = {"event": event.index, "kind": kind, "elapsed": measured.get("elapsed")}
        if trial is not None:
            cases = len(trial.evaluation.scores) if trial.evaluation else 0
            record |= {
                "trial": trial.index,
                "variant": trial.variant,
                "parents": list(trial.parents),
                "operator": trial.operator,
                **({"model": trial.model} if trial.model else {}),
                "score": trial.evaluation.mean if trial.evaluation and trial.value is not None else None,
                "cases": cases,
                "failure": None if trial.verdict == "evaluated" else failure_kind(trial),
                "usd": trial.usd,
                "seconds": round(sum(trial.evaluation.seconds), 6) if trial.evaluation else 0.0,
                "verdict": trial.verdict,
                "idea": trial.idea,
                "faults": list(faults_of(trial)),
                **({"carried": dict(trial.carried)} if trial.carried else {}),
            }
        elif kind == "duel":
            duel = story.duels[decision["duel"]]
            record |= {
                "step": step,
                "duel": duel.number,
                "variant": duel.challenger,
                "champion": duel.champion,
            }
            record |= {
                "level": duel.level,
                "cases": decision.get("count", 0),
                "verdict": decision.get("verdict"),
            }
        elif kind in ("promotion", "demotion"):
            record |= {key: decision.get(key) for key in ("promotion", "variant", "champion", "duel")}
            record["simpler"] = decision.get("simpler", False)
        elif kind == "proposal":
            record |= {
                key: decision[key] for key in ("trial", "parents", "operator", "model") if key in decision
            }
            record["usd"] = measured.get("usd", 0.0)
        elif kind == "lesson":
            record |= decision
        elif kind == "sealed":
            record |= {
                "variant": decision["champion"],
                "cases": decision["count"],
                "score": measured["confirmed"],
            }
        elif kind == "control":
            record |= decision
        elif kind == "stop":
            record |= {"reason": decision["reason"], "arms": story.history.contributions.as_json()}
        yield record


def lines(ledger: GitLedger) -> Iterator[str]:
    """One line an event, for people."""
    story = Story()
    for event in ledger.events():
        trial = story.tell(event)
        elapsed = duration(event.measured.get("elapsed", 0.0))
        kind = event.kind.partition("_")[0]
        if kind == "duel":
            kind = f"duel {event.decision['duel']}"
        yield f"{event.index:>6}  {elapsed:>11}  {kind:<10} {_words(event, trial, story)}".rstrip()


def _words(event: Event, trial: Trial | None, story: Story) -> str:
    decision, measured = event.decision, event.measured
    match event.kind:
        case "start":
            name, seed, claim = decision["problem"]["name"], decision["seed"], decision["claim"]
            return f"{name}, seed {seed}, claim {claim}, sandbox {measured['sandbox']}"
        case "proposal":
            cost = dollars(measured.get("usd", 0.0))
            maker = one_line(arm(decision["operator"], decision.get("model")))
            return f"for trial {decision['trial']} by {maker}, {cost}"
        case "trial":
            assert trial is not None
            return _trial(trial, story)
        case "duel_open":
            level = f"level {decision['level']:.2g}"
            return f"{decision['challenger']} challenges {decision['champion']}, {level}"
        case "duel_batch":
            duel = story.duels[decision["duel"]]
            gains = duel.gains(story.sign, decision["phase"])[-decision["count"] :]
            what = "check pairs" if decision["phase"] == "check" else "pairs"
            mean = sum(gains) / len(gains)
            return f"{len(gains)} {what}, mean gain {gain_text(duel.reading, mean, None)}"
        case "duel_close":
            duel = story.duels[decision["duel"]]
            words = f"{decision['verdict']} after {decision['n']} pairs"
            if duel.gain is None:
                return words
            return f"{words}, gain {gain_text(duel.reading, duel.gain, duel.gain_interval)}"
        case "promotion":
            simpler = ", for being simpler" if decision.get("simpler") else ""
            return f"{decision['promotion']}: {decision['variant']} replaces {decision['champion']}{simpler}"
        case "demotion":
            return f"check pairs undo {decision['variant']}: back to {decision['champion']}"
        case "sealed":
            confirmed = with_interval(measured["confirmed"], measured["interval"])
            failed = failed_draws(event, "champion")
            return f"{decision['champion']}: {confirmed} on {decision['count']} sealed draws{failed}"
        case "lesson" if "dropped" in decision:
            prompts = f"{measured['prompts']} prompts carried it"
            return f"{decision['dropped']} dropped: {decision['why']}, {prompts}"
        case "lesson":
            return f"{decision['lesson']}: {one_line(decision['text'])}"
        case "resume":
            changes = decision.get("changes", {})
            return ", ".join(f"{key} {value}" for key, value in changes.items()) or "as before"
        case "control":
            return control_words(decision)
        case "stop":
            shares = [
                f"{one_line(row['arm'])} {row['share']:.0%}" for row in story.history.contributions.as_json()
            ]
            return f"{decision['reason']}; children by {', '.join(shares)}" if shares else decision["reason"]


def control_words(decision: Mapping[str, Any]) -> str:
    """What a person asked of the run."""
    words = [decision["action"], decision.get("variant", ""), one_line(decision.get("text", ""))]
    words += [f"{name} {limit:g}" for name, limit in decision.get("limits", {}).items()]
    return " ".join(filter(None, words))


def _trial(trial: Trial, story: Story) -> str:
    name = trial.variant or f"{trial.index}"
    faults = ", ".join(faults_of(trial))
    after = f" (after {faults})" if faults else ""
    if trial.value is None:
        why = one_line(f"{trial.arm}: {_why(trial) or trial.idea}{after}")
        return f"{name:<12} {failure_kind(trial):<19} {why}"
    gain = story.gain(trial)
    score = number(story.score(trial.variant)) + (f" ({signed(gain)})" if gain is not None else "")
    return f"{name:<12} {score:<19} " + one_line(f"{trial.arm}: {trial.idea}".rstrip(": ") + after)


def _why(trial: Trial) -> str:
    failures = [trial.failure, *(trial.evaluation.failures if trial.evaluation else ())]
    return next((failure.detail for failure in failures if failure is not None), "")
