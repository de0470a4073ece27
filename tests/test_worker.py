from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from problem_folders import EVALUATE, TOML, cases, evaluate, write
from processes import alive, children

from evolve.types import BadInput, EvaluatorError, Job, SandboxUnavailable, Walls
from fitness import wire
from fitness.problem import load
from fitness.process import ENVIRONMENT, Zygote
from fitness.worker import Worker

# What the evaluator does when an answer is one of seven; anything else is scored as ever.
TREACHEROUS = EVALUATE.replace(
    "def score(case, answer):",
    """
def score(case, answer):
    import ctypes, os, time
    if answer == 101:
        open("hangs", "w").close()
        while True:
            time.sleep(1)
    if answer == 102:
        print("last words")
        os._exit(3)
    if answer == 103:
        raise KeyError("broken")
    if answer == 104:
        ctypes.PyDLL(None).sleep(1000)  # holds the interpreter: no thread of this process can run
    if answer == 105:
        return {"score": 1, "feedback": " ".join(os.environ)}
    if answer == 107:
        os.kill(os.getpid(), 9)
    if answer == 106:
        import random, numpy
        return {"score": 1, "feedback": f"{random.random()} {numpy.random.random()}"}
""",
)
QUICK = TOML.replace("seconds = 20.0", "seconds = 1.0")  # for what only a deadline ends


def answering(number: int) -> Job:
    return Job({"program.py": f"def double(case):\n    return {number}\n".encode()}, cases(1))


HONEST = Job(
    {"program.py": b"def double(case):\n    return 2 * case['number']\n"}, cases(3), keep_answers=True
)


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    worker = Worker(write(tmp_path / "problem", evaluate=TREACHEROUS), Walls("none", trusted=True))
    yield worker
    worker.close()


@pytest.fixture
def hasty(tmp_path: Path) -> Iterator[Worker]:
    """It gives up soon."""
    folder = write(tmp_path / "problem", toml=QUICK, evaluate=TREACHEROUS)
    worker = Worker(folder, Walls("none", trusted=True), slack_seconds=0.5)
    yield worker
    worker.close()


def all_gone(pids: list[int]) -> bool:
    return not any(map(alive, pids))


def within(seconds: float, condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


def family(pid: int) -> list[int]:
    """A process and all below it."""
    return [pid] + [member for child in children(pid) for member in family(child)]


def test_it_scores_as_the_evaluator_does(worker: Worker, tmp_path: Path) -> None:
    assert worker.level == "none"
    there = worker.evaluate(HONEST)
    here = evaluate(tmp_path / "problem", HONEST.files["program.py"].decode())
    assert (there.scores, there.failures, there.answers) == (here.scores, here.failures, here.answers)
    assert there.scores == (10, 10, 10)
    assert there.answers == (b"0", b"2", b"4")


def test_failures_and_feedback_cross(worker: Worker) -> None:
    evaluation = worker.evaluate(Job({"program.py": b"def double(case):\n    return 1 / 0\n"}, cases(2)))
    assert [failure.kind for failure in evaluation.failures if failure] == ["crash", "crash"]
    assert "2 of 2 cases failed" in evaluation.feedback
    assert evaluation.failed


@pytest.mark.parametrize("number", [101, 104])
def test_a_hung_evaluator_is_killed_with_its_sandbox_and_replaced(hasty: Worker, number: int) -> None:
    hasty.evaluate(HONEST)
    members = family(hasty.pid)
    assert len(members) > 1
    with pytest.raises(EvaluatorError, match=r"did not finish a job of 1 cases within 5\.5 s"):
        hasty.evaluate(answering(number))
    assert within(60, partial(all_gone, members))
    assert hasty.evaluate(HONEST).mean == 10


def test_a_program_that_starts_slowly_and_never_ends_is_no_machinery(hasty: Worker) -> None:
    """As long as a program can take, which is more than limit, score and slack of each case."""
    source = b"import time\ntime.sleep(1.9)\ndef double(case):\n    time.sleep(9)\n"
    evaluation = hasty.evaluate(Job({"program.py": source}, cases(2)))
    assert [failure.kind for failure in evaluation.failures if failure] == ["timeout"] * 2


def test_a_crashed_evaluator_says_how_and_is_replaced(worker: Worker) -> None:
    with pytest.raises(EvaluatorError, match=r"exit code 3\): last words"):
        worker.evaluate(answering(102))
    assert worker.evaluate(HONEST).mean == 10


def test_an_evaluator_killed_in_a_job_fails_it_and_one_killed_between_jobs_is_replaced(
    worker: Worker,
) -> None:
    worker.evaluate(HONEST)
    os.kill(pid := worker.pid, signal.SIGKILL)
    assert within(60, partial(all_gone, [pid]))
    assert worker.evaluate(HONEST).mean == 10 and worker.pid != pid
    with pytest.raises(EvaluatorError, match="exit code -9"):
        worker.evaluate(answering(107))
    assert worker.evaluate(HONEST).mean == 10


def test_an_exception_of_the_evaluator_costs_no_restart(worker: Worker) -> None:
    pid = worker.pid
    with pytest.raises(EvaluatorError, match="score raised KeyError: 'broken'"):
        worker.evaluate(answering(103))
    assert worker.evaluate(HONEST).mean == 10
    assert worker.pid == pid


def test_signals_for_the_driver_do_not_end_it(worker: Worker) -> None:
    worker.evaluate(HONEST)
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(worker.pid, number)
    assert worker.evaluate(HONEST).mean == 10


def test_close_ends_a_running_job_and_everything(worker: Worker, tmp_path: Path) -> None:
    worker.evaluate(HONEST)
    members = family(worker.pid)

    def close_once_it_hangs() -> None:
        assert within(600, (tmp_path / "problem" / "hangs").exists)
        worker.close()

    threading.Thread(target=close_once_it_hangs).start()
    with pytest.raises(EvaluatorError, match="ended during a job"):
        worker.evaluate(answering(101))
    assert within(60, partial(all_gone, members))
    worker.close()
    with pytest.raises(EvaluatorError, match="closed"):
        worker.evaluate(HONEST)


def test_the_environment_does_not_cross(worker: Worker) -> None:
    names = set(worker.evaluate(answering(105)).feedback.split())
    assert len(set(os.environ) - set(ENVIRONMENT)) > 0
    assert names <= {
        *ENVIRONMENT,
        "LANG",
        "PYTHONPATH",
        "OPENBLAS_NUM_THREADS",
        "OMP_NUM_THREADS",
        "LC_CTYPE",
    }


def test_it_outlives_the_thread_that_started_it(tmp_path: Path) -> None:
    made: list[Worker] = []
    folder = write(tmp_path / "problem")
    thread = threading.Thread(target=lambda: made.append(Worker(folder, Walls("none", trusted=True))))
    thread.start()
    thread.join()
    assert made[0].evaluate(HONEST).mean == 10
    pid = made[0].pid
    levels: list[str] = []
    threads = [threading.Thread(target=lambda: levels.append(made[0].level)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert levels == ["none"] * 4
    assert alive(pid)
    made[0].close()


@pytest.mark.parametrize("number", [0, 104])
def test_it_ends_with_its_parent_idle_or_hung(tmp_path: Path, number: int) -> None:
    folder = write(tmp_path / "problem", evaluate=TREACHEROUS)
    code = f"""
import sys, threading, time
sys.path[:0] = {sys.path!r}
from evolve.types import CaseKey, Job, Walls
from fitness.worker import Worker
worker = Worker({str(folder)!r}, Walls("none", trusted=True))
worker.level
print(worker.pid, flush=True)
program = b"def double(case): return {number}"
worker.evaluate(Job({{"program.py": program}}, (CaseKey("search", 0),)))
time.sleep(1000)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        time.sleep(0.3)  # now the job is over, or hangs in `score`
        members = family(pid)
        assert len(members) > 1
        assert all(map(alive, members))
        parent.kill()
    assert within(60, partial(all_gone, members))


@pytest.fixture
def twins(tmp_path: Path) -> Iterator[tuple[Zygote, list[Worker]]]:
    """Two workers whose evaluators have one origin."""
    folder = write(tmp_path / "problem", evaluate=TREACHEROUS)
    with closing(Zygote("none")) as zygote:
        workers = [Worker(folder, Walls("none", trusted=True), zygote=zygote) for _ in range(2)]
        yield zygote, workers
        for worker in workers:
            worker.close()


def test_evaluators_of_one_zygote_draw_each_its_own_numbers(twins: tuple[Zygote, list[Worker]]) -> None:
    drawn = [worker.evaluate(answering(106)).feedback.split() for worker in twins[1]]
    assert len(drawn[0]) == 2 and not set(drawn[0]) & set(drawn[1])


def test_a_zygote_that_was_killed_is_replaced_and_takes_nobody_along(
    twins: tuple[Zygote, list[Worker]],
) -> None:
    zygote, workers = twins
    assert [worker.evaluate(HONEST).mean for worker in workers] == [10, 10]
    os.kill(zygote.pid, signal.SIGKILL)
    assert workers[0].evaluate(HONEST).mean == 10
    with pytest.raises(EvaluatorError, match="exit code -9"):
        workers[1].evaluate(answering(107))
    assert workers[1].evaluate(HONEST).mean == 10


@pytest.mark.parametrize("kind", ["docker", "bubblewrap"])
def test_a_zygote_has_one_thread_and_ends_with_its_parent(tmp_path: Path, kind: str) -> None:
    """What other threads held when it forks would be held for ever."""
    code = f"""
import sys, time
sys.path[:0] = {sys.path!r}
from pathlib import Path
from fitness.process import Zygote
zygote = Zygote({kind!r})
process = zygote.fork(Path({str(tmp_path)!r}))
print(zygote.pid, process.pid, flush=True)
time.sleep(1000)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pids = [int(word) for word in parent.stdout.readline().split()]
        assert [len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in pids] == [1, 1]
        assert {*pids} <= {*family(parent.pid)} and pids[1] not in family(pids[0])
        parent.kill()
    assert within(60, partial(all_gone, pids))


def test_what_is_wrong_with_a_problem_crosses_as_bad_input(tmp_path: Path) -> None:
    toml = TOML.replace("worst", 'packages = ["no_such"]\nworst')
    worker = Worker(write(tmp_path / "problem", toml=toml), Walls("none", trusted=True))
    for _ in range(2):
        with pytest.raises(BadInput, match="no_such"):
            worker.evaluate(HONEST)
    worker.close()
    worker = Worker(write(tmp_path / "other", evaluate="import no_such\n"), Walls("none", trusted=True))
    with pytest.raises(BadInput, match="no_such installed"):
        _ = worker.level
    worker.close()


def test_without_a_sandbox_nothing_runs_unless_trusted(tmp_path: Path) -> None:
    worker = Worker(write(tmp_path / "problem"), Walls("none"))
    with pytest.raises(SandboxUnavailable):
        worker.evaluate(HONEST)
    worker.close()


def test_a_problem_that_changes_under_a_run_is_judged_as_it_was_loaded(tmp_path: Path) -> None:
    problem = load(write(tmp_path / "problem"))
    (tmp_path / "problem" / "evaluate.py").write_text("raise RuntimeError\n")
    (tmp_path / "problem" / "problem.toml").unlink()
    worker = Worker(problem, Walls("none", trusted=True))
    assert worker.evaluate(HONEST).mean == 10
    worker.close()


@pytest.mark.parametrize("name", ["tsp_constructive", "circle_packing"])
def test_a_problem_crosses_whole(name: str) -> None:
    problem = load(name)
    assert wire.unpack_problem(json.loads(json.dumps(wire.pack_problem(problem)))) == problem
