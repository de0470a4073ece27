"""A run is made again from its record: the same decisions, and no request."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from noisy import SD, write_problem
from openai_server import Answer, serving

from evolve.executor import LocalExecutor, Recovery
from evolve.models.recorded import first_difference
from evolve.replaying import replay
from evolve.restored import restore
from evolve.run import RunOptions, run
from evolve.types import CaseKey, Evaluation, Event, Files, Job, Json, ModelError
from fitness.doubles import SyntheticFitness, noise
from fitness.problem import load
from populations.ledger import GitLedger


def answer(body: dict[str, Any], number: int) -> Answer:
    """Numbers, now and then one that was given before, prose, no program, or an error."""
    kind = number % 7
    text = (
        f"A number.\n```python\ndef solve(case):\n    return 0.{(number - 3 * (kind == 1)) % 900:03d}\n```\n"
    )
    if kind == 2:
        text = "No program at all."
    if kind == 3:
        return Answer("busy", 500)
    return Answer(text, delay_seconds=0.002 * (number * 7 % 11))


def score(files: Files, key: CaseKey) -> float:
    """Some number for whatever the program is."""
    return float(np.clip(SD * noise(files, key), -5, 5))


class Uneven(SyntheticFitness):
    """Takes its time, so that four workers land in another order than they started."""

    def evaluate(self, job: Job) -> Evaluation:
        time.sleep(0.001 * (hash(job.files["program.py"]) % 5))
        return super().evaluate(job)


def play(
    folder: Path,
    models: tuple[str, ...],
    trials: int,
    operators: tuple[str, ...] | None,
    to: str = "run.git",
) -> Json:
    problem = load(folder / "numbers")
    recovery = Recovery(Job(problem.seed_files, (CaseKey("search", 0),)), problem.worst)
    executor = LocalExecutor(lambda: Uneven(score), 4, recovery)
    options = RunOptions(
        str(folder / "numbers"), folder / to, trials=trials, models=models, operators=operators
    )
    try:
        return run(options, executor=executor)
    finally:
        executor.close()


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, int]:
    """A run of 200 trials with two models and four workers, in two sessions, and its requests."""
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    write_problem(tmp_path / "numbers", search=2, sealed=4)
    with serving(answer) as server:
        settings = f"price=1/2,tries=1,at_once=8,base={server.url}"
        models = (f"openai/one,{settings}", f"openai/two,{settings}")
        play(tmp_path, models, 120, ("syntax", "tune", "rewrite"))
        play(tmp_path, models, 200, ("syntax", "rewrite"))
        return tmp_path, len(server.requests)


def test_a_replay_makes_the_same_decisions_and_no_request(recorded: tuple[Path, int]) -> None:
    folder, requests = recorded
    with GitLedger.read(folder / "run.git") as ledger:
        found = replay(ledger, restore(ledger, folder / "again"))
        assert found.different == []
        assert found.digest == ledger.digest()
        rows = [row for event in ledger.events() for row in event.measured.get("exchanges", ())]
        trials = [event for event in ledger.events() if event.kind == "trial"]
    assert found.trials == 200
    assert {row["model"] for row in rows} == {"openai/one", "openai/two"}
    assert len(rows) == requests > 30 and found.replies == sum("error" not in row for row in rows)
    verdicts = {event.decision["verdict"] for event in trials}
    assert verdicts >= {"evaluated", "duplicate", "no_child"}
    done = subprocess.run(
        [sys.executable, "-m", "evolve", "replay", "run.git"], capture_output=True, text=True, cwd=folder
    )
    assert done.returncode == 0, done.stdout
    assert "200 trials asked for again" in done.stdout and "0 requests" in done.stdout


def test_recorded_replies_serve_a_changed_program_which_is_told_where_it_differs(
    recorded: tuple[Path, int],
) -> None:
    folder, _ = recorded
    rewrite = ("rewrite",)
    same = play(folder, (f"replay:{folder / 'run.git'}",), 10, rewrite, to="same.git")
    assert same["trials"] == 10 and same["usd"] == 0
    (folder / "numbers" / "statement.md").write_text("Return another number.\n")
    play(folder, (f"replay:{folder / 'run.git'}",), 10, rewrite, to="changed.git")
    with GitLedger.read(folder / "changed.git") as ledger:
        rows = [row for event in ledger.events() for row in event.measured.get("exchanges", ())]
    assert len(rows) >= 10
    for row in rows:
        assert "was 'Return a larger number.', is 'Return another number.'" in row["parameters"]["differs"]
    with pytest.raises(ModelError, match="no recorded reply is left"):
        play(folder, (f"replay:{folder / 'run.git'}",), 400, rewrite, to="changed.git")


def test_a_choice_that_is_not_the_recorded_one_is_named(tmp_path: Path) -> None:
    write_problem(tmp_path / "numbers", search=2, sealed=4)
    play(tmp_path, (), 20, None)

    class Forged(GitLedger):
        """Says that the parents of a trial were others."""

        def events(self, first: int = 0) -> Any:
            for event in super().events(first):
                changed = event.kind == "trial" and event.decision["trial"] == 9
                yield self._forged(event) if changed else event

        @staticmethod
        def _forged(event: Event) -> Event:
            return replace(
                event, decision={**event.decision, "operator": "crossover", "parents": ["0-0"] * 2}
            )

    with Forged.read(tmp_path / "run.git") as ledger:
        found = replay(ledger, restore(ledger, tmp_path / "again"))
        assert found.digest != ledger.digest()
    assert any(line.startswith("trial 9: ") for line in found.different)


def test_where_two_prompts_part() -> None:
    assert first_difference("a\nb\nc", "a\nx\nc") == "line 2: was 'b', is 'x'"
    assert first_difference("a", "a\nb") == "line 2: was 'its end', is 'b'"
