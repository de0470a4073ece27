"""Forms that a model on this machine can be held to, as GBNF grammars: a reply in them can always be read.

A form says no more than the prompt does, but it cannot be forgotten: which file, which lines are to be found,
what stands outside the EVOLVE-BLOCKs. Whether the program is any good is another matter.
"""

from __future__ import annotations

from itertools import pairwise

from evolve.operators.territory import Territory
from evolve.operators.view import language
from evolve.types import Files

_MOST_LINES = 120  # of a file whose lines are listed; longer ones are searched as the model likes
_MOST_FOUND = 4  # lines, next to each other, that one change replaces
_IDEA = r"idea ::= [A-Za-z] [^\n`<>]{7,110}"
# no line is a fence, a marker of a block or of an EVOLVE-BLOCK: those are comments
_LINE = r'line ::= [ \t]{0,24} [^ \t\r\n`#/<>=] [^\r\n]{0,110} "\n"'
_BLANK = r'blank ::= "\n"'


def whole(files: Files, territory: Territory) -> str | None:
    """One changed file, whole, in a fence that names it."""
    rules, choices = [_IDEA, _LINE, _BLANK], []
    for number, path in enumerate(sorted(filter(territory.editable, files))):
        if (text := _text(files[path])) is None:
            continue
        spans = territory.spans(path, text)
        edges = [0, *(edge for span in spans for edge in span), len(text)]
        fixed = [text[start:end] for start, end in list(pairwise(edges))[::2]]
        parts = [_quoted(fixed[0])] if fixed[0] else []
        for (start, end), after in zip(spans, fixed[1:], strict=True):
            lines = text[start:end].count("\n") + 1
            parts.append(f"(line | blank){{1,{lines + max(lines // 2, 8)}}}")
            parts += [_quoted(after)] if after else []
        fence = _quoted(f"```{language(path)} {path}\n")
        rules.append(f"file{number} ::= {fence} {' '.join(parts)} " + '"```"')
        choices.append(f"file{number}")
    return _form(rules, choices)


def change(files: Files, territory: Territory) -> str | None:
    """One search and replace block: lines that are there, and are found only once."""
    rules, choices = [_IDEA, _LINE, _BLANK], []
    for number, path in enumerate(sorted(filter(territory.editable, files))):
        if (text := _text(files[path])) is None or not (found := _search(text, territory.spans(path, text))):
            continue
        begin, between, end = f"{path}\n<<<<<<< SEARCH\n", "=======\n", ">>>>>>> REPLACE"
        rules.append(
            f"file{number} ::= {_quoted(begin)} ({found}) {_quoted(between)} "
            f"(line | blank){{1,16}} {_quoted(end)}"
        )
        choices.append(f"file{number}")
    return _form(rules, choices)


def _search(text: str, spans: list[tuple[int, int]]) -> str:
    """The runs of whole lines in these spans that stand in the text once."""
    lines, starts, at = text.splitlines(keepends=True), [], 0
    for line in lines:
        starts.append(at)
        at += len(line)
    if len(lines) > _MOST_LINES:
        return "(line){1,4}"
    inside = [any(first <= start < last for first, last in spans) for start in starts]
    found = []
    for first, line in enumerate(lines):
        if inside[first] and line.strip():
            found.append(_runs(lines, inside, first, 1))
    return " | ".join(filter(None, found))


def _runs(lines: list[str], inside: list[bool], first: int, count: int) -> str:
    """From this line on: that line, and perhaps those after it."""
    last = first + count - 1
    if last >= len(lines) or not inside[last] or count > _MOST_FOUND:
        return ""
    run = lines[first : last + 1]
    once = bool(lines[last].strip()) and _times(lines, run) == 1
    more = _runs(lines, inside, first, count + 1)
    if not once and not more:
        return ""
    line = _quoted(lines[last].rstrip("\r\n") + "\n")
    return line + (f" ({more})?" if once and more else f" ({more})" if more else "")


def _times(lines: list[str], run: list[str]) -> int:
    """How often lines stand there, whatever their indentation."""
    bare, wanted = [line.strip() for line in lines], [line.strip() for line in run]
    return sum(bare[at : at + len(wanted)] == wanted for at in range(len(bare)))


def _form(rules: list[str], choices: list[str]) -> str | None:
    if not choices:
        return None
    return "\n".join([f'root ::= idea "\\n\\n" ({" | ".join(choices)})', *rules])


def _text(content: bytes) -> str | None:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return None


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\r", "\\r").replace("\t", "\\t")
    return '"' + escaped.replace("\n", "\\n") + '"'
