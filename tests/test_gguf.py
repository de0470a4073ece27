"""A real language model in a process of our own: SmolLM2-135M, which cannot program, but answers."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from noisy import write_problem

from evolve.models.named import desk
from evolve.models.purse import Limits
from evolve.operators.forms import change, whole
from evolve.operators.mending import Made
from evolve.operators.reading import read, read_changes
from evolve.operators.territory import Territory
from evolve.types import (
    BadInput,
    Conversation,
    Event,
    Exchange,
    Failure,
    Parent,
    Proposal,
    Question,
    Trial,
)
from populations.ledger import GitLedger

FORM = 'root ::= "0." [0-9] [0-9] [0-9] [0-9] [0-9]'
MODEL = "gguf:smollm2,threads=1,context=512,reply_tokens=32"


class Number:
    """Asks for a number, which the form sees to, and makes a program of it; a number that is too long."""

    name = "number"
    arity = 1
    prompt_bytes = 4000

    def __init__(self, problem: object) -> None:
        pass

    def propose(self, parents: Sequence[Parent], rng: np.random.Generator) -> Conversation:
        too_long = bool(rng.random() < 0.2)
        prompt = "Say a number." + " And another." * (300 if too_long else 0)
        said = yield Question(prompt, int(rng.integers(2**31)), form=FORM)
        assert isinstance(said, Exchange)
        if not said.reply.startswith("0."):
            return Proposal(None, failure=Failure("model", "no number"))
        return Proposal({"program.py": f"def solve(case):\n    return {said.reply}\n".encode()}, "a number")

    def tell(self, trial: Trial) -> None:
        pass


def start(folder: Path, *options: str) -> subprocess.Popen[str]:
    words = [
        "run",
        "numbers",
        "--model",
        MODEL,
        "--operators",
        "test_gguf:Number",
        "--workers",
        "1",
        *options,
    ]
    return subprocess.Popen(
        [sys.executable, "-m", "evolve", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        start_new_session=True,
    )


def evolve(folder: Path, *options: str) -> dict[str, Any]:
    out, error = (process := start(folder, "--json", *options)).communicate()
    assert process.returncode == 0, error
    result: dict[str, Any] = json.loads(out)
    return result


def servers_of(pid: int) -> list[int]:
    """Processes that serve a model to the process with this id, its descendants included."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            continue
        if b"evolve.models.serving" in words and parent == pid:
            found.append(int(folder.name))
    return found


def events(folder: Path, name: str) -> list[Event]:
    with GitLedger.read(folder / name) as ledger:
        return list(ledger.events())


@pytest.mark.smollm2
def test_a_run_with_a_model_of_its_own_is_recorded_seeded_held_to_a_form_and_replayed(tmp_path: Path) -> None:
    write_problem(tmp_path / "numbers", search=2, sealed=4)
    result = evolve(tmp_path, "--trials", "5", "--to", "one")
    assert result["trials"] == 5 and result["usd"] == 0.0
    story = events(tmp_path, "one.git")
    assert story[0].measured["contexts"] == {"gguf:smollm2": 512}
    trials = [event for event in story if event.kind == "trial" and event.decision["trial"]]
    rows = [row for event in story for row in event.measured.get("exchanges", ())]
    sent = [row for row in rows if not row.get("error")]
    assert len(sent) >= 2 and len(rows) == 5
    for row in sent:
        assert row["prompt_tokens"] > 0 and 2 < row["reply_tokens"] <= 32 and row["seconds"] > 0
        assert row["parameters"]["seed"] >= 0 and len(row["parameters"]["grammar"]) == 12
    refused = [event.measured["failure"]["detail"] for event in trials if "failure" in event.measured]
    assert refused and all("do not fit a context of 512" in why for why in refused)
    assert [event.decision["verdict"] for event in trials].count("evaluated") == len(sent)
    again = evolve(tmp_path, "--trials", "5", "--to", "two")
    assert [event.decision for event in events(tmp_path, "two.git") if event.kind == "trial"] == [
        event.decision for event in story if event.kind == "trial"
    ]
    assert again["champion"] == result["champion"]
    capped = evolve(tmp_path, "--calls", "1", "--to", "three")
    assert capped["stopped_by"] == "calls" and capped["trials"] == 1
    replayed = subprocess.run(
        [sys.executable, "-m", "evolve", "replay", "one.git"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
    )
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr


@pytest.mark.smollm2
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_the_server_ends_with_the_run(tmp_path: Path, how: signal.Signals) -> None:
    write_problem(tmp_path / "numbers", search=2, sealed=4)
    process = start(tmp_path, "--to", "run")
    deadline = time.monotonic() + 600
    while not (serving := servers_of(process.pid)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(serving) == 1
    os.kill(process.pid, how)
    process.communicate()
    while Path(f"/proc/{serving[0]}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{serving[0]}").exists()


@pytest.mark.smollm2
def test_one_server_serves_a_file_whatever_it_is_called(tmp_path: Path) -> None:
    carried = desk(["gguf:smollm2"], Limits(), {})
    path = carried._models["gguf:smollm2"]._server.load.path
    (tmp_path / "link.gguf").symlink_to(path)
    names = ["gguf:smollm2,context=700", f"gguf:{tmp_path}/link.gguf,context=600,at_once=2"]
    both = desk(names, Limits(), {})
    servers = {id(model._server): model._server for model in both._models.values()}
    (server,) = servers.values()
    assert (server.load.context_tokens, server.load.at_once) == (700, 3)
    assert set(both.contexts.values()) == {700, 600}


def test_what_is_no_model_is_said_before_the_run(tmp_path: Path) -> None:
    (tmp_path / "text.gguf").write_text("once upon a time")
    for name, why in (
        ("nowhere.gguf", "a file that can be read, got No such file"),
        ("text.gguf", "a GGUF file, got one that begins with b'once'"),
        ("", "got Is a directory"),
    ):
        with pytest.raises(BadInput, match=why):
            desk([f"gguf:{tmp_path / name}"], Limits(), {})
    with pytest.raises(BadInput, match=r"a setting: .*got 'price'"):
        desk(["gguf:x,price=1/2"], Limits(), {})
    with pytest.raises(BadInput, match="context: expected more than the 1024 tokens of a reply"):
        desk(["gguf:x,context=1000,reply_tokens=1024"], Limits(), {})


def test_a_file_that_cannot_be_loaded_ends_the_run_with_one_line(tmp_path: Path) -> None:
    write_problem(tmp_path / "numbers", search=2, sealed=4)
    (tmp_path / "cut.gguf").write_bytes(b"GGUF" + bytes(1000))
    words = ["run", "numbers", "--model", "gguf:cut.gguf", "--operators", "rewrite", "--trials", "3"]
    done = subprocess.run(
        [sys.executable, "-m", "evolve", *words], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "gguf:cut.gguf" in done.stderr and done.stderr.count("error:") == 1


PROGRAM = b"""import math


def solve(case):
    # EVOLVE-BLOCK-START
    return "a \\\\ b"
    # EVOLVE-BLOCK-END


def other():
    return 1
"""


@pytest.mark.smollm2
def test_replies_in_the_forms_of_rewrite_and_diff_can_be_read_and_stay_inside() -> None:
    files = {"program.py": PROGRAM, "fixed.py": b"x = 1\n", "other.py": "y = 'ä'\nz = 2\n".encode()}
    territory = Territory(files, ["program.py", "other.py"])
    names = ["gguf:smollm2,threads=1,context=1024,reply_tokens=320"]
    (model,) = (models := desk(names, Limits(), {}))._models.values()

    async def replies() -> list[Exchange]:
        forms = [whole(files, territory), change(files, territory)]
        return [await model.complete("Change this program:\n" + PROGRAM.decode(), 3, form) for form in forms]

    try:
        exchanges = asyncio.run(replies())
    finally:
        models.close()
    for reads, exchange in zip((read, read_changes), exchanges, strict=True):
        assert exchange.reply and "cut" not in exchange.parameters, exchange.reply
        made = reads(files, territory, exchange.reply)
        # what stands there is another matter: such a model cannot program
        assert isinstance(made, Made) or made.stage == "compile" or "parent itself" in made.failure.detail
