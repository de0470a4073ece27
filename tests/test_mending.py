"""Replies that cannot be used go back with the error: every kind of them, inside the budget, counted."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping

import numpy as np
import pytest
import talking

from evolve.models.desk import Desk
from evolve.models.purse import Limits, Purse
from evolve.models.scripted import Scripted
from evolve.operators.diff import Diff
from evolve.operators.mending import TRIES, Fault
from evolve.operators.patch import apply
from evolve.operators.prompts import template
from evolve.operators.reading import read_changes as read
from evolve.operators.replies import Block, take_apart
from evolve.operators.rewrite import Rewrite
from evolve.operators.territory import Territory
from evolve.operators.view import View
from evolve.types import BadInput, Conversation, Failure, Files, Parent, Trial, Variant

SOURCE = "def f(x):\n    y = x + 1\n    return y\n\n\ndef g(x):\n    return x\n"
FILES = {"program.py": SOURCE.encode()}
TERRITORY = Territory(FILES, ["*.py"])


class Problem:
    """A statement and, where it is given, prompts of its own."""

    statement = "Count."
    sign = 1

    def __init__(self, documents: Mapping[str, bytes] | None = None) -> None:
        self.documents: Files = documents or {}


PARENT = Parent(Variant("0-abcdef", FILES), Trial(0, 0, "seed", (), "0-abcdef", "evaluated", 1.0, (1.0,)))


def block(old: str, new: str) -> str:
    return f"<<<<<<< SEARCH\n{old}=======\n{new}>>>>>>> REPLACE\n"


GOOD = f"Adds two.\n{block('    y = x + 1' + chr(10), '    y = x + 2' + chr(10))}"
BROKEN = [
    "",
    "I would rather not.",
    "<html><body>502 Bad Gateway</body></html>",
    "z" * 200_000,
    "程序已经很好了。" * 10,
    block("    y = x + 3\n", "    y = 4\n"),  # not there
    block("    return", "    return 1\n"),  # half a line
    block("    y = x + 1\n", "    y = x + 1\n"),  # no change
    block("    y = x + 1\n", "    y = (\n"),  # no program
    "other.txt\n" + block("a\n", "b\n"),  # no such file
]


@pytest.mark.parametrize("reply", BROKEN, ids=range(len(BROKEN)))
def test_a_broken_reply_goes_back_with_its_error_and_is_mended(reply: str) -> None:
    model = Scripted([reply, GOOD], usd=0.1)
    made = talking.proposed(Diff(View(Problem(), TERRITORY)), [PARENT], 0, model)
    assert made.files is not None and b"y = x + 2" in made.files["program.py"]
    assert made.idea == "Adds two." and len(made.details["failed"]) == 1 and made.usd == pytest.approx(0.2)
    first, second = model.prompts
    assert first in second and "That cannot be used: " in second and len(second) < len(first) + 7_000


def test_three_of_ten_broken_replies_lose_next_to_no_child() -> None:
    rng = np.random.default_rng(0)
    kinds = itertools.cycle(BROKEN)
    model = Scripted(lambda prompt: next(kinds) if rng.random() < 0.3 else GOOD)
    operator = Diff(View(Problem(), TERRITORY))
    made = [talking.proposed(operator, [PARENT], seed, model) for seed in range(200)]
    assert sum(each.files is not None for each in made) >= 190
    assert all(each.failure is not None for each in made if each.files is None)
    assert 40 < sum(len(each.details.get("failed", ())) for each in made) < 140


def test_it_ends_after_a_few_tries_and_inside_the_budget() -> None:
    lost = talking.proposed(Diff(View(Problem(), TERRITORY)), [PARENT], 0, Scripted(["no"]))
    assert lost.failure is not None and "no SEARCH" in lost.failure.detail
    assert len(lost.exchanges) == TRIES and lost.details == {"failed": ["parse"] * TRIES}
    model = Scripted(["no"])
    desk = Desk([model], Purse(Limits(calls=2)))
    conversation = Diff(View(Problem(), TERRITORY)).propose([PARENT], np.random.default_rng(0))
    cut = asyncio.run(desk.talk(desk.open(conversation, model.name, 1)))
    assert len(cut.exchanges) == 2 and cut.failure is not None and "no SEARCH" in cut.failure.detail


def test_a_child_that_is_not_new_is_asked_for_again() -> None:
    model = Scripted([GOOD, GOOD.replace("x + 2", "x + 3")])
    desk = Desk([model])
    talk = desk.open(
        Diff(View(Problem(), TERRITORY)).propose([PARENT], np.random.default_rng(0)), model.name, 1
    )
    first = asyncio.run(desk.talk(talk))
    assert first.failure is None and first.files is not None
    assert talk.mends(Failure("duplicate", "3-abcdef"))
    second = asyncio.run(desk.talk(talk))
    assert second.files is not None and b"x + 3" in second.files["program.py"]
    assert second.details == {"failed": ["new"]} and len(second.exchanges) == 2
    assert "tried already" in model.prompts[1]


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("    y = x + 1\n", "    y = x + 2\n", "    y = x + 2\n    return y\n\n"),
        ("y = x + 1\nreturn y\n", "if x:\n    return 1\n", "    if x:\n        return 1\n\n"),
        ("        y = x + 1\n", "        y = 0\n", "    y = 0\n    return y\n\n"),
        ("    y = x + 1   \n", "    y = 0\n", "    y = 0\n    return y\n\n"),
        ("```python\n    y = x + 1\n```\n", "```python\n    y = 0\n```\n", "    y = 0\n    return y\n\n"),
        ("    y = x + 1\n", "", "def f(x):\n    return y\n"),
    ],
)
def test_a_block_is_found_whatever_its_indentation_and_fences(old: str, new: str, what: str) -> None:
    assert what in apply(SOURCE, take_apart(block(old, new)).blocks)


@pytest.mark.parametrize(
    ("old", "why"),
    [
        ("    return x\n\n", "is not in the file: no line reads"),
        ("\n", "without text"),
        ("    z = 9\n", "is not in"),
    ],
)
def test_a_block_that_fits_nowhere_says_so(old: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        apply(SOURCE.replace("return x", "return  x"), [Block(None, old, "pass\n")])


def test_a_block_that_fits_twice_is_refused() -> None:
    twice = "a = 1\nb = 2\na = 1\n"
    with pytest.raises(ValueError, match="fits 2 places, lines 1, 3"):
        apply(twice, [Block(None, "a = 1\n", "a = 2\n")])
    assert apply(twice, [Block(None, "b = 2\na = 1\n", "a = 2\n")]) == "a = 1\na = 2\n"


def test_line_ends_of_the_file_stay_and_files_are_named_before_their_blocks() -> None:
    assert apply("a = 1\r\nb = 2\r\n", [Block(None, "a = 1\n", "a = 3\n")]) == "a = 3\r\nb = 2\r\n"
    files = {"a.py": b"x = 1\n", "b.py": b"x = 1\n"}
    territory = Territory(files, ["*"])
    reply = f"`b.py`\n{block('x = 1' + chr(10), 'x = 2' + chr(10))}"
    made = read(files, territory, reply)
    assert not isinstance(made, Fault) and made.files == {"a.py": b"x = 1\n", "b.py": b"x = 2\n"}
    assert isinstance(read(files, territory, reply.replace("`b.py`", "")), Fault)


def test_what_lies_outside_the_blocks_of_the_seed_is_refused() -> None:
    files = {"p.py": b"a = 1\n# EVOLVE-BLOCK-START\nb = 1\n# EVOLVE-BLOCK-END\n"}
    made = read(files, Territory(files, ["*"]), block("a = 1\n", "a = 2\n"))
    assert isinstance(made, Fault) and made.stage == "inside"


def test_a_problem_may_have_prompts_of_its_own() -> None:
    own = Problem({"prompts/rewrite.md": b"Mine: {program} {example}"})
    conversation: Conversation = Rewrite(View(own, TERRITORY)).propose([PARENT], np.random.default_rng(0))
    assert conversation.send(None).prompt.startswith("Mine: ```python program.py")  # type: ignore[union-attr]
    with pytest.raises(BadInput, match=r"prompts/rewrite.md: expected text whose fields .*got \{secret\}"):
        Rewrite(View(Problem({"prompts/rewrite.md": b"{secret}"}), TERRITORY))
    with pytest.raises(BadInput, match=r"prompts/again.md"):
        template("again", Problem({"prompts/again.md": b"{"}), ("question", "reply", "error"))


def test_the_edits_asked_for_are_small_mostly_and_large_at_times() -> None:
    long = {"program.py": b"".join(b"x%d = %d\n" % (n, n) for n in range(200))}
    operator = Diff(View(Problem(), Territory(long, ["*"])))
    parent = Parent(Variant("0-abcdef", long), PARENT.trial)
    asked = [operator.propose([parent], np.random.default_rng(seed)).send(None).prompt for seed in range(400)]  # type: ignore[union-attr]
    assert sum("Change one line" in prompt for prompt in asked) > 160
    sizes = [int(p.split("Change about ")[1].split()[0]) for p in asked if "Change about " in p]
    assert max(sizes) > 20
