"""`kill -9` and Ctrl-C while models are being asked: no reply is bought twice, no call is forgotten."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from noisy import write_problem
from openai_server import Answer, Server, serving

from evolve.types import Event, Json
from populations.ledger import GitLedger

TRIALS = 8
MODEL = "openai/mine,price=1/100,reply_tokens=1000,at_once=8"
REPLY_USD = (120 + 30 * 100) / 1e6


class Slow:
    """Answers at once, but for the first request, which it leaves waiting."""

    def __init__(self) -> None:
        self.seen: list[Json] = []

    def __call__(self, body: dict[str, Any], number: int) -> Answer:
        text = f"More.\n```python\ndef solve(case):\n    return 0.{number + 1:03d}\n```"
        return Answer(text, delay_seconds=0.0 if number else 600.0)


def start(folder: Path, server: Server) -> subprocess.Popen[str]:
    options = ["--model", f"{MODEL},base={server.url}", "--operators", "rewrite", "--trials", str(TRIALS)]
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "evolve",
            "run",
            "numbers",
            "--to",
            "run",
            "--workers",
            "1",
            "--json",
            *options,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={**os.environ, "OPENAI_API_KEY": "none"},
        start_new_session=True,
    )


def answered(folder: Path) -> int:
    """Replies that are on the disk, in the file of calls."""
    path = folder / "run.git" / "evolve" / "calls"
    lines = path.read_text().splitlines() if path.exists() else []
    return sum('"reply": "More' in line for line in lines)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_replies_that_came_are_kept_and_calls_that_were_cut_off_count(tmp_path: Path, how: int) -> None:
    write_problem(tmp_path / "numbers", search=2, sealed=4)
    with serving(Slow()) as server:
        process = start(tmp_path, server)
        deadline = time.monotonic() + 500
        while answered(tmp_path) < TRIALS - 1 and time.monotonic() < deadline:
            time.sleep(0.05)
        os.killpg(process.pid, how)
        process.communicate()
        assert len(server.requests) == TRIALS
        out, error = (again := start(tmp_path, server)).communicate()
        assert again.returncode == 0, error
        assert len(server.requests) == TRIALS, "nothing is asked again"
    result = json.loads(out)
    assert result["trials"] == TRIALS and result["failures"] == {"model": 1}
    trials = events(tmp_path, "trial")
    assert [e.decision["verdict"] for e in trials].count("no_child") == 1
    (lost,) = [row for e in trials for row in e.measured.get("exchanges", ())]
    assert lost["usd"] > 2 * 0.1, "both requests that it may have been, at the most"
    assert result["usd"] == pytest.approx((TRIALS - 1) * REPLY_USD + lost["usd"], abs=1e-6)
    with GitLedger.read(tmp_path / "run.git") as ledger:
        prompts = [ledger.file(event.index, "prompt.md") for event in events(tmp_path, "proposal")]
    assert len(prompts) == TRIALS - 1 and all(b"Return a larger number." in prompt for prompt in prompts)


def events(folder: Path, kind: str) -> list[Event]:
    with GitLedger.read(folder / "run.git") as ledger:
        return [event for event in ledger.events() if event.kind == kind]
