"""Smaller programs that are not worse: measured against the last better champion, on the run's account."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gate_run import Run, noise
from noisy import Planted, noisy_score, play, quality, write_problem
from scipy.stats import binom

from evolve.cli import main
from evolve.doubles import InlineExecutor
from evolve.run import RunOptions, run
from evolve.types import CaseKey, Event, Proposal
from fitness.account import Account
from fitness.doubles import TrustedSandbox, number_problem
from fitness.evaluation import ProblemFitness
from fitness.problem import load
from fitness.simplicity import SHARE, program_size
from fitness.statistics import MOST_IDENTICAL, Duel, Reading
from fitness.verify import verify
from populations.ledger import GitLedger

MARGIN, SD = 0.1, 0.1
READING = Reading("bounded", 1.0, MARGIN)


def played(gains: dict[int, float], sizes: dict[int, int], trials: int, seed: int = 0, **settings) -> Run:
    """A run in which trial n has a gain over the seed and a size; the seed's is 100."""

    def score(variant: str, case: CaseKey, count: int) -> float:
        gain = gains.get(int(variant.split("-")[0]), 0.0)
        return float(np.clip(0.5 + gain + SD * noise(seed, variant, *case, count).normal(), 0, 1))

    def size(variant: str) -> int:
        return sizes.get(int(variant.split("-")[0]), 100)

    run = Run(score, reading=READING, size=size, n_max=300, search_cases=16, seed=seed, **settings)
    return run.play(trials)


def simplifying(events: list[Event]) -> list[Event]:
    return [event for event in events if event.kind == "duel_open" and event.decision.get("simpler")]


def test_a_smaller_program_that_is_as_good_replaces_the_champion_as_simpler() -> None:
    run = played({}, {2: 50}, 30)
    [promotion] = [event for event in run.events if event.kind == "promotion"]
    assert promotion.decision["variant"] == run.gate.champion == "2-child"
    assert promotion.decision["simpler"] is True
    assert run.gate.better == "0-seed"
    evidence = run.gate.evidence(promotion.decision["duel"])
    assert evidence["claim"].startswith("simpler, and not worse by more than 0.1")
    opening = next(
        event for event in run.events if event.kind == "duel_open" and event.decision.get("simpler")
    )
    assert opening.decision["level"] == pytest.approx(Account().level)  # on the same account


def test_a_smaller_program_that_is_worse_and_a_larger_one_that_is_as_good_do_not() -> None:
    """Worse by twice the margin; as large as the champion but for a word."""
    for gains, sizes in (({2: -2 * MARGIN}, {2: 50}), ({}, {2: 98}), ({}, {})):
        assert played(gains, sizes, 30).count("promotion") == 0


def number(variant: str) -> int:
    return int(variant.split("-")[0])


def answering(
    others: dict[int, Callable[[CaseKey], bool]], n_max: int = 300, trials: int = 12, **settings
) -> Run:
    """A run without a margin. Trial 2 is smaller; `others` says where a trial gives an answer of its own."""

    def answer(variant: str, case: CaseKey) -> object:
        return number(variant) if others.get(number(variant), lambda case: False)(case) else "the same"

    settings = {"repeatable": True, "answer": answer} | settings
    run = Run(
        lambda variant, case, count: 0.25 + case.seed % 100 / 200,
        size=lambda variant: 50 if number(variant) == 2 else 100,
        n_max=n_max,
        **settings,
    )
    return run.play(trials)


def test_without_a_margin_only_the_same_answers_are_simpler() -> None:
    run = answering({})
    [promotion] = [event for event in run.events if event.kind == "promotion"]
    assert promotion.decision["variant"] == run.gate.champion == "2-child"
    assert promotion.decision["simpler"] is True
    assert promotion.decision["n"] == MOST_IDENTICAL
    [opening] = simplifying(run.events)
    assert opening.decision["identical"] is True
    assert opening.decision["level"] == pytest.approx(Account().level)  # on the same account
    assert promotion.measured["log_e"] == pytest.approx(-np.log(opening.decision["level"]))
    assert run.closes() == ["promoted"]
    said = run.gate.evidence(1)
    assert said["claim"].startswith("simpler, and the same answers, on every search case and on every draw")
    assert said["claim"].endswith("another one on fewer than 3.4% of all")
    assert said["draws"] == ["same/1/0", "same/1/199"]


def test_a_duel_for_the_same_answers_takes_no_more_pairs_than_a_duel_may() -> None:
    run = answering({}, n_max=40)
    [promotion] = [event for event in run.events if event.kind == "promotion"]
    assert promotion.decision["n"] == 40
    assert run.gate.evidence(1)["claim"].endswith("another one on fewer than 16.1% of all")


def test_another_answer_anywhere_is_not_the_same_whatever_it_scores() -> None:
    """On a search case: no duel; on one draw in twenty: the duel ends; on a check pair: it is undone."""
    assert answering({2: lambda case: case == CaseKey("search", 3)}).count("duel_open") == 0
    rare = answering({2: lambda case: case.split == "gate" and case.seed % 20 == 0})
    assert rare.closes() == ["futile"]
    assert rare.count("promotion") == 0
    late = answering({2: lambda case: case.split == "check" and case.seed % 7 == 0})
    assert (late.closes(), late.gate.champion) == (["undone"], "0-seed")
    assert late.count("demotion") == 1


def test_where_scores_do_not_repeat_or_answers_are_not_known_nothing_is_the_same() -> None:
    for settings in (
        {"repeatable": False},
        {"answer": None},
        {"reading": Reading("exact"), "claim": "artifact"},
    ):
        assert answering({}, **settings).count("duel_open") == 0


def test_an_answer_that_differs_on_the_claimed_share_of_draws_passes_at_most_at_the_level() -> None:
    rng, level, runs, reading = np.random.default_rng(4), 0.05, 2000, Reading("bounded").simpler
    share = 1 - level ** (1 / 60)
    passed = 0
    for _ in range(runs):
        duel = Duel(reading, level, 60)
        while duel.verdict is None:
            duel.add(float(rng.random() < share), 0.0)
        passed += duel.verdict == "promoted"
        assert duel.verdict in ("promoted", "futile")
    assert binom.ppf(0.001, runs, level) <= passed <= binom.ppf(0.999, runs, level)


def test_a_simpler_one_waits_for_the_duels_that_it_would_overtake() -> None:
    """A better challenger comes while answers are compared: the level that it spends is not lost."""
    run = Run(
        lambda variant, case, count: 0.3 + 0.3 * (number(variant) == 3),
        size=lambda variant: 50 if number(variant) == 2 else 100,
        answer=lambda variant, case: number(variant) == 3,
        repeatable=True,
        search_cases=250,
    )
    for _ in range(2):
        run.trial()
    assert [event.decision["challenger"] for event in simplifying(run.events)] == ["2-child"]
    run.trial()  # the better one
    held = []
    while (batch := run.gate.ask(finishing=True)) is not None:
        held.append(batch) if batch.duel == 2 else run.land(batch)
    assert run.gate.contests[1].outcome == "promoted"
    assert run.count("promotion") == 0
    run.land(held[0])
    run.finish()
    assert [event.decision["variant"] for event in run.events if event.kind == "promotion"] == ["3-child"]
    assert sorted(run.closes()) == ["overtaken", "promoted"]
    assert verify(run.events) == []


def forged(events: list[Event], kind: str, part: str, **values: object) -> list[Event]:
    """With other values in one part of the first event of a kind; None takes a key out."""
    at = next(event.index for event in events if event.kind == kind)
    changed = {**getattr(events[at], part), **values}
    kept = {key: value for key, value in changed.items() if value is not None}
    return [*events[:at], replace(events[at], **{part: kept}), *events[at + 1 :]]


def test_what_was_forged_into_the_same_answers_is_found() -> None:
    honest = answering({2: lambda case: case.split == "gate" and case.seed % 40 == 0}).events
    at = {event.kind: event.index for event in reversed(honest)}
    [last] = [event.index for event in honest if event.kind == "duel_close"]
    alike = {"challenger": "1" * 64, "champion": "1" * 64}
    # whichever batch differed, and what then should have followed is missing
    batches = [event for event in honest if event.kind == "duel_batch"]
    made_alike = [
        replace(event, measured={**event.measured, "fingerprints": alike}) if event in batches else event
        for event in honest
    ]
    assert any(mismatch.event == last for mismatch in verify(made_alike))
    for kind, part, values in (
        ("duel_batch", "measured", {"fingerprints": None}),
        ("duel_batch", "measured", {"fingerprints": {**alike, "champion": "2" * 64}}),
        ("duel_open", "decision", {"identical": None}),
        ("duel_open", "decision", {"simpler": None}),
        ("duel_open", "decision", {"level": 0.05}),
        ("duel_close", "decision", {"verdict": "promoted"}),
        ("duel_close", "decision", {"n": 200}),
    ):
        assert verify(forged(honest, kind, part, **values)), (kind, values)
    proven = answering({}).events
    for kind, part, values in (
        ("duel_batch", "measured", {"fingerprints": None}),
        ("duel_batch", "measured", {"challenger": [0.5] * 10}),
        ("promotion", "decision", {"simpler": None}),
        ("promotion", "decision", {"n": 100}),
        ("promotion", "measured", {"log_e": 9.0}),
    ):
        assert verify(forged(proven, kind, part, **values)), (kind, values)
    # a program that answers otherwise on the search cases has no business in such a duel
    trial = next(event.index for event in proven if event.variant == "2-child")
    other = replace(proven[trial], measured={**proven[trial].measured, "fingerprint": "3" * 64})
    wrong = verify([*proven[:trial], other, *proven[trial + 1 :]])
    assert any(mismatch.event == at["duel_open"] for mismatch in wrong)


def test_ever_simpler_ones_do_not_slide_down() -> None:
    """Each is smaller than the one before and worse by .8 of the margin: all meet the seed."""
    gains, sizes = {n: -0.8 * MARGIN * n for n in range(1, 7)}, {n: 100 - 12 * n for n in range(1, 7)}
    slid = []
    for seed in range(20):
        run = played(gains, sizes, 40, seed)
        slid.append(gains.get(int(run.gate.champion.split("-")[0]), 0.0) < -MARGIN)
    assert sum(slid) <= binom.ppf(0.999, 20, 0.1)


def test_a_better_one_starts_anew_and_a_simpler_one_of_it_may_follow() -> None:
    found = 0
    for seed in range(10):
        run = played({3: 0.25, 6: 0.25}, {3: 120, 6: 60}, 40, seed)
        found += run.gate.champion == "6-child"
        if run.gate.better == "3-child":
            assert [event.decision.get("simpler") for event in run.events if event.kind == "promotion"]
    assert found >= binom.ppf(0.001, 10, 0.9)


def test_worse_by_just_more_than_the_margin_is_promoted_at_most_at_the_level() -> None:
    rng, level, runs = np.random.default_rng(3), 0.05, 400
    wrong = 0
    for _ in range(runs):
        duel = Duel(READING.not_worse, level, 200)
        for difference in rng.normal(-MARGIN, SD, 200).tolist():
            if duel.add(difference, 0.0) is not None:
                break
        wrong += duel.verdict == "promoted"
    assert wrong <= binom.ppf(0.999, runs, level)


def test_simplicity_takes_its_share_of_the_duels_and_no_more() -> None:
    account = {"alpha": 0.1, "duels": 8, "error": "family-wise"}
    sizes = {n: 90 - n for n in range(1, 30)}
    gains = dict.fromkeys(range(1, 30), -0.9 * MARGIN)
    run = played(gains, sizes, 30, account=account)
    assert len(simplifying(run.events)) == SHARE * 8


def test_what_was_forged_into_simplicity_is_found() -> None:
    honest = played({}, {2: 50}, 30).events
    where = next(event.index for event in honest if event.kind == "promotion")
    for change in (
        lambda event: replace(event, decision={k: v for k, v in event.decision.items() if k != "simpler"}),
        lambda event: replace(event, decision={**event.decision, "simpler": False}),
    ):
        forged = [change(event) if event.index == where else event for event in honest]
        assert any(mismatch.event == where for mismatch in verify(forged))
    [opening] = simplifying(honest)
    plain = {key: value for key, value in opening.decision.items() if key != "simpler"}
    at = opening.index
    forged = [*honest[:at], replace(opening, decision=plain), *honest[at + 1 :]]
    assert any(mismatch.event == at for mismatch in verify(forged))


def test_size_is_what_is_said_and_not_how() -> None:
    short = {"program.py": b"def f(x):\n    return x + 1\n"}
    long = {"program.py": b"# a comment\ndef f(x):\n\n\n    return   x+1  # another\n"}
    named = {"program.py": b"def function(number):\n    return number + 1\n"}
    assert program_size(short) == program_size(long) == program_size(named) == 10
    assert program_size({**short, "data.txt": b"# words"}) == 12


class Shorter(Planted):
    """The fourth child is as good as the seed, and smaller."""

    name = "shorter"

    def propose(self, parents, rng):  # type: ignore[no-untyped-def]
        proposal = super().propose(parents, rng)
        if self.made == 4:
            return proposal
        source = proposal.files["program.py"].replace(b"return 0.0", b"a = b = c = 1\n    return 0.0")
        return type(proposal)({"program.py": source}, "a number")


def test_the_whole_loop_promotes_a_simpler_program_says_so_and_verifies(tmp_path: Path, capsys) -> None:  # type: ignore[no-untyped-def]
    folder = write_problem(tmp_path / "noisy", n_max=300)
    toml = (folder / "problem.toml").read_text().replace("worst =", "margin = 0.1\nworst =")
    (folder / "problem.toml").write_text(toml)
    (folder / "program/program.py").write_text("def solve(case):\n    a = b = c = 1\n    return 0.0\n")
    result = play(folder, 1, Shorter, trials=60, score=noisy_score)
    with GitLedger.read(Path(result["run"])) as ledger:
        files = ledger.variant(result["champion"]["id"]).files
        assert verify(ledger.events()) == []
    assert quality(files) == 0.0
    assert b"a = b" not in files["program.py"]
    assert main(["show", result["run"]]) == 0
    assert "1, 1 of them for being simpler" in capsys.readouterr().out
    assert main(["verify", result["run"]]) == 0
    assert main(["log", result["run"], "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert [line["simpler"] for line in lines if line["kind"] == "promotion"] == [True]


LONG = "def solve(case):\n    a = b = c = d = e = f = g = 1\n    return 0.0\n"


class Numbers(Planted):
    """The third child answers alike on the search case, not everywhere; the fourth is the same, smaller."""

    name = "numbers"

    def propose(self, parents, rng):  # type: ignore[no-untyped-def]
        self.made += 1
        body = {3: "-0.0 if case % 5 == 4 else 0.0", 4: "0.0"}.get(self.made)
        program = f"def solve(case):\n    return {body}\n" if body else f"{LONG}# {self.made}\n"
        return Proposal({"program.py": program.encode()}, "a number")


def test_the_whole_loop_compares_answers_where_no_margin_is_declared(tmp_path: Path, capsys) -> None:  # type: ignore[no-untyped-def]
    """Real programs: `0.0` and `-0.0` score the same."""
    folder = number_problem(tmp_path / "numbers", LONG, n_max=50)
    run_path = tmp_path / "run.git"
    options = RunOptions(str(folder), run_path, trials=60, operators=(f"{__name__}.Numbers",))
    executor = InlineExecutor(ProblemFitness(load(folder), TrustedSandbox()))
    result = run(options, executor=executor)
    with GitLedger.read(run_path) as ledger:
        events = list(ledger.events())
        assert verify(events) == []
        assert ledger.variant(result["champion"]["id"]).files["program.py"].count(b"a = b") == 0
        [promotion] = [event for event in events if event.kind == "promotion"]
        assert promotion.decision["n"] == 50
        closed = [
            (event.variant, event.decision["verdict"]) for event in events if event.kind == "duel_close"
        ]
        assert [(number(variant), verdict) for variant, verdict in closed] == [(3, "futile"), (4, "promoted")]
        tag = subprocess.run(
            ["git", "-C", str(run_path), "cat-file", "-p", "promotion/0001"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert "and gives the same answers as 0-" in tag
        assert "same/" in tag
    assert result["champion"]["gain"] == 0.0  # on the sealed draws
    assert main(["show", str(run_path), "champion", "--picture", str(tmp_path / "duel.svg")]) == 0
    assert main(["show", str(run_path), "champion"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "the same answers on all its draws" in said
    assert main(["show", str(run_path)]) == 0
    assert "No significant improvement." in capsys.readouterr().out  # simpler is not better
    assert "another one on fewer than 13.1% of all" in said
    rerun = ["verify", str(run_path), "--rerun", "200", "--problem", str(folder)]
    assert main(rerun) == 0
    assert main(["replay", str(run_path)]) == 0
