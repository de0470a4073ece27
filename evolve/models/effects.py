"""A model of known effects: how well it answers follows from what the agent that asks it does, and is known.

It serves the machinery, not language models: whether a search finds what helps an agent, and a gate promotes
nothing else, can be checked from end to end, offline. It knows four kinds of prompts: a drill of
`seeds/scaffold`, a program of `seeds/improver`, an agent's files with the wish to improve them, a small
edit. A drill belongs, by its title, to one group:

    always        .14  answered well
    instruction   .20  only if the prompt speaks of edge cases
    tool          .20  only after a calculator was there to be used
    feedback      .20  only once the agent shows which examples failed
    vote          .24  each answer with probability .9 - .5 temperature; no two bad ones alike, and examples
                       do not tell them
    never         .02

Asked to improve an agent it makes one of some edits: four that help, the rest useless or harmful; as
`useless`, the useless ones alone. So an agent's share of solved drills is known: .236 for the seed, .20 more
for each of three edits, and .075 for a vote of five; .12 for a temperature of 0 instead of 1, alone.

Asked to improve a program it lets it guess four times as often as it does, or breaks it, so only an
improver that builds on the best so far gets far. It knows that edit of the seed; its others are useless.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

import numpy as np

from evolve.models import Amount, Price
from evolve.types import Exchange

SHARES = {"always": 0.14, "instruction": 0.2, "tool": 0.2, "feedback": 0.2, "vote": 0.24, "never": 0.02}
RIGHT = 0.4  # of the answers to a drill of the group `vote`, at a temperature of 1
COOLER = 0.5  # more of them are right, a degree below
SAMPLES = 5  # that the planted vote draws
PLANTED = ("instruction", "tool", "feedback", "vote")
HELPS = 0.3  # share of edits that are planted ones
HARMS = 0.2
REPLY_TOKENS = 4096  # at the most
SOUND = 0.75  # share of improved programs that are not broken
MORE, MOST_TRIES = 4, 1024

_FILE = re.compile(r"^=== FILE (\S+)\n(.*?)^=== END$", re.MULTILINE | re.DOTALL)
_DRILL = re.compile(r"Drill (\S+)\. .*?\nOf (.*?) in the list take (.*?); return (.*?)\.\n", re.DOTALL)
_TRIES = re.compile(r"^TRIES = (\d+)$", re.MULTILINE)
_LINE = re.compile(r"Add the line (.+) at the end of (\S+) and")
_KEPT = {
    "all numbers": "True",
    "the even numbers": "x % 2 == 0",
    "the odd numbers": "x % 2 == 1",
    "the positive numbers": "x > 0",
    "the negative numbers": "x < 0",
    "the numbers that are multiples of three": "x % 3 == 0",
}
_MADE = {
    "themselves": "x",
    "their squares": "x * x",
    "their absolute values": "abs(x)",
    "their doubles": "2 * x",
    "their last digits": "abs(x) % 10",
}
_TAKEN = {
    "the sum": "sum(found)",
    "the largest, or 0 where there is none": "max(found, default=0)",
    "the number of different values": "len(set(found))",
    "a list, in ascending order": "sorted(found)",
}

_ATTEMPT = '''    """Ask once, take what comes."""
    return changes_of(converse([said("user", asked)], files, model, policy))
'''
_RETRY = '''    """Ask, try the examples, and ask again with those that fail."""
    messages = [said("user", asked)]
    changes = {}
    for _ in range(1 + policy["retries"]):
        try:
            reply = converse(messages, files, model, policy)
        except RuntimeError:
            break
        changes = changes_of(reply)
        failing = load_tools()["examples"].use("", {**files, **changes})
        if not failing:
            break
        trouble = f"These examples fail:\\n{failing}\\nAnswer again."
        messages += [said("assistant", reply), said("user", trouble)]
    return changes
'''
_SOLVE = '''    """What to write: that of the first attempt."""
    return attempt(asked, files, model, policy)
'''
_VOTE = f'''    """What to write: what most of several attempts say."""
    found = []
    for _ in range({SAMPLES}):
        try:
            found.append(attempt(asked, files, model, policy))
        except RuntimeError:
            break
    texts = [repr(sorted(each.items())) for each in found]
    return max(found, key=lambda each: texts.count(repr(sorted(each.items()))), default={{}})
'''
_CALCULATOR = '''"""Arithmetic."""

ABOUT = "works out an expression of whole numbers"


def use(argument, files):
    """Its value."""
    if not set(argument) <= set("0123456789+-*/%() "):
        return "not an expression of whole numbers"
    return str(eval(argument))
'''
_SAME = "        asked = question(goal, files)\n"  # of the seed improver: the same question every time
_ONWARD = "        asked = question(goal, best(tried))\n"
_EDGES = "\nBefore you write a program think of its edge cases: nothing, zero, negative numbers.\n"


class KnownEffects:
    """Implements `evolve.models.Model`; its replies follow from prompt and seed alone."""

    price = Price(0.0, 0.0)
    context_tokens: int | None = None

    def __init__(self, name: str = "known-effects", useless: bool = False) -> None:
        self.name, self._useless = name, useless

    def most(self, prompt_bytes: int) -> Amount:
        """Nothing but tokens."""
        return Amount(0.0, prompt_bytes + REPLY_TOKENS, 1)

    async def complete(
        self,
        prompt: str,
        seed: int | None = None,
        form: str | None = None,
        temperature: float | None = None,
    ) -> Exchange:
        """Answer at once."""
        state = hashlib.sha256(f"{seed} {prompt}".encode()).digest()
        rng = np.random.default_rng(int.from_bytes(state[:8], "big"))
        reply = self._reply(prompt, rng, 1.0 if temperature is None else temperature)
        tokens = len(prompt.split()), min(len(reply.split()), REPLY_TOKENS)
        return Exchange(self.name, prompt, reply, 0.0, *tokens, parameters={"seed": seed})

    def close(self) -> None:
        """Nothing was started."""

    def _reply(self, prompt: str, rng: np.random.Generator, temperature: float) -> str:
        if (drill := _DRILL.search(prompt)) is not None:
            return _answer(drill, prompt, rng, temperature)
        files = {path: text for path, text in _FILE.findall(prompt) if path != "path"}
        if (line := _LINE.search(prompt)) is not None and line[2] in files:
            return _block(line[2], f"{files[line[2]]}{line[1]}\n")
        if (tries := _TRIES.search(files.get("program.py", ""))) is not None:
            return _more(files["program.py"], tries, rng)
        if "agent.py" not in files:
            return "There is nothing here that I know how to do."
        return _edit(files, rng, self._useless)


def group(title: str) -> str:
    """The group of a drill."""
    if title == "smoke":
        return "always"
    at = int.from_bytes(hashlib.sha256(title.encode()).digest()[:8], "big") / 2**64
    for name, share in SHARES.items():
        if at < share:
            return name
        at -= share
    return "never"


def right(temperature: float) -> float:
    """The share of good answers to a drill of the group `vote`."""
    return min(max(RIGHT + COOLER * (1 - temperature), 0.0), 1.0)


def ceiling(found: Mapping[str, bool], temperature: float = 1.0) -> float:
    """The share of drills that an agent with these of the planted edits solves."""
    good = right(temperature)
    solved = SHARES["always"] + sum(SHARES[name] for name in PLANTED[:3] if found.get(name))
    if not found.get("vote"):
        return solved + SHARES["vote"] * good
    wrong, n = 1 - good, SAMPLES
    alone = n * good * wrong ** (n - 1)  # one good answer among bad ones: the first of all is taken
    return solved + SHARES["vote"] * (1 - wrong**n - alone + alone / n)


def _answer(drill: re.Match[str], prompt: str, rng: np.random.Generator, temperature: float) -> str:
    kept, made, taken = _KEPT[drill[2]], _MADE[drill[3]], _TAKEN[drill[4]]
    good = f"def f(numbers):\n    found = [{made} for x in numbers if {kept}]\n    return {taken}\n"
    number = int(rng.integers(10**6))
    wrong = f"def f(numbers):\n    return 'no idea {number}'\n"
    match group(drill[1]):
        case "always":
            solved = True
        case "instruction":
            solved = "edge cases" in prompt
        case "tool":
            if "- calculator:" in prompt and "calculator says:" not in prompt:
                return "I have to work something out.\n=== TOOL calculator 6 * 7\n"
            solved = "calculator says:" in prompt
        case "feedback":
            solved = (
                "[assistant]" in prompt and "no idea" in prompt and "fail" in prompt.rpartition("[user]")[2]
            )
        case "vote":
            solved = bool(rng.random() < right(temperature))
            lines = good.split("\n")
            wrong = "\n".join([lines[0], f"    if not numbers:\n        return 'odd {number}'", *lines[1:]])
        case _:
            solved = False
    return "Here it is.\n" + _block("solution.py", good if solved else wrong)


def _more(program: str, tries: re.Match[str], rng: np.random.Generator) -> str:
    """The program that guesses more often, or never."""
    count = min(MORE * int(tries[1]), MOST_TRIES) if rng.random() < SOUND else 0
    return _block("program.py", f"{program[: tries.start(1)]}{count}{program[tries.end(1) :]}")


def _edit(files: Mapping[str, str], rng: np.random.Generator, useless: bool) -> str:
    """One edit of an agent, with its hypothesis."""
    agent, policy = files["agent.py"], files.get("policy.toml", "")
    task = files.get("prompts/task.md", "")
    number = int(rng.integers(10**6))
    if "prompts/improve.md" in files:
        if not useless and _SAME in agent and rng.random() < HELPS:
            why = "Each question can build on the best answer so far."
            return _said(why, {"agent.py": agent.replace(_SAME, _ONWARD)})
        return _said("A remark makes the code clearer.", {"agent.py": agent + f"# remark {number}\n"})
    planted = {
        "instruction": (
            "A word about edge cases saves programs that forget them.",
            {} if "edge cases" in task else {"prompts/task.md": task + _EDGES},
        ),
        "tool": (
            "A calculator keeps arithmetic out of the model's head.",
            {} if "tools/calculator.py" in files else {"tools/calculator.py": _CALCULATOR},
        ),
        "feedback": (
            "Examples that fail tell the model what is wrong.",
            {"agent.py": agent.replace(_ATTEMPT, _RETRY), "policy.toml": policy + "retries = 2\n"}
            if _ATTEMPT in agent
            else {},
        ),
        "vote": (
            "Right answers agree with each other, wrong ones do not.",
            {"agent.py": agent.replace(_SOLVE, _VOTE)} if _SOLVE in agent else {},
        ),
    }
    nothing = [
        ("A remark makes the code clearer.", {"agent.py": agent + f"# remark {number}\n"}),
        ("Politeness helps.", {"prompts/task.md": task + f"\nPlease. ({number})\n"}),
        ("A number to be tuned later.", {"policy.toml": policy + f"unused_{number} = 1\n"}),
    ]
    harm = [
        ("A shorter loop.", {"agent.py": agent.replace("def run(", f"def run{number}(")}),
        ("A stricter reader.", {"agent.py": agent.replace("return {path", "return {} and {path")}),
        ("Tests that always pass.", {"selftest.py": f"# {number}\n"}),
        ("A half-finished thought.", {"agent.py": agent + f"def (\n# {number}"}),
    ]
    draw = 1.0 if useless else rng.random()
    if draw < HELPS:
        why, changed = planted[PLANTED[int(rng.integers(len(PLANTED)))]]
        if changed:
            return _said(why, changed)
    if draw < HELPS + HARMS and draw >= HELPS:
        return _said(*harm[int(rng.integers(len(harm)))])
    return _said(*nothing[int(rng.integers(len(nothing)))])


def _said(why: str, changed: Mapping[str, str]) -> str:
    return "".join([_block("HYPOTHESIS.md", why + "\n"), *(_block(*each) for each in changed.items())])


def _block(path: str, text: str) -> str:
    return f"=== FILE {path}\n{text}=== END\n"
