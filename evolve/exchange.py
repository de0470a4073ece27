"""Elites of other runs of the same problem: shown to them and asked in, while the search goes on.

A thread of its own talks to the meeting place, so nobody waits for a network. An immigrant enters as an
ordinary trial, at fixed places in the order of trials; which one it was stands in its decision, and it is
evaluated here like any child. So a replay finds it where it was, and nothing of the other run counts but its
files.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from threading import Event as Signal
from threading import Lock, Thread

from evolve.history import trial_of
from evolve.operators.territory import Territory, syntax_error
from evolve.types import BadInput, Event, Json, LedgerError, Proposal, Variant
from populations import records, story
from populations.ledger import GitLedger
from populations.meeting import MOST_ANCESTORS, Elite, Immigrant, Meeting
from populations.trees import tree_id

OPERATOR = "immigrant"
EVERY = 10  # trials: at such an index somebody may be asked in
SHOWN = 5  # elites
MEET_SECONDS = 5.0  # between two looks at the meeting place, at the least
MOST_WAITING = 16  # immigrants
CLOSE_SECONDS = 10.0  # for the last push


class Elites:
    """Folds events: the champion and the best search scores."""

    def __init__(self) -> None:
        self._sign = 1
        self._best: list[tuple[float, int, str]] = []  # a heap whose root is the worst
        self._scores: dict[str, float] = {}  # raw, of those shown and of all that were champion
        self._champion: str | None = None

    def tell(self, event: Event) -> None:
        """Fold one event."""
        if event.kind == "start":
            self._sign = -1 if event.decision["direction"] == "minimise" else 1
        elif event.kind == "promotion":
            self._champion = event.decision["variant"]
        elif event.kind == "demotion":
            self._champion = event.decision["champion"]
        elif event.kind == "trial":
            trial = trial_of(event, self._sign)
            if trial.variant is not None and trial.value is not None:
                self._champion = self._champion or trial.variant
                self._scores[trial.variant] = self._sign * trial.value
                heapq.heappush(self._best, (trial.value, -trial.index, trial.variant))
                if len(self._best) > SHOWN:
                    heapq.heappop(self._best)

    def shown(self) -> list[tuple[str, float]]:
        """Variants and raw scores: the champion, then the best ones, best first."""
        best = [id for _, _, id in sorted(self._best, reverse=True)]
        names = dict.fromkeys([*([self._champion] if self._champion else []), *best])
        return [(id, self._scores[id]) for id in names if id in self._scores]


class Exchange:
    """A run's side of a meeting place: a listener that shows elites, and a source of immigrants.

    `tell` and `take` are the loop's; `notice` is told what the thread could not do, "" when it can again.
    """

    def __init__(self, meeting: Meeting, ledger: GitLedger, notice: Callable[[str], None]) -> None:
        self._meeting, self._ledger, self._notice = meeting, ledger, notice
        self._elites = Elites()
        self._seen: set[str] = set()  # commits that were asked in
        self._lock = Lock()  # guards what follows
        self._show: tuple[str, list[Elite]] | None = None
        self._waiting: deque[Immigrant] = deque()
        self._trouble = ""
        self._awake, self._closed = Signal(), Signal()
        self._thread = Thread(target=self._meet, name="exchange", daemon=True)
        self._thread.start()

    def tell(self, event: Event) -> None:
        """Hear one event: what may be shown, and who has come."""
        self._elites.tell(event)
        if event.kind == "trial" and event.decision["operator"] == OPERATOR:
            self._seen.add(event.decision["details"]["commit"])
        moved = event.kind in ("promotion", "demotion", "stop", "resume")
        if moved or (event.kind == "trial" and event.decision["trial"] % EVERY == 0):
            commits = self._ledger.variants()
            elites = [Elite(id, commits[id], score) for id, score in self._elites.shown()]
            with self._lock:
                self._show = self._ledger.head, elites
            self._awake.set()

    def take(self, trial: int, known: Callable[[str], bool]) -> Proposal | None:
        """Who comes in as this trial, if it is time for one; `known`: whether a tree is here already."""
        if trial % EVERY:
            return None
        with self._lock:
            while self._waiting:
                immigrant = self._waiting.popleft()
                if immigrant.commit not in self._seen and not known(tree_id(immigrant.files)):
                    self._seen.add(immigrant.commit)
                    return proposal_of(immigrant)
        return None

    def close(self) -> None:
        """Show what there is in the end. Idempotent."""
        self._closed.set()
        self._awake.set()
        self._thread.join(CLOSE_SECONDS)

    def _meet(self) -> None:
        while True:
            self._awake.wait()
            self._awake.clear()
            over = self._closed.is_set()
            with self._lock:
                show, self._show = self._show, None
            try:
                if show is not None and not self._meeting.push(*show):
                    with self._lock:  # git has them in a moment
                        self._show = self._show or show
                if not over:
                    self._receive(self._meeting.fetch())
            except LedgerError as error:
                self._say(f"{error}; the run goes on without it")
            else:
                self._say("")
            if over:
                return
            self._closed.wait(MEET_SECONDS)
            self._awake.set()

    def _receive(self, immigrants: Sequence[Immigrant]) -> None:
        """Those who wait: in turn one of each run, best first; who is not shown any more is out."""
        runs: dict[str, deque[Immigrant]] = {}
        for each in immigrants:
            if each.commit not in self._seen:
                runs.setdefault(each.run, deque()).append(each)
        with self._lock:
            self._waiting = deque(_in_turn([runs[run] for run in sorted(runs)], MOST_WAITING))

    def _say(self, text: str) -> None:
        if text != self._trouble:
            self._trouble = text
            self._notice(text)


def _in_turn(queues: Sequence[deque[Immigrant]], most: int) -> Iterator[Immigrant]:
    while most > 0 and any(queues):
        for queue in queues:
            if queue and most > 0:
                most -= 1
                yield queue.popleft()


def proposal_of(immigrant: Immigrant) -> Proposal:
    """An immigrant as a child; where it comes from stays with it."""
    details: dict[str, Json] = {
        "run": immigrant.run,
        "head": immigrant.head,
        "variant": immigrant.variant,
        "commit": immigrant.commit,
        "ancestry": list(immigrant.ancestry),
    }
    idea = f"{immigrant.variant} of run {immigrant.run[:12]}, as of {immigrant.head[:12]}"
    return Proposal(immigrant.files, idea, details=details)


def decision_of(trial: int, told: int, seed: str) -> dict[str, Json]:
    """Of an immigrant's attempt. Its parent here is the seed; its ancestry stands in its details."""
    return {"trial": trial, "told": told, "operator": OPERATOR, "parents": [seed]}


# ----------------------------------------------------------------------------------- without a meeting place


def merge(ledger: GitLedger, other: GitLedger, territory: Territory, most: int) -> list[str]:
    """Write elites of another run down as children to be evaluated when this run goes on; their ids there.

    Raises BadInput where the other run is of another problem.
    """
    here, there = ledger.event(0), other.event(0)
    if here.decision["problem"] != there.decision["problem"]:
        raise BadInput(
            "OTHER",
            f"a run of the same problem, {_named(here)}",
            f"one of {_named(there)}",
        )
    elites, last, told, seed, session = Elites(), 0, 0, "", here.measured
    for event in other.events():
        elites.tell(event)
    known = set[str]()
    for event in ledger.events():
        told = event.index
        session = event.measured if event.kind == "resume" else session
        if event.kind in ("trial", "proposal"):
            last = max(last, event.decision["trial"])
            known.add(event.decision.get("tree") or "")
            seed = seed or str(event.decision.get("variant"))
    last = max([last, *(decision["trial"] for decision, _ in ledger.pending())])
    known |= {str(decision.get("tree")) for decision, _ in ledger.pending()}
    merged: list[str] = []
    commits = other.variants()
    for id, score in elites.shown()[:most]:
        found = other.variant(id)
        tree = tree_id(found.files)
        if tree in known or territory.violation(found.files) or syntax_error(found.files):
            continue
        known.add(tree)
        last += 1
        ancestry = _line(other, found)
        came = Immigrant(other.root, other.head, id, commits[id], score, ancestry, found.files)
        child = proposal_of(came)
        paid, files = records.encode_paid(child)
        if not merged:  # the run goes on: its sealed draws are opened anew in the end
            told = ledger.append("resume", {"changes": {}}, session).index
        decision = records.complete(decision_of(last, told, seed), child)
        ledger.append("proposal", decision, paid, files=files)
        merged.append(id)
    ledger.sync()
    return merged


def _line(run: GitLedger, variant: Variant) -> tuple[str, ...]:
    """Commits of a variant and of its first parents up to the seed."""
    commits, line = run.variants(), [variant.id]
    while (parents := run.variant(line[-1]).parents) and len(line) < MOST_ANCESTORS:
        line.append(parents[0])
    return tuple(commits[id] for id in line)


def _named(start: Event) -> str:
    problem = start.decision["problem"]
    return story.one_line(f"{problem['name']} ({problem['digest'][:12]})")
