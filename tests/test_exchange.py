"""Runs that let each other's best in: by a bare repository where they meet, and by `evolve merge`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from executor_contract import BARE

from evolve.exchange import EVERY
from evolve.run import RunOptions, run
from evolve.types import BadInput, Event
from fitness.doubles import number_problem
from populations.ledger import GitLedger
from populations.meeting import MOST_FILES, Elite, Meeting

EVOLVE = [sys.executable, "-m", "evolve"]


@pytest.fixture
def problem(tmp_path: Path) -> Path:
    return number_problem(tmp_path / "numbers", search=2)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return bare(tmp_path / "place.git")


def bare(path: Path) -> Path:
    subprocess.run(["git", "init", "--bare", "-q", str(path)], check=True)
    return path


def play(problem: Path, to: Path, trials: int, seed: int = 0, place: Path | None = None) -> list[Event]:
    """A run on one worker; its trials."""
    asked = RunOptions(
        str(problem), to, trials=trials, workers=1, seed=seed, operators=("evolve.doubles.Nudge",),
        walls=BARE, baseline="hill-climb", exchange=None if place is None else str(place),
    )  # fmt: skip
    run(asked)
    with GitLedger.read(to) as ledger:
        return [event for event in ledger.events() if event.kind == "trial"]


def immigrants(trials: list[Event]) -> list[Event]:
    return [event for event in trials if event.decision["operator"] == "immigrant"]


def sound(at: Path) -> None:
    """It verifies, and replays."""
    for command in ("verify", "replay"):
        done = subprocess.run([*EVOLVE, command, str(at)], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_best_of_one_run_is_let_into_another_and_evaluated_there(
    problem: Path, place: Path, tmp_path: Path
) -> None:
    first, second = tmp_path / "first.git", tmp_path / "second.git"
    shown = {event.decision["variant"]: event for event in play(problem, first, 40, seed=1, place=place)}
    came: list[Event] = []
    for trials in range(30, 300, 30):  # its thread looks at the place while the run is on
        came = immigrants(play(problem, second, trials, seed=2, place=place))
        if len(came) >= 2:
            break
    assert len(came) >= 2 and all(event.decision["trial"] % EVERY == 0 for event in came)
    with GitLedger.read(first) as ledger:
        root, commits = ledger.root, ledger.variants()
        for event in came:
            details = event.decision["details"]
            assert details["run"] == root and ledger.position(details["head"]) is not None
            assert details["commit"] == commits[details["variant"]] == details["ancestry"][0]
            assert details["ancestry"][-1] == next(iter(commits.values()))
            known = shown[details["variant"]]
            assert event.decision["tree"] == known.decision["tree"]
            assert event.measured["scores"] == known.measured["scores"]
    assert [e.decision["details"]["commit"] for e in came] == list(
        dict.fromkeys(e.decision["details"]["commit"] for e in came)
    )
    branches = subprocess.run(
        ["git", "-C", str(place), "for-each-ref", "--format=%(refname)"], capture_output=True, text=True
    ).stdout.split()
    assert len(branches) == 2 and f"refs/heads/elites/{root}" in branches
    sound(second)


def test_what_does_not_come_back_does_not_stop_a_run(problem: Path, tmp_path: Path) -> None:
    said: list[str] = []
    asked = RunOptions(
        str(problem), tmp_path / "run.git", trials=15, workers=1, operators=("evolve.doubles.Nudge",),
        walls=BARE, exchange=str(tmp_path / "nowhere.git"),
    )  # fmt: skip
    assert run(asked, notice=said.append)["trials"] == 15
    assert any("the run goes on without it" in text for text in said)


def meeting(tmp_path: Path, name: str, place: Path, problem: str = "p") -> Meeting:
    own = bare(tmp_path / f"{name}.git")
    return Meeting(own, tmp_path / f"{name}-copy.git", str(place), name * 40, problem)


def commit(at: Path, files: dict[str, bytes], mode: str = "100644") -> str:
    """A commit made by hand; its hash."""
    who = {f"GIT_{who}_{what}": "x" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}

    def git(*arguments: str, given: bytes = b"") -> str:
        done = subprocess.run(
            ["git", "-C", str(at), *arguments], input=given, stdout=-1, check=True, env=os.environ | who
        )
        return done.stdout.decode().strip()

    blobs = {name: git("hash-object", "-w", "--stdin", given=data) for name, data in files.items()}
    rows = "".join(f"{mode} blob {blob}\t{name}\n" for name, blob in blobs.items())
    return git("commit-tree", git("mktree", given=rows.encode()), "-m", "x")


def test_of_what_others_show_only_plain_small_programs_of_the_same_problem_are_read(
    place: Path, tmp_path: Path
) -> None:
    reader = meeting(tmp_path, "a", place)
    writer = meeting(tmp_path, "b", place)
    own = tmp_path / "b.git"
    good = Elite("1-abcdef", commit(own, {"program.py": b"x = 1\n"}), 1.0)
    large = Elite("2-abcdef", commit(own, {"program.py": bytes(5 << 20)}), 2.0)
    many = Elite("3-abcdef", commit(own, {f"{n}.py": b"" for n in range(MOST_FILES + 1)}), 3.0)
    link = Elite("4-abcdef", commit(own, {"program.py": b"/etc/passwd"}, "120000"), 4.0)
    assert not writer.push("c" * 40, [Elite("5-abcdef", "d" * 40, 5.0)]), "not in git yet"
    assert writer.push("c" * 40, [link, many, large, good])
    meeting(tmp_path, "e", place, problem="another").push("c" * 40, [])
    (came,) = reader.fetch()
    assert (came.variant, came.files) == ("1-abcdef", {"program.py": b"x = 1\n"})
    assert (came.run, came.head, came.ancestry) == ("b" * 40, "c" * 40, (good.commit,))
    assert writer.fetch() == []
    stranger = meeting(tmp_path, "f", place, problem="another")
    assert stranger.fetch() == []


OUTSIDE = {"schema": 1, "problem": "p", "run": "../../x", "head": "c" * 40, "elites": []}


@pytest.mark.parametrize(
    "card", [b"no json", b"[]", b'{"schema": 1}', b"[" * 5000, json.dumps(OUTSIDE).encode()]
)
def test_a_forged_card_is_passed_over(place: Path, tmp_path: Path, card: bytes) -> None:
    reader = meeting(tmp_path, "a", place)
    tip = commit(place, {"elites.json": card})
    subprocess.run(["git", "-C", str(place), "update-ref", "refs/heads/elites/forged", tip], check=True)
    assert reader.fetch() == []


def evolve(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*EVOLVE, *map(str, arguments)], capture_output=True, text=True)


def test_merge_lets_the_best_of_a_finished_run_in(problem: Path, tmp_path: Path) -> None:
    first, second, clone = (tmp_path / f"{name}.git" for name in ("first", "second", "clone"))
    play(problem, first, 20, seed=1)
    before = play(problem, second, 20, seed=2)
    done = evolve("merge", second, first)
    assert done.returncode == 0 and "wait in" in done.stdout, done.stderr
    subprocess.run(["git", "clone", "-q", "--mirror", str(second), str(clone)], check=True)
    after = play(problem, clone, 20, seed=2)  # its budget was spent before
    came = immigrants(after)
    assert len(came) == 3 and len(after) == len(before) + 3
    assert {event.decision["verdict"] for event in came} == {"evaluated"}
    sound(clone)
    assert "has the best" in evolve("merge", clone, first).stdout
    shown = evolve("show", clone, came[0].decision["variant"])
    assert shown.returncode == 0 and "immigrant" in shown.stdout, shown.stderr


def test_runs_of_other_problems_are_not_merged(problem: Path, tmp_path: Path) -> None:
    play(problem, tmp_path / "first.git", 3)
    play(number_problem(tmp_path / "other"), tmp_path / "second.git", 3)
    done = evolve("merge", tmp_path / "first.git", tmp_path / "second.git")
    assert done.returncode == 2 and "a run of the same problem, numbers" in done.stderr


def test_an_option_is_no_place(problem: Path, tmp_path: Path) -> None:
    asked = RunOptions(str(problem), tmp_path / "run.git", trials=1, walls=BARE, exchange="--upload-pack=x")
    with pytest.raises(BadInput, match="bare git repository"):
        run(asked)
