"""Bugs in libraries: each is seen by what is shown and by what is hidden, and no right result leaves."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from evolve.agents import assemble
from fitness.doubles import TrustedSandbox
from fitness.evaluation import ProblemFitness
from fitness.problem import load
from sandbox import values

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.bugs


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What evaluate.py holds."""
    problem = load(assemble(tmp_path_factory.mktemp("bugs") / "p", "bugs"))
    return ProblemFitness(problem, TrustedSandbox())._rules.case.__globals__


@pytest.fixture(scope="module")
def tasks(rules: dict[str, Any]) -> Any:
    return rules["SETS"]["bugs"]


def returned(text: str, calls: list[dict[str, Any]]) -> list[Any]:
    """What a program returns for each call, or the exception; as the seed's tool runs it."""
    space: dict[str, Any] = {}
    exec(compile(text, "solution.py", "exec"), space)
    found: list[Any] = []
    for call in json.loads(json.dumps(calls)):
        try:
            found.append(space["tested"](*call["arguments"], **call["keywords"]))
        except Exception as error:  # a bug may raise anything
            found.append(error)
    return found


def test_every_bug_fails_and_its_repair_passes(tasks: Any) -> None:
    for bug in tasks.bugs():
        of = bug["of"]
        case = tasks.drawn(bug, random.Random(0))
        wrong, right = case["files"]["solution.py"], tasks.program(tasks.sources(), of["module"], of["name"])
        assert hashlib.sha256(wrong.encode()).hexdigest()[:16] == bug["digest"]
        different = [
            pair for pair in zip(wrong.split("\n"), right.split("\n"), strict=True) if len({*pair}) == 2
        ]
        assert different == [(bug["after"], bug["before"])] and wrong.count("\n") <= 120 and bug["tests"]
        papers = tasks.papers(case)
        assert tasks.solved(case, returned(right, papers)), case["id"]
        assert not tasks.solved(case, returned(wrong, papers)), case["id"]
        shown = json.loads(case["files"]["examples.json"])["examples"]
        assert returned(right, shown) == [each["result"] for each in shown], case["id"]
        assert returned(wrong, shown) != [each["result"] for each in shown], case["id"]


def test_no_hidden_call_is_shown(tasks: Any, rules: dict[str, Any]) -> None:
    for bug in tasks.bugs():
        case = {"kind": "task", "set": "bugs", **tasks.drawn(bug, random.Random(1))}
        visible = rules["visible"](case)
        assert visible.keys() == {"kind", "goal", "files"} and len(case["hidden"]) >= 5
        assert visible["files"].keys() == {"solution.py", "examples.json"}
        shown = [{**each, "result": None} for each in json.loads(case["files"]["examples.json"])["examples"]]
        assert not [each for each in case["hidden"] if {**each, "result": None} in shown]
        asked = rules["exam"](case, {"solution.py": ""})["cases"]
        assert all(each.keys() == {"arguments", "keywords"} for each in asked)
        values.encode([visible, asked])  # they can cross to a sandbox


def test_a_value_that_json_does_not_have_is_wrong(tasks: Any) -> None:
    case = tasks.drawn(tasks.bugs()[0], random.Random(0))
    for value in ({1}, {(1, 2): 3}, None if case["hidden"][0]["result"] is not None else 0):
        assert not tasks.solved(case, [value, *(each["result"] for each in case["hidden"][1:])])


def test_right_results_are_the_same_in_every_process(tasks: Any, rules: dict[str, Any]) -> None:
    """Sets come in another order there."""
    script = (
        "import hashlib, json, runpy, sys; tasks = runpy.run_path(sys.argv[1])\n"
        "for each in tasks['manifest']()['functions']:\n"
        "    found = tasks['results'](each, range(len(each['calls'])))\n"
        "    print(each['name'], hashlib.sha256(json.dumps(found).encode()).hexdigest())\n"
    )
    command = [sys.executable, "-c", script, str(rules["HERE"] / "tasks" / "bugs.py")]
    first, second = (
        subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONHASHSEED": seed})
        for seed in ("2", "3")
    )
    assert first.returncode == 0, first.stderr
    assert first.stdout == second.stdout and first.stdout.count("\n") == len(tasks.manifest()["functions"])


def test_splits_share_no_function(tasks: Any) -> None:
    drawn = {split: set() for split in ("search", "gate", "check", "sealed")}
    for split, found in drawn.items():
        for seed in range(200):
            bug = tasks.bugs()[int(tasks.task(split, seed)["id"].split()[1])]
            found.add((bug["of"]["module"], bug["of"]["name"]))
    parts = drawn["search"], drawn["gate"] | drawn["check"], drawn["sealed"]
    assert sum(map(len, parts)) == len(set.union(*parts)) == len(tasks.manifest()["functions"])


def test_versions_are_those_that_are_asked_for(tasks: Any) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for package in tasks.manifest()["packages"].values():
        assert f"{package['package']}=={package['version']}" in project["optional-dependencies"]["tasks"]


def test_another_version_is_one_line(tmp_path: Path) -> None:
    spec = find_spec("toolz")
    assert spec is not None and spec.origin is not None
    shutil.copytree(Path(spec.origin).parent, tmp_path / "toolz")
    with (tmp_path / "toolz" / "itertoolz.py").open("a") as file:
        file.write("\n")
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-m", "evolve", "self", "--tasks", "bugs", "--model", "known-effects"],
        capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "itertoolz.py of toolz 1.2.0" in done.stderr
