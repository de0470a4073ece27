"""The table at the end of a run and of `evolve show RUN`: what was found, how sure it is, what to type."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from rich.console import Group, RenderableType
from rich.text import Text

from evolve.cli.evidence import claimed, gain_text, reading_of
from evolve.cli.remembered import lesson_rows
from evolve.cli.screen import Facts, dollars, duration, number, one_line, signed, with_interval
from evolve.cli.story import Story
from evolve.types import Event, Json
from populations.pareto import front

MOST_ARMS = 12  # are shown, the most active first
FRONT = 6  # of its variants are shown, the best scores first


def summary(story: Story, result: Mapping[str, Json], unit: str, again: str | None = None) -> RenderableType:
    """The table from the object that `--json` prints.

    `again`: the command that goes on with the run, where it is known.
    """
    rows: list[tuple[str, Text | str]] = [
        (
            "seed",
            Text.assemble(
                (story.history.seed, "name"), f"  {number(result['seed_score'])} on the search cases"
            ),
        ),
        *_champion(story, result, unit),
        *_leader(result),
        *_front(story),
        *_promotions(story, result, unit),
        ("work", _work(story, result)),
        *zip(("made by", *[""] * MOST_ARMS), arm_lines(story), strict=False),
        *lesson_rows(story),
        *_interrupted(result),
        ("sandbox", _sandbox(str(result["sandbox"]))),
        ("run", str(result["run"])),
    ]
    heading = Text.assemble((str(result["problem"]), "key"), f"  {unit or 'score'}, ", _direction(story))
    parts: list[RenderableType] = [heading, Text(), Facts(rows)]
    if all(promotion.undone or promotion.simpler for promotion in story.promotions):
        parts += [Text(), _nothing(story, unit)]
    parts += [Text(), _next(story, result, again)]
    return Group(*parts)


def _direction(story: Story) -> str:
    return "less is better" if story.sign < 0 else "more is better"


def _champion(story: Story, result: Mapping[str, Json], unit: str) -> list[tuple[str, Text | str]]:
    champion = result["champion"]
    name = Text(champion["id"], style="name")
    if champion["id"] == story.history.seed:
        name.append("  the seed itself", style="quiet")
    else:
        name.append(f"  {number(champion['score'])} on the search cases", style="quiet")
    rows: list[tuple[str, Text | str]] = [("champion", name)]
    gain, over = champion["gain"], " over the seed"
    if result["claim"] == "artifact":
        score = number(champion["score"])
        rows.append(("score", Text.assemble((score, "key"), _unit(unit), ", exactly")))
        gain = story.gain_over(champion["id"], story.history.seed) or None
    elif champion["confirmed"] is not None:
        confirmed = with_interval(champion["confirmed"], champion["interval"])
        rows.append(("confirmed", Text.assemble((confirmed, "key"), _unit(unit), _sealed(story))))
    else:
        unopened = "not yet: the sealed draws are opened when a budget is spent"
        rows.append(("confirmed", Text(unopened, style="note")))
        gain, over = champion["duel_gain"], " over the champion before, on check pairs"
    if gain is not None:
        assert story.history.start is not None
        reading = reading_of(story.history.start)
        text = gain_text(reading, gain, champion["gain_interval"])
        share = _share(gain, result["seed_score"]) if over == " over the seed" and not reading.ratio else ""
        rows.append(("gain", Text.assemble((text, "good" if gain > 0 else "bad"), over, share)))
    for metric, claim in champion.get("constraints", {}).items():
        words = with_interval(claim["confirmed"], claim["interval"])
        if claim["gain"] is not None:
            words += f", {with_interval(claim['gain'], claim['gain_interval'], sign=True)} over the seed"
        rows.append((one_line(metric), words))
    return rows


def _unit(unit: str) -> str:
    return f" {unit}" if unit else ""


def _share(gain: float, seed: float) -> str:
    return f" ({gain / abs(seed):+.1%})" if seed else ""


def _sealed(story: Story) -> str:
    sealed = story.history.sealed
    if sealed is None:
        return ""
    seen = ", which had been seen" if sealed.decision.get("seen") else ""
    return f", mean of {sealed.decision['count']} sealed draws{seen}{failed_draws(sealed, 'champion')}"


def failed_draws(sealed: Event, side: str) -> str:
    """How many of the sealed draws a program failed on, and why; empty where none."""
    failures = sealed.measured.get("failures", {}).get(side, {}).values()
    kinds = ", ".join(sorted({failure["kind"] for failure in failures}))
    return f", {len(failures)} of them failed ({kinds})" if failures else ""


def _leader(result: Mapping[str, Json]) -> list[tuple[str, Text | str]]:
    leader = result["leader"]
    if not leader or leader["proven"] or leader["id"] == result["champion"]["id"]:
        return []
    score = f"  {number(leader['score'])} on {leader['n']} search cases, luck taken off, "
    return [("leader", Text.assemble((leader["id"], "name"), score, ("not proven", "note")))]


def _front(story: Story) -> Iterator[tuple[str, Text | str]]:
    """What else could be had, where there are several objectives: not proven, search scores all of it."""
    constraints = story.history.constraints
    points = {
        id: (trial.value, *trial.objectives)
        for id, trial in story.history.variants.items()
        if trial.value is not None and trial.objectives
    }
    for n, id in enumerate(front(points)[:FRONT]):
        values = [
            number(story.score(id)),
            *(f"{c.metric} {number(c.sign * v)}" for c, v in zip(constraints, points[id][1:], strict=True)),
        ]
        yield (
            "" if n else "front",
            Text.assemble((id, "name"), f"  {', '.join(values)}", ("  not proven", "note")),
        )


def _promotions(story: Story, result: Mapping[str, Json], unit: str) -> Iterator[tuple[str, Text | str]]:
    start = story.history.start
    assert start is not None
    count = f"{result['promotions']}"
    if undone := sum(promotion.undone for promotion in story.promotions):
        count += f" ({undone} more undone)"
    if simpler := sum(promotion.simpler and not promotion.undone for promotion in story.promotions):
        count += f", {simpler} of them for being simpler"
    if start.decision["gate"] == "open":
        yield "promotions", Text(f"{count}, on the search scores alone: nothing is proven", style="note")
        return
    if reading_of(start).kind != "exact":
        count += f" from {len(story.duels)} duel{'s' * (len(story.duels) != 1)}"
    yield "promotions", count
    claim = claimed(story, unit)
    yield "claim", claim.says + (f": {claim.because}" if claim.because else "")
    yield "guarantee", claim.guarantee
    if claim.smallest is not None:
        n_max = f"{start.measured['n_max']:,}"
        yield "resolution", f"a duel of {n_max} pairs could have proven a gain of about {claim.smallest}"


def _work(story: Story, result: Mapping[str, Json]) -> str:
    failed = sum(result["failures"].values())
    rate = result["evaluations_per_second"]
    words = [f"{result['trials']:,} trials in {duration(result['seconds'])}"]
    if failed:
        words.append(f"{failed:,} without a score")
    if rate is not None:
        words.append(f"{rate:,.1f} evaluations/s")
    if calls := story.history.calls:
        words.append(f"{calls:,} calls of models, {story.history.tokens:,} tokens")
    if faults := story.history.faults:
        stages = ", ".join(f"{count} {stage}" for stage, count in faults.most_common())
        words.append(f"{faults.total():,} replies that could not be used ({stages})")
    if result["usd"]:
        words.append(dollars(result["usd"]))
    if survived := story.history.survived:
        words.append(f"{survived} failure{'s' * (survived > 1)} of the machinery outlived")
    return ", ".join(words)


def arm_lines(story: Story, most: int = MOST_ARMS) -> list[Text]:
    """Each arm's share of the trials, what came of them, and what it was paid."""
    rows = story.history.contributions.as_json()[:most]
    width = max((len(one_line(row["arm"])) for row in rows), default=0)
    return [
        Text.assemble(
            (f"{one_line(row['arm']):<{width}}", "name"),
            f" {row['share']:4.0%} of trials {row['improvements'] / row['trials']:4.0%} improve",
            f"  best moved {signed(row['gain']):<7}" if row["gain"] else "",
            f"  {row['promotions']} promoted" if row["promotions"] else "",
            f"  {dollars(row['usd'])}" if row["usd"] else "",
        )
        for row in rows
    ]


def _interrupted(result: Mapping[str, Json]) -> list[tuple[str, Text | str]]:
    by = {
        "interrupt": "by Ctrl-C",
        "terminate": "by SIGTERM",
        "request": "by a request from the explorer",
    }.get(str(result["stopped_by"]))
    return [("stopped", f"{by}; everything that was finished is recorded")] if by else []


def _sandbox(level: str) -> Text:
    if level == "none":
        return Text("none: programs could do whatever you may", style="note")
    return Text(level)


def _nothing(story: Story, unit: str) -> Text:
    text = Text("No significant improvement.", style="note")
    if (smallest := claimed(story, unit).smallest) is not None:
        text.append(f" What is smaller than about {smallest} could not have been proven.", style="none")
    return text


def _next(story: Story, result: Mapping[str, Json], again: str | None) -> RenderableType:
    run = _short(str(result["run"]))
    champion = result["champion"]["id"]
    rows = [("go on", again)] if again else []
    rows.append(("program", f"evolve champion {run}"))
    if champion != story.history.seed:
        rows.append(("why", f"evolve show {run} {champion}"))
    rows += [("lineage", f"evolve tree {run}"), ("check", f"evolve verify {run} --head {result['head']}")]
    # a command that is folded cannot be copied
    return Group(*(_command(name, command) for name, command in rows))


def _command(name: str, command: str) -> Text:
    return Text.assemble((f"{name:<12}", "quiet"), (command, "name"), no_wrap=True, overflow="ignore")


def _short(run: str) -> str:
    path = Path(run)
    return path.name.removesuffix(".git") if path.parent == Path("runs") else run
