from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest
from problem_folders import TOML, write

from evolve.types import BadInput, Limits
from fitness.init import init
from fitness.problem import gallery, load


def complaint(folder: Path) -> str:
    with pytest.raises(BadInput) as caught:
        load(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def changed(tmp_path: Path, old: str, new: str) -> str:
    """What `load` says of the smallest problem with one place of its problem.toml replaced."""
    assert old in TOML
    return complaint(write(tmp_path / "problem", toml=TOML.replace(old, new, 1)))


def test_the_smallest_problem_has_defaults(tmp_path: Path) -> None:
    problem = load(write(tmp_path / "problem"))
    assert (problem.name, problem.claim, problem.sign) == ("double", "cases", 1)
    assert (problem.range, problem.difference_range, problem.worst, problem.margin) == ((0, 10), None, 0, 0)
    assert (problem.alpha, problem.duels, problem.error, problem.n_max) == (0.1, 100, "family-wise", None)
    assert problem.limits == dataclasses.replace(Limits(), seconds=20.0)
    assert (problem.search_cases, problem.sealed_cases) == (3, 5)
    assert problem.editable == ("*.py",)
    assert set(problem.seed_files) == {"program.py"}
    assert set(problem.documents) == {"problem.toml", "statement.md", "evaluate.py"}
    assert problem.statement == "Double the number.\n"
    assert problem.harness is None


def test_every_key_is_read(tmp_path: Path) -> None:
    toml = """
name = "all-keys"
claim = "tasks"
direction = "minimise"
unit = "seconds"
worst = 9.5
range = [0.5, 9.5]
difference_range = [-2, 2]
margin = 0.25
packages = ["json"]
editable = ["program.py", "parts/*"]
best_known = 1
[program]
entry = "program.py:double"
[limits]
seconds = 1
memory_bytes = 100_000_000
output_bytes = 100
calls = 7
[cases]
search = 4
sealed = 6
[gate]
alpha = 0.05
duels = 20
error = "fdr"
n_max = 600
"""
    problem = load(write(tmp_path / "problem", toml=toml))
    assert problem.sign == -1
    assert (problem.unit, problem.worst, problem.range) == ("seconds", 9.5, (0.5, 9.5))
    assert (problem.difference_range, problem.margin, problem.best_known) == ((-2, 2), 0.25, 1)
    assert (problem.packages, problem.editable) == (("json",), ("program.py", "parts/*"))
    assert problem.limits == Limits(1, 100_000_000, 100, 7)
    assert (problem.alpha, problem.duels, problem.error, problem.n_max) == (0.05, 20, "fdr", 600)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("direction =", "directoin =", ["directoin", "'direction'", "unknown key"]),
        ("seconds =", "second =", ["limits.second", "'seconds'"]),
        ("[limits]", "[limts]", ["limts", "'limits'"]),
        ("[cases]", "[xyz]", ["xyz", "one of best_known, cases"]),
        ("worst = 0", "", ["worst", "required"]),
        ('entry = "program.py:double"', "", ["program.entry", "required"]),
        ("worst = 0", 'worst = "low"', ["worst", "number", "'low'"]),
        ("worst = 0", "worst = true", ["worst", "number", "True"]),
        ("worst = 0", "worst = nan", ["worst", "finite"]),
        ("worst = 0", "worst = 11", ["worst", "[0, 10]", "11"]),
        ("range = [0, 10]", "range = [10, 0]", ["range", "low < high"]),
        ("range = [0, 10]", "range = [0, 5, 10]", ["range", "[low, high]"]),
        ("range = [0, 10]", "range = [0, inf]", ["range", "finite"]),
        ("range = [0, 10]", "", ["range", "difference_range", "neither"]),
        ("range = [0, 10]", "difference_range = [-1, 2]", ["difference_range", "[-x, x]"]),
        ("range = [0, 10]", "range = [0, 10]\nmargin = 10", ["margin", "10"]),
        ("range = [0, 10]", "range = [0, 10]\nmargin = -1", ["margin", "greater than or equal to 0"]),
        ('"maximise"', '"up"', ["direction", "'minimise' or 'maximise'", "'up'"]),
        ('"cases"', '"case"', ["claim", "'artifact'", "'case'"]),
        ('"cases"', '"artifact"', ["cases", "search = 1, sealed = 0"]),
        ('"double"', '"dou/ble"', ["name", "letters"]),
        ("search = 3", "search = 0", ["cases.search", "greater than or equal to 1"]),
        ("search = 3", "search = 2.5", ["cases.search", "an integer", "2.5"]),
        ("sealed = 5", "sealed = 1", ["cases.sealed", "at least 2"]),
        ("seconds = 20.0", "seconds = 0", ["limits.seconds", "greater than 0"]),
        ("seconds = 20.0", "seconds = -1", ["limits.seconds", "greater than 0"]),
        ("program.py:double", "program.py", ["program.entry", "file.py:function"]),
        ("program.py:double", "other.py:double", ["program.entry", "program/", "other.py"]),
        ("[limits]", 'build = ["make"]\n[limits]', ["program.command", "after the build", "none"]),
        ("[limits]", 'command = ["./solve"]\n[limits]', ["program.entry", "command", "both"]),
        ('entry = "program.py:double"', 'command = "./solve"', ["program.command", "an array of words"]),
        (
            'worst = 0\n\n[program]\nentry = "program.py:double"',
            'worst = 0\nresource = "cpu"\n[program]\ncommand = ["./x"]',
            ["resource", "wall, where programs may start processes", "cpu"],
        ),
        ('entry = "program.py:double"', "command = []", ["program.command", "an array of words"]),
        ('entry = "program.py:double"', 'command = [""]', ["program.command", "not empty"]),
        (
            'entry = "program.py:double"\n\n[limits]',
            'command = ["./solve"]\n\n[limits]\ncalls = 3',
            ["limits.calls", "0 beside program.command", "3"],
        ),
        (
            'entry = "program.py:double"',
            'command = ["./solve"]\nprocesses = true',
            ["program.processes", "beside a command"],
        ),
        ("worst = 0", 'worst = 0\neditable = ["*.c"]', ["editable", "*.c"]),
        ("worst = 0", 'worst = 0\npackages = "scipy"', ["packages", "array", "'scipy'"]),
        ("worst = 0", 'worst = 0\npackages = ["sci-py"]', ["packages", "'sci-py'"]),
        ("[limits]", "[limits", ["problem.toml", "TOML", "line 11"]),
        ("[limits]", "[gate]\nalpha = 1.5\n[limits]", ["gate.alpha", "less than 1"]),
    ],
)
def test_a_bad_problem_file_gets_one_line(tmp_path: Path, old: str, new: str, words: list[str]) -> None:
    said = changed(tmp_path, old, new)
    assert all(word in said for word in words), said


@pytest.mark.parametrize("name", ["problem.toml", "statement.md", "evaluate.py", "program/program.py"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    folder = write(tmp_path / "problem")
    (folder / name).unlink()
    assert Path(name).name in complaint(folder)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    folder = write(tmp_path / "problem")
    (folder / "problem.toml").write_bytes(b"\xff\xfe")
    assert "UTF-8" in complaint(folder)


def test_a_place_that_is_no_folder(tmp_path: Path) -> None:
    assert "nothing there" in complaint(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    assert "a file" in complaint(tmp_path / "file")


def test_the_gallery_is_found_by_name_from_anywhere(tmp_path: Path) -> None:
    code = f"import sys; sys.path[:0] = {sys.path!r}; from fitness.problem import load; "
    code += "print(load('tsp_constructive').entry)"
    found = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, check=True)
    assert found.stdout == b"program.py:select\n"
    names = {name: summary for name, summary, _ in gallery()}
    assert {"tsp_constructive", "online_bin_packing", "circle_packing"} <= set(names)
    assert all(len(summary) > 20 for summary in names.values())
    for name in names:
        assert load(name).name == name


def test_a_preset_stands_for_numbers_and_gives_way_to_those_that_are_given(tmp_path: Path) -> None:
    for name, gate, alpha, duels in (
        ("thrifty", "", 0.1, 20),
        ("thorough", "", 0.05, 100),
        ("thorough", "alpha = 0.2\nduels = 7\n", 0.2, 7),
    ):
        folder = tmp_path / f"{name}-{duels}"
        problem = load(write(folder, toml=f'{TOML}[gate]\npreset = "{name}"\n{gate}'))
        assert (problem.preset, problem.alpha, problem.duels, problem.n_max) == (name, alpha, duels, None)
    with pytest.raises(BadInput, match=r"gate.preset: expected 'thrifty', 'standard' or 'thorough'"):
        load(write(tmp_path / "x", toml=f'{TOML}[gate]\npreset = "frugal"\n'))


def test_an_unknown_name_offers_the_near_ones() -> None:
    with pytest.raises(BadInput, match="'tsp_constructive'"):
        load("tsp_constructiv")
    with pytest.raises(
        BadInput, match=r"circle_packing, flow_shop, improver, online_bin_packing, .*tsp_constructive"
    ):
        load("zzz")


def test_the_digest_follows_contents_and_names_but_not_caches(tmp_path: Path) -> None:
    folder = write(tmp_path / "problem")
    before = load(folder)
    for name in ("program/__pycache__/program.pyc", ".git/HEAD", "runs/a.git/HEAD"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("cache")
    assert load(folder) == before
    (folder / "data.txt").write_text("1")
    with_data = load(folder)
    (folder / "data.txt").rename(folder / "date.txt")
    renamed = load(folder)
    (folder / "program" / "program.py").write_text("def double(case): return 0\n")
    digests = {before.digest, with_data.digest, renamed.digest, load(folder).digest}
    assert len(digests) == 4
    assert load(write(tmp_path / "copy")).digest == before.digest


def test_a_problem_is_frozen(tmp_path: Path) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        load(write(tmp_path / "problem")).worst = 1.0  # type: ignore[misc]


def test_init_writes_a_problem_under_the_folders_name(tmp_path: Path) -> None:
    problem = load(init(tmp_path / "new" / "parcels"))
    assert problem.name == "parcels"
    assert {"README.md", "evaluate.py", "problem.toml", "statement.md"} == set(problem.documents)


def test_init_refuses_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("")
    with pytest.raises(BadInput, match="files in it"):
        init(tmp_path / "full")
    with pytest.raises(BadInput, match="a file"):
        init(tmp_path / "full" / "thesis.tex")
    (tmp_path / "empty").mkdir()
    assert load(init(tmp_path / "empty")).name == "empty"


@pytest.mark.parametrize("name", [b"\xff.py", b"new\nline.py"])
def test_a_file_name_that_cannot_be_written_down_is_bad_input(tmp_path: Path, name: bytes) -> None:
    folder = write(tmp_path / "problem")
    (folder / "program" / os.fsdecode(name)).write_bytes(b"")
    with pytest.raises(BadInput, match="file names of printable signs"):
        load(folder)
