"""How much a run spends on proof: three named answers, for those who would rather not choose the numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PresetName = Literal["thrifty", "standard", "thorough"]


@dataclass(frozen=True, slots=True)
class Preset:
    """What `[gate] preset` stands for; keys of `[gate]` that are given win over it."""

    alpha: float  # bound on false promotions in a run
    duels: int  # among which alpha is divided: fewer make each proof cheaper, and later ones dear
    least_pairs: int  # of a duel, where the budget is open or small
    most_pairs: int
    share: float  # of the budget's case runs that one duel may take, within these bounds
    least_batch: int = 5  # pairs that are run together; more where a trial has more search cases
    most_batch: int = 64


PRESETS: dict[PresetName, Preset] = {
    "thrifty": Preset(0.1, 20, least_pairs=60, most_pairs=500, share=0.03),
    "standard": Preset(0.1, 100, least_pairs=200, most_pairs=5000, share=0.05),
    "thorough": Preset(0.05, 100, least_pairs=600, most_pairs=10_000, share=0.1),
}
STANDARD = PRESETS["standard"]
