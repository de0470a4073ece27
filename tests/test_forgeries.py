"""A run of the real loop, forged in many ways, hashes valid: `evolve verify` on a plain clone says where."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from forgeries import FORGERIES, forge, other_n_max
from noisy import Planted, quality, write_problem

from evolve.cli import main
from evolve.cli.screen import with_interval
from evolve.doubles import InlineExecutor
from evolve.run import RunOptions
from evolve.run import run as play
from evolve.types import CaseKey, Evaluation, Event, Files, Job, Json, Parent, Proposal
from fitness.doubles import SyntheticFitness
from populations.ledger import GitLedger


class First(Planted):
    """Equals, a winner, and one that is good only where it is not checked."""

    name = "first"

    def propose(self, parents: Sequence[Parent], rng: np.random.Generator) -> Proposal:
        self.at = self.made + 1
        self.gain = self.of(self.at)
        return super().propose(parents, rng)

    def of(self, number: int) -> float:
        return {15: 0.5, 30: 1.1}.get(number, 0.0)


class Later(First):
    """A better one, in the second session."""

    name = "later"

    def of(self, number: int) -> float:
        return 1.7 if number == 10 else 0.0


class Frail:
    """Fresh noise at every run; once the machinery fails on a challenger and does it after all."""

    level = "none"

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)

        def score(files: Files, key: CaseKey) -> float:
            true = quality(files)
            return (-true if key.split == "check" and true == 1.1 else true) + float(rng.normal(0, 0.25))

        self._synthetic, self._duels = SyntheticFitness(score), 0

    def evaluate(self, job: Job) -> Evaluation:
        evaluation = self._synthetic.evaluate(job)
        self._duels += job.cases[0].split == "gate"
        if self._duels != 3:
            return evaluation
        self._duels += 1
        return replace(evaluation, survived=("SandboxUnavailable: a worker died",))

    def interrupt(self) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Json]]:
    """Two sessions, hence two openings of the sealed draws."""
    played = []
    folder = tmp_path_factory.mktemp("forged")
    problem = write_problem(folder / "noisy", search=8, sealed=20, n_max=120)
    for session, (trials, operator) in enumerate(((40, First), (60, Later))):
        options = RunOptions(
            problem=str(problem),
            to=folder / "run.git",
            trials=trials,
            seed=1,
            operators=(f"{__name__}.{operator.__name__}",),
        )
        played.append(play(options, executor=InlineExecutor(Frail(session), workers=2)))
    return played


@pytest.fixture(scope="module")
def run(results: list[dict[str, Json]]) -> Path:
    return Path(results[0]["run"])


@pytest.fixture(scope="module")
def events(run: Path) -> list[Event]:
    with GitLedger.read(run) as ledger:
        return list(ledger.events())


def rebuilt(run: Path, events: Sequence[Event], name: str) -> Path:
    """What a forger with git makes of it: another history, with its own valid hashes, as a plain clone."""
    made = run.parent / f"{name}.git"
    with GitLedger.read(run) as old, GitLedger.create(made) as new:
        problem = {path: data for path, data in old.files(0).items() if path != "event.json"}
        for event in events:
            variant = old.variant(event.variant) if event.kind == "trial" and event.variant else event.variant
            files = problem if event.kind == "start" else {}
            new.append(event.kind, event.decision, event.measured, variant=variant, files=files)
        new.sync()
    return cloned(made, run.parent / name)


def cloned(run: Path, to: Path) -> Path:
    subprocess.run(["git", "clone", "-q", str(run), str(to)], check=True)
    return to


def verify(run: Path) -> tuple[int, str]:
    out = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True)
    with contextlib.redirect_stdout(out):
        status = main(["verify", str(run)])
    return status, out.buffer.getvalue().decode()


def test_another_machine_comes_to_the_same_report(
    run: Path, results: list[dict[str, Json]], tmp_path: Path
) -> None:
    """Nothing but a plain clone: no problem folder, no home, no caches, no remote."""
    clone = cloned(run, tmp_path / "clone")
    subprocess.run(["git", "-C", str(clone), "remote", "set-url", "origin", "nowhere"], check=True)
    (tmp_path / "home").mkdir()
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path / "home")}
    environment["PYTHONPATH"] = str(Path(__file__).parents[1])

    def evolve(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "evolve", *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    result = results[-1]
    champion = result["champion"]
    said = evolve("verify", "clone", "--head", result["head"])
    assert "\nOK\n" in said
    assert (
        f"champion {champion['id']}; confirmed {with_interval(champion['confirmed'], champion['interval'])}"
        in said
    )
    assert f"gain {with_interval(champion['gain'], champion['gain_interval'], sign=True)}" in said
    assert f"promotions that stand: {result['promotions']}" in said
    assert json.loads(evolve("champion", "clone", "--json")).items() >= champion.items()


def test_the_run_has_everything_that_can_be_forged(events: list[Event]) -> None:
    closed = [event.decision["verdict"] for event in events if event.kind == "duel_close"]
    assert {"promoted", "undone", "futile"} <= set(closed)
    assert sum(event.kind == "sealed" for event in events) == 2
    assert any("retries" in event.measured for event in events)


def test_the_run_rebuilt_as_it_was_verifies(run: Path, events: list[Event]) -> None:
    status, said = verify(rebuilt(run, events, "honest"))
    assert status == 0, said


@pytest.mark.parametrize("how", [*FORGERIES, other_n_max], ids=lambda how: how.__name__)
def test_every_forgery_is_found_and_located_on_a_plain_clone(how, run: Path, events: list[Event]) -> None:
    forged = forge(how, events)
    clone = rebuilt(run, forged.events, how.__name__)
    status, said = verify(clone)
    assert status == 1
    found = [line.strip() for line in said.splitlines() if line.startswith("    event ")]
    kind = forged.events[forged.at].kind
    named = [line for line in found if line.startswith(f"event {forged.at} ({kind}), {forged.field}: ")]
    assert named, "\n".join([f"wanted: event {forged.at} ({kind}), {forged.field}", *found])
    if forged.edited is not None:
        after = named[0].rsplit("it follows from events ", 1)[1]
        spans = [[int(n) for n in part.split("-")] for part in after.split(", ")]
        assert any(span[0] <= forged.edited <= span[-1] for span in spans)
    shutil.rmtree(clone)
