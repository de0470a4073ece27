"""Does `evolve self` find what helps an agent, and nothing else? The model of known effects knows.

    python benchmarks/self_improvement.py --runs 5              # planted edits: are they found?
    python benchmarks/self_improvement.py --runs 20 --useless   # useless edits: is one promoted?

Agents run in this process, without a sandbox, as their edits are known; loop, gate, git and broker are real.

A real model, in the real sandbox, on CodeI/O and, sealed, HumanEval (pip install 'evolve-code[tasks,local]'):

    python benchmarks/self_improvement.py --model gguf:MODEL.gguf,context=8192,reply_tokens=1024 \\
        --into runs/real --trials 8 --search 8 --sealed 48 --arms seed,self,best-of-n,random-edits

prints for each arm how many sealed tasks it and the seed solve, with intervals, and calls, tokens and time.
All is kept in that folder: the same command goes on where it was stopped, and asks nothing twice.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from queue import SimpleQueue

import numpy as np

from evolve.agents import assemble
from evolve.cli.comparing import row_of
from evolve.cli.selfing import ARMS
from evolve.doubles import InlineExecutor
from evolve.models.broker import DeskBroker
from evolve.models.effects import PLANTED, ceiling
from evolve.models.named import desk as open_desk
from evolve.models.purse import Limits
from evolve.options import RunOptions
from evolve.run import run
from evolve.types import CaseKey, Evaluation, Exchange, Job
from fitness.binomial import binomial_interval
from fitness.doubles import TrustedSandbox
from fitness.evaluation import ProblemFitness
from fitness.problem import Problem, load
from fitness.worker import Worker
from populations.ledger import GitLedger

SEED = "seed"  # the arm that is no run: what the seed solves, whether or not it can edit itself
SELF = "self"
TASKS = 164  # of HumanEval

WORDS = {  # what a planted edit is known by
    "instruction": "edge cases",
    "tool": "tools/calculator.py",
    "feedback": "These examples fail",
    "vote": "found.append(attempt",
}


def problem_of(place: Path, tasks: str | None, search: int, sealed: int, without: Sequence[str] = ()) -> Path:
    """The problem with so many tasks, in a new folder."""
    assemble(place, tasks, without=without)
    toml = (place / "problem.toml").read_text()
    for before, after in (("search = 24", f"search = {search}"), ("sealed = 164", f"sealed = {sealed}")):
        assert before in toml
        toml = toml.replace(before, after)
    (place / "problem.toml").write_text(toml)
    return place


def one(folder: Path, seed: int, asked: argparse.Namespace) -> dict[str, object]:
    """One run: what was promoted, what of the planted the champion has, its share of the ceiling."""
    place = problem_of(folder / f"problem-{seed}", "drills", asked.search, asked.sealed)
    problem, began = load(place), time.monotonic()
    broker = DeskBroker(problem.allowance)
    executor = InlineExecutor(ProblemFitness(problem, TrustedSandbox(), broker))
    models = ("known-effects:useless" if asked.useless else "known-effects",)
    to = folder / f"run-{seed}"
    options = RunOptions(str(place), to, asked.trials, seed=seed, models=models, operators=("scaffold",))
    result = run(options, executor=executor, brokered=broker)
    broker.close()
    with GitLedger.read(Path(result["run"])) as ledger:
        files = ledger.variant(result["champion"]["id"]).files
    text = "\n".join(f"{path}\n{data.decode(errors='replace')}" for path, data in files.items())
    found = {name: WORDS[name] in text for name in PLANTED}
    return {
        "seed": seed,
        "trials": result["trials"],
        "promotions": result["promotions"],
        "found": [name for name in PLANTED if found[name]],
        "of_ceiling": round(ceiling(found) / ceiling(dict.fromkeys(PLANTED, True)), 3),
        "confirmed": result["champion"]["confirmed"],
        "seconds": round(time.monotonic() - began),
    }


def alone(asked: argparse.Namespace, problem: Problem) -> None:
    """Let the seed solve sealed tasks, each once; how many it has solved after each of them."""
    broker = DeskBroker(problem.allowance)
    desk = open_desk(asked.model, Limits(), {})
    broker.serve(desk, asked.first)
    broker.keep(asked.into / f"seed-{asked.first}.asked")
    tasks = np.random.default_rng(asked.first).permutation(TASKS)[: asked.sealed]
    count = asked.workers or 1
    solved, said = 0, list[Exchange]()
    with closing(desk), closing(broker), ExitStack() as stack:
        free = SimpleQueue[Worker]()
        for _ in range(count):
            free.put(stack.enter_context(closing(Worker(problem, broker=broker))))

        def attempt(task: int) -> Evaluation:
            worker = free.get()
            try:
                return worker.evaluate(Job(problem.seed_files, (CaseKey("sealed", int(task)),)))
            finally:
                free.put(worker)

        attempts = stack.enter_context(ThreadPoolExecutor(count)).map(attempt, tasks)
        for number, (task, found) in enumerate(zip(tasks, attempts, strict=True), start=1):
            solved += int(found.scores[0])
            said += found.asked
            low, high = binomial_interval(solved, number)
            row = {"arm": SEED, "task": int(task), "solved": solved, "of": number, "interval": [low, high]}
            row |= {"failure": found.failures[0] and found.failures[0].kind, "calls": len(said)}
            row["tokens"] = sum(each.prompt_tokens + each.reply_tokens for each in said)
            row["seconds"] = round(sum(each.seconds for each in said))
            print(json.dumps(row), flush=True)


def measure(asked: argparse.Namespace) -> None:
    """Run each arm with a real model, print what its sealed tasks say and what it cost."""
    asked.into.mkdir(parents=True, exist_ok=True)
    place = asked.into / f"problem-{asked.search}-{asked.sealed}"
    if not place.exists():
        problem_of(place, asked.tasks, asked.search, asked.sealed, asked.without_check)
    for arm in asked.arms.split(","):
        if arm == SEED:
            alone(asked, load(place))
            continue
        options = RunOptions(
            str(place),
            asked.into / f"{arm}-{asked.first}.git",
            asked.trials,
            asked.seconds,
            seed=asked.first,
            workers=asked.workers,
            models=tuple(asked.model),
            operators=ARMS.get(arm, ("scaffold", "tune")),
            baseline=arm if arm == "best-of-n" else None,
        )
        result = run(options)
        with GitLedger.read(Path(result["run"])) as ledger:
            sealed = [event.measured for event in ledger.events() if event.kind == "sealed"]
        row = {"arm": arm, "search_score_of_seed": result["seed_score"], "failures": result["failures"]}
        for side in ("seed", "champion") if sealed else ():
            solved = int(sum(sealed[-1][side]))
            low, high = binomial_interval(solved, asked.sealed)
            row[side] = f"{solved} of {asked.sealed} [{low:.3f}, {high:.3f}]"
        print(json.dumps(row | row_of(result["run"])), flush=True)


def main() -> None:
    """Print a line a run, and what they say together."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--trials", type=int, default=150)
    parser.add_argument("--first", type=int, default=0, help="seed of the first run")
    parser.add_argument("--useless", action="store_true")
    parser.add_argument("--search", type=int, default=24, help="tasks that every edit is tried on")
    parser.add_argument("--sealed", type=int, default=164, help="tasks at the end")
    real = parser.add_argument_group("with a real model")
    real.add_argument("--model", action="append", help="as for `evolve self`; may be given several times")
    real.add_argument("--into", type=Path, default=Path("runs/self"), help="folder of the runs")
    real.add_argument("--arms", default=f"{SEED},{SELF}", help=f"of {SEED}, {SELF}, {', '.join(ARMS)}")
    real.add_argument("--tasks", help="one set for all draws instead of CodeI/O and HumanEval")
    real.add_argument("--without-check", action="append", default=[], help="as for `evolve self`")
    real.add_argument("--seconds", type=float, help="of an arm, all its sessions together")
    real.add_argument("--workers", type=int)
    asked = parser.parse_args()
    if asked.model:
        measure(asked)
        return
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(asked.first, asked.first + asked.runs):
            rows.append(one(Path(folder), seed, asked))
            print(json.dumps(rows[-1]), flush=True)
    if asked.useless:
        wrong = sum(row["promotions"] > 0 for row in rows)  # type: ignore[operator]
        low, high = binomial_interval(wrong, len(rows))
        print(f"{wrong} of {len(rows)} runs promoted anything [{low:.3f}, {high:.3f}]; alpha is 0.1")
    else:
        good = sum(len(row["found"]) >= 3 for row in rows)  # type: ignore[arg-type]
        near = sum(row["of_ceiling"] >= 0.9 for row in rows)  # type: ignore[operator]
        print(f"{good} of {len(rows)} have 3 of the 4 edits, {near} reach 90 % of the ceiling")


if __name__ == "__main__":
    main()
