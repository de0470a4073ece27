"""Runs for the explorer's tests: a small finished one, and texts that would like to be more than text."""

from __future__ import annotations

from pathlib import Path

import recorded

from evolve.types import Exchange, Proposal, Variant
from populations.ledger import GitLedger
from populations.trees import tree_id, variant_id

SCRIPT = "<script>window.harmed = 1</script><img src=x onerror='window.harmed = 1'>"
ESCAPE = "\x1b[31mred\x1b]0;title\x07"
MIRROR = "access = '\u202eresu\u2066 nimda'"
LONG = "x" * 5_000_000  # one line
REPLY = f"{SCRIPT}\n{ESCAPE}\n```python\nprint(1)\n```\n</pre></script><!-- {MIRROR}"
PROGRAM = (
    f'# {SCRIPT}\n# {ESCAPE}\n# {MIRROR}\ndef select(current, home, left, far):\n    return "</script>"\n'
)
IDEA = f"{SCRIPT} & {ESCAPE} {MIRROR}"


def finished(path: Path) -> Path:
    """A finished run with promotions, a duel that was lost, failures of several kinds, a model's cost."""
    return recorded.record(path)


def hostile(path: Path) -> Path:
    """The same, and then children whose program, idea, prompt, reply and feedback are hostile."""
    finished(path)
    with GitLedger.open(path) as ledger:
        parent = next(iter(ledger.variants()))
        for number, text in ((12, PROGRAM), (13, f"s = '{LONG}'\n")):
            files = {"program.py": text.encode(), "data.bin": b"\xff\xfe\x00<b>"}
            idea = IDEA if number == 12 else LONG
            decision = {
                "trial": number,
                "told": 0,
                "operator": "rewrite",
                "parents": [parent],
                "model": SCRIPT,
            }
            said = Exchange(SCRIPT, f"prompt {REPLY}", REPLY if number == 12 else LONG, 0.25, 900, 80, 1.5)
            ledger.propose(decision, Proposal(files, idea, exchanges=(said,)))
            tree = tree_id(files)
            child = Variant(variant_id(number, tree), files, (parent,), "rewrite", idea)
            critique = {"critique": {"of": child.id, "text": f"it is {SCRIPT}"}}
            chosen = {**decision, "tree": tree, "idea": idea, "details": critique, "variant": child.id}
            failure = {"kind": "crash", "detail": f"{SCRIPT} {ESCAPE}"}
            measured = {
                "scores": [5.0] * 7 + [20.0], "seconds": [0.001] * 8, "failures": {"7": failure},
                "feedback": REPLY, "usd": 0.25, "metrics": {SCRIPT: 1.0}, "elapsed": 50.0 + number,
            }  # fmt: skip
            ledger.append("trial", {**chosen, "verdict": "evaluated"}, measured, variant=child)
        ledger.append("lesson", {"lesson": 1, "trial": 12, "text": f"avoid {SCRIPT}"})
        ledger.append("lesson", {"dropped": 1, "why": "it never helped"})
        ledger.sync()
    return path
