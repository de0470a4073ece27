"""The run as a git repository: the ordered events, the variants, the proposals that wait for their trial.

    append -> the journal, safe at the next `sync` -> the writer's thread -> git, where it stays

Every hash is computed here, so nothing waits for git; `writer` says what git does and when.
"""

from __future__ import annotations

import json
import os
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from evolve.types import BadInput, Event, EventKind, Files, Json, LedgerError, Proposal, Variant
from populations import journal, records, repository, story
from populations.facts import Facts, digest_of
from populations.reader import Reader
from populations.trees import blob_ids, commit_id, tree_of
from populations.writer import Commit, Entry, Tag, Writer

CACHE_BYTES = 16 << 20  # of programs used lately
AHEAD_BYTES = 64 << 20  # of events and programs that git does not have yet; beyond, `sync` waits for it


class _Known(NamedTuple):
    """All that is kept of a variant."""

    commit: str
    event: int  # that brought it
    score: float | None  # raw mean over the search cases


class _Fresh(NamedTuple):
    """An event that git may not have yet."""

    event: Event
    files: Files
    variant: Variant | None
    bytes: int


class _Waiting(NamedTuple):
    """A proposal without a trial: itself if it was free, else the number of its event."""

    decision: Mapping[str, Json]
    kept: Proposal | int
    earlier: tuple[int, ...] = ()  # events of children before it, which went back to the model


class GitLedger:
    """A run. `create`, `open` and `open_or_create` are for its one writer, `read` is for everybody else."""

    def __init__(self, path: Path, git_dir: Path, lock: int | None) -> None:
        self.path = path
        self._git_dir = git_dir
        self._lock = lock
        self._reader = Reader(git_dir)
        self._facts = Facts()
        self._known: dict[str, _Known] = {}
        self._fresh: deque[_Fresh] = deque()  # the events after the first `_in_git`
        self._fresh_bytes = 0
        self._fresh_variants: dict[str, Variant] = {}
        self._entries: list[Entry] = []  # of those that the writer has not been given
        self._cache: OrderedDict[str, Variant] = OrderedDict()
        self._cached_bytes = 0
        self._waiting: dict[int, _Waiting] = {}  # by trial
        folder = git_dir / repository.OURS / "journal"
        self._journal = None if lock is None else journal.Journal(folder)
        self._news = journal.News(folder)
        self._settled = False
        try:
            # before git is asked: what a writer drops from its journal meanwhile is in git then
            lines = self._news.read() if self._journal is None else self._journal.take()
            self._commits, abouts = self._history()
            self._abouts = dict(
                enumerate(abouts)
            )  # commits of the variants that events not learned are about
            self._in_git = self._found = len(self._commits)
            self._tail = self._sort_out(lines)
        except BaseException:
            self._reader.close()
            if self._journal is not None:
                self._journal.close()
            raise
        self._writer = None if lock is None else Writer(git_dir, lock, self._in_git)

    # ------------------------------------------------------------------------------------------ opening

    @classmethod
    def create(cls, path: Path | str) -> Self:
        """Begin a run in a new or empty folder. Raises LedgerError if there is a run already."""
        ledger = cls.open_or_create(path)
        if ledger._total:
            ledger.close()
            raise LedgerError(f"run {path}: exists already")
        return ledger

    @classmethod
    def open(cls, path: Path | str) -> Self:
        """Go on with a run, holding its lock until `close`.

        Raises BadInput where there is no run or another process holds it (the message names its id),
        LedgerError where it is damaged or written by a newer version.
        """
        path = Path(path)
        if repository.locate(path) != path:
            raise BadInput(
                str(path), "a bare repository (git clone --mirror makes one)", "a clone to look at"
            )
        return cls._own(path)

    @classmethod
    def open_or_create(cls, path: Path | str) -> Self:
        """Go on with a run, or begin it; a folder that was left half made is completed."""
        path = Path(path)
        if not repository.is_ours(path):
            raise BadInput(str(path), "a run, or a new or empty folder", "something else")
        return cls._own(path)

    @classmethod
    def _own(cls, path: Path) -> Self:
        lock = None
        try:
            lock = repository.hold(path)
            repository.initialise(path)
            repository.sweep(path)
            return cls(path, path.absolute(), lock)
        except BaseException as error:
            if lock is not None:
                os.close(lock)
            if isinstance(error, OSError):
                raise LedgerError(f"run {path}: cannot be opened: {error.strerror}") from error
            raise
        finally:
            _line.cache_clear()

    @classmethod
    def read(cls, path: Path | str) -> Self:
        """Look at a run or a clone, also while another process writes. Raises BadInput, LedgerError."""
        return cls(Path(path), repository.locate(Path(path)).absolute(), None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ------------------------------------------------------------------------------------------ reading

    @property
    def head(self) -> str:
        """Hash of the last event that is in git; it commits to all before. Empty while there is none."""
        self._retire()
        return self._commits[self._in_git - 1] if self._in_git else ""

    @property
    def root(self) -> str:
        """Hash of the first event that is in git: no other run has it. Empty while there is none."""
        self._retire()
        return self._commits[0] if self._in_git else ""

    @property
    def folder(self) -> Path:
        """Where a run keeps what is not git's: the journal, and caches that may be deleted."""
        return self._git_dir / repository.OURS

    @property
    def written(self) -> int:
        """How many events are in git; the rest is in the journal."""
        return self._in_git

    @property
    def settled(self) -> int:
        """How many events git has for good, names and all; of a clone, every one.

        Those after may be only in the journal, or the writer was killed between two moves of git's names.
        """
        first = journal.first(self.folder / "journal")
        return self._total if first is None else first

    @property
    def count(self) -> int:
        """How many events there are, as far as it has looked."""
        return self._total

    def position(self, commit: str) -> int | None:
        """Index of the event in git whose commit has this hash, or one that begins so; None: of none."""
        found = (n for n, known in enumerate(self._commits[: self._in_git]) if known.startswith(commit))
        return next(found, None)

    def digest(self) -> str:
        """Hash of every decision so far, the same for two runs that decided the same."""
        return digest_of(self.events())

    def champion(self) -> str | None:
        """Id of the best proven variant; None before the seed's trial."""
        self._fold()
        return self._facts.champion

    def events(self, first: int = 0) -> Iterator[Event]:
        """Every event from the `first` on, in order; those appended meanwhile too."""
        index = first
        while index < self._total:
            if index < self._in_git:
                names = [f"{commit}:event.json" for commit in self._commits[index : self._in_git]]
                with closing(self._reader.stream(names)) as texts:  # also where an event cannot be read
                    for text in texts:
                        event = records.decode_event(text, index, f"run {self.path}")
                        if index == self._facts.count:
                            self._learn(event, self._abouts.pop(index, None))
                        yield event
                        index += 1
            else:
                if index == self._facts.count:
                    self._admit_next()
                yield self._fresh[index - self._in_git].event
                index += 1

    def refresh(self) -> int:
        """Look again at a run that another process writes; the number of its events now.

        Costs what is new: nothing is read twice. Raises LedgerError where this is another run by now, or
        one that lost its end: it has to be read anew.
        """
        self._fold()
        news = self._news.read()  # before git is asked, as ever
        tip = self._tip()
        known = self._commits[self._in_git - 1] if self._in_git else None
        if tip is None and known is not None:
            raise LedgerError(f"run {self.path}: is not there any more")
        if tip is not None and tip != known:
            commits, abouts = _rows(self._git_dir, tip if known is None else f"{known}..{tip}")
            if known is not None and (not commits or not self._follows(commits[0], known)):
                raise LedgerError(f"run {self.path}: its history is another one than before")
            for commit, about in zip(commits, abouts, strict=True):
                self._found_in_git(commit, about)
        self._tail = self._sort_out(news, self._in_git + len(self._fresh))
        return self._total

    def event(self, index: int) -> Event:
        """One event. Raises LedgerError if there is none."""
        fresh = self._fresh_at(index)
        if fresh is not None:
            return fresh.event
        return records.decode_event(self.file(index, "event.json"), index, f"run {self.path}")

    def file(self, event_index: int, name: str) -> bytes:
        """A file of an event's tree, such as `reply.md`. Raises LedgerError if it has none of that name."""
        fresh = self._fresh_at(event_index)
        if fresh is not None:
            own = records.encode_event(fresh.event).encode() if name == "event.json" else None
            found = fresh.files.get(name, own)
        else:
            answer = self._reader.find(f"{self._commits[event_index]}:{name}")
            found = answer[2] if answer is not None and answer[1] == "blob" else None
        if found is None:
            raise LedgerError(f"run {self.path}: event {event_index} has no file {name!r}")
        return found

    def files(self, event_index: int) -> Files:
        """All files of an event's tree but event.json."""
        fresh = self._fresh_at(event_index)
        if fresh is not None:
            return fresh.files
        found = self._reader.files(f"{self._commits[event_index]}^{{tree}}")
        del found["event.json"]
        return found

    def variant(self, id: str) -> Variant:
        """A variant by its id, program included. Raises LedgerError if there is none."""
        self._fold()
        found = self._fresh_variants.get(id) or self._cache.get(id)
        if found is None:
            known = self._find(id)
            decision = self.event(known.event).decision
            found = Variant(
                id,
                self._reader.files(f"{known.commit}^{{tree}}"),
                tuple(decision.get("parents", ())),
                decision.get("operator", "seed"),
                decision.get("idea", ""),
            )
        self._remember(found)
        return found

    def variants(self) -> Mapping[str, str]:
        """The commit of every variant by its id, in the order of their events."""
        self._fold()
        return {id: known.commit for id, known in self._known.items()}

    def pending(self) -> Sequence[tuple[Mapping[str, Json], Proposal]]:
        """Proposals without a trial, in trial order: (decision, proposal)."""
        self._fold()
        found = []
        for _, (decision, kept, earlier) in sorted(self._waiting.items()):
            if isinstance(kept, int):
                paid = [records.decode_paid(self.event(n), self.files(n)) for n in (*earlier, kept)]
                said = tuple(exchange for each in paid for exchange in each.exchanges)
                kept = replace(paid[-1], exchanges=said)
            found.append((decision, kept))
        return found

    # ------------------------------------------------------------------------------------------ writing

    def append(
        self,
        kind: EventKind,
        decision: Mapping[str, Json],
        measured: Mapping[str, Json] | None = None,
        *,
        variant: Variant | str | None = None,
        files: Files | None = None,
    ) -> Event:
        """Add an event; a `Variant` is stored with it, a `str` refers to one stored before.

        The event returned is as it will be read back: lists for tuples, names of text.
        Raises LedgerError if the journal or git has failed, or a variant that is referred to is not there.
        """
        writer, book = self._writing()
        writer.check()
        self._fold()
        new = variant if isinstance(variant, Variant) else None
        id = variant.id if isinstance(variant, Variant) else variant
        text = records.encode_event(Event(self._total, kind, decision, measured or {}, id))
        event = records.decode_event(text, self._total, f"run {self.path}")
        self._admit(event, text, new, files or {})
        book.append(records.journal_event(text, new, files or {}))
        return event

    def propose(
        self, decision: Mapping[str, Json], proposal: Proposal, measured: Mapping[str, Json] | None = None
    ) -> Event | None:
        """Keep a child until its trial is appended: as an event if a model made it, else in the journal."""
        _, book = self._writing()
        decision = records.complete(decision, proposal)
        if proposal.exchanges:
            paid, files = records.encode_paid(proposal)
            return self.append("proposal", decision, {**paid, **(measured or {})}, files=files)
        self._fold()
        self._waiting[decision["trial"]] = _Waiting(decision, proposal)
        book.append(records.journal_proposal(decision, proposal))
        return None

    def sync(self) -> None:
        """Make everything appended durable. Nothing may act on an event before. Raises LedgerError."""
        writer, book = self._writing()
        writer.check()
        book.sync()
        if self._entries:
            self._settle()
            writer.put(self._entries)
            self._entries = []
        if self._fresh_bytes > AHEAD_BYTES:
            writer.wait(self._total)
        self._retire()
        if book.full:
            book.rotate(self._total, self._free_proposals())
        book.drop(self._in_git)

    def flush(self) -> None:
        """Write everything to git now. Raises LedgerError if that fails; the journal has it all the same."""
        writer, _ = self._writing()
        self._fold()
        self._settle()
        self.sync()
        writer.wait(self._total)
        self._retire()

    def close(self) -> None:
        """Write everything to git and free the lock. Idempotent. Raises LedgerError as `flush` does."""
        self._reader.close()
        if self._lock is None:
            return
        writer, book = self._writing()
        try:
            self.flush()
            book.rotate(self._total, self._free_proposals())
            book.drop(self._total)
        finally:
            writer.close()
            book.close()
            self._reader.close()
            os.close(self._lock)
            self._lock = None
        writer.check()

    # ------------------------------------------------------------------------------------------- inside

    @property
    def _total(self) -> int:
        return self._in_git + len(self._fresh) + len(self._tail)

    def _writing(self) -> tuple[Writer, journal.Journal]:
        if self._lock is None or self._writer is None or self._journal is None:
            raise LedgerError(f"run {self.path}: is not open for writing")
        return self._writer, self._journal

    def _find(self, id: str) -> _Known:
        if id not in self._known:
            raise LedgerError(f"run {self.path}: has no variant {id}")
        return self._known[id]

    def _fresh_at(self, index: int) -> _Fresh | None:
        """An event that is in memory; None if it is in git. Raises LedgerError if there is none."""
        if not 0 <= index < self._total:
            raise LedgerError(f"run {self.path}: has no event {index}, only {self._total}")
        if index < self._in_git:
            return None
        self._fold()
        return self._fresh[index - self._in_git]

    def _history(self) -> tuple[list[str], list[str | None]]:
        """The commits of all events in git, and those of the variants that they are about."""
        if (tip := self._tip()) is None:
            return [], []
        commits, abouts = _line(self._git_dir, tip)
        return list(commits), list(abouts)

    def _tip(self) -> str | None:
        """The commit of the last event in git."""
        for branch in (repository.EVENTS, repository.CLONED_EVENTS):
            if (tip := self._reader.find(branch)) is not None:
                return tip[0]
            if repository.names(self._git_dir, branch):
                raise LedgerError(f"run {self.path}: {branch} names an object that is missing or corrupt")
        return None

    def _follows(self, commit: str, before: str) -> bool:
        """Whether the event of one commit comes right after that of another."""
        found = self._reader.content(commit).split(b"\n", 2)[1]
        return found == f"parent {before}".encode()

    def _found_in_git(self, commit: str, about: str | None) -> None:
        """Git has the next event: one that was known from the journal, or a new one."""
        if not self._fresh:
            self._abouts[self._in_git] = about
            self._commits.append(commit)
            self._in_git += 1
        elif self._commits[self._in_git] == commit:
            self._let_go()
        else:
            raise LedgerError(f"run {self.path}: event {self._in_git} is another one than in the journal")

    def _sort_out(self, lines: Sequence[bytes], known: int | None = None) -> deque[dict[str, Json]]:
        """Split the journal: free proposals to those that wait; events after those `known` are returned."""
        tail: deque[dict[str, Json]] = deque()
        known = self._in_git if known is None else known
        for line in lines:
            record = json.loads(line)
            if "proposal" in record:
                decision, proposal = records.decode_proposal(record["proposal"])
                self._waiting[decision["trial"]] = _Waiting(decision, proposal)
                continue
            missing = known + len(tail)
            if record["event"]["index"] == missing:
                tail.append(record)
            elif record["event"]["index"] > missing:
                raise LedgerError(f"run {self.path}: event {missing} is neither in git nor in the journal")
        return tail

    def _fold(self) -> None:
        """Learn the events that nobody has read yet: once, at the first question that needs all of them."""
        if self._facts.count < self._in_git:
            for _ in self.events(self._facts.count):
                pass
        while self._tail:
            self._admit_next()

    def _admit_next(self) -> None:
        """Admit an event that a killed process left in the journal only."""
        record = self._tail.popleft()
        text = records.canonical(record["event"])
        event = records.decode_event(text, self._in_git + len(self._fresh), f"run {self.path}: journal")
        self._admit(event, text, records.journal_variant(record), records.decode_files(record["files"]))

    def _admit(self, event: Event, text: str, new: Variant | None, files: Files) -> None:
        """Give an event its place after the last: make its commits, learn it, keep it until git has it."""
        where = f"run {self.path}: event {event.index} ({event.kind})"
        if (event.index == 0) != (event.kind == "start"):
            raise LedgerError(f"{where}: a run begins with its start, and only then")
        if "event.json" in files:
            raise LedgerError(f"{where}: event.json is no name for another file")
        target = {"promotion": "variant", "demotion": "champion"}.get(event.kind)
        if target is not None:
            self._find(event.decision[target])
        date = self._facts.date(event)
        score = gain = variant = about = None
        try:
            if new is not None:
                if new.id in self._known:
                    raise LedgerError(f"{where}: variant {new.id} exists already")
                parents = [self._find(id) for id in dict.fromkeys(new.parents)]
                score = story.mean(event.measured.get("scores"))
                if parents and score is not None and parents[0].score is not None:
                    gain = self._facts.sign * (score - parents[0].score)
                models = self._facts.models.get(event.decision.get("trial", -1), "")
                message = story.variant_message(event, new, score, gain, models)
                variant = _commit(new.files, [known.commit for known in parents], date, message)
                about = variant.id
            elif event.variant is not None:
                about = self._find(event.variant).commit
            before = [*self._commits[-1:], *([] if about is None else [about])]
            message = story.event_message(event, new, score, gain)
            told = _commit({"event.json": text.encode(), **files}, before, date, message)
        except (KeyError, TypeError, ValueError) as error:
            raise LedgerError(f"{where}: {error!r}") from error
        champion = self._facts.champion
        self._learn(event, about)
        self._commits.append(told.id)
        size = len(text) + _size(files) + (0 if new is None else _size(new.files))
        self._fresh.append(_Fresh(event, files, new, size))
        self._fresh_bytes += size
        if new is not None:
            self._fresh_variants[new.id] = new
        if self._writer is not None:
            moved = (
                None
                if self._facts.champion in (None, champion)
                else self._find(str(self._facts.champion)).commit
            )
            tag = next(
                (name for name, proof in self._facts.proofs.items() if proof.event == event.index), None
            )
            self._entries.append(
                Entry(event.index + 1, told, variant, moved, None if tag is None else self._tag(tag))
            )

    def _learn(self, event: Event, about: str | None) -> None:
        """Fold one event; `about` is the commit of its variant."""
        try:
            self._facts.tell(event)
            if event.kind == "trial":
                self._waiting.pop(event.decision["trial"], None)
            elif event.kind == "proposal":
                before = self._waiting.get(event.decision["trial"])
                earlier = (*before.earlier, before.kept) if before and isinstance(before.kept, int) else ()
                self._waiting[event.decision["trial"]] = _Waiting(event.decision, event.index, earlier)
        except (KeyError, TypeError, ValueError) as error:
            raise LedgerError(
                f"run {self.path}: event {event.index} ({event.kind}) is not complete: {error!r}"
            ) from error
        if event.variant is not None and event.variant not in self._known and about is not None:
            self._known[event.variant] = _Known(about, event.index, story.mean(event.measured.get("scores")))

    def _tag(self, name: str) -> Tag:
        proof = self._facts.proofs[name]
        return Tag(name, self._find(proof.variant).commit, proof.date, proof.message.encode())

    def _settle(self) -> None:
        """Once: put the branch and the tags right, if a kill came between git's moves of its refs."""
        if self._settled or self._facts.champion is None:
            return
        self._settled = True
        champion = self._find(self._facts.champion).commit
        at = self._reader.find(repository.CHAMPION)
        if self._found and (at is None or at[0] != champion):
            self._entries.append(Entry(self._total, champion=champion))
        for name, proof in self._facts.proofs.items():
            if proof.event < self._found and self._reader.find(f"refs/tags/{name}") is None:
                self._entries.append(Entry(self._total, tag=self._tag(name)))

    def _retire(self) -> None:
        """Forget what git has by now."""
        if self._writer is None:
            return
        for _ in range(self._writer.confirmed - self._in_git):
            self._let_go()

    def _let_go(self) -> None:
        """Git has the oldest of the events in memory."""
        _, _, variant, size = self._fresh.popleft()
        self._fresh_bytes -= size
        self._in_git += 1
        if variant is not None:
            del self._fresh_variants[variant.id]
            self._remember(variant)

    def _remember(self, variant: Variant) -> None:
        """Keep a variant that was of use just now, within CACHE_BYTES."""
        if variant.id not in self._cache:
            self._cache[variant.id] = variant
            self._cached_bytes += _size(variant.files)
        self._cache.move_to_end(variant.id)
        while self._cached_bytes > CACHE_BYTES and len(self._cache) > 1:
            self._cached_bytes -= _size(self._cache.popitem(last=False)[1].files)

    def _free_proposals(self) -> list[bytes]:
        """The lines that the journal must carry on."""
        waiting = sorted(self._waiting.items())
        return [
            records.journal_proposal(decision, kept)
            for _, (decision, kept, _) in waiting
            if isinstance(kept, Proposal)
        ]


@lru_cache(maxsize=1)  # a run is looked at before it is opened, and a hash commits to all before it
def _line(git_dir: Path, tip: str) -> tuple[Sequence[str], Sequence[str | None]]:
    """The commits up to `tip` by their first parents, oldest first, and the second parent of each."""
    return _rows(git_dir, tip)


def _rows(git_dir: Path, range: str) -> tuple[Sequence[str], Sequence[str | None]]:
    rows = repository.output(git_dir, "rev-list", "--first-parent", "--parents", "--reverse", range, "--")
    commits: list[str] = []
    abouts: list[str | None] = []
    for row in rows.decode().splitlines():
        commit, _, about = (*row.split(), None, None)[:3]
        commits.append(str(commit))
        abouts.append(about)
    return commits, abouts


def _commit(files: Files, parents: Sequence[str], date: int, message: str) -> Commit:
    blobs = blob_ids(files)
    text = message.encode(errors="replace")
    return Commit(commit_id(tree_of(blobs), parents, date, text), tuple(parents), date, text, blobs, files)


def _size(files: Files) -> int:
    return 1024 + sum(len(data) for data in files.values())  # with what Python adds
