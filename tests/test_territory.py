import ast
import random
import re
from pathlib import Path

import pytest

from evolve.operators import territory as module
from evolve.operators.territory import Territory, compile_error, escapes, syntax_error
from evolve.types import BadInput

MARKED = b"""import numpy as np
# EVOLVE-BLOCK-START
a = 1
# EVOLVE-BLOCK-END
fixed = 2
def f(x):
    # EVOLVE-BLOCK-START
    return x
    # EVOLVE-BLOCK-END
"""


def marked():
    return Territory({"p.py": MARKED, "data.json": b"{}"}, ["*.py"])


def test_spans_are_the_lines_between_the_markers():
    source = MARKED.decode()
    texts = [source[start:end] for start, end in marked().spans("p.py", source)]
    assert texts == ["a = 1\n", "    return x\n"]


def test_a_file_without_markers_is_editable_whole_and_one_outside_the_globs_not_at_all():
    territory = Territory({"a.py": b"x = 1\n", "b.txt": b"y"}, ["*.py"])
    assert territory.spans("a.py", "x = 1\n") == [(0, 6)]
    assert territory.spans("b.txt", "y") == []


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"a = 1", b"a = 7\nb = 3"), (b"    return x\n", b"    y = x\n    return y\n"), (b"a = 1\n", b"")],
)
def test_changes_inside_the_blocks_are_allowed(old, new):
    files = {"p.py": MARKED.replace(old, new), "data.json": b"{}"}
    assert marked().violation(files) is None


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"p.py": MARKED.replace(b"fixed = 2", b"fixed = 3")}, "outside its EVOLVE-BLOCKs was changed"),
        ({"p.py": MARKED.replace(b"import numpy", b"import os, numpy")}, "outside its EVOLVE-BLOCKs"),
        ({"p.py": MARKED + b"more = 1\n"}, "outside its EVOLVE-BLOCKs was changed"),
        ({"p.py": MARKED.replace(b"# EVOLVE-BLOCK-END\nfixed", b"fixed")}, "do not pair up"),
        ({"p.py": MARKED.replace(b"a = 1", b"a = 1\n# EVOLVE-BLOCK-END\nc\n# EVOLVE-BLOCK-START")}, "added"),
        ({"p.py": MARKED.replace(b"a = 1", b"# EVOLVE-BLOCK-START")}, "do not pair up"),
        (
            {"p.py": MARKED.replace(b"a = 1", b'a = """').replace(b"return x", b'b = """\n    ')},
            "reaches out",
        ),
        ({"p.py": None}, "p.py: removed, but it has text outside"),
        ({"data.json": b"[]"}, "data.json: changed, but it is not editable"),
        ({"data.json": None}, "data.json: removed, but it is not editable"),
        ({"run.sh": b""}, "run.sh: added, but it is not editable"),
        ({"../q.py": b""}, "not a plain relative path"),
        ({"/q.py": b""}, "not a plain relative path"),
        ({"a//q.py": b""}, "not a plain relative path"),
        ({".git/hooks/q.py": b""}, "not a plain relative path"),
    ],
)
def test_everything_else_is_a_violation_with_its_reason(files, why):
    changed = {"p.py": MARKED, "data.json": b"{}"} | files
    child = {path: content for path, content in changed.items() if content is not None}
    assert why in marked().violation(child)


def test_files_inside_the_globs_may_come_and_go():
    territory = Territory({"a.py": b"", "b.py": b""}, ["*.py"])
    assert territory.violation({"a.py": b"1", "sub/new.py": b""}) is None


@pytest.mark.parametrize(
    ("source", "where"),
    [
        (b"# EVOLVE-BLOCK-START\nx\n", "p.py line 1"),
        (b"x\n# EVOLVE-BLOCK-END\n", "p.py line 2"),
        (
            b"# EVOLVE-BLOCK-START\n# EVOLVE-BLOCK-START\n# EVOLVE-BLOCK-END\n# EVOLVE-BLOCK-END\n",
            "p.py line 2",
        ),
    ],
)
def test_unpaired_markers_of_the_seed_are_bad_input(source, where):
    with pytest.raises(BadInput, match=where):
        Territory({"p.py": source}, ["*"])


def test_nothing_editable_is_bad_input():
    with pytest.raises(BadInput, match=r"editable: expected a glob that matches one of \['a\.py'\]"):
        Territory({"a.py": b""}, ["*.cpp"])


def test_markers_work_in_any_language_and_with_any_line_end():
    source = b"int f() {\r\n// EVOLVE-BLOCK-START\r\nreturn 1;\r\n// EVOLVE-BLOCK-END\r\n}\r\n"
    territory = Territory({"f.cpp": source}, ["*.cpp"])
    assert territory.violation({"f.cpp": source.replace(b"1", b"2")}) is None
    assert territory.violation({"f.cpp": source.replace(b"}", b"};")}) is not None


def test_a_block_without_an_end_of_line_at_the_end_of_the_file():
    source = b"# EVOLVE-BLOCK-START\nx = 1\n# EVOLVE-BLOCK-END"
    territory = Territory({"p.py": source}, ["*"])
    assert territory.violation({"p.py": source.replace(b"1", b"2")}) is None
    assert territory.violation({"p.py": source + b"\ny = 1"}) is not None


def test_binary_files_pass_through():
    territory = Territory({"a.bin": b"\xff\xfe\x00", "b.bin": b"\x80"}, ["a.*"])
    assert territory.violation({"a.bin": b"\x00", "b.bin": b"\x80"}) is None
    assert territory.violation({"a.bin": b"\x00", "b.bin": b"\x81"}) is not None


def test_syntax_errors_name_file_and_line():
    assert syntax_error({"a.py": b"x = 1\ny = (\n", "b.txt": b"("}) == "a.py line 2: '(' was never closed"
    assert syntax_error({"a.py": b"x = 1 is 1\n"}) is None


@pytest.mark.parametrize("source", ["\0", "(" * 1000, "-" * 100_000 + "1", b"\xff"])
def test_what_the_compiler_cannot_hold_is_an_error_too(source):
    assert compile_error(source) is not None


UNFIT = ["a\\b.py", "new\nline.py", ".git/config", "sub/.gitmodules", "x" * 256, "\udcff.py", "p.py/inner.py"]


@pytest.mark.parametrize("path", UNFIT)
def test_names_that_git_cannot_hold_are_refused_in_a_child_and_in_the_seed(path):
    files = {"p.py": b"x = 1\n"}
    assert Territory(files, ["*"]).violation({**files, path: b""}) is not None
    with pytest.raises(BadInput, match="program: expected file names that git can hold"):
        Territory({**files, path: b""}, ["*"])


def reaching_out(source):
    """Nodes that start in a block and end behind it, counted without any shortcut."""
    lines, ends, start = source.splitlines(), {}, None
    for number, line in enumerate(lines, 1):
        if re.match(r"\W*EVOLVE-BLOCK-START\b", line):
            start = number + 1
        elif re.match(r"\W*EVOLVE-BLOCK-END\b", line):
            ends.update(dict.fromkeys(range(start, number), number))
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.stmt | ast.expr)]
    return sum(node.lineno in ends and node.end_lineno >= ends[node.lineno] for node in nodes)


def test_what_reaches_out_of_a_block_is_found_wherever_the_markers_stand():
    rng, found = random.Random(1), 0
    for path in sorted(Path(module.__file__).parent.glob("*.py")):
        for _ in range(10):
            lines = path.read_text().splitlines()
            for place in sorted(rng.sample(range(len(lines)), 4), reverse=True):
                lines.insert(place, f"# EVOLVE-BLOCK-{place}")
            markers = iter(["START", "END"] * 2)
            text = re.sub(r"(?<=EVOLVE-BLOCK-)\d+", lambda _: next(markers), "\n".join(lines))  # noqa: B023
            counted = escapes(text.encode())
            assert counted == reaching_out(text), (path, text)
            found += counted > 0
    assert found > 20
