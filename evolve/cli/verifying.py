"""`evolve verify`: recompute every decision from the raw evidence, and, where asked, the evidence itself."""

from __future__ import annotations

import random
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.text import Text

from evolve.cli.runs import find
from evolve.cli.screen import Screen, one_line, screen, signed
from evolve.history import History
from evolve.result import totals
from evolve.start import identity
from evolve.types import BadInput, CaseKey, Event, Failure, Job, Json
from fitness.gate import draw, nonce_of
from fitness.problem import Problem, load
from fitness.verify import MALFORMED
from fitness.verify import verify as mismatches
from fitness.worker import Worker
from populations import repository
from populations.facts import Facts, digest_of
from populations.ledger import GitLedger

CLONED_CHAMPION = "refs/remotes/origin/champion"  # where a plain clone has it
PROMOTIONS = "refs/tags/promotion/"
# What a busy or smaller machine may cause: such a difference proves nothing.
MACHINE_FAILURES = frozenset({"timeout", "out_of_memory", "machinery"})


def verify(run: str, head: str | None, rerun: int, sandbox: str, trust: bool) -> int:
    """Check a run and print what was checked; 1 on any mismatch."""
    out = screen()
    if head is not None and not re.fullmatch(r"[0-9a-fA-F]{7,40}", head):
        raise BadInput("--head", "a commit's hash, or the first 7 or more digits of it", head)
    with GitLedger.read(find(run)) as ledger:
        events = list(ledger.events())
        kinds = [event.kind for event in events]
        out.print(
            f"{len(events):,} events, {kinds.count('trial'):,} trials, {kinds.count('duel_open')} duels, "
            f"{kinds.count('promotion')} promotions"
        )
        out.print(f"decision digest {digest_of(events)}", soft_wrap=True)
        found = [
            _report(
                out, "every level, e-value, decision and claim follows from the scores", _decisions(events)
            ),
            _report(out, "the start is what its recorded problem demands", _origin(ledger, events)),
            _report(out, "every total is the sum of its parts", _totals(events)),
            _report(out, "every object has the hash that names it", _objects(ledger)),
            _report(
                out, "every variant holds the program and the parents of its trial", _variants(ledger, events)
            ),
        ]
        found.append(
            _report(
                out, "the champion and the promotions' tags are those of the events", _refs(ledger, events)
            )
        )
        if head is not None:
            found.append(_report(out, "the given head is in this history", _head(ledger, head)))
        if rerun:
            found.append(_rerun(out, ledger, events, rerun, sandbox, trust))
        if not any(found):
            out.print()
            out.print(Text("OK", style="good"))
            if head is None:
                out.print("An end that was cut off shows only with --head and the hash printed at the end.")
            if not rerun:
                out.print("Case scores that were forged consistently show only with --rerun K.")
        return int(any(found))


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
    for event in events:
        id = event.decision.get("variant")
        if event.kind != "trial" or id is None:
            continue
        tree, parents = stored.get(commits.get(id, ""), ("nothing", []))
        where = f"event {event.index} (trial): variant {id}: expected"
        if tree != event.decision["tree"]:
            wrong.append(f"{where} tree {event.decision['tree']}, found {tree}")
        if parents != (expected := list(dict.fromkeys(commits[id] for id in event.decision["parents"]))):
            wrong.append(f"{where} parents {expected}, found {parents}")
    return wrong


def _origin(ledger: GitLedger, events: Sequence[Event]) -> list[str]:
    """Account, reading, claim and all else that the start decided, from the problem's own files."""
    if not ledger.variants():
        return []  # killed before the seed's trial
    then, where = events[0].decision, "event 0 (start): expected"
    with tempfile.TemporaryDirectory() as folder:
        try:
            problem = _restore(ledger, events, Path(folder))
        except BadInput as error:
            return [f"{where} a problem that can be read, found none: {error}"]
    now = identity(problem, then.get("seed"), then.get("gate"), then.get("parent"))
    wrong = [
        f"{where} {key} {now.get(key)!r}, found {then.get(key)!r}"
        for key in sorted(now.keys() | then.keys())
        if now.get(key) != then.get(key)
    ]
    counts = [(0, "n_max", events[0].measured.get("n_max"), problem.n_max)] if problem.n_max else []
    for event in events:
        if event.kind == "trial" and event.decision.get("trial") == 0:
            counts.append(
                (event.index, "search cases", len(event.measured.get("scores", ())), problem.search_cases)
            )
        elif event.kind == "sealed":
            counts.append((event.index, "sealed cases", event.decision.get("count"), problem.sealed_cases))
    wrong += [
        f"event {n}: expected {due} {name}, found {count}" for n, name, count, due in counts if count != due
    ]
    return wrong


def _totals(events: Sequence[Event]) -> list[str]:
    """What each stop says of trials, evaluations and dollars, counted again."""
    history, wrong = History(), []
    for event in events:
        for key, value in totals(history).items() if event.kind == "stop" else ():
            if event.measured.get(key) != value:
                wrong.append(
                    f"event {event.index} (stop): expected {key} {value}, found {event.measured.get(key)}"
                )
        try:
            history.tell(event)
        except MALFORMED as error:
            return [*wrong, f"event {event.index} ({event.kind}): {type(error).__name__}: {error}"]
    return wrong


def _refs(ledger: GitLedger, events: Sequence[Event]) -> list[str]:
    """The names that people look at: the branch `champion`, the tags of the promotions that stand."""
    _, rows = _git(ledger, "for-each-ref", "--format=%(refname) %(objectname) %(*objectname)")
    refs = {name: commits[-1] for name, *commits in map(str.split, rows)}
    own = repository.EVENTS in refs
    champion = repository.CHAMPION if own else CLONED_CHAMPION
    last = ledger.position(refs.get(repository.EVENTS if own else repository.CLONED_EVENTS, "none"))
    if last is None:
        return []  # a run that is being written: its names have moved on
    facts, commits = Facts(), ledger.variants()
    for event in events[: last + 1]:
        facts.tell(event)
    expected = {f"refs/tags/{name}": commits[proof.variant] for name, proof in facts.proofs.items()}
    if facts.champion is not None:
        expected[champion] = commits[facts.champion]
    found = {name: at for name, at in refs.items() if name == champion or name.startswith(PROMOTIONS)}
    return [
        f"{name}: expected {expected.get(name, 'none')}, found {found.get(name, 'none')}"
        for name in sorted(expected.keys() | found.keys())
        if expected.get(name) != found.get(name)
    ]


def _head(ledger: GitLedger, head: str) -> list[str]:
    if ledger.position(head.lower()) is None:
        return [
            f"{head}: expected an event of this run, found none: its end is cut off, or it is another run"
        ]
    return []


# -------------------------------------------------------------------------------------- evaluating again


@dataclass(frozen=True, slots=True)
class Recorded:
    """An evaluation as the events tell it: raw scores, a case each."""

    event: int
    what: str
    variant: str
    cases: tuple[CaseKey, ...]
    scores: tuple[float, ...]
    failures: Mapping[int, Failure]


def recorded(events: Sequence[Event]) -> Iterator[Recorded]:
    """Every evaluation of a run: of trials, of both sides of duels, of the sealed draws."""
    nonce = nonce_of(events[0].decision)
    duels: dict[int, Mapping[str, Json]] = {}
    for event in events:
        decision, measured = event.decision, event.measured
        if event.kind == "duel_open":
            duels[decision["duel"]] = decision
        elif event.kind == "trial" and "scores" in measured:
            count = len(measured["scores"])
            failures = {int(n): Failure(**failure) for n, failure in measured.get("failures", {}).items()}
            cases = tuple(CaseKey("search", n) for n in range(count))
            yield Recorded(
                event.index, "trial", decision["variant"], cases, tuple(measured["scores"]), failures
            )
        elif event.kind == "duel_batch":
            duel, first = duels[decision["duel"]], decision["first"]
            numbers = range(first, first + decision["count"])
            if decision["phase"] == "duel":
                cases = tuple(CaseKey("gate", draw(nonce, "gate", duel["champion"], n)) for n in numbers)
            else:
                cases = tuple(CaseKey("check", draw(nonce, "check", duel["duel"], n)) for n in numbers)
            for side in ("challenger", "champion"):
                yield Recorded(event.index, f"{side}'s pairs", duel[side], cases, tuple(measured[side]), {})
        elif event.kind == "sealed":
            cases = tuple(CaseKey("sealed", draw(nonce, "sealed", n)) for n in range(decision["count"]))
            for side in ("champion", "seed"):
                scores = tuple(measured[side])
                yield Recorded(event.index, f"{side}'s sealed draws", decision[side], cases, scores, {})


def _rerun(
    out: Screen, ledger: GitLedger, events: Sequence[Event], count: int, sandbox: str, trust: bool
) -> int:
    """Evaluate some recorded evaluations again; the number of mismatches.

    Which ones follows from the head, so that a second look takes the same and a forger cannot know before.
    """
    everything = list(recorded(events))
    chosen = random.Random(ledger.head).sample(everything, min(count, len(everything)))
    repeatable = bool(events[0].measured["repeatable"])
    wrong, excused, differences = [], 0, []
    with tempfile.TemporaryDirectory() as folder:
        problem = _restore(ledger, events, Path(folder))
        worker = Worker(problem, sandbox, trusted=trust)
        try:
            for each in chosen:
                again = worker.evaluate(Job(ledger.variant(each.variant).files, each.cases))
                differences.append(again.mean - sum(each.scores) / len(each.scores))
                for n, (then, now) in enumerate(zip(each.scores, again.scores, strict=True)):
                    failures = [each.failures.get(n), again.failures[n]]
                    if then == now:
                        continue
                    if then == problem.worst or any(f and f.kind in MACHINE_FAILURES for f in failures):
                        excused += 1
                    else:
                        where = f"event {each.event} ({each.what}): {each.variant}, case {n}"
                        wrong.append(f"{where}: expected {now!r}, found {then!r}")
        finally:
            worker.close()
    name = f"{len(chosen)} of {len(everything):,} evaluations, run again, give the recorded scores"
    if excused:
        out.print(Text(f"- {excused} cases failed then or now by time or memory: not compared", style="note"))
    if repeatable:
        return _report(out, name, wrong)
    spread = ", ".join(signed(difference) for difference in differences[:8])
    out.print(
        Text(
            "- this problem's scores do not repeat, so running again cannot tell forgery from noise;",
            style="note",
        )
    )
    out.print(Text(f"  mean differences of {len(chosen)} evaluations: {spread}", style="note"))
    return 0


def _restore(ledger: GitLedger, events: Sequence[Event], folder: Path) -> Problem:
    """The problem as the run recorded it. Raises BadInput where it is none."""
    files = {
        name.removeprefix("problem/"): data
        for name, data in ledger.files(0).items()
        if name.startswith("problem/")
    }
    seed = next(iter(ledger.variants()))
    files |= {f"program/{name}": data for name, data in ledger.variant(seed).files.items()}
    for name, data in files.items():
        path = folder / name
        if not path.resolve().is_relative_to(folder.resolve()):
            raise BadInput("RUN", "paths inside the problem's folder", repr(name))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return load(folder)
