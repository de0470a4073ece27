"""Runs inside, with the scaffold: gives it a folder, and a model by calls; hands back the files."""

import os
import sys
import tempfile
from pathlib import Path

MOST_FILES = 64
SKIPPED = ("__pycache__", "harness.py")


class BudgetExhausted(RuntimeError):
    """The case may ask no more; the message says of what there is none left."""


class Model:
    """`complete(messages) -> text, usage`: the only way out."""

    def __init__(self, call):
        self._call = call

    def complete(self, messages, model=None, temperature=None):
        """Ask a model; `messages`: dicts of role (system, user, assistant) and content."""
        wishes = {"model": model, "temperature": temperature}
        wishes = {name: wish for name, wish in wishes.items() if wish is not None}
        told = self._call("complete", {"messages": messages, **wishes})
        if "error" not in told:
            return told["text"], {**told["usage"], "left": told["left"]}
        error = BudgetExhausted if told["error"] == "budget_exhausted" else ValueError
        raise error(f"{told['error']}: {told['detail']}")


def answer(case, entry, call):
    home = os.path.dirname(os.path.abspath(entry.__globals__["__file__"]))
    if case["kind"] == "tests":
        return tests(home, entry)
    files = read(home) if case["kind"] == "own" else case["files"]
    with tempfile.TemporaryDirectory(dir=home) as folder:
        write(files, folder)
        entry(case["goal"], Path(folder).resolve(), Model(call))
        return read(folder)


def tests(home, entry):
    sys.path.insert(0, home)
    import selftest

    for name, test in sorted(vars(selftest).items()):
        if name.startswith("test_"):
            test(entry)
    return "passed"


def read(folder):
    found = {}
    for here, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in SKIPPED and not name.startswith("tmp"))
        for name in sorted(names):
            path = os.path.join(here, name)
            if name not in SKIPPED and os.path.isfile(path) and not os.path.islink(path):
                with open(path, encoding="utf-8", errors="replace") as file:
                    found[os.path.relpath(path, folder)] = file.read()
    if len(found) > MOST_FILES:
        raise ValueError(f"{len(found)} files; at most {MOST_FILES}")
    return found


def write(files, folder):
    for name, text in files.items():
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
