"""What a small model on this machine brings: `python benchmarks/local_model MODEL.gguf [--peer PYTHON]`.

For each problem and seed: `evolve run`, best-of-n of the same model, and, with the Python of an environment
that has it, OpenEvolve with its default prompt, with as many proposals each; the best program of each by its
search cases is then evaluated on the same fresh draws. All is kept in `--keep DIR`: the command goes on where
it stopped, and says what it has done. Prints a markdown table.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

from evolve.models.gguf import find
from evolve.models.served import Address, Load, Server
from evolve.types import CaseKey, Files, Job, Json
from fitness.gate import draw
from fitness.problem import Problem, load
from fitness.worker import Worker
from populations.ledger import GitLedger

HERE = Path(__file__).resolve().parent
PEER = "OpenEvolve"
RULES = {"evolve": [], "best of n": ["--baseline", "best-of-n"]}


def evolved(problem: str, seed: int, rule: str, options: argparse.Namespace) -> dict[str, Json]:
    """One run of `evolve`, gone on with; what its trials ended with, and its best program."""
    to = options.keep / f"{problem}-{rule.replace(' ', '-')}-{seed}.git"
    command = [sys.executable, "-m", "evolve", "run", problem, "--seed", str(seed), "--to", str(to), "--json"]
    model = f"gguf:{options.model},threads={options.threads}"
    if options.server:
        model = f"openai/local,base={options.server},grammar=gbnf,context=4096,price=0/0,seconds=900"
    model += f",reply_tokens={options.reply_tokens}"
    command += ["--model", model, "--operators", options.operators]
    command += ["--trials", str(options.proposals), "--workers", "1", *RULES[rule]]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, Json] = json.loads(done.stdout)
    with GitLedger.read(to) as ledger:
        events = list(ledger.events())
        sign = -1 if events[0].decision["direction"] == "minimise" else 1
        trials = [event for event in events if event.kind == "trial" and event.decision["trial"]]
        rows = [row for event in events for row in event.measured.get("exchanges", ())]
        scored = [event for event in trials if event.decision["verdict"] == "evaluated"]
        best = max(scored, key=lambda event: sign * fmean(event.measured["scores"]), default=None)
        files = None if best is None else ledger.variant(str(best.variant)).files
    verdicts = Counter(event.decision["verdict"] for event in trials)
    return {
        "proposals": len(trials),
        "valid": verdicts["evaluated"],
        "replies": len(rows),
        "seconds": result["seconds"],
        "verdicts": dict(verdicts),
        "best": None if files is None else {path: data.decode() for path, data in files.items()},
    }


def peer(problem: str, seed: int, options: argparse.Namespace) -> dict[str, Json]:
    """One run of OpenEvolve against the same file; one that was cut off begins anew."""
    folder = options.keep / f"{problem}-OpenEvolve-{seed}"
    server = Server(Load(find(f"gguf:{options.model}"), 8192, 1, options.threads))
    try:
        address = Address(options.server, "none") if options.server else server.address().result()
        asked = {
            "problem": problem,
            "seed": seed,
            "n": options.proposals,
            "python": sys.executable,
            "url": address.url if options.server else f"{address.url}/v1",
            "key": address.key,
            "reply_tokens": options.reply_tokens,
            "folder": str(folder),
        }
        done = subprocess.run(
            [options.peer, str(HERE / "openevolve_run.py"), json.dumps(asked)],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
    finally:
        server.close()
    result: dict[str, Json] = json.loads(done.stdout.splitlines()[-1])
    return result


def fresh(problem: Problem, best: Mapping[str, str] | None, count: int) -> float | None:
    """Mean raw score of a program on draws that no run has seen."""
    if best is None:
        return None
    files: Files = {path: text.encode() for path, text in best.items()}
    worker = Worker(problem)
    try:
        cases = tuple(CaseKey("sealed", draw("truth", "benchmark", n)) for n in range(count))
        return worker.evaluate(Job(files, cases)).mean
    finally:
        worker.close()


def table(found: Sequence[Mapping[str, Json]]) -> None:
    print(
        "| problem | seed | system | proposals | valid children | replies | seconds | best on fresh draws |"
    )
    print("|---" * 8 + "|")
    for row in found:
        share = f"{row['valid']} ({row['valid'] / row['proposals']:.0%})" if row["proposals"] else ""
        score = "none" if row["fresh"] is None else f"{row['fresh']:.4f}"
        cells = [row["problem"], row["seed"], row["system"], row["proposals"], share, row["replies"]]
        print("| " + " | ".join(map(str, [*cells, f"{row['seconds']:.0f}", score])) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, help="a GGUF file")
    parser.add_argument("--problems", nargs="+", default=["online_bin_packing", "tsp_constructive"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--systems", nargs="+", choices=[*RULES, PEER], metavar="SYSTEM", help="default: all")
    parser.add_argument("--proposals", type=int, default=100)
    parser.add_argument("--operators", default="rewrite,diff")
    parser.add_argument("--reply-tokens", type=int, default=1024)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--server", metavar="URL", help="of a llama.cpp (.../v1) with the file, for ours")
    parser.add_argument("--draws", type=int, default=200, help="fresh cases, for the best programs")
    parser.add_argument("--peer", metavar="PYTHON", help="of an environment that has openevolve")
    parser.add_argument("--keep", type=Path, default=Path("local_model_runs"), metavar="DIR")
    options = parser.parse_args()
    options.model, options.keep = options.model.resolve(), options.keep.resolve()
    options.keep.mkdir(parents=True, exist_ok=True)
    rows: list[Mapping[str, Json]] = []
    systems = options.systems or [*RULES, *([PEER] if options.peer else [])]
    if PEER in systems and not options.peer:
        parser.error(f"{PEER} needs --peer")
    for name in options.problems:
        problem = load(name)
        for seed in options.seeds:
            for system in systems:
                key = f"{name}-{system.replace(' ', '-')}-{seed}-{options.proposals}"
                kept = options.keep / f"{key}.json"
                if not kept.exists():
                    print(f"{key} ...", file=sys.stderr, flush=True)
                    found = peer(name, seed, options) if system == PEER else {}
                    found = found or evolved(name, seed, system, options)
                    found |= {"problem": name, "seed": seed, "system": system}
                    found["fresh"] = fresh(problem, found["best"], options.draws)
                    kept.write_text(json.dumps(found))
                rows.append(json.loads(kept.read_text()))
                print(f"{key}: done", file=sys.stderr, flush=True)
    table(rows)


if __name__ == "__main__":
    main()
