"""`evolve problems`, `init` and `check`: finding a problem, and bringing one's own."""

from __future__ import annotations

from pathlib import Path

from rich.text import Text

from evolve.cli.screen import facts, screen
from fitness.problem import gallery


def problems() -> None:
    """Print the gallery."""
    out = screen()
    out.print(facts((name, summary) for name, summary, _ in gallery()))
    out.print()
    out.print("Start one: evolve run NAME --seconds 60    Bring your own: evolve init DIR")


def init(folder: Path) -> None:
    """Make a problem from a template, and say what to do with it."""
    from fitness.init import init as make

    make(folder)
    out = screen()
    out.print(f"A working problem is in {folder}:", soft_wrap=True)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        out.print(f"  {path.relative_to(folder)}", style="name", soft_wrap=True)
    out.print()
    out.print(f"Look at its README.md, then: evolve check {folder}", soft_wrap=True)
    out.print(f"and when that is content:    evolve run {folder} --seconds 60", soft_wrap=True)


def check(problem: str) -> int:
    """Try a problem and print what was found."""
    raise NotImplementedError


def _text(words: str) -> Text:
    return Text(words)
