"""`evolve replay`: every choice of the search made again from the record: no network, no key, no cost."""

from __future__ import annotations

import tempfile
from pathlib import Path

from rich.text import Text

from evolve.cli.runs import find
from evolve.cli.screen import one_line, screen
from evolve.replaying import replay
from evolve.restored import restore
from populations.ledger import GitLedger

MOST_SHOWN = 20


def replay_run(run: str) -> int:
    """Replay a run and print what came of it; 1 where a choice is not the recorded one."""
    out = screen()
    with tempfile.TemporaryDirectory() as folder, GitLedger.read(find(run)) as ledger:
        found, recorded = replay(ledger, restore(ledger, Path(folder))), ledger.digest()
    out.print(
        f"{found.trials:,} trials asked for again, {found.replies:,} replies from the record, 0 requests"
    )
    out.print(f"decision digest {found.digest}", soft_wrap=True)
    if not found.different and found.digest == recorded:
        out.print(Text("OK: the recorded decisions", style="good"))
        return 0
    count = len(found.different)
    out.print(Text(f"{count} difference{'s' * (count != 1)}; the record's digest is {recorded}", style="bad"))
    out.lines("    " + one_line(line) for line in found.different[:MOST_SHOWN])
    return 1
