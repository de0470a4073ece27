"""`evolve self` with a model that is too weak for its checks: refused at little cost, or without them."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
from agent_runs import evolve
from openai_server import Answer, serving

from populations.ledger import GitLedger

WEAK = ["--without-check", "smoke task", "--without-check", "self-edit"]
CANNOT = Answer("I cannot.", prompt_tokens=9, reply_tokens=3)
WRONG = CANNOT._replace(text="=== FILE solution.py\ndef f(numbers):\n    return None\n=== END\n")


class Weak:
    """A model of no use that remembers what it was asked; for some tasks it may answer a wrong program."""

    def __init__(self, folder: Path) -> None:
        self.asked: list[str] = []
        self._folder = folder
        self.wrong = False

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        with serving(self._reply) as server:
            model = f"openai/weak,price=0/0,base={server.url}"
            return evolve(self._folder, "self", "--tasks", "drills", "--model", model, *words)

    def _reply(self, body: dict[str, Any], number: int) -> Answer:
        prompt = body["messages"][0]["content"]
        self.asked.append(prompt)
        return WRONG if self.wrong and len(prompt) % 2 else CANNOT


@pytest.fixture
def weak(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Weak:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    return Weak(tmp_path)


def test_a_seed_that_is_refused_has_paid_for_its_checks_alone(weak: Weak, tmp_path: Path) -> None:
    done = weak.run("--trials", "1", "--to", "r")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "check smoke task" in done.stderr and "--without-check 'smoke task'" in done.stderr
    assert len(weak.asked) == 3 and len(set(weak.asked)) == 1, "its three tries"
    assert not (tmp_path / "r.git").exists()


def test_it_goes_on_without_them_where_something_is_scored(weak: Weak, tmp_path: Path) -> None:
    done = weak.run("--trials", "1", "--to", "none", *WEAK)
    assert done.returncode == 2 and "one search case at least" in done.stderr
    weak.wrong = True
    done = weak.run("--trials", "1", "--to", "r", "--json", *WEAK)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["seed_score"] == 0 and result["trials"] == 1
    with GitLedger.read(tmp_path / "r.git") as ledger:
        written = ledger.file(0, "problem/tasks.toml").decode()
        assert not ledger.event(0).measured["repeatable"], "all tasks fail alike, which shows nothing"
    assert 'without = ["self-edit", "smoke task"]' in written
    assert not any("checked-7f3a" in each or "Drill smoke" in each for each in weak.asked)


def test_no_other_check_can_be_left_out(weak: Weak) -> None:
    done = weak.run("--without-check", "own tests")
    assert done.returncode == 2 and not weak.asked
    assert done.stderr.count("\n") == 1 and "--without-check" in done.stderr and "self-edit" in done.stderr


def test_who_was_not_checked_is_not_put_in_use_and_its_run_goes_on(tmp_path: Path) -> None:
    """With the model of known effects, one worker the run of seed 0 promotes within six trials."""
    words = ["self", "--tasks", "drills", "--model", "known-effects", "--without-check", "self-edit"]
    words += ["--workers", "1", "--to", "r"]
    done = evolve(tmp_path, *words, "--trials", "6")
    assert done.returncode == 0 and " 1 promoted" in done.stdout, done.stdout
    assert "nobody has seen it pass self-edit" in done.stderr
    assert evolve(tmp_path, "agents").stdout.startswith("* seed")
    again = next(line for line in done.stdout.splitlines() if line.startswith("go on"))
    done = evolve(tmp_path, *shlex.split(again)[3:])
    assert done.returncode == 0, done.stderr
    with GitLedger.read(tmp_path / "r.git") as ledger:
        assert sum(event.kind == "trial" for event in ledger.events()) == 1 + 12


@pytest.mark.parametrize("command", ["check", "calibrate"])
def test_what_takes_no_model_says_who_does(tmp_path: Path, command: str) -> None:
    done = evolve(tmp_path, command, "scaffold")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "ask models" in done.stderr and "evolve run takes it" in done.stderr
