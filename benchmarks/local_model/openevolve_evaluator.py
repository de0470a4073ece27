"""What OpenEvolve scores a program by: our evaluation of it, by our Python, in a sandbox."""

import os
import subprocess
from pathlib import Path

SCORE = Path(__file__).with_name("score.py")


def evaluate(path):
    command = [os.environ["OUR_PYTHON"], str(SCORE), os.environ["PROBLEM"], path]
    done = subprocess.run(command, capture_output=True, text=True)
    said = done.stdout.strip()
    with open(os.environ["EVALUATIONS"], "a") as log:
        log.write(f"{said or 'failed'}\n")
    # far below what any program of these problems scores
    return {"combined_score": float(said) if said not in ("", "failed") else -1e3}
