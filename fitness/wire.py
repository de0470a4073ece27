"""What crosses between a worker and its evaluator process: JSON behind a length, jobs in, evaluations out."""

from __future__ import annotations

import base64
import json
import socket
import struct
import time

from evolve.types import (
    BadInput,
    CaseKey,
    Evaluation,
    EvaluatorError,
    EvolveError,
    Failure,
    Job,
    Json,
    SandboxUnavailable,
)

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


def pack_job(job: Job) -> Json:
    """A job as JSON."""
    return {
        "files": {path: _text(data) for path, data in job.files.items()},
        "cases": job.cases,
        "keep_answers": job.keep_answers,
    }


def unpack_job(packed: Json) -> Job:
    """The job that `pack_job` packed."""
    files = {path: _bytes(text) for path, text in packed["files"].items()}
    return Job(files, tuple(CaseKey(*key) for key in packed["cases"]), packed["keep_answers"])


def pack_evaluation(evaluation: Evaluation) -> Json:
    """An evaluation as JSON; its floats come back bit-equal."""
    return {
        "scores": evaluation.scores,
        "failures": [failure and [failure.kind, failure.detail] for failure in evaluation.failures],
        "seconds": evaluation.seconds,
        "metrics": dict(evaluation.metrics),
        "feedback": evaluation.feedback,
        "answers": [None if answer is None else _text(answer) for answer in evaluation.answers],
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
    )


def pack_error(error: EvolveError) -> Json:
    """One of the errors that cross as themselves."""
    arguments = [error.where, error.expected, error.got] if isinstance(error, BadInput) else [str(error)]
    return {"error": type(error).__name__, "arguments": arguments}


def unpack_error(packed: Json) -> EvolveError:
    """The error that `pack_error` packed."""
    return _ERRORS[packed["error"]](*packed["arguments"])


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
