"""Runs whose prompts remember: on and off, replayed, carried to other runs, nothing secret in them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from threading import Event as Signal
from typing import Any

import pytest
from noisy import quality, write_problem
from openai_server import Answer, Server, serving

from evolve.cli import main
from evolve.doubles import InlineExecutor
from evolve.operators import create
from evolve.replaying import replay
from evolve.restored import restore
from evolve.run import RunOptions, run
from evolve.types import BadInput, CaseKey, Evaluation, Event, Failure, Files, Job, Json
from fitness.doubles import SyntheticFitness
from fitness.gate import nonce_of
from fitness.problem import load
from populations.ledger import GitLedger

LESSON = "State one lesson, in one sentence"
CRITIQUE = "This program was tried and failed"
FAILS, CRASHES = 7.0, 8.0  # what programs say that fail, and that do not run
SECRETS = {"gate": 4.4, "check": 4.3, "sealed": 3.3}  # splits whose scores are such that one would know them


def score(files: Files, key: CaseKey) -> float:
    return SECRETS.get(key.split, 0.0) + quality(files) + 0.001 * (key.seed % 2)


class Unsound(SyntheticFitness):
    """Some programs crash on every case alike, which a model is told at once, some on each in another way."""

    def evaluate(self, job: Job) -> Evaluation:
        found, count = quality(job.files), len(job.cases)
        if found not in (FAILS, CRASHES):
            return super().evaluate(job)
        names = ["near"] * count if found == CRASHES else [f"x{n}" for n in range(count)]
        why = tuple(Failure("crash", f"NameError: name '{name}' is not defined") for name in names)
        return Evaluation((-5.0,) * count, why, (0.0,) * count)


class Model:
    """Finds a number, now and then one that fails or does not run; says something wise where it is asked."""

    def __call__(self, body: dict[str, Any], number: int) -> Answer:
        prompt = body["messages"][0]["content"]
        if LESSON in prompt:
            return Answer(f"Lesson {number}: larger numbers are better.")
        if CRITIQUE in prompt:
            return Answer(f"Critique {number}: the number is far too large.")
        made = FAILS if number % 5 == 2 else CRASHES if number % 5 == 4 else 0.001 * (number + 1)
        return Answer(f"Idea {number}.\n```python\ndef solve(case):\n    return {made}  # {number}\n```")


def problem(folder: Path) -> Path:
    write_problem(folder / "numbers", search=4, sealed=6)
    toml = folder / "numbers" / "problem.toml"
    toml.write_text(toml.read_text().replace("[program]", "best_known = 4.98765\n[program]"))
    evaluate = folder / "numbers" / "evaluate.py"
    evaluate.write_text(f"# CANARY of the evaluator\n{evaluate.read_text()}")
    (folder / "numbers" / "README.md").write_text("CANARY of the notes\n")
    return folder / "numbers"


def play(
    folder: Path,
    server: Server,
    memory: tuple[str, ...] | None,
    trials: int = 90,
    to: str = "run.git",
    workers: int = 3,
    lessons_from: str | None = None,
    fork: bool = False,
    seed: int = 0,
) -> Json:
    options = RunOptions(
        str(folder / "numbers"),
        folder / to,
        trials=trials,
        models=(f"openai/one,price=1/2,at_once=4,base={server.url}",),
        operators=("rewrite",),
        memory=memory,
        lessons_from=lessons_from,
        fork=fork,
        seed=seed,
    )
    return run(options, executor=InlineExecutor(Unsound(score), workers))


@pytest.fixture(scope="module")
def remembered(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A run with all of it, and the prompts that it sent."""
    folder = tmp_path_factory.mktemp("remembered")
    problem(folder)
    with pytest.MonkeyPatch.context() as patch, serving(Model()) as server:
        patch.setenv("OPENAI_API_KEY", "none")
        play(folder, server, ("all",))
        return folder, [request["messages"][0]["content"] for request in server.requests]


def events(path: Path, kind: str) -> list[Event]:
    with GitLedger.read(path) as ledger:
        return [event for event in ledger.events() if event.kind == kind]


MARKS = {
    "inspirations": "Another program of this search scores",
    "ancestors": "How it came about",
    "pairs": "failed like this before: crash: NameError",
    "critiques": "What was wrong: Critique",
    "lessons": "A lesson from what was tried: Lesson",
}


def test_every_part_reaches_a_prompt_and_nothing_secret_does(remembered: tuple[Path, list[str]]) -> None:
    folder, prompts = remembered
    for kind, mark in MARKS.items():
        assert any(mark in prompt for prompt in prompts), kind
    whole = "\n".join(prompts)
    for secret in ("CANARY", "4.98765", "best_known", "def score", "sealed", "gate"):
        assert secret not in whole
    assert not re.findall(r"\b(?:4\.[34]|3\.3)\d*", whole), (
        "no score of the gate, its checks, the sealed draws"
    )
    assert re.findall(r"\b0\.0\d+", whole), "but of search cases"
    most = create(["rewrite"], load(folder / "numbers"), ["one"])["rewrite"].prompt_bytes
    first = [prompt for prompt in prompts if "That cannot be used:" not in prompt]
    assert max(len(prompt.encode()) for prompt in first) <= most


def test_a_replay_makes_the_same_prompts_and_lessons(remembered: tuple[Path, list[str]]) -> None:
    folder, _ = remembered
    with GitLedger.read(folder / "run.git") as ledger:
        found = replay(ledger, restore(ledger, folder / "again"))
        assert found.different == [] and found.digest == ledger.digest()
        assert found.trials == 90
        lessons = [event for event in ledger.events() if event.kind == "lesson"]
    numbers = [event.decision["lesson"] for event in lessons if "lesson" in event.decision]
    assert (
        numbers == list(range(1, len(numbers) + 1)) and len(numbers) >= 2
    )  # of 70 children or so, each from 20
    assert main(["verify", str(folder / "run.git")]) == 0


def test_a_lesson_that_was_changed_shows(remembered: tuple[Path, list[str]]) -> None:
    folder, _ = remembered

    class Forged(GitLedger):
        """Says that another lesson was learned."""

        def events(self, first: int = 0) -> Any:
            for event in super().events(first):
                if event.kind == "lesson" and event.decision.get("lesson") == 1:
                    changed = {**event.decision, "text": "Forged."}
                    event = Event(event.index, event.kind, changed, event.measured)
                yield event

    with Forged.read(folder / "run.git") as ledger:
        found = replay(ledger, restore(ledger, folder / "forged"))
    assert any("is learned, was" in line for line in found.different)


def test_a_critique_stands_in_the_next_prompts_of_its_lineage_and_nowhere_else(
    remembered: tuple[Path, list[str]],
) -> None:
    folder, prompts = remembered
    asked = [
        event for event in events(folder / "run.git", "trial") if "critique" in event.decision["details"]
    ]
    assert asked
    seen = [event.decision["details"]["critique"]["of"] for event in asked]
    assert len(seen) == len(set(seen)), "each is looked at once"
    carried = {
        failed
        for event in events(folder / "run.git", "trial")
        for failed in event.decision.get("carried", {}).get("critiques", ())
    }
    assert carried <= set(seen) and carried
    said = {event.decision["details"]["critique"]["text"] for event in asked}
    for text in said:
        assert any(text in prompt and CRITIQUE not in prompt for prompt in prompts)


def test_show_and_log_tell_what_a_prompt_carried(
    remembered: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(remembered[0] / "run.git")
    trials = [event for event in events(Path(path), "trial") if event.variant]
    rich = max(trials, key=lambda event: len(event.decision.get("carried", ())))
    critic = next(event for event in trials if "critique" in event.decision["details"])
    assert main(["show", path, str(rich.variant)]) == 0
    shown = capsys.readouterr().out
    carried = rich.decision["carried"]
    assert set(carried["inspirations"]) <= set(re.findall(r"[\w-]+", shown.split("inspirations")[1]))
    for name, key in (("lesson", "lesson"), ("pair", "pair"), ("critiques", "critiques")):
        assert (re.search(rf"^{name} ", shown, re.MULTILINE) is not None) == (key in carried), name
    assert main(["show", path, str(critic.variant)]) == 0
    shown = capsys.readouterr().out
    assert f"of {critic.decision['details']['critique']['of']}: Critique" in shown
    assert "prompt-2.md" in shown and CRITIQUE in shown
    assert main(["show", path]) == 0
    shown = capsys.readouterr().out
    table = " ".join(shown.split())
    assert re.search(
        r"lessons 1 Lesson \d+: larger numbers are better\. \d+ prompts, \d+ improve, worth", table
    )
    assert "without any: " in shown
    assert main(["log", path, "--json"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert next(r["text"] for r in records if r["kind"] == "lesson").startswith("Lesson")
    assert any(r.get("carried") == carried for r in records)
    assert main(["log", path]) == 0
    assert re.search(r"lesson +1: Lesson \d+: larger", capsys.readouterr().out)


def test_what_is_off_is_in_no_prompt_and_costs_no_call(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    problem(tmp_path)
    for name, memory, on in (
        ("none", ("none",), set()),
        ("default", None, {"inspirations", "ancestors"}),
    ):
        with serving(Model()) as server:
            play(tmp_path, server, memory, trials=30, to=f"{name}.git")
            prompts = [request["messages"][0]["content"] for request in server.requests]
        assert {kind for kind, mark in MARKS.items() if any(mark in prompt for prompt in prompts)} == on
        assert not any(LESSON in prompt or CRITIQUE in prompt for prompt in prompts)
        with GitLedger.read(tmp_path / f"{name}.git") as ledger:
            assert replay(ledger, restore(ledger, tmp_path / f"{name}-again")).different == []


def test_lessons_go_on_to_another_run_whose_draws_are_its_own(
    remembered: tuple[Path, list[str]], tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    folder, _ = remembered
    problem(tmp_path)
    source = str(folder / "run.git")
    with serving(Model()) as server:
        play(tmp_path, server, None, trials=8, lessons_from=source)
        prompts = [request["messages"][0]["content"] for request in server.requests]
        assert any(MARKS["lessons"] in prompt for prompt in prompts)
        assert not any(LESSON in prompt for prompt in prompts)
        assert play(tmp_path, server, None, trials=10, lessons_from=source)["trials"] == 10, "it goes on"
        with pytest.raises(BadInput, match=r"it began with the lessons of .*run.git, not "):
            play(tmp_path, server, None, trials=12, lessons_from=str(tmp_path / "run.git"))
        forked = play(tmp_path, server, ("lessons",), trials=1, lessons_from=None, fork=True, to="plain.git")
        assert forked["trials"] == 1
        with pytest.raises(BadInput, match="--lessons-from: expected a run that learned lessons"):
            play(tmp_path, server, None, trials=1, to="other.git", lessons_from=str(tmp_path / "plain.git"))
    with GitLedger.read(folder / "run.git") as ledger:
        head = ledger.head
    (start,), (plain,) = events(tmp_path / "run.git", "start"), events(tmp_path / "plain.git", "start")
    assert start.decision["loaded"] == [head] and plain.decision["loaded"] == []
    assert nonce_of(start.decision) != nonce_of(plain.decision)
    assert main(["verify", str(tmp_path / "run.git")]) == 0
    with GitLedger.read(tmp_path / "run.git") as ledger:
        assert replay(ledger, restore(ledger, tmp_path / "again")).different == []


WISE = "What was wrong: It is out of range."


class Cut:
    """Fails at first, says why, and leaves the first question that carries it waiting: there a kill comes."""

    def __init__(self) -> None:
        self.waiting = Signal()

    def __call__(self, body: dict[str, Any], number: int) -> Answer:
        prompt = body["messages"][0]["content"]
        if CRITIQUE in prompt:
            return Answer("It is out of range.")
        text = f"A number.\n```python\ndef solve(case):\n    return {0.001 * number if number else 99.0}\n```"
        if WISE in prompt and not self.waiting.is_set():
            self.waiting.set()
            return Answer(text, delay_seconds=600.0)
        return Answer(text)


def test_a_critique_that_was_paid_for_outlives_a_kill(tmp_path: Path) -> None:
    problem(tmp_path)
    words = ["run", "numbers", "--to", "run", "--workers", "1", "--json", "--trials", "5", "--seed", "1"]
    words += ["--operators", "rewrite", "--memory", "critiques"]
    answers = Cut()
    with serving(answers) as server:
        model = f"openai/mine,price=1/2,at_once=1,tries=1,base={server.url}"

        def start() -> subprocess.Popen[str]:
            return subprocess.Popen(
                [sys.executable, "-m", "evolve", *words, "--model", model],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
                env={**os.environ, "OPENAI_API_KEY": "none"}, start_new_session=True,
            )  # fmt: skip

        process = start()
        assert answers.waiting.wait(timeout=500)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        _, error = (again := start()).communicate()
        assert again.returncode == 0, error
        prompts = [request["messages"][0]["content"] for request in server.requests]
    assert sum(CRITIQUE in prompt for prompt in prompts) == 1
    assert sum(WISE in prompt for prompt in prompts) > 1, "before the kill and after it"
    (kept,) = [e for e in events(tmp_path / "run.git", "trial") if "critique" in e.decision["details"]]
    assert kept.decision["verdict"] == "no_child"
    assert kept.decision["details"]["critique"]["text"] == "It is out of range."
    with GitLedger.read(tmp_path / "run.git") as ledger:
        assert replay(ledger, restore(ledger, tmp_path / "again")).different == []
