"""The figure of the rules: how often each errs, and how often it finds what is there, as an SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from scipy.stats import binomtest

COLOURS = ("#2166ac", "#b2182b", "#1b7837", "#9970ab", "#e08214")
WIDTH, LEFT, PANEL, GAP, ROW, TOP = 920, 240, 300, 45, 44, 64
FONT = 'font-family="sans-serif"'


def interval(successes: int, runs: int) -> tuple[float, float]:
    """The exact (Clopper-Pearson) 95 % interval of a share."""
    found = binomtest(successes, runs).proportion_ci(method="exact")
    return float(found.low), float(found.high)


def figure(
    families: Sequence[str], rows: Mapping[str, Sequence[tuple[int, int]]], runs: int, alpha: float
) -> str:
    """`rows`: rule -> for each family (runs with a false promotion, runs that promoted the winner)."""
    height = TOP + ROW * len(rows) + 62
    marks = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" {FONT} font-size="13" '
        'role="img" aria-label="False promotions and winners found, by rule and family of noise">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
    ]
    titles = ("anything promoted, all are equal", "planted winner promoted")
    for panel, title in enumerate(titles):
        x0 = LEFT + panel * (PANEL + GAP)
        marks.append(f'<text x="{x0}" y="{TOP - 40}" font-weight="bold">{title}</text>')
        for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
            x = x0 + PANEL * tick
            marks.append(_line(x, TOP - 14, x, TOP + ROW * len(rows), "#dddddd"))
            marks.append(f'<text x="{x}" y="{TOP - 19}" text-anchor="middle" fill="#555">{tick:g}</text>')
    x = LEFT + PANEL * alpha
    marks.append(_line(x, TOP - 14, x, TOP + ROW * len(rows), "black", 'stroke-dasharray="4 3"'))
    bottom = TOP + ROW * len(rows)
    marks.append(f'<text x="{x}" y="{bottom + 15}" text-anchor="middle" fill="black">alpha {alpha:g}</text>')
    for row, (rule, counts) in enumerate(rows.items()):
        y0 = TOP + ROW * row
        weight = ' font-weight="bold"' if row == 0 else ""
        marks.append(f'<text x="{LEFT - 12}" y="{y0 + ROW / 2 + 4}" text-anchor="end"{weight}>{rule}</text>')
        marks.append(_line(10, y0 + ROW, LEFT + 2 * PANEL + GAP, y0 + ROW, "#eeeeee"))
        for place, pair in enumerate(counts):
            y = y0 + ROW * (place + 1) / (len(counts) + 1)
            for panel, successes in enumerate(pair):
                x0 = LEFT + panel * (PANEL + GAP)
                low, high = interval(successes, runs)
                colour = COLOURS[place % len(COLOURS)]
                marks.append(_line(x0 + PANEL * low, y, x0 + PANEL * high, y, colour))
                marks.append(
                    f'<circle cx="{x0 + PANEL * successes / runs:.1f}" cy="{y:.1f}" r="3.4" fill="{colour}"/>'
                )
    x = 12.0
    for place, family in enumerate(families):
        y = bottom + 42
        marks.append(f'<circle cx="{x + LEFT - 12}" cy="{y - 4}" r="4" fill="{COLOURS[place]}"/>')
        marks.append(f'<text x="{x + LEFT - 2}" y="{y}">{family}</text>')
        x += 34 + 7.2 * len(family)
    return "\n".join([*marks, "</svg>"]) + "\n"


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, more: str = "") -> str:
    points = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {points} stroke="{colour}" {more}/>'.replace(" />", "/>")
