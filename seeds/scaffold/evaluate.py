"""Tasks for an agent that edits files; what it writes is run apart from it and judged here."""

import importlib.util
import math
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
SELF_EDIT = "checked-7f3a"  # what the self-edit of the checks has to write


def part(path):
    """A module of this folder."""
    spec = importlib.util.spec_from_file_location(f"scaffold_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


WIRE = part(HERE / "exam.py")
SETTINGS = tomllib.loads((HERE / "tasks.toml").read_text())
SETS = {name: part(HERE / "tasks" / f"{name}.py") for name in sorted(set(SETTINGS["splits"].values()))}
SMOKE = part(HERE / "tasks" / "drills.py")


def case(split, seed):
    name = SETTINGS["splits"][split]
    return {"kind": "task", "set": name, **SETS[name].task(split, seed)}


def visible(case):
    return {key: case[key] for key in ("kind", "goal", "files") if key in case}


def checks():
    smoke = {"kind": "task", "set": "drills", **SMOKE.smoke()}
    goal = f"Add the line # {SELF_EDIT} at the end of policy.toml and leave all else as it is."
    every = [
        {"name": "own tests", "case": {"kind": "tests"}},
        {"name": "smoke task", "case": smoke, "tries": 3},
        {"name": "self-edit", "case": {"kind": "own", "goal": goal}, "tries": 3},
    ]
    return [each for each in every if each["name"] not in SETTINGS.get("checks", {}).get("without", ())]


def exam(case, answer):
    if case["kind"] != "task":
        return {"files": {}, "entry": "", "cases": []}
    if not isinstance(answer, dict) or not isinstance(answer.get("solution.py"), str):
        raise ValueError("it left no file solution.py")
    asked = [
        {
            "arguments": [WIRE.encode(each) for each in one["arguments"]],
            "keywords": {name: WIRE.encode(each) for name, each in one.get("keywords", {}).items()},
        }
        for one in set_of(case).papers(case)
    ]
    files = {"solution.py": answer["solution.py"]}
    return {"files": files, "entry": f"solution.py:{case['function']}", "cases": asked}


def score(case, answer, results, asked):
    if case["kind"] == "tests":
        return float(answer == "passed")
    if case["kind"] == "own":
        whole = isinstance(answer, dict) and "agent.py" in answer
        edited = whole and f"# {SELF_EDIT}" in str(answer.get("policy.toml", "")).splitlines()[1:]
        return {"score": float(edited), "feedback": "it did not add a line to a file of its own"}
    returned, trouble = [], []
    for number, result in enumerate(results):
        try:
            returned.append(WIRE.decode(result))
        except Exception:  # a failure of the program, or values in no form that exam.py makes
            trouble.append(f"hidden test {number}: {getattr(result, 'kind', 'no value')}")
    solved = not trouble and set_of(case).solved(case, returned)
    found = {"score": utility(solved, asked), "metrics": {"calls": asked["calls"], "tokens": asked["tokens"]}}
    if not solved:  # what it says goes into prompts: never an argument or a result
        why = trouble[0] if trouble else "it returns wrong values on hidden tests"
        found["feedback"] = f"{case['id']} ({first_line(case['goal'])}): {why}"
    return found


def utility(solved, asked):
    """Solved or not; with [utility] as in SICA: half for that, a quarter each for questions and time."""
    limits = SETTINGS.get("utility")
    if limits is None:
        return float(solved)
    cheap, fast = (1 - min(asked[name] / limits[name], 1) for name in ("calls", "seconds"))
    return 0.5 * solved + 0.25 * cheap + 0.25 * fast


def set_of(case):
    return SMOKE if case["set"] == "drills" else SETS[case["set"]]


def first_line(text):
    return text.strip().splitlines()[0][:120]


def same(one, other):
    """Equal, kinds and all; floats to nine digits."""
    if isinstance(one, float) and isinstance(other, float):
        return (
            one == other
            or math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)
            or (one != one and other != other)
        )
    if type(one) is not type(other):
        return False
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(each, other[key]) for key, each in one.items())
    return one == other
