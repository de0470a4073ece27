"""Objects out of git: one long-lived `git cat-file --batch`, and a second one where a whole run is read."""

from __future__ import annotations

import contextlib
import subprocess
import threading
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import IO

from evolve.types import LedgerError
from populations.repository import complaints, said, start


class Reader:
    """Reads objects by name: a hash, a ref, `hash:path`, `hash^{tree}`. Started at the first question."""

    def __init__(self, git_dir: Path) -> None:
        self._git_dir = git_dir
        self._batch: _CatFile | None = None

    def find(self, name: str) -> tuple[str, str, bytes] | None:
        """Hash, type and content of an object, None if there is no such name."""
        if "\n" in name:  # ends a question
            return None
        if self._batch is None:
            self._batch = _CatFile(self._git_dir)
        self._batch.ask(name)
        return self._batch.answer(name)

    def content(self, name: str) -> bytes:
        """Content of an object. Raises LedgerError naming it where it is missing or corrupt."""
        found = self.find(name)
        if found is None:
            raise LedgerError(f"run {self._git_dir}: object {name} is missing or corrupt")
        return found[2]

    def files(self, tree: str) -> dict[str, bytes]:
        """Every file below a tree, by path."""
        found: dict[str, bytes] = {}
        data = self.content(tree)
        at = 0
        while at < len(data):
            space, end = data.index(b" ", at), data.index(b"\0", at)
            mode, name, blob = data[at:space], data[space + 1 : end].decode(), data[end + 1 : end + 21].hex()
            at = end + 21
            if mode == b"40000":
                found |= {f"{name}/{path}": content for path, content in self.files(blob).items()}
            else:
                found[name] = self.content(blob)
        return found

    def stream(self, names: Sequence[str]) -> Generator[bytes, None, None]:
        """Contents of many objects in order, by a process of their own that reads ahead."""
        process = _CatFile(self._git_dir, "--buffer")
        # git's answers would block it, and so us, if nobody read while the questions are written
        asking = threading.Thread(target=process.ask_all, args=(names,), name="ledger questions", daemon=True)
        asking.start()
        try:
            for name in names:
                answer = process.answer(name)
                if answer is None:
                    raise LedgerError(f"run {self._git_dir}: object {name} is missing or corrupt")
                yield answer[2]
        finally:
            process.close()
            asking.join()

    def close(self) -> None:
        """End git. Idempotent; a later question starts it again."""
        if self._batch is not None:
            self._batch.close()
        self._batch = None


class _CatFile:
    def __init__(self, git_dir: Path, *options: str) -> None:
        self._git_dir = git_dir
        self._said = complaints()
        self._process = start(
            git_dir, "cat-file", "--batch", *options, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self._said, bufsize=1 << 17,
        )  # fmt: skip
        assert self._process.stdin is not None and self._process.stdout is not None
        self._questions: IO[bytes] = self._process.stdin
        self._answers: IO[bytes] = self._process.stdout

    def ask(self, name: str) -> None:
        try:
            self._questions.write(name.encode() + b"\n")
            self._questions.flush()
        except BrokenPipeError:  # the answer will say why
            pass

    def ask_all(self, names: Sequence[str]) -> None:
        try:
            self._questions.write("".join(f"{name}\n" for name in names).encode())
            self._questions.close()
        except (BrokenPipeError, ValueError):  # closed meanwhile
            pass

    def answer(self, name: str) -> tuple[str, str, bytes] | None:
        header = self._answers.readline()
        words = header.split()
        if header.endswith(b" missing\n"):
            return None
        if len(words) == 3 and words[2].isdigit():
            size = int(words[2])
            data = self._answers.read(size + 1)
            if len(data) == size + 1:
                return words[0].decode(), words[1].decode(), data[:-1]
        raise LedgerError(f"run {self._git_dir}: object {name} cannot be read: {said(self._said)}")

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._questions, self._answers, self._said):
            with contextlib.suppress(BrokenPipeError):
                stream.close()
