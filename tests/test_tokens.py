"""The operators for any language, on C++: what they take for a place, and that most children compile."""

import subprocess

import numpy as np
import pytest

from evolve import operators
from evolve.operators import tokens
from evolve.operators.territory import Territory
from evolve.operators.tokens import Tokens
from evolve.operators.tune import Tune
from evolve.types import Parent, Trial, Variant
from fitness.problem import load

SOURCE = """#include <cmath>  // 7.5
static const char* text = "3.5 * x";
// EVOLVE-BLOCK-START
double f(const double* xs, int n) {
    double sum = 0.25;
    for (int i = 0; i < n; i++) {
        double half = xs[i] * 0.5;  // 9.5
        if (half > 2 && sum < 10) sum += std::min(half, 1e-3f);
        sum = sum - half / 0x10;
    }
    return sum;
}
// EVOLVE-BLOCK-END
double g(double x) { return x * 8.5; }
"""
FILES = {"a.cpp": SOURCE.encode(), "notes.md": b"1.5 is kept\n"}


def parent(files, value=1.0):
    return Parent(
        Variant("0-abcdef", files), Trial(0, 0, "seed", (), "0-abcdef", "evaluated", value, (value,))
    )


def text():
    return tokens.texts(FILES, ["a.cpp"], Territory(FILES, ["*.cpp"]))["a.cpp"]


def children(operator, files, count):
    made = [operator.propose([parent(files)], np.random.default_rng(seed)) for seed in range(count)]
    return [proposal for proposal in made if proposal.files is not None]


def test_values_are_found_where_they_stand_and_nowhere_else():
    found = [value.text for value in text().values]
    assert found == [
        "xs",  # of the parameter's declaration: a product looks like that
        "0.25", "xs[i]", "0.5", "half", "2", "sum", "10", "half", "1e-3", "sum", "half", "sum",
    ]  # fmt: skip
    assert [literal.value for literal in tokens.quantities(text())] == [0.25, 0.5, 2, 10, 1e-3]


def test_lines_are_statements():
    assert [line.text.strip() for line in text().lines] == ["sum = sum - half / 0x10;"]


def test_children_keep_to_the_territory_and_say_what_they_did():
    territory = Territory(FILES, ["*.cpp"])
    for operator in (Tokens(territory), Tune(territory)):
        made = children(operator, FILES, 60)
        assert len(made) > 50
        for proposal in made:
            assert territory.violation(proposal.files) is None
            assert proposal.files != FILES and proposal.idea and "\n" not in proposal.idea
            for kept in ("7.5", "3.5 * x", "9.5", "8.5", "0x10", "int i = 0; i < n; i++"):
                assert kept in proposal.files["a.cpp"].decode() or "without" in proposal.idea


def test_a_negative_number_stands_in_parentheses():
    files = {"a.c": b"int f(int x) { return x - 3; }\n"}
    made = children(Tokens(Territory(files, ["*"])), files, 200)
    texts = [proposal.files["a.c"].decode() for proposal in made]
    assert any("- (-" in source for source in texts) and not any("--" in source for source in texts)


@pytest.mark.parametrize("name", ["tokens", "tune"])
def test_most_children_of_the_shipped_problem_compile(name, tmp_path):
    """Twelve compilations each, about 5 s."""
    problem = load("flow_shop")
    made = children(operators.create([name], problem)[name], problem.seed_files, 12)
    compiled = 0
    for proposal in made:
        (tmp_path / "solver.cpp").write_bytes(proposal.files["solver.cpp"])
        done = subprocess.run(
            ["g++", "-fsyntax-only", str(tmp_path / "solver.cpp")], capture_output=True, check=False
        )
        compiled += done.returncode == 0
    assert len(made) >= 11 and compiled >= 9


def test_operators_fit_the_language_by_default():
    assert list(operators.create(None, load("flow_shop"))) == ["tokens", "tune"]
    assert list(operators.create(None, load("tsp_constructive"))) == ["syntax", "crossover", "tune"]


def test_tune_learns_from_its_trials_in_another_language():
    """A model of the numbers is drawn from what was told: replayed, it suggests the same."""
    territory, made = Territory(FILES, ["*.cpp"]), []
    for _ in range(2):
        tune = Tune(territory)
        for seed in range(5):
            proposal = tune.propose([parent(FILES)], np.random.default_rng(seed))
            tune.tell(
                Trial(
                    seed + 1,
                    0,
                    "tune",
                    ("0-abcdef",),
                    f"{seed}-x",
                    "evaluated",
                    float(seed),
                    details=proposal.details,
                )
            )
        made.append(tune.propose([parent(FILES)], np.random.default_rng(9)))
    assert made[0].files == made[1].files and made[0].details["skeleton"] == proposal.details["skeleton"]
