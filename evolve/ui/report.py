"""`evolve report`: the explorer in one file that needs no network, or a text for a pull request."""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Iterator, Sequence
from importlib.resources import files as resource

from evolve.cli.evidence import gain_text
from evolve.cli.screen import with_interval
from evolve.types import Json
from evolve.ui.following import Followed
from fitness.statistics import Reading

MOST_BYTES = 4_600_000  # of the file: a mail takes it, and a review
SCRIPTS = (
    "vendor/htm-preact.js", "vendor/uplot.js", "vendor/diff.js", "vendor/highlight.js",
    "model.js", "lineage.js", "charts.js", "views.js", "app.js",
)  # fmt: skip
STYLES = ("vendor/uplot.css", "style.css")
DUELS = 60  # whose pairs are kept, the promoted and the newest


def html(runs: Sequence[Followed]) -> str:
    """The first run whole, as far as it has room; of the others what comparing needs."""
    first, *others = runs
    told: dict[str, Json] = {"runs": [_loaded(run) for run in runs], "packed": {}}
    frame = _frame(told, list(others))
    room = MOST_BYTES - len(frame.encode())
    told["packed"] = {first.key: _packed(first, room)}
    return _frame(told, list(others))


def _loaded(run: Followed) -> dict[str, Json]:
    run.look()
    loaded = run.told()
    loaded["head"]["live"] = False
    listed = run.listed() | {"live": False, "trouble": None}
    return {"listed": listed, "loaded": loaded}


def _packed(run: Followed, room: int) -> str:
    """Programs, prompts, pairs and maps, deflated; the variants that matter least are left out for room."""
    with run.opened() as (_, view):
        story = view.story
        heat, plane = view.heat(), view.plane()
        numbers = [p.duel for p in story.promotions if p.duel is not None]
        numbers += [duel.number for duel in reversed(story.duels.values())]
        duels = {number: view.duel(number) for number in list(dict.fromkeys(numbers))[:DUELS]}
        order = _by_weight(run, [row["id"] for row in heat["rows"]])
    rest: dict[str, Json] = {"heat": heat, "plane": plane, "duels": duels}
    kept = len(order)
    variants = {id: run.variant(id) for id in order[:kept]}
    while True:
        data = {**rest, "variants": {id: variants[id] for id in order[:kept]}}
        text = base64.b64encode(zlib.compress(_json(data).encode(), 9)).decode()
        if len(text) <= room or kept == 0:
            return text
        kept = min(kept - 1, int(kept * 0.95 * room / len(text)))


def _by_weight(run: Followed, mapped: Sequence[str]) -> list[str]:
    """Every variant: the champion's line, promoted, in duels, on the map, then by their search scores."""
    with run.opened() as (_, view):
        story, known = view.story, view.story.history.variants
        first = [*view.line(story.champion), *(each.variant for each in story.promotions)]
        first += [duel.challenger for duel in story.duels.values()]
        ranked = sorted(known, key=lambda id: (-(known[id].value or float("-inf")), known[id].index))
        seen = [story.champion, story.history.seed, story.leader, *first, *mapped]
        return list(dict.fromkeys([id for id in seen if id in known] + ranked))


def _frame(told: Json, others: Sequence[Followed]) -> str:
    static = resource("evolve.ui") / "static"
    scripts = [(static / name).read_text(encoding="utf-8") for name in SCRIPTS]
    styles = [(static / name).read_text(encoding="utf-8") for name in STYLES]
    policy = (
        f"default-src 'none'; script-src {_hashes(scripts)}; style-src {_hashes(styles)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    name = told["runs"][0]["listed"]["name"]
    parts = [
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        f"<title>{_escaped(name)}: evolve</title>",
        *(f"<style>{style}</style>" for style in styles),
        '</head><body><div id="app"><p class="empty">Loading …</p></div>',
        f'<script type="application/json" id="kept">{_json(told)}</script>',
        *(f"<script>{script}</script>" for script in scripts),
        "</body></html>\n",
    ]
    return "\n".join(parts)


def _hashes(texts: Sequence[str]) -> str:
    digests = (hashlib.sha256(text.encode()).digest() for text in texts)
    return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)


def _json(value: Json) -> str:
    """JSON that ends no script: nothing in it looks like a tag."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")


# --------------------------------------------------------------------------------------------- markdown


def markdown(run: Followed, picture: str) -> str:
    """What a pull request wants to know, in Markdown; `picture` is the name of the progress as SVG."""
    run.look()
    with run.opened() as (_, view):
        return (
            "\n".join(_lines(view.head(), view.line(view.story.champion), view.rows, view.row, picture))
            + "\n"
        )


def _lines(
    head: Json, path: Sequence[str], rows: dict[str, list[Json]], row: dict[str, int], picture: str
) -> Iterator[str]:
    champion, sealed, unit = head["champion"], head["sealed"], head["unit"] or "score"
    names, n = head["names"], head["search_cases"]
    yield f"## evolve: {_plain(head['problem'])}"
    yield ""
    if champion["id"] == head["seed"]:
        yield f"**No significant improvement** over the seed after {head['trials']:,} attempts."
    elif champion["gain"] is not None:
        gain = _interval(champion["gain"], champion["gain_interval"], True, head["ratio"])
        where = f" on {sealed['count']:,} sealed draws" if sealed and sealed["current"] else ", exactly"
        yield f"**{champion['id']} is better than the seed by {gain} {_plain(unit)}**{where}."
    else:
        yield f"**{champion['id']} is proven better**; the sealed draws are not open yet."
    yield ""
    yield f"![best seen and best proven against attempts]({picture})"
    yield ""
    yield "| | |\n|---|---|"
    score = f"{champion['score']:.6g} on {n} search cases"
    if champion["confirmed"] is not None:
        score = _interval(champion["confirmed"], champion["interval"])
    yield f"| score | {score} (seed {head['seed_score']:.6g} on {n} search cases) |"
    yield f"| claim | {_plain(head['says']['claim'])} |"
    yield f"| guarantee | {_plain(head['says']['guarantee'])} |"
    cost = f"{head['trials']:,} attempts, {head['evaluations']:,} evaluations, {head['seconds']:.0f} s"
    yield f"| cost | {cost}, ${head['usd']:.2f} |"
    if head["failures"]:
        most = head["failures"][0]
        why = f": {_plain(most['details'][0][0])}" if most["details"] else ""
        yield f"| fails most | {most['kind']}, {most['count']:,} attempts{why} |"
    yield ""
    yield f"### From the seed to the champion, {len(path) - 1} edits"
    yield ""
    yield f"| variant | made by | idea | score (n = {n}) | over its best parent |"
    yield "|---|---|---|---|---|"
    for id in path:
        at = row[id]
        gain = rows["gain"][at]
        yield (
            f"| {id} | {_plain(names['operators'][rows['operator'][at]])} | {_plain(rows['idea'][at])} "
            f"| {rows['score'][at]:.6g} | {'' if gain is None else f'{gain:+.3g}'} |"
        )
    if head["promotions"]:
        yield ""
        yield "### Promotions"
        yield ""
        yield "| no. | variant | in place of | gain on check pairs, 95 % | n |"
        yield "|---|---|---|---|---|"
    for each in head["promotions"]:
        undone = " (undone)" if each["undone"] else ""
        found = each.get("gain")
        gain = "exact" if found is None else _interval(found, each["gain_interval"], True, head["ratio"])
        cells = (each["number"], each["variant"] + undone, each["before"], gain, each["checks"])
        yield f"| {' | '.join(map(str, cells))} |"


def _plain(text: str) -> str:
    """Foreign text in a cell of a table: no markup of its own."""
    kept = text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")
    return "".join(f"\\{sign}" if sign in "`*_[]#!@" else sign for sign in kept)


def _interval(value: float, interval: Sequence[float] | None, sign: bool = False, ratio: bool = False) -> str:
    return (
        gain_text(Reading("exact", ratio=ratio), value, interval) if sign else with_interval(value, interval)
    )
