"""`evolve show --picture`: a duel as an SVG file."""

from __future__ import annotations

from pathlib import Path

from evolve.cli.evidence import Evidence, gain_text
from evolve.cli.runs import Record
from evolve.cli.screen import screen
from evolve.cli.story import Duel, Story, ending
from evolve.picture import Told, duel_svg
from evolve.types import BadInput


def draw_duel(run: str, name: str, path: Path) -> None:
    """Write the picture of the last duel in which a variant was the challenger."""
    with Record.read(run) as record:
        id = record.variant(name)
        duels = [duel for duel in record.story.duels.values() if duel.challenger == id]
        if not duels:
            raise BadInput("VARIANT", "one that has challenged a champion, whose duel can be drawn", id)
        svg = duel_svg(told_of(record.story, duels[-1], Evidence()))
    path.write_text(svg)
    screen().print(f"duel {duels[-1].number} of {id} drawn in {path}", soft_wrap=True)


def told_of(story: Story, duel: Duel, evidence: Evidence) -> Told:
    """What the picture of a duel needs."""
    checks = duel.gains(story.sign, "check")
    ended = ending(duel)
    if duel.gain is not None:
        gain = gain_text(duel.reading, duel.gain, duel.gain_interval)
        ended += f"; gain on {len(checks)} further check pairs: {gain}"
    return Told(
        title=f"Duel {duel.number}: {duel.challenger} against {duel.champion}",
        lines=(f"the claim: {evidence.says(story, duel)}", ended),
        gains=duel.gains(story.sign),
        log_e=evidence.path(story, duel),
        level=duel.level,
        checks=checks,
        interval=duel.gain_interval,
        margin=duel.reading.margin,
        ratio=duel.reading.ratio,
    )
