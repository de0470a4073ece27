"""A duel as SVG: every pair a dot, the evidence against what it needs."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from noisy import Equal, OneBetter, play, write_problem

from evolve.cli import main
from evolve.picture import DOTS, EVIDENCE, LEFT, RIGHT, Told, duel_svg
from fitness.statistics import Duel, Reading

SVG = "{http://www.w3.org/2000/svg}"


def told(gains: list[float], level: float = 0.001) -> Told:
    duel, path = Duel(Reading("bounded", 1.0), level, 10_000), []
    for gain in gains:
        if duel.verdict is None:
            duel.add(gain, 0.0)
            path.append(duel.log_e)
    return Told("Duel 1: 2-a against 0-b", ("the claim: better", "proven"), gains, path, level)


def drawn(picture: str, name: str) -> list[ElementTree.Element]:
    return [each for each in ElementTree.fromstring(picture).iter() if each.get("class") == name]


def dots(picture: str, name: str) -> np.ndarray:
    [path] = drawn(picture, name)
    places = path.attrib["d"].removeprefix("M").replace("h0", "").split("M")
    return np.array([[float(value) for value in place.split()] for place in places])


def test_every_pair_is_a_dot_and_higher_is_better() -> None:
    gains = np.random.default_rng(1).normal(0.3, 0.2, 40).clip(-1, 1).tolist()
    places = dots(duel_svg(told(gains)), "pairs")
    assert len(places) == 40
    assert (np.diff(places[:, 0]) > 0).all()
    assert (np.argsort(-places[:, 1], kind="stable") == np.argsort(gains, kind="stable")).mean() > 0.9
    assert places[:, 0].min() > LEFT and places[:, 0].max() < RIGHT
    assert places[:, 1].min() >= DOTS[0] and places[:, 1].max() <= DOTS[1]


def test_the_evidence_reaches_its_threshold_where_it_was_proven_and_nowhere_else() -> None:
    for gains, proven in (([0.5] * 30, True), ([0.1, -0.1] * 10, False)):
        picture = duel_svg(told(gains))
        [line], [needed] = drawn(picture, "evidence"), drawn(picture, "needed")
        heights = [float(point.split(",")[1]) for point in line.attrib["points"].split()]
        limit = float(needed.attrib["d"].split()[1].split("H")[0])
        assert (min(heights) <= limit) == proven
        assert EVIDENCE[0] <= min(*heights, limit) and max(heights) <= EVIDENCE[1]


def test_check_pairs_follow_with_their_interval() -> None:
    whole = replace(told([0.5] * 15), checks=[0.4] * 30, interval=(0.3, 0.5))
    pairs, checks = (dots(duel_svg(whole), name) for name in ("pairs", "checks"))
    assert len(checks) == 30
    assert checks[:, 0].min() > pairs[:, 0].max()
    assert drawn(duel_svg(whole), "gain")
    assert ">x1.22<" in duel_svg(replace(whole, ratio=True))  # exp(.2)


@pytest.mark.parametrize("gains", [[], [0.0], [0.0] * 50, [1e-9, -1e-9], [5e8, -3e8]])
def test_any_pairs_can_be_drawn(gains: list[float]) -> None:
    few = Told("<script>&", ("a" * 300, "]]>"), gains, [0.0] * len(gains), 0.05)
    picture = duel_svg(few)
    root = ElementTree.fromstring(picture)
    assert root.tag == f"{SVG}svg"
    assert not list(root.iter(f"{SVG}script"))
    assert "nan" not in picture and "inf" not in picture
    assert duel_svg(few) == picture


def test_a_great_e_value_is_drawn(tmp_path: Path) -> None:
    great = Told("t", (), [1.0] * 3, [1.0, 400.0, 2000.0], 0.01)
    assert "nan" not in duel_svg(great)
    assert math.isfinite(float(drawn(duel_svg(great), "evidence")[0].attrib["points"].split(",")[-1]))


def test_show_writes_the_picture_of_a_promotion(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_problem(tmp_path / "noisy")
    result = play(folder, 1, OneBetter, trials=60)
    target = tmp_path / "duel.svg"
    assert result["promotions"] == 1
    assert main(["show", result["run"], "champion", "--picture", str(target)]) == 0
    assert len(dots(target.read_text(), "checks")) == 30
    assert "proven better; gain on 30 further check pairs" in target.read_text()
    assert main(["show", result["run"]]) == 0
    assert "of it spent so far" in " ".join(capsys.readouterr().out.split())
    assert main(["show", result["run"], "seed", "--picture", str(target)]) == 2
    assert "challenged a champion" in capsys.readouterr().err
    equal = play(folder, 2, Equal, trials=5)
    assert main(["show", equal["run"]]) == 0
    assert "No significant improvement." in capsys.readouterr().out
