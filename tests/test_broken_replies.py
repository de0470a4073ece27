"""Broken replies through the real loop and sandbox: mended, or counted as failed after a few tries."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from openai_server import Answer, serving

from evolve.operators.mending import TRIES
from evolve.replaying import replay
from evolve.restored import restore
from evolve.run import RunOptions, run
from evolve.types import Event, Json
from fitness.doubles import number_problem
from populations.ledger import GitLedger

PROGRAM = """AGAIN = 1
# EVOLVE-BLOCK-START
def solve(case):
    x = 0.5
    x = 0.5
    return x + 0.0
# EVOLVE-BLOCK-END
"""


def block(old: str, new: str) -> str:
    return f"A number.\n\n<<<<<<< SEARCH\n{old}\n=======\n{new}\n>>>>>>> REPLACE\n"


def change(prompt: str, new: str) -> str:
    """A change of the line that returns, as the prompt shows it."""
    (old,) = set(re.findall(r"^    return .*$", prompt, re.MULTILINE)[:1])
    return block(old, new)


def broken(kind: int, prompt: str) -> str:
    whole = re.findall(r"```python program.py\n(.*?)```", prompt, re.DOTALL)[0]
    return [
        "",
        "I would rather not change this program, which is fine as it is.",
        "Better.\n```python program.py\nAGAIN = 1\ndef solve(",
        "<html><body><h1>502 Bad Gateway</h1></body></html>",
        f"In `other.py`:\n{block('    z = 3', '    z = 4')}",
        block("    x = 0.5", "    x = 0.75"),  # fits twice
        block("AGAIN = 1", "AGAIN = 2"),  # outside the block
        change(prompt, "    return (x"),
        change(prompt, "    return x\nimport no_such_module"),
        f"```python program.py\n{whole}```",  # the parent itself
    ][kind]


class Model:
    """Breaks three replies of ten, each in another way; the others hold a number that nobody gave before."""

    def __init__(self) -> None:
        self.kinds: dict[str, int] = {}  # replies that were broken, and how

    def __call__(self, body: dict[str, Any], number: int) -> Answer:
        prompt = body["messages"][0]["content"]
        if number % 10 in (1, 4, 8):
            kind = (number // 10 * 3 + (1, 4, 8).index(number % 10)) % 10
            text = broken(kind, prompt)
            self.kinds[text] = kind
            return Answer(text)
        return Answer(change(prompt, f"    return x + {number / 1000 % 1}"))


def play(folder: Path, model: str, trials: int, operators: tuple[str, ...]) -> Json:
    return run(
        RunOptions(
            str(folder / "numbers"), folder / "run.git", trials=trials, models=(model,), operators=operators
        )
    )


def events(folder: Path) -> list[Event]:
    with GitLedger.read(folder / "run.git") as ledger:
        return list(ledger.events())


def shown(folder: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "evolve", *words], capture_output=True, text=True, cwd=folder
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def replayed(folder: Path) -> None:
    with GitLedger.read(folder / "run.git") as ledger:
        found = replay(ledger, restore(ledger, folder / "again"))
        assert found.different == []
        assert found.digest == ledger.digest()


def test_of_three_broken_replies_in_ten_none_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    number_problem(tmp_path / "numbers", PROGRAM, search=2, sealed=4, n_max=20)
    model = Model()
    with serving(model) as server:
        result = play(tmp_path, f"openai/x,price=0/0,base={server.url}", 200, ("rewrite", "diff"))
    assert result["trials"] == 200
    said: dict[int, list[str]] = {}
    ended, kinds = Counter[str](), set[int]()
    with GitLedger.read(tmp_path / "run.git") as ledger:
        for event in ledger.events():
            if "exchanges" in event.measured:
                files = ledger.files(event.index)
                replies = sorted(name for name in files if name.startswith("reply"))
                said.setdefault(event.decision["trial"], []).extend(files[name].decode() for name in replies)
            if event.kind == "trial" and (mine := said.get(event.decision["trial"])):
                kinds |= {model.kinds[text] for text in mine if text in model.kinds}
                if any(text in model.kinds for text in mine):
                    lost = event.decision["verdict"] != "evaluated" and len(mine) < TRIES
                    ended["lost" if lost else event.decision["verdict"]] += 1
    assert kinds == set(range(10)), "every kind of broken reply came"
    assert ended.total() >= 50
    assert ended["lost"] <= 0.05 * ended.total()
    # that all tries for one break has a probability of about .3 ** 2: below .75 of fifty is P < .001
    assert ended["evaluated"] >= 0.75 * ended.total()
    assert set(result["faults"]) >= {"parse", "apply", "inside", "compile", "load"}
    replayed(tmp_path)


def test_a_child_that_does_not_load_goes_back_with_the_error_and_counts_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    number_problem(tmp_path / "numbers", PROGRAM, search=2, sealed=4, n_max=20)

    def never(body: dict[str, Any], number: int) -> Answer:
        return Answer(change(body["messages"][0]["content"], f"    return x\nimport no_such_module_{number}"))

    with serving(never) as server:
        result = play(tmp_path, f"openai/x,price=0/0,base={server.url}", 4, ("diff",))
        asked = [request["messages"][0]["content"] for request in server.requests]
    assert result["failures"] == {"crash": 4} and len(asked) == 4 * TRIES
    assert result["evaluations"] >= 4 * TRIES, "what was run is counted"
    assert sum("No module named 'no_such_module_" in prompt for prompt in asked) == 4 * (TRIES - 1)
    trials = [event for event in events(tmp_path) if event.kind == "trial"][1:]
    assert all(event.decision["verdict"] == "failed" and event.decision["variant"] for event in trials)
    assert all(event.decision["details"] == {"failed": ["load"] * TRIES} for event in trials)
    assert result["faults"] == {"load": 4 * TRIES}
    assert "(after load, load, load)" in shown(tmp_path, "log", "run.git")
    show = shown(tmp_path, "show", "run.git", trials[0].decision["variant"])
    assert "3 could not be used: load, load, load" in show and show.count("reply.md") == TRIES
    assert "12 replies that could not be used (12 load)" in " ".join(
        shown(tmp_path, "show", "run.git").split()
    )
    replayed(tmp_path)


def test_a_kill_while_a_child_that_does_not_load_is_mended(tmp_path: Path) -> None:
    number_problem(tmp_path / "numbers", PROGRAM, search=2, sealed=4, n_max=20)

    def slow(body: dict[str, Any], number: int) -> Answer:
        prompt = body["messages"][0]["content"]
        if "That cannot be used" in prompt:
            return Answer(change(prompt, "    return x + 0.25"), delay_seconds=600.0)
        return Answer(change(prompt, "    return x\nimport no_such_module"))

    with serving(slow) as server:
        model = f"openai/x,price=1/1,tries=1,base={server.url}"
        command = ["run", "numbers", "--to", "run", "--workers", "1", "--trials", "1", "--operators", "diff"]
        options: dict[str, Any] = {
            "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": tmp_path,
            "env": {**os.environ, "OPENAI_API_KEY": "none"}, "start_new_session": True,
        }  # fmt: skip
        words = [sys.executable, "-m", "evolve", *command, "--model", model, "--json"]
        process = subprocess.Popen(words, **options)
        deadline = time.monotonic() + 400
        while len(server.requests) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        again = subprocess.Popen(words, **options)
        _, error = again.communicate()
        assert again.returncode == 0, error
        assert len(server.requests) == 2, "nothing is asked again"
    (trial,) = [event for event in events(tmp_path) if event.kind == "trial"][1:]
    assert trial.decision["verdict"] == "failed" and trial.decision["details"] == {"failed": ["load"]}
    (lost,) = trial.measured["exchanges"]
    assert "killed" in lost["error"] and lost["usd"] > 0 and lost["after"]["kind"] == "crash"
    replayed(tmp_path)


def everything(body: dict[str, Any], number: int) -> Answer:
    """A good answer to whatever is asked; of the changes, every third is a program whose answers are none."""
    prompt = body["messages"][0]["content"]
    if "These are numbers of it" in prompt:
        return Answer(f"The first number decides.\n1: from 0.001 to 2.5, try {number / 100 % 2 + 0.01}")
    if "Criticise the proposal" in prompt:
        return Answer("It is too small.")
    if "with less code" in prompt:
        return Answer(f"Whole.\n```python\n{PROGRAM.replace('    x = 0.5' + chr(10), '', 1)}```")
    if number % 3 == 0 and "But it fails" not in prompt:
        return Answer(change(prompt, f'    return float("nan")  # {number}'))
    return Answer(change(prompt, f"    return x + {number / 1000 % 1}"))


def test_all_operators_in_one_run_that_verifies_and_is_replayed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    number_problem(tmp_path / "numbers", PROGRAM, search=2, sealed=4, n_max=20)
    names = ("rewrite", "diff", "blend", "invent", "repair", "hint", "simplify", "critic", "tune")
    with serving(everything) as server:
        # of 300 trials each arm had at least 14, of 70 one had none now and then: who is faster differs
        result = play(tmp_path, f"openai/x,price=0/0,base={server.url}", 300, names)
    assert result["trials"] == 300
    trials = [event.decision for event in events(tmp_path) if event.kind == "trial"][1:]
    failed = {trial["variant"] for trial in trials if trial["verdict"] == "failed"}
    repaired = [trial for trial in trials if trial["operator"] == "repair" and len(trial["parents"]) == 2]
    assert repaired and all(trial["parents"][1] in failed for trial in repaired)
    made = {trial["operator"] for trial in trials if trial["verdict"] in ("evaluated", "failed")}
    assert made >= set(names) - {"simplify"}  # whose child is the same again and again
    shown(tmp_path, "verify", "run.git")
    replayed(tmp_path)
