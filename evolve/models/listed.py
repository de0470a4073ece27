"""What LiteLLM's list says of models: read from its file, as its import takes seconds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from evolve.models import Price
from evolve.types import Json

_FILE = "model_prices_and_context_window_backup.json"


def listed_price(name: str) -> Price | None:
    """Dollars for a million tokens of a short prompt and its reply; None where it is not listed."""
    row = _row(name)
    prompt, reply = row.get("input_cost_per_token"), row.get("output_cost_per_token")
    if not isinstance(prompt, int | float) or not isinstance(reply, int | float):
        return None
    return Price(prompt * 1e6, reply * 1e6)


def listed_context(name: str) -> int | None:
    """Tokens that a prompt may have; None where it is not listed."""
    tokens = _row(name).get("max_input_tokens")
    return tokens if isinstance(tokens, int) and tokens > 0 else None


def _row(name: str) -> Mapping[str, Json]:
    found: Mapping[str, Json] = _list().get(name) or _list().get(name.partition("/")[2]) or {}
    return found


@cache
def _list() -> Mapping[str, Json]:
    spec = find_spec("litellm")
    path = Path(spec.origin).parent / _FILE if spec is not None and spec.origin else None
    found: Mapping[str, Json] = json.loads(path.read_bytes()) if path and path.exists() else {}
    return found
