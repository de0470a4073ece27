"""Edits of a program in any language, by its tokens: what looks alike in C, C++, Rust, Java, Go, Python.

Nothing is parsed. A number, a name, `name[...]` and `name(...)` are taken for values where they seem to stand
for one; a line whose brackets are balanced for a statement. A child may well not compile: a failed trial.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from evolve.operators.expressions import coefficient, pick
from evolve.operators.splice import Change, Edit, child, no_child, number, quote
from evolve.operators.territory import Territory
from evolve.types import Files, Parent, Proposal, Trial

_TRIES = 12
_EDITS = (0.75, 0.18, 0.07)  # share of children with 1, 2, 3 edits
_TOKEN = re.compile(
    r"""
      (?P<skip> //[^\n]* | /\*.*?\*/ | ^[ \t]*\#[^\n]*         # comments, the preprocessor's lines
              | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*' )
    | (?P<number> (?<![\w.]) (?:\d+\.\d*|\.\d+|\d+)(?:[eE][+-]?\d+)? (?=[fFlLuU]{0,3}(?![\w.])) )
    | (?P<name> (?<!\w) [^\W\d]\w* )
    | (?P<sign> <<=|>>=|->|=>|::|\*\*|\+\+|--|&&|\|\||[<>=!+*/%&|^-]=|<<|>>|[^\s\w] )
    """,
    re.VERBOSE | re.MULTILINE | re.DOTALL,
)
_SIGNS = tuple(
    tuple(family.split())
    for family in (
        "+ - * /",
        "< <= > >= == !=",
        "&& ||",
        "+= -= *=",
        "++ --",
        "and or",
        "true false",
        "True False",
    )
)
_FAMILIES = tuple(
    tuple(family.split())
    for family in (
        "min max fmin fmax",
        "sqrt log exp fabs abs log1p tanh sin cos cbrt",
        "floor ceil round trunc",
        "argmin argmax min_element max_element",
    )
)
_ASSIGNS = frozenset(("=", "+=", "-=", "*=", "/=", "%=", "++", "--", ":="))
_WORDS = frozenset(  # no values, whatever stands around them
    (
        "if", "else", "for", "while", "do", "switch", "case", "break", "continue", "return", "default",
        "goto", "const", "static", "auto", "struct", "class", "enum", "let", "mut", "fn", "func", "def",
        "lambda", "import", "from", "in", "is", "not", "and", "or", "new", "delete", "using", "namespace",
        "template", "typename", "public", "private", "int", "long", "short", "char", "bool", "float",
        "double", "void", "size_t", "unsigned", "signed", "true", "false", "nullptr", "null", "None",
        "True", "False",
    )
)  # fmt: skip
_VALUE_FOLLOWS = frozenset(("return", "in", "and", "or", "not"))
_HEADER = re.compile(r"^[ \t]*(?:\}[ \t]*)?for\b.*$", re.MULTILINE)  # of a loop that would not end
_SIMPLE = re.compile(r"[^{}]*[;)\]\w][ \t]*(//.*)?")  # the text of a line that may be a statement
_OPEN, _CLOSE = {"(": ")", "[": "]"}, {")", "]"}


class Token(NamedTuple):
    """A piece of text that may change."""

    start: int
    end: int
    kind: str  # number, name or sign
    text: str


class Literal(NamedTuple):
    """A number that may be tuned."""

    start: int
    end: int
    needs: int  # as `Code.fit` takes it
    value: int | float


@dataclass(frozen=True, slots=True)
class Text:
    """What is known of one source."""

    source: str
    tokens: tuple[Token, ...]
    values: tuple[Edit, ...]  # places that seem to stand for a value, with their text
    lines: tuple[Edit, ...]  # whole lines that seem to be statements
    numbers: tuple[Token, ...]


@lru_cache(maxsize=64)
def read(source: str, spans: tuple[tuple[int, int], ...]) -> Text:
    """Find what may change inside the spans."""
    found = []
    for match in _TOKEN.finditer(source):
        inside = any(low <= match.start() and match.end() <= high for low, high in spans)
        if inside and match.lastgroup != "skip":
            found.append(Token(match.start(), match.end(), str(match.lastgroup), match[0]))
    headers = [
        (m.start(), m.end()) for m in re.finditer(r"^[ \t]*(?:\}[ \t]*)?for\b.*$", source, re.MULTILINE)
    ]
    loose = [token for token in found if not any(low <= token.start < high for low, high in headers)]
    values = list(_values(source, loose))
    loose = _outside_of_indices(loose)
    places = {token.start for token in loose}
    return Text(
        source,
        tuple(loose),
        tuple(value for value in values if value.start in places),
        tuple(_lines(source, spans, found)),
        tuple(token for token in loose if token.kind == "number"),
    )


def _outside_of_indices(tokens: Sequence[Token]) -> list[Token]:
    """Tokens that stand in no `[...]`: beyond a buffer's end nobody knows what is read."""
    found, depth = [], 0
    for token in tokens:
        depth -= token.text == "]"
        if depth <= 0:
            found.append(token)
        depth += token.text == "["
    return found


def _values(source: str, tokens: Sequence[Token]) -> list[Edit]:
    """Numbers, names, calls and elements where a value may stand; not what is assigned to or declared."""
    found = []
    for i, token in enumerate(tokens):
        before = tokens[i - 1].text if i else ""
        after = tokens[i + 1].text if i + 1 < len(tokens) else ""
        declared = (
            i > 0 and tokens[i - 1].kind == "name" and before not in ("return", "in", "and", "or", "not")
        )
        if token.kind == "sign" or token.text in _WORDS or before in (".", "->", "::") or declared:
            continue
        end = token.end
        if token.kind == "name" and after in _OPEN:
            last = _closing(tokens, i + 1)
            if last is None:
                continue
            end = tokens[last].end
            after = tokens[last + 1].text if last + 1 < len(tokens) else ""
        if after in _ASSIGNS or after in (".", "->", "::", "(", "[", "{") or after[:1].isidentifier():
            continue
        if "\n" not in source[token.start : end]:
            found.append(Edit(token.start, end, source[token.start : end]))
    return found


def _closing(tokens: Sequence[Token], first: int) -> int | None:
    """Where the bracket closes that opens there."""
    depth = 0
    for i in range(first, len(tokens)):
        depth += (tokens[i].text in _OPEN) - (tokens[i].text in _CLOSE)
        if depth == 0:
            return i
    return None


def _lines(source: str, spans: Sequence[tuple[int, int]], tokens: Sequence[Token]) -> list[Edit]:
    """Lines with their end that are neither declarations nor returns, and whose brackets are balanced."""
    found = []
    for low, high in spans:
        at = low
        for line in source[low:high].splitlines(keepends=True):
            here = [token for token in tokens if at <= token.start < at + len(line)]
            depth = sum((token.text in _OPEN) - (token.text in _CLOSE) for token in here)
            plain = here and here[0].kind == "name" and here[0].text not in _WORDS
            declares = len(here) > 1 and here[1].kind == "name"
            if plain and not declares and depth == 0 and _SIMPLE.fullmatch(line.strip()):
                found.append(Edit(at, at + len(line), line))
            at += len(line)
    return found


def foreign(files: Files, territory: Territory) -> list[str]:
    """Paths of a program's editable files that are not Python, in order."""
    return [path for path in sorted(files) if not path.endswith(".py") and territory.editable(path)]


def texts(files: Files, paths: Iterable[str], territory: Territory) -> dict[str, Text]:
    """Those of some files of a program that hold something to change, by path."""
    found = {}
    for path in paths:
        try:
            source = files[path].decode()
        except UnicodeDecodeError:
            continue
        text = read(source, tuple(territory.spans(path, source)))
        if "\0" not in source and (text.values or text.lines):
            found[path] = text
    return found


def quantities(text: Text) -> list[Literal]:
    """Numbers that are quantities: not indices, 0 and 1, masks or what is out of a float's range."""
    found = []
    for token in text.numbers:
        value = _value(token.text)
        if value is not None and (isinstance(value, float) or value > 1):
            alone = text.source[: token.start].rstrip(" \t")[-1:] in _BEFORE_VALUE
            found.append(Literal(token.start, token.end, 0 if alone else _NEEDS, value))
    return found


_NEEDS = 12  # an atom: -3 becomes (-3), as an operator may stand before it
_BEFORE_VALUE = frozenset(["", "\n", "=", ":", ",", "(", "[", "{"])  # none does there; TOML takes no (-3)


def _value(text: str) -> int | float | None:
    """What a literal says; None where arithmetic could not move it."""
    plain = text.isdecimal()
    value = int(text) if plain and len(text) < 17 and (text == "0" or text[0] != "0") else float(text)
    if plain and isinstance(value, float):
        return None
    return value if abs(value) < (2**53 if plain else 1e15) else None


class Tokens:
    """Changes numbers, operators, values and lines of one parent: one edit mostly, up to three."""

    name = "tokens"
    arity = 1
    prompt_bytes = 0

    def __init__(self, territory: Territory) -> None:
        self._territory = territory

    def propose(self, parents: Sequence[Parent], rng: np.random.Generator) -> Proposal:
        """Make one child; without one after several tries, a proposal that says so."""
        files = parents[0].variant.files
        paths = foreign(files, self._territory) or filter(self._territory.editable, sorted(files))
        found = texts(files, paths, self._territory)
        if not found:
            return no_child("no editable text that this operator can read")
        for _ in range(_TRIES):
            path = pick(rng, list(found))
            wanted = 1 + int(np.searchsorted(np.cumsum(_EDITS)[:-1], rng.random(), side="right"))
            made = [change for _ in range(wanted) if (change := mutate(found[path], rng))]
            if made and (proposal := child(files, path, found[path].source, made, self._territory)):
                return proposal
        return no_child(f"no child in {_TRIES} tries")

    def tell(self, trial: Trial) -> None:
        """Nothing is learned."""


def mutate(text: Text, rng: np.random.Generator) -> Change | None:
    """One random edit; None where the kind that was drawn has no place here."""
    return _MUTATIONS[int(np.searchsorted(_CUMULATED, rng.random(), side="right"))](text, rng)


def _number(text: Text, rng: np.random.Generator) -> Change | None:
    if not text.numbers:
        return None
    token = pick(rng, text.numbers)
    value = _value(token.text)
    if value is None:
        return None
    draw = rng.random()
    if isinstance(value, int) and draw < 0.6:
        new: int | float = value + (1 if rng.random() < 0.5 else -1) * int(rng.geometric(0.6))
    elif isinstance(value, int):
        new = max(1, value * 2) if draw < 0.8 else value // 2
    elif value == 0 or draw > 0.9:
        new = coefficient(rng) * (1 if rng.random() < 0.5 else -1)
    elif draw > 0.8:
        new = -value
    else:
        new = value * float(np.exp(min(50.0, (0.15 if draw < 0.4 else 0.6) * rng.standard_t(3))))
    return _put(token, number(new).fit(_NEEDS), token.text)


def _sign(text: Text, rng: np.random.Generator) -> Change | None:
    places = [(token, others) for token in text.tokens if (others := _others(token.text, _SIGNS))]
    return _swap(places, rng)


def _function(text: Text, rng: np.random.Generator) -> Change | None:
    places = [(token, others) for token in text.tokens if (others := _others(token.text, _FAMILIES))]
    return _swap(places, rng)


def _others(text: str, families: Sequence[Sequence[str]]) -> list[str]:
    return [other for family in families if text in family for other in family if other != text]


def _swap(places: Sequence[tuple[Token, list[str]]], rng: np.random.Generator) -> Change | None:
    if not places:
        return None
    token, others = pick(rng, places)
    return _put(token, pick(rng, others), token.text)


def _replace(text: Text, rng: np.random.Generator) -> Change | None:
    """Another value of the program in place of one."""
    if len(text.values) < 2:
        return None
    place, donor = pick(rng, text.values), pick(rng, text.values)
    return _put(place, donor.text, place.text)


def _extend(text: Text, rng: np.random.Generator) -> Change | None:
    """A value, and some of another one; or a product, or a quotient."""
    donors = [value for value in text.values if not value.text[:1].isdigit()]
    if not donors:
        return None
    place, donor = pick(rng, text.values), pick(rng, donors)
    share, sign, draw = number(coefficient(rng)).text, "+" if rng.random() < 0.5 else "-", rng.random()
    if draw < 0.6:
        new = f"({place.text} {sign} {share} * {donor.text})"
    elif draw < 0.8:
        new = f"({place.text} * {donor.text})"
    else:
        new = f"({place.text} / ({share} + {donor.text}))"
    return _put(place, new, place.text)


def _line(text: Text, rng: np.random.Generator) -> Change | None:
    """A line removed, moved before or behind another, or repeated there."""
    if not text.lines:
        return None
    line, other, draw = pick(rng, text.lines), pick(rng, text.lines), rng.random()
    if not line.text.endswith("\n"):
        return None
    gone = Edit(line.start, line.end, "")
    if draw < 0.4:
        return Change((gone,), f"without {quote(line.text)}")
    edge = other.start if draw < 0.7 else other.end
    if line.start <= edge <= line.end:
        return None
    moved = rng.random() < 0.6
    edits = (Edit(edge, edge, line.text), *((gone,) if moved else ()))
    return Change(edits, f"{'moved' if moved else 'repeated'} {quote(line.text)}")


def _put(place: Token | Edit, new: str, old: str) -> Change | None:
    if new == old:
        return None
    return Change((Edit(place.start, place.end, new),), f"{quote(old)} became {quote(new)}")


_MUTATIONS: tuple[Callable[[Text, np.random.Generator], Change | None], ...] = (
    _number, _sign, _replace, _extend, _line, _function,
)  # fmt: skip
_CUMULATED = np.cumsum((0.28, 0.17, 0.17, 0.23, 0.12, 0.03))
