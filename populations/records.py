"""How events, proposals and their files are written down, in git and in the journal."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping

from pydantic_core import from_json

from evolve.types import SCHEMA, Event, Exchange, Failure, Files, Json, LedgerError, Proposal, Variant
from populations.trees import tree_id

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)


def canonical(value: Json) -> str:
    """The one text of a JSON value: sorted keys, compact, ASCII. Raises ValueError for NaN and infinities."""
    return _ENCODER.encode(value)


def encode_event(event: Event) -> str:
    """The content of event.json."""
    return canonical(
        {
            "schema": SCHEMA,
            "index": event.index,
            "kind": event.kind,
            "decision": event.decision,
            "measured": event.measured,
            "variant": event.variant,
        }
    )


def decode_event(text: bytes | str, index: int, where: str) -> Event:
    """Read event.json back. Raises LedgerError if damaged, newer than this program, or another one."""
    try:
        value = _decoded(text)
        schema, found = value["schema"], value["index"]
        event = Event(found, value["kind"], value["decision"], value["measured"], value["variant"])
    except (ValueError, TypeError, KeyError) as error:
        raise LedgerError(f"{where}: event {index} cannot be read: {error!r}") from error
    if schema > SCHEMA:
        raise LedgerError(
            f"{where}: written by a newer evolve (schema {schema}, this one reads up to {SCHEMA})"
        )
    if found != index:
        raise LedgerError(f"{where}: expected event {index}, found event {found}; is the history cut off?")
    return event


def _decoded(text: bytes | str) -> Json:
    """What `json.loads` says, in a third of its time."""
    try:
        return from_json(text, cache_strings="keys")
    except ValueError:  # also where a model's text has half of a surrogate pair, or JSON is deeply nested
        return json.loads(text)


def encode_files(files: Files) -> dict[str, Json]:
    """Files as JSON: text as it is, anything else in base64 within a list."""
    encoded: dict[str, Json] = {}
    for path, data in files.items():
        try:
            encoded[path] = data.decode()
        except UnicodeDecodeError:
            encoded[path] = [base64.b64encode(data).decode()]
    return encoded


def decode_files(encoded: Mapping[str, Json]) -> dict[str, bytes]:
    """The opposite of `encode_files`."""
    return {
        path: text.encode() if isinstance(text, str) else base64.b64decode(text[0])
        for path, text in encoded.items()
    }


def complete(decision: Mapping[str, Json], proposal: Proposal) -> dict[str, Json]:
    """A proposal's decision with what the proposal itself says."""
    complete = {"idea": proposal.idea, "details": dict(proposal.details), **decision}
    if "tree" not in complete:
        complete["tree"] = None if proposal.files is None else tree_id(proposal.files)
    return complete


def journal_proposal(decision: Mapping[str, Json], proposal: Proposal) -> bytes:
    """The journal's line for a free proposal."""
    line = canonical(
        {
            "proposal": {
                "decision": decision,
                "failure": _encode_failure(proposal.failure),
                "files": None if proposal.files is None else encode_files(proposal.files),
            }
        }
    )
    return line.encode()


def decode_proposal(value: Mapping[str, Json]) -> tuple[Mapping[str, Json], Proposal]:
    """The opposite of `journal_proposal`, of what its line holds under "proposal"."""
    decision, files = value["decision"], value["files"]
    return decision, Proposal(
        None if files is None else decode_files(files),
        decision["idea"],
        _decode_failure(value["failure"]),
        decision["details"],
    )


def encode_paid(proposal: Proposal) -> tuple[dict[str, Json], dict[str, bytes]]:
    """Measured part and files of a `proposal` event: the program, the prompts and the replies."""
    measured: dict[str, Json] = {
        "usd": proposal.usd,
        "failure": _encode_failure(proposal.failure),
        "exchanges": [
            {
                "model": exchange.model,
                "usd": exchange.usd,
                "prompt_tokens": exchange.prompt_tokens,
                "reply_tokens": exchange.reply_tokens,
                "seconds": exchange.seconds,
                "parameters": dict(exchange.parameters),
                **({"error": exchange.error} if exchange.error else {}),
                **({"after": _encode_failure(exchange.after)} if exchange.after else {}),
            }
            for exchange in proposal.exchanges
        ],
    }
    files = {f"program/{path}": data for path, data in (proposal.files or {}).items()}
    for number, exchange in enumerate(proposal.exchanges):
        # surrogates can come in a model's reply, and must not stop a run
        files[_exchange_file("prompt", number)] = exchange.prompt.encode(errors="backslashreplace")
        files[_exchange_file("reply", number)] = exchange.reply.encode(errors="backslashreplace")
    return measured, files


def decode_paid(event: Event, files: Files) -> Proposal:
    """The proposal that a `proposal` event keeps."""
    program = {
        path.removeprefix("program/"): data for path, data in files.items() if path.startswith("program/")
    }
    exchanges = tuple(
        Exchange(
            prompt=files[_exchange_file("prompt", number)].decode(),
            reply=files[_exchange_file("reply", number)].decode(),
            **{**row, "after": _decode_failure(row.get("after"))},
        )
        for number, row in enumerate(event.measured["exchanges"])
    )
    return Proposal(
        program if event.decision["tree"] is not None else None,
        event.decision["idea"],
        _decode_failure(event.measured["failure"]),
        event.decision["details"],
        exchanges,
    )


def journal_event(event: str, variant: Variant | None, files: Files) -> bytes:
    """The journal's line for an event, of its encoded text."""
    line = f'{{"event":{event},"files":{canonical(encode_files(files))}'
    if variant is not None:
        program = {
            "id": variant.id,
            "files": encode_files(variant.files),
            "parents": list(variant.parents),
            "operator": variant.operator,
            "idea": variant.idea,
        }
        line += f',"program":{canonical(program)}'
    return (line + "}").encode()


def journal_variant(record: Mapping[str, Json]) -> Variant | None:
    """The variant that came with an event, of the journal's parsed line."""
    row = record.get("program")
    if row is None:
        return None
    return Variant(row["id"], decode_files(row["files"]), tuple(row["parents"]), row["operator"], row["idea"])


def _exchange_file(name: str, number: int) -> str:
    return f"{name}.md" if number == 0 else f"{name}-{number + 1}.md"


def _encode_failure(failure: Failure | None) -> Json:
    return None if failure is None else {"kind": failure.kind, "detail": failure.detail}


def _decode_failure(value: Json) -> Failure | None:
    return None if value is None else Failure(**value)
