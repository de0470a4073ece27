"""`kill -9` of the process group at random moments, then the same command: nothing lost, nothing twice."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from fitness.doubles import number_problem
from populations.ledger import GitLedger

KILLS = 20
TRIALS = 400
WORKERS = 2

EVALUATE = """
import os

WITNESS = {witness!r}


def case(split, seed):
    return [split, seed]


def score(case, answer):
    if case[0] == "search":  # on disk before anybody hears of the score
        with open(WITNESS, "a") as file:
            file.write(repr(answer) + "\\n")
            file.flush()
            os.fsync(file.fileno())
    return float(answer)
"""
PROGRAM = """import time


def solve(case):
    time.sleep(1 / 100)  # no number that an operator moves
    return 0.0
"""


@pytest.fixture
def problem(tmp_path: Path) -> Path:
    evaluate = EVALUATE.format(witness=str(tmp_path / "witness"))
    return number_problem(tmp_path / "witnessed", PROGRAM, evaluate)


def command(problem: Path, run: Path) -> list[str]:
    options = ["--trials", str(TRIALS), "--workers", str(WORKERS), "--operators", "evolve.doubles.Nudge"]
    return [sys.executable, "-m", "evolve", "run", str(problem), "--to", str(run), *options, "--json"]


def witnessed(tmp_path: Path) -> list[float]:
    """Answers that were scored, in order; a torn last line was never finished."""
    path = tmp_path / "witness"
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [float(line) for line in lines if line.endswith("\n")]


def recorded(run: Path) -> list[float]:
    if not run.exists():
        return []
    with GitLedger.read(run) as ledger:
        return [
            e.measured["scores"][0] for e in ledger.events() if e.kind == "trial" and "scores" in e.measured
        ]


def landed(run: Path) -> list[float]:
    """Scores that the next session will find beside the ledger."""
    path, found = run / "evolve" / "landed", []
    for line in path.read_text().split("\n") if path.exists() else []:
        with suppress(ValueError):  # torn by a kill
            found.append(json.loads(line)["scores"][0])
    return found


def test_twenty_kills(problem: Path, tmp_path: Path) -> None:
    run, rng = tmp_path / "run.git", random.Random(1)
    seeds = 4  # the seed program is scored four times before the run begins
    for _ in range(KILLS):
        process = subprocess.Popen(
            command(problem, run),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(rng.uniform(0.2, 2.0))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        time.sleep(0.1)  # for the sandboxes, which die with their parent, to be gone
        answers = Counter(a for a in witnessed(tmp_path) if a != 0.0)
        lost = set(answers) - set(recorded(run)) - set(landed(run))
        assert len(lost) <= WORKERS, "at most one job a worker is lost"
    done = subprocess.run(command(problem, run), capture_output=True, text=True, check=True)
    result = json.loads(done.stdout)
    assert result["trials"] == TRIALS

    scores, answers = recorded(run), Counter(witnessed(tmp_path))
    assert Counter(scores)[0.0] == 1
    assert max(Counter(scores).values()) == 1, "no child has two trials"
    assert set(answers) <= set(scores), "every witnessed child has a trial"
    again = sum(count - 1 for answer, count in answers.items() if answer != 0.0)
    assert again <= KILLS * WORKERS
    assert answers[0.0] <= seeds * (KILLS + 1)
    with GitLedger.read(run) as ledger:
        trials = [e.decision["trial"] for e in ledger.events() if e.kind == "trial"]
    assert len(trials) == len(set(trials)) == TRIALS + 1

    fsck = subprocess.run(
        ["git", "-C", str(run), "fsck", "--strict", "--no-dangling"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert fsck.stdout == ""
    subprocess.run([sys.executable, "-m", "evolve", "verify", str(run)], check=True, capture_output=True)
