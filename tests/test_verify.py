import copy
import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from gate_run import Run, noise

from evolve.types import CaseKey, Event
from fitness.gate import OpenGate, sealed_claim
from fitness.statistics import Reading
from fitness.verify import verify


def sealed(run: Run, seen: bool = False, opening: int = 1) -> None:
    champion = [run.run(run.gate.champion, CaseKey("sealed", i)) for i in range(40)]
    seed = [run.run("0-seed", CaseKey("sealed", i)) for i in range(40)]
    claim = sealed_claim(champion, seed if run.gate.champion != "0-seed" else None, run.gate.sign)
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


def at(events: list[Event], kind: str, **decision) -> int:
    """Position of the first event of a kind with these decisions."""
    return next(
        i
        for i, event in enumerate(events)
        if event.kind == kind and all(event.decision.get(key) == value for key, value in decision.items())
    )


def edited(event: Event, part: str, **values) -> Event:
    return replace(event, **{part: {**getattr(event, part), **values}})


def replaced(events: list[Event], i: int, event: Event) -> list[Event]:
    return [*events[:i], event, *events[i + 1 :]]


def numbered(events: list[Event]) -> list[Event]:
    """What a careful forger does: indices, and what refers to them, closed up again."""
    new = {event.index: position for position, event in enumerate(events)}

    def told(event: Event, position: int) -> Event:
        if "told" not in event.decision:
            return replace(event, index=position)
        before = [new[i] for i in range(event.decision["told"] + 1) if i in new]
        return edited(replace(event, index=position), "decision", told=max(before, default=0))

    return [told(event, position) for position, event in enumerate(events)]


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


def edit_a_pair(events):
    i = at(events, "duel_batch", duel=1)
    scores = list(events[i].measured["challenger"])
    scores[3] += 0.01
    return replaced(events, i, edited(events[i], "measured", challenger=scores))


def edit_a_check_pair(events):
    i = at(events, "duel_batch", phase="check")
    scores = list(events[i].measured["champion"])
    scores[0] -= 0.01
    return replaced(events, i, edited(events[i], "measured", champion=scores))


def swap_the_sides(events):
    i = at(events, "duel_batch", duel=2)
    m = events[i].measured
    swapped = edited(events[i], "measured", challenger=m["champion"], champion=m["challenger"])
    return replaced(events, i, swapped)


def lost_duel(events):
    return events[at(events, "duel_close", verdict="futile")].decision["duel"]


def drop_a_lost_duel(events):
    duel = lost_duel(events)
    return numbered([event for event in events if event.decision.get("duel") != duel])


def drop_a_lost_duel_and_number_anew(events):
    duel = lost_duel(events)

    def renamed(event):
        number = event.decision.get("duel")
        return edited(event, "decision", duel=number - 1) if number is not None and number > duel else event

    return [renamed(event) for event in drop_a_lost_duel(events)]


def respread_the_levels(events):
    return [edited(e, "decision", level=0.01) if e.kind == "duel_open" else e for e in events]


def raise_one_level(events):
    i = [i for i, event in enumerate(events) if event.kind == "duel_open"][2]
    return replaced(events, i, edited(events[i], "decision", level=0.002))


def plan_fewer_duels(events):
    account = {**events[0].decision["account"], "duels": 10}
    return [edited(events[0], "decision", account=account), *events[1:]]


def promote_a_loser(events):
    i = at(events, "duel_close", verdict="futile")
    close = events[i]
    decision = {"promotion": 1, "duel": close.decision["duel"], "variant": close.variant}
    decision |= {"champion": "0-seed", "n": close.decision["n"]}
    promotion = Event(i, "promotion", decision, {"log_e": 7.5}, close.variant)
    return numbered([*events[:i], promotion, *events[i:]])


def leave_out_the_demotion(events):
    return numbered([event for event in events if event.kind != "demotion"])


def call_the_undone_promoted(events):
    i = at(events, "duel_close", verdict="undone")
    return replaced(events, i, edited(events[i], "decision", verdict="promoted"))


def crown_another(events):
    i = at(events, "promotion")
    other = edited(replace(events[i], variant="9-child"), "decision", variant="9-child")
    return replaced(events, i, other)


def seal_another_champion(events):
    i = at(events, "sealed")
    return replaced(events, i, edited(events[i], "decision", champion="3-child"))


def reopen_without_a_label(events):
    i = at(events, "sealed", opening=2)
    return replaced(events, i, edited(events[i], "decision", seen=False))


def forget_the_first_opening(events):
    i = at(events, "sealed", opening=1)
    return numbered(events[:i] + events[i + 1 :])


def claim_more(events):
    i = at(events, "sealed")
    return replaced(events, i, edited(events[i], "measured", gain=events[i].measured["gain"] + 0.01))


def narrow_the_interval(events):
    i = at(events, "sealed")
    low, high = events[i].measured["interval"]
    return replaced(events, i, edited(events[i], "measured", interval=[low + 0.001, high]))


def drop_a_trial(events):
    i = at(events, "trial", trial=5)
    return numbered(events[:i] + events[i + 1 :])


def drop_a_trial_and_lower_the_count(events):
    return [
        edited(e, "measured", trials=e.measured["trials"] - 1) if e.kind == "stop" else e
        for e in drop_a_trial(events)
    ]


def edit_a_search_score(events):
    # the challenger of a duel, lowered below the champion: it had no right to challenge
    i = at(events, "trial", variant=events[at(events, "duel_open", duel=2)].variant)
    scores = [0.0] * len(events[i].measured["scores"])
    return replaced(events, i, edited(events[i], "measured", scores=scores))


def duel_twice(events):
    i = at(events, "duel_close", verdict="futile")
    again = events[at(events, "duel_open", duel=events[i].decision["duel"])]
    following = at(events[i:], "duel_open") + i
    forged = edited(events[following], "decision", challenger=again.variant)
    return replaced(events, following, replace(forged, variant=again.variant))


def batches_out_of_order(events):
    first, second = [i for i, e in enumerate(events) if e.kind == "duel_batch" and e.decision["duel"] == 1][
        :2
    ]
    forged = list(events)
    forged[first], forged[second] = (
        replace(events[second], index=first),
        replace(events[first], index=second),
    )
    return forged


def say_that_the_champion_was_known(events):
    i = at(events, "duel_batch", phase="duel")
    return replaced(events, i, edited(events[i], "measured", ran=events[i].decision["count"]))


def count_a_batch_twice(events):
    i = at(events, "duel_batch", duel=1)
    return numbered([*events[: i + 1], events[i], *events[i + 1 :]])


def turn_the_direction(events):
    return [edited(events[0], "decision", direction="minimise"), *events[1:]]


def measure_another_gate(events):
    # the gate is decided; what the start measured must not choose it
    settings = {"baseline": "hill-climb"}
    return [edited(events[0], "measured", settings=settings), *promote_a_loser(events)[1:]]


def a_gate_of_no_kind(events):
    return [edited(events[0], "decision", gate="none"), *events[1:]]


def change_the_account_midway(events):
    i = at(events, "resume")
    return replaced(events, i, edited(events[i], "decision", changes={"account": {}}))


def another_nonce(events):
    return [edited(events[0], "measured", nonce="0" * 64), *events[1:]]


def cut_out_an_event(events):
    return events[:40] + events[41:]


def a_score_that_is_none(events):
    i = at(events, "duel_batch", duel=1)
    return replaced(events, i, edited(events[i], "measured", challenger=[None] * 10))


def close_early(events):
    i = at(events, "duel_batch", duel=1)
    decision = {"duel": 1, "verdict": "futile", "n": 10}
    return numbered([*events[: i + 1], Event(0, "duel_close", decision, {}, "1-child"), *events[i + 1 :]])


FORGERIES: list[Callable[[list[Event]], list[Event]]] = [
    edit_a_pair,
    edit_a_check_pair,
    swap_the_sides,
    drop_a_lost_duel,
    drop_a_lost_duel_and_number_anew,
    respread_the_levels,
    raise_one_level,
    plan_fewer_duels,
    promote_a_loser,
    leave_out_the_demotion,
    call_the_undone_promoted,
    crown_another,
    seal_another_champion,
    reopen_without_a_label,
    forget_the_first_opening,
    claim_more,
    narrow_the_interval,
    drop_a_trial,
    drop_a_trial_and_lower_the_count,
    edit_a_search_score,
    duel_twice,
    batches_out_of_order,
    say_that_the_champion_was_known,
    count_a_batch_twice,
    turn_the_direction,
    measure_another_gate,
    a_gate_of_no_kind,
    change_the_account_midway,
    another_nonce,
    cut_out_an_event,
    a_score_that_is_none,
    close_early,
]


@pytest.mark.parametrize("forge", FORGERIES, ids=lambda forge: forge.__name__)
def test_forgeries_are_found(honest, forge):
    forged = forge(copy.deepcopy(honest))
    assert json.dumps([e.decision for e in forged]) + json.dumps([e.measured for e in forged])  # still JSON
    found = verify(forged)
    assert found
    assert all(0 <= mismatch.event <= len(forged) for mismatch in found)
    assert "expected" in str(found[0]) and "found" in str(found[0])


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
            assert verify(replaced(honest, i, edited(event, "measured", **{side: scores})))
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
    event = run.events[known[0]]
    worse = [score - 0.01 for score in event.measured["champion"]]
    [mismatch] = verify(replaced(run.events, known[0], edited(event, "measured", champion=worse)))
    assert "known draws" in str(mismatch)


def test_trials_that_a_kill_lost_in_flight_are_no_forgery(honest):
    # a model's reply under way when the process was killed: its index is never used again
    i, following = at(honest, "trial", trial=5), at(honest, "trial", trial=6)
    resume = Event(-1, "resume", {"changes": {}})
    events = numbered([*honest[:i], *honest[i + 1 : following + 1], resume, *honest[following + 1 :]])
    messages = [str(mismatch) for mismatch in verify(events)]
    assert not any("trial 5 before" in message for message in messages)
