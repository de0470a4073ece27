"""What every operator owes: pure given parents and generator, inside the territory, a child or a reason."""

import json
import subprocess
import sys
import warnings

import pytest
import talking
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evolve import operators
from evolve.models.scripted import Scripted
from evolve.operators.territory import Territory, compile_error
from evolve.types import BadInput, Limits, Operator, Parent, Trial, Variant

NAMES = sorted(operators.KNOWN)

PLAIN = '''import numpy as np


def select(current, home, unvisited, distances):
    """Give the next."""
    distance = distances[current, unvisited]  # to here
    to_home = distances[home, unvisited]
    left = len(unvisited) / len(distances)
    score = distance - 0.5 * to_home
    if left > 0.3:
        score = score + 2 * left
    return unvisited[np.argmin(score)]
'''
UNICODE = """# Größe, 数, 🙂
ä = 1.5
def größe(länge: float, breite: float) -> float:
    s = "🙂" * 3; fläche = länge * breite * 0.5 + ä  # 🙂 hinter Text
    return fläche if länge > 2 else fläche - breite / 3
"""
TABS = "def f(x, y):\n\tif x > 1:\n\t\tz = x * 2 + y\n\telse:\n\t\tz = y - 3\n\treturn z\n"
ODD = """import functools, math

@functools.lru_cache(maxsize=None)
def outer(n, scale=1.5):
    def inner(i):
        return math.sqrt(i) * scale + n
    total = 0.0
    for i in range(n):
        total += inner(i) if i % 2 else -inner(i)
    text = f"{total:.2f} of {n!r} and {scale * 2}"
    values = [x ** 2 for x in range(10) if x > 3]
    best = max(values, key=lambda v: v * scale)
    while total > 100: total /= 2; n -= 1
    with open("/dev/null") as f: pass
    try:
        a, (b, *c) = 1, (2, 3, 4)
    except ValueError as error:
        raise
    return (
        total  # spread over
        + best
        * (b - a)
    ), text, {"k": 1.5, **{}}, not total, values[1:-2]

class Thing:
    rate: float = 0.3
    async def work(self, x, *args, **kw):
        async for y in x:
            yield self.rate * y + len(args)
"""
BLOCKS = """fixed = 1.0
# EVOLVE-BLOCK-START
def f(x):
    return 2.5 * x + 1
# EVOLVE-BLOCK-END
def g(x): return f(x) * 7.25
def h(x):
    # EVOLVE-BLOCK-START
    y = x * 3
    return y + 4.5
    # EVOLVE-BLOCK-END
"""
# One by one, as the only number, so that every operator must meet it; the last ones are plain.
EXTREMES = ["1e999", "-1e999", "1e308", "1e15", "9223372036854775807", "-9007199254740992"]
EXTREMES += ["1" + "0" * 24, "0xFFFFFFFFFFFFFFFF", "9" * 401, "0x" + "F" * 4000, "5e-324", "1e-300"]
EXTREMES += [
    "2**63 - 1",
    "9007199254740991",
    "-999999999999999.9",
    "1e-12",
    "0.0",
    "-0.0",
    "1_000",
    "True",
    "3j",
]
HUGE = EXTREMES[:10]
SOURCES = {
    "plain": PLAIN,
    "unicode": UNICODE,
    "tabs": TABS,
    "crlf": PLAIN.replace("\n", "\r\n"),
    "odd": ODD,
    "blocks": BLOCKS,
    "no final newline": PLAIN.rstrip(),
    "only a docstring": '"""Nothing here."""\n',
    "no literals": "def f(a, b):\n    return a - b\n",
    "no syntax": "def f(:\n",
    "empty": "",
    "match": "def f(x):\n    match x:\n        case [a, b]:\n            return a + b * 2\n    return x\n",
    "form feed": "x = 1.5\n\f\ndef f(y):\n    return x * y + 2\n",
    "line continuation": "def f(a, b):\n    return a * \\\n        b + 3\n",
    "not utf-8": "# \udcff\ndef f(a):\n    return a + 1\n",
}


NUMBERS = "LIMIT = {0}\ndef f(x, y):\n    z = x * {0} + y\n    if z > {0}:\n        z = z - y\n    return z\n"


class Problem:
    statement = "Make it better."
    sign = -1
    entry, harness, limits, allowance = "", None, Limits(), None  # its programs are no agents

    def __init__(self, files, editable=("*",)):
        self.seed_files, self.editable, self.documents = files, editable, {}


def parent(files, value=1.0, id="0-abcdef"):
    trial = Trial(0, 0, "seed", (), id, "evaluated", value, (value,))
    return Parent(Variant(id, files), trial)


def create(name, files, editable=("*",)):
    return operators.create([name], Problem(files, editable), ["scripted"] * (name in operators.ASKING))[name]


def proposed(operator, parents, seed):
    text = next(iter(parents[0].variant.files.values())).decode(errors="replace")
    fewer = "\n".join(text.rstrip().split("\n")[:-1])
    reply = f"Add one.\n```python\n{text}\n# one\n```"
    replies = {
        "diff": f"Add one.\n<<<<<<< SEARCH\n{text}\n=======\n{text}\n# one\n>>>>>>> REPLACE",
        "simplify": f"The last line is not needed.\n```python\n{fewer}\n```",
        "hint": "The first number matters.\n1: from 0.25 to 1000.5, try 7.75",
    }
    return talking.proposed(operator, parents, seed, Scripted([replies.get(operator.name, reply)]))


def seeds(name, count):
    """Fewer for those whose replies are all the same."""
    return range(3 if name in operators.ASKING else count)


def files_of(source):
    return {"program.py": source.encode("utf-8", "surrogateescape")}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
@pytest.mark.parametrize("name", NAMES)
def test_a_child_is_new_compiles_and_stays_in_the_territory(name, source):
    files = files_of(source)
    operator, territory = create(name, files), Territory(files, ["*"])
    for seed in seeds(name, 30):
        one = proposed(operator, [parent(files)] * operator.arity, seed)
        assert (one.files is None) == (one.failure is not None)
        if one.files is None:
            assert one.failure.kind in ("no_child", "model", "refused") and one.failure.detail
            continue
        assert one.files != files and one.idea and "\n" not in one.idea
        assert territory.violation(one.files) is None
        assert compile_error(one.files["program.py"]) is None


@pytest.mark.parametrize("literal", EXTREMES, ids=lambda literal: literal[:20])
@pytest.mark.parametrize("name", NAMES)
def test_no_number_is_too_much_for_an_operator(name, literal):
    """Warnings are errors here, infinity and NaN are no JSON: nothing of that kind may come out."""
    one, other = files_of(NUMBERS.format(literal)), files_of(NUMBERS.format("2.5"))
    operator = create(name, one)
    for seed in seeds(name, 25):
        parents = [parent(one), parent(other, 2.0, "1-abcdef")][: operator.arity]
        made = proposed(operator, parents if seed % 2 else parents[::-1], seed)
        json.dumps(made.details, allow_nan=False)
        trial = Trial(seed + 1, 0, name, ("0-abcdef",), None, "failed", details=made.details)
        operator.tell(trial)
        if made.files is not None:
            assert compile_error(made.files["program.py"]) is None


@pytest.mark.parametrize("literal", HUGE, ids=lambda literal: literal[:20])
def test_a_mask_or_an_infinity_is_no_quantity(literal):
    files = files_of(f"def f(x):\n    return x + {literal} * 1.5 / 0.25\n")
    made = [proposed(create("tune", files), [parent(files)], seed).files for seed in range(20)]
    texts = [files["program.py"].decode() for files in made if files is not None]
    assert all(literal in text for text in texts)
    assert texts or len(literal) > 4000  # which Python itself could not write down again


@pytest.mark.parametrize("source", [PLAIN, UNICODE, ODD, BLOCKS])
@pytest.mark.parametrize("name", NAMES)
def test_the_same_parents_and_generator_give_the_same_child(name, source):
    files = files_of(source)
    for seed in seeds(name, 10):
        made = [proposed(op := create(name, files), [parent(files)] * op.arity, seed) for _ in range(2)]
        one, other = made
        assert (one.files, one.idea, one.failure, one.details) == (
            other.files, other.idea, other.failure, other.details,
        )  # fmt: skip
    assert (
        name in operators.ASKING
        or len({str(proposed(op, [parent(files)] * op.arity, seed).files) for seed in range(20)}) > 1
    )


@pytest.mark.parametrize("name", ["syntax", "crossover", "tune"])
def test_the_child_does_not_depend_on_the_hash_seed_of_the_process(name):
    code = (
        "import sys; sys.path.insert(0, 'tests'); import test_operator_conformance as t, hashlib\n"
        f"files = t.files_of(t.PLAIN); op = t.create({name!r}, files)\n"
        "made = [str(t.proposed(op, [t.parent(files)] * op.arity, s).files) for s in range(40)]\n"
        "print(hashlib.sha256(''.join(made).encode()).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1


@pytest.mark.parametrize("name", NAMES)
def test_only_editable_files_change_and_the_others_come_along(name):
    files = {"a.py": PLAIN.encode(), "sub/b.py": b"x = 1.5 + 2.5\n", "data.bin": b"\xff\x00"}
    operator = create(name, files, ["a.py"])
    for seed in seeds(name, 20):
        made = proposed(operator, [parent(files)] * operator.arity, seed)
        if made.files is not None:
            assert set(made.files) == set(files)
            assert {path for path in files if made.files[path] != files[path]} == {"a.py"}


@pytest.mark.parametrize("name", ["syntax", "crossover"])
def test_another_language_is_left_to_others(name):
    files = {"main.cpp": b"int main() { return 1; }\n"}
    made = proposed(create(name, files), [parent(files)] * 2, 0)
    assert made.files is None and made.failure.kind == "no_child"


@pytest.mark.parametrize("name", ["syntax", "crossover"])
def test_formatting_and_comments_outside_the_edit_stay(name):
    files = files_of(PLAIN.replace("\n", "\r\n"))
    operator = create(name, files)
    for seed in range(40):
        made = proposed(operator, [parent(files)] * operator.arity, seed)
        text = made.files["program.py"].decode()
        assert text.count("\n") == text.count("\r\n")
        assert "# to here" in text or "distance = " not in text


@pytest.mark.parametrize("name", NAMES)
def test_being_told_changes_no_parent_and_takes_any_trial(name):
    files = files_of(PLAIN)
    operator = create(name, files)
    for verdict in ("evaluated", "failed", "duplicate", "refused", "no_child"):
        value = 1.0 if verdict == "evaluated" else None
        operator.tell(Trial(1, 0, name, ("0-abcdef",), "1-abcdef", verdict, value))
        operator.tell(Trial(2, 0, "another", ("0-abcdef",), "2-abcdef", verdict, value))
    assert proposed(operator, [parent(files)] * operator.arity, 0).failure is None


@pytest.mark.parametrize("name", NAMES)
def test_it_has_what_the_loop_reads(name):
    operator: Operator = create(name, files_of(PLAIN))
    assert operator.name == name and operator.arity in (1, 2)
    assert (operator.prompt_bytes > 0) == (name in operators.ASKING)


LEAVES = ["a", "b", "xs", "1", "2.5", "-3", "xs[i]", "xs[0]", "len(xs)", "True", "None", "'s'", "i"]
TWO = ["({} + {})", "({} - {})", "({} * {})", "{} * {}", "{} - {}", "({} / {})", "({} ** {})", "({} < {})"]
TWO += ["({} == {})", "({} and {})", "({} or {})", "({} % {})", "({} @ {})", "({} in {})", "xs[{}:{}]"]
ONE = ["-{}", "not {}", "f({})", "({})", "[{} for i in xs]", "(lambda v: {})", "{{1: {}}}", "np.sqrt({})"]
ONE += ["({}).mean()", "(ä := {})", "f({}, key=2)", "np.zeros({})"]


def larger(inner):
    two = st.tuples(st.sampled_from(TWO), inner, inner).map(lambda parts: parts[0].format(*parts[1:]))
    one = st.tuples(st.sampled_from(ONE), inner).map(lambda parts: parts[0].format(*parts[1:]))
    three = st.tuples(inner, inner, inner).map(lambda parts: "({} if {} else {})".format(*parts))
    return st.one_of(two, one, three)


EXPRESSION = st.recursive(st.sampled_from(LEAVES), larger, max_leaves=8)
STATEMENT = st.one_of(
    EXPRESSION.map("a = {}".format),
    EXPRESSION.map("a += {}".format),
    EXPRESSION.map("xs[i] = {}".format),
    EXPRESSION.map("return {}".format),
    EXPRESSION.map("if {}: a = 1".format),
    EXPRESSION.map("for i in range(3): b = {}".format),
    EXPRESSION.map("ü = {}  # ß".format),
    EXPRESSION.map("a, b = b, {}".format),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    lines=st.lists(STATEMENT, min_size=1, max_size=6),
    name=st.sampled_from(["syntax", "crossover", "tune"]),
    seed=st.integers(0, 1000),
    newline=st.sampled_from(["\n", "\r\n"]),
)
def test_any_program_that_compiles_gives_children_that_compile(lines, name, seed, newline):
    source = newline.join(["import numpy as np", "def f(a, b, xs):", *(f"    {line}" for line in lines), ""])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if compile_error(source):
            return
    files = files_of(source)
    operator = create(name, files)
    made = proposed(operator, [parent(files)] * operator.arity, seed)
    if made.files is not None:
        assert compile_error(made.files["program.py"]) is None


def test_without_a_model_rewrite_is_left_out_by_default_and_refused_by_name():
    problem = Problem(files_of(PLAIN))
    assert list(operators.create(None, problem)) == ["syntax", "crossover", "tune"]
    asking = ["rewrite", "diff", "blend", "invent", "repair", "hint"]
    assert list(operators.create(None, problem, ["x"])) == ["syntax", "crossover", "tune", *asking]
    with pytest.raises(BadInput, match="at least one model"):
        operators.create(["rewrite"], problem)
    with pytest.raises(BadInput, match="--model: expected an operator that asks one"):
        operators.create(["syntax"], problem, ["x"])


def test_an_unknown_operator_is_bad_input_that_lists_the_known_ones_nearest_first():
    with pytest.raises(BadInput, match=r"operator: expected one of syntax, .*got sintax"):
        operators.create(["sintax"], Problem(files_of(PLAIN)))


@pytest.mark.parametrize(
    ("source", "why"),
    [("def f(:", "SyntaxError"), ("1 / 0", "ZeroDivisionError"), ("import no_such", "no_such"), ("", "Own")],
)
def test_a_module_of_ones_own_that_fails_is_bad_input(tmp_path, source, why):
    (tmp_path / "broken.py").write_text(source)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from populations.named import named\n"
        "from evolve.types import BadInput\n"
        "try: named('operator', 'broken:Own', {})\n"
        "except BadInput as error: print(error)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert "operator: expected an importable" in found.stdout and why in found.stdout


class Own:
    name, arity, prompt_bytes = "own", 1, 0

    def __init__(self, problem):
        self.problem = problem


def test_an_operator_of_ones_own_is_named_by_its_path():
    made = operators.create([f"{__name__}:Own", "tune"], Problem(files_of(PLAIN)))
    assert list(made) == ["own", "tune"]
