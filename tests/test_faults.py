"""Faults that a run outlives, made for real: evaluators killed, gone for a while or for good; a full disk."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from processes import alive, children, evaluators

from evolve.doubles import Nudge
from evolve.executor import LocalExecutor, Recovery
from evolve.run import RunOptions, run
from evolve.types import BadInput, CaseKey, EvaluatorError, Event, Job, Json, Parent, Proposal, Walls
from fitness.doubles import number_problem
from fitness.problem import load
from fitness.worker import Worker
from populations.ledger import GitLedger

BARE = Walls("none", trusted=True)
PROGRAM = "import time\n\n\ndef solve(case):\n    time.sleep(1 / 50)\n    return 0.5\n"
EVALUATE = """
import os


def case(split, seed):
    return seed


def score(case, answer):
    if answer == 13.0:
        os._exit(3)  # it kills whoever judges it
    return float(answer)
"""
# Of the children whose last digit is even, and of the others, the first to be judged loses its evaluator.
MORTAL = """
import os
import signal
from contextlib import suppress
from pathlib import Path


def case(split, seed):
    return seed


def score(case, answer):
    if answer != 0.5:
        grave = Path("odd" if round(answer * 1e9) % 2 else "even")
        with suppress(FileExistsError):
            grave.touch(exist_ok=False)
            os.kill(os.getpid(), signal.SIGKILL)
    return float(answer)
"""


@pytest.fixture
def problem(tmp_path: Path) -> Path:
    return number_problem(tmp_path / "frail", PROGRAM, EVALUATE, search=2, sealed=5)


class Poisoner(Nudge):
    """Its third child kills whoever judges it; the others are harmless."""

    name = "poisoner"

    def __init__(self, problem: object) -> None:
        super().__init__(problem)
        self.made = 0

    def propose(self, parents: Sequence[Parent], rng: np.random.Generator) -> Proposal:
        self.made += 1
        if self.made == 3:
            return Proposal({"program.py": b"def solve(case):\n    return 13.0\n"}, "poison")
        return super().propose(parents, rng)


class Listening:
    """Does something after so many trials."""

    def __init__(self, **acts: object) -> None:
        self.acts = {int(name.removeprefix("after")): act for name, act in acts.items()}
        self.trials = 0

    def tell(self, event: Event) -> None:
        """Hear one event."""
        self.trials += event.kind == "trial"
        act = self.acts.pop(self.trials, None)
        if callable(act):
            act()


def kill_all() -> None:
    """Once there are as many as workers: one that starts later would not be struck."""
    while len(found := evaluators(os.getpid())) < 2:
        time.sleep(0.01)
    for pid in found:
        os.kill(pid, signal.SIGKILL)


def play(problem: Path, listening: Listening, operator: str = "evolve.doubles.Nudge", **more: object) -> Json:
    options = RunOptions(
        str(problem), problem.parent / "run.git", trials=20, workers=2, operators=(operator,),
        walls=BARE,
    )  # fmt: skip
    return run(options, [listening], **more)  # type: ignore[arg-type]


def trials(result: Json) -> list[Event]:
    with GitLedger.read(Path(result["run"])) as ledger:
        return [event for event in ledger.events() if event.kind == "trial"]


@contextmanager
def impatient(problem: Path, said: list[str], seconds: float) -> Iterator[LocalExecutor]:
    """Two workers as a run has them, given up sooner."""
    loaded = load(problem)
    known = Job(loaded.seed_files, (CaseKey("search", 0),))
    recovery = Recovery(known, loaded.worst, patience_seconds=seconds, notice=said.append)
    executor = LocalExecutor(lambda: Worker(loaded, BARE), 2, recovery)
    try:
        yield executor
    finally:
        executor.close()


def test_evaluators_that_die_at_work_cost_nothing_but_a_second_try(problem: Path) -> None:
    (problem / "evaluate.py").write_text(MORTAL)
    result = play(problem, Listening())
    assert result["trials"] == 20 and result["failures"] == {}
    survived = [event.measured["survived"] for event in trials(result) if "survived" in event.measured]
    assert len(survived) == 2 and all("exit code -9" in text for (text,) in survived)


def test_killed_evaluators_cost_nothing_but_a_second_try(problem: Path) -> None:
    """Wherever the kill finds them; all at once, so that it strikes no job twice."""
    result = play(problem, Listening(after8=kill_all))
    assert result["trials"] == 20 and result["failures"] == {}


def test_a_program_that_kills_its_workers_becomes_a_failure_of_its_own(problem: Path) -> None:
    result = play(problem, Listening(), "test_faults.Poisoner")
    assert result["trials"] == 20 and result["failures"] == {"machinery": 1}
    (poison,) = [event for event in trials(result) if event.decision["verdict"] == "failed"]
    assert poison.decision["idea"] == "poison"
    assert len(poison.measured["survived"]) == 2
    assert "exit code 3" in poison.measured["failures"]["0"]["detail"]


def test_an_outage_is_waited_for_and_never_scored(problem: Path) -> None:
    """No evaluator can be started while the problem's folder, where it runs, is away."""
    away, said = problem.with_name("away"), list[str]()

    def go() -> None:
        problem.rename(away)
        kill_all()

    def notice(text: str) -> None:
        said.append(text)
        if text:
            time.sleep(1)
            away.rename(problem)

    result = play(problem, Listening(after5=go), notice=notice)
    assert result["trials"] == 20 and result["failures"] == {}
    assert len(said) == 2 and "cannot be started" in said[0] and said[1] == ""


def test_a_machinery_that_is_gone_for_good_stops_the_run_which_can_be_resumed(problem: Path) -> None:
    away, said = problem.with_name("away"), list[str]()

    def go() -> None:
        problem.rename(away)
        kill_all()

    with (
        impatient(problem, said, seconds=1) as executor,
        pytest.raises(EvaluatorError, match=r"cannot be started.*the same command goes on"),
    ):
        play(problem, Listening(after5=go), executor=executor)
    away.rename(problem)
    result = play(problem, Listening())
    found = trials(result)
    assert sorted(event.decision["trial"] for event in found) == list(range(21))
    assert result["failures"] == {} and len(said) == 1


def test_what_never_worked_is_said_at_once(problem: Path) -> None:
    (problem / "evaluate.py").write_text(EVALUATE.replace("answer == 13.0", "answer == 0.5"))
    with pytest.raises(EvaluatorError, match="exit code 3") as raised:
        play(problem, Listening())
    assert "the same command goes on" not in str(raised.value), "nobody has waited for anything"


def test_of_two_programs_that_took_turns_the_one_is_found_that_kills(problem: Path) -> None:
    poison = b"def solve(case):\n    return 13.0\n"
    honest = b"def solve(case):\n    return 1.0\n"
    cases = (CaseKey("gate", 1), CaseKey("gate", 2))
    toml = (problem / "problem.toml").read_text().replace("maximise", "minimise")
    toml = toml.replace("worst = -100.0", 'worst = 100\nresource = "cpu"')
    toml = toml.replace("range = [-100.0, 100.0]", "range = [0, 100]").replace("[-10.0, 10.0]", "[-0.5, 0.5]")
    (problem / "problem.toml").write_text(toml)
    evaluate = EVALUATE.replace("answer):", "answer, seconds):")
    (problem / "evaluate.py").write_text(evaluate)
    with impatient(problem, [], seconds=5) as executor:
        job = Job({"program.py": honest}, cases, rival={"program.py": poison})
        found = executor.submit(job).result(timeout=600)
    assert found.failures == (None, None) and found.rival is not None
    assert [failure.kind for failure in found.rival.failures if failure] == ["machinery"] * 2
    assert len(found.survived) == 1 and len(found.rival.survived) == 3


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[Path]:
    """A disk of its own that soon is full."""
    folder.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "evolve-test", str(folder)], check=True
    )
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_stops_the_run_and_loses_nothing(problem: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", kilobytes=2000) as disk:
        at = disk / "run.git"
        command = [sys.executable, "-m", "evolve", "run", str(problem), "--to", str(at)]
        command += ["--workers", "2", "--operators", "evolve.doubles.Nudge"]
        command += ["--sandbox", "none", "--i-trust-the-programs", "--trials"]
        with subprocess.Popen([*command, "5000"], stderr=subprocess.PIPE, text=True) as running:
            while len(events(at)) < 10:
                assert running.poll() is None
                time.sleep(0.1)
            with (disk / "ballast").open("wb", buffering=0) as ballast, suppress(OSError):
                while ballast.write(bytes(1 << 10)):
                    pass
            _, said = running.communicate(timeout=600)
        print(said)
        assert running.returncode == 1 and "Traceback" not in said
        (line,) = [line for line in said.splitlines() if line.startswith("error:")]
        assert (
            "No space left on device" in line or "Out of diskspace" in line
        ) and "the same command goes on" in line
        before = events(at)
        (disk / "ballast").unlink()
        total = before[-1].index + 20
        subprocess.run([*command, str(total)], capture_output=True, check=True)
        after = events(at)
        assert after[: len(before)] == before
        assert sorted(e.decision["trial"] for e in after if e.kind == "trial") == list(range(total + 1))
        subprocess.run([sys.executable, "-m", "evolve", "verify", str(at)], check=True, capture_output=True)


def test_a_kill_between_two_moves_of_git_is_named_and_mended(problem: Path, tmp_path: Path) -> None:
    at = tmp_path / "run.git"
    evolve = [sys.executable, "-m", "evolve"]
    command = [*evolve, "run", str(problem), "--to", str(at), "--workers", "2", "--baseline", "hill-climb"]
    command += ["--operators", "evolve.doubles.Nudge", "--sandbox", "none", "--i-trust-the-programs"]

    def git(*arguments: str) -> list[str]:
        done = subprocess.run(["git", "-C", str(at), *arguments], capture_output=True, text=True, check=True)
        return done.stdout.split()

    def verify() -> tuple[int, str]:
        done = subprocess.run([*evolve, "verify", str(at)], capture_output=True, text=True)
        return done.returncode, done.stdout

    with subprocess.Popen([*command, "--trials", "5000"], stderr=subprocess.DEVNULL) as running:
        while not at.exists() or len(git("tag")) < 2:
            assert running.poll() is None
            time.sleep(0.1)
        below = children(running.pid)  # its git among them
        running.kill()
    while any(map(alive, below)):
        time.sleep(0.01)
    first, last = git("tag")[0], git("tag")[-1]
    git("tag", "-d", last)
    git("update-ref", "refs/heads/champion", git("rev-parse", f"{first}^{{}}")[0])
    status, said = verify()
    assert status == 0 and "killed between two moves" in said and "refs/heads/champion" in said, said
    logged = subprocess.run([*evolve, "log", str(at), "--json"], capture_output=True, text=True, check=True)
    told = [json.loads(line) for line in logged.stdout.splitlines()]
    crowned = {event["variant"] for event in told if event["kind"] == "promotion"}
    passed_over = [e["event"] for e in told if e["kind"] == "trial" and e["variant"] not in {None, *crowned}]
    never = git("rev-parse", git("rev-list", "--first-parent", "--reverse", "events")[passed_over[1]] + "^2")[
        0
    ]
    git("update-ref", "refs/heads/champion", never)
    assert verify()[0] == 1, "a place where it never was is no kill's doing"
    subprocess.run([*command, "--trials", "1"], capture_output=True, check=True)
    assert last in git("tag")
    status, said = verify()
    assert status == 0 and "killed" not in said


def events(at: Path) -> list[Event]:
    """Of the run as anybody sees it now."""
    with suppress(BadInput), GitLedger.read(at) as ledger:
        return list(ledger.events())
    return []
