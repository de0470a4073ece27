"""`kill -9` at random moments while programs ask a model: the same lineage, and nothing bought twice."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

from agent_runs import evolve, small
from openai_server import Answer, serving

from evolve.models import effects
from evolve.models.broker import KILLED, read_asked
from evolve.models.effects import KnownEffects
from populations.ledger import GitLedger

KILLS = 10
TRIALS = 5
TOLD = {  # what makes a lineage: all that was decided but for the numbers of the events
    "trial": ("trial", "operator", "parents", "variant", "verdict", "idea"),
    "duel_open": ("duel", "challenger", "champion", "level"),
    "duel_batch": ("duel", "phase", "first", "count"),
    "duel_close": ("duel", "verdict", "n"),
    "promotion": ("variant", "champion", "n"),
    "demotion": ("variant",),
    "sealed": ("champion", "count"),
}


def edit(agent: dict[str, str], seed: int) -> str:
    """Three edits that help, in one, of an agent without them; of one that has them, one that is refused.

    So a run has both, whatever its draws are: the first children have these edits, the next come of them.
    """
    if "edge cases" in agent["prompts/task.md"]:
        return effects._said("Tests that always pass.", {"selftest.py": f"# {seed}\n"})
    helped = {
        "agent.py": agent["agent.py"].replace(effects._ATTEMPT, effects._RETRY) + f"# {seed}\n",
        "policy.toml": agent["policy.toml"] + "retries = 2\n",
        "prompts/task.md": agent["prompts/task.md"] + effects._EDGES,
        "tools/calculator.py": effects._CALCULATOR,
    }
    return effects._said("Much at once.", helped)


class Mind:
    """The model of known effects as a server, which sees every purchase and kills who asks it."""

    def __init__(self, kills: list[int] | None = None) -> None:
        self.bought: list[tuple[str, int]] = []
        self.process: subprocess.Popen[str] | None = None
        self._kills, self._rng, self._model = kills or [], random.Random(0), KnownEffects()

    def __call__(self, body: dict[str, Any], number: int) -> Answer:
        prompt, seed = body["messages"][0]["content"], body["seed"]
        self.bought.append((prompt, seed))
        if "Improve this program by one change." in prompt:
            reply = edit(dict(effects._FILE.findall(prompt)), seed)
        else:
            asked = self._model.complete(prompt, seed, temperature=body["temperature"])
            reply = asyncio.run(asked).reply
        answer = Answer(reply, prompt_tokens=len(prompt), reply_tokens=len(reply) + 1)
        if not self._kills or number < self._kills[0]:
            return answer
        self._kills.pop(0)
        if self._rng.random() < 0.5:
            return answer._replace(wait=self._kill)
        threading.Timer(self._rng.random() / 10, self._kill).start()  # it may be at anything by then
        return answer

    def _kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)

    def run(self, folder: Path, place: Path, to: str) -> int:
        """Start or resume a run with this model; how it ended, and how often it was killed before."""
        with serving(self) as server:
            words = [
                "run",
                str(place),
                "--operators",
                "scaffold",
                "--trials",
                str(TRIALS),
            ]
            words += ["--workers", "1", "--model", f"openai/mind,price=0/0,base={server.url}", "--to", to]
            killed = 0
            while True:
                self.process = subprocess.Popen(
                    [sys.executable, "-m", "evolve", *words],
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                    cwd=folder,
                    env={**os.environ, "OPENAI_API_KEY": "none"},
                    start_new_session=True,
                )
                _, error = self.process.communicate()
                if self.process.returncode != -signal.SIGKILL:
                    assert self.process.returncode == 0, error
                    return killed
                killed += 1


def lineage(run: Path) -> list[tuple[Any, ...]]:
    with GitLedger.read(run) as ledger:
        return [
            (event.kind, *(event.decision.get(name) for name in TOLD[event.kind]))
            for event in ledger.events()
            if event.kind in TOLD
        ]


def lost(run: Path) -> int:
    """Exchanges that a kill cut off; they are counted in full."""
    with GitLedger.read(run) as ledger:
        said = [
            each
            for event in ledger.events()
            if "asked" in event.measured
            for each in read_asked(ledger.file(event.index, "asked.jsonl"))
        ]
    return sum(KILLED in each.error for each in said)


def test_killed_at_ten_moments_it_has_the_same_lineage_and_buys_nothing_twice(tmp_path: Path) -> None:
    place, whole = small(tmp_path), Mind()
    assert whole.run(tmp_path, place, "whole") == 0
    moments = sorted(random.Random(0).sample(range(1, len(whole.bought)), KILLS))
    killed = Mind(moments)
    times = killed.run(tmp_path, place, "killed")
    assert KILLS - 2 <= times <= KILLS, "two of the moments may be the same"
    assert lineage(tmp_path / "killed.git") == lineage(tmp_path / "whole.git")
    decided = [word for each in lineage(tmp_path / "whole.git") for word in each]
    assert "promotion" in decided and "refused" in decided
    again = Counter(killed.bought) - Counter(whole.bought)
    assert again.total() <= lost(tmp_path / "killed.git") <= times, (
        "only what no reply came to is asked again"
    )
    assert not Counter(whole.bought) - Counter(killed.bought)
    for command in ("replay", "verify"):
        done = evolve(tmp_path, command, "killed.git")
        assert done.returncode == 0, done.stdout
    assert not list(tmp_path.glob("*.asked"))
