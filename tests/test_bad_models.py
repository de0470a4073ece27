"""Models that are of no use, by the command, over real HTTP: one clear line each, nobody waits for them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from noisy import write_problem
from openai_server import Answer, serving

NO_KEY = {key: value for key, value in os.environ.items() if not key.startswith("OPENAI_")}
PROSE = "Ich würde lieber etwas über das Wetter sagen. 今天天气很好。 "
SCRIPT = "```javascript\nfunction solve(x) { return 1; }\n```"


def evolve(folder: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "evolve",
            "run",
            "numbers",
            "--to",
            "run",
            "--json",
            "--workers",
            "1",
            *options,
        ],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**NO_KEY, **environment},
    )


def refused(folder: Path, model: str, **environment: str) -> str:
    """The line with which a run ends that has nobody else."""
    done = evolve(folder, "--operators", "rewrite", "--model", model, **environment)
    assert done.returncode == 1, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert "Traceback" not in done.stderr and len(line) < 400
    return line


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda *_: Answer("Incorrect API key provided", 401, "invalid_api_key"), "401: Incorrect API key"),
        (
            lambda *_: Answer("The model `mine` does not exist", 404, "model_not_found"),
            "404: The model `mine`",
        ),
        (
            lambda *_: Answer(body="<!doctype html><title>Welcome</title>"),
            "got 37 characters, '<!doctype html>",
        ),
        (lambda *_: Answer(body=""), "expected a chat completion, got nothing"),
        (lambda *_: Answer(""), "16 times nothing, the last time: an empty reply"),
    ],
)
def test_a_model_that_never_says_anything_ends_a_run_that_has_nobody_else(
    tmp_path: Path, answer: Callable[[dict[str, Any], int], Answer], says: str
) -> None:
    write_problem(tmp_path / "numbers", search=2, sealed=4)
    with serving(answer) as server:
        line = refused(tmp_path, f"openai/mine,base={server.url},at_once=2")
        assert "openai/mine" in line and says in line
        assert 1 <= len(server.requests) <= 40


def test_nobody_at_an_address_is_said(tmp_path: Path) -> None:
    write_problem(tmp_path / "numbers", search=2, sealed=4)
    assert "Connection error" in refused(tmp_path, "openai/mine,base=http://127.0.0.1:9/v1,tries=1")


def test_a_missing_key_is_said(tmp_path: Path) -> None:
    write_problem(tmp_path / "numbers", search=2, sealed=4)
    line = refused(tmp_path, "openai/gpt-4o-mini")
    assert "gpt-4o-mini" in line and "api_key" in line


@pytest.mark.parametrize("text", [PROSE * 4, SCRIPT, "```\n" * 50_000])
def test_replies_that_are_no_programs_are_failures_and_the_other_operators_go_on(
    tmp_path: Path, text: str
) -> None:
    write_problem(tmp_path / "numbers", search=2, sealed=4)
    with serving(lambda *_: Answer(text)) as server:
        model = f"openai/mine,base={server.url},at_once=2"
        done = evolve(tmp_path, "--operators", "rewrite,tokens", "--model", model, "--trials", "20")
        assert done.returncode == 0, done.stderr
        assert server.requests
    result = json.loads(done.stdout)
    assert result["trials"] == 20 and sum(result["failures"].values()) < 20
    shown = subprocess.run(
        [sys.executable, "-m", "evolve", "log", "run", "--json"], capture_output=True, text=True, cwd=tmp_path
    )
    assert shown.returncode == 0, shown.stderr
    lines = [json.loads(line) for line in shown.stdout.splitlines()]
    asked = [line for line in lines if line.get("operator") == "rewrite" and line["kind"] == "trial"]
    assert asked and all(line["failure"] and len(line["failure"]) < 1000 for line in asked)
