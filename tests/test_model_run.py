"""A run with a language model, by the command, over real HTTP: recorded, paid once, within its budget."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from noisy import write_problem
from openai_server import Answer, Server, serving

from evolve.types import Event
from populations.ledger import GitLedger

KEY = "sk-only-the-driver-has-it"
PRICE = (
    120 * 0.15e-6 + 30 * 0.6e-6
)  # gpt-4o-mini in LiteLLM's own table: of a prompt and a reply of the server


def answer(body: dict[str, Any], number: int) -> Answer:
    """A number that nobody gave before; every fourth reply has no program in it."""
    if number % 4 == 3:
        return Answer("I would rather not.")
    return Answer(f"A larger number.\n```python\ndef solve(case):\n    return 0.{number + 1:03d}\n```\n")


def command(
    folder: Path, server: Server, *options: str, model: str = "openai/gpt-4o-mini"
) -> subprocess.CompletedProcess[str]:
    words = ["run", "numbers", "--model", model, "--to", "run", "--json"]
    return subprocess.run(
        [sys.executable, "-m", "evolve", *words, *options],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": server.url},
    )


def evolve(folder: Path, server: Server, *options: str, model: str = "openai/gpt-4o-mini") -> dict[str, Any]:
    done = command(folder, server, "--operators", "rewrite", *options, model=model)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def events(folder: Path, kind: str) -> list[Event]:
    with GitLedger.read(folder / "run.git") as ledger:
        return [event for event in ledger.events() if event.kind == kind]


def test_replies_are_kept_counted_and_never_bought_twice(tmp_path: Path) -> None:
    write_problem(tmp_path / "numbers", search=2, sealed=4)
    with serving(answer) as server:
        result = evolve(tmp_path, server, "--trials", "12")
        asked = len(server.requests)
        assert evolve(tmp_path, server, "--trials", "12")["head"] == result["head"]
        assert len(server.requests) == asked > 12
    assert abs(result["usd"] - asked * PRICE) < 1e-6
    proposals, trials = events(tmp_path, "proposal"), events(tmp_path, "trial")
    refused = [event for event in trials if event.decision["verdict"] == "no_child"]
    assert len(trials) == 13 and len(proposals) + len(refused) == 12
    assert sum(len(event.measured["exchanges"]) for event in proposals + refused) == asked
    with GitLedger.read(tmp_path / "run.git") as ledger:
        for event in proposals:
            last = len(event.measured["exchanges"])
            assert b"def solve" in ledger.file(event.index, f"reply-{last}.md" if last > 1 else "reply.md")
            assert b"Return a larger number." in ledger.file(event.index, "prompt.md")
            assert ledger.file(event.index, "program/program.py")
        mended = [event for event in proposals if event.decision["details"]]
        assert mended and all(event.decision["details"]["failed"][0] == "parse" for event in mended)
        assert all(b"rather not" in ledger.file(event.index, "reply.md") for event in mended + refused)
    grep = subprocess.run(["grep", "-rl", KEY, str(tmp_path)], capture_output=True, text=True)
    assert grep.stdout == "", "the key is nowhere in the run"


def test_a_budget_in_dollars_is_not_passed(tmp_path: Path) -> None:
    write_problem(tmp_path / "numbers", search=2, sealed=4)
    limit = 0.01
    with serving(answer) as server:
        result = evolve(tmp_path, server, "--usd", str(limit), "--trials", "1000")
    assert result["stopped_by"] == "usd"
    assert 0 < result["usd"] <= limit
    assert abs(result["usd"] - len(server.requests) * PRICE) < 1e-9


def test_the_prompt_is_short_and_the_start_names_the_price(tmp_path: Path) -> None:
    write_problem(tmp_path / "numbers", search=2, sealed=4)
    with serving(answer) as server:
        evolve(tmp_path, server, "--trials", "2")
        (prompt,) = server.requests[0]["messages"]
    assert len(re.findall(r"\w+|\S", prompt["content"])) < 400
    (start,) = events(tmp_path, "start")
    assert start.measured["prices"] == {"openai/gpt-4o-mini": {"prompt_usd": 0.15, "reply_usd": 0.6}}


def test_a_budget_in_dollars_needs_prices(tmp_path: Path) -> None:
    write_problem(tmp_path / "numbers", search=2, sealed=4)
    command = ["run", "numbers", "--model", "openai/nobody-knows-it", "--usd", "1", "--to", "run"]
    done = subprocess.run(
        [sys.executable, "-m", "evolve", *command],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "OPENAI_API_KEY": KEY},
    )
    assert done.returncode == 2
    assert "--usd" in done.stderr and "nobody-knows-it" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "run.git").exists()


def test_prices_stay_as_the_first_event_names_them(tmp_path: Path) -> None:
    write_problem(tmp_path / "numbers", search=2, sealed=4)
    with serving(answer) as server:
        first = evolve(tmp_path, server, "--calls", "3", model="openai/mine,price=1000/2000")
        again = evolve(tmp_path, server, "--trials", "6", model="openai/mine")
    assert first["stopped_by"] == "calls" and 0 < first["trials"] <= 3
    each = (120 * 1000 + 30 * 2000) / 1e6
    assert abs(first["usd"] - 3 * each) < 1e-9 and abs(again["usd"] - len(server.requests) * each) < 1e-6


def test_a_model_that_will_not_answer_is_given_up_and_the_others_go_on(tmp_path: Path) -> None:
    write_problem(tmp_path / "numbers", search=2, sealed=4)
    with serving(lambda *_: Answer("Incorrect API key provided", 401, "invalid_api_key")) as server:
        alone = command(tmp_path, server, "--operators", "rewrite", "--trials", "40")
        assert alone.returncode == 1 and alone.stderr.count("error:") == 1
        assert "gpt-4o-mini" in alone.stderr and "Incorrect API key" in alone.stderr
        asked = len(server.requests)
        assert asked <= 16
        mixed = command(tmp_path, server, "--trials", "40")
        assert mixed.returncode == 0, mixed.stderr
        assert json.loads(mixed.stdout)["trials"] == 40 and len(server.requests) <= asked + 16
