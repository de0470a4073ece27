"""What each operator asks a language model, and what becomes of the reply."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import talking

from evolve import operators
from evolve.models.desk import Desk
from evolve.models.purse import Limits, Purse
from evolve.models.scripted import Scripted
from evolve.operators.hint import Hint
from evolve.operators.repair import Repair
from evolve.operators.territory import Territory
from evolve.operators.tune import Tune
from evolve.operators.view import View
from evolve.types import (
    BadInput,
    Chooses,
    Conversation,
    Evaluation,
    Failure,
    Files,
    Operator,
    Parent,
    Trial,
    Variant,
)

SOURCE = "RATE = 0.5\n\n\ndef f(x):\n    y = RATE * x + 3\n    return y\n"
FILES = {"program.py": SOURCE.encode()}
TERRITORY = Territory(FILES, ["*.py"])


class Problem:
    statement = "Count."
    sign = -1

    def __init__(self, documents: Mapping[str, bytes] | None = None) -> None:
        self.documents: Files = documents or {}


def view(documents: Mapping[str, bytes] | None = None) -> View:
    return View(Problem(documents), TERRITORY)


def parent(source: str = SOURCE, value: float | None = -4.25, id: str = "0-abcdef") -> Parent:
    trial = Trial(0, 0, "seed", (), id, "failed" if value is None else "evaluated", value)
    return Parent(Variant(id, {"program.py": source.encode()}), trial)


def whole(source: str, words: str = "This is the idea.") -> str:
    return f"{words}\n```python program.py\n{source}```\n"


def asked(name: str, *parents: Parent, seed: int = 0) -> str:
    model = Scripted([whole(SOURCE.replace("3", "4"))])
    talking.proposed(operators.ASKING[name](view()), parents, seed, model)
    return model.prompts[0]


@pytest.mark.parametrize("name", operators.ASKING)
def test_every_prompt_has_the_program_and_asks_for_an_idea_in_one_line(name: str) -> None:
    operator = operators.ASKING[name](view())
    prompt = asked(name, *[parent()] * operator.arity)
    assert (
        SOURCE in prompt
        and "Count." in prompt
        and "in\none line" in prompt.replace(" one line", "\none line")
    )
    assert "{" not in prompt and len(prompt.encode()) <= operator.prompt_bytes
    assert len(prompt.split()) < 260


@pytest.mark.parametrize("name", operators.ASKING)
def test_every_prompt_can_be_replaced_by_the_problem_and_only_by_one_that_can_be_filled_in(name: str) -> None:
    with pytest.raises(BadInput, match=rf"prompts/{name}.md: .*got \{{secret\}}"):
        operators.ASKING[name](view({f"prompts/{name}.md": b"{secret}"}))
    if name not in ("repair", "critic"):  # which ask this later, or of a failed child
        own = operators.ASKING[name](view({f"prompts/{name}.md": b"Mine: {program}"}))
        model = Scripted([whole(SOURCE + "# more\n")])
        talking.proposed(own, [parent()] * own.arity, 0, model)
        assert model.prompts[0].startswith("Mine: ```python program.py")


def test_a_blend_shows_both_programs_and_changes_the_first() -> None:
    second = parent(SOURCE.replace("0.5", "0.75"), -2.0, "1-abcdef")
    prompt = asked("blend", parent(), second)
    assert "RATE = 0.5" in prompt and "RATE = 0.75" in prompt
    assert "The first program scores 4.25, the second one 2 (less is better)." in prompt


def test_inventions_are_sought_in_many_ways() -> None:
    ways = {asked("invent", parent(), seed=seed).split("different idea. ")[1][:30] for seed in range(30)}
    assert len(ways) > 5


def test_how_much_to_change_has_a_heavy_tail() -> None:
    long = parent(SOURCE + "".join(f"x{n} = {n}\n" for n in range(200)))
    for name in ("rewrite", "diff", "blend"):
        made = operators.ASKING[name](view())
        prompts = []
        for seed in range(300):
            conversation = made.propose([long] * made.arity, np.random.default_rng(seed))
            prompts.append(next(conversation).prompt)  # type: ignore[arg-type, union-attr]
        assert sum("one line of" in prompt or "Change one line" in prompt for prompt in prompts) > 120
        sizes = [int(size) for prompt in prompts for size in re.findall(r"about (\d+) lines", prompt)]
        assert max(sizes) > 20


def test_a_simpler_program_must_be_smaller_and_says_by_how_much() -> None:
    larger, smaller = SOURCE.replace("3", "3 + 0"), SOURCE.replace(" + 3", "")
    model = Scripted([whole(larger), whole(smaller, "The constant has no effect.")])
    made = talking.proposed(operators.ASKING["simplify"](view()), [parent()], 0, model)
    assert made.files == {"program.py": smaller.encode()} and made.idea == "The constant has no effect."
    before, after = made.details["size"]
    assert after < before and made.details["failed"] == ["apply"]
    assert "not smaller" in model.prompts[1]


# ------------------------------------------------------------------------------------------------ repair


def failed(index: int, kind: str = "timeout", operator: str = "diff", model: str | None = "m") -> Trial:
    failure = Failure(kind, "over 5 s")  # type: ignore[arg-type]
    evaluation = Evaluation((9.0, 9.0), (failure, failure), (5.0, 5.0), feedback="2 of 2 cases failed")
    return Trial(
        index, 0, operator, ("0-abcdef",), f"{index}-abcdef", "failed", evaluation=evaluation,
        idea="Try every order.", model=model,
    )  # fmt: skip


def test_the_latest_failed_child_of_a_model_is_repaired_once() -> None:
    operator, rng = Repair(view()), np.random.default_rng(0)
    assert isinstance(operator, Chooses) and operator.choose(rng, ()) == ()
    told = [failed(1), failed(2), failed(3, model=None), failed(4, "machinery"), failed(5, "unclean")]
    for trial in told:
        operator.tell(trial)
    assert operator.choose(rng, ()) == ("0-abcdef", "2-abcdef")
    assert operator.choose(rng, ("2-abcdef", "0-abcdef")) == ("0-abcdef", "1-abcdef")
    mended = replace(failed(6, operator="repair"), parents=("0-abcdef", "2-abcdef"))
    operator.tell(mended)
    assert operator.choose(rng, ()) == ("0-abcdef", "1-abcdef"), "and one that a repair broke is given up"
    again = Repair(view())
    for trial in [*told, mended]:
        again.tell(trial)
    assert again.choose(rng, ()) == operator.choose(rng, ())


def test_a_repair_shows_the_failed_program_with_its_idea_and_what_went_wrong() -> None:
    broken = Parent(Variant("2-abcdef", {"program.py": SOURCE.replace("3", "g(3)").encode()}), failed(2))
    model = Scripted([whole(SOURCE.replace("3", "7"), "The loop never ended.")])
    made = talking.proposed(Repair(view()), [parent(), broken], 0, model)
    (prompt,) = model.prompts
    for part in ("g(3)", "Try every order.", "2 of 2 cases fail, the first: over 5 s", "scores 4.25"):
        assert part in prompt
    assert (
        made.idea == "The loop never ended." and made.files is not None and b"7" in made.files["program.py"]
    )


def test_without_a_failed_child_the_weakest_point_is_asked_for() -> None:
    assert "Fix the weakest point" in asked("repair", parent())


# ------------------------------------------------------------------------------------------------- hint

RANGES = "The rate decides.\n1: from 0.1 to 0.9, try 0.25\n- 2: 2 to 40\n"


def test_a_hint_is_a_child_with_the_values_to_try_and_tells_tune_where_to_look() -> None:
    model = Scripted([RANGES])
    made = talking.proposed(Hint(view()), [parent()], 0, model)
    assert "1: 0.5 in line 1, `RATE = 0.5`" in model.prompts[0] and "2: 3 in line 5" in model.prompts[0]
    assert made.files == {"program.py": SOURCE.replace("0.5", "0.25").replace("3", "21").encode()}
    assert made.idea == "The rate decides." and made.details["ranges"] == {"0": [0.1, 0.9], "1": [2.0, 40.0]}
    tune = Tune(TERRITORY)
    plain = [tune.propose([parent()], np.random.default_rng(seed)).details for seed in range(40)]
    trial = Trial(1, 0, "hint", ("0-abcdef",), "1-abcdef", "evaluated", -3.0, details=made.details, model="m")
    tune.tell(trial)
    hinted = [tune.propose([parent()], np.random.default_rng(seed)).details for seed in range(40)]
    inside = [0.1 <= each["numbers"][0] <= 0.9 and 2 <= each["numbers"][1] <= 40 for each in hinted if each]
    before = [0.1 <= each["numbers"][0] <= 0.9 and 2 <= each["numbers"][1] <= 40 for each in plain if each]
    assert sum(inside) > sum(before) and hinted != plain
    assert any(each["numbers"][1] > 12 for each in hinted if each), "in the range, however far"


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        ("Tune it all.", "no line as"),
        ("7: from 1 to 2", "expected a number from 1 to 2, got 7"),
        ("1: from 2 to 1", "expected a range from less to more"),
        ("1: from 1e999 to 2", "expected a range from less to more"),
        ("2: from 3.2 to 3.4", "a whole number in it"),
        ("1: from 0.1 to 0.9, try 0.5", "are those that the program has"),
    ],
)
def test_a_hint_that_cannot_be_used_says_why(reply: str, why: str) -> None:
    model = Scripted([reply, RANGES])
    made = talking.proposed(Hint(view()), [parent()], 0, model)
    assert made.files is not None and why in model.prompts[1]


def test_where_there_is_no_number_nobody_is_asked() -> None:
    plain = {"program.py": b"def f(x):\n    return x\n"}
    model = Scripted([RANGES])
    operator = Hint(View(Problem(), Territory(plain, ["*"])))
    made = talking.proposed(operator, [Parent(Variant("0-abcdef", plain), parent().trial)], 0, model)
    assert made.failure is not None and made.failure.kind == "no_child" and not model.prompts


# ------------------------------------------------------------------------------------------------ critic

DRAFT, AMENDED = (
    whole(SOURCE.replace("3", "5"), "Five of them."),
    whole(SOURCE.replace("3", "6"), "Six is better."),
)


def converse(operator: Operator, model: Scripted, limits: Limits) -> tuple[Files | None, list[str], str]:
    desk = Desk([model], Purse(limits))
    conversation = operator.propose([parent()], np.random.default_rng(0))
    assert isinstance(conversation, Conversation.__origin__)  # type: ignore[attr-defined]
    made = asyncio.run(desk.talk(desk.open(conversation, model.name, 1)))
    return made.files, model.prompts, made.idea


def test_a_critic_proposes_criticises_and_amends() -> None:
    model = Scripted([DRAFT, "It forgets the last case.", AMENDED])
    files, prompts, idea = converse(operators.ASKING["critic"](view()), model, Limits())
    assert files is not None and b"6" in files["program.py"] and idea == "Six is better."
    assert "Criticise" in prompts[1] and "+ 5" in prompts[1] and "Five of them." in prompts[1]
    assert "It forgets the last case." in prompts[2] and prompts[0] in prompts[2]


@pytest.mark.parametrize("calls", [1, 2])
def test_without_room_for_criticism_the_proposal_stands(calls: int) -> None:
    model = Scripted([DRAFT, "It forgets the last case.", AMENDED])
    files, prompts, _ = converse(operators.ASKING["critic"](view()), model, Limits(calls=calls))
    assert files is not None and b"5" in files["program.py"] and len(prompts) == calls


def test_an_amended_proposal_that_cannot_be_used_leaves_the_first() -> None:
    model = Scripted([DRAFT, "It forgets the last case.", "I would rather not.", "No.", "No."])
    files, prompts, idea = converse(operators.ASKING["critic"](view()), model, Limits())
    assert files is not None and b"5" in files["program.py"] and len(prompts) == 5 and idea == "Five of them."
