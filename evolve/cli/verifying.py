"""`evolve verify`: recompute every decision from the raw evidence, and, where asked, the evidence itself."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.text import Text

from evolve.cli.evidence import gain_text, reading_of
from evolve.cli.rerunning import Again, answers, evaluations, trusted_copy
from evolve.cli.runs import find
from evolve.cli.screen import Screen, one_line, screen, signed, with_interval
from evolve.history import History
from evolve.restored import restore
from evolve.result import champion, totals
from evolve.start import identity, most_pairs
from evolve.types import BadInput, Event, Walls
from fitness.problem import Problem
from fitness.simplicity import program_size
from fitness.verify import MALFORMED
from fitness.verify import verify as mismatches
from populations import repository
from populations.facts import Facts, digest_of
from populations.ledger import GitLedger

CLONED_CHAMPION = "refs/remotes/origin/champion"  # where a plain clone has it
PROMOTIONS = "refs/tags/promotion/"


def verify(run: str, head: str | None, rerun: int, folder: Path | None, walls: Walls) -> int:
    """Check a run and print what was checked; 1 on any mismatch."""
    out = screen()
    if head is not None and not re.fullmatch(r"[0-9a-fA-F]{7,40}", head):
        raise BadInput("--head", "a commit's hash, or the first 7 or more digits of it", head)
    if folder is not None and not rerun:
        raise BadInput("--problem", "--rerun K with it", "it alone")
    with GitLedger.read(find(run)) as ledger:
        events = list(ledger.events())
        problem = trusted_copy(events[0].decision["problem"], folder) if rerun and events else None
        kinds = [event.kind for event in events]
        out.print(
            f"{len(events):,} events, {kinds.count('trial'):,} trials, {kinds.count('duel_open')} duels, "
            f"{kinds.count('promotion')} promotions"
        )
        if journaled := len(events) - ledger.written:
            out.print(f"{journaled:,} of the events are in the journal only, until the run goes on")
        out.print(f"decision digest {digest_of(events)}", soft_wrap=True)
        refs, late = _refs(ledger, events)
        checks = {
            "every level, e-value, decision and claim follows from the scores": _decisions(events),
            "the start is what its recorded problem demands": _origin(ledger, events),
            "every total is the sum of its parts": _totals(events),
            "every object has the hash that names it": _objects(ledger),
            "every variant holds the program and the parents of its trial": _variants(ledger, events),
            "the champion and the promotions' tags are those of the events": refs,
        }
        if head is not None:
            checks["the given head is in this history"] = _head(ledger, head)
        wrong = sum(_report(out, what, found) for what, found in checks.items())
        if late:
            killed = "the run was killed between two moves of git's names; going on with it mends them"
            out.print(Text(f"- {killed}", style="note"), soft_wrap=True)
            out.lines("    " + one_line(line) for line in late)
        exact, uncompared = bool(events) and events[0].decision.get("claim") == "artifact", 0
        if problem is not None:
            done = [evaluations(ledger, events, problem, rerun, walls)]
            done += [answers(ledger, events, problem)] if exact else []
            wrong += sum(_again(out, each) for each in done)
            uncompared = sum(each.uncompared for each in done)
        if not wrong:
            out.print()
            without = f", but {uncompared:,} case{'s' * (uncompared > 1)} not compared" if uncompared else ""
            out.print(Text(f"OK{without}", style="note" if uncompared else "good"))
            out.print(_claim(events), soft_wrap=True)
            if head is None:
                out.print("An end that was cut off shows only with --head and the hash printed at the end.")
            if not rerun:
                out.print("Case scores that were forged consistently show only with --rerun K.")
            if not rerun and exact:
                out.print("The kept answers were not scored again: that takes --rerun K, too.")
        return int(wrong > 0)


def _again(out: Screen, again: Again) -> int:
    """Print what evaluating again gave; the number of its mismatches."""
    if again.differences:
        spread = ", ".join(signed(difference) for difference in again.differences[:8])
        for line in (
            "- this problem's scores do not repeat, so running again cannot tell forgery from noise;",
            f"  mean differences of {len(again.differences)} evaluations: {spread}",
        ):
            out.print(Text(line, style="note"))
        return 0
    if again.uncompared:
        line = f"- {again.uncompared} not compared: they failed then or now by time, memory or the machinery"
        line += ", or asked models something else"
        out.print(Text(line, style="note"))
    return _report(out, again.what, again.wrong)


def _report(out: Screen, what: str, wrong: Sequence[str]) -> int:
    """Print one check; the number of its mismatches."""
    if not wrong:
        out.print(Text.assemble(("✓ ", "good"), what))
    else:
        out.print(Text.assemble(("✗ ", "bad"), what, f": {len(wrong)} mismatch{'es' * (len(wrong) > 1)}"))
        out.lines("    " + one_line(line) for line in wrong)
    return len(wrong)


def _decisions(events: Sequence[Event]) -> list[str]:
    return [str(mismatch) for mismatch in mismatches(events)]


def _claim(events: Sequence[Event]) -> str:
    """What the run may say of itself, one line: for comparison with what was printed or published of it."""
    history = History()
    for event in events:
        history.tell(event)
    if history.champion is None or history.start is None:
        return "so there is nothing to claim yet"
    found = champion(history)
    parts = [f"champion {found['id']}" + (", the seed itself" * (found["id"] == history.seed))]
    if found["confirmed"] is not None:
        parts.append(f"confirmed {with_interval(found['confirmed'], found['interval'])}")
    else:
        parts.append("not confirmed yet")
    if found["gain"] is not None:
        parts.append(f"gain {gain_text(reading_of(history.start), found['gain'], found['gain_interval'])}")
    return (
        f"so this is what the run may claim: {'; '.join(parts)}; promotions that stand: {history.promotions}"
    )


def _git(ledger: GitLedger, *arguments: str) -> tuple[int, list[str]]:
    """Exit status and lines of a git that knows nothing of the user's settings, nor of replaced objects."""
    process = repository.start(
        repository.locate(ledger.path), *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, complaint = process.communicate()
    said = out + complaint if process.returncode else out
    return process.returncode, [line for line in said.decode(errors="replace").splitlines() if line]


def _objects(ledger: GitLedger) -> list[str]:
    status, said = _git(ledger, "fsck", "--full", "--no-dangling", "--no-progress")
    return said if status else []


def _variants(ledger: GitLedger, events: Sequence[Event]) -> list[str]:
    """What was evaluated is what is stored: tree and parents of each variant's commit."""
    # not `log`, which may run a program that the repository's own settings name
    _, rows = _git(ledger, "rev-list", "--all", "--format=%H %T %P")
    found = (row.split() for row in rows if not row.startswith("commit "))
    stored = {commit: (tree, parents) for commit, tree, *parents in found}
    commits, wrong = ledger.variants(), []
    weighed = {
        event.decision[side]
        for event in events
        if event.kind in ("duel_open", "promotion") and event.decision.get("simpler")
        for side in ("challenger", "champion")
        if side in event.decision
    }
    for event in events[: ledger.written]:
        id = event.decision.get("variant")
        if event.kind != "trial" or id is None:
            continue
        tree, parents = stored.get(commits.get(id, ""), ("nothing", []))
        where = f"event {event.index} (trial): variant {id}: expected"
        if tree != event.decision["tree"]:
            wrong.append(f"{where} tree {event.decision['tree']}, found {tree}")
        if parents != (expected := list(dict.fromkeys(commits[id] for id in event.decision["parents"]))):
            wrong.append(f"{where} parents {expected}, found {parents}")
        size = event.measured.get("size")
        if id in weighed and size != (due := program_size(ledger.variant(id).files)):
            wrong.append(f"{where} size {due}, found {size}")
    return wrong


def _origin(ledger: GitLedger, events: Sequence[Event]) -> list[str]:
    """Account, reading, claim and all else that the start decided, from the problem's own files."""
    if not ledger.variants():
        return []  # killed before the seed's trial
    then, where = events[0].decision, "event 0 (start)"
    with tempfile.TemporaryDirectory() as folder:
        try:
            problem = restore(ledger, Path(folder))
        except BadInput as error:
            return [f"{where}, problem: expected one that can be read, found none: {error}"]
    seed, gate = then.get("seed", 0), then.get("gate", "duel")
    now = identity(problem, seed, gate, then.get("parent"), then.get("loaded", ()))
    wrong = [
        f"{where}, {key}: expected {now.get(key)!r}, found {then.get(key)!r}"
        for key in sorted(now.keys() | then.keys())
        if now.get(key) != then.get(key)
    ]
    try:
        counts = [(events[0], "n_max", events[0].measured.get("n_max"), _most_pairs(events[0], problem))]
    except MALFORMED as error:
        found = f"{type(error).__name__}: {error}"
        return [*wrong, f"{where}, n_max: expected a budget, workers and seconds a case, found {found}"]
    for event in events:
        if event.kind == "trial" and event.decision.get("trial") == 0:
            counts.append(
                (event, "search cases", len(event.measured.get("scores", ())), problem.search_cases)
            )
        elif event.kind == "sealed":
            counts.append((event, "sealed cases", event.decision.get("count"), problem.sealed_cases))
    return wrong + [
        f"event {event.index} ({event.kind}), {name}: expected {due}, found {count}"
        for event, name, count, due in counts
        if count != due
    ]


def _most_pairs(start: Event, problem: Problem) -> int:
    measured = start.measured
    budget, workers = measured["settings"]["budget"], measured["workers"]
    return most_pairs(problem, measured["case_seconds"], budget["trials"], budget["seconds"], workers)


def _totals(events: Sequence[Event]) -> list[str]:
    """What each stop says of trials, evaluations and dollars, counted again."""
    history, wrong = History(), []
    for event in events:
        for key, value in totals(history).items() if event.kind == "stop" else ():
            if event.measured.get(key) != value:
                wrong.append(
                    f"event {event.index} (stop), {key}: expected {value}, found {event.measured.get(key)}"
                )
        try:
            history.tell(event)
        except MALFORMED as error:
            return [*wrong, f"event {event.index} ({event.kind}): {type(error).__name__}: {error}"]
    return wrong


def _refs(ledger: GitLedger, events: Sequence[Event]) -> tuple[list[str], list[str]]:
    """The names that people look at: the branch `champion`, the tags of the promotions that stand.

    Those that are wrong, and those that are only late or early: git moves one name after the other, and a run
    that was killed between two of them mends that when it goes on.
    """
    _, rows = _git(ledger, "for-each-ref", "--format=%(refname) %(objectname) %(*objectname)")
    refs = {name: commits[-1] for name, *commits in map(str.split, rows)}
    own = repository.EVENTS in refs
    champion = repository.CHAMPION if own else CLONED_CHAMPION
    last = ledger.position(refs.get(repository.EVENTS if own else repository.CLONED_EVENTS, "none"))
    if last is None:
        return [], []  # a run that is being written: its names have moved on
    facts, commits, settled = Facts(), ledger.variants(), ledger.settled
    expected: dict[str, str] = {}
    lately: list[dict[str, str]] = []  # where the names were, or were to be, when it was killed
    for event in events:
        before = facts.champion, len(facts.proofs)
        facts.tell(event)
        changed = before != (facts.champion, len(facts.proofs))
        if event.index == last or event.index == settled - 1 or (changed and event.index >= settled):
            names = {f"refs/tags/{name}": commits[proof.variant] for name, proof in facts.proofs.items()}
            if facts.champion is not None:
                names[champion] = commits[facts.champion]
            lately.append(names)
            if event.index == last:
                expected = names
    found = {name: at for name, at in refs.items() if name == champion or name.startswith(PROMOTIONS)}
    wrong: list[str] = []
    late: list[str] = []
    for name in sorted(expected.keys() | found.keys()):
        due, at = expected.get(name, "none"), found.get(name, "none")
        if due != at:
            explained = settled <= last and any(names.get(name, "none") == at for names in lately)
            (late if explained else wrong).append(f"{name}: expected {due}, found {at}")
    return wrong, late


def _head(ledger: GitLedger, head: str) -> list[str]:
    if ledger.position(head.lower()) is None:
        return [
            f"{head}: expected an event of this run, found none: its end is cut off, or it is another run"
        ]
    return []
