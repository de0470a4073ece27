"""A model as monitor in whole runs: what it says is recorded, paid for, heard once, and never promotes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from agent_runs import evolve, small
from openai_server import Answer, serving

from evolve.doubles import InlineExecutor
from evolve.flight import Attempt, Flight
from evolve.landing import Landing, job_key
from evolve.models.effects import KnownEffects
from evolve.types import CaseKey, Job, Proposal
from fitness.doubles import TrustedSandbox, number_problem
from fitness.evaluation import ProblemFitness
from fitness.problem import load
from populations import records
from populations.ledger import GitLedger

TRIALS = 8
SCRIPT = """
import sys
from pathlib import Path
from evolve.run import RunOptions, run
place, to, trials, *models = sys.argv[1:]
who = {"models": (models[0],), "monitor": models[1], "operators": ("scaffold",)}
run(RunOptions(place, Path(to), int(trials), workers=1, **who))
"""


class Both:
    """The model of known effects, and one that vetoes what is of no use; both behind one address."""

    def __init__(self, kill_at: int = -1) -> None:
        self.bought: list[tuple[str, str]] = []  # who, and its prompt
        self.process: subprocess.Popen[str] | None = None
        self._kill_at, self._mind = kill_at, KnownEffects()

    def __call__(self, body: dict[str, Any], number: int) -> Answer:
        name, prompt = body["model"], body["messages"][0]["content"]
        self.bought.append((name, f"{body['seed']} {prompt}"))
        if name == "mind":
            asked = self._mind.complete(prompt, body["seed"], temperature=body["temperature"])
            return Answer(asyncio.run(asked).reply, prompt_tokens=10, reply_tokens=10)
        looks = sum(who == "watch" for who, _ in self.bought)
        wait = self._kill if looks == self._kill_at else int
        useless = any(line.startswith(("+# remark", "+Please.", "+unused")) for line in prompt.splitlines())
        return Answer("VETO: of no use" if useless else "PASS", prompt_tokens=100, reply_tokens=5, wait=wait)

    def _kill(self) -> None:
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)

    def run(self, folder: Path, place: Path, to: str, watch: str = "price=1/1") -> int:
        """Start or resume a run; how it ended."""
        with serving(self) as server:
            models = [
                f"openai/{name},base={server.url},{more}"
                for name, more in (("mind", "price=0/0"), ("watch", watch))
            ]
            self.process = subprocess.Popen(
                [sys.executable, "-c", SCRIPT, str(place), to, str(TRIALS), *models],
                stderr=subprocess.PIPE,
                text=True,
                cwd=folder,
                env={**os.environ, "OPENAI_API_KEY": "none"},
                start_new_session=True,
            )
            _, self.error = self.process.communicate()
            return self.process.returncode


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Both]:
    folder, both = tmp_path_factory.mktemp("watched"), Both()
    assert both.run(folder, small(folder), "whole.git") == 0, both.error
    return folder, both


def decided(run: Path) -> list[tuple[Any, ...]]:
    """Every trial's child, verdict and idea."""
    with GitLedger.read(run) as ledger:
        trials = [event for event in ledger.events() if event.kind == "trial"]
        names = ("trial", "tree", "verdict", "idea")
        return [tuple(event.decision.get(name) for name in names) for event in trials]


def test_every_edit_is_looked_at_and_a_veto_ends_it(watched: tuple[Path, Both]) -> None:
    """Half of all edits are useless, which rules let pass: none of 8 in .4 % of all sets of draws."""
    folder, both = watched
    with GitLedger.read(folder / "whole.git") as ledger:
        events = list(ledger.events())
        said = [
            each
            for event in events
            if "exchanges" in event.measured
            for each in records.decode_paid(event, ledger.files(event.index)).exchanges
            if each.model == "openai/watch"
        ]
    trials = [event for event in events if event.kind == "trial" and event.decision["operator"] == "scaffold"]
    judged = [event for event in trials if "monitor" in event.decision["details"]]
    vetoed = [event for event in judged if event.decision["details"]["monitor"] == "veto"]
    assert vetoed and all(event.decision["verdict"] == "refused" for event in vetoed)
    assert all(event.measured["failure"]["detail"] == "monitor: a model: of no use" for event in vetoed)
    assert all(event.variant is None and "scores" not in event.measured for event in vetoed)
    evaluated = [event for event in trials if event.variant is not None]
    assert all(event.decision["details"]["monitor"] == "pass" for event in evaluated)
    assert len(said) == len(judged) == sum(who == "watch" for who, _ in both.bought)
    usd = sum(event.measured.get("usd", 0.0) for event in trials)
    assert usd == pytest.approx(len(said) * 105 / 1e6), "it is paid for as every call is"


def test_such_a_run_is_verified_and_replayed_with_nobody_to_ask(watched: tuple[Path, Both]) -> None:
    folder, _ = watched
    for command in ("verify", "replay"):
        done = evolve(folder, command, "whole.git")
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("look", [1, 3])
def test_killed_while_the_monitor_looks_it_goes_on_and_buys_nothing_else_twice(
    watched: tuple[Path, Both], tmp_path: Path, look: int
) -> None:
    """The agent's child is there still; the look alone is asked for again, and counts twice."""
    folder, whole = watched
    killed = Both(kill_at=look)
    place = folder / "agents-problem"
    assert killed.run(tmp_path, place, "killed.git") == -signal.SIGKILL
    assert killed.run(tmp_path, place, "killed.git") == 0, killed.error
    assert decided(tmp_path / "killed.git") == decided(folder / "whole.git")
    again = Counter(killed.bought) - Counter(whole.bought)
    assert [who for who, _ in again.elements()] == ["watch"]
    assert not Counter(whole.bought) - Counter(killed.bought)
    done = evolve(tmp_path, "verify", "killed.git")
    assert done.returncode == 0, done.stdout


def test_what_an_agent_made_is_kept_for_as_long_as_the_monitor_looks(tmp_path: Path) -> None:
    """No event has it until then, so whatever ends the session must not lose it."""
    problem = load(number_problem(tmp_path / "numbers"))
    settled: list[str] = []
    release = threading.Event()

    async def look() -> Proposal:
        while not release.is_set():
            await asyncio.sleep(0.01)
        return Proposal(None)

    executor = InlineExecutor(ProblemFitness(problem, TrustedSandbox()))
    flight = Flight(executor, Landing(tmp_path / "landed"), settled.extend)
    attempt, job = Attempt({}), Job(problem.seed_files, (CaseKey("search", 0),))
    flight.add(attempt, job)
    flight.launch()
    assert [landed.task for landed in flight.wait(60)] == [attempt]
    flight.add(attempt, look())
    flight.launch()
    flight.launch()
    assert not settled
    release.set()
    assert [landed.task for landed in flight.wait(60)] == [attempt]
    flight.launch()
    assert settled == [job_key(job)]
    flight.close()


def test_a_monitor_without_budget_ends_the_run(tmp_path: Path) -> None:
    """No child goes unwatched because there is no money left to watch it."""
    both = Both()
    assert both.run(tmp_path, small(tmp_path), "poor.git", watch="price=1/1,calls=2") == 0, both.error
    assert sum(who == "watch" for who, _ in both.bought) == 2
    with GitLedger.read(tmp_path / "poor.git") as ledger:
        events = list(ledger.events())
    assert events[-1].decision["reason"] == "calls"
    made = [event for event in events if event.kind == "trial" and event.variant and event.decision["trial"]]
    assert all(event.decision["details"]["monitor"] == "pass" for event in made)


def test_a_monitor_with_nothing_to_look_at_is_refused(tmp_path: Path) -> None:
    words = ["self", "--tasks", "drills", "--model", "known-effects", "--random-edits"]
    done = evolve(tmp_path, *words, "--monitor", "known-effects", "--trials", "1")
    assert done.returncode == 2 and "--monitor" in done.stderr, done.stderr
    other = evolve(tmp_path, *words[:-1], "--monitor", "known-effects,calls=3", "--trials", "1", "--json")
    assert other.returncode == 2 and "--monitor" in other.stderr, json.dumps(other.stderr)
