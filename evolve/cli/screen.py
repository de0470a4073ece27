"""How things look: consoles, numbers, bars, plots. Plain text when piped, 80 columns, sparing colour."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Sequence
from typing import IO, NoReturn

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text
from rich.theme import Theme

_THEME = Theme(
    {
        "good": "green",
        "bad": "red",
        "note": "yellow",
        "key": "bold",
        "quiet": "dim",
        "name": "cyan",
        "bar": "cyan",
        "rest": "dim",
    }
)
_LEVELS = "▁▂▃▄▅▆▇█"
# What a program or a model wrote may hold escape sequences that would drive the reader's terminal.
_CONTROL = dict.fromkeys((*range(32), *range(127, 160), *range(8234, 8239), *range(8294, 8298)), "�")
_CONTROL_BUT_LAYOUT = {code: mark for code, mark in _CONTROL.items() if chr(code) not in "\n\t"}


class Screen(Console):
    """A console that treats text as text, and ends quietly when its reader has left (`| head`)."""

    def __init__(self, file: IO[str], width: int | None = None, *, terminal: bool | None = None) -> None:
        if reconfigure := getattr(file, "reconfigure", None):
            reconfigure(
                errors="replace"
            )  # a terminal that cannot show a sign shows another, and no traceback
        super().__init__(
            file=file,
            width=width,
            force_terminal=terminal,
            theme=_THEME,
            markup=False,
            emoji=False,
            highlight=False,
            soft_wrap=False,
        )

    def on_broken_pipe(self) -> NoReturn:
        """Leave it to `main`: rich would end the process here."""
        raise

    def lines(self, lines: Iterable[str]) -> None:
        """Write many whole lines fast, as they are."""
        block: list[str] = []
        for line in lines:
            block.append(line)
            if len(block) == 500:
                self._write_lines(block)
                block.clear()
        if block:
            self._write_lines(block)

    def _write_lines(self, lines: Sequence[str]) -> None:
        self.file.write("\n".join([*lines, ""]))
        self.file.flush()

    def raw(self, data: bytes) -> None:
        """Write bytes as they are."""
        self.file.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


def screen() -> Screen:
    """The console of a command's result."""
    return Screen(sys.stdout)


def status() -> Screen:
    """The console of progress and errors."""
    return Screen(sys.stderr)


def one_line(text: str) -> str:
    """Foreign text as one harmless line."""
    line = " ".join(text.split())
    return line if line.isprintable() else line.translate(_CONTROL)  # which takes long, for what is rare


def harmless(text: str) -> str:
    """Foreign text, lines kept, without what would drive a terminal."""
    return text.translate(_CONTROL_BUT_LAYOUT)


def number(value: float | None) -> str:
    """A score: six significant digits."""
    return "-" if value is None else f"{value:.6g}"


def signed(value: float | None) -> str:
    """A difference of scores: three significant digits and a sign."""
    return "-" if value is None else "0" if abs(value) < 1e-12 else f"{value:+.3g}"


def with_interval(value: float, interval: Sequence[float] | None, *, sign: bool = False) -> str:
    """A value and its 95 % interval, to the digits that the interval's width supports."""
    plus = "+" if sign else ""
    if interval is None:
        return signed(value) if sign else number(value)
    low, high = interval
    width = high - low
    digits = (
        6 if width <= 0 or not math.isfinite(width) else min(9, max(0, 2 - math.floor(math.log10(width))))
    )
    return f"{value:{plus}.{digits}f} [{low:{plus}.{digits}f}, {high:{plus}.{digits}f}]"


def duration(seconds: float) -> str:
    """Seconds for people: 4.2 s, 3 min 12 s, 2 h 05 min."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"


def size(count: float) -> str:
    """Bytes for people."""
    for unit in ("bytes", "KB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def dollars(usd: float) -> str:
    """Money for people: small amounts keep two digits that matter."""
    return f"${usd:.2f}" if usd >= 0.1 or usd == 0 else f"${usd:.2g}"


def odds(log_e: float) -> str:
    """An e-value, given its logarithm; it may be astronomically large."""
    if log_e >= math.log(1e6):
        return f"1e{log_e / math.log(10):.0f}"
    value = math.exp(log_e)
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}"


def bar(fraction: float, width: int = 20) -> Text:
    """A bar of `width` cells that also reads without colour."""
    filled = round(min(max(fraction, 0.0), 1.0) * width)
    return Text.assemble(("█" * filled, "bar"), ("░" * (width - filled), "rest"))


def sparkline(values: Sequence[float], low: float, high: float, width: int) -> str:
    """Values from left to right as blocks of eight heights; more than `width` values are thinned."""
    if not values:
        return ""
    step = max(1.0, len(values) / width)
    picked = [
        values[min(len(values) - 1, math.ceil((n + 1) * step) - 1)] for n in range(round(len(values) / step))
    ]
    span = (high - low) or 1.0
    return "".join(_LEVELS[min(7, max(0, int((value - low) / span * 7.999)))] for value in picked)


def dot_plot(values: Sequence[float], width: int, height: int = 6) -> list[str]:
    """Where values lie, symmetric about zero: a column a bin, a dot a value (or several, see the last line).

    The middle column is zero. Values beyond the 99th percentile of magnitudes stand in the outer bins.
    """
    half = (width - 1) // 2
    magnitudes = sorted(abs(value) for value in values)
    reach = magnitudes[min(len(magnitudes) - 1, int(0.99 * len(magnitudes)))] if magnitudes else 0.0
    reach = reach or 1.0
    counts = [0] * (2 * half + 1)
    for value in values:
        counts[half + max(-half, min(half, round(value / reach * half)))] += 1
    a_dot = max(1, math.ceil(max(counts) / height))
    rows = [
        "".join(
            "•" if math.ceil(count / a_dot) > level else ("│" if n == half else " ")
            for n, count in enumerate(counts)
        )
        for level in reversed(range(min(height, math.ceil(max(counts) / a_dot))))
    ]
    axis = "─" * half + "┼" + "─" * half
    left, right = signed(-reach), signed(reach)
    labels = f"{left:<{half}}0{right:>{half}}"
    return [*rows, axis, labels, *([f"a dot is up to {a_dot} pairs".center(width)] if a_dot > 1 else [])]


class Facts:
    """Names on the left, values on the right, no lines; long values go on below their beginning."""

    def __init__(self, rows: Iterable[tuple[str, Text | str]]) -> None:
        self.rows = list(rows)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        indent = max((len(name) for name, _ in self.rows), default=0) + 2
        for name, value in self.rows:
            text = Text(value) if isinstance(value, str) else value
            for line in text.wrap(console, max(20, options.max_width - indent), overflow="fold"):
                line.rstrip()
                yield Text.assemble((f"{name:<{indent}}", "quiet"), line)
                name = ""
