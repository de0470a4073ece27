"""What crosses the boundary: everything plain comes back equal, everything else is refused with its place."""

import io
import json
import math
import pickle
import struct
import tracemalloc

import numpy as np
import pytest
from fuzz_values import PIECES, decoded_or_refused
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sandbox.values import DEPTH, MAGIC, decode, encode

MOST = 1 << 20
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
TEXT = st.text(st.characters(codec="utf-8"))
PLAIN = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXT, inner, max_size=5),
    max_leaves=30,
)
DTYPES = (
    hnp.boolean_dtypes()
    | hnp.integer_dtypes()
    | hnp.unsigned_integer_dtypes()
    | hnp.floating_dtypes(sizes=(16, 32, 64))
)
ARRAYS = hnp.arrays(DTYPES, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))


def npy(array, **options):
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, **options)
    return buffer.getvalue()


@given(PLAIN)
def test_plain_values_come_back_equal(value):
    back = decode(encode(value), MOST)
    assert back == value
    assert repr(back) == repr(value)  # -0.0, True and 1, 1 and 1.0 stay what they are


@given(ARRAYS)
def test_arrays_come_back_equal_unless_they_hold_nan(array):
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        with pytest.raises(ValueError, match=r"array\[.*is not a finite number"):
            encode(array)
        with pytest.raises(ValueError, match=r"array\[.*is not a finite number"):
            decode(npy(array), MOST)
        return
    for data in (encode(array), npy(np.asfortranarray(array)), npy(np.ascontiguousarray(array))):
        back = decode(data, MOST)
        assert back.dtype == array.dtype.newbyteorder("=")
        assert back.dtype.isnative
        assert np.array_equal(back.reshape(array.shape), array)
    assert decode(encode(array), MOST).shape == array.shape


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_any_bytes_end_in_a_plain_value_or_a_value_error(data):
    for each in (data, MAGIC + data, MAGIC + b"\x01\x00" + struct.pack("<H", len(data)) + data):
        decoded_or_refused(each)


@settings(max_examples=500)
@given(st.lists(st.sampled_from(PIECES), max_size=40))
def test_any_pieces_of_json_end_in_a_plain_value_or_a_value_error(pieces):
    decoded_or_refused("".join(pieces).encode())


@settings(max_examples=500)
@given(PLAIN | ARRAYS.filter(lambda a: a.dtype.kind != "f" or bool(np.isfinite(a).all())), st.data())
def test_damaged_bytes_end_in_a_value_or_a_value_error(value, draw):
    data = bytearray(encode(value))
    for _ in range(draw.draw(st.integers(1, 4))):
        place = draw.draw(st.integers(0, len(data)))
        length = draw.draw(st.sampled_from([0, 0, 1, 1, 4]))
        data[place : place + length] = draw.draw(st.binary(max_size=4))
    decoded_or_refused(bytes(data))


NUMBERS_IN_A_HEADER = st.integers(-2, 8) | st.sampled_from([2**31, 2**63 - 1, 2**63, 2**64, 10**30, 10**300])


@st.composite
def headers(draw):
    """Headers of arrays as numpy writes them, with any part replaced by something else."""
    order = draw(st.sampled_from(["<", ">", "|", "=", ""]))
    letter = draw(st.sampled_from(["f", "i", "u", "b", "c", "O", "S", "U", "V", "M", "g"]))
    size = draw(st.sampled_from([0, 1, 2, 3, 4, 8, 16, 99]))
    sides = draw(st.lists(NUMBERS_IN_A_HEADER, max_size=4) | st.lists(st.just(1), min_size=30, max_size=70))
    comma = "," if len(sides) == 1 else ""
    shape = draw(
        st.just(f"({', '.join(map(str, sides))}{comma})") | st.sampled_from(["()", "(,)", "[2]", "(2 ,)"])
    )
    fortran = draw(st.sampled_from(["False", "True", "0", "None"]))
    descr = draw(
        st.just(f"'{order}{letter}{size}'") | st.sampled_from(["[('a', '<f8')]", "__import__('os')"])
    )
    text = f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}"
    text += draw(st.sampled_from(["\n", " \n", "", "\n\n", " " * 64 + "\n", " " * 2000 + "\n"]))
    version = draw(st.sampled_from([b"\x01\x00", b"\x01\x00", b"\x02\x00", b"\x03\x00", b"\x00\x00"]))
    length = len(text) + draw(st.sampled_from([0, 0, 0, 1, -1, 500]))
    payload = draw(st.binary(max_size=40) | st.integers(0, 70).map(bytes))
    return MAGIC + version + struct.pack("<H", max(0, length)) + text.encode() + payload


@settings(max_examples=500)
@given(headers())
def test_any_header_ends_in_the_array_that_numpy_reads_or_in_a_value_error(data):
    value = decoded_or_refused(data)
    if value is not None:
        assert np.array_equal(np.lib.format.read_array(io.BytesIO(data), allow_pickle=False), value)


@given(st.floats(allow_nan=False, allow_infinity=False, width=32), st.integers(-(2**31), 2**31 - 1))
def test_numpy_scalars_and_tuples_are_plain(real, whole):
    value = (np.float32(real), np.float64(real), [np.int32(whole), np.bool_(True)], {"k": np.arange(3)})
    assert decode(encode(value), MOST) == [real, real, [whole, True], {"k": [0, 1, 2]}]


@given(PLAIN, st.lists(st.integers(0, 3), max_size=6), st.sampled_from([math.nan, math.inf, -math.inf]))
def test_a_bad_number_is_found_where_it_is(value, path, bad):
    place, nested = "", bad
    for step in reversed(path):
        nested = {"key": nested} if step == 0 else [value] * (step - 1) + [nested]
        place = (".key" if step == 0 else f"[{step - 1}]") + place
    with pytest.raises(ValueError) as error:
        encode(nested)
    assert str(error.value) == f"{place or 'value'}: {bad} is not a finite number"
    with pytest.raises(ValueError) as error:
        decode(json.dumps(nested).encode(), MOST)
    assert str(error.value) == f"{place or 'value'}: {bad} is not a finite number"


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ({1: 2}, "the key 1 is not a string"),
        ({"a": [1, {2}]}, r"\.a\[1\]: a set cannot cross"),
        ([b"x"], r"\[0\]: a bytes cannot cross"),
        (1j, "a complex cannot cross"),
        ([10**4300], "4300 digits"),
        ({"x": [-(10**5000)]}, r"\.x\[0\]: an integer of more than 4300 digits"),
        (np.array(["a"]), "array of <U1 cannot cross"),
        (np.array([object()]), "array of object cannot cross"),
        (np.array([1j]), "complex128 cannot cross"),
        (np.zeros(2, dtype=[("a", "f8")]), "cannot cross"),
        (np.array(["2020-01-01"], dtype="M8[D]"), "cannot cross"),
        ([np.array([object()])], r"\[0\]: an array of object cannot cross"),
        (np.longdouble(1), "a longdouble cannot cross"),
    ],
)
def test_what_cannot_be_encoded(value, why):
    with pytest.raises(ValueError, match=why):
        encode(value)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "byte 0"),
        (b"[1 2]", "character 3"),
        (b"1 2", "Extra data"),
        (b"007", "Extra data"),
        ("\u0664\u0665".encode(), "character 0"),  # digits, but not JSON's
        (b"[1e999]", r"\[0\]: inf"),
        (b"1e+0000400", "inf"),
        (b"-" + b"9" * 400 + b".0", "-inf"),
        (b'{"a": {"b": NaN}}', r"\.a\.b: nan"),
        (b'{"a":1,"b":2,"a":3}', "'a' stands twice"),
        (b"9" * 4301, "4301 digits"),
        (b'"\\ud800"', "surrogate"),
        (pickle.dumps([1, 2]), "neither UTF-8 nor an array"),
        (b"PK\x03\x04", "not JSON"),
    ],
)
def test_what_cannot_be_decoded(data, why):
    with pytest.raises(ValueError, match=why):
        decode(data, MOST)


def test_depth():
    deepest = b"[" * DEPTH + b"]" * DEPTH
    assert decode(deepest, MOST) is not None
    assert encode(decode(deepest, MOST)) == deepest
    for depth in (DEPTH + 1, 1000, 100_000):
        with pytest.raises(ValueError, match="64 lists or dicts"):
            decode(b"[" * depth + b"]" * depth, MOST)
        with pytest.raises(ValueError, match="64 lists or dicts"):
            decode(b'{"a":' * depth + b"1" + b"}" * depth, MOST)
    value = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(ValueError, match="64 lists or dicts"):
        encode(value)


def test_the_digits_that_are_allowed():
    largest = 10**4300 - 1
    assert decode(encode([largest, -largest]), MOST) == [largest, -largest]


@pytest.mark.parametrize("number", [0, 9, 10**15 - 1, 10**15, -1, -(10**15), True])
def test_integers_are_written_as_json_writes_them(number):
    assert encode(number) == json.dumps(number).encode()
    found = decode(encode(number), MOST)
    assert found == number and type(found) is type(number)


def test_size_is_looked_at_first():
    with pytest.raises(ValueError, match="101 bytes; at most 100"):
        decode(b"[" * 101, 100)


def header(text, payload=b""):
    return MAGIC + b"\x01\x00" + struct.pack("<H", len(text)) + text.encode("latin-1") + payload


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (
            header("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }\n"),
            "claims 8000000000000",
        ),
        (
            header("{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }\n", bytes(8)),
            "claims 16 bytes, 8",
        ),
        (
            header("{'descr': '<f8', 'fortran_order': False, 'shape': (1,), }\n", bytes(9)),
            "claims 8 bytes, 9",
        ),
        (header("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n", bytes(8)), "the header"),
        (header("{'descr': '<f1', 'fortran_order': False, 'shape': (1,), }\n", bytes(1)), "the header"),
        (header("{'descr': '<c8', 'fortran_order': False, 'shape': (1,), }\n", bytes(8)), "the header"),
        (header("{'descr': '<i8', 'fortran_order': False, 'shape': (-1,), }\n", bytes(8)), "the header"),
        (header("{'descr': '<i8', 'fortran_order': False, 'shape': (True,), }\n", bytes(8)), "the header"),
        (
            header(f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({10**300}, {10**300}), }}\n"),
            "claims 80*\\.\\.\\. bytes, 0 are there",
        ),
        (header("__import__('os').system('true')"), "the header"),
        (header("(" * 2000), "the header"),
        (
            header("{'descr': '|b1', 'fortran_order': False, 'shape': (1,), }\n", b"\x02"),
            "neither true nor false",
        ),
        (npy(np.array([object()]), allow_pickle=True), "the header"),
        (npy(np.zeros(3), version=(2, 0)), "version 1.0"),
        (MAGIC, "version 1.0"),
        (npy(np.zeros(3))[:40], "the header"),
        (b"\x93NUMPY\x01\x00\xff\xff", "the header"),
    ],
)
def test_arrays_that_lie(data, why):
    with pytest.raises(ValueError, match=why):
        decode(data, MOST)


def test_empty_arrays_with_a_huge_side():
    text = "{'descr': '<f8', 'fortran_order': False, 'shape': (0, 9223372036854775808), }\n"
    with pytest.raises(ValueError):
        decode(header(text), MOST)


def test_a_long_key_costs_no_more_than_its_length():
    """A name built for every child of a value under a key of half the answer would take gigabytes."""
    inside = ",".join(["0"] * 100_000)
    tracemalloc.start()
    try:
        text = f'{{"{"k" * 500_000}": ["NaN", {inside}]}}'
        assert len(decode(text.encode(), MOST)["k" * 500_000]) == 100_001
        with pytest.raises(ValueError, match=r"^\.'kkk.*\[100000\]: inf is not a finite number$"):
            decode(text.replace("]}", ", 1e999]}").replace('"NaN", ', "").encode(), MOST)
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()


def test_the_place_of_a_bad_number_in_an_array_of_many_sides_costs_nothing():
    text = "{'descr': '<f2', 'fortran_order': False, 'shape': (" + "1, " * 31 + "500000), }\n"
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=", 7]: nan"):
            decode(header(text, bytes(14) + b"\xff\xff" * 499_993), MOST)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("key", ["\x1b[2J", "a\nb", "\u202e", "k" * 5000])
def test_what_is_said_of_a_value_is_one_short_line(key):
    for data in (json.dumps({key: [math.nan]}), f"{{{json.dumps(key)}: 1, {json.dumps(key)}: 2}}"):
        with pytest.raises(ValueError) as error:
            decode(data.encode(), MOST)
        assert str(error.value).isprintable() and len(str(error.value)) < 300
    with pytest.raises(ValueError) as error:
        encode({key: {1, 2}})
    assert str(error.value).isprintable() and len(str(error.value)) < 300
