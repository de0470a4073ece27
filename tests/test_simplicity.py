"""Smaller programs that are not worse: measured against the last better champion, on the run's account."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gate_run import Run, noise
from noisy import Planted, noisy_score, play, quality, write_problem
from scipy.stats import binom

from evolve.cli import main
from evolve.types import CaseKey, Event
from fitness.account import Account
from fitness.simplicity import SHARE, program_size
from fitness.statistics import Duel, Reading
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
    for _ in range(trials):
        run.trial()
        while run.duel():
            pass
    run.finish()
    assert verify(run.events) == []
    return run


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


def test_without_a_margin_nothing_is_simpler() -> None:
    run = Run(lambda variant, case, count: 0.5, size=lambda variant: 10 if variant == "1-child" else 100)
    for _ in range(20):
        run.trial()
        run.duel()
    run.finish()
    assert run.count("duel_open") == 0


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
