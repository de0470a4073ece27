"""The prompt that a model gets and what is made of its reply, over real HTTP as well."""

import numpy as np
import pytest
import talking
from openai_server import Answer, serving

from evolve.models.litellm import LiteLLM, Settings
from evolve.models.scripted import Scripted
from evolve.operators.reading import read
from evolve.operators.rewrite import Rewrite
from evolve.operators.territory import Territory
from evolve.operators.view import View
from evolve.types import Evaluation, Failure, Parent, Trial, Variant

FILES = {"program.py": b"def f(x):\n    return x\n", "notes.txt": b"fixed"}
TERRITORY = Territory(FILES, ["*.py"])


class Problem:
    statement = "Sort {numbers} fast."
    sign = -1

    def __init__(self):
        self.documents = {}


def parent(files=FILES, evaluation=None):
    trial = Trial(3, 2, "syntax", (), "3-abcdef", "evaluated", -4.25, (-4.25,), evaluation=evaluation)
    return Parent(Variant("3-abcdef", files), trial)


def proposed(model, files=FILES, territory=TERRITORY):
    return talking.proposed(Rewrite(View(Problem(), territory)), [parent(files)], 0, model)


def prompt(parent, territory=TERRITORY):
    view = View(Problem(), territory)
    return view.prompt(
        view.template("rewrite", ("change", "size")),
        [parent],
        np.random.default_rng(0),
        change="Do X.",
        size="one line",
    )


def test_the_prompt_holds_what_a_model_needs_and_no_more():
    failures = (Failure("timeout", "5.0 s"), None)
    text = prompt(parent(evaluation=Evaluation((9.0, 1.0), failures, (5.0, 0.1), {}, "slow")))
    for part in ("Sort {numbers} fast.", "scores 4.25 (less is better)", "1 of 2 cases fail, the first: 5.0",
                 "slow", "```python program.py\ndef f(x):\n    return x\n```", "Do X."):  # fmt: skip
        assert part in text
    assert "fixed" not in text and "EVOLVE-BLOCK" not in text
    assert len(text.split()) < 100


def test_blocks_are_mentioned_where_there_are_any():
    files = {"p.py": b"# EVOLVE-BLOCK-START\nx = 1\n# EVOLVE-BLOCK-END\n"}
    assert "EVOLVE-BLOCK markers" in prompt(parent(files), Territory(files, ["*"]))


NEW = "def f(x):\n    return 2 * x\n"


@pytest.mark.parametrize(
    "reply",
    [
        f"Twice.\n\n```python program.py\n{NEW}```\n",
        f"```python\n{NEW}```",
        f"```\n{NEW}```\ntrailing words",
        f"**program.py**\n```py\n{NEW}```",
        f"### `program.py`:\n\n~~~python\n{NEW}~~~",
        f"An example:\n```python\nf(1)\n```\nand the file:\n```python\n{NEW}```",
        f"```program.py\n{NEW}```",
        f"````python program.py\n{NEW}````",
    ],
)
def test_a_file_is_found_in_any_usual_form_of_reply(reply):
    assert read(FILES, TERRITORY, reply).files == {**FILES, "program.py": NEW.encode()}


@pytest.mark.parametrize(
    ("reply", "kind", "why"),
    [
        ("I cannot do that.", "model", "no fenced code block"),
        ("```python program.py\nunfinished", "model", "not closed"),
        (f"```python program.py\n{FILES['program.py'].decode()}```", "model", "the parent itself"),
        ("```python program.py\ndef f(:\n```", "model", "program.py line 1"),
        (f"```python program.py\n{NEW}```\n```text ../x.py\n1\n```", "refused", "not a plain relative path"),
    ],
)
def test_a_reply_that_cannot_be_used_says_why(reply, kind, why):
    failure = read(FILES, TERRITORY, reply).failure
    assert failure.kind == kind and why in failure.detail


def test_with_several_files_a_block_must_name_its_own():
    files = {"a.py": b"x = 1\n", "b.py": b"y = 1\n"}
    territory = Territory(files, ["*"])
    assert read(files, territory, "```python\nx = 2\n```").failure.kind == "model"
    both = read(files, territory, "```python a.py\nx = 2\n```\n`b.py`\n```python\ny = 2\n```")
    assert both.files == {"a.py": b"x = 2\n", "b.py": b"y = 2\n"}


def test_the_exchange_is_kept_with_the_child_and_with_the_failure():
    model = Scripted([f"Doubles it.\n```python\n{NEW}```", "no"], usd=0.25)
    child, failed = proposed(model), proposed(model)
    assert child.files["program.py"] == NEW.encode() and child.idea == "Doubles it." and child.usd == 0.25
    assert failed.files is not None and failed.details == {"failed": ["parse"]} and failed.usd == 0.5
    lost = proposed(Scripted(["no"], usd=0.25))
    assert lost.files is None and lost.failure.kind == "model" and lost.usd == 0.75


def test_a_prompt_longer_than_its_price_allows_for_is_not_sent():
    model = Scripted(["no"])
    long = {"program.py": b"#" * 20_000 + b"\nx = 1\n"}
    made = proposed(model, long)
    assert made.files is None and "a prompt of 20" in made.failure.detail and not model.prompts
    proposed(model, long, Territory(long, ["*.py"]))
    assert model.prompts


def test_what_a_late_reply_may_have_cost_is_counted():
    with serving(lambda *_: Answer("late", delay_seconds=10.0)) as server:
        settings = Settings(api_base=server.url, api_key="none", seconds=0.3, pause=0.01)
        made = proposed(LiteLLM("openai/gpt-4.1-mini", settings))
    assert made.failure.kind == "model" and made.usd > 0


def test_a_child_over_http_with_its_cost():
    with serving(lambda *_: Answer(f"Doubles it.\n```python\n{NEW}```")) as server:
        made = proposed(LiteLLM("openai/gpt-4.1-mini", Settings(api_base=server.url, api_key="none")))
    assert made.files["program.py"] == NEW.encode() and made.files["notes.txt"] == b"fixed"
    assert made.usd > 0 and "program.py" in server.requests[0]["messages"][0]["content"]


def test_a_busy_provider_costs_the_attempt_and_not_the_run():
    with serving(lambda *_: Answer("busy", 429)) as server:
        settings = Settings(api_base=server.url, api_key="none", tries=2, pause=0.01)
        made = proposed(LiteLLM("openai/gpt-4.1-mini", settings))
    assert made.files is None and made.failure.kind == "model" and "2 tries" in made.failure.detail
