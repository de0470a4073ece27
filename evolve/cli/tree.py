"""`evolve tree`: the lineage in the terminal, pruned to what mattered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import takewhile

from rich.text import Text

from evolve.cli.runs import Record
from evolve.cli.screen import number, one_line, screen, signed
from evolve.cli.story import Story
from evolve.types import Json

MOST_CHILDREN = 12  # of a variant that is looked at
BEST_LEAVES = 4  # kept beside the champion's line and the promoted ones


def tree(run: str, *, everything: bool, around: str | None = None, as_json: bool = False) -> None:
    """Print the lineage of a run; `around`: of one variant, whom it comes from and what came of it."""
    out = screen()
    with Record.read(run) as record:
        story = record.story
        if around is not None:
            kept = family(story, record.variant(around))
        else:
            kept = set(story.history.variants) if everything else worth_showing(story)
        if as_json:
            out.lines([json.dumps(as_object(story, kept), allow_nan=False)])
            return
        if out.is_terminal:
            for line in lines(story, kept):
                line.truncate(out.width, overflow="ellipsis")
                out.print(line, soft_wrap=True)
        else:
            out.lines(line.plain for line in lines(story, kept))
        hidden = len(story.history.variants) - len(kept)
        if hidden and not everything:
            out.print(f"\n{hidden:,} other variants: evolve tree {run} --all", style="quiet", soft_wrap=True)


def worth_showing(story: Story) -> set[str]:
    """The champion's line, what was promoted, the best leaves, and what led to them."""
    variants = story.history.variants
    parents = {parent for trial in variants.values() for parent in trial.parents}
    leaves = [
        trial for trial in variants.values() if trial.value is not None and trial.variant not in parents
    ]
    leaves.sort(key=lambda trial: -(trial.value or 0.0))
    wanted = {story.champion, story.leader, *(promotion.variant for promotion in story.promotions)}
    wanted |= {trial.variant for trial in leaves[:BEST_LEAVES]}
    kept: set[str] = set()
    for id in wanted:
        kept.update(story.line(id))
    return kept


def family(story: Story, id: str) -> set[str]:
    """A variant's ancestors by all parents, its children, and the best of what came of those."""
    variants = story.history.variants
    kept, waiting = {id}, [id]
    while waiting:
        parents = [parent for parent in variants[waiting.pop()].parents if parent not in kept]
        kept.update(parents)
        waiting += parents
    below = {id}
    for child, trial in variants.items():  # parents come before their children
        if not below.isdisjoint(trial.parents):
            below.add(child)
    children = [child for child in below if id in variants[child].parents]
    further = sorted(below - set(children), key=lambda each: -_value(story, each))
    best = sorted(children, key=lambda each: -_value(story, each))[:MOST_CHILDREN]
    for each in [*best, *further[:BEST_LEAVES]]:
        kept.update(takewhile(lambda other: other != id, story.line(each)))
    return kept


def _value(story: Story, id: str) -> float:
    value = story.history.variants[id].value
    return float("-inf") if value is None else value


def as_object(story: Story, kept: set[str]) -> dict[str, Json]:
    """What `--json` prints: the kept variants in the order of their attempts."""
    promotions = {each.variant: each for each in story.promotions}
    rows: list[Json] = []
    for id, trial in story.history.variants.items():
        if id in kept:
            promotion = promotions.get(id)
            rows.append(
                {
                    "id": id, "trial": trial.index, "parents": list(trial.parents),
                    "operator": trial.operator, "model": trial.model, "score": story.score(id),
                    "gain": story.gain(trial), "verdict": trial.verdict, "idea": trial.idea,
                    "usd": trial.usd, "promotion": promotion and promotion.number,
                    "undone": bool(promotion and promotion.undone),
                }
            )  # fmt: skip
    known = story.history.variants
    return {
        "seed": story.history.seed,
        "champion": story.champion,
        "leader": story.leader,
        "variants": rows,
        "hidden": len(known) - len(rows),
    }


def lines(story: Story, kept: set[str]) -> Iterator[Text]:
    """The kept variants, a line each. A line of descent stays in its column; only a side branch is indented.

    So the width grows with how often lines split, not with how long they are.
    """
    children: dict[str | None, list[str]] = {}
    for id in story.history.variants:
        if id in kept:
            children.setdefault(_parent(story, id), []).append(id)
    best = _best_below(story, children)
    main = set(story.line(story.champion))
    promotions = {p.variant: p for p in story.promotions}

    def walk(id: str, indent: str, first: str) -> Iterator[Text]:
        follows: str | None = id
        while follows is not None:
            below = children.get(follows, [])
            heir = max(below, key=lambda child: (child in main, best[child]), default=None)
            mark = "◆" if follows == story.champion else "◇" if follows in promotions else "•"
            text = Text.assemble((first, "quiet"), mark, " ")
            text.append_text(_describe(story, follows))
            if promotion := promotions.get(follows):
                undone = ", undone" if promotion.undone else ""
                text.append(f"  promotion {promotion.number}{undone}", style="note")
            if follows == story.leader:
                text.append("  leader, not proven", style="note")
            if follows == story.champion:
                text.append("  champion", style="good")
            yield text
            rail = "│ " if heir is not None else "  "
            for child in below:
                if child != heir:
                    yield from walk(child, indent + rail + "  ", indent + rail + "╰ ")
            follows, first = heir, indent

    for root in children.get(None, []):
        yield from walk(root, "", "")


def _describe(story: Story, id: str) -> Text:
    trial = story.history.variants[id]
    gain = story.gain(trial)
    text = Text.assemble((id, "name"), "  ", (number(story.score(id)), "key"))
    if gain is not None:
        text.append(f" ({signed(gain)})", style="good" if gain > 0 else "quiet")
    if trial.index:
        others = f" with {', '.join(trial.parents[1:])}" if len(trial.parents) > 1 else ""
        text.append(f"  {one_line(trial.arm)}{others}: {one_line(trial.idea)}".removesuffix(": "))
    else:
        text.append("  seed")
    return text


def _parent(story: Story, id: str) -> str | None:
    parents = story.history.variants[id].parents
    return parents[0] if parents else None


def _best_below(story: Story, children: dict[str | None, list[str]]) -> dict[str, float]:
    """The best value in each kept subtree."""
    best: dict[str, float] = {}
    for id in reversed(story.history.variants):  # children come after their parents
        value = story.history.variants[id].value
        below = [best[child] for child in children.get(id, [])]
        best[id] = max([float("-inf") if value is None else value, *below])
    return best
