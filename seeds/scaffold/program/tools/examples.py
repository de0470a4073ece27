"""Runs the examples of a task."""

import contextlib
import io
import json

ABOUT = "runs solution.py on the examples in examples.json and says which of them fail"
SHOWN = 3


def use(argument, files):
    """Which examples fail, one a line; empty: none does, or there are none."""
    if "examples.json" not in files:
        return ""
    examples = json.loads(files["examples.json"])
    space, failing = {}, []
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(files.get("solution.py", ""), "solution.py", "exec"), space)
    except BaseException as error:
        return f"solution.py does not load: {type(error).__name__}: {error}"
    for example in examples["examples"]:
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                got = space[examples["function"]](*example["arguments"], **example.get("keywords", {}))
        except BaseException as error:
            got = f"{type(error).__name__}: {error}"
        if got != example["result"]:
            failing.append(f"{example}: got {got!r}"[:300])
    return "\n".join(failing[:SHOWN])
