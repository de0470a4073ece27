"""The memory of a run, put together: what a prompt carries, and the text that this becomes.

What is carried is decided when an attempt begins, from the folded state and a generator of the trial's own,
and stands in its decision. The text follows from that decision and from facts that never change (programs,
scores, critiques, lessons, by their names), so it is the same bytes whenever it is made again: after a kill,
by a replay. Everything here comes from trials, that is from search cases: what the gate, its checks and the
sealed draws saw, and the best known value, never reach it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import unified_diff

import numpy as np

from evolve.memory.archive import Archive
from evolve.memory.critiques import Critiques
from evolve.memory.lessons import Lessons, told_of
from evolve.memory.pairs import Pair, Pairs, last_line
from evolve.memory.recall import Recall
from evolve.memory.view import Beside, Part, room_bytes
from evolve.operators.prompts import Told, template
from evolve.operators.territory import Territory
from evolve.operators.view import View
from evolve.types import Decision, Event, Failure, Json, Parent, Trial

WEAK = 3  # cases that a prompt names at the most
DIFF_BYTES = 1_500  # of a pair at the most
IDEA = 120  # characters of an idea that are shown
_FIELDS = {
    "weak": ("cases", "list"),
    "inspiration": ("score", "program"),
    "ancestors": ("direction", "edits"),
    "critique": ("idea", "critique"),
    "pair": ("error", "diff"),
    "lesson": ("lesson",),
    "reflect": ("statement", "program", "error"),
    "distil": ("statement", "direction", "edits"),
}


class Memory:
    """Fed by trials and events, asked for what the prompt of an attempt carries, and for its text."""

    def __init__(self, problem: Told, territory: Territory, kinds: Sequence[str]) -> None:
        self.archive, self.critiques = Archive(), Critiques()
        self.pairs, self.lessons = Pairs(), Lessons()
        self._problem, self._territory, self._kinds = problem, territory, frozenset(kinds)
        self._templates = {
            name: template(name, problem, fields, "evolve.memory") for name, fields in _FIELDS.items()
        }
        self._shown = View(problem, territory)
        self._rooms: dict[str, int] = {}  # model -> bytes of a prompt

    # ------------------------------------------------------------------------------ what is known

    def tell(self, trial: Trial) -> None:
        """Learn from a finished trial."""
        fact = self.archive.tell(trial)
        self.critiques.tell(trial, fact)
        self.pairs.tell(trial.index, fact, self.archive.facts)
        self.lessons.tell(trial, fact and fact.gain)

    def hear(self, event: Event) -> None:
        """Fold an event that is no trial."""
        self.lessons.hear(event)
        self.pairs.hear(event)
        self._rooms.update(event.measured.get("rooms", {}))

    def judge(self) -> list[Decision]:
        """Events that follow from what was told; call again after they are appended and heard."""
        return self.lessons.judge()

    def room(self, model: str) -> int:
        """Bytes of a prompt for a model."""
        return self._rooms.get(model, room_bytes(None, 0))

    # ------------------------------------------------------------------------------ what is carried

    def carry(
        self,
        parents: Sequence[str],
        rng: np.random.Generator,
        under_way: Iterable[Mapping[str, Json]],
    ) -> dict[str, Json]:
        """What the prompt of an attempt carries; `under_way`: what those of other attempts do."""
        others, kinds, carried = list(under_way), self._kinds, dict[str, Json]()
        archive, lineage = self.archive, self.archive.lineage(parents)
        if "inspirations" in kinds and (found := archive.inspirations(rng, parents)):
            carried["inspirations"] = found
        if "ancestors" in kinds and (line := archive.ancestors(parents[0])):
            carried["ancestors"] = [fact.variant for fact in line]
        if "critiques" in kinds:
            if critiques := self.critiques.of(lineage):
                carried["critiques"] = critiques
            busy = [each["reflect"] for each in others if "reflect" in each]
            if (failed := self.critiques.wanted(lineage, busy)) is not None:
                carried["reflect"] = failed
        if "pairs" in kinds and (pair := self._pair(parents, carried.get("reflect"))) is not None:
            carried["pair"] = list(pair)
        if "lessons" in kinds:
            if (number := self.lessons.sample(rng)) is not None:
                carried["lesson"] = number
            if due := self.lessons.due(others):
                carried["distil"] = told_of((id, archive.facts[id].gain) for id in due)
                carried.pop("reflect", None)  # one question of the kind at a time
        return carried

    def _pair(self, parents: Sequence[str], failed: str | None) -> Pair | None:
        """Of a failure that the prompt speaks of: a parent's own, or a child's that is looked at."""
        for id in (*parents, *([failed] if failed else [])):
            fact = self.archive.facts.get(id)
            if fact is not None and fact.failure is not None:
                return self.pairs.like(fact.failure, without=(*parents, id))
        return None

    # ------------------------------------------------------------------------------ what is said

    def view(self, carried: Mapping[str, Json], parents: Sequence[Parent], recall: Recall) -> Beside:
        """What is carried, in words; the least useful is dropped first where there is no room."""
        others = [recall.variant(id) for id in carried.get("inspirations", ())]
        critiques = [self._critique(id, self.critiques.texts[id]) for id in carried.get("critiques", ())]
        parts = [
            Part(4, self._weak(parents[0].trial, others)),
            *(Part(0, critique) for critique in critiques),
            Part(1, self._mended(Pair(*carried["pair"]), recall) if "pair" in carried else ""),
            Part(3, self._ancestors(carried.get("ancestors", ()))),
            *(Part(5 + n, self._inspiration(other)) for n, other in enumerate(others)),
            Part(2, self._lesson(carried["lesson"]) if "lesson" in carried else ""),
        ]
        return Beside(tuple(parts), self._critique)

    def reflection(self, carried: Mapping[str, Json], recall: Recall) -> str | None:
        """What a model is asked before it makes the child."""
        if "distil" in carried:
            return self._fill(
                "distil",
                statement=self._problem.statement.strip(),
                direction=self._direction,
                edits=self._edits(carried["distil"]),
            )
        if "reflect" in carried:
            failed = recall.variant(carried["reflect"])
            return self._fill(
                "reflect",
                statement=self._problem.statement.strip(),
                program=self._shown.program(failed.variant.files),
                error=_error(failed.trial) or "no score on any case",
            )
        return None

    def _fill(self, name: str, **fields: str) -> str:
        return self._templates[name].format(**fields).strip() + "\n"

    @property
    def _direction(self) -> str:
        return "greater" if self._problem.sign > 0 else "less"

    def _weak(self, trial: Trial, others: Sequence[Parent]) -> str:
        """Where other programs of the prompt do better; without them, the worst cases."""
        mine = trial.evaluation.scores if trial.evaluation is not None else ()
        if len(mine) < 2 or trial.value is None:
            return ""
        sign, behind = self._problem.sign, list[tuple[float, int, str]]()
        for case, score in enumerate(mine):
            better = [
                (sign * (theirs.scores[case] - score), theirs.scores[case])
                for other in others
                if (theirs := other.trial.evaluation) is not None and len(theirs.scores) == len(mine)
            ]
            gap, best = max(better, key=lambda each: each[0], default=(-sign * score, None))
            if best is None:
                behind.append((gap, case, f"{case + 1} ({score:.6g})"))
            elif gap > 0:
                behind.append((gap, case, f"{case + 1} ({score:.6g}; another has {best:.6g})"))
        worst = sorted(behind, key=lambda each: (-each[0], each[1]))[:WEAK]
        if not worst:
            return ""
        return self._fill("weak", cases=f"{len(mine)}", list=", ".join(text for _, _, text in worst))

    def _critique(self, failed: str, text: str) -> str:
        return self._fill("critique", idea=_short(self.archive.facts[failed].idea), critique=text)

    def _mended(self, pair: Pair, recall: Recall) -> str:
        fixed, lines = recall.variant(pair.fixed).variant.files, list[str]()
        if isinstance(pair.broken, int):
            broken = recall.proposed(pair.broken)
        else:
            broken = recall.variant(pair.broken).variant.files
        for path in sorted(fixed):
            before, after = broken.get(path, b""), fixed[path]
            if before != after and self._territory.editable(path):
                lines += unified_diff(_lines(before), _lines(after), path, path, lineterm="", n=1)
        diff = "\n".join(lines)
        while len(diff.encode()) > DIFF_BYTES:
            lines.pop()
            diff = "\n".join(lines)
        return self._fill("pair", error=pair.error, diff=diff) if diff else ""

    def _ancestors(self, line: Sequence[str]) -> str:
        return self._fill("ancestors", direction=self._direction, edits=self._edits(line)) if line else ""

    def _edits(self, variants: Iterable[str]) -> str:
        lines = []
        for id in variants:
            fact = self.archive.facts[id]
            if fact.value is None:
                ended = f"failed: {fact.failure.kind}" if fact.failure else "failed"
            elif fact.gain is None:
                ended = "not known"
            else:
                ended = f"{self._problem.sign * fact.gain:+.3g}"
            lines.append(f"- {_short(fact.idea) or fact.arm}: {ended}")
        return "\n".join(lines)

    def _inspiration(self, other: Parent) -> str:
        return self._fill(
            "inspiration", score=self._shown.score(other), program=self._shown.program(other.variant.files)
        )

    def _lesson(self, number: int) -> str:
        return self._fill("lesson", lesson=self.lessons.all[number - 1].text)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= IDEA else line[: IDEA - 1] + "…"


def _lines(data: bytes) -> list[str]:
    return data.decode("utf-8", "replace").splitlines()


def _error(trial: Trial) -> str:
    """The last lines of a program's different failures."""
    failures: Iterable[Failure | None] = trial.evaluation.failures if trial.evaluation else (trial.failure,)
    said = dict.fromkeys(last_line(each) for each in failures if each is not None)
    return "; ".join(list(said)[:3])
