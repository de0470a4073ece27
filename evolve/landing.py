"""Results that are not in the ledger yet, kept so that a kill costs a worker one job at the most."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Collection
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from threading import Lock

from evolve.history import evaluation_of, evaluation_record
from evolve.lines import Lines
from evolve.types import Evaluation, Exchange, Executor, Job, Json
from populations.records import canonical
from populations.trees import tree_id


def job_key(job: Job) -> str:
    """Names a job by its program and its cases."""
    cases = hashlib.sha256(repr([tuple(case) for case in job.cases]).encode()).hexdigest()
    rival = "" if job.rival is None else f"-{tree_id(job.rival)}"
    errand = (
        ""
        if job.errand is None
        else f"-{hashlib.sha256(canonical(job.errand.case).encode()).hexdigest()[:16]}"
    )
    return f"{tree_id(job.files)}-{cases[:16]}{rival}{errand}"


class Landing:
    """A file that gets a line the moment that a job ends, in the thread that drives the worker.

    Not synced to the disk: it outlives a killed process, which the ledger alone would too, but milliseconds
    later, when the worker has begun, or even ended, its next job.
    """

    def __init__(self, path: Path) -> None:
        self._lock = Lock()
        self._lines = Lines(path, _intact_lines(path))  # what the ledger may not have, by job
        self._earlier = set(self._lines)  # of earlier sessions

    def submit(self, executor: Executor, job: Job) -> tuple[str, Future[Evaluation]]:
        """Start a job, or give what an earlier session's brought; and the key to settle it by."""
        key = job_key(job)
        if (evaluation := self.recover(key)) is not None:
            future: Future[Evaluation] = Future()
            future.set_result(evaluation)
            return key, future
        future = executor.submit(job)
        future.add_done_callback(partial(self.note, key))
        return key, future

    def recover(self, key: str) -> Evaluation | None:
        """What an earlier session's job brought before that session was killed; once."""
        with self._lock:
            if key not in self._earlier:
                return None
            self._earlier.discard(key)
            return _decode(self._lines[key])

    def note(self, key: str, future: Future[Evaluation]) -> None:
        """Write down what a job brought; nothing if it was cancelled or the machinery failed."""
        if future.cancelled() or future.exception() is not None:
            return
        line = _encode(key, future.result())
        with self._lock:
            self._lines.put(key, line)

    def settle(self, keys: Collection[str]) -> None:
        """Forget jobs whose results the ledger has."""
        with self._lock:
            self._earlier.difference_update(keys)
            self._lines.forget(keys)

    def close(self) -> None:
        """Free the file. Idempotent."""
        with self._lock:
            self._lines.close()


def _intact_lines(path: Path) -> dict[str, bytes]:
    found = {}
    for line in path.read_bytes().split(b"\n") if path.exists() else []:
        with suppress(ValueError, KeyError, TypeError):  # torn: it is run again
            _decode(line)
            found[json.loads(line)["key"]] = line + b"\n"
    return found


def _encode(key: str, evaluation: Evaluation) -> bytes:
    record: dict[str, Json] = {"key": key, **evaluation_record(evaluation)}
    if evaluation.answers:
        record["answers"] = [a and base64.b64encode(a).decode() for a in evaluation.answers]
    if evaluation.asked:
        record["asked"] = [asdict(exchange) for exchange in evaluation.asked]
    if evaluation.rival is not None:
        record["rival"] = evaluation_record(evaluation.rival)
    return json.dumps(record).encode() + b"\n"


def _decode(line: bytes) -> Evaluation:
    record = json.loads(line)
    evaluation = evaluation_of(record)
    if evaluation is None:
        raise ValueError("no scores")
    answers = tuple(a and base64.b64decode(a) for a in record.get("answers", ()))
    asked = tuple(Exchange(**exchange) for exchange in record.get("asked", ()))
    return replace(evaluation, answers=answers, asked=asked, rival=evaluation_of(record.get("rival", {})))
