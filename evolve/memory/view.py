"""A prompt as a compiled view: what is always said, and of the rest as much as there is room for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from evolve.types import Json

TOKEN_BYTES = 3  # of a prompt: code has a token for three to four
CONTEXT_TOKENS = 4096  # of a model of which nothing is known


class Part(NamedTuple):
    """Something that a prompt may say."""

    use: int  # the most useful, 0, is dropped last
    text: str


@dataclass(frozen=True, slots=True)
class Beside:
    """What one prompt may say beside its parents: made when the attempt begins, cut when it is asked."""

    parts: tuple[Part, ...]
    critique: Callable[[str, str], str]  # of a failed variant, in words

    def text(self, kept: Mapping[str, Json], room: int, used: int) -> str:
        """As much as fits with `used` bytes in a room; `kept`: what the conversation has brought so far."""
        fresh = kept.get("critique")
        parts = [] if fresh is None else [Part(0, self.critique(fresh["of"], fresh["text"]))]
        return fitting([*parts, *self.parts], room - used)


def room_bytes(context_tokens: int | None, reply_tokens: int) -> int:
    """Bytes that a prompt may have, so that its reply fits the context beside it."""
    context = context_tokens or CONTEXT_TOKENS
    reply = min(reply_tokens, context // 4) if context_tokens is None else reply_tokens
    return TOKEN_BYTES * max(0, context - reply)


def fitting(parts: Iterable[Part], room: int) -> str:
    """The parts that fit in so many bytes, in their order, each behind an empty line."""
    given = [Part(use, f"\n\n{text.strip()}") for use, text in parts if text.strip()]
    kept = set[int]()
    for number, part in sorted(enumerate(given), key=lambda each: each[1].use):
        if (size := len(part.text.encode())) <= room:
            room -= size
            kept.add(number)
    return "".join(part.text for number, part in enumerate(given) if number in kept)
