"""Tasks are sound, the model of known effects is what it says, and `evolve self` finds what helps."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from agent_runs import evolve

from evolve import agents
from evolve.agents import assemble
from evolve.models import effects
from evolve.models.broker import DeskBroker, read_asked
from evolve.models.desk import Desk
from evolve.models.effects import KnownEffects, ceiling
from evolve.types import CaseKey, Evaluation, Files, Job
from fitness.binomial import binomial_interval
from fitness.doubles import TrustedSandbox
from fitness.evaluation import ProblemFitness
from fitness.problem import Problem, load
from populations.ledger import GitLedger

IMPROVED = {
    "feedback": lambda files: {
        **files,
        "agent.py": files["agent.py"].replace(effects._ATTEMPT.encode(), effects._RETRY.encode()),
        "policy.toml": files["policy.toml"] + b"retries = 2\n",
    },
    "tool": lambda files: {**files, "tools/calculator.py": effects._CALCULATOR.encode()},
    "instruction": lambda files: {
        **files, "prompts/task.md": files["prompts/task.md"] + effects._EDGES.encode()
    },
    "vote": lambda files: {
        **files, "agent.py": files["agent.py"].replace(effects._SOLVE.encode(), effects._VOTE.encode())
    },
    "cool": lambda files: {
        **files, "policy.toml": files["policy.toml"].replace(b"temperature = 1.0", b"temperature = 0.0")
    },
}  # fmt: skip


def evaluate(problem: Problem, files: Files, cases: int, split: str = "search", **more: Any) -> Evaluation:
    broker = DeskBroker(problem.allowance)
    broker.serve(Desk([KnownEffects()]), 0)
    try:
        keys = tuple(CaseKey(split, n) for n in range(cases))  # type: ignore[arg-type]
        return ProblemFitness(problem, TrustedSandbox(), broker).evaluate(Job(files, keys, **more))
    finally:
        broker.close()


def test_the_seed_is_small_and_whole(tmp_path: Path) -> None:
    problem = load(assemble(tmp_path / "p", "drills"))
    assert sum(data.count(b"\n") for data in problem.seed_files.values()) <= 300
    assert not any(evaluate(problem, problem.seed_files, 2, first=True).failures)


@pytest.mark.parametrize("with_", [[], ["feedback"], ["tool", "instruction"], ["feedback", "vote"], ["cool"]])
def test_effects_are_as_known(tmp_path: Path, with_: list[str]) -> None:
    problem = load(assemble(tmp_path / "p", "drills"))
    files = problem.seed_files
    for name in with_:
        before, files = files, IMPROVED[name](files)
        assert files != before
    found = evaluate(problem, files, 120)
    low, high = binomial_interval(int(sum(found.scores)), 120, 0.999)
    assert low <= ceiling(dict.fromkeys(with_, True), temperature=float("cool" not in with_)) <= high
    asked = {each.parameters["wished_temperature"] for each in found.asked}
    assert asked == {float("cool" not in with_)}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"agent.py": b"def go(): pass\n"}, "crash"),
        ({"tools/examples.py": b"1 / 0\n"}, "own tests"),
        ({"prompts/task.md": b"{goal}\n"}, "self-edit"),
        ({"agent.py": b"def run(a, b, c):\n    c.complete([dict(role='user', content='x')])\n"},
         "smoke task"),
    ],
)  # fmt: skip
def test_an_agent_that_can_no_longer_edit_is_refused(tmp_path: Path, change: Files, why: str) -> None:
    """Before any of its tasks is tried, at a cost of a few questions."""
    problem = load(assemble(tmp_path / "p", "drills"))
    found = evaluate(problem, {**problem.seed_files, **change}, 24, first=True)
    assert found.failed and len(found.asked) < 12
    assert all(each is not None and each.kind == "refused" for each in found.failures)
    assert why in found.failures[0].detail or why == "crash"  # type: ignore[union-attr]


REFERENCE = """
import json
SOLUTIONS = json.loads({table!r})
def run(goal, workspace, model):
    (workspace / "solution.py").write_text(SOLUTIONS[goal])
"""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=getattr(pytest.mark, name)) for name in ("codeio", "humaneval", "bugs")]
)
def test_tasks_are_solved_by_their_references_alone(tmp_path: Path, name: str) -> None:
    """A reference passes, the same with another result does not; neither it nor a hidden test is shown."""
    problem = load(assemble(tmp_path / "p", name))
    module = ProblemFitness(problem, TrustedSandbox())._rules.case.__globals__
    tasks = module["SETS"][name]
    count, table, wrong = 12, {}, {}
    for seed in range(count):
        case = module["case"]("search", seed)
        if name == "codeio":
            number = int(case["id"].split()[1])
            source = next(each["code_sample"] for at, each in tasks.problems() if at == number)
        elif name == "bugs":
            of = tasks.bugs()[int(case["id"].split()[1])]["of"]
            source = tasks.program(tasks.sources(), of["module"], of["name"])
        else:
            found = tasks.problems()[case["number"]]
            source = found["prompt"] + found["canonical_solution"]
            assert found["test"] not in json.dumps(module["visible"](case))
        assert source not in json.dumps(module["visible"](case)) and "hidden" not in module["visible"](case)
        table[case["goal"]] = source
        function = case["function"]
        wrong[case["goal"]] = (
            f"{source}\nbefore = {function}\ndef {function}(*a, **k): return [before(*a, **k)]\n"
        )
    for solutions, expected in ((table, 1.0), (wrong, 0.0)):
        files = {**problem.seed_files, "agent.py": REFERENCE.format(table=json.dumps(solutions)).encode()}
        assert evaluate(problem, files, count).scores == (expected,) * count


def test_a_missing_package_is_one_line(tmp_path: Path) -> None:
    """With nothing but the packages that evolve itself needs."""
    script = (
        "import sys; sys.modules['reasoning_gym'] = None\n"
        "import importlib.util as u; find = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'reasoning_gym' else find(name, *a)\n"
        "from fitness.evaluation import ProblemFitness; from fitness.problem import load\n"
        "from fitness.doubles import TrustedSandbox; from evolve.types import *\n"
        "try: ProblemFitness(load('scaffold'), TrustedSandbox()).evaluate(Job({}, (CaseKey('search', 0),)))\n"
        "except BadInput as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.count("\n") == 1 and "pip install 'evolve-code[tasks]'" in done.stdout, done.stderr


# ------------------------------------------------------------------------------------------- whole runs

SELF = ["self", "--tasks", "drills", "--model", "known-effects", "--trials", "6", "--workers", "1", "--json"]


@pytest.fixture(scope="module")
def evolved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A run with a promotion. Half of all runs so short have one, or more: none of 8 in .4 % of all tests."""
    for attempt in range(8):
        folder = tmp_path_factory.mktemp(f"self-{attempt}")
        done = evolve(folder, *SELF, "--seed", str(attempt), "--to", "runs/scaffold-0")
        assert done.returncode == 0, done.stderr
        if (result := json.loads(done.stdout))["promotions"]:
            return folder, result
    raise AssertionError("no run has promoted anything")


def test_an_agent_edits_itself_and_the_better_one_is_put_in_use(evolved: tuple[Path, dict[str, Any]]) -> None:
    folder, result = evolved
    assert result["promotions"] >= 1 and result["champion"]["gain"] > 0
    listed = [json.loads(line) for line in evolve(folder, "agents", "--json").stdout.splitlines()]
    (used,) = [row["id"] for row in listed if row["used"]]
    assert used != agents.SEED
    back = evolve(folder, "agents", "--revert", "--json").stdout.splitlines()
    assert [row["id"] for row in map(json.loads, back) if row["used"]] == [agents.SEED]
    assert evolve(folder, "agents", "--use", used).returncode == 0


def test_what_was_asked_is_in_the_run(evolved: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = evolved
    with GitLedger.read(folder / "runs" / "scaffold-0.git") as ledger:
        rows = [(e, row) for e in ledger.events() for row in e.measured.get("asked", ())]
        for event, row in rows:
            said = read_asked(ledger.file(event.index, "asked.jsonl"))
            assert sum(each.model == row["model"] for each in said) == row["calls"]
        assert {event.kind for event, _ in rows} == {"trial", "duel_batch", "sealed"}
        ideas = [e.decision["idea"] for e in ledger.events() if e.kind == "proposal"]
        assert ideas and all(idea.endswith(".") for idea in ideas), "every edit has its hypothesis"
        command = ["git", "-C", str(ledger.path), "log", "--format=%(trailers:key=Hypothesis,valueonly)"]
        shown = subprocess.run([*command, "--all"], capture_output=True, text=True).stdout.split("\n")
        assert {line for line in shown if line} == set(ideas)


def test_its_run_is_replayed_and_verified_offline(evolved: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = evolved
    replayed = evolve(folder, "replay", "scaffold-0")
    assert replayed.returncode == 0, replayed.stdout
    assert evolve(folder, "verify", "scaffold-0").returncode == 0


def test_its_evaluations_are_run_again_from_what_was_said(evolved: tuple[Path, dict[str, Any]]) -> None:
    """No model is asked; the problem is its user's own copy, so evolved with the same tasks."""
    folder, _ = evolved
    place = assemble(folder / "copy", "drills")
    done = evolve(folder, "verify", "scaffold-0", "--rerun", "6", "--problem", str(place))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "run again, give the recorded scores" in done.stdout and "not compared" not in done.stdout


def test_the_agent_in_use_edits_other_programs(evolved: tuple[Path, dict[str, Any]]) -> None:
    """The first event names it, and it stays the same whoever is in use by then."""
    folder, _ = evolved
    words = [
        "run",
        "prime_sieve",
        "--operators",
        "scaffold,tune",
        "--model",
        "known-effects",
        "--trials",
        "3",
    ]
    done = evolve(folder, *words, "--workers", "1", "--json")
    assert done.returncode == 0, done.stderr
    with GitLedger.read(folder / "runs" / "prime_sieve-0.git") as ledger:
        start = next(iter(ledger.events()))
    (named,) = start.decision["loaded"]
    id = named.removeprefix("scaffold:")
    assert (folder / "agents" / f"{id}.json").exists()
    assert evolve(folder, "agents", "--use", "seed").returncode == 0
    again = evolve(folder, *words[:-1], "4", "--workers", "1", "--json")
    assert again.returncode == 0 and evolve(folder, "replay", "prime_sieve-0").returncode == 0
    assert evolve(folder, "agents", "--use", id).returncode == 0


def test_controls_stand_side_by_side(evolved: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = evolved
    words = [*SELF[:5], "--trials", "2"]
    for control in ("--clones", "--frozen-improver"):
        assert evolve(folder, *words, control).returncode == 0
    rows = evolve(folder, "compare", "scaffold-0", "scaffold-drills-clones-0", "--json").stdout.splitlines()
    found = [json.loads(row) for row in rows]
    assert found[0]["promotions"] >= 1 and found[1]["promotions"] == 0
    assert all(row["tokens"] > 0 for row in found)
    assert found[0]["paid_back"] != "-" and found[1]["paid_back"] == "-"
    two = evolve(folder, *words, "--clones", "--random-edits")
    assert two.returncode == 2 and two.stderr.count("\n") == 1
