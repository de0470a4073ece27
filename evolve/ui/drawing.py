"""A run's progress as an SVG of its own: what was seen and what was proven, against attempts. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape

from evolve.picture import Scale
from evolve.types import Json

WIDTH, HEIGHT = 760, 300
LEFT, RIGHT, TOP, BOTTOM = 70, 744, 40, 262

_STYLE = """
svg { background: #fff; color: #1c1c1c; font: 12px system-ui, sans-serif }
text { fill: currentColor } .quiet { opacity: .7 } .grid { stroke: currentColor; opacity: .12 }
.seen { fill: none; stroke: #8a6d1d; stroke-dasharray: 4 3 } .band { fill: #0e7a4b; opacity: .16 }
.proven { fill: none; stroke: #0e7a4b; stroke-width: 2.5 } .mark { fill: #0e7a4b }
@media (prefers-color-scheme: dark) { svg { background: #16181c; color: #e8e8e8 } .proven { stroke: #4fd08f }
.band, .mark { fill: #4fd08f } .seen { stroke: #d9bd62 } }
"""


def progress_svg(head: Json, scores: Sequence[float | None]) -> str:
    """`scores`: of each attempt, on the search cases; the champions come from the head."""
    sign = -1 if head["direction"] == "minimise" else 1
    best: float | None = None
    seen: list[tuple[int, float]] = []
    for at, score in enumerate(scores):
        if score is not None and (best is None or sign * (score - best) > 0):
            best = score
            seen.append((at, score))
    steps = _champions(head)
    values = [v for _, v in seen] + [v for step in steps for v in step[1:]]
    last = max(len(scores) - 1, 1)
    across, up = Scale(0, last, LEFT, RIGHT), Scale(min(values), max(values), BOTTOM - 6, TOP + 10)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        f"<title>Progress of {escape(str(head['name']))}</title><style>{_STYLE}</style>",
        f'<text x="{LEFT}" y="20">{escape(str(head["unit"] or "score"))} against attempts: '
        f"dashed, best seen (n = {head['search_cases']}, flattering); "
        "solid, the champion on fresh draws, 95 %</text>",
    ]
    for tick in up.ticks():
        parts.append(f'<path class="grid" d="M{LEFT} {up(tick):.1f}H{RIGHT}"/>')
        parts.append(_label(LEFT - 8, up(tick) + 4, "end", f"{tick:.5g}"))
    for tick in across.ticks():
        parts.append(_label(across(tick), BOTTOM + 22, "middle", f"{tick:,.0f}"))
    ends = [step[0] for step in steps[1:]] + [last]
    for (at, _, low, high), end in zip(steps, ends, strict=True):
        if high > low:
            x, width = across(at), max(across(end) - across(at), 1.0)
            parts.append(
                f'<rect class="band" x="{x:.1f}" y="{up(high):.1f}" width="{width:.1f}" '
                f'height="{up(low) - up(high):.1f}"/>'
            )
    parts.append(f'<path class="seen" d="{_steps([*seen, (last, seen[-1][1])], across, up)}"/>')
    line = [(at, value) for at, value, _, _ in steps]
    parts.append(f'<path class="proven" d="{_steps([*line, (last, line[-1][1])], across, up)}"/>')
    for at, value in line[1:]:
        x, y = across(at), up(value)
        parts.append(f'<path class="mark" d="M{x:.1f} {y - 5:.1f}l5 5 -5 5 -5 -5z"/>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _label(x: float, y: float, anchor: str, text: str) -> str:
    return f'<text class="quiet" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'


def _champions(head: Json) -> list[tuple[int, float, float, float]]:
    """Attempt, score, and both ends of its interval, for the seed and each promotion that stands."""
    sealed = head["sealed"] if head["sealed"] and head["sealed"]["current"] else None
    steps = [
        (
            0,
            *_known(
                sealed and sealed["seed_confirmed"], sealed and sealed["seed_interval"], head["seed_score"]
            ),
        )
    ]
    for each in head["promotions"]:
        if each["undone"]:
            continue
        known = _known(each["confirmed"], each["interval"], None)
        if sealed and sealed["champion"] == each["variant"]:
            known = _known(sealed["confirmed"], sealed["interval"], None)
        elif each["confirmed"] is None:
            known = _known(None, None, each["score"])
        steps.append((each["at"]["trials"], *known))
    return steps


def _known(
    value: float | None, interval: Sequence[float] | None, otherwise: float | None
) -> tuple[float, float, float]:
    shown = float(value if value is not None else otherwise or 0.0)
    low, high = (
        (shown, shown) if value is None or interval is None else (float(interval[0]), float(interval[1]))
    )
    return shown, low, high


def _steps(points: Sequence[tuple[int, float]], across: Scale, up: Scale) -> str:
    (first, value), *rest = points
    path = [f"M{across(first):.1f} {up(value):.1f}"]
    path += [f"H{across(at):.1f}V{up(value):.1f}" for at, value in rest]
    return "".join(path)
