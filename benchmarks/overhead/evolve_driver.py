"""Runs `evolve` for a bench that drives systems from outside: one argument, a JSON specification.

    {"out": folder, "url": of an OpenAI-compatible server, "n": trials, "resume": bool, "report": bool,
     "parallel": calls of the model in flight,
     "operators": null or names (null: `rewrite`, so that every child is the server's), "sandbox": "auto"}

Each evaluation appends a line to the file that BENCH_EVAL_LOG names: {"t", "pid", "sha", "score", "true",
"error"}, `sha` the first 16 digits of the SHA-256 of the program's text, stripped. With "report" nothing
runs, and {"stored", "shas", "best"} of the run in `out` is printed. BENCH_TASK: `quadratic` is the folder
`problem` here, `noise` a score of 10 + N(0, 1) for whatever runs. BENCH_EVAL_MS: of an evaluation.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from evolve.executor import LocalExecutor
from evolve.operators.rewrite import Rewrite
from evolve.operators.territory import Territory
from evolve.operators.view import View
from evolve.run import RunOptions, run
from evolve.types import Conversation, Evaluation, Exchange, Failure, Job, Parent, Question, Walls
from fitness.problem import Problem, load
from fitness.worker import Worker
from populations.ledger import GitLedger

HERE = Path(__file__).resolve().parent
NOISE = """
import random


def case(split, seed):
    return [split, seed]


def score(case, answer):
    return 10.0 + random.SystemRandom().gauss(0.0, 1.0)
"""
NOISE_TOML = """
name = "noise"
claim = "cases"
direction = "maximise"
unit = "points"
range = [0, 20]
worst = 0
difference_range = [-10, 10]
[program]
entry = "program.py:solve"
[limits]
seconds = 1.0
[cases]
search = 1
sealed = 100
"""


class Logged(LocalExecutor):
    """Local workers; every evaluation that ends becomes a line of the bench's log."""

    def submit(self, job: Job) -> Future[Evaluation]:
        """As local workers do."""
        future = super().submit(job)
        future.add_done_callback(partial(_log, job.files["program.py"]))
        return future


def _log(program: bytes, future: Future[Evaluation]) -> None:
    if future.cancelled() or future.exception() is not None or "BENCH_EVAL_LOG" not in os.environ:
        return
    evaluation = future.result()
    failure = next(filter(None, evaluation.failures), None)
    line = {
        "t": time.time(),
        "pid": os.getpid(),
        "sha": sha(program),
        "score": evaluation.mean,
        "true": 10.0 if os.environ.get("BENCH_TASK") == "noise" else evaluation.mean,
        "error": failure.kind if failure else "",
    }
    file = os.open(os.environ["BENCH_EVAL_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(file, (json.dumps(line) + "\n").encode())
    os.close(file)


class Plain(Rewrite):
    """Shows programs in fences that name no file, as the bench's server looks for them."""

    def propose(self, parents: Sequence[Parent], rng: np.random.Generator) -> Conversation:
        """As the operator does."""
        said: Exchange | Failure | None = None
        conversation = super().propose(parents, rng)
        try:
            while True:
                step = conversation.send(said)
                if isinstance(step, Question):
                    step = replace(step, prompt=step.prompt.replace("```python program.py", "```python"))
                said = yield step
        except StopIteration as end:
            return end.value


def rewrite(problem: Problem) -> Plain:
    """The operator of that name, with such prompts."""
    return Plain(View(problem, Territory(problem.seed_files, problem.editable)))


def sha(program: bytes) -> str:
    """A program's name in the bench."""
    return hashlib.sha256(program.strip()).hexdigest()[:16]


def problem(out: Path) -> Path:
    """The problem folder of the task that BENCH_TASK names."""
    folder = out / "problem"
    if not folder.exists():
        shutil.copytree(HERE / "problem", folder)
        if os.environ.get("BENCH_TASK") == "noise":
            (folder / "evaluate.py").write_text(NOISE)
            (folder / "problem.toml").write_text(NOISE_TOML)
        milliseconds = float(os.environ.get("BENCH_EVAL_MS", "1"))
        harness = folder / "harness.py"
        harness.write_text(harness.read_text().replace("0.001", repr(milliseconds / 1000)))
    return folder


def report(to: Path) -> dict[str, Any]:
    """What the run has stored."""
    with GitLedger.read(to) as ledger:
        names = list(ledger.variants())
        trials = [event for event in ledger.events() if event.kind == "trial" and "scores" in event.measured]
        scores = {event.variant: event.measured["scores"][0] for event in trials}
        shas = [sha(ledger.variant(name).files["program.py"]) for name in names]
        best = ledger.champion()
    return {"stored": len(names), "shas": shas, "best": scores.get(best)}


def main() -> None:
    spec = json.loads(sys.argv[1])
    out = Path(spec["out"])
    to = out / "run.git"
    if spec.get("report"):
        print(json.dumps(report(to)))
        return
    os.environ |= {"OPENAI_API_BASE": spec["url"], "OPENAI_API_KEY": "none"}
    operators = spec.get("operators") or ["evolve_driver:rewrite"]
    models = (
        ()
        if spec.get("operators")
        else (f"openai/mutator,at_once={spec.get('parallel', 16)},base={spec['url']}",)
    )
    played = load(problem(out))
    executor = Logged(lambda: Worker(played, Walls(spec.get("sandbox", "auto"))), os.cpu_count() or 1)
    try:
        chosen = tuple(operators)
        options = RunOptions(str(played.folder), to, trials=spec["n"], models=models, operators=chosen)
        print(json.dumps(run(options, executor=executor)))
    finally:
        executor.close()


if __name__ == "__main__":
    main()
