"""A GGUF file served on the loopback by a process of our own, from when it is first needed to the end.

The server dies with the run, however that ends: the kernel kills it when the thread that started it is gone.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from threading import Lock, Thread
from typing import NamedTuple

from evolve.types import ModelError


class Address(NamedTuple):
    """Where a server listens, and what it wants to hear before it answers."""

    url: str
    key: str


@dataclass(frozen=True, slots=True)
class Load:
    """What a server loads, and how much of it."""

    path: Path
    context_tokens: int  # of each prompt with its reply
    at_once: int  # prompts
    threads: int


class Server:
    """One process for one file."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self._lock = Lock()
        self._address: Future[Address] | None = None
        self._process: subprocess.Popen[str] | None = None
        self._closed = False

    def address(self) -> Future[Address]:
        """Start it, once; the future raises ModelError where it cannot."""
        with self._lock:
            if self._address is None:
                self._address = Future()
                # this thread lives as long as the process does: it is whose death the kernel watches for
                Thread(target=self._serve, args=(self._address,), name="gguf", daemon=True).start()
            return self._address

    @property
    def ended(self) -> bool:
        """Whether it was started and is no more."""
        return self._process is not None and self._process.poll() is not None

    def close(self) -> None:
        """Kill it. Idempotent."""
        with self._lock:
            self._closed = True
            process = self._process
        if process is not None:
            process.kill()
            process.wait()

    def _serve(self, address: Future[Address]) -> None:
        key = secrets.token_urlsafe()
        load = self.load
        paths = os.pathsep.join(path or os.getcwd() for path in sys.path)  # it imports what we would
        asked = [os.getpid(), str(load.path), load.context_tokens, load.at_once, load.threads, key]
        with tempfile.TemporaryFile("w+") as log:
            with self._lock:
                if self._closed:
                    address.set_exception(ModelError(f"{load.path.name}: the run is over"))
                    return
                process = self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "evolve.models.serving"],
                    env={**os.environ, "PYTHONPATH": paths},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                    start_new_session=True,  # Ctrl-C in a terminal is the run's affair
                )
            assert process.stdin is not None and process.stdout is not None
            with process.stdin, process.stdout:
                try:
                    process.stdin.write(json.dumps(asked))
                    process.stdin.close()
                except BrokenPipeError:
                    pass
                if url := process.stdout.readline().strip():
                    address.set_result(Address(url, key))
                code = process.wait()
            if not url:
                log.seek(0)
                address.set_exception(ModelError(_why(log.read(), code)))


def _why(log: str, code: int) -> str:
    """Why a server did not start, by what it logged; the first error is the cause."""
    lines = [line.partition(" E ")[2] for line in log.splitlines() if " E " in line]
    found = next((line for line in lines if "error" in line), lines[0] if lines else "")
    if code < 0:
        return f"the server was ended by {signal.Signals(-code).name} while it loaded the file"
    said = found.partition(": ")[2] or log.strip().rpartition("\n")[2]
    return " ".join(said.split()) or f"its server ended with status {code}"
