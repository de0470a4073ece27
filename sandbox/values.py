"""Values that may cross the boundary of a sandbox: strict JSON, or one array as `.npy` without pickle.

`encode` runs on both sides. `decode` is the trusted side's: whatever the bytes say, it returns plain numbers,
strings, lists and dicts or a numeric array, or raises ValueError with where and why.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Iterable
from typing import Any

import numpy as np

DEPTH = 64  # lists and dicts inside one another
DIGITS = 4300  # of an integer; the interpreter's own default limit
MAGIC = b"\x93NUMPY"

_Place = tuple[
    int | str, ...
]  # steps to a value inside another: indices and keys; named only where it is bad

_ATOMS = frozenset({int, float, str, bool, type(None)})  # exact types that are plain wherever they stand
_DIMENSIONS = 64  # of an array, numpy's own limit
_HEADER_BYTES = 1024

# What numpy itself writes, and nothing else: a header is matched, never evaluated.
_HEADER = re.compile(
    r"\{'descr': '([<>|])([biuf])([1248])', 'fortran_order': (True|False), "
    r"'shape': \(((?:\d+, ?)*\d*)\), \} *\n"
)
# A number that may be infinite, or an integer that may be too long: rare, so looked for before it is parsed.
_LARGE = re.compile(rb"[eE]\+?0*[1-9]\d\d|(?<!\d)\d{300}")
_ESCAPED_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


# ------------------------------------------------------------------------------------------------- encode

_encoder = json.JSONEncoder(allow_nan=False, separators=(",", ":"), check_circular=False)
_SHORT = 15  # digits of an integer that is written and read without JSON: most calls are made of them


def encode(value: Any) -> bytes:
    """Bytes of a value: an array as `.npy`, all else as JSON (tuples as lists, numpy scalars as numbers).

    Raises ValueError, with the place inside the value, for anything that strict JSON cannot hold.
    """
    if type(value) is int and 0 <= value < 10**_SHORT:
        return b"%d" % value
    if isinstance(value, np.ndarray):
        return _encode_array(value)
    plain = _plain(value, (), 1)
    try:
        return _encoder.encode(plain).encode("ascii")
    except ValueError as error:  # NaN, infinity or a huge integer: only now is it worth looking where
        raise ValueError(_find_bad_number(plain, ()) or str(error)) from None


def _encode_array(array: np.ndarray[Any, Any]) -> bytes:
    _check_dtype(array.dtype, "the array")
    _check_finite(array)
    native = np.ascontiguousarray(array).reshape(array.shape)  # ascontiguousarray turns 0-d into 1-d
    header = f"{{'descr': '{native.dtype.str}', 'fortran_order': False, 'shape': {native.shape!r}, }}"
    text = header.encode("ascii") + b"\n"
    return MAGIC + b"\x01\x00" + struct.pack("<H", len(text)) + text + native.tobytes()


def _plain(value: Any, where: _Place, depth: int) -> Any:
    """The value with numpy scalars and subclasses replaced; the same object where it is plain already."""
    kind = type(value)
    if kind in _ATOMS:
        return value
    if isinstance(value, list | tuple):
        _check_depth(depth, where)
        if _ATOMS.issuperset(map(type, value)):  # at the speed of C: a case may hold 100,000 numbers
            return value if kind is list or kind is tuple else list(value)
        return [_plain(item, (*where, i), depth + 1) for i, item in enumerate(value)]
    if isinstance(value, dict):
        _check_depth(depth, where)
        for key in value:
            if not isinstance(key, str):
                raise ValueError(f"{_name(where)}: the key {_show(key)} is not a string")
        items = [(str.__str__(key), item) for key, item in value.items()]
        return {key: _plain(item, (*where, key), depth + 1) for key, item in items}
    if isinstance(value, np.ndarray):
        _check_dtype(value.dtype, _name(where))
        return _plain(value.tolist(), where, depth)
    if isinstance(value, np.bool_ | np.integer) or (isinstance(value, np.floating) and value.itemsize <= 8):
        return value.item()
    # A subclass may lie about itself in any method of its own; the base's conversion cannot.
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, str):
        return str.__str__(value)
    raise ValueError(
        f"{_name(where)}: a {kind.__name__} cannot cross; numbers, strings, lists, dicts and arrays can"
    )


# ------------------------------------------------------------------------------------------------- decode


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    plain = dict(pairs)
    if len(plain) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"the key {_show(key)} stands twice in one object")
            seen.add(key)
    return plain


def _parse_integer(text: str) -> int:
    if len(text.lstrip("-")) > DIGITS:
        raise ValueError(f"an integer of {len(text)} digits; at most {DIGITS} may cross")
    return int(text)


_decoder = json.JSONDecoder(object_pairs_hook=_refuse_duplicates, parse_constant=float)
_careful_decoder = json.JSONDecoder(
    object_pairs_hook=_refuse_duplicates, parse_constant=float, parse_int=_parse_integer
)


def _parsed(text: str) -> Any:
    """As `_decoder.decode`, which looks for white space around every value, and is slow at that."""
    try:
        value, end = _decoder.raw_decode(text)
    except json.JSONDecodeError:
        return _decoder.decode(text)
    return value if end == len(text) else _decoder.decode(text)


def decode(data: bytes, max_bytes: int) -> Any:
    """Plain value of bytes from inside: JSON types, or a native bool, int, uint or float array.

    Raises ValueError for more than `max_bytes`, anything but strict JSON or `.npy`, NaN, infinity, duplicate
    keys, integers over 4,300 digits, lone surrogates, and more than 64 lists or dicts inside one another.
    """
    if len(data) > max_bytes:
        raise ValueError(f"{len(data)} bytes; at most {max_bytes} may cross")
    if data.isdigit() and len(data) <= _SHORT and (data[0] != b"0"[0] or len(data) == 1):
        return int(data)
    if data[:6] == MAGIC:
        return _decode_array(data)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start}: neither UTF-8 nor an array") from None
    large = _LARGE.search(data) is not None
    try:
        value = _careful_decoder.decode(text) if large else _parsed(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"character {error.pos}: not JSON, {error.msg}") from None
    except RecursionError:
        raise ValueError(f"more than {DEPTH} lists or dicts inside one another") from None
    if data.count(b"[") + data.count(b"{") > DEPTH:
        _check_depths(value)
    if large or b"NaN" in data or b"Infinity" in data:
        bad = _find_bad_number(value, ())
        if bad:
            raise ValueError(bad)
    if _ESCAPED_SURROGATE.search(data):
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ValueError("a string holds half of a surrogate pair, which is no character") from None
    return value


def _decode_array(data: bytes) -> np.ndarray[Any, Any]:
    """Read `.npy` of version 1.0 as numpy writes it; the size that the header claims must be there."""
    if len(data) < 10 or data[6:8] != b"\x01\x00":
        raise ValueError("array: only .npy of version 1.0 may cross")
    start = 10 + struct.unpack("<H", data[8:10])[0]
    header = _HEADER.fullmatch(data[10:start].decode("latin-1")) if start <= _HEADER_BYTES else None
    if header is None:
        raise ValueError("array: the header is not that of a bool, int, uint or float array")
    order, letter, size, fortran, dimensions = header.groups()
    shape = tuple(int(text) for text in dimensions.split(",") if text.strip())
    if (letter, size) == ("f", "1") or (letter == "b" and size != "1") or len(shape) > _DIMENSIONS:
        raise ValueError("array: the header is not that of a bool, int, uint or float array")
    claimed, there = math.prod(shape) * int(size), len(data) - start
    if claimed != there:
        raise ValueError(f"array: the header claims {_show(claimed)} bytes, {there} are there")
    if letter == "b" and data[start:].strip(b"\x00\x01"):
        raise ValueError("array: a byte that is neither true nor false")
    dtype = np.dtype(f"{order}{letter}{size}")
    flat = np.frombuffer(data, dtype=dtype, offset=start) if there else np.empty(0, dtype)
    array = flat.reshape(shape, order="F" if fortran == "True" else "C")
    array = array.astype(dtype.newbyteorder("="), order="C")
    _check_finite(array)
    return array


# ------------------------------------------------------------------------------------------------- checks


def _check_dtype(dtype: np.dtype[Any], where: str) -> None:
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise ValueError(f"{where}: an array of {dtype} cannot cross; bool, int and float up to 64 bits can")


def _check_finite(array: np.ndarray[Any, Any]) -> None:
    if array.dtype.kind == "f" and not (finite := np.isfinite(array)).all():
        index = tuple(map(int, np.unravel_index(np.argmin(finite), array.shape)))  # the first, at no cost
        raise ValueError(f"array{list(index)}: {float(array[index])} is not a finite number")


def _check_depth(depth: int, where: _Place) -> None:
    if depth > DEPTH:
        raise ValueError(f"{_name(where)}: more than {DEPTH} lists or dicts inside one another")


def _check_depths(value: Any) -> None:
    """Level by level, so that no hostile depth ends in our own recursion."""
    level, depth = [value], 0
    while level := [item for item in level if isinstance(item, list | dict)]:
        depth += 1
        _check_depth(depth, ())
        level = [child for item in level for child in (item.values() if isinstance(item, dict) else item)]


def _find_bad_number(value: Any, where: _Place) -> str | None:
    """Where a plain value (at most DEPTH deep) holds NaN, infinity or too long an integer, and which."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"{_name(where)}: {value} is not a finite number"
    if isinstance(value, int) and value.bit_length() > 14_284 and abs(value) >= 10**DIGITS:
        return f"{_name(where)}: an integer of more than {DIGITS} digits"
    children: Iterable[tuple[int | str, Any]] = ()
    if isinstance(value, dict):
        children = value.items()
    elif isinstance(value, list | tuple):
        children = enumerate(value)
    for step, item in children:
        bad = _find_bad_number(item, (*where, step))
        if bad:
            return bad
    return None


def _name(where: _Place) -> str:
    """A place as people read it, `.key[3]`: short and one line, whatever keys from inside may hold."""
    if not where:
        return "value"
    steps = [f"[{step}]" if isinstance(step, int) else f".{_key(step)}" for step in where]
    text = "".join(steps)
    return text if len(text) <= 200 else text[:197] + "..."


def _key(key: str) -> str:
    return key if len(key) <= 60 and key.isprintable() else _show(key)


def _show(thing: object) -> str:
    text = repr(thing[:60] if isinstance(thing, str) else thing)
    return text if len(text) <= 60 else text[:57] + "..."


def one_line(text: str) -> str:
    """Text from inside may end in a terminal or a prompt: one line, no control characters, bounded."""
    return "".join(c if c.isprintable() else " " for c in str(text)[:1000])
