"""Bugs: a function of a library with one line changed, so that some of the library's own tests fail.

bugs.json, which bugs_manifest.py makes, names the changes and the arguments. The source is read from the
installed packages, toolz and boltons (BSD-3-Clause) and more-itertools (MIT); right is what the function
returned before.
"""

import ast
import copy
import functools
import hashlib
import importlib.util
import json
import random
from pathlib import Path

from evolve.types import BadInput

HERE = Path(__file__).resolve().parent
SHOWN, HIDDEN = 3, 10
STREAMS = {"search": 0, "gate": 1, "check": 2, "sealed": 3}
PARTS = 5  # of the functions: all bugs of one are on the same side
SHARE = {"search": (0,), "gate": (1, 2), "check": (1, 2), "sealed": (3, 4)}
TESTED = '''

def tested(*arguments, **keywords):
    """What {function} returns, as JSON: tuples and iterators are lists."""
    return json.loads(json.dumps({function}(*arguments, **keywords), default=list))
'''


@functools.cache
def manifest():
    return json.loads((HERE / "bugs.json").read_text())


@functools.cache
def sources():
    """Text of each module. Raises BadInput where one is not that of which the bugs were made."""
    found = {}
    for name, package in manifest()["packages"].items():
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            raise BadInput(
                "tasks bugs",
                f"{package['package']} installed (pip install 'evolve-code[tasks]')",
                "no such package",
            )
        for file, expected in package["files"].items():
            path = Path(spec.origin).parent / file
            data = path.read_bytes() if path.is_file() else b""
            if (sha := hashlib.sha256(data).hexdigest()) != expected:
                wanted = f"{file} of {package['package']} {package['version']} (sha256 {expected[:12]})"
                raise BadInput("tasks bugs", wanted, f"sha256 {sha[:12]}")
            found[f"{name}/{file}"] = data.decode()
    return found


@functools.cache
def bugs():
    """All of them, each with its number, its function and the part that it is in."""
    sources()
    found = [
        {**bug, "of": function, "part": place % PARTS}
        for place, function in enumerate(manifest()["functions"])
        for bug in function["bugs"]
    ]
    return [{**bug, "number": number} for number, bug in enumerate(found)]


def task(split, seed):
    mine = [bug for bug in bugs() if bug["part"] in SHARE[split]]
    rng = random.Random(f"bugs-{STREAMS[split]}-{seed}")
    return drawn(rng.choice(mine) if split in ("gate", "check") else mine[seed % len(mine)], rng)


def drawn(bug, rng):
    """The task of a bug, with some of its calls; what is shown and what is hidden tell the bug."""
    function = bug["of"]
    package = manifest()["packages"][function["module"].split("/")[0]]
    first, second = rng.sample(bug["told"], 2)
    others = [n for n in range(len(function["calls"])) if n not in (first, second)]
    rng.shuffle(others)
    shown = results(function, [first, *others[: SHOWN - 1]])
    goal = (
        f"Repair the function {function['name']} in the file solution.py: a bug got into one of its lines.\n"
        f"Of the tests of {package['package']} these fail since: {', '.join(bug['tests'])}.\n"
        "examples.json shows arguments of the function tested, which calls it, and the right results. "
        "Leave tested as it is; it is called with other arguments as well."
    )
    return {
        "id": f"bugs {bug['number']}",
        "goal": goal,
        "function": "tested",
        "files": {
            "solution.py": broken(bug),
            "examples.json": json.dumps({"function": "tested", "examples": shown}) + "\n",
        },
        "hidden": results(function, [second, *others[SHOWN - 1 :]][:HIDDEN]),
    }


def broken(bug):
    """The program with the bug in it."""
    return program(sources(), bug["of"]["module"], bug["of"]["name"], bug)


def results(function, numbers):
    """Some calls, with what the function returned before it had the bug."""
    space = {}
    exec(program(sources(), function["module"], function["name"]), space)  # noqa: S102
    found = []
    for number in numbers:
        arguments, keywords = function["calls"][number]
        result = space["tested"](*copy.deepcopy(arguments), **copy.deepcopy(keywords))
        found.append({"arguments": arguments, "keywords": keywords, "result": result})
    return found


def program(texts, module, name, bug=None):
    """A function with what it needs of its package, each statement as it stands there, and `tested`.

    Raises LookupError where it needs a name of the package in a way that this does not follow.
    """
    taken, wanted = {}, [(module, name)]
    while wanted:
        here, need = wanted.pop()
        for node in statements(texts[here]).get(need, ()):
            if (home := origin(here, node, need)) is not None:
                wanted.append((home, need))
                continue
            names = taken.setdefault(here, {}).setdefault(node, set())
            if not names and not isinstance(node, ast.Import | ast.ImportFrom):
                wanted += [(here, each.id) for each in ast.walk(node) if isinstance(each, ast.Name)]
            names.add(need)
    parts = ["import json"]
    for here, nodes in reversed(taken.items()):
        lines = texts[here].split("\n")
        if bug is not None and here == module:
            assert lines[bug["line"] - 1] == bug["before"]
            lines[bug["line"] - 1] = bug["after"]
        parts += [as_text(node, nodes[node], lines) for node in sorted(nodes, key=lambda node: node.lineno)]
    return "\n".join(parts).rstrip("\n") + "\n" + TESTED.format(function=name)


def as_text(node, names, lines):
    if isinstance(node, ast.Import | ast.ImportFrom):  # of what it imports, what is needed
        shorter = copy.copy(node)
        shorter.names = [each for each in node.names if bound_as(each) in names]
        return ast.unparse(shorter)
    start = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", ()))])
    text = "\n".join(lines[start - 1 : node.end_lineno])
    return f"\n\n{text}\n" if isinstance(node, ast.FunctionDef | ast.ClassDef) else text


@functools.lru_cache(64)
def statements(source):
    """Name -> the statements of a module that bind it."""
    found = {}
    for node in ast.parse(source).body:
        for name in names_bound(node):
            found.setdefault(name, []).append(node)
    return found


def origin(module, node, name):
    """The module of the same package from which a statement imports a name; None: it does not."""
    package = module.split("/")[0]
    if not isinstance(node, ast.ImportFrom) or (node.level == 0 and node.module.split(".")[0] != package):
        return None
    (alias,) = (each for each in node.names if bound_as(each) == name)
    path = (node.module or "").removeprefix(f"{package}.")
    if alias.asname not in (None, alias.name) or node.level > 1 or path in ("", package) or "." in path:
        raise LookupError(f"{module}: {ast.unparse(node)}")
    return f"{package}/{path}.py"


def names_bound(node):
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return {node.name}
    found = set()
    for each in ast.walk(node):
        if isinstance(each, ast.alias):
            found.add(bound_as(each))
        elif isinstance(each, ast.FunctionDef | ast.ClassDef):
            found.add(each.name)
        elif isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store):
            found.add(each.id)
    return found


def bound_as(alias):
    return alias.asname or alias.name.split(".")[0]


def papers(case):
    return [{"arguments": each["arguments"], "keywords": each["keywords"]} for each in case["hidden"]]


def solved(case, returned):
    try:
        return all(
            text(got) == text(each["result"]) for got, each in zip(returned, case["hidden"], strict=True)
        )
    except (TypeError, ValueError, RecursionError):  # a value that JSON does not have
        return False


def text(value):
    return json.dumps(value, sort_keys=True)
