"""What every population owes: pure draws, no breeding from what failed, no meaning in the scale of scores."""

from collections import Counter
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from costs import least_seconds
from hypothesis import given
from hypothesis import strategies as st

import populations
from evolve.types import BadInput, Trial
from fitness.tables import Table
from populations.baselines import BestOfN, HillClimb, Random
from populations.elite import Elite, merit
from populations.families import Families
from populations.islands import Islands
from populations.pareto import SHARE, Pareto, front

NAMES = sorted(populations.KNOWN)
VALUES = st.lists(st.integers(-1000, 1000).map(float), min_size=1, max_size=80)


def trial(index, value, parents=(), verdict="evaluated", values=None, objectives=()):
    values = values or (() if value is None else (value, value + index))
    variant = f"{index}-abcdef" if verdict in ("evaluated", "failed") else None
    return Trial(index, index - 1, "syntax", parents, variant, verdict, value, values, objectives)


def told(population, values, scale=1.0, shift=0.0, metrics=()):
    """A trial for each value, of two cases and these metrics; everything in other units than it was."""
    for index, value in enumerate(values):
        parents = (f"{index // 2}-abcdef",) if index else ()
        moved = [x * scale + shift for x in (value, value + index)]
        objectives = tuple(scale * metric[index] - shift for metric in metrics)
        population.tell(trial(index, moved[0], parents, values=tuple(moved), objectives=objectives))
    return population


def asked(population, count=1, times=40, pending=()):
    return [population.ask(np.random.default_rng([7, i]), count, pending) for i in range(times)]


@pytest.fixture(params=NAMES)
def create(request):
    return lambda: populations.create(request.param)


@given(name=st.sampled_from(NAMES), values=VALUES, count=st.sampled_from([1, 2, 3]))
def test_asking_twice_with_one_generator_gives_the_same_known_parents(name, values, count):
    population = told(populations.create(name), values)
    first, again = asked(population, count, 5), asked(population, count, 5)
    assert first == again
    known = {f"{index}-abcdef" for index in range(len(values))}
    assert all(len(ids) == count and set(ids) <= known for ids in first)


@given(name=st.sampled_from(NAMES), values=VALUES)
def test_shifting_and_scaling_all_scores_changes_no_draw(name, values):
    plain = told(populations.create(name), values)
    moved = told(populations.create(name), values, 3.0, -7.0)
    assert asked(plain, 2, 10) == asked(moved, 2, 10)


@pytest.mark.parametrize("metrics", [0, 1, 3])
def test_scaling_by_numbers_that_round_changes_no_draw(create, metrics):
    values, *others = np.random.default_rng(5).normal(size=(1 + metrics, 200))
    plain = told(create(), values, metrics=others)
    moved = told(create(), values, 0.1234567, 1e4 / 3, others)
    assert asked(plain, 2, 300) == asked(moved, 2, 300)


@pytest.mark.parametrize("metrics", [[], [[2.0, 1.0]]])
def test_what_did_not_score_never_breeds(create, metrics):
    population = told(create(), [1.0, 2.0], metrics=metrics)
    for index, verdict in enumerate(["failed", "duplicate", "refused", "no_child"], start=2):
        population.tell(trial(index, None, ("0-abcdef",), verdict))
    assert {name for ids in asked(population, 2) for name in ids} <= {"0-abcdef", "1-abcdef"}


@pytest.mark.parametrize("metrics", [0, 3])
def test_asking_is_as_cheap_at_twenty_thousand_trials_as_at_two_hundred(create, metrics):
    values, *others = np.random.default_rng(0).normal(size=(1 + metrics, 20_000))
    young = told(create(), values[:200], metrics=[other[:200] for other in others])
    old = told(create(), values, metrics=others)
    few, many = (least_seconds(lambda p=p: asked(p, 2, 100)) for p in (young, old))
    assert many < 10 * few  # of a hundred times as many trials


def test_the_elite_keeps_the_best_and_of_equal_ones_the_older():
    elite = told(Elite(size=3), [1.0, 5.0, 3.0, 4.0, 3.0, 2.0])
    assert {ids[0] for ids in asked(elite, times=200)} == {"1-abcdef", "2-abcdef", "3-abcdef"}


def test_a_child_that_scores_the_same_on_every_case_is_left_out():
    elite = Elite()
    for index in range(5):
        elite.tell(Trial(index, 0, "tune", (), f"v{index}", "evaluated", 2.0, (1.0, 3.0)))
    elite.tell(Trial(5, 0, "tune", (), "v5", "evaluated", 2.0, (2.0, 2.0)))
    assert {ids[0] for ids in asked(elite)} == {"v0", "v5"}


def tuned(index, value, parent, skeleton="numbers"):
    child = trial(index, value, (f"{parent}-abcdef",))
    return replace(child, operator="tune", details={"skeleton": skeleton})


def kept(population):
    return {id for ids in asked(population, times=400) for id in ids}


def test_of_programs_that_differ_in_their_numbers_alone_few_are_kept_the_best():
    population = Families(size=6, alike=2)
    population.tell(trial(0, 1.0))
    population.tell(trial(1, 2.0, ("0-abcdef",)))
    for index, value in enumerate([3.0, 5.0, 4.0, 2.5], start=2):
        population.tell(tuned(index, value, parent=1))
    assert kept(population) == {"0-abcdef", "3-abcdef", "4-abcdef"}
    population.tell(tuned(6, 0.5, parent=0, skeleton="of the seed"))
    population.tell(trial(7, 0.1, ("3-abcdef",)))
    assert kept(population) == {"0-abcdef", "3-abcdef", "4-abcdef", "6-abcdef", "7-abcdef"}


def test_a_problem_may_name_any_population_that_is_no_baseline():
    (names, _) = get_args(Table.model_fields["population"].annotation)
    assert set(get_args(names)) == populations.KNOWN.keys() - {"best-of-n", "random", "hill-climb"}


def test_the_weight_is_the_sigmoid_of_the_distance_to_the_median_over_the_children():
    values = [0.0, 1.0, 2.0, 3.0, 10.0]
    elite = Elite()
    for index, value in enumerate(values):
        elite.tell(trial(index, value))
    elite.tell(trial(5, None, ("4-abcdef",), "failed"))
    draws = Counter(ids[0] for ids in asked(elite, times=20_000, pending=["3-abcdef", "4-abcdef"]))
    weights = 1 / (1 + np.exp(-(np.array(values) - 2.0) / 1.0)) / [1, 1, 1, 2, 3]
    expected = 20_000 * weights / weights.sum()
    counts = np.array([draws[f"{index}-abcdef"] for index in range(5)])
    assert np.all(np.abs(counts - expected) < 4 * np.sqrt(expected))


def test_without_spread_all_weigh_the_same():
    assert np.array_equal(merit(np.full(4, 0.1 + 0.2)), np.full(4, 0.5))
    assert np.array_equal(merit(np.array([1.0, 1.0, 1.0, 9.0])), np.full(4, 0.5))


def test_the_second_parent_is_another_one_and_mostly_good():
    elite = told(Elite(), [float(value) for value in range(64)])
    pairs = asked(elite, 2, 400)
    assert all(first != second for first, second in pairs)
    ranks = [int(second.partition("-")[0]) for _, second in pairs]
    assert 44 < np.mean(ranks) < 52  # the best of three of 0..63: 47


def test_a_lone_variant_is_both_parents(create):
    assert set(asked(told(create(), [1.0]), 2, 20)) == {("0-abcdef", "0-abcdef")}


def test_the_front_breeds_what_the_elite_has_lost():
    """A thousand are faster than the seed and wrong; a few are a little faster and right."""
    rng = np.random.default_rng(1)
    right = {0: 0.0, 17: 0.05, 400: 0.1}  # trial -> how fast
    speeds = [right.get(n, 1 + rng.random()) for n in range(1000)]
    accuracy = [0.9 if n in right else 0.5 * rng.random() for n in range(1000)]
    best = f"{max(right)}-abcdef"
    elite, pareto = (told(each, speeds, metrics=[accuracy]) for each in (Elite(), Pareto()))
    assert best not in {name for ids in asked(elite, 2, 2000) for name in ids}
    firsts = Counter(ids[0] for ids in asked(pareto, 1, 2000))
    names = pareto.front()
    assert best in names and "17-abcdef" not in names  # slower than another that is as right
    shares = np.array([1 / (1 + 2 * (int(name.partition("-")[0]) < 500)) for name in names])
    expected = SHARE * 2000 * shares[names.index(best)] / shares.sum()
    assert abs(firsts[best] - expected) < 4 * np.sqrt(expected)
    assert {ids[0] for ids in asked(pareto, 1, 2000)} > set(names)  # the elite breeds, too


@given(st.lists(st.tuples(*[st.integers(0, 6).map(float)] * 3), min_size=1, max_size=40))
def test_the_front_is_kept_as_trials_come(points):
    pareto = Pareto()
    for index, (value, *objectives) in enumerate(points):
        pareto.tell(trial(index, value, objectives=tuple(objectives)))
    assert sorted(pareto.front()) == sorted(front({f"{n}-abcdef": point for n, point in enumerate(points)}))


def test_a_full_front_loses_whom_others_are_close_to():
    """A chain of 40 points that dominate nobody: the ends stay, and no gap between the others is wide."""
    pareto, chain = Pareto(size=8), np.random.default_rng(2).permutation(40)
    for index, x in enumerate(chain.tolist()):
        pareto.tell(trial(index, float(x), objectives=(float(-x),)))
    kept = sorted(int(chain[int(name.partition("-")[0])]) for name in pareto.front())
    assert len(kept) == 8 and (kept[0], kept[-1]) == (0, 39)
    assert max(np.diff(kept)) <= 12


def test_without_constraints_whoever_is_the_best_on_some_case_breeds():
    pareto = Pareto(size=2)
    scores = [(0.0, 0.0, 9.0), (5.0, 5.0, 0.0), (6.0, 4.0, 1.0), (7.0, 3.0, 2.0), (7.0, 2.0, 2.5)]
    for index, values in enumerate(scores):
        pareto.tell(trial(index, sum(values) / 3, values=values))
    assert sorted(pareto.front()) == ["0-abcdef", "1-abcdef", "3-abcdef"]  # the fifth is only as good


def islands_of(population, times=300):
    """Whoever was asked for together, directly or over others: names by island, the smallest first."""
    groups = []
    for ids in asked(population, 2, times):
        near = [group for group in groups if group & set(ids)]
        groups = [group for group in groups if group not in near] + [set(ids).union(*near)]
    return sorted(map(sorted, groups))


def test_a_child_lives_with_its_first_parent_and_breeds_with_nobody_else():
    population = Islands(count=2, size=2, migration=100)
    population.tell(trial(0, 0.0))
    for index in range(1, 5):  # the seed's children settle by turns; nobody else is left after that
        population.tell(trial(index, float(index), ("0-abcdef",)))
    assert islands_of(population) == [["1-abcdef", "3-abcdef"], ["2-abcdef", "4-abcdef"]]
    population.tell(trial(5, 9.0, ("1-abcdef", "4-abcdef")))
    population.tell(trial(6, None, ("2-abcdef",), "failed"))
    assert islands_of(population) == [["2-abcdef", "4-abcdef"], ["3-abcdef", "5-abcdef"]]


def test_the_best_of_an_island_settles_on_the_next_one():
    population = Islands(count=2, size=2, migration=6)
    population.tell(trial(0, 0.0))
    for index in range(1, 6):
        population.tell(trial(index, float(index), ("0-abcdef",)))
    # one has 1, 3, 5; the other 2, 4: both keep two, and either best is on both now
    assert set(asked(population, 2, 300)) == {
        ("5-abcdef", "4-abcdef"),
        ("4-abcdef", "5-abcdef"),
    }


def test_the_weaker_half_begins_anew_from_the_best_of_the_stronger():
    population = Islands(count=4, size=4, migration=100, reset=9)
    population.tell(trial(0, 0.0))
    for index in range(1, 9):
        population.tell(trial(index, float(index), ("0-abcdef",)))
    # the islands of 7 and 8 stay as they are; those of 5 and 6 have nobody but their founders
    drawn = Counter(ids[0] for ids in asked(population, 1, 4000))
    assert set(drawn) == {"0-abcdef", "3-abcdef", "7-abcdef", "4-abcdef", "8-abcdef"}
    assert min(drawn["7-abcdef"], drawn["8-abcdef"]) > 1000


def test_one_that_comes_from_another_run_settles_where_least_was_tried():
    population = Islands(count=2, size=1, migration=100)
    population.tell(trial(0, 0.0))
    population.tell(trial(1, 1.0, ("0-abcdef",)))
    population.tell(trial(2, 2.0))
    assert {ids[0] for ids in asked(population)} == {"1-abcdef", "2-abcdef"}


def test_baselines_breed_from_the_seed_the_best_or_anyone():
    values = [1.0, 5.0, 3.0, 5.0]
    assert set(asked(told(BestOfN(), values))) == {("0-abcdef",)}
    assert set(asked(told(HillClimb(), values))) == {("1-abcdef",)}
    draws = Counter(ids[0] for ids in asked(told(Random(), values), times=2_000))
    assert len(draws) == 4 and min(draws.values()) > 400


def test_a_population_of_ones_own_is_named_by_its_path():
    assert isinstance(populations.create("populations.elite:Elite"), Elite)
    assert isinstance(populations.create("populations.elite.Elite"), Elite)


@pytest.mark.parametrize(
    ("name", "got"),
    [
        ("elit", "one of elite"),
        ("nowhere.to:Be", "importable"),
        ("populations.elite:Elites", "importable"),
        ("", "nothing"),
    ],
)
def test_an_unknown_population_is_bad_input_that_names_the_nearest(name, got):
    with pytest.raises(BadInput, match=got):
        populations.create(name)
