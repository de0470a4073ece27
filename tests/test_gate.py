import hashlib
import json
from itertools import pairwise

import numpy as np
import pytest
from gate_run import ACCOUNT, Run, noise
from scipy.stats import binom

from evolve.types import CaseKey, Event
from fitness.candidates import Candidates
from fitness.gate import CHECK_PAIRS, DuelGate, OpenGate, draw, nonce_of
from fitness.statistics import Reading, smallest_provable_gain
from fitness.verify import verify


def toy(gains=None, sd=0.1, sign=1, seed=0):
    """Independent noise on every single case run; `gains` plants winners by trial number."""

    def score(variant, case, count):
        gain = (gains or {}).get(int(variant.split("-")[0]), 0.0)
        return float(np.clip(0.5 + sign * gain + sd * noise(seed, variant, *case, count).normal(), 0, 1))

    return score


def fixed(values):
    """Repeatable: a value of the variant's own, by trial number, on top of the case's difficulty."""

    def score(variant, case, count):
        value = values.get(int(variant.split("-")[0]), 0.0)
        return 0.3 * noise(case).random() + (value(case) if callable(value) else value)

    return score


def search(run, trials, between=1):
    for _ in range(trials):
        run.trial()
        for _ in range(between):
            run.duel()


# ------------------------------------------------------------------------------------- from start to end


def test_a_planted_winner_is_promoted_checked_and_reported():
    run = Run(toy({5: 0.15}))
    search(run, 60)
    run.finish()
    assert run.gate.champion == "5-child"
    [promotion] = [event for event in run.events if event.kind == "promotion"]
    assert promotion.decision["champion"] == "0-seed"
    assert promotion.measured["log_e"] >= -np.log(0.0009)
    after = [event for event in run.events if event.index > promotion.index]
    checks = [event for event in after if event.kind == "duel_batch" and event.decision["phase"] == "check"]
    assert sum(event.decision["count"] for event in checks) == CHECK_PAIRS
    close = next(e for e in after if e.kind == "duel_close" and e.decision["verdict"] == "promoted")
    low, high = close.measured["duel_gain_interval"]
    assert low < close.measured["duel_gain"] < high
    assert low < 0.15 < high
    evidence = run.gate.evidence(close.decision["duel"])
    assert evidence["verdict"] == "promoted"
    assert evidence["pairs"] == promotion.decision["n"] == close.decision["n"]


def test_equals_are_hardly_ever_promoted_and_winners_nearly_always():
    runs, false, found = 30, 0, 0
    for seed in range(runs):
        null, planted = Run(toy(seed=seed), search_cases=4), Run(toy({9: 0.15}, seed=seed), search_cases=4)
        for run in (null, planted):
            search(run, 25, between=4)
            run.finish()
        false += null.count("promotion") > 0
        found += planted.gate.champion == "9-child"
    assert false <= binom.ppf(0.999, runs, 0.1)
    assert found >= binom.ppf(0.001, runs, 0.96)


def test_fewer_is_better_where_the_problem_says_so():
    run = Run(toy({3: 0.2}, sign=-1), direction="minimise")
    search(run, 40)
    run.finish()
    assert run.gate.champion == "3-child"
    close = next(e for e in run.events if e.kind == "duel_close" and e.decision["verdict"] == "promoted")
    assert close.measured["duel_gain"] > 0


def test_a_gain_below_the_margin_is_not_promoted():
    for margin, champion in ((0.0, "2-child"), (0.15, "0-seed")):
        run = Run(fixed({2: 0.1}), reading=Reading("bounded", 1.0, margin), repeatable=True)
        search(run, 20, between=5)
        run.finish()
        assert run.gate.champion == champion


def test_a_linear_change_of_the_scores_changes_no_decision():
    """x -> 3x - 7, range and margin likewise; noise by the order of work, as draws follow from the start."""

    def runs(scale, shift):
        def score(variant, case, count):
            plain = 0.5 + 0.15 * (variant == "4-child") + 0.1 * noise(count).normal()
            return scale * float(np.clip(plain, 0, 1)) + shift

        run = Run(score, reading=Reading("bounded", scale, 0.02 * scale))
        search(run, 50)
        run.finish()
        return [(event.kind, event.decision) for event in run.events[1:]]

    plain, moved = runs(1.0, 0.0), runs(3.0, -7.0)
    assert plain == moved
    assert "promotion" in {kind for kind, _ in plain}


def test_ranks_promote_without_a_range():
    run = Run(toy({4: 0.2}), reading=Reading("signed_rank"), claim="tasks")
    search(run, 40)
    run.finish()
    assert run.gate.champion == "4-child"


# ------------------------------------------------------------------------------------------ who may duel


def test_the_best_above_the_champion_challenges_once():
    values = {1: -0.1, 2: 0.1, 3: 0.2, 4: 0.3}
    run = Run(fixed(values))
    for _ in values:
        run.trial()
    # 1 is below the seed; 2 and 3 came first and took both places
    assert [contest.challenger for contest in run.gate.open] == ["2-child", "3-child"]
    search(run, 30, between=10)
    run.finish()
    opened = [(e.decision["challenger"], e.decision["champion"]) for e in run.events if e.kind == "duel_open"]
    assert len(opened) == len(set(opened))
    assert "1-child" not in {challenger for challenger, _ in opened}
    assert run.gate.champion == "4-child"


def test_at_most_two_duels_and_one_batch_each_under_way():
    run = Run(fixed({n: 0.01 * n for n in range(20)}), reading=Reading("bounded", 0.3), batch=5)
    for _ in range(19):
        run.trial()
        assert len(run.gate.open) <= 2
    one, two = run.gate.ask(), run.gate.ask()
    assert {one.duel, two.duel} == {1, 2}
    assert run.gate.ask() is None
    run.land(two)
    assert run.gate.ask().duel == two.duel
    assert run.gate.ask() is None


def test_duels_take_at_most_their_share_until_the_end():
    run = Run(toy(sd=0.2), n_max=120, search_cases=4)
    for _ in range(100):
        run.trial()
        while run.duel():
            pass
        gate = run.gate
        assert gate.dueled <= 0.4 * (gate.dueled + gate.searched)
    assert gate.dueled > 0.3 * (gate.dueled + gate.searched)
    before = gate.dueled
    run.finish()
    assert before < gate.dueled <= gate.searched * 0.4 / 0.6 + 2 * (120 + CHECK_PAIRS)


def test_who_scores_the_same_everywhere_is_the_same_program():
    run = Run(fixed({1: lambda case: 0.2 if case.split == "search" else -0.2}), repeatable=True)
    run.score = fixed({n: lambda case: 0.2 if case.split == "search" else -0.2 for n in range(1, 30)})
    search(run, 29, between=5)
    assert run.count("duel_open") == 1  # 28 twins of a refuted child
    noisy = Run(run.score)
    search(noisy, 29, between=5)
    assert noisy.count("duel_open") > 5


def test_a_gain_that_no_duel_could_prove_spends_no_level():
    run = Run(fixed({1: 0.001, 2: 0.3}), repeatable=True)
    run.trial()
    assert run.count("duel_open") == 0
    assert run.gate.leader()["id"] == "1-child"
    run.trial()
    assert run.count("duel_open") == 1


# --------------------------------------------------------------------------------------------- overtaken


def test_the_overtaken_duel_again_once_against_the_new_champion():
    values = {1: 0.3, 2: 0.8}
    run = Run(fixed(values), reading=Reading("bounded", 1.5), search_cases=64)
    for _ in values:
        run.trial()
    late = [run.gate.ask(finishing=True) for _ in range(2)]
    first = {batch.challenger: batch for batch in late}
    assert first["1-child"].cases == first["2-child"].cases  # draws are shared, nobody has easier ones
    run.land(first["2-child"])
    while run.count("promotion") == 0:
        run.land(run.gate.ask(finishing=True))
    assert run.gate.champion == "2-child"
    assert run.closes() == ["overtaken"]
    dueled = run.gate.dueled
    run.land(first["1-child"])  # it was under way: counted, not used
    assert run.gate.dueled == dueled + 20
    assert run.gate.contests[1].received == 0
    run.finish()
    assert run.closes() == ["overtaken", "promoted"]  # 1 is below 2 on the search cases: no duel again
    assert [e.decision["challenger"] for e in run.events if e.kind == "duel_open"] == ["1-child", "2-child"]


def test_an_overtaken_challenger_above_the_new_champion_meets_it_on_new_draws():
    gate_only = {1: lambda case: 0.9 if case.split == "search" else 0.6, 2: 0.7}
    run = Run(fixed(gate_only), reading=Reading("bounded", 1.5), search_cases=64)
    for _ in gate_only:
        run.trial()
    cases = set()
    one, two = run.gate.ask(finishing=True), run.gate.ask(finishing=True)
    slow, batch = (one, two) if one.challenger == "1-child" else (two, one)
    while run.count("promotion") == 0:
        cases |= set(batch.cases)
        run.land(batch)
        batch = run.gate.ask(finishing=True)
    assert run.gate.champion == "2-child"
    while batch.phase == "check":
        assert not cases & set(batch.cases)
        cases |= set(batch.cases)
        run.land(batch)
        batch = run.gate.ask(finishing=True)
    assert (batch.challenger, batch.champion) == ("1-child", "2-child")
    assert not cases & set(batch.cases)
    assert run.gate.contests[batch.duel].duel.level == pytest.approx(0.0009)
    assert slow.cases[0] != batch.cases[0]


def test_harm_on_the_check_pairs_undoes_a_promotion():
    score = fixed({1: lambda case: -0.3 if case.split == "check" else 0.6})
    run = Run(score, repeatable=True)
    run.trial()
    while run.duel(finishing=True):
        pass
    kinds = [event.kind for event in run.events if event.kind not in ("trial", "duel_batch")]
    assert kinds == ["start", "duel_open", "promotion", "demotion", "duel_close"]
    demotion, close = run.events[-2:]
    assert demotion.decision == {"promotion": 1, "variant": "1-child", "champion": "0-seed"}
    assert close.decision["verdict"] == "undone"
    assert close.measured["duel_gain_interval"][1] < 0
    assert run.gate.champion == "0-seed"
    run.trial()
    assert run.count("duel_open") == 1
    assert run.gate.leader() is None  # refuted


# ------------------------------------------------------------------------------------------------- draws


def test_draws_follow_from_the_start_alone():
    start = Run(toy()).events[0].decision
    text = json.dumps(start, sort_keys=True, separators=(",", ":"))
    assert nonce_of(start) == hashlib.sha256(text.encode()).hexdigest()
    one = draw(nonce_of(start), "gate", "0-seed", 3)
    assert one == draw(nonce_of(start), "gate", "0-seed", 3) < 2**63
    others = {
        draw(nonce_of({**start, "seed": n}), *name) for n in range(5) for name in (("gate", 1), ("check", 1))
    }
    assert len(others) == 10
    digest = hashlib.sha256(b"abc/gate/0-seed/3").digest()
    assert draw("abc", "gate", "0-seed", 3) == int(f"{int.from_bytes(digest, 'big'):0256b}"[:63], 2)


def test_batches_come_in_draw_order_to_the_last_pair():
    just_not = 0.999 * smallest_provable_gain(Reading("bounded"), 0.0009, 25)
    run = Run(fixed({1: lambda case: 0.7 if case.split == "search" else just_not}), n_max=25)
    run.trial()
    nonce, drawn = nonce_of(run.events[0].decision), []
    while batch := run.gate.ask(finishing=True):
        drawn.append((batch.first, len(batch.cases)))
        expected = [
            CaseKey("gate", draw(nonce, "gate", "0-seed", batch.first + i)) for i in range(drawn[-1][1])
        ]
        assert list(batch.cases) == expected
        run.land(batch)
    assert drawn == [(0, 10), (10, 10), (20, 5)]
    assert run.closes() == ["budget"]


def test_champion_scores_are_reused_where_they_repeat():
    seen = []
    inner = fixed({n: lambda case: 0.4 if case.split == "search" else 0.02 for n in range(1, 9)})

    def score(variant, case, count):
        seen.append((variant, case))
        value = inner(variant, case, count)
        return value + 0.001 * int(variant.split("-")[0])  # no twins

    run = Run(score, repeatable=True, n_max=45, batch=10)
    search(run, 8, between=0)
    while run.duel(finishing=True):
        pass
    assert run.count("duel_open") > 3
    on_gate = [pair for pair in seen if pair[0] == "0-seed" and pair[1].split == "gate"]
    assert len(on_gate) == len(set(on_gate)) <= 45
    again = Run(score, repeatable=False, n_max=45, batch=10)
    seen.clear()
    search(again, 8, between=0)
    while again.duel(finishing=True):
        pass
    assert len([pair for pair in seen if pair[0] == "0-seed" and pair[1].split == "gate"]) > len(on_gate)


def test_a_batch_is_known_or_not_never_in_part():
    values = {n: lambda case: 0.4 if case.split == "search" else 0.25 for n in (1, 2)}
    run = Run(
        lambda *args: fixed(values)(*args) + 0.001 * (args[0] == "2-child"), repeatable=True, search_cases=64
    )
    run.trial(), run.trial()
    batches = {batch.challenger: batch for batch in (run.gate.ask(finishing=True) for _ in range(2))}
    one = batches["1-child"]
    pairs = {"challenger": [run.run("1-child", case) for case in one.cases[:7]]}
    pairs["champion"] = [run.run("0-seed", case) for case in one.cases[:7]]
    decision = {"duel": one.duel, "phase": "duel", "first": 0, "count": 7}  # an odd batch: another session's
    run.append("duel_batch", decision, {**pairs, "ran": 14}, "1-child")
    gate = DuelGate()  # resumed: nothing is under way
    for event in run.events:
        gate.tell(event)
    batches = {batch.challenger: batch for batch in (gate.ask(finishing=True) for _ in range(2))}
    assert (batches["1-child"].first, len(batches["1-child"].cases), batches["1-child"].known) == (
        7,
        10,
        None,
    )
    other = batches["2-child"]
    assert (other.first, len(other.cases), list(other.known)) == (0, 7, pairs["champion"])
    assert other.cases == one.cases[:7]


def test_a_failure_of_the_machinery_is_no_score_to_reuse():
    values = {n: lambda case: 0.4 if case.split == "search" else 0.25 for n in (1, 2)}
    run = Run(
        lambda *args: fixed(values)(*args) + 0.001 * (args[0] == "2-child"), repeatable=True, search_cases=64
    )
    run.trial(), run.trial()
    one = {batch.challenger: batch for batch in (run.gate.ask(finishing=True) for _ in range(2))}["1-child"]
    scores = [run.run("1-child", case) for case in one.cases]
    own = {"kind": "crash", "detail": ""}
    for first, kinds in ((0, {"1": own, "4": {"kind": "machinery", "detail": ""}}), (10, {})):
        decision = {"duel": one.duel, "phase": "duel", "first": first, "count": 10}
        measured = {"challenger": scores, "champion": [0.1] * 10, "ran": 20, "failures": {"champion": kinds}}
        run.append("duel_batch", decision, measured, "1-child")
    assert run.gate.known == {"0-seed": [0.1] * 4}
    gate = DuelGate()  # resumed: nothing is under way
    for event in run.events:
        gate.tell(event)
    batches = {batch.challenger: batch for batch in (gate.ask(finishing=True) for _ in range(2))}
    assert batches["2-child"].known == (0.1,) * 4
    assert verify(run.events) == []


# ------------------------------------------------------------------------------------- folding, resuming


def test_a_gate_told_the_same_events_decides_the_same_at_every_moment():
    run = Run(toy({5: 0.15, 20: 0.3}), search_cases=4)
    search(run, 30, between=3)
    run.finish()
    gate = DuelGate()
    for event, following in pairwise(run.events):
        gate.tell(event)
        decided = [(d.kind, dict(d.decision), d.variant) for d in gate.judge()]
        if following.kind in ("duel_open", "duel_close", "promotion", "demotion"):
            if following.decision.get("verdict") != "stopped":
                assert decided == [(following.kind, following.decision, following.variant)]
        elif following.kind != "stop":
            assert decided == []
    assert gate.champion == run.gate.champion
    assert gate.leader() == run.gate.leader()


def test_after_a_resume_the_lost_batch_is_asked_for_again():
    run = Run(toy({1: 0.1}))
    run.trial()
    search(run, 10)
    lost = list(iter(lambda: run.gate.ask(finishing=True), None))
    assert lost
    gate = DuelGate()
    for event in run.events:
        gate.tell(event)
    assert list(iter(lambda: gate.ask(finishing=True), None)) == lost


def test_a_stopped_run_stays_closed_until_it_goes_on():
    run = Run(toy({2: 0.12}), reading=Reading("bounded", 2.0), n_max=2000)
    search(run, 30)
    assert len(run.gate.open) == 2
    for each in run.gate.stop("trials"):
        run.append(each.kind, each.decision, each.measured, each.variant)
    assert run.closes()[-2:] == ["stopped", "stopped"]
    stopped = {e.decision["challenger"] for e in run.events if e.kind == "duel_open"}
    run.append("stop", {"reason": "trials"}, {"trials": 30})
    assert run.drain() == []
    assert run.gate.ask(finishing=True) is None
    run.append("resume", {"changes": {}})
    opened = run.drain()
    assert {decision.kind for decision in opened} == {"duel_open"}
    assert {
        decision.decision["challenger"] for decision in opened
    } & stopped  # they may finish, at a fresh level


def test_what_lands_after_the_stop_opens_no_duel():
    run = Run(toy({2: 0.12}), reading=Reading("bounded", 2.0), n_max=2000)
    search(run, 30)
    flying = list(iter(lambda: run.gate.ask(finishing=True), None))
    assert flying
    for each in run.gate.stop("seconds"):
        run.append(each.kind, each.decision, each.measured, each.variant)
    opened = run.count("duel_open")
    for batch in flying:
        run.land(batch)  # of a duel that is closed
    run.trial()
    assert run.count("duel_open") == opened
    run.append("resume", {"changes": {}})
    assert {decision.kind for decision in run.drain()} == {"duel_open"}


def test_no_duel_is_opened_once_time_is_out():
    run = Run(fixed({1: 0.5, 2: 0.5}), reading=Reading("bounded", 1.0))
    scores = [run.run("1-child", CaseKey("search", i)) for i in range(run.search_cases)]
    decision = {"trial": 1, "told": 1, "operator": "toy", "parents": ["0-seed"], "variant": "1-child"}
    run.append("trial", {**decision, "verdict": "evaluated"}, {"scores": scores, "late": True}, "1-child")
    assert run.drain() == []
    run.trial()
    assert run.count("duel_open") == 0
    run.append("resume", {"changes": {}})
    assert run.drain()


def test_check_pairs_are_owed_beyond_a_stop():
    run = Run(fixed({1: 0.6}), reading=Reading("bounded", 1.0))
    run.trial()
    while run.count("promotion") == 0:
        run.duel(finishing=True)
    assert run.gate.stop("seconds") == []
    assert run.gate.ask(finishing=True).phase == "check"


def test_check_pairs_are_never_refused():
    # a dear winner among few trials: its duel has taken more than the duels' share already
    run = Run(fixed({1: 0.6}), reading=Reading("bounded", 1.0), search_cases=4, n_max=30)
    run.trial()
    while run.count("promotion") == 0:
        assert run.duel(finishing=True)
    assert run.gate.dueled > 0.4 * (run.gate.dueled + run.gate.searched)
    while run.duel():
        pass
    assert run.closes() == ["promoted"]


# ---------------------------------------------------------------------------------------- without draws


@pytest.mark.parametrize("direction", ["maximise", "minimise"])
def test_an_exact_answer_is_promoted_at_once(direction):
    sign = 1 if direction == "maximise" else -1
    values = {0: 2.0, 1: 2.5, 2: 2.4, 3: 2.5, 4: 2.6, 5: 2.9}
    run = Run(
        lambda variant, case, count: sign * values[int(variant.split("-")[0])],
        reading=Reading("exact", margin=0.2),
        direction=direction,
        claim="artifact",
        search_cases=1,
    )
    for _ in range(5):
        run.trial()
        assert run.gate.ask(finishing=True) is None
    promotions = [event.decision for event in run.events if event.kind == "promotion"]
    assert [(each["variant"], each["champion"], each["duel"]) for each in promotions] == [
        ("1-child", "0-seed", None),
        ("5-child", "1-child", None),
    ]
    assert run.count("duel_open") == 0


def test_the_open_gate_believes_every_score():
    run = Run(toy(seed=4), gate=OpenGate(), search_cases=2)
    for _ in range(60):
        run.trial()
    assert run.count("promotion") >= 2  # all of them false
    best = max(
        (event for event in run.events if event.kind == "trial"), key=lambda e: np.mean(e.measured["scores"])
    )
    assert run.gate.champion == best.variant
    assert run.gate.leader() is None


# ------------------------------------------------------------------------------------- leader, shrinkage


def test_the_leader_is_the_best_guess_shrunk_and_called_unproven():
    run = Run(toy(seed=1), search_cases=6, direction="minimise")
    for _ in range(80):
        run.trial()
    leader = run.gate.leader()
    scores = {e.variant: np.mean(e.measured["scores"]) for e in run.events if e.kind == "trial"}
    assert leader["proven"] is False
    assert leader["n"] == 6
    assert scores[leader["id"]] == min(scores.values())
    assert leader["score"] > scores[leader["id"]]  # pulled back: it was chosen for its luck


def candidates(matrix):
    found = Candidates()
    for n, row in enumerate(matrix):
        decision = {"trial": n, "variant": f"{n}-x", "verdict": "evaluated"}
        found.add(Event(n + 1, "trial", decision, {"scores": [float(x) for x in row]}), 1)
    return found


def test_hard_cases_are_no_noise_and_noise_is():
    rng = np.random.default_rng(2)
    difficulty, skill = rng.normal(0, 5, 16), rng.normal(0, 0.1, (40, 1))
    clear = candidates(skill + difficulty)
    best = clear.best()[0]
    assert clear.shrunk(best) == pytest.approx(best.value, abs=0.01)
    luck = candidates(difficulty + rng.normal(0, 1, (40, 16)))
    best, centre = luck.best()[0], np.mean([each.value for each in luck.best()])
    assert abs(luck.shrunk(best) - centre) < 0.5 * (best.value - centre)


def test_uneven_retries_are_flagged():
    run = Run(fixed({1: 0.02}), reading=Reading("bounded", 0.1))
    run.trial()
    batch = run.gate.ask(finishing=True)
    scores = [0.5] * len(batch.cases)
    decision = {"duel": 1, "phase": "duel", "first": 0, "count": len(scores)}
    retries = {"challenger": 12, "champion": 0}
    measured = {"challenger": scores, "champion": scores, "ran": 40, "retries": retries}
    run.append("duel_batch", decision, measured, batch.challenger)
    evidence = run.gate.evidence(1)
    assert evidence["retries"] == retries
    assert evidence["retries_uneven"]


def test_the_account_is_the_one_of_the_start():
    run = Run(fixed({1: 0.2, 2: 0.3}), account={**ACCOUNT, "duels": 20, "alpha": 0.05})
    run.trial()
    opened = next(event for event in run.events if event.kind == "duel_open")
    assert opened.decision["level"] == pytest.approx(0.05 * 0.9 / 20)
    assert opened.decision["told"] == opened.index - 1
