"""Events into git: one long-lived `git fast-import`, fed in batches by a thread of its own.

The loop hands over commits whose hashes it knows already; the thread writes them, has git make them visible
about once a second (a checkpoint: one pack, refs moved), and compares git's hash of the last one with ours.
What is not yet in a checkpoint exists in the journal only. Figures: `benchmarks/ledger.py`.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evolve.types import LedgerError
from populations.journal import sync_folder
from populations.repository import CHAMPION, EVENTS, complaints, said, start
from populations.trees import IDENTITY

CHECKPOINT_EVENTS = 500
CHECKPOINT_SECONDS = 1.0
# each checkpoint is a pack that the process pins until it ends
RESTART_EVENTS = 2000
RESTART_CHECKPOINTS = 64
FEW_PACKS = 8  # are not worth the joining: a short run would spend a twentieth of its time on it

# fast-import can only commit to a branch; this one is cleared before each checkpoint, so it never exists
_SCRATCH = "refs/evolve/variant"


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit to write; `id` is what git will call it."""

    id: str
    parents: tuple[str, ...]
    date: int  # seconds since 1970
    message: bytes
    blobs: Mapping[str, str]  # path -> blob
    contents: Mapping[str, bytes]  # the same paths -> content


@dataclass(frozen=True, slots=True)
class Tag:
    """An annotated tag to write."""

    name: str
    commit: str
    date: int
    message: bytes


@dataclass(frozen=True, slots=True)
class Entry:
    """What one event brings to git. Without an `event` it only restores refs."""

    count: int  # events in git when this one is
    event: Commit | None = None
    variant: Commit | None = None
    champion: str | None = None  # the commit that the branch moves to
    tag: Tag | None = None


class Writer:
    """The background thread and its git. `confirmed`: how many events are in git, visible and durable."""

    def __init__(self, git_dir: Path, lock: int, confirmed: int) -> None:
        self.confirmed = confirmed
        self._git_dir = git_dir
        self._lock = lock
        self._failure = ""
        self._entries: list[Entry] = []
        self._hurry = self._closing = False
        self._change = threading.Condition()
        self._thread: threading.Thread | None = None
        self._import: _FastImport | None = None
        self._repack: subprocess.Popen[bytes] | None = None

    def check(self) -> None:
        """Raise LedgerError if git has failed."""
        if self._failure:
            raise LedgerError(self._failure)

    def put(self, entries: Sequence[Entry]) -> None:
        """Hand over entries, in order."""
        self.check()
        with self._change:
            self._entries.extend(entries)
            self._change.notify_all()
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="ledger", daemon=True)
            self._thread.start()

    def wait(self, count: int) -> None:
        """Return when `count` events are in git; raises LedgerError if that will not be."""
        with self._change:
            self._hurry = True
            self._change.notify_all()
            self._change.wait_for(lambda: self.confirmed >= count or self._failure)
        self.check()

    def close(self) -> None:
        """Write what is left and end git. Idempotent; `check` says whether all went well."""
        with self._change:
            self._closing = True
            self._change.notify_all()
        if self._thread is not None:
            self._thread.join()
        self._thread = None

    def _work(self) -> None:
        try:
            while self._step():
                pass
        except Exception as error:  # whatever it is, the loop's thread raises it
            with self._change:
                self._failure = (
                    f"run {self._git_dir}: git stopped writing: {error}. What was recorded is kept in the "
                    "journal, the same command goes on"
                )
                self._change.notify_all()
            if self._import is not None:
                self._import.kill()
        if self._repack is not None:
            self._repack.wait()

    def _step(self) -> bool:
        git = self._import
        with self._change:
            due = git.seconds_to_checkpoint() if git is not None and git.waiting else None
            self._change.wait_for(lambda: self._entries or self._closing or self._hurry, due)
            entries, self._entries = self._entries, []
            hurry, closing = self._hurry, self._closing
            self._hurry = False
        if entries:
            if git is None:
                git = self._import = _FastImport(self._git_dir, self._lock)
            git.feed(entries)
        if git is not None and git.waiting and (hurry or closing or git.seconds_to_checkpoint() <= 0):
            count = git.checkpoint()
            with self._change:
                self.confirmed = count
                self._change.notify_all()
        if git is not None and not git.waiting and (closing or git.old):
            git.end()
            self._import = None
            self._start_repack()
        return not closing or bool(self._entries)

    def _start_repack(self) -> None:
        """Join small packs in the background: each event is rewritten O(log n) times in a run's life."""
        if self._repack is not None and self._repack.poll() is None:
            return
        if sum(1 for _ in (self._git_dir / "objects" / "pack").glob("*.pack")) < FEW_PACKS:
            return
        # it inherits the lock, so that nobody sweeps its files away under it
        self._repack = start(
            self._git_dir, "-c", "pack.threads=1", "repack", "-d", "-q", "-n", "--geometric=2",
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            pass_fds=(self._lock,),
        )  # fmt: skip
        os.setpriority(os.PRIO_PGRP, self._repack.pid, 10)  # the loop goes first


class _FastImport:
    """One `git fast-import` process, from its start to its end."""

    def __init__(self, git_dir: Path, lock: int) -> None:
        self._git_dir = git_dir
        self._said = complaints()
        # core.fsync: refs too; --done: a stream cut by our death is not taken for a finished one. It inherits
        # the lock, so that a run is not opened again while the git of a killed one still moves refs
        self._process = start(
            git_dir, "-c", "fastimport.unpackLimit=1", "-c", "core.fsync=all",
            "fast-import", "--quiet", "--done", "--force", "--date-format=raw",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said, pass_fds=(lock,),
        )  # fmt: skip
        self._marks: dict[
            str, int
        ] = {}  # commits of this process: git finds them by mark only, until a checkpoint
        self._blobs: set[str] = set()
        self._tip = ""  # of the branch of events, as this process left it
        self._count = 0
        self._fed = self._checkpoints = 0
        self._since = time.monotonic()
        self.waiting = 0  # entries since the last checkpoint

    @property
    def old(self) -> bool:
        """Whether it pins so many packs that another one should take over."""
        return self._fed >= RESTART_EVENTS or self._checkpoints >= RESTART_CHECKPOINTS

    def seconds_to_checkpoint(self) -> float:
        """Until the next checkpoint of what waits is due."""
        if self.waiting >= CHECKPOINT_EVENTS:
            return 0.0
        return max(0.0, self._since + CHECKPOINT_SECONDS - time.monotonic())

    def feed(self, entries: Sequence[Entry]) -> None:
        """Write entries; nobody sees them before a checkpoint."""
        if not self.waiting:
            self._since = time.monotonic()
        lines: list[bytes] = []
        # programs first, side by side: git stores each as its difference from the one before
        for commits in ([entry.variant for entry in entries], [entry.event for entry in entries]):
            for commit in commits:
                if commit is not None:
                    self._write_blobs(commit, lines)
        for entry in entries:
            if entry.variant is not None:
                if not entry.variant.parents:
                    lines.append(b"reset %s\n\n" % _SCRATCH.encode())
                self._write_commit(_SCRATCH, entry.variant, lines)
            if entry.event is not None:
                self._write_commit(EVENTS, entry.event, lines)
                self._tip = entry.event.id
            if entry.champion is not None:
                lines.append(b"reset %s\nfrom %s\n\n" % (CHAMPION.encode(), self._name(entry.champion)))
            if entry.tag is not None:
                tag = entry.tag
                tagger = b"tagger %s %d +0000\n" % (IDENTITY.encode(), tag.date)
                lines.append(b"tag %s\nfrom %s\n%s" % (tag.name.encode(), self._name(tag.commit), tagger))
                lines.append(_data(tag.message))
            self._count = entry.count
        self._fed += len(entries)
        self.waiting += len(entries)
        self._send(b"".join(lines))

    def checkpoint(self) -> int:
        """Make everything fed visible and durable; how many events are in git now."""
        text = b"reset %s\n\ncheckpoint\n\n" % _SCRATCH.encode()
        if self._tip:
            text += b"get-mark :%d\n" % self._marks[self._tip]
        self._send(text + b"progress done\n")
        assert self._process.stdout is not None
        if self._tip:
            answer = self._process.stdout.readline().decode().strip()
            if answer and answer != self._tip:
                raise LedgerError(f"git calls the last event {answer}, evolve {self._tip}")
        if self._process.stdout.readline() != b"progress done\n":
            raise LedgerError(said(self._said))
        # git syncs the files, not the folders that name them
        for folder in ("objects/pack", "refs/heads", "refs/tags", "refs/tags/promotion"):
            if (self._git_dir / folder).is_dir():
                sync_folder(self._git_dir / folder)
        self.waiting = 0
        self._checkpoints += 1
        return self._count

    def end(self) -> None:
        """Let the process finish, which unpins its packs."""
        self._send(b"done\n")
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        status = self._process.wait()
        self._process.stdout.close()
        if status:
            raise LedgerError(said(self._said))
        self._said.close()

    def kill(self) -> None:
        """End it without another word."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdout, self._said):
            if stream is not None:
                stream.close()
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # what it had still buffered
                self._process.stdin.close()

    def _send(self, data: bytes) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(data)
            self._process.stdin.flush()
        except BrokenPipeError:
            raise LedgerError(said(self._said)) from None

    def _name(self, commit: str) -> bytes:
        mark = self._marks.get(commit)
        return commit.encode() if mark is None else b":%d" % mark

    def _write_blobs(self, commit: Commit, lines: list[bytes]) -> None:
        for path, blob in commit.blobs.items():
            if blob not in self._blobs:
                self._blobs.add(blob)
                lines += (b"blob\n", _data(commit.contents[path]))

    def _write_commit(self, branch: str, commit: Commit, lines: list[bytes]) -> None:
        self._marks[commit.id] = mark = len(self._marks) + 1
        committer = f"{IDENTITY} {commit.date} +0000"
        lines.append(f"commit {branch}\nmark :{mark}\ncommitter {committer}\n".encode())
        lines.append(_data(commit.message))
        for position, parent in enumerate(commit.parents):
            if position:
                lines.append(b"merge %s\n" % self._name(parent))
            elif branch != EVENTS or parent != self._tip:  # otherwise it is where the branch stands
                lines.append(b"from %s\n" % self._name(parent))
        lines.append(b"deleteall\n")
        for path, blob in commit.blobs.items():
            quoted = path.replace('"', '\\"')  # no backslash passes `check_path`
            lines.append(f'M 100644 {blob} "{quoted}"\n'.encode())
        lines.append(b"\n")


def _data(content: bytes) -> bytes:
    return b"data %d\n%s\n" % (len(content), content)
