"""The terminal's views of a run: around a variant, case by case, along the path; all of them as JSON."""

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest
from ui_runs import finished, hostile

from evolve.cli import main
from populations.ledger import GitLedger


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("looking")
    finished(folder / "tours.git")
    hostile(folder / "hostile.git")
    return folder


@pytest.fixture
def out(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    monkeypatch.chdir(place)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")

    def run(*words: str, status: int = 0) -> str:
        assert main(list(words)) == status
        captured = capsys.readouterr()
        return captured.out if status == 0 else captured.err

    return run


def test_tree_around_a_variant(out: Any) -> None:
    text = out("tree", "tours.git", "--around", "5")
    marked = [line for line in text.splitlines() if re.search("[•◇◆]", line)]
    trials = [int(re.split("[•◇◆] ", line)[1].split("-")[0]) for line in marked]
    assert trials[:3] == [0, 2, 5] and {8, 9} <= set(trials) and 4 not in trials
    assert out("tree", "tours.git", "--all", "--around", "5", status=2).count("\n") == 1


def test_tree_as_json(out: Any) -> None:
    told = json.loads(out("tree", "tours.git", "--json"))
    whole = json.loads(out("tree", "tours.git", "--all", "--json"))
    assert whole["hidden"] == 0 and len(whole["variants"]) == len(told["variants"]) + told["hidden"]
    champion = next(row for row in told["variants"] if row["id"] == told["champion"])
    assert champion["promotion"] and champion["gain"] > 0 and champion["parents"]


def test_show_has_a_sign_a_case(out: Any) -> None:
    text = out("show", "tours.git", "champion")
    strip = next(line for line in text.splitlines() if line.strip() and set(line.strip()) <= set("+-=x"))
    assert len(strip.strip()) == 8
    counts = f"{strip.count('+')} better, {strip.count('-')} worse, {strip.count('=')} equal"
    assert counts in text


def test_show_as_json_has_everything(out: Any, place: Path) -> None:
    told = json.loads(out("show", "tours.git", "champion", "--json"))
    with GitLedger.read(place / "tours.git") as ledger:
        files = ledger.variant(told["id"]).files
    assert told["files"] == {path: data.decode() for path, data in files.items()}
    assert told["duels"][0]["gains"] and told["duels"][0]["path"] and len(told["scores"]) == 8
    whole = json.loads(out("show", "tours.git", "--json"))
    assert whole["champion"]["id"] == told["id"] and "guarantee" not in whole


def test_show_tells_prompt_and_reply_without_their_escapes(out: Any, place: Path) -> None:
    text = out("show", "hostile.git", "12")
    assert "prompt.md" in text and "reply.md" in text and "$0.25" in text
    assert "\x1b" not in text and "\u202e" not in text and "\u2066" not in text


def test_diff_against_parent_seed_and_along_the_path(out: Any) -> None:
    parent = out("diff", "tours.git")
    assert parent.count("\n+") == 2 and "program.py" in parent
    seed = json.loads(out("diff", "tours.git", "champion", "--seed", "--json"))
    assert seed["from"].startswith("0-") and seed["gain"] > 0
    path = json.loads(out("diff", "tours.git", "--path", "--json"))
    assert next(step["from"] for step in path) == seed["from"] and path[-1]["to"] == seed["to"]
    assert all(a["to"] == b["from"] for a, b in itertools.pairwise(path))
    assert all(step["diff"] in out("diff", "tours.git", step["from"], step["to"]) for step in path)
    told = out("diff", "tours.git", "--path")
    assert told.count("──") >= len(path)
    assert out("diff", "tours.git", "2", "--seed", "--path", status=2).count("\n") == 1
    assert "A:" in out("diff", "tours.git", "seed", status=2)


def test_blame_as_json(out: Any) -> None:
    rows = [json.loads(line) for line in out("blame", "tours.git", "program.py", "--json").splitlines()]
    assert [row["line"] for row in rows] == list(range(1, len(rows) + 1))
    changed = [row for row in rows if not row["variant"].startswith("0-")]
    assert changed and all(row["idea"] and row["gain"] is not None for row in changed)


@pytest.mark.parametrize(
    "words", [["tree"], ["log"], ["show"], ["diff"], ["blame", "program.py"], ["show", "champion"]]
)
def test_everything_fits_80_columns_or_folds_and_has_no_colour(words: list[str], out: Any) -> None:
    text = out(words[0], "tours.git", *words[1:])
    assert "\x1b" not in text and text.strip()
