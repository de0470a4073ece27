"""`evolve show`, `champion`, `diff` and `blame`: what a run found, read back from its repository."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path, PurePosixPath

from rich.console import RenderableType
from rich.syntax import Syntax
from rich.text import Text

from evolve.cli.evidence import Evidence, gain_text
from evolve.cli.remembered import carried_rows
from evolve.cli.rerunning import gallery_copy
from evolve.cli.runs import Record
from evolve.cli.screen import (
    Facts,
    Screen,
    dollars,
    dot_plot,
    duration,
    harmless,
    number,
    odds,
    one_line,
    screen,
    signed,
    sparkline,
)
from evolve.cli.story import Duel, Story, ending
from evolve.cli.summary import summary
from evolve.history import failure_kind, faults_of
from evolve.result import champion as champion_entry
from evolve.types import BadInput, CaseKey, Files, Json, Trial
from evolve.ui.view import View
from fitness.evaluation import picture
from fitness.gate import DuelGate
from populations.ledger import GitLedger
from sandbox.values import MAGIC

PLOT_WIDTH = 61
IDEA_WIDTH = 28


def show_run(run: str, *, as_json: bool = False) -> None:
    """Print what the run found."""
    with Record.read(run) as record:
        if as_json:
            screen().lines([json.dumps(record.result(), allow_nan=False)])
            return
        screen().print(summary(record.story, record.result(), record.unit), soft_wrap=True)


def variant_as_json(run: str, name: str) -> None:
    """Print all that the explorer knows of one variant, its duels' pairs included."""
    with Record.read(run) as record:
        id, view = record.variant(name), View(record.path.name.removesuffix(".git"), run)
        for event in record.ledger.events():
            view.tell(event)
        told = view.variant(record.ledger, id)
        told["duels"] = [view.duel(number) for number in told["duels"]]
        screen().lines([json.dumps(told, allow_nan=False)])


def show_variant(run: str, name: str) -> None:
    """Print one variant: scores, duels, program, prompt and reply."""
    out = screen()
    with Record.read(run) as record:
        id = record.variant(name)
        story, trial = record.story, record.story.history.variants[id]
        out.print(_heading(record, trial))
        out.print(Facts([*_facts(story, trial), *carried_rows(story, trial)]))
        if _answer(record.ledger, id) is not None:
            written = f": evolve champion {run} --write DIR writes it" if id == story.champion else ""
            out.print(Facts([("answer", f"kept with its trial{written}")]))
        for line in case_strip(story, trial, min(out.width, 80)):
            out.print(line)
        evidence = Evidence()
        for duel in story.duels.values():
            if duel.challenger == id:
                out.print()
                for part in duel_parts(story, duel, evidence):
                    out.print(part)
                gate = record.gate
                known = gate.evidence(duel.number) if isinstance(gate, DuelGate) else {}
                for metric, log_e in known.get("constraints_log_e", {}).items():
                    out.print(f"{one_line(metric)} not worse than the seed's: evidence {odds(log_e)}")
                if known.get("retries_uneven"):
                    warning = (
                        "more on one side than chance explains: did the program provoke them on bad draws?"
                    )
                    out.print(Text(warning, style="bad"))
        if feedback := (trial.evaluation.feedback if trial.evaluation else ""):
            _section(out, "feedback")
            out.print(harmless(feedback), soft_wrap=True)
        for path, data in record.ledger.variant(id).files.items():
            _section(out, path)
            _program(out, path, data, numbers=True)
        for event in story.said.get(trial.index, ()):
            rows, files = record.ledger.event(event).measured["exchanges"], record.ledger.files(event)
            for number, row in enumerate(rows):
                suffix = "" if number == 0 else f"-{number + 1}"
                for path in (f"prompt{suffix}.md", f"reply{suffix}.md"):
                    _section(out, f"{path}  {row['model']}, {dollars(row['usd'])}")
                    out.print(harmless(files.get(path, b"").decode(errors="replace")), soft_wrap=True)
                if row.get("error"):
                    out.print(Text(one_line(row["error"]), style="bad"))


def champion(run: str, *, leader: bool, as_json: bool, write: Path | None) -> None:
    """Print or write the champion's program; the leader's where it is asked for and somebody leads."""
    out = screen()
    with Record.read(run) as record:
        history = record.story.history
        entry = (record.result()["leader"] if leader else None) or champion_entry(history)
        files = record.ledger.variant(entry["id"]).files
        written = files if write is None else {**_result_files(record.ledger, entry["id"]), **files}
        if write is not None:
            write_files(written, write)
        if as_json:
            texts = {path: data.decode(errors="replace") for path, data in files.items()}
            out.lines([json.dumps({**entry, "proven": entry["id"] == history.champion, "files": texts})])
        elif write is not None:
            out.print(f"{entry['id']}: {', '.join(written)} written to {write}", soft_wrap=True)
        else:
            _programs(out, files)


def diff(run: str, a: str, b: str | None, *, seed: bool, path: bool, as_json: bool) -> None:
    """Print what changed between two variants; with one, between its parent and itself.

    `seed`: between the seed and it; `path`: at each step from the seed to it.
    """
    from populations.lineage import (
        diff as difference,
    )  # GitPython: 150 ms that other commands need not wait for

    out = screen()
    with Record.read(run) as record:
        story, variants = record.story, record.story.history.variants
        last = record.variant(b if b is not None else a)
        if b is not None:
            steps = [(record.variant(a), last)]
        elif seed:
            steps = [(story.history.seed, last)]
        else:
            line = list(story.line(last))[::-1] if path else [*variants[last].parents[:1], last]
            steps = list(pairwise(line))
        if not steps:
            raise BadInput("A", "a variant that has a parent, or two variants", f"{last}, the seed")
        found = [(first, second, difference(record.ledger, first, second)) for first, second in steps]
        if as_json:
            told = [
                {"from": first, "to": second, "gain": story.gain_over(second, first), "diff": text}
                for first, second, text in found
            ]
            out.lines([json.dumps(told if path else told[0])])
            return
        for first, second, text in found:
            if path:
                trial, gain = variants[second], signed(story.gain_over(second, first))
                _section(out, f"{first} -> {second}  {gain}  {trial.operator}: {trial.idea}".rstrip(": "))
            for row in text.splitlines():
                style = {"+": "good", "-": "bad", "@": "name"}.get(row[:1], "none")
                style = "key" if row[:3] in ("+++", "---") else style
                out.print(Text(harmless(row), style=style), soft_wrap=True)


def blame(run: str, file: str, variant: str | None, *, as_json: bool = False) -> None:
    """Print each line of a file with the variant that brought it, its gain and its idea."""
    from populations.lineage import (
        blame as brought,
    )  # GitPython: 150 ms that other commands need not wait for

    out = screen()
    with Record.read(run) as record:
        story = record.story
        rows = brought(record.ledger, record.variant(variant or "champion"), file)
        if as_json:
            out.lines(
                json.dumps(_brought(story, id, number, line)) for number, (id, line) in enumerate(rows, 1)
            )
            return
        width = max((len(id) for id, _ in rows), default=0)
        before = None
        for id, line in rows:
            trial = story.history.variants[id]
            idea = one_line(f"{trial.operator}: {trial.idea}".removesuffix(": "))
            idea = idea if len(idea) <= IDEA_WIDTH else idea[: IDEA_WIDTH - 1] + "…"
            gain = signed(story.gain(trial)) if trial.parents else ""
            origin = (id, gain, idea) if id != before else ("", "", "")
            before = id
            text = Text.assemble((f"{origin[0]:<{width}}", "name"), f" {origin[1]:>8} ")
            text.append(f" {origin[2]:<{IDEA_WIDTH}} │ ", style="quiet")
            out.print(text.append(harmless(line)), soft_wrap=True)


def _brought(story: Story, id: str, number: int, line: str) -> dict[str, Json]:
    trial = story.history.variants[id]
    return {
        "line": number, "text": line, "variant": id, "operator": trial.operator, "idea": trial.idea,
        "gain": story.gain(trial) if trial.parents else None,
    }  # fmt: skip


# ------------------------------------------------------------------------------------------- a variant


def case_strip(story: Story, trial: Trial, width: int) -> Iterator[Text]:
    """A sign a search case: how it went there, against the best parent."""
    parents = [story.history.variants[id] for id in trial.parents if id in story.history.variants]
    parents = [each for each in parents if each.value is not None]
    beside = max(parents, key=lambda each: each.value or 0.0, default=None)
    mine, theirs = trial.evaluation, beside.evaluation if beside else None
    if mine is None or theirs is None or len(mine.scores) != len(theirs.scores) or beside is None:
        return
    signs, styles = [], {"+": "good", "-": "bad", "=": "quiet", "x": "bad"}
    for score, other, failure in zip(mine.scores, theirs.scores, mine.failures, strict=True):
        gain = story.sign * (score - other)
        signs.append("x" if failure else "+" if gain > 1e-12 else "-" if gain < -1e-12 else "=")
    yield Text()
    for start in range(0, len(signs), width - 4):
        yield Text.assemble("  ", *((sign, styles[sign]) for sign in signs[start : start + width - 4]))
    counts = [
        f"{signs.count(sign)} {name}" for sign, name in (("+", "better"), ("-", "worse"), ("=", "equal"))
    ]
    failed = f", {signs.count('x')} failed (x)" if "x" in signs else ""
    yield Text(f"  a sign a case, against {beside.variant}: {', '.join(counts)}{failed}", style="quiet")


def _heading(record: Record, trial: Trial) -> Text:
    story = record.story
    text = Text.assemble((trial.variant or "", "name"), "  ", (number(story.score(trial.variant)), "key"))
    text.append(f" {record.unit}" if record.unit else "")
    gain = story.gain(trial)
    if gain is not None:
        text.append(
            f"  {signed(gain)} over its parent", style="good" if gain > 0 else "bad" if gain < 0 else "quiet"
        )
    if trial.variant == story.champion:
        text.append("  champion", style="good")
    return text


def _facts(story: Story, trial: Trial) -> Iterator[tuple[str, Text | str]]:
    if trial.index:
        yield "made by", f"{one_line(trial.arm)}, trial {trial.index}"
    else:
        yield "made by", "you: the seed"
    if trial.idea:
        yield "idea", one_line(trial.idea)
    if trial.parents:
        yield "parents", ", ".join(f"{parent} ({number(story.score(parent))})" for parent in trial.parents)
    evaluation = trial.evaluation
    if evaluation is not None:
        spread = f", from {number(min(evaluation.scores))} to {number(max(evaluation.scores))}"
        cases = len(evaluation.scores)
        yield "cases", f"{cases} search case{'s' * (cases > 1)}{spread if cases > 1 else ''}"
        failed = [failure for failure in evaluation.failures if failure is not None]
        if failed:
            yield (
                "failed",
                Text(f"{len(failed)}: {failed[0].kind}: {one_line(failed[0].detail)}", style="bad"),
            )
        yield "time", f"{trial.seconds_a_case * 1000:.3g} ms a case"
        for name, value in evaluation.metrics.items():
            yield one_line(name), number(value)
    if trial.verdict != "evaluated" and evaluation is None:
        yield "failed", Text(failure_kind(trial), style="bad")
    if trial.usd:
        yield "cost", dollars(trial.usd)
    if faults := faults_of(trial):
        yield "replies", f"{len(faults)} could not be used: {', '.join(faults)}"
    children = sum(trial.variant in other.parents for other in story.history.variants.values())
    if children:
        yield "children", f"{children}"
    for promotion in story.promotions:
        if promotion.variant == trial.variant:
            undone = ", undone by its check pairs" if promotion.undone else ""
            replaced = (
                f"number {promotion.number}, replaced {promotion.before}, after {duration(promotion.elapsed)}"
            ) + (", for being simpler" if promotion.simpler else "")
            yield "promoted", Text(replaced + undone, style="note" if undone else "good")


def duel_parts(story: Story, duel: Duel, evidence: Evidence) -> Iterator[RenderableType]:
    """A duel told: how it ended, its pairs as dots, its evidence against the threshold, its check pairs."""
    yield Text.assemble((f"duel {duel.number} against {duel.champion}", "key"), f": {ending(duel)}")
    path = evidence.path(story, duel)
    gains = duel.gains(story.sign)
    if path:
        needed = -math.log(duel.level)
        yield (
            f"{len(path)} pairs on fresh draws; evidence {odds(path[-1])} of the {odds(needed)} needed "
            f"at level {duel.level:.2g}"
        )
        yield ""
        yield Text(f"  {'worse':<{PLOT_WIDTH // 2}} {'better':>{PLOT_WIDTH // 2}}", style="quiet")
        for row in dot_plot(gains, PLOT_WIDTH):
            yield "  " + row
        yield ""
        line = sparkline([max(0.0, log_e) for log_e in path], 0.0, needed, PLOT_WIDTH - 9)
        yield Text.assemble(("  evidence ", "quiet"), line)
        mean = gain_text(duel.reading, sum(gains) / len(gains), None)
        yield Text(
            f"  mean gain of the pairs {mean}: flattered, because evidence chose when to stop",
            style="quiet",
        )
    if duel.gain is not None:
        text = gain_text(duel.reading, duel.gain, duel.gain_interval)
        yield Text.assemble("gain on ", f"{len(duel.pairs['check'][0])} further check pairs: ", (text, "key"))
    if duel.verdict in ("promoted", "undone"):
        yield f"the claim: {evidence.says(story, duel)}"
    if any(duel.retries.values()):
        sides = " and ".join(f"{count} of the {side}'s" for side, count in duel.retries.items() if count)
        yield Text(f"runs repeated after the machinery failed: {sides}", style="note")


def _answer(ledger: GitLedger, id: str) -> bytes | None:
    """The encoded answer that was kept with a variant's trial: where the answer is the result."""
    trial = next(event for event in ledger.events() if event.kind == "trial" and event.variant == id)
    return ledger.files(trial.index).get("answer")


def _result_files(ledger: GitLedger, id: str) -> Files:
    """The answer as a file, and its picture where the problem is the gallery's and has one."""
    if (answer := _answer(ledger, id)) is None:
        return {}
    files = {"answer.npy" if answer.startswith(MAGIC) else "answer.json": answer}
    problem = gallery_copy(ledger.event(0).decision["problem"]["digest"])
    svg = None if problem is None else picture(problem, CaseKey("search", 0), answer)
    return files if svg is None else {**files, "picture.svg": svg.encode()}


def write_files(files: Files, folder: Path) -> None:
    """Write a program's files into a new or empty folder."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadInput("--write", "a new or empty folder", f"{folder}")
    for path in files:
        if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
            raise BadInput("RUN", "paths inside the program's folder", repr(path))
    for path, data in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)


def _programs(out: Screen, files: Files) -> None:
    """Program files; piped, a single one comes out byte for byte."""
    if not out.is_terminal and len(files) == 1:
        out.raw(next(iter(files.values())))
        return
    for path, data in files.items():
        if len(files) > 1:
            _section(out, path)
        _program(out, path, data, numbers=False)


def _section(out: Screen, title: str) -> None:
    out.print()
    out.print(Text(f"── {one_line(title)} ".ljust(min(out.width, 80), "─"), style="quiet"))


def _program(out: Screen, path: str, data: bytes, *, numbers: bool) -> None:
    text = harmless(data.decode(errors="replace")).removesuffix("\n")
    if not out.is_terminal:
        out.out(text, highlight=False)
        return
    lexer = Syntax.guess_lexer(path, text)
    out.print(
        Syntax(
            text, lexer, theme="ansi_dark", background_color="default", line_numbers=numbers, word_wrap=True
        )
    )
