import json
from dataclasses import replace

import numpy as np
import pytest
from forgeries import cut_out_event, dropped_trial, edit, find, loser_promoted, numbered, other_nonce
from gate_run import Run, noise

from evolve.types import CaseKey, Event
from fitness.binomial import binomial_interval
from fitness.gate import OpenGate, sealed_claim
from fitness.intervals import FIRST, NEWEST
from fitness.statistics import Reading
from fitness.verify import verify


def sealed(run: Run, seen: bool = False, opening: int = 1) -> None:
    champion = [run.run(run.gate.champion, CaseKey("sealed", i)) for i in range(40)]
    seed = [run.run("0-seed", CaseKey("sealed", i)) for i in range(40)]
    other = seed if run.gate.champion != "0-seed" else None
    claim = sealed_claim(champion, other, run.gate.sign, run.gate.reading)
    decision = {
        "opening": opening,
        "champion": run.gate.champion,
        "seed": "0-seed",
        "count": 40,
        "seen": seen,
    }
    run.append("sealed", decision, {"champion": champion, "seed": seed, **claim}, run.gate.champion)
    run.drain()


def story(**settings) -> Run:
    """Two winners, one of them good only where it is not checked, many equals, a resume and two openings."""
    gains = {8: 0.15, 30: 0.3}

    def score(variant, case, count):
        gain = gains.get(int(variant.split("-")[0]), 0.0)
        if case.split == "check" and variant.startswith("30-"):
            gain = -0.2
        return float(np.clip(0.4 + gain + 0.15 * noise(variant, *case, count).normal(), 0, 1))

    run = Run(score, search_cases=6, **settings)
    for _ in range(2):
        for _ in range(24):
            run.trial()
            for _ in range(3):
                run.duel()
        run.finish()
        sealed(run, seen=run.count("sealed") > 0, opening=run.count("sealed") + 1)
        run.append("resume", {"changes": {}}, {"workers": 2})
        run.drain()
    return run


@pytest.fixture(scope="module")
def honest() -> list[Event]:
    return story().events


def test_an_honest_run_has_no_mismatch(honest):
    kinds = {event.kind for event in honest}
    assert {"promotion", "demotion", "duel_close", "sealed", "stop", "resume"} <= kinds
    closes = {event.decision["verdict"] for event in honest if event.kind == "duel_close"}
    assert {"promoted", "undone", "futile"} <= closes
    assert verify(honest) == []


@pytest.mark.parametrize(
    "settings",
    [
        {"reading": Reading("bounded", 0.5, clipped=True)},
        {"reading": Reading("signed_rank"), "claim": "tasks"},
        {"account": {"alpha": 0.1, "duels": 5, "error": "fdr"}},
        {"reading": Reading("bounded", 1.0, 0.05)},
        {"reading": Reading("exact"), "claim": "artifact"},
        {"gate": OpenGate()},
    ],
    ids=["clipped", "ranks", "fdr", "margin", "artifact", "hill-climb"],
)
def test_honest_runs_of_every_kind_verify(settings):
    run = story(**settings)
    assert run.count("promotion") >= 1
    assert verify(run.events) == []


def sealed_as(events: list[Event], **changes) -> list[Event]:
    """The first opening with other values in its measured part; None: without them."""
    at = find(events, "sealed")
    measured = {**events[at].measured, **changes}
    measured = {key: value for key, value in measured.items() if value is not None}
    return [*events[:at], replace(events[at], measured=measured), *events[at + 1 :]]


def test_intervals_are_judged_by_the_version_that_made_them(honest):
    at = find(honest, "sealed")
    measured = honest[at].measured
    scores = measured["champion"], measured["seed"]
    old, new = (
        json.loads(json.dumps(sealed_claim(*scores, 1, version=version))) for version in (FIRST, NEWEST)
    )
    assert {key: measured[key] for key in new} == new
    assert old["interval"] != new["interval"]
    # a run of before, which names no version
    assert verify(sealed_as(honest, **old, intervals=None)) == []
    for forged, field in [
        (sealed_as(honest, intervals=None), "interval"),
        (sealed_as(honest, interval=old["interval"]), "interval"),
        (sealed_as(honest, intervals=FIRST), "interval"),
        (sealed_as(honest, intervals=3), "event"),
    ]:
        found = verify(forged)
        assert (found[0].event, found[0].field) == (at, field)
    assert "version of intervals: expected 1 to 2, got 3" in str(found[0])


def test_exact_intervals_of_passes_verify():
    def score(variant, case, count):
        return float(noise(variant, *case, count).random() < (0.9 if variant.startswith("8-") else 0.4))

    run = Run(score, reading=Reading("pass_fail"), claim="tasks", search_cases=6)
    for _ in range(24):
        run.trial()
        run.duel()
    run.finish()
    sealed(run)
    assert run.count("promotion") >= 1
    claim = run.events[find(run.events, "sealed")].measured
    assert claim["interval"] == list(binomial_interval(int(sum(claim["champion"])), 40))
    assert verify(run.events) == []


@pytest.mark.parametrize("seed", range(12))
def test_any_honest_order_of_work_verifies(seed):
    # batches land out of order, after their duel was overtaken, or are lost with a killed session
    rng = np.random.default_rng(seed)
    worth = {n: float(rng.normal(0.1, 0.15)) for n in range(1, 200)}
    repeatable = seed % 2 == 0

    def score(variant, case, count):
        repeat = () if repeatable else (count,)
        difficulty = 0.2 * noise(case).random()
        own = 0.1 * noise(variant, *case, *repeat).normal()
        return float(np.clip(0.3 + worth.get(int(variant.split("-")[0]), 0.0) + difficulty + own, 0, 1))

    run = Run(score, repeatable=repeatable, search_cases=12, batch=7, n_max=90)
    flying = []
    for _ in range(250):
        if rng.random() < 0.5 and run.count("trial") < 100:
            run.trial(verdict="evaluated" if rng.random() < 0.9 else "failed")
        elif (batch := run.gate.ask()) is not None:
            flying.append(batch)
        if flying and rng.random() < 0.6:
            run.land(flying.pop(rng.integers(len(flying))))
        if rng.random() < 0.02:
            flying.clear()
            gate = type(run.gate)()
            for event in run.events:
                gate.tell(event)
            run.gate = gate
            run.append("resume", {"changes": {}})
            run.drain()
    for batch in flying:
        run.land(batch)
    run.finish()
    sealed(run)
    assert run.count("promotion") >= 1
    assert verify(run.events) == []


# --------------------------------------------------------------------------------------------- forgeries


def test_what_a_start_measures_does_not_choose_the_gate(honest):
    hill_climbed = edit(loser_promoted(honest).events, 0, "measured", settings={"baseline": "hill-climb"})
    assert verify(hill_climbed)
    unknown = edit(honest, 0, "decision", gate="none")
    assert (verify(unknown)[0].event, verify(unknown)[0].field) == (0, "gate")


@pytest.mark.parametrize("how", [cut_out_event, other_nonce, dropped_trial], ids=lambda how: how.__name__)
def test_what_git_could_not_hold_is_found_too(honest, how):
    forged = how(honest)
    assert (forged.at, forged.field) in {(each.event, each.field) for each in verify(forged.events)}


def test_a_trial_that_is_missing_shows_where_the_count_was_lowered_too(honest):
    forged = dropped_trial(honest)
    for i, event in enumerate(forged.events):
        if event.kind == "stop":
            lowered = event.measured["trials"] - 1
            forged = replace(forged, events=edit(forged.events, i, "measured", trials=lowered))
    assert (forged.at, "trials") in {(each.event, each.field) for each in verify(forged.events)}


def test_any_edited_pair_of_a_closed_duel_is_found(honest):
    closed = {e.decision["duel"]: e.decision["n"] for e in honest if e.kind == "duel_close"}
    tried = 0
    for i, event in enumerate(honest):
        if event.kind != "duel_batch" or event.decision["duel"] not in closed:
            continue
        if event.decision["first"] >= closed[event.decision["duel"]] and event.decision["phase"] == "duel":
            continue
        for side in ("challenger", "champion"):
            scores = list(event.measured[side])
            scores[0] = abs(scores[0] - 0.001)
            found = verify(edit(honest, i, "measured", **{side: scores}))
            assert any(i in mismatch.follows for mismatch in found)
            tried += 1
    assert tried > 30


def test_a_champion_made_worse_on_known_draws_is_found():
    def score(variant, case, count):
        return 0.2 * noise(case).random() + 0.3 + 0.02 * int(variant.split("-")[0])

    run = Run(score, repeatable=True, search_cases=64, reading=Reading("bounded", 0.5))
    run.trial(), run.trial()
    run.land(run.gate.ask(finishing=True))
    run.trial(), run.trial()
    gate = type(run.gate)()
    for event in run.events:
        gate.tell(event)
    run.gate = gate  # nothing under way
    for _ in range(2):
        run.land(run.gate.ask(finishing=True))
    known = [i for i, e in enumerate(run.events) if e.kind == "duel_batch" and e.measured["ran"] == 10]
    assert known
    assert verify(run.events) == []  # the duels are open: no decision gives the forgery away
    worse = [score - 0.01 for score in run.events[known[0]].measured["champion"]]
    [mismatch] = verify(edit(run.events, known[0], "measured", champion=worse))
    assert mismatch.event == known[0]
    assert mismatch.field == "champion scores on known draws"


def test_trials_that_a_kill_lost_in_flight_are_no_forgery(honest):
    # a model's reply under way when the process was killed: its index is never used again
    i, following = find(honest, "trial", trial=5), find(honest, "trial", trial=6)
    resume = Event(-1, "resume", {"changes": {}})
    events = numbered([*honest[:i], *honest[i + 1 : following + 1], resume, *honest[following + 1 :]])
    messages = [str(mismatch) for mismatch in verify(events)]
    assert not any("trial 5 before" in message for message in messages)


def test_a_seed_made_worse_at_the_second_opening_is_found_where_scores_repeat():
    run = Run(lambda variant, case, count: 0.2 * noise(case).random() + 0.3, repeatable=True, search_cases=4)
    run.finish()
    sealed(run)
    run.append("resume", {"changes": {}}, {"workers": 2})
    run.drain()
    sealed(run, seen=True, opening=2)
    assert verify(run.events) == []
    i = find(run.events, "sealed", opening=2)
    worse = [score - 0.01 for score in run.events[i].measured["seed"]]
    assert "seed scores on known draws" in {
        each.field for each in verify(edit(run.events, i, "measured", seed=worse))
    }
