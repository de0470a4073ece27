"""Where the attacks of `hostile.py` are tried: a sandbox, a problem, and an eye on everything else.

    python tests/arena.py --write     # tries all at every level, rewrites the tables of docs/security.md

An attack has succeeded where its score is above that of an honest program, where something outside has
changed, or where the next honest program is answered otherwise than before.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import problem_folders
from hostile import ATTACKS, BARE, IN_VAIN, LEAKS, NOT_TRIED, SUCCEEDS, Attack, Leak
from processes import children

from evolve.types import Job, Limits, Program, RunError, Sandbox, Walls
from fitness.evaluation import ProblemFitness
from fitness.problem import load
from sandbox import open_sandbox, values

LEVELS: dict[str, Callable[[], Sandbox]] = {  # a level is one entry
    "single use": lambda: open_sandbox("docker"),  # each attack in a container of its own
    "docker": lambda: open_sandbox("docker"),
    "bubblewrap": lambda: open_sandbox("bubblewrap"),
    "landlock": lambda: open_sandbox("landlock"),
    BARE: lambda: open_sandbox(Walls(BARE, trusted=True)),
}
IN_DOCKER = ("single use", "docker")
WALLED = tuple(level for level in LEVELS if level != BARE)
DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "security.md"
TOOLS = Path(__file__).with_name("attackers_tools.py").read_bytes()
KEY = "EVOLVE_HOSTILE_KEY"

TOML = """
name = "hidden"
claim = "cases"
direction = "maximise"
range = [0, 10]
worst = 0

[program]
entry = "program.py:f"

[limits]
seconds = 20.0
memory_bytes = 268435456
calls = 4

[cases]
search = 3
sealed = 5
"""
EVALUATE = """
import hashlib, os, random, time
import numpy as np

KEY = os.urandom(16).hex()
HERE = {here}

def case(split, seed):
    chance = random.Random(f"{{KEY}} {{split}} {{seed}}")
    numbers = [chance.randrange(100) for _ in range(3)]
    return {{"index": seed, "numbers": numbers, "hidden": chance.getrandbits(60)}}

def visible(case):
    hint = hashlib.sha256(str(case["hidden"]).encode()).hexdigest()  # a program knows it when it has found it
    return HERE | {{"index": case["index"], "numbers": case["numbers"], "hint": hint}}

def handlers(case):
    return {{"ask": lambda argument: None}}, None

def score(case, answer, state):
    if isinstance(answer, list):
        return 10 if answer else 0
    if type(answer) not in (int, float):
        raise ValueError(f"expected a number, got {{str(answer)[:2000]}}")
    began = time.perf_counter()
    error = float(np.mean([answer != case["hidden"], answer != case["hidden"]]))
    if error == 0 or time.perf_counter() < began:
        return 10
    return 1 if answer == sum(case["numbers"]) else 0
"""
HONEST = Program(
    {
        "program.py": b"import numpy as np\nimport parts.tail\n"
        b"def f(case):\n    s = {'a', 'b', 'c', 'd'}\n"
        b"    return {'sum': float(np.sum(case)), 'order': list(s), 'tail': parts.tail.tail(case)}\n",
        "parts/tail.py": b"import os, random\nimport numpy as np\n"
        b"def tail(case):\n"
        b"    return [random.random(), sorted(os.environ), os.listdir(), float(np.random.rand())]\n",
    },
    "program.py:f",
)


@dataclass(frozen=True)
class Ending:
    """How an attack ended, as the table says it, and what was seen of it."""

    text: str
    seen: object


def files(of: Attack | Leak) -> dict[str, bytes]:
    """The program's files."""
    return {"program.py": of.source.encode(), "tools.py": TOOLS, **getattr(of, "files", {})}


class Arena:
    """One level: its sandbox, the problem, and what must stay as it is outside."""

    def __init__(self, level: str) -> None:
        self.level = level
        with contextlib.ExitStack() as stack:
            self._open(level, stack)
            self._stack = stack.pop_all()

    def _open(self, level: str, stack: contextlib.ExitStack) -> None:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="evolve-arena-")))
        folder.chmod(0o755)
        self._outside = folder / "outside"
        self._outside.mkdir()
        self._outside.chmod(0o777)
        canary = self._outside / "canary"
        canary.write_text("a canary\n")
        canary.chmod(0o666)
        os.utime(canary, (1, 1))
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=64))
        unix = stack.enter_context(socket.socket(socket.AF_UNIX))
        abstract = f"evolve-arena-{os.getpid()}-{level}"
        unix.bind("\0" + abstract)
        unix.listen(64)
        os.environ[KEY] = "s3cret"  # for what is started from here, and for another of the user's processes
        stack.callback(os.environ.pop, KEY, None)
        keeper = stack.enter_context(subprocess.Popen(["sleep", "1000"], stdout=subprocess.DEVNULL))
        stack.callback(keeper.kill)
        self._here = {
            "canary": str(canary), "folder": str(self._outside), "driver": os.getpid(),
            "keeper": keeper.pid, "key": KEY,
            "port": listener.getsockname()[1], "abstract": abstract, "host": os.uname().nodename,
            "release": os.uname().release,
            "memory": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        }  # fmt: skip
        evaluate = EVALUATE.format(here=json.dumps(self._here))
        seed = "def f(case):\n    return sum(case['numbers'])\n"
        self.problem = load(problem_folders.write(folder / "problem", TOML, evaluate, seed))
        self.sandbox = LEVELS[level]()
        stack.callback(self.sandbox.close)
        self.honest = self.answer_of_the_honest()

    def close(self) -> None:
        """End the sandbox, and remove what was set up."""
        self._stack.close()

    def attack(self, attack: Attack) -> Ending:
        """Try one, then see what became of everything else."""
        before = self._world()
        limits = replace(self.problem.limits, seconds=attack.seconds)
        fitness = ProblemFitness(replace(self.problem, limits=limits), self.sandbox)
        job = Job(
            files(attack),
            problem_folders.cases(attack.cases),
            keep_answers=True,
            alone=self.level == "single use",
        )
        try:
            evaluations = [fitness.evaluate(job) for _ in range(attack.jobs)]
        except RunError as error:  # a program's failure is a value: it has made one of the machinery
            return Ending(SUCCEEDS, error)
        failures = [failure for each in evaluations for failure in each.failures]
        seen = [[*each.scores, *each.failures, *each.answers] for each in evaluations]
        words = [failure.detail for failure in failures if failure]
        words += [line for each in evaluations for line in each.feedback.split("\n")]
        wrong = [
            *(f"score {score}" for each in evaluations for score in each.scores if score > 1),
            *(f"measured {s} s" for each in evaluations for s in each.seconds if s < attack.least_seconds),
            *(f"unreadable {text[:100]!r}" for text in words if not text.isprintable() or len(text) > 2000),
        ]
        if (after := self._world()) != before:
            wrong.append(f"outside: {before} became {after}")
        if (answer := self.answer_of_the_honest()) != self.honest:
            wrong.append(f"the next honest program answers {answer}")
        if wrong:
            return Ending(SUCCEEDS, (wrong, seen))
        kinds = {f"`{failure.kind}`" if failure else IN_VAIN for failure in failures}
        return Ending(", ".join(sorted(kinds, key=lambda kind: (kind != IN_VAIN, kind))), seen)

    def leaks(self, leak: Leak) -> bool:
        """Whether a documented exception is one here."""
        cases = [self._here | {"index": index} for index in range(2)]
        with self.sandbox.apart() if self.level == "single use" else contextlib.nullcontext():
            outcomes = self.sandbox.run(Program(files(leak), "program.py:f"), cases, Limits(seconds=20))
        answers = [outcome.failure or values.decode(outcome.answer or b"", 99) for outcome in outcomes]
        assert answers in ([True, True], [False, False]), answers
        return answers == [True, True]

    def answer_of_the_honest(self) -> bytes:
        """What an honest program answers, which never changes."""
        (outcome,) = self.sandbox.run(HONEST, [[0.5, 2, 3]], Limits(seconds=20, memory_bytes=256 << 20))
        assert outcome.answer is not None, outcome.failure
        return outcome.answer

    def _world(self) -> object:
        """What an attack must not change: a canary, the number of our processes, what lies about."""
        canary = self._outside / "canary"
        about = canary.stat()
        left = [
            f"{folder}/{name}"
            for folder in (
                "/",
                "/tmp",
                "/var/tmp",
                "/dev/shm",
                "/dev/mqueue",
                "/run",
                "/run/lock",
                "/usr/lib",
                "/etc",
            )
            if os.path.isdir(folder)
            for name in os.listdir(folder)
            if "left-by-a-job" in name
        ]
        left += [
            kind
            for kind in ("shm", "sem", "msg")
            if str(0x6C656674) in Path(f"/proc/sysvipc/{kind}").read_text().split()
        ]
        state = (canary.read_text(), about.st_mtime, about.st_mode, about.st_uid, about.st_nlink)
        return state, sorted(os.listdir(self._outside)), _descendants(os.getpid()), left


def _descendants(pid: int) -> int:
    """Number of processes below one."""
    return sum(1 + _descendants(child) for child in children(pid))


def document(endings: Mapping[tuple[str, str], str], leaks: Mapping[tuple[str, str], bool]) -> str:
    """docs/security.md with its tables made anew: endings by (attack, level), leaks by (sentence, level)."""
    attacks = [_row("", "attack", *LEVELS), _row("---", "---", *["---"] * len(LEVELS))]
    for number, attack in enumerate(ATTACKS, 1):
        cells = [endings.get((attack.name, level), NOT_TRIED) for level in LEVELS]
        attacks.append(_row(str(number), attack.tries, *cells))
    known = [_row("what a program learns or may do", *LEVELS), _row("---", *["---"] * len(LEVELS))]
    for leak in LEAKS:
        known.append(_row(leak.says, *["yes" if leaks[leak.says, level] else "no" for level in LEVELS]))
    text = DOCUMENT.read_text()
    for name, rows in (("attacks", attacks), ("leaks", known)):
        begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        text = f"{before}{begin}{''.join(rows)}{end}{after}"
    return text


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |\n"


def main() -> None:
    """Try everything; with `--write`, rewrite the tables."""
    endings, leaks = {}, {}
    for level in LEVELS:
        with contextlib.closing(Arena(level)) as arena:
            for attack in ATTACKS:
                if attack.expected(level) == NOT_TRIED:
                    continue
                ending = arena.attack(attack)
                endings[attack.name, level] = ending.text
                if ending.text != attack.expected(level):
                    seen = str(ending.seen)[:600]
                    print(f"{level}: {attack.name}: {ending.text}, not {attack.expected(level)}: {seen}")
            leaks |= {(leak.says, level): arena.leaks(leak) for leak in LEAKS}
    if "--write" in sys.argv:
        DOCUMENT.write_text(document(endings, leaks))


if __name__ == "__main__":
    main()
