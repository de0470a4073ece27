"""Whole runs by the command that a user types, in a real sandbox: repeatable, and hard to forge."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from noisy import write_problem

from evolve.cli import main
from evolve.types import Event, Json
from populations.ledger import GitLedger
from sandbox import values


def evolve(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "evolve", *arguments], capture_output=True, text=True, cwd=cwd
    )


def verify(run: Path) -> str:
    """What `evolve verify` prints of a run that it finds wrong; in this process, which saves its start."""
    out = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True)
    with contextlib.redirect_stdout(out):
        assert main(["verify", str(run)]) == 1
    return out.buffer.getvalue().decode()


def digest(run: Path) -> str:
    with GitLedger.read(run) as ledger:
        return ledger.digest()


def test_one_worker_and_one_seed_decide_the_same_twice(tmp_path: Path) -> None:
    for name in ("one", "two"):
        options = ["--trials", "40", "--workers", "1", "--seed", "5", "--to", name]
        assert evolve("run", "tsp_constructive", *options, cwd=tmp_path).returncode == 0
    assert digest(tmp_path / "one.git") == digest(tmp_path / "two.git")
    shown = evolve("verify", "one.git", cwd=tmp_path).stdout
    assert digest(tmp_path / "one.git") in shown


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Json]]:
    """A folder with the run of a repeatable problem, and what the run printed."""
    folder = tmp_path_factory.mktemp("played")
    write_problem(folder / "numbers", search=4, sealed=10)
    options = ["--trials", "30", "--workers", "1", "--operators", "evolve.doubles.Nudge", "--to", "run"]
    done = evolve("run", "numbers", *options, "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout)


def rebuilt(
    folder: Path, name: str, change: dict[int, dict[str, Json]], start: dict[str, Json] | None = None
) -> Path:
    """The same history with other measured parts, every hash valid: what a forger with git would make."""
    with GitLedger.read(folder / "run.git") as old, GitLedger.create(folder / name) as new:
        for event in old.events():
            measured = {**event.measured, **change.get(event.index, {})}
            files = {path: data for path, data in old.files(event.index).items() if path != "event.json"}
            variant = old.variant(event.variant) if event.kind == "trial" and event.variant else event.variant
            decision = event.decision if event.index or start is None else {**event.decision, **start}
            new.append(event.kind, decision, measured, variant=variant, files=files)
            new.sync()
    return folder / name


def lost_trial(folder: Path) -> Event:
    """The worst trial: one that never met the gate."""
    with GitLedger.read(folder / "run.git") as ledger:
        trials = [event for event in ledger.events() if event.kind == "trial" and "scores" in event.measured]
    return min(trials, key=lambda event: event.measured["scores"][0])


def test_an_honest_run_verifies_from_a_clone(played: tuple[Path, dict[str, Json]]) -> None:
    folder, result = played
    subprocess.run(["git", "clone", "-q", "run.git", "clone"], cwd=folder, check=True)
    done = evolve(
        "verify", "clone", "--head", result["head"], "--rerun", "5", "--problem", "numbers", cwd=folder
    )
    assert done.returncode == 0, done.stdout


def test_a_raised_score_shows_when_it_is_evaluated_again(played: tuple[Path, dict[str, Json]]) -> None:
    folder, _ = played
    trial = lost_trial(folder)
    raised = [score + 1e-3 for score in trial.measured["scores"]]
    forged = rebuilt(folder, "raised.git", {trial.index: {"scores": raised}})
    assert evolve("verify", str(forged), cwd=folder).returncode == 0  # consistent: nothing else depends on it
    done = evolve("verify", str(forged), "--rerun", "1000", "--problem", "numbers", cwd=folder)
    assert done.returncode == 1
    assert trial.decision["variant"] in done.stdout


def test_a_worst_score_is_excused_only_where_the_machine_is_recorded_as_its_cause(
    played: tuple[Path, dict[str, Json]],
) -> None:
    folder, _ = played
    trial = lost_trial(folder)
    worst = {"scores": [-5.0] * 4}
    for kind, status in (("", 1), ("crash", 1), ("timeout", 0)):
        failures = {str(n): {"kind": kind, "detail": ""} for n in range(4)} if kind else {}
        forged = rebuilt(folder, f"worst{kind}.git", {trial.index: {**worst, "failures": failures}})
        done = evolve("verify", str(forged), "--rerun", "1000", "--problem", "numbers", cwd=folder)
        assert done.returncode == status
        assert ("OK, but 4 cases not compared" in done.stdout) == (status == 0)
        assert "OK\n" not in done.stdout


def test_nobody_runs_the_evaluator_that_a_run_brings_along(
    played: tuple[Path, dict[str, Json]], tmp_path: Path
) -> None:
    folder, _ = played
    write_problem(tmp_path / "other", search=4, sealed=11)
    for more in ([], ["--problem", str(tmp_path / "other")]):
        done = evolve("verify", str(folder / "run.git"), "--rerun", "1", *more, cwd=tmp_path)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert "--problem" in done.stderr


def test_a_history_without_its_end_shows_against_the_printed_head(
    played: tuple[Path, dict[str, Json]],
) -> None:
    folder, result = played
    subprocess.run(["git", "clone", "-q", "--mirror", "run.git", "cut.git"], cwd=folder, check=True)
    subprocess.run(
        ["git", "-C", "cut.git", "update-ref", "refs/heads/events", "events~2"], cwd=folder, check=True
    )
    done = evolve("verify", "cut.git", "--head", result["head"], cwd=folder)
    assert done.returncode == 1
    assert "head" in done.stdout


@pytest.mark.parametrize("trick", ["parent", "replace", "graft"])
def test_an_end_that_was_cut_off_cannot_be_hung_on_beside_the_events(
    played: tuple[Path, dict[str, Json]], trick: str
) -> None:
    folder, result = played
    git = ["git", "-C", str(folder / f"{trick}.git")]
    subprocess.run(["git", "clone", "-q", "--mirror", "run.git", git[2]], cwd=folder, check=True)

    def said(*arguments: str) -> str:
        return subprocess.run([*git, *arguments], check=True, capture_output=True, text=True).stdout.strip()

    cut, before = said("rev-parse", "events~2", "events~3").split()
    if trick == "parent":  # a second parent of an event that looks like any other
        who = ["-c", "user.name=n", "-c", "user.email=e"]
        parents = ["-p", before, "-p", result["head"]]
        cut = said(*who, "commit-tree", f"{cut}^{{tree}}", *parents, "-m", "trial")
    said("update-ref", "refs/heads/events", cut)
    if trick == "replace":
        said("replace", "--graft", cut, result["head"])
    if trick == "graft":
        (folder / "graft.git" / "info").mkdir(exist_ok=True)
        (folder / "graft.git" / "info" / "grafts").write_text(f"{cut} {result['head']}\n")
    done = evolve("verify", git[2], "--head", result["head"], cwd=folder)
    assert "✗ the given head is in this history" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize(
    "start",
    [
        {"account": {"alpha": 0.1, "duels": 10, "error": "family-wise"}},
        {"reading": {"kind": "bounded", "span": 0.1, "margin": 0.0, "clipped": True}},
        {"direction": "minimise"},
        {"claim": "tasks"},
        {"problem": {"name": "numbers", "digest": "0" * 64}},
        {"salt": 17},  # other draws
    ],
    ids=lambda start: next(iter(start)),
)
def test_a_start_that_its_problem_does_not_demand_is_found(
    played: tuple[Path, dict[str, Json]], start: dict[str, Json]
) -> None:
    folder, _ = played
    forged = rebuilt(folder, f"start-{next(iter(start))}.git", {}, start)
    said = verify(forged)
    assert "✗ the start is what its recorded problem demands: 1 mismatch" in said
    assert f"event 0 (start), {next(iter(start))}: expected " in said


@pytest.mark.parametrize("key", ["trials", "evaluations", "usd"])
def test_a_total_that_does_not_add_up_is_found(played: tuple[Path, dict[str, Json]], key: str) -> None:
    folder, _ = played
    with GitLedger.read(folder / "run.git") as ledger:
        stop = next(event for event in ledger.events() if event.kind == "stop")
    forged = rebuilt(folder, f"total-{key}.git", {stop.index: {key: stop.measured[key] + 1}})
    assert f"event {stop.index} (stop), {key}: expected {stop.measured[key]}, found" in verify(forged)


@pytest.mark.parametrize(
    "change",
    [
        ("update-ref", "refs/heads/champion", "champion~1"),
        ("tag", "-f", "-am", "more evidence", "promotion/0001", "champion~1"),
        ("tag", "-am", "one more", "promotion/0099", "champion"),
        ("tag", "-d", "promotion/0001"),
    ],
    ids=["champion", "another", "added", "taken away"],
)
def test_names_that_the_events_do_not_give_are_found(
    played: tuple[Path, dict[str, Json]], tmp_path: Path, change: tuple[str, ...]
) -> None:
    folder, result = played
    assert result["promotions"] >= 1
    clone = ["git", "clone", "-q", "--mirror", str(folder / "run.git"), "named.git"]
    subprocess.run(clone, cwd=tmp_path, check=True)
    who = ["-c", "user.name=n", "-c", "user.email=e"]
    subprocess.run(["git", "-C", "named.git", *who, *change], cwd=tmp_path, check=True, capture_output=True)
    said = verify(tmp_path / "named.git")
    assert "✗ the champion and the promotions' tags are those of the events: 1 mismatch" in said


def test_a_run_rebuilt_without_changes_is_the_same_run(played: tuple[Path, dict[str, Json]]) -> None:
    folder, result = played
    with GitLedger.read(rebuilt(folder, "same.git", {})) as ledger:
        assert ledger.head == result["head"]


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the run of a problem whose answer is the result, with a promotion."""
    folder = tmp_path_factory.mktemp("packed")
    options = ["--trials", "25", "--workers", "1", "--to", "run", "--json"]
    done = evolve("run", "circle_packing", *options, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["promotions"] > 0
    return folder


def test_the_answer_comes_out_with_its_program_and_its_picture(packed: Path) -> None:
    assert evolve("champion", "run.git", "--write", "best", cwd=packed).returncode == 0
    kept = packed / "best"
    assert (kept / "program.py").exists()
    assert (kept / "picture.svg").read_text().startswith("<svg")
    [answer] = kept.glob("answer.*")
    decoded = values.decode(answer.read_bytes(), 16_384)
    assert (answer.suffix == ".npy") == isinstance(decoded, np.ndarray)
    assert len(decoded) == 26
    shown = evolve("show", "run.git", "champion", cwd=packed).stdout
    assert "answer" in shown and "kept with its trial: evolve champion run.git --write DIR" in shown


def test_kept_answers_score_what_was_said(packed: Path) -> None:
    assert "The kept answers were not scored again" in evolve("verify", "run.git", cwd=packed).stdout
    done = evolve("verify", "run.git", "--rerun", "2", cwd=packed)
    assert done.returncode == 0, done.stdout
    assert "answers, of the seed and of all that were promoted, score what was said" in done.stdout
    with GitLedger.read(packed / "run.git") as old, GitLedger.create(packed / "forged.git") as new:
        events = list(old.events())
        promoted = [event.variant for event in events if event.kind == "promotion"]
        for event in events:  # the champion's answer is taken away, another promoted one exchanged
            files = dict(old.files(event.index))
            if event.kind == "trial" and event.variant == promoted[-1]:
                del files["answer"]
            elif event.kind == "trial" and (event.decision["trial"] == 0 or event.variant in promoted):
                files["answer"] = b"[]"
            variant = old.variant(event.variant) if event.kind == "trial" and event.variant else event.variant
            new.append(event.kind, event.decision, event.measured, variant=variant, files=files)
            new.sync()
    done = evolve("verify", "forged.git", "--rerun", "1", cwd=packed)
    assert done.returncode == 1
    assert f"the answer of {promoted[-1]}: expected one that was kept, found none" in done.stdout
    assert done.stdout.count("expected 0.0, found ") == len(set(promoted))
