"""Figures of the ledger: events a second, time an event as a run grows, bytes a variant, reopening.

    python benchmarks/ledger.py [--trials 20000] [--every 16] [--free-proposals]

Each trial stores a program of about 2.5 KB that differs from its parent in one line, with 64 raw scores and
64 times; no prompts. Parents are drawn among the last 200 variants. The generator of programs is not counted.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import tempfile
import time
from pathlib import Path

from evolve.types import Files, Proposal, Variant
from populations.ledger import GitLedger
from populations.trees import tree_id, variant_id

CASES = 64


def program(rng: random.Random) -> list[str]:
    rows = [
        f"    weight_{i:02d} = {rng.gauss(0, 1):.6f}  # a parameter of the search, {i}" for i in range(40)
    ]
    return ["def solve(instance):", *rows, "    return sum(locals().values())"]


def disk_bytes(path: Path) -> int:
    return sum(file.lstat().st_blocks * 512 for file in path.rglob("*"))


def cpu_seconds(who: int) -> float:
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def run(path: Path, trials: int, every: int, free_proposals: bool) -> dict[str, object]:
    rng = random.Random(1)
    spent = 0.0
    recent: list[tuple[str, list[str]]] = []
    marks: list[tuple[int, float]] = []  # trials so far, seconds in the ledger so far
    own, children = cpu_seconds(resource.RUSAGE_SELF), cpu_seconds(resource.RUSAGE_CHILDREN)
    making = 0.0  # CPU of the generator
    worst = 0.0
    began = time.perf_counter()
    ledger = GitLedger.create(path)
    ledger.append("start", {"schema": 1, "seed": 1}, {"at": 1_700_000_000})
    ledger.sync()
    spent += time.perf_counter() - began
    for trial in range(trials):
        began_cpu = time.thread_time()
        if recent:
            parent, rows = recent[rng.randrange(len(recent))]
            rows = list(rows)
            rows[rng.randrange(1, 41)] = (
                f"    weight_{rng.randrange(40):02d} = {rng.gauss(0, 1):.6f}  # mutated"
            )
            parents: tuple[str, ...] = (parent,)
        else:
            rows, parents = program(rng), ()
        files: Files = {"program.py": "\n".join(rows).encode()}
        scores = [rng.gauss(6.3, 0.1) for _ in range(CASES)]
        seconds = [round(rng.random() / 100, 6) for _ in range(CASES)]
        tree = tree_id(files)
        variant = Variant(variant_id(trial, tree), files, parents, "syntax", "constant changed")
        decision = {
            "trial": trial, "told": trial, "operator": "syntax", "parents": list(parents),
            "variant": variant.id, "tree": tree, "verdict": "evaluated", "idea": variant.idea, "details": {},
        }  # fmt: skip
        measured = {
            "scores": scores,
            "seconds": seconds,
            "failures": {},
            "usd": 0.0,
            "elapsed": round(spent, 6),
        }
        recent = [*recent[-199:], (variant.id, rows)]
        making += time.thread_time() - began_cpu
        began = time.perf_counter()
        if free_proposals:
            ledger.propose(
                {"trial": trial, "told": trial, "operator": "syntax", "parents": list(parents)},
                Proposal(files, variant.idea),
            )
        ledger.append("trial", decision, measured, variant=variant)
        if (trial + 1) % every == 0:
            ledger.sync()
        took = time.perf_counter() - began
        spent, worst = spent + took, max(worst, took)
        if (trial + 1) % 200 == 0:
            marks.append((trial + 1, spent))
    began = time.perf_counter()
    ledger.flush()
    flush = time.perf_counter() - began
    before = disk_bytes(path)
    began = time.perf_counter()
    ledger.close()
    close = time.perf_counter() - began
    used = cpu_seconds(resource.RUSAGE_SELF) - own - making, cpu_seconds(resource.RUSAGE_CHILDREN) - children
    windows = [
        (count, 1000 * (at - earlier) / 200)
        for (_, earlier), (count, at) in zip([(0, 0.0), *marks], marks, strict=False)
    ]
    result: dict[str, object] = {
        "trials": trials,
        "sync_every": every,
        "free_proposals": free_proposals,
        "trials_per_second": round(trials / (spent + flush)),
        "cpu_ms_per_trial": {
            "own": round(1000 * used[0] / trials, 3),
            "git": round(1000 * used[1] / trials, 3),
        },
        "ms_per_trial_first_2000": round(sum(ms for _, ms in windows[:10]) / len(windows[:10]), 3),
        "ms_per_trial_last_2000": round(sum(ms for _, ms in windows[-10:]) / len(windows[-10:]), 3),
        "longest_call_ms": round(1000 * worst, 1),
        "flush_seconds": round(flush, 3),
        "close_seconds": round(close, 3),
        "disk_bytes_per_variant": {"flushed": before // trials, "closed": disk_bytes(path) // trials},
        "packs": len(list((path / "objects" / "pack").glob("*.pack"))),
    }
    began = time.perf_counter()
    ledger = GitLedger.open(path)
    count = sum(1 for _ in ledger.events())
    result["reopen_and_iterate_seconds"] = round(time.perf_counter() - began, 3)
    assert count == trials + 1, count
    ids = list(ledger.variants())
    began = time.perf_counter()
    for id in rng.sample(ids, min(1000, trials)):
        ledger.variant(id)
    result["ms_per_cold_variant"] = round(1000 * (time.perf_counter() - began) / min(1000, trials), 3)
    ledger.close()
    result["peak_memory_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    subprocess.run(["git", "-C", str(path), "fsck", "--strict", "--no-progress"], check=True)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=20_000)
    parser.add_argument("--every", type=int, default=16, help="trials a sync")
    parser.add_argument(
        "--free-proposals", action="store_true", help="each child is proposed first, as the loop does"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(
            json.dumps(
                run(Path(folder) / "run.git", options.trials, options.every, options.free_proposals), indent=1
            )
        )


if __name__ == "__main__":
    main()
