"""Runs OpenEvolve on the task, by the Python that has it: `openevolve_run.py FOLDER URL N AT_ONCE`."""

import asyncio
import sys
from pathlib import Path

from openevolve import OpenEvolve
from openevolve.config import Config

HERE = Path(__file__).parent


def main():
    folder, url, iterations, at_once = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    model = {"api_base": url, "api_key": "none", "primary_model": "mutator", "primary_model_weight": 1.0}
    settings = {
        "max_iterations": iterations,
        "random_seed": 1,
        "llm": model,
        "evaluator": {"parallel_evaluations": at_once, "cascade_evaluation": False},
    }
    run = OpenEvolve(
        str(HERE / "problem" / "program" / "program.py"),
        str(HERE / "openevolve_evaluator.py"),
        config=Config.from_dict(settings),
        output_dir=folder,
    )
    asyncio.run(run.run(iterations=iterations))


main()
