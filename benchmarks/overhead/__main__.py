"""What an evaluation costs, end to end: `python benchmarks/overhead [--sandbox process] [--peer PYTHON]`.

Runs `evolve run` as a user would, on a task whose programs take one millisecond of CPU; with `--model`,
children come from a model that answers at once; with `--peer`, the Python of an environment with OpenEvolve,
that runs beside it, in turn. Prints a markdown table: the median of the repeats, least and most in brackets.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import measure

from populations.ledger import GitLedger

HERE = Path(__file__).resolve().parent
Figures = dict[str, float]


def evolve_run(folder: Path, options: argparse.Namespace, url: str | None, memory: bool) -> Figures:
    """One run from process start to end."""
    problem, to, scored = folder / "problem", folder / "run.git", folder / "problem" / ".scored"
    shutil.copytree(HERE / "problem", problem)
    scored.touch()
    command = [sys.executable, "-m", "evolve", "run", str(problem), "--to", str(to), "--json"]
    command += ["--trials", str(options.n), "--sandbox", options.sandbox]
    environment = dict(os.environ)
    if url is not None:
        directly = "" if options.litellm else f",base={url}"
        command += ["--operators", "rewrite"]
        command += ["--model", f"openai/mutator,at_once={options.at_once}{directly}"]
        environment |= {"OPENAI_API_BASE": url, "OPENAI_API_KEY": "none"}
    containers = options.sandbox == "docker"
    cost = measure.run(command, environment, folder / "log", memory, containers)
    if cost.code:
        raise RuntimeError((folder / "log").read_text())
    evaluations = json.loads(cost.out)["evaluations"]
    with GitLedger.read(to) as ledger:
        events = [event for event in ledger.events() if event.kind == "trial" and event.decision["trial"]]
    ended = [event.measured["elapsed"] for event in events if "scores" in event.measured]
    return {
        **_figures(cost, evaluations, min(map(float, scored.read_text().split()))),
        "evaluations/s, steady": (len(ended) - 1) / (ended[-1] - ended[0]),
    }


def peer_run(folder: Path, options: argparse.Namespace, url: str, memory: bool) -> Figures:
    """One run of OpenEvolve with the same number of proposals."""
    log = folder / "evaluations"
    numbers = [str(options.n), str(options.peer_at_once)]
    command = [options.peer, str(HERE / "openevolve_run.py"), str(folder / "run"), url, *numbers]
    environment = {**os.environ, "OVERHEAD_LOG": str(log), "OPENAI_API_KEY": "none"}
    cost = measure.run(command, environment, folder / "log", memory)
    if cost.code:
        raise RuntimeError((folder / "log").read_text())
    stamps = sorted(map(float, log.read_text().split()))
    return {
        **_figures(cost, len(stamps), stamps[0]),
        "evaluations/s, steady": (len(stamps) - 2) / (stamps[-1] - stamps[1]),
    }


def _figures(cost: measure.Cost, evaluations: int, first: float) -> Figures:
    return {
        "evaluations": evaluations,
        "evaluations/s, end to end": evaluations / cost.wall,
        "CPU ms an evaluation": 1e3 * cost.cpu / evaluations,
        "CPU ms an evaluation, whole machine": 1e3 * cost.machine / evaluations,
        "first evaluation, s": first - cost.began,
        **({"peak memory, MiB": cost.peak / 2**20} if cost.peak else {}),
    }


def jobs(folder: Path, options: argparse.Namespace) -> Figures:
    """How long a job takes, by a run with a clock in it."""
    shutil.copytree(HERE / "problem", folder / "problem")
    command = [sys.executable, str(HERE / "timed.py"), str(folder / "problem"), str(folder / "run.git")]
    done = subprocess.run([*command, str(options.n), options.sandbox], stdout=subprocess.PIPE, check=True)
    taken = json.loads(done.stdout)
    return {"job p50, ms": 1e3 * taken["p50"], "job p99, ms": 1e3 * taken["p99"]}


@contextmanager
def model(latency: float) -> Iterator[str]:
    """The address of a model that answers so late; its process is none of a run's, and no part of costs."""
    command = [sys.executable, str(HERE / "mutations.py"), "0", str(latency)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        yield server.stdout.readline().strip()
    finally:
        server.kill()
        server.wait()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sandbox", default="process", help="as of `evolve run`")
    parser.add_argument("--n", type=int, default=400, help="trials of a run")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--model", action="store_true", help="children by a model")
    parser.add_argument("--litellm", action="store_true", help="ask it through LiteLLM")
    parser.add_argument("--latency", type=float, default=0.0, metavar="S", help="of a reply, seconds")
    parser.add_argument("--at-once", type=int, default=16, metavar="N", help="calls of the model in flight")
    parser.add_argument("--peer", metavar="PYTHON", help="of an environment that has openevolve")
    parser.add_argument(
        "--peer-at-once", type=int, default=2, metavar="N", help="of its iterations in flight"
    )
    options = parser.parse_args()
    found: dict[str, list[Figures]] = {"evolve": []}
    for turn in range(
        options.repeat + 1
    ):  # the last one is for memory and latency: their clocks cost a little
        last = turn == options.repeat
        for system in ("evolve", *(["OpenEvolve"] if options.peer else [])):
            with tempfile.TemporaryDirectory() as name:
                figures = _turn(system, Path(name), options, last)
            found.setdefault(system, []).append(figures)
    names = list(dict.fromkeys(name for runs in found.values() for run in runs for name in run))
    print(f"| N = {options.n}, sandbox {options.sandbox} | " + " | ".join(found) + " |")
    print("|---" * (len(found) + 1) + "|")
    for name in names:
        cells = [_cell([run[name] for run in runs if name in run]) for runs in found.values()]
        print(f"| {name} | " + " | ".join(cells) + " |")
    if options.peer:
        rate = "evaluations/s, end to end"
        pairs = list(zip(found["evolve"], found["OpenEvolve"], strict=True))[:-1]
        print(
            f"\nratio of {rate}, of runs in turn: {_cell([one[rate] / other[rate] for one, other in pairs])}"
        )


def _turn(system: str, folder: Path, options: argparse.Namespace, last: bool) -> Figures:
    """One run in a process of its own, which alone has the run's descendants."""
    read, write = os.pipe()
    with model(options.latency) as url:
        child = os.fork()
        if child == 0:
            try:
                os.write(write, json.dumps(_measured(system, folder, options, url, last)).encode())
            except BaseException as error:
                traceback.print_exception(error)
            finally:
                os._exit(0)  # everything else is the parent's
        os.close(write)
        with open(read) as answer:
            text = answer.read()
        os.waitpid(child, 0)
    return json.loads(text) if text else sys.exit(f"the run of {system} failed")


def _measured(system: str, folder: Path, options: argparse.Namespace, url: str, last: bool) -> Figures:
    measure.adopt_orphans()
    if system == "evolve":
        figures = evolve_run(folder, options, url if options.model else None, last)
    else:
        figures = peer_run(folder, options, url, last)
    if not last:
        return figures
    peak = {"peak memory, MiB": figures["peak memory, MiB"]}
    return {**peak, **jobs(folder / "timed", options)} if system == "evolve" else peak


def _cell(values: list[float]) -> str:
    if not values:
        return ""
    middle = statistics.median(values)
    if len(values) == 1:
        return f"{middle:.3g}"
    return f"{middle:.3g} ({min(values):.3g} to {max(values):.3g})"


if __name__ == "__main__":
    main()
