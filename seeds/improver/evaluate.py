"""An improver is worth what programs gain by it; they are run apart from it and judged here."""

import importlib.util
import random
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
SEEN, UNSEEN = ("sat", "cut", "packing"), ("tour", "machines")  # search and gate; sealed
INSTANCES = 8
SELF_EDIT = "checked-7f3a"  # what the self-edit of the checks has to write
GOAL = """Improve program.py: its function solve(instance) should return answers that are worth more.

{what}
problem.py makes instances and says what an answer is worth; solve may take a second.
measure.py measures a program. Change program.py alone; it may import the standard library and problem."""


def part(path):
    """A module of this folder."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PROBLEMS = {name: part(HERE / "problems" / f"{name}.py") for name in (*SEEN, *UNSEEN)}
START = (HERE / "start.py").read_text()


def files(name):
    """What an improver finds in its folder."""
    problem = (HERE / "problems" / f"{name}.py").read_text()
    return {"program.py": START, "problem.py": problem, "measure.py": (HERE / "measure.py").read_text()}


def case(split, seed):
    names = UNSEEN if split == "sealed" else SEEN
    name = names[seed % len(names)]
    goal = GOAL.format(what=PROBLEMS[name].__doc__)
    return {"kind": "task", "problem": name, "draw": f"{split}-{seed}", "goal": goal, "files": files(name)}


def visible(case):
    return {key: case[key] for key in ("kind", "goal", "files") if key in case}


def checks():
    goal = f"Add the line # {SELF_EDIT} at the end of policy.toml and leave all else as it is."
    return [
        {"name": "own tests", "case": {"kind": "tests"}},
        {"name": "self-edit", "case": {"kind": "own", "goal": goal}, "tries": 3},
    ]


def instances(case):
    rng = random.Random(case["draw"])
    return [PROBLEMS[case["problem"]].instance(rng) for _ in range(INSTANCES)]


def exam(case, answer):
    if case["kind"] != "task":
        return {"files": {}, "entry": "", "cases": []}
    if not isinstance(answer, dict) or not isinstance(answer.get("program.py"), str):
        raise ValueError("it left no file program.py")
    made = {"program.py": answer["program.py"], "problem.py": files(case["problem"])["problem.py"]}
    return {"files": made, "entry": "program.py:solve", "cases": instances(case)}


def score(case, answer, results, asked):
    if case["kind"] == "tests":
        return float(answer == "passed")
    if case["kind"] == "own":
        whole = isinstance(answer, dict) and "agent.py" in answer
        edited = whole and f"# {SELF_EDIT}" in str(answer.get("policy.toml", "")).splitlines()[1:]
        return {"score": float(edited), "feedback": "it did not add a line to a file of its own"}
    problem, drawn = PROBLEMS[case["problem"]], instances(case)
    worth = [worth_of(problem, each, result) for each, result in zip(drawn, results, strict=True)]
    before = before_of(case, drawn)
    gain = (sum(worth) - sum(before)) / (len(drawn) - sum(before))
    return {
        "score": min(max(gain, 0.0), 1.0),
        "metrics": {"calls": asked["calls"], "tokens": asked["tokens"]},
        "feedback": f"{case['problem']}: {gain:.2f}",
    }


def worth_of(problem, instance, result):
    """Of what an untrusted program returned."""
    if not isinstance(result, list):
        raise ValueError(f"solve returned no list: {getattr(result, 'detail', type(result).__name__)}")
    return problem.value(instance, result)


def before_of(case, drawn):
    """What the program was worth that the improver was given."""
    problem = sys.modules["problem"] = PROBLEMS[case["problem"]]
    space = {"__name__": "program"}
    try:
        exec(compile(START, "start.py", "exec"), space)  # noqa: S102
    finally:
        del sys.modules["problem"]
    return [problem.value(each, space["solve"](each)) for each in drawn]
