"""Runs OpenEvolve with its default prompt, by the Python that has it: one argument, as `peer` makes it."""

import asyncio
import json
import os
import sys
import time
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main():
    asked = json.loads(sys.argv[1])
    folder = Path(asked["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "evaluations"
    log.write_text("")
    os.environ |= {"OUR_PYTHON": asked["python"], "PROBLEM": asked["problem"], "EVALUATIONS": str(log)}
    assert find_spec("openevolve") is not None
    from openevolve import OpenEvolve
    from openevolve.config import Config

    model = {"api_base": asked["url"], "api_key": asked["key"], "primary_model": "local", "retries": 0}
    settings = {
        "max_iterations": asked["n"],
        "random_seed": asked["seed"],
        "llm": {**model, "primary_model_weight": 1.0, "max_tokens": asked["reply_tokens"], "timeout": 900},
        "evaluator": {"parallel_evaluations": 1, "cascade_evaluation": False, "timeout": 600},
    }
    seeds = HERE.parents[1] / "seeds" / asked["problem"] / "program" / "program.py"
    run = OpenEvolve(
        str(seeds),
        str(HERE / "openevolve_evaluator.py"),
        config=Config.from_dict(settings),
        output_dir=str(folder),
    )
    began = time.time()
    best = asyncio.run(run.run(iterations=asked["n"]))
    scores = log.read_text().split()[1:]  # the first is the seed's
    result = {
        "proposals": asked["n"],
        "valid": sum(score != "failed" for score in scores),
        "replies": asked["n"],
        "seconds": time.time() - began,
        "verdicts": {},
        "best": {"program.py": best.code} if best else None,
    }
    print(json.dumps(result))


main()
