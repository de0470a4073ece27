"""A reproducible run of any length for the ledger's tests, and the process that writes it to be killed.

python story_of_a_run.py RUN COUNT SYNC FLUSH     prints the count of events after each sync
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

from evolve.types import Event, Exchange, Files, Proposal, Variant
from populations.ledger import GitLedger
from populations.trees import tree_id, variant_id

LESSON = {"lesson": 0, "text": "sort first"}  # the decision of an event that is about no variant


def program(trial: int) -> Files:
    rows = [f"    weight_{i} = {i}" for i in range(30)]
    for step in range(max(0, trial - 5), trial + 1):  # each differs from the one before in a line or two
        rows[step % 30] = f"    weight_{step % 30} = {step}.5"
    return {
        "program.py": ("def solve():\n" + "\n".join(rows) + "\n").encode(),
        "lib/table.bin": b"\xff\xfe\x00",
    }


def variant(trial: int, files: Files | None = None) -> Variant:
    files = program(trial) if files is None else files
    if trial == 0:
        return Variant(variant_id(0, tree_id(files)), files)
    parents = {trial - 1, trial // 2} if trial % 10 == 0 else {trial // 2}
    names = tuple(variant_id(parent, tree_id(program(parent))) for parent in sorted(parents))
    return Variant(variant_id(trial, tree_id(files)), files, names, "syntax", f"idea {trial}:\na newline")


def decision(trial: int, operator: str = "syntax", child: Variant | None = None) -> dict[str, object]:
    parents = list((child or variant(trial)).parents)
    return {"trial": trial, "told": 0, "operator": operator, "parents": parents}


def start(ledger: GitLedger) -> Event:
    files = {"problem/problem.toml": b'name = "story"\n', "problem/deep/a folder/data": bytes(range(256))}
    return ledger.append("start", {"schema": 1, "seed": 3}, {"at": 1_700_000_000.25}, files=files)


def trial(ledger: GitLedger, number: int, child: Variant | None = None) -> Event:
    child = variant(number) if child is None else child
    rng = random.Random(number)
    chosen = {
        **decision(number, child.operator, child),
        "variant": child.id,
        "tree": tree_id(child.files),
        "verdict": "evaluated",
    }
    measured = {
        "scores": [rng.gauss(6, 1) for _ in range(4)],
        "seconds": [0.001] * 4,
        "failures": {},
        "usd": 0.0,
    }
    return ledger.append(
        "trial", {**chosen, "idea": child.idea, "details": {}}, measured, variant=child, files=None
    )


def step(ledger: GitLedger, number: int) -> None:
    """What happens from one trial to the next: proposals, the trial, sometimes a promotion or its undoing."""
    if number == 0:
        start(ledger)
    elif number % 3 == 0:
        exchange = Exchange(
            "mutator", f"prompt {number}", f"reply {number}", 0.01, 10, 20, 0.5, {"temperature": 1}
        )
        ledger.propose(
            decision(number, "rewrite"), Proposal(program(number), "an idea", exchanges=(exchange,))
        )
    else:
        ledger.propose(decision(number), Proposal(program(number), f"idea {number}", details={"at": number}))
    trial(ledger, number)
    if number and number % 20 == 0:
        promotion = number // 20
        new, old = variant(number).id, str(ledger.champion())
        ledger.append(
            "duel_open", {"duel": promotion, "challenger": new, "champion": old, "level": 0.01, "told": 0}
        )
        chosen = {"promotion": promotion, "duel": promotion, "variant": new, "champion": old, "n": 24}
        ledger.append("promotion", chosen, {"log_e": 5.5}, variant=new)
        undone = number % 60 == 0
        if undone:
            ledger.append("demotion", {"promotion": promotion, "variant": new, "champion": old}, variant=new)
        closed = {
            "duel": promotion,
            "verdict": "undone" if undone else "promoted",
            "n": 24,
            "promotion": promotion,
        }
        evidence = {"log_e": 5.5, "duel_gain": 0.1, "duel_gain_interval": [0.05, 0.2]}
        ledger.append("duel_close", closed, evidence, variant=new)


def trials_of(ledger: GitLedger) -> int:
    return sum(event.kind == "trial" for event in ledger.events())


def write(path: Path, count: int, sync_every: int, flush_every: int) -> None:
    with GitLedger.open_or_create(path) as ledger:
        events = sum(1 for _ in ledger.events())
        if events == 0:
            step(ledger, 0)
        # a step is several events, and a kill may come between the syncs of two
        first = trials_of(ledger)
        for number in range(first, first + count):
            step(ledger, number)
            if number % sync_every == 0:
                ledger.sync()
                print(number + 1, flush=True)
            if flush_every and number % flush_every == 0:
                ledger.flush()


if __name__ == "__main__":
    write(Path(sys.argv[1]), *(int(word) for word in sys.argv[2:5]))
