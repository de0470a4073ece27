"""Writes bugs.json: `python seeds/scaffold/tasks/bugs_manifest.py DIR`, where DIR has unpacked distributions.

    pip download --no-deps --no-binary :all: -d DIR toolz==1.2.0 more-itertools==11.2.1 boltons==26.2.0

which are to be installed in the same versions, and pytest. The tests in DIR run once as they are, once with
the arguments of calls recorded (this file is the plugin), and again for each changed line. A change is a bug
if it ends in time, tests of its function fail, and two calls at least tell it from the function as it was.
"""

import ast
import collections
import copy
import functools
import hashlib
import importlib
import importlib.metadata
import inspect
import itertools
import json
import os
import pkgutil
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import bugs
from manifest import HARMLESS

HERE = Path(__file__).resolve().parent
TESTS = {"toolz": "toolz/tests", "more_itertools": "tests", "boltons": "tests"}
LICENSES = {"toolz": "BSD-3-Clause", "more_itertools": "MIT", "boltons": "BSD-3-Clause"}
FURTHER = {"unicodedata", "uuid", "textwrap", "warnings", "contextlib", "abc", "html", "binascii"}
MOST_LINES = 120  # of a program
MOST_BUGS = 2  # of a function, each on a line of its own
LEAST_CALLS, CALLS = 8, 16  # of a function: recorded ones, then others near them
MOST_BYTES = 240  # of the arguments of a call
MOST_ITEMS = 60  # of an iterator among them
A_TEST = 8  # calls kept of a function in one test
MOST_RESULT = 1_000
CALL_SECONDS = 0.5  # of the processor
MOST_SLOW = 3  # calls that take longer; then the function is left out
MOST_TESTS, TEST_SECONDS = 8, 30  # of a function, altogether
COMPARED = {
    ast.Lt: ("<", "<="), ast.LtE: ("<=", "<"), ast.Gt: (">", ">="), ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="), ast.NotEq: ("!=", "=="), ast.Is: ("is", "is not"), ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"), ast.NotIn: ("not in", "in"), ast.Add: ("+", "-"), ast.Sub: ("-", "+"),
    ast.Mult: ("*", "+"), ast.FloorDiv: ("//", "*"), ast.Mod: ("%", "//"),
    ast.And: ("and", "or"), ast.Or: ("or", "and"),
}  # fmt: skip
NAMED = {"min": "max", "max": "min", "any": "all", "all": "any"}


class Late(BaseException):
    """A call took too long."""


def late(*_):
    raise Late


# ---------------------------------------- a pytest plugin: what is called

RECORDED, TRIED, RAN = (collections.defaultdict(f) for f in (dict, int, dict))


def pytest_configure(config):
    """Record the calls of every function of the package at the top of a module."""
    if "RECORDED_PACKAGE" not in os.environ:
        return
    package = importlib.import_module(os.environ["RECORDED_PACKAGE"])
    modules = [
        importlib.import_module(f"{package.__name__}.{each.name}")
        for each in pkgutil.iter_modules(package.__path__)
        if not each.ispkg
    ]
    recording = {
        function: recorder(f"{package.__name__}/{module.__name__.split('.')[1]}.py:{name}", function)
        for module in modules
        for name, function in vars(module).items()
        if inspect.isfunction(function)
        and (function.__module__, function.__name__) == (module.__name__, name)
    }
    for module in [package, *modules]:
        for name, function in list(vars(module).items()):
            if inspect.isfunction(function) and function in recording:
                setattr(module, name, recording[function])


def pytest_runtest_setup(item):
    signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, 10)  # recording may try to read an iterator that never ends


def pytest_runtest_teardown(item):
    signal.setitimer(signal.ITIMER_REAL, 0)


def pytest_unconfigure(config):
    if "RECORDED_INTO" in os.environ:
        found = {key: {"calls": list(RECORDED[key]), "tests": list(RAN[key])} for key in RAN}
        Path(os.environ["RECORDED_INTO"]).write_text(json.dumps(found))


def recorder(key, function):
    @functools.wraps(function)
    def called(*arguments, **keywords):
        test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
        by_test = "test" in sys._getframe(1).f_globals.get("__name__", "")
        if test and by_test:
            RAN[key][test] = True
            TRIED[key, test] += 1
        if not (test and by_test) or TRIED[key, test] > A_TEST:
            return function(*arguments, **keywords)
        told, passed = [], []
        for each in arguments:
            if hasattr(each, "__next__"):
                told.append(list(itertools.islice(each, MOST_ITEMS)))
                passed.append(itertools.chain(told[-1], each))
            else:
                told.append(each)
                passed.append(each)
        try:
            text = json.dumps([told, keywords], default=plain, allow_nan=False)
        except (TypeError, ValueError):
            return function(*passed, **keywords)
        if len(text) <= MOST_BYTES:
            RECORDED[key][text] = True
        return function(*passed, **keywords)

    return called


def plain(value):
    """Collections that JSON does not have, as lists."""
    if isinstance(value, range | set | frozenset | collections.deque | collections.abc.MappingView):
        found = list(itertools.islice(value, MOST_ITEMS + 1))
        if len(found) <= MOST_ITEMS:
            return found
    raise TypeError


# ---------------------------------------- changes of a line


def changes(source, name):
    """(line, before, after) of each way to change one line of a function."""
    lines = source.split("\n")
    (function,) = (
        node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef) and node.name == name
    )
    found = set()
    for top in function.body:
        for node in ast.walk(top):
            for start, end, old, new in edits(node):
                if start[0] != end[0]:
                    continue
                # columns of the tree count bytes
                before = lines[start[0] - 1].encode()
                left, middle, right = before[: start[1]], before[start[1] : end[1]], before[end[1] :]
                pattern = rf"(?<![\w=<>!]){re.escape(old)}(?![\w=])" if old[0].isalpha() else re.escape(old)
                replaced, count = re.subn(pattern, lambda _, new=new: new, middle.decode(), count=1)
                after = (left + replaced.encode() + right).decode()
                if count and after != before.decode():
                    found.add((start[0], before.decode(), after))
    return sorted(found)


def edits(node):
    """(start, end, old, new): the text between two places in which `old` becomes `new`."""
    if isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        for one, other, operator in zip(sides, sides[1:], node.ops, strict=False):
            yield end_of(one), start_of(other), *COMPARED[type(operator)]
    elif isinstance(node, ast.BinOp) and type(node.op) in COMPARED:
        yield end_of(node.left), start_of(node.right), *COMPARED[type(node.op)]
    elif isinstance(node, ast.AugAssign) and type(node.op) in COMPARED:
        yield end_of(node.target), start_of(node.value), *COMPARED[type(node.op)]
    elif isinstance(node, ast.BoolOp):
        for one, other in itertools.pairwise(node.values):
            yield end_of(one), start_of(other), *COMPARED[type(node.op)]
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield start_of(node), start_of(node.operand), "not ", ""
    elif isinstance(node, ast.Constant) and type(node.value) in (int, bool):
        text = str(node.value)
        near = [not node.value] if isinstance(node.value, bool) else [node.value + 1, node.value - 1]
        for each in near:
            yield start_of(node), end_of(node), text, str(each)
    elif isinstance(node, ast.If | ast.While | ast.IfExp) and isinstance(node.test, ast.Name | ast.Call):
        text = ast.unparse(node.test)
        yield start_of(node.test), end_of(node.test), text, f"not {text}"
    elif isinstance(node, ast.Call):
        function = node.func
        name = getattr(function, "id", None) or getattr(function, "attr", None)
        if name in NAMED:
            yield start_of(function), end_of(function), name, NAMED[name]
        for each in node.keywords:
            if each.arg is not None and (node.args or len(node.keywords) > 1):
                text = f"{each.arg}={ast.unparse(each.value)}"
                yield start_of(node), end_of(node), f", {text}", ""
        if len(node.args) == 2 and all(isinstance(each, ast.Name) for each in node.args):
            one, other = (each.id for each in node.args)
            yield start_of(node.args[0]), end_of(node.args[1]), f"{one}, {other}", f"{other}, {one}"
    elif isinstance(node, ast.Break):
        yield start_of(node), end_of(node), "break", "continue"
    elif isinstance(node, ast.Continue):
        yield start_of(node), end_of(node), "continue", "break"


def start_of(node):
    return node.lineno, node.col_offset


def end_of(node):
    return node.end_lineno, node.end_col_offset


# ---------------------------------------- what is a task


def loaded(text):
    """call -> what the program returns, as text; None: it failed. Raises Late.

    Each in a process of its own: a loop in C heeds no signal but one that kills.
    """
    space = {}
    exec(compile(text, "program", "exec"), space)  # noqa: S102

    def asked(call):
        read, write = os.pipe()
        if (child := os.fork()) == 0:
            status = 1
            try:
                signal.setitimer(signal.ITIMER_PROF, CALL_SECONDS)
                os.write(write, json.dumps(answered(space["tested"], call)).encode())
                status = 0
            finally:
                os._exit(status)
        os.close(write)
        with os.fdopen(read) as file:
            found = file.read()
        if os.waitpid(child, 0)[1] != 0:
            raise Late
        return json.loads(found)

    return asked


def answered(function, call):
    arguments, keywords = json.loads(call)
    try:
        return json.dumps(function(*arguments, **keywords), sort_keys=True, allow_nan=False)[
            : MOST_RESULT + 1
        ]
    except MemoryError:
        raise
    except Exception:  # a changed function may raise anything, which is then what it does
        return None


def good_calls(text, original, recorded):
    """Calls with a short result, the same twice and in the library: recorded ones, then some near them."""
    rng = random.Random(text)
    ask, ask_again = loaded(text), loaded(text)
    rng.shuffle(recorded)
    nearby = (near(rng, rng.choice(recorded)) for _ in range(10 * CALLS))
    found, tried, slow = {}, set(), 0
    for call in itertools.chain(recorded, nearby):
        if call in tried or len(call) > MOST_BYTES:
            continue
        tried.add(call)
        try:
            result = ask(call)
            if result is not None and len(result) <= MOST_RESULT and result == ask_again(call):
                found[call] = result
        except Late:
            slow += 1
        if len(found) == CALLS or slow == MOST_SLOW:
            break
    of_library = elsewhere(original, list(found))
    return [call for call, other in zip(found, of_library, strict=True) if found[call] == other]


def elsewhere(text, calls):
    """What a program returns in a process that hashes otherwise."""
    script = (
        "import bugs_manifest, json, sys; text, calls = json.load(sys.stdin); "
        "json.dump([*map(bugs_manifest.loaded(text), calls)], sys.stdout)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        input=json.dumps([text, calls]),
        capture_output=True,
        text=True,
        cwd=HERE,
        env={**os.environ, "PYTHONHASHSEED": "1"},
    )
    return json.loads(done.stdout) if done.returncode == 0 else [None] * len(calls)


def near(rng, call):
    """The call with one of its values changed a little."""
    whole = json.loads(call)
    places = []

    def visit(holder, key):
        value = holder[key]
        places.append((holder, key))
        if isinstance(value, list | dict):
            for inner in range(len(value)) if isinstance(value, list) else list(value):
                visit(value, inner)

    for n in range(len(whole[0])):
        visit(whole[0], n)
    for name in whole[1]:
        visit(whole[1], name)
    if places:
        holder, key = rng.choice(places)
        holder[key] = altered(rng, holder[key])
    return json.dumps(whole)


def altered(rng, value):
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + rng.choice([-1, 1, 2])
    if isinstance(value, str | list) and value:
        at = rng.randrange(len(value))
        once = [
            value[:at] + value[at + 1 :],
            value[:at] + value[at : at + 1] + value[at:],
            value[::-1],
            value + value[:2],
        ]
        return copy.deepcopy(rng.choice(once))
    return value


def failing(folder, tests):
    """Which of these tests fail there. Raises TimeoutExpired."""
    lines = pytest(folder, tests, TEST_SECONDS).stdout.splitlines()
    failed = [line for line in lines if line.startswith(("FAILED", "SUBFAILED"))]
    return list(dict.fromkeys(re.search(r"\S+\.py::[\w:]+", line)[0] for line in failed))


def pytest(folder, words, seconds=None, **more):
    options = ["-q", "--tb=no", "-rf", "--maxfail=3", "-p", "no:cacheprovider", "-W", "ignore"]
    return subprocess.run(
        [sys.executable, "-B", "-m", "pytest", *options, *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=seconds,
        env={**os.environ, "PYTHONHASHSEED": "0", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **more},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (2**32, 2**32)),
    )


def recorded(folder, package):
    """ "module.py:function" -> its calls and the tests that call it."""
    with tempfile.TemporaryDirectory() as into:
        paths = os.pathsep.join([str(HERE), *sys.path])
        more = {"RECORDED_PACKAGE": package, "RECORDED_INTO": f"{into}/calls.json", "PYTHONPATH": paths}
        pytest(folder, ["-p", Path(__file__).stem, "--maxfail=0", TESTS[package]], **more)
        return json.loads(Path(into, "calls.json").read_text())


def fit(text):
    """Whether it imports only what gives the same results everywhere."""
    for node in ast.walk(ast.parse(text)):
        names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module if node.level == 0 else "."]
        if any(name.split(".")[0] not in (HARMLESS | FURTHER) - {"random"} for name in names):
            return False
    return text.count("\n") <= MOST_LINES


def bugs_of(folder, texts, module, name, calls, tests):
    """Changes of a function that its tests and at least two calls notice."""
    right = [*map(loaded(bugs.program(texts, module, name)), calls)]
    tried = changes(texts[module], name)
    random.Random(f"{module}:{name}").shuffle(tried)
    found = {}
    for line, before, after in tried:
        if line in found or len(found) == MOST_BUGS:
            continue
        bug = {"line": line, "before": before, "after": after}
        try:
            text = bugs.program(texts, module, name, bug)
            got = [*map(loaded(text), calls)]
            told = [n for n, pair in enumerate(zip(got, right, strict=True)) if tells(*pair)]
            if len(told) < 2:
                continue
            lines = texts[module].split("\n")
            lines[line - 1] = after
            (folder / module).write_text("\n".join(lines))
            failed = failing(folder, tests)
        except (Late, SyntaxError, MemoryError, subprocess.TimeoutExpired):
            continue
        finally:
            (folder / module).write_text(texts[module])
        if failed:
            digest = hashlib.sha256(text.encode()).hexdigest()[:16]
            found[line] = {**bug, "told": told, "tests": failed, "digest": digest}
    return [found[line] for line in sorted(found)]


def tells(got, right):
    """Whether a result is another one, as `!=` has it: 0 and 0.0 are the same."""
    return got is None or len(got) > MOST_RESULT or json.loads(got) != json.loads(right)


def functions_of(folder, package, texts):
    whole = pytest(folder, [TESTS[package]])
    assert whole.returncode == 0, whole.stdout
    for key, of in sorted(recorded(folder, package).items()):
        module, name = key.split(":")
        nodes = bugs.statements(texts[module]).get(name, ())
        if not of["calls"] or len(nodes) != 1 or not isinstance(nodes[0], ast.FunctionDef):
            continue
        try:
            text = bugs.program(texts, module, name)
        except LookupError:
            continue
        if not fit(text):
            continue
        original = bugs.TESTED.format(function=f"{module[:-3].replace('/', '.')}.{name}")
        original = f"import json, {module[:-3].replace('/', '.')}\n{original}"
        calls = good_calls(text, original, of["calls"])
        if len(calls) < LEAST_CALLS:
            continue
        if found := bugs_of(folder, texts, module, name, calls, of["tests"][:MOST_TESTS]):
            print(f"{key}: {len(found)}", file=sys.stderr, flush=True)
            yield {
                "module": module,
                "name": name,
                "calls": [json.loads(each) for each in calls],
                "bugs": found,
            }


def main(given):
    resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**32))  # a changed line may make lists without end
    packages, functions = {}, []
    for package in TESTS:
        version = importlib.metadata.version(package.replace("_", "-"))
        with tempfile.TemporaryDirectory() as copied:
            folder = Path(shutil.copytree(Path(given, f"{package}-{version}"), Path(copied, "it")))
            texts = {f"{package}/{path.name}": path.read_text() for path in (folder / package).glob("*.py")}
            functions += functions_of(folder, package, texts)
        packages[package] = {
            "package": package.replace("_", "-"),
            "version": version,
            "license": LICENSES[package],
            "files": {
                module.split("/")[1]: hashlib.sha256(text.encode()).hexdigest()
                for module, text in sorted(texts.items())
            },
        }
    rows = ",\n".join(json.dumps(each) for each in functions)
    text = f'{{"packages": {json.dumps(packages)},\n"functions": [\n{rows}\n]}}\n'
    (HERE / "bugs.json").write_text(text)
    print(f"{sum(len(each['bugs']) for each in functions)} bugs of {len(functions)} functions")


if __name__ == "__main__":
    main(sys.argv[1])
