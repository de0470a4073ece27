"""The numbers of a program as parameters: what is a literal, what is learned, what replay rebuilds."""

import tomllib

import numpy as np
import pytest
from costs import least_seconds
from test_operator_conformance import BLOCKS, PLAIN, create, files_of, parent, proposed

from evolve.types import Trial

SLOPE = "def f(x):\n    return 1.0 * x + 3.0 - x ** 2 + x[0]\n"


def bowl(source):
    """Greatest, 0, where the two floats of SLOPE are 2.5 and -1."""
    text = source.split("return ")[1]
    first, rest = text.split(" * x + ", 1)
    second = rest.split(" - x")[0]
    return -((float(first.strip("()")) - 2.5) ** 2) - (float(second.strip("()")) + 1.0) ** 2


def climb(operator, trials, seed=0):
    """Every child from the best so far; gives the trials and the best value."""
    best = parent(files_of(SLOPE), bowl(SLOPE))
    told = []
    for index in range(1, trials + 1):
        made = operator.propose([best], np.random.default_rng([seed, index]))
        value = bowl(made.files["program.py"].decode()) if made.files else None
        verdict = "evaluated" if made.files else "no_child"
        trial = Trial(index, 0, "tune", (best.variant.id,), f"v{index}", verdict, value, details=made.details)
        operator.tell(trial)
        told.append(trial)
        if value is not None and value > best.trial.value:
            best = parent(made.files, value, f"v{index}")
    return told, best


def test_it_climbs_a_bowl():
    told, best = climb(create("tune", files_of(SLOPE)), 120)
    assert bowl(SLOPE) < -18 and best.trial.value > -0.5
    assert sum(trial.verdict == "evaluated" for trial in told) > 100


def test_replaying_its_trials_rebuilds_it():
    operator, again = create("tune", files_of(SLOPE)), create("tune", files_of(SLOPE))
    told, best = climb(operator, 40)
    for trial in told:
        again.tell(trial)
    for seed in range(10):
        assert proposed(operator, [best], seed).files == proposed(again, [best], seed).files


def test_no_score_is_part_of_what_was_decided_and_the_parent_tells_its_own():
    files = files_of(SLOPE)
    made = [
        proposed(create("tune", files), [parent(files, value)], 3).details for value in (1.0, 1.0 + 1e-15)
    ]
    assert made[0] == made[1] and made[0]["parent"].keys() == {"numbers"}
    taught = create("tune", files)
    seed = Trial(0, 0, "seed", (), "0-abcdef", "evaluated", 7.25)
    for trial in (seed, Trial(1, 0, "tune", (seed.variant,), "v1", "evaluated", 8.5, details=made[0])):
        taught.tell(trial)
    (known,) = taught._points.values()
    assert sorted(point.value for point in known.values()) == [7.25, 8.5]


def test_what_it_learned_changes_what_it_suggests():
    fresh, taught = create("tune", files_of(SLOPE)), create("tune", files_of(SLOPE))
    _, best = climb(taught, 60)
    differing = [
        proposed(fresh, [best], seed).files != proposed(taught, [best], seed).files for seed in range(20)
    ]
    assert sum(differing) > 5


def test_numbers_of_a_policy_stay_toml_when_they_become_negative():
    files = {**files_of(PLAIN), "policy.toml": b"tool_calls = 2\nshares = [0.5, 1.5]  # of 3\n"}
    operator, found = create("tune", files), []
    for seed in range(60):
        made = proposed(operator, [parent(files, 0.0)], seed)
        if made.files is not None:
            policy = tomllib.loads(made.files["policy.toml"].decode())
            found += [policy["tool_calls"], *policy["shares"]]
    assert min(found) < 0 < max(found)


def test_integers_stay_integers_and_indices_stay():
    files = files_of("def f(x):\n    return 7 * x[1] + x[2:5].sum(axis=0)\n")
    for seed in range(30):
        made = proposed(create("tune", files), [parent(files)], seed)
        if made.files is not None:
            text = made.files["program.py"].decode()
            assert "x[1] + x[2:5].sum(axis=0)" in text
            assert isinstance(int(text.split("return ")[1].split(" *")[0].strip("()")), int)


def test_only_literals_inside_the_blocks_move():
    files = files_of(BLOCKS)
    texts = [proposed(create("tune", files), [parent(files)], seed).files for seed in range(30)]
    made = [files["program.py"].decode() for files in texts if files is not None]
    assert made and all("fixed = 1.0\n" in text and "* 7.25\n" in text for text in made)


def test_of_many_literals_at_most_sixteen_move():
    source = "def f(x):\n    return " + " + ".join(f"{i}.5 * x" for i in range(1, 60)) + "\n"
    files = files_of(source)
    for seed in range(15):
        details = proposed(create("tune", files), [parent(files)], seed).details
        moved = [
            one != other for one, other in zip(details["numbers"], details["parent"]["numbers"], strict=True)
        ]
        assert 1 <= sum(moved) <= 16


@pytest.mark.parametrize("source", ["def f(a, b):\n    return a - b\n", "def f(x):\n    return x[0]\n"])
def test_without_a_quantity_it_says_so(source):
    files = files_of(source)
    assert proposed(create("tune", files), [parent(files)], 0).failure.detail == "no number to tune"


def test_a_suggestion_stays_cheap_with_hundreds_of_observations():
    operator = create("tune", files_of(PLAIN))
    files = files_of(PLAIN)
    taken = []
    for index in range(400):
        made = proposed(operator, [parent(files)], index)
        operator.tell(
            Trial(
                index, 0, "tune", ("0",), f"v{index}", "evaluated", float(-index % 17), details=made.details
            )
        )
        if index in (79, 399):
            taken.append(
                least_seconds(lambda: [proposed(operator, [parent(files)], seed) for seed in range(5)])
            )
    few, many = taken
    assert many < 3 * few
