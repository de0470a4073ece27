"""Changes of a text: whatever form a reply gives them, they apply where they are meant or not at all."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from evolve.operators.mending import Fault, Made
from evolve.operators.patch import apply
from evolve.operators.reading import read, read_changes
from evolve.operators.replies import Block, take_apart
from evolve.operators.territory import Territory

TREE = {"a.py": b"x = 1\n", "sub/b.py": b"y = 1\nz = 2\n", "notes.txt": b"fixed\n"}
TERRITORY = Territory(TREE, ["*.py"])


def block(old: str, new: str, path: str = "") -> str:
    return f"{path}\n<<<<<<< SEARCH\n{old}=======\n{new}>>>>>>> REPLACE\n"


def made(reply: str, files: dict[str, bytes] = TREE, territory: Territory = TERRITORY) -> dict[str, bytes]:
    found = read_changes(files, territory, reply)
    assert isinstance(found, Made), found
    return dict(found.files)


def fault(reply: str, files: dict[str, bytes] = TREE, territory: Territory = TERRITORY) -> tuple[str, str]:
    found = read_changes(files, territory, reply)
    assert isinstance(found, Fault), found
    return found.stage, found.failure.detail


LINE = st.sampled_from(
    ["a", "b", "if a:", "    a", "    b", "        a", "", "  ", "\ta", "```", "d = 1  ", "...", "# a"]
)
TEXT = st.lists(LINE, min_size=1, max_size=12)


@settings(max_examples=300, deadline=None)
@given(lines=TEXT, data=st.data(), newline=st.sampled_from(["\n", "\r\n"]), last=st.booleans())
def test_a_block_of_the_text_applies_where_it_stands_or_is_refused(lines, data, newline, last):  # type: ignore[no-untyped-def]
    """Whole lines of the text, whatever its ends; a place that is not the only one is never chosen."""
    assume(last or lines[-1])  # an empty line that nothing ends is none
    text = newline.join(lines) + (newline if last else "")
    newline = "\r\n" if "\r\n" in text else "\n"
    start = data.draw(st.integers(0, len(lines) - 1))
    end = data.draw(st.integers(start + 1, len(lines)))
    old, new = lines[start:end], data.draw(TEXT)
    try:
        result = apply(
            text, [Block(None, "".join(f"{line}\n" for line in old), "".join(f"{line}\n" for line in new))]
        )
    except ValueError as error:
        same = (
            "\n".join(line.strip() for line in old).strip("\n").split("\n")
        )  # blank lines around may be none
        at = [n for n in range(len(lines)) if [line.strip() for line in lines[n : n + len(same)]] == same]
        refused = len(at) > 1 or "without text" in str(error)
        assert refused, error  # noqa: PT017
        return
    expected = [*lines[:start], *new, *lines[end:]]
    assert [line.rstrip() for line in result.split(newline)][: len(expected)] == [
        line.rstrip() for line in expected
    ]
    assert newline == "\n" or "\n" not in result.replace("\r\n", "")
    assert result.endswith(newline) or not last


@settings(max_examples=150, deadline=None)
@given(text=st.text(st.sampled_from("<=> SEARCHPLDET`~@-+#/.\n\r\t\0ab…"), max_size=200))
def test_no_reply_whatever_breaks_the_reading(text):  # type: ignore[no-untyped-def]
    take_apart(text)
    for reader in (read, read_changes):
        found = reader(TREE, TERRITORY, text)
        assert isinstance(found, Made | Fault)
        if isinstance(found, Made):
            assert TERRITORY.violation(found.files) is None and found.files["notes.txt"] == b"fixed\n"


@settings(max_examples=100, deadline=None)
@given(order=st.permutations(range(3)))
def test_the_order_of_blocks_does_not_matter(order):  # type: ignore[no-untyped-def]
    blocks = [Block(None, "a\n", "b\n"), Block(None, "b\n", "c\n"), Block(None, "c\n", "a\n")]
    assert apply("a\nb\nc\n", [blocks[n] for n in order]) == "b\nc\na\n"


@pytest.mark.parametrize("unit", ["\t", "  ", "   "])
def test_tabs_and_other_steps_of_indentation_are_read_as_the_file_has_them(unit: str) -> None:
    file = f"def f(x):\n{unit}if x:\n{unit * 2}return 1\n{unit}return 2\n"
    old, new = "    if x:\n        return 1\n", "    if not x:\n        return 3\n    x = 4\n"
    wanted = f"def f(x):\n{unit}if not x:\n{unit * 2}return 3\n{unit}x = 4\n{unit}return 2\n"
    assert apply(file, [Block(None, old, new)]) == wanted


def test_an_indentation_that_means_something_else_fits_nowhere() -> None:
    file = "if a:\n    b = 1\n    c = 2\n"
    with pytest.raises(ValueError, match="though each of its lines is"):
        apply(file, [Block(None, "b = 1\n    c = 2\n", "pass\n")])


def test_blocks_that_touch_the_same_lines_are_refused_and_one_that_is_said_twice_counts_once() -> None:
    with pytest.raises(ValueError, match="two blocks change line 2"):
        apply("a\nb\nc\n", [Block(None, "a\nb\n", "x\n"), Block(None, "b\nc\n", "y\n")])
    twice = Block(None, "b\n", "y\n")
    assert apply("a\nb\nc\n", [twice, twice]) == "a\ny\nc\n"


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        ("a.py\n<<<<<<< SEARCH\nx = 1\n=======\nx = 2\n", "block 1 is not whole: expected >>>>>>> REPLACE"),
        ("a.py\n<<<<<<< SEARCH\nx = 1\nx = 2\n>>>>>>> REPLACE\n", "expected =======, got >>>>>>> REPLACE"),
        (block("x = 1\n", "x = 2\n=======\nx = 3\n", "a.py"), "expected >>>>>>> REPLACE, got ======="),
        (block("x = 1\n", "x = 2\n", "a.py") + "<<<<<<< SEARCH\ny = 1\n", "block 2 is not whole"),
    ],
)  # fmt: skip
def test_a_block_that_is_not_whole_spoils_the_reply(reply: str, why: str) -> None:
    stage, detail = fault(reply)
    assert stage == "parse" and why in detail


@pytest.mark.parametrize(
    "line", ["...", "    ...", "# ... as before", "// … rest", "# rest of the program", "# Existing code"]
)
def test_code_that_is_left_out_is_refused(line: str) -> None:
    stage, detail = fault(block("x = 1\n", f"{line}\nx = 2\n", "a.py"))
    assert stage == "apply" and "left out" in detail
    found = read(TREE, TERRITORY, f"```python a.py\n{line}\nx = 2\n```")
    assert isinstance(found, Fault) and "left out" in found.failure.detail
    there = {"a.txt": f"{line}\nx = 1\n".encode()}
    mine = made(block("x = 1\n", "x = 2\n"), there, Territory(there, ["*"]))
    assert mine["a.txt"] == f"{line}\nx = 2\n".encode()


UNIFIED = """Two at once.
```diff
--- a/sub/b.py
+++ b/sub/b.py
@@ -1,2 +1,2 @@
-y = 1
+y = 5
 z = 2
```
"""


def test_a_unified_diff_is_read() -> None:
    assert made(UNIFIED)["sub/b.py"] == b"y = 5\nz = 2\n"
    assert made(UNIFIED.replace("```diff\n", "").replace("```\n", ""))["sub/b.py"] == b"y = 5\nz = 2\n"
    new = "--- /dev/null\n+++ b/new.py\n@@ -0,0 +1,2 @@\n+a = 1\n+b = 2\n"
    assert made(new)["new.py"] == b"a = 1\nb = 2\n"
    gone = "--- a/a.py\n+++ /dev/null\n@@ -1 +0,0 @@\n-x = 1\n"
    assert "a.py" not in made(gone)


def test_fences_inside_a_program_are_its_own() -> None:
    files = {"a.py": b'"""Say\n```\nhello\n```\n"""\nx = 1\n'}
    new = '"""Say\n```\nbye\n```\n"""\n'
    reply = "```python a.py\n" + block("```\nhello\n", "```\nbye\n") + "```\n"
    assert made(reply, files, Territory(files, ["*"]))["a.py"] == new.encode() + b"x = 1\n"


def test_files_are_changed_added_and_deleted_by_path() -> None:
    reply = (
        block("x = 1\n", "x = 2\n", "`a.py`")
        + block("", "w = 3\n", "sub/new.py")
        + "<<<<<<< DELETE sub/b.py\n"
    )
    assert made(reply) == {"a.py": b"x = 2\n", "sub/new.py": b"w = 3\n", "notes.txt": b"fixed\n"}
    whole = "Whole.\n```python a.py\nx = 3\n```\n```python sub/new.py\nv = 1\n```\n<<<<<<< DELETE sub/b.py"
    found = read(TREE, TERRITORY, whole)
    assert isinstance(found, Made), found
    assert found.files == {"a.py": b"x = 3\n", "sub/new.py": b"v = 1\n", "notes.txt": b"fixed\n"}


@pytest.mark.parametrize(
    ("reply", "stage", "why"),
    [
        (block("fixed\n", "mine\n", "notes.txt"), "inside", "notes.txt: changed, but it is not editable"),
        (block("", "x\n", "more.txt"), "inside", "more.txt: added, but it is not editable"),
        ("<<<<<<< DELETE notes.txt", "inside", "notes.txt: removed, but it is not editable"),
        ("<<<<<<< DELETE none.py", "apply", "expected a file to delete that is there, and not changed"),
        (block("", "x = 2\n", "a.py"), "apply", "without text fits everywhere"),
        (block("x = 1\n", "x = 2\n", "c.py"), "apply", "expected a file for each block"),
        (block("x = 1\n", "x = 2\n"), "apply", "one of a.py, sub/b.py, got none"),
        (block("", "x = 1\n", "../c.py"), "inside", "not a plain relative path"),
        (block("x = 1\n", "x = (\n", "a.py"), "compile", "a.py line 1"),
        (block("x = 1\n", "x = 1\n", "a.py"), "apply", "the parent itself"),
    ],
)  # fmt: skip
def test_what_may_not_be_is_refused_with_its_stage(reply: str, stage: str, why: str) -> None:
    assert fault(reply)[0] == stage and why in fault(reply)[1]


def test_a_long_reply_takes_no_longer_than_it_is_long() -> None:
    for piece in ("<<<<<<< SEARCH\n", "=======\n", "```\n", "~~~~\n", "@@ @@\n", "--- a\n", "+++ b\n", " \n"):
        found = read_changes(TREE, TERRITORY, piece * (200_000 // len(piece)))
        assert isinstance(found, Fault)


def test_line_ends_and_what_stands_at_the_end_survive_a_whole_file() -> None:
    files = {"a.py": b"# EVOLVE-BLOCK-START\r\nx = 1\r\n# EVOLVE-BLOCK-END\r\n\r\n"}
    found = read(
        files, Territory(files, ["*"]), "```python\n# EVOLVE-BLOCK-START\nx = 2\n# EVOLVE-BLOCK-END\n```"
    )
    assert isinstance(found, Made), found
    assert found.files["a.py"] == b"# EVOLVE-BLOCK-START\r\nx = 2\r\n# EVOLVE-BLOCK-END\r\n\r\n"
