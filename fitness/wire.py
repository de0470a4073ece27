"""What crosses between a worker and its evaluator process: JSON behind a length, jobs in, evaluations out."""

from __future__ import annotations

import base64
import json
import socket
import struct
import time
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from evolve.types import (
    Allowance,
    BadInput,
    CaseKey,
    Errand,
    Evaluation,
    EvaluatorError,
    EvolveError,
    Exchange,
    Failure,
    Files,
    Job,
    Json,
    Limits,
    Resources,
    SandboxUnavailable,
)
from fitness.constraints import Constraint
from fitness.problem import Exam, Problem

_ERRORS = {kind.__name__: kind for kind in (BadInput, EvaluatorError, SandboxUnavailable)}


def send(channel: socket.socket, message: Json) -> None:
    """Send one message. Raises OSError when the other side is gone."""
    data = json.dumps(message, allow_nan=False).encode()
    channel.sendall(struct.pack("!I", len(data)) + data)


def receive(channel: socket.socket, seconds: float | None = None) -> Json:
    """Wait for one message. Raises TimeoutError after `seconds`, EOFError when the other side is gone."""
    deadline = None if seconds is None else time.monotonic() + seconds
    (length,) = struct.unpack("!I", _exactly(channel, 4, deadline))
    return json.loads(_exactly(channel, length, deadline))


def _exactly(channel: socket.socket, length: int, deadline: float | None) -> bytes:
    data = bytearray()
    while len(data) < length:
        # 0 would mean "do not block"; a deadline that has passed still takes what is already there
        channel.settimeout(None if deadline is None else max(deadline - time.monotonic(), 1e-3))
        try:
            part = channel.recv(length - len(data))
        except ConnectionError:
            part = b""
        if not part:
            raise EOFError("the other side is gone")
        data += part
    return bytes(data)


class Asking:
    """The evaluator's side of a broker: whoever gave it the job hears the requests and answers each."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel

    def open(self, job: Job) -> Asking:
        """One job at a time: nothing is to be said about it."""
        return self

    def ask(self, position: int, request: Json) -> Json:
        """Send a request up the channel, wait for what comes back. Raises EOFError if nobody is there."""
        send(self._channel, {"ask": [position, request]})
        return receive(self._channel)["told"]

    def close(self) -> tuple[Exchange, ...]:
        """What was said is known outside."""
        return ()


def pack_problem(problem: Problem) -> Json:
    """A problem as JSON with all its files: an evaluator judges by what was loaded, whatever is there now."""
    return {
        **{each.name: getattr(problem, each.name) for each in fields(problem)},
        "folder": str(problem.folder),
        "limits": asdict(problem.limits),
        "resources": asdict(problem.resources),
        "allowance": problem.allowance and asdict(problem.allowance),
        "exam": problem.exam and asdict(problem.exam),
        "constraints": [each.as_json() for each in problem.constraints],
        "seed_files": _texts(problem.seed_files),
        "documents": _texts(problem.documents),
    }


def unpack_problem(packed: Json) -> Problem:
    """The problem that `pack_problem` packed."""
    plain: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in packed.items()
    }
    plain |= {"folder": Path(packed["folder"]), "limits": Limits(**packed["limits"])}
    plain |= {"resources": Resources(**packed["resources"])}
    plain |= {"allowance": packed["allowance"] and _allowance(packed["allowance"])}
    if packed["exam"] is not None:
        plain |= {"exam": Exam(Limits(**packed["exam"]["limits"]), packed["exam"]["cases"])}
    plain |= {"constraints": tuple(Constraint(**each) for each in packed["constraints"])}
    plain |= {name: _files(packed[name]) for name in ("seed_files", "documents")}
    return Problem(**plain)


def pack_job(job: Job) -> Json:
    """A job as JSON."""
    return {
        "files": _texts(job.files),
        "cases": job.cases,
        "keep_answers": job.keep_answers,
        "rival": None if job.rival is None else _texts(job.rival),
        "alone": job.alone,
        "first": job.first,
        "errand": job.errand and {**asdict(job.errand), "harness": _text(job.errand.harness)},
    }


def unpack_job(packed: Json) -> Job:
    """The job that `pack_job` packed."""
    return Job(
        files=_files(packed["files"]),
        cases=tuple(CaseKey(*key) for key in packed["cases"]),
        keep_answers=packed["keep_answers"],
        rival=None if packed["rival"] is None else _files(packed["rival"]),
        alone=packed["alone"],
        first=packed["first"],
        errand=packed["errand"] and _errand(packed["errand"]),
    )


def _errand(packed: Json) -> Errand:
    return Errand(
        packed["entry"],
        _bytes(packed["harness"]),
        packed["case"],
        Limits(**packed["limits"]),
        _allowance(packed["allowance"]),
    )


def _allowance(packed: Json) -> Allowance:
    return Allowance(**{**packed, "models": tuple(packed["models"])})


def pack_evaluation(evaluation: Evaluation) -> Json:
    """An evaluation as JSON; its floats come back bit-equal."""
    return {
        "scores": evaluation.scores,
        "failures": [failure and [failure.kind, failure.detail] for failure in evaluation.failures],
        "seconds": evaluation.seconds,
        "metrics": dict(evaluation.metrics),
        "feedback": evaluation.feedback,
        "answers": [None if answer is None else _text(answer) for answer in evaluation.answers],
        "fingerprint": evaluation.fingerprint,
        "constrained": dict(evaluation.constrained),
        "rival": None if evaluation.rival is None else pack_evaluation(evaluation.rival),
    }


def unpack_evaluation(packed: Json) -> Evaluation:
    """The evaluation that `pack_evaluation` packed."""
    return Evaluation(
        scores=tuple(packed["scores"]),
        failures=tuple(failure and Failure(*failure) for failure in packed["failures"]),
        seconds=tuple(packed["seconds"]),
        metrics=packed["metrics"],
        feedback=packed["feedback"],
        answers=tuple(None if answer is None else _bytes(answer) for answer in packed["answers"]),
        fingerprint=packed["fingerprint"],
        constrained={metric: tuple(values) for metric, values in packed["constrained"].items()},
        rival=None if packed["rival"] is None else unpack_evaluation(packed["rival"]),
    )


def pack_error(error: EvolveError) -> Json:
    """One of the errors that cross as themselves."""
    arguments = [error.where, error.expected, error.got] if isinstance(error, BadInput) else [str(error)]
    return {"error": type(error).__name__, "arguments": arguments}


def unpack_error(packed: Json) -> EvolveError:
    """The error that `pack_error` packed."""
    return _ERRORS[packed["error"]](*packed["arguments"])


def _texts(files: Files) -> dict[str, str]:
    return {path: _text(data) for path, data in files.items()}


def _files(texts: Mapping[str, str]) -> dict[str, bytes]:
    return {path: _bytes(text) for path, text in texts.items()}


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
