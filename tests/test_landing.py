"""Results that wait for the ledger outlive the process, once, and nothing else does."""

from concurrent.futures import Future
from pathlib import Path

from evolve.landing import Landing, job_key
from evolve.types import CaseKey, Evaluation, EvaluatorError, Failure, Job


def done(score: float) -> Future[Evaluation]:
    future: Future[Evaluation] = Future()
    future.set_result(
        Evaluation((score, -1.0), (None, Failure("crash", "é")), (0.1, 0.2), {"m": 1.0}, "f", (b"\0", None))
    )
    return future


def job(source: bytes, split: str = "search") -> Job:
    return Job({"program.py": source}, (CaseKey(split, 1), CaseKey(split, 2)))  # type: ignore[arg-type]


def test_what_was_noted_is_found_by_the_next_session(tmp_path: Path) -> None:
    first = Landing(tmp_path / "landed")
    first.note("a", done(1.0))
    first.note("b", done(2.0))
    first.settle(["a"])
    second = Landing(tmp_path / "landed")  # the first one was killed: nobody closed it
    assert second.recover("b") == done(2.0).result()
    assert second.recover("b") is None


def test_what_the_ledger_has_is_forgotten(tmp_path: Path) -> None:
    first = Landing(tmp_path / "landed")
    first.note("a", done(1.0))
    first.note("b", done(2.0))
    first.settle(["a"])
    first.close()
    second = Landing(tmp_path / "landed")
    assert second.recover("a") is None
    assert second.recover("b") is not None


def test_a_torn_line_and_a_failure_leave_nothing(tmp_path: Path) -> None:
    first = Landing(tmp_path / "landed")
    first.note("a", done(1.0))
    broken: Future[Evaluation] = Future()
    broken.set_exception(EvaluatorError("gone"))
    first.note("b", broken)
    path = tmp_path / "landed"
    path.write_bytes(path.read_bytes() + b'{"key": "c", "sco')
    second = Landing(path)
    assert [second.recover(key) is not None for key in "abc"] == [True, False, False]


def test_a_closed_one_keeps_what_the_ledger_lacks(tmp_path: Path) -> None:
    first = Landing(tmp_path / "landed")
    first.note("a", done(1.0))
    first.note("b", done(2.0))
    first.settle(["b"])
    first.close()
    first.close()
    first.note("c", done(3.0))
    assert (tmp_path / "landed").read_bytes().count(b"\n") == 1


def test_a_job_is_named_by_its_program_and_its_cases() -> None:
    keys = {job_key(job(b"x")), job_key(job(b"y")), job_key(job(b"x", "gate"))}
    assert len(keys) == 3
    assert job_key(job(b"x")) == job_key(job(b"x"))
