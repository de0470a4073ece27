"""A duel as a picture: its pairs as dots, below them the evidence against its threshold. Pure: values in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 760, 470
LEFT, RIGHT = 78, 700  # of both panels
DOTS, EVIDENCE = (74, 250), (312, 420)  # top and bottom of each panel
SIGNS = 96  # of a line of text at the most

_STYLE = """
svg { background: #fff; color: #1c1c1c; font: 12px system-ui, sans-serif }
text { fill: currentColor } .title { font-size: 15px; font-weight: 600 } .quiet { opacity: .65 }
.axis { fill: none; stroke: currentColor; opacity: .25 }
.zero { stroke: currentColor; opacity: .6; stroke-dasharray: 2 3 }
.pairs, .checks { fill: none; stroke-width: 5; stroke-linecap: round; opacity: .55 }
.pairs { stroke: #2563c9 } .checks { stroke: #c77700 } .mean { stroke: #2563c9; stroke-width: 1.5 }
.gain { stroke: #c77700; stroke-width: 3 } .evidence { fill: none; stroke: #2563c9; stroke-width: 2 }
.needed { stroke: #b3261e; stroke-dasharray: 6 4 }
@media (prefers-color-scheme: dark) { svg { background: #16181c; color: #e8e8e8 } }
"""


@dataclass(frozen=True, slots=True)
class Told:
    """A duel as its picture tells it. Gains are oriented: positive where the challenger was better."""

    title: str
    lines: tuple[str, ...]  # below the title: the claim, how it ended
    gains: Sequence[float]  # a value a pair
    log_e: Sequence[float]  # after each pair that counted
    level: float
    checks: Sequence[float] = ()  # gains of the check pairs
    interval: tuple[float, float] | None = None  # of their mean
    margin: float = 0.0  # what a gain is compared with
    ratio: bool = False  # gains are logarithms of ratios: they are shown as factors


def duel_svg(told: Told) -> str:
    """The picture as a document of its own, about 40 bytes a pair."""
    title = escape(told.title)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        f"<title>{title}</title><style>{_STYLE}</style>",
        f'<text x="{LEFT}" y="24" class="title">{title}</text>',
    ]
    for n, line in enumerate(told.lines[:2]):
        short = line if len(line) <= SIGNS else line[: SIGNS - 1] + "…"
        parts.append(f'<text x="{LEFT}" y="{42 + 16 * n}" class="quiet">{escape(short)}</text>')
    return "\n".join([*parts, *_dots(told), *_evidence(told), "</svg>"]) + "\n"


def _dots(told: Told) -> list[str]:
    """The upper panel: a dot a pair, in the order in which they came, then the check pairs."""
    gains, checks = list(told.gains), list(told.checks)
    count = max(len(gains) + len(checks), 1)
    across = Scale(0, count, LEFT, RIGHT)
    spread = [*gains, *checks, 0.0, told.margin]
    up = Scale(min(spread), max(spread), DOTS[1] - 8, DOTS[0] + 8)
    parts = [_axis(up, DOTS, told.ratio), _level("zero", up(told.margin))]
    for name, values, first in (("pairs", gains, 0), ("checks", checks, len(gains))):
        places = "".join(f"M{across(first + n + 0.5):.1f} {up(v):.1f}h0" for n, v in enumerate(values))
        if places:
            parts.append(f'<path class="{name}" d="{places}"/>')
    if gains:
        parts.append(_level("mean", up(sum(gains) / len(gains)), LEFT, across(len(gains))))
    if told.interval is not None:
        middle = across(len(gains) + len(checks) / 2)
        low, high = map(up, told.interval)
        parts.append(f'<path class="gain" d="M{middle:.1f} {low:.1f}V{high:.1f}"/>')
    says = f"{len(gains)} pairs"
    if checks:
        says += f", then {len(checks)} check pairs with their 95 % interval"
    says += "; above the dotted line: better"
    parts.append(f'<text x="{LEFT}" y="{DOTS[1] + 20}" class="quiet">{says}</text>')
    return parts


def _evidence(told: Told) -> list[str]:
    """The lower panel: the e-value after each pair, by powers of ten, and what it needs."""
    powers = [0.0, *(each / math.log(10) for each in told.log_e)]
    needed = -math.log10(told.level)
    across = Scale(0, max(len(told.gains) + len(told.checks), 1), LEFT, RIGHT)
    up = Scale(min(powers), max(*powers, needed), EVIDENCE[1] - 4, EVIDENCE[0] + 4)
    line = " ".join(f"{across(n):.1f},{up(power):.1f}" for n, power in enumerate(powers))
    e_value = 10 ** min(powers[-1], 300)
    has = f"{e_value:,.0f}" if 10 <= e_value < 1e6 else f"{e_value:.2g}"
    return [
        f'<text x="{LEFT}" y="{EVIDENCE[0] - 10}" class="quiet">'
        f"e-value: needs 1/level = {1 / told.level:,.0f}, has {has}</text>",
        _axis(up, EVIDENCE, False, power=True),
        _level("needed", up(needed)),
        f'<polyline class="evidence" points="{line}"/>',
        f'<text x="{LEFT}" y="{EVIDENCE[1] + 22}" class="quiet">pairs, in the order of their draws</text>',
    ]


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps [low, high] to [start, end]; a range of nothing to its middle."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Where a value lies."""
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Some round values within."""
        width = self.high - self.low
        if not width > 0:
            return [self.low]
        step = 10 ** math.floor(math.log10(width / 6))
        step *= next(m for m in (1, 2, 5, 10) if width / (m * step) <= 6)
        first = math.ceil(self.low / step)
        return [n * step for n in range(first, math.floor(self.high / step) + 1)]


def _axis(up: Scale, panel: tuple[int, int], ratio: bool, power: bool = False) -> str:
    parts = [f'<path class="axis" d="M{LEFT} {panel[0]}V{panel[1]}H{RIGHT}"/>']
    for tick in up.ticks():
        if power and tick != round(tick):
            continue
        label = f"10^{tick:.0f}" if power else f"x{math.exp(tick):.3g}" if ratio else f"{tick + 0.0:.4g}"
        parts.append(f'<text x="{LEFT - 8}" y="{up(tick) + 4:.1f}" text-anchor="end">{label}</text>')
    return "".join(parts)


def _level(name: str, y: float, start: float = LEFT, end: float = RIGHT) -> str:
    return f'<path class="{name}" d="M{start:.1f} {y:.1f}H{end:.1f}"/>'
