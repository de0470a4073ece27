"""False promotions and power, end to end: real loop, gate and git; only the programs' runs are simulated.

The same at full size: benchmarks/promotion_runs.py.
"""

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from noisy import FAMILIES, Equal, Family, play, quality, write_problem
from scipy.stats import binom

from evolve.cli import main
from evolve.types import BadInput, Event, Json
from populations.ledger import GitLedger

RUNS, CHANCE = 12, 0.001  # of a family; of a false alarm
FEW = (FAMILIES[0], FAMILIES[2], FAMILIES[3])


def events(run: Path) -> list[Event]:
    with closing(GitLedger.read(run)) as ledger:
        return list(ledger.events())


def played(place: Path, family: Family, operator: type, trials: int, first: int) -> Iterator[dict[str, Json]]:
    problem = write_problem(place / "noisy", declared=family.declared)
    for seed in range(first, first + RUNS):
        to = place / "run.git"
        shutil.rmtree(to, ignore_errors=True)
        yield play(problem, seed, operator, trials=trials, to=to, score=family.score(seed))


@pytest.mark.parametrize("family", FEW, ids=lambda family: family.name)
def test_equal_children_are_promoted_in_no_more_runs_than_alpha_allows(family: Family, tmp_path: Path):
    promoted = [result["promotions"] > 0 for result in played(tmp_path, family, Equal, 100, 0)]
    assert sum(promoted) <= binom.ppf(1 - CHANCE, RUNS, 0.1)


@pytest.mark.parametrize("family", FEW, ids=lambda family: family.name)
def test_half_a_standard_deviation_is_found_and_confirmed(family: Family, tmp_path: Path):
    found = promoted = covered = 0
    for result in played(tmp_path, family, family.planted, 60, 100):
        champion = result["champion"]
        with GitLedger.read(Path(result["run"])) as ledger:
            true = quality(ledger.variant(champion["id"]).files)
        found += true == family.planted.gain
        promoted += result["promotions"] > 0
        covered += champion["interval"][0] <= family.centre + true <= champion["interval"][1]
    assert found >= binom.ppf(CHANCE, RUNS, 0.85)
    assert covered >= binom.ppf(CHANCE, RUNS, 0.9)
    assert promoted >= found


def test_duels_leave_the_search_its_share_of_the_case_runs(tmp_path: Path):
    family, run = FAMILIES[2], tmp_path / "run.git"  # by counts, as a busy machine has no speed
    play(write_problem(tmp_path / "noisy", declared=family.declared), 0, Equal, to=run, score=family.score(0))
    during = events(run)
    during = during[: 1 + max(event.index for event in during if event.kind == "trial")]
    searched = sum(len(event.measured["scores"]) for event in during if event.kind == "trial")
    dueled = sum(event.measured["ran"] for event in during if event.kind == "duel_batch")
    assert 0.55 < searched / (searched + dueled) < 0.7  # .6 by design, taken up by equals that want to duel


class Late(Equal):
    """Two hundred children that are plainly worse, then such as are hardly better than the seed."""

    name = "late"

    def propose(self, parents, rng):  # type: ignore[no-untyped-def]
        self.at, self.gain = self.made + 1, -1.0 if self.made < 200 else 0.03
        return super().propose(parents, rng)


@pytest.mark.parametrize("workers", [1, 2])
def test_duels_that_saved_their_share_for_long_do_not_stall_the_search(tmp_path: Path, workers: int):
    family, run = FAMILIES[2], tmp_path / "run.git"
    problem = write_problem(tmp_path / "noisy", declared=family.declared)
    play(problem, 0, Late, 240, workers, to=run, score=family.score(0))
    during = events(run)
    opened = next(event.index for event in during if event.kind == "duel_open")
    last = max(event.index for event in during if event.kind == "trial")
    between = during[opened : last + 1]
    searched = sum(len(event.measured["scores"]) for event in between if event.kind == "trial")
    dueled = sum(event.measured["ran"] for event in between if event.kind == "duel_batch")
    assert dueled > 400  # there was something to do
    assert searched > 0.3 * (searched + dueled)


# ------------------------------------------------------------------------------------- rare catastrophes


DECLARED = """claim = "cases"
worst = -0.5
range = [-0.5, 0.6]
"""
UNDECLARED = """claim = "tasks"
worst = -0.5
"""


def catastrophic(seed: int):
    """The seed scores .5; children .02 more, and .98 less in one case of fifty: on average the same."""
    rng = np.random.default_rng(seed)

    def score(files, key):
        if b"#" not in files["program.py"]:
            return 0.5
        return -0.46 if rng.random() < 0.02 else 0.52

    return score


def test_rare_catastrophes_promote_nothing_where_a_range_is_declared(tmp_path: Path):
    problem = write_problem(tmp_path / "rare", n_max=1000, declared=DECLARED)
    for seed in range(4):
        run = tmp_path / f"{seed}.git"
        result = play(problem, seed, Equal, trials=60, to=run, score=catastrophic(seed))
        assert result["promotions"] == 0
        assert sum(event.kind == "duel_open" for event in events(run)) >= 1  # it was tried


def test_without_a_range_the_claim_is_the_weak_one(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    problem = write_problem(tmp_path / "rare", n_max=1000, declared=UNDECLARED)
    run = tmp_path / "run.git"
    assert play(problem, 0, Equal, trials=60, to=run, score=catastrophic(0))["promotions"] > 0
    for arguments in (["show", str(run)], ["show", str(run), "champion"]):
        assert main(arguments) == 0
        said = capfd.readouterr().out
        assert "typically better (sign-symmetric)" in " ".join(said.split())
        assert "on average" not in said.replace("not 'on average'", "")
    toml = problem / "problem.toml"
    toml.write_text(toml.read_text().replace('"tasks"', '"cases"'))
    with pytest.raises(BadInput, match="range or difference_range"):
        play(problem, 0, Equal, to=tmp_path / "other.git", score=catastrophic(0))
