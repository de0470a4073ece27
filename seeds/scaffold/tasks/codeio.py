"""CodeI/O (Li et al., 2025): function synthesis, from the file in the installed package `reasoning-gym`.

manifest.json names the problems that are deterministic, distinct and need the standard library alone, with
their digests. Arguments come from a problem's own generator with fresh seeds, results from its reference;
both stay here.
"""

import functools
import gzip
import hashlib
import importlib.util
import json
import random
from pathlib import Path

from evolve.types import BadInput

HERE = Path(__file__).resolve().parent
SHOWN, HIDDEN = 3, 10
STREAMS = {"search": 0, "gate": 1, "check": 2, "sealed": 3}
DEV = 5  # every fifth problem is for the search, all others for the gate


@functools.cache
def problems():
    """The problems of the manifest. Raises BadInput where the file is not the one that was filtered."""
    spec = importlib.util.find_spec("reasoning_gym")
    if spec is None or spec.origin is None:
        raise BadInput(
            "tasks codeio", "reasoning-gym installed (pip install 'evolve-code[tasks]')", "no such package"
        )
    data = (Path(spec.origin).parent / "data" / "codeio.jsonl.gz").read_bytes()
    manifest = json.loads((HERE / "manifest.json").read_text())["codeio"]
    if (found := hashlib.sha256(data).hexdigest()) != manifest["sha256"]:
        expected = (
            f"codeio.jsonl.gz of reasoning-gym {manifest['version']} (sha256 {manifest['sha256'][:12]})"
        )
        raise BadInput("tasks codeio", expected, f"sha256 {found[:12]}")
    lines = [line for line in gzip.decompress(data).split(b"\n") if line.strip()]
    return [(number, json.loads(lines[number])) for number, _ in manifest["problems"]]


def task(split, seed):
    mine = [each for n, each in enumerate(problems()) if (n % DEV == 0) == (split == "search")]
    rng = random.Random(f"codeio-{STREAMS[split]}-{seed}")
    number, problem = mine[seed * 37 % len(mine)] if split == "search" else rng.choice(mine)
    space = load(problem)
    drawn = []
    while len(drawn) < SHOWN + HIDDEN:
        arguments = space["generate_inputs"](random.Random(rng.getrandbits(32)))
        drawn.append({"arguments": [], "keywords": arguments})
    for each in drawn:
        each["result"] = space["main_solution"](**json.loads(json.dumps(each["keywords"])))
    goal = (
        f"Write the file solution.py with a function main_solution({', '.join(drawn[0]['keywords'])}).\n"
        f"{problem['task_description']}\n\n{problem['input_output_spec']}\n\n"
        "It gets its arguments by name. examples.json shows some of them and the results."
    )
    shown = json.dumps({"function": "main_solution", "examples": drawn[:SHOWN]}, indent=1) + "\n"
    return {
        "id": f"codeio {number}",
        "goal": goal,
        "function": "main_solution",
        "files": {"examples.json": shown},
        "hidden": drawn[SHOWN:],
    }


def load(problem):
    """The reference and the generator of a problem."""
    space = {"Random": random.Random}
    exec(compile(f"{problem['code_sample']}\n\n{problem['input_generator']}", "codeio", "exec"), space)  # noqa: S102
    return space


def papers(case):
    return [{"arguments": [], "keywords": each["keywords"]} for each in case["hidden"]]


def solved(case, returned):
    return all(same(got, each["result"]) for got, each in zip(returned, case["hidden"], strict=True))


def same(one, other):
    """Equal as JSON, floats to six digits."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, int | float) and isinstance(other, int | float):
        return (
            one == other
            or abs(one - other) <= 1e-6 * max(abs(one), abs(other), 1e-3)
            or (one != one and other != other)
        )
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return {str(key) for key in one} == {str(key) for key in other} and all(
            same(each, {str(k): v for k, v in other.items()}[str(key)]) for key, each in one.items()
        )
    return one == other
