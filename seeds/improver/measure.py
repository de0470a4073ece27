"""What a program is worth on eight instances."""

import random
import sys
import time
import types

INSTANCES = 8
SECONDS = 1.0  # for an instance; what takes longer is worth nothing


def measure(files):
    """Mean worth of what solve(instance) in files["program.py"] answers, at most 1; -1 where it fails."""
    problem = types.ModuleType("problem")
    exec(files["problem.py"], problem.__dict__)  # noqa: S102
    sys.modules["problem"] = problem
    found = []
    try:
        program = {"__name__": "program"}
        exec(files["program.py"], program)  # noqa: S102
        for number in range(INSTANCES):
            instance, began = problem.instance(random.Random(number)), time.monotonic()
            found.append(problem.value(instance, program["solve"](instance)))
            if time.monotonic() - began > SECONDS:
                return -1.0
    except Exception:
        return -1.0
    finally:
        sys.modules.pop("problem", None)
    return sum(found) / INSTANCES
