"""Improvers: what they are given can be improved, is judged apart, and they improve themselves."""

from __future__ import annotations

import json
import math
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from agent_runs import evolve

from evolve.agents import SCAFFOLD, agent_of
from evolve.models import effects
from evolve.models.broker import DeskBroker
from evolve.models.desk import Desk
from evolve.models.effects import KnownEffects
from evolve.types import CaseKey, Evaluation, Files, Job
from fitness.doubles import TrustedSandbox
from fitness.evaluation import ProblemFitness
from fitness.intervals import mean_interval
from fitness.problem import GALLERY, load
from populations.ledger import GitLedger

PROBLEM = load(GALLERY / "improver")
SEED = PROBLEM.seed_files
ONWARD = {**SEED, "agent.py": SEED["agent.py"].replace(effects._SAME.encode(), effects._ONWARD.encode())}
# Of five children one at least is the edit that helps with probability 1 - .7^5 = .83; as long as half of the
# runs find and prove it, none of ten does so with probability .001.
SEEDS = 10
WRITES = "def run(goal, workspace, model):\n    (workspace / 'program.py').write_text({text!r})\n"


def rules() -> dict[str, Any]:
    return ProblemFitness(PROBLEM, TrustedSandbox())._rules.case.__globals__


def evaluate(files: Files, cases: int, split: str, **more: Any) -> Evaluation:
    broker = DeskBroker(PROBLEM.allowance)
    broker.serve(Desk([KnownEffects()]), 0)
    try:
        keys = tuple(CaseKey(split, n) for n in range(cases))  # type: ignore[arg-type]
        return ProblemFitness(PROBLEM, TrustedSandbox(), broker).evaluate(Job(files, keys, **more))
    finally:
        broker.close()


def test_what_it_shares_with_the_scaffold_is_the_same() -> None:
    """A problem's folder is whole, so there are two copies of one decision."""
    scaffold = load(SCAFFOLD)
    assert PROBLEM.harness == scaffold.harness
    assert SEED["selftest.py"] == scaffold.seed_files["selftest.py"]
    assert agent_of(PROBLEM, SEED) is not None, "so it is sent to improve itself"


@pytest.mark.parametrize("name", ["sat", "cut", "packing", "tour", "machines"])
def test_answers_of_a_problem_are_worth_up_to_one_and_guesses_less(name: str) -> None:
    problem, rng = rules()["PROBLEMS"][name], random.Random(1)
    for _ in range(20):
        instance = problem.instance(rng)
        assert 0 <= problem.value(instance, problem.guess(instance, rng)) < 1
        for wrong in ([], [True] * 1000, [[]] * 20, [-1] * 24, ["0"] * 14, [1.0] * 20):
            with pytest.raises(ValueError, match="not"):
                problem.value(instance, wrong)


BEST = {
    "sat": lambda each, rng: hill_climb(each, rng, "sat"),
    "cut": lambda each, rng: hill_climb(each, rng, "cut"),
    "tour": lambda each, rng: sorted(
        range(len(each["points"])), key=lambda n: math.atan2(*each["points"][n])
    ),
}


def hill_climb(instance: Any, rng: random.Random, name: str) -> list[Any]:
    """Of many descents that flip one place at a time, the best."""
    problem = rules()["PROBLEMS"][name]
    tried = []
    for _ in range(40):
        answer, better = problem.guess(instance, rng), True
        while better:
            better = False
            for place in range(len(answer)):
                other = list(answer)
                other[place] = type(answer[place])(1 - answer[place])
                if problem.value(instance, other) > problem.value(instance, answer):
                    answer, better = other, True
        tried.append(answer)
    return max(tried, key=lambda each: problem.value(instance, each))


@pytest.mark.parametrize("name", BEST)
def test_the_best_is_worth_one_and_can_be_found(name: str) -> None:
    problem, rng = rules()["PROBLEMS"][name], random.Random(2)
    instance = problem.instance(rng)
    assert problem.value(instance, BEST[name](instance, rng)) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("text", "score", "failed"),
    [
        ("as it was", 0.0, False),
        ("def solve(instance): return 1 / 0\n", 0.0, True),
        ("def solve(instance): return 'all of it'\n", 0.0, True),
        ("def solve(instance): return [2] * 1000\n", 0.0, True),
        ("import problem\nproblem.value = lambda *a: 9\ndef solve(instance): return []\n", 0.0, True),
    ],
)  # fmt: skip
def test_programs_are_judged_apart_from_their_improver(text: str, score: float, failed: bool) -> None:
    start = (PROBLEM.folder / "start.py").read_text() if text == "as it was" else text
    found = evaluate({**SEED, "agent.py": WRITES.format(text=start).encode()}, 3, "search")
    assert found.scores == (score,) * 3
    assert [bool(each) for each in found.failures] == [failed] * 3


def test_the_seed_is_whole_and_asks_no_more_than_it_may() -> None:
    found = evaluate(SEED, 6, "search", first=True)
    assert not any(found.failures) and 0 < found.mean < 1
    assert found.metrics["calls"] == 3


def test_an_improver_that_cannot_edit_itself_is_refused() -> None:
    broken = {**SEED, "prompts/improve.md": b"{goal}\n"}
    found = evaluate(broken, 6, "search", first=True)
    assert found.failed and found.failures[0] is not None and "self-edit" in found.failures[0].detail


def test_the_better_improver_is_better_on_problems_that_it_has_never_seen() -> None:
    cases = 30
    differences = [
        one - other
        for one, other in zip(
            evaluate(ONWARD, cases, "sealed").scores, evaluate(SEED, cases, "sealed").scores, strict=True
        )
    ]
    interval = mean_interval(differences)
    assert interval is not None and interval[0] > 0.05


def test_it_improves_itself_and_its_run_is_replayed(tmp_path: Path) -> None:
    shutil.copytree(PROBLEM.folder, tmp_path / "improver")
    toml = (tmp_path / "improver" / "problem.toml").read_text()
    assert "search = 12\nsealed = 60\n" in toml
    toml = toml.replace("search = 12\nsealed = 60\n", "search = 6\nsealed = 12\n")
    (tmp_path / "improver" / "problem.toml").write_text(toml)
    words = ["run", "./improver", "--model", "known-effects", "--operators", "scaffold", "--trials", "5"]
    for seed in range(SEEDS):
        done = evolve(tmp_path, *words, "--workers", "1", "--seed", str(seed), "--json")
        assert done.returncode == 0, done.stderr
        result = json.loads(done.stdout)
        if result["promotions"]:
            break
    assert result["promotions"] == 1 and result["champion"]["gain"] > 0
    with GitLedger.read(tmp_path / "runs" / f"improver-{seed}.git") as ledger:
        assert effects._ONWARD.encode() in ledger.variant(result["champion"]["id"]).files["agent.py"]
    assert not (tmp_path / "agents").exists(), "it is no scaffold: nobody else's programs are edited by it"
    for command in ("verify", "replay"):
        again = evolve(tmp_path, command, f"improver-{seed}")
        assert again.returncode == 0, again.stdout + again.stderr
