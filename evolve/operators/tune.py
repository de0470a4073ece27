"""The numbers of a program as parameters, searched by Optuna: what random steps find, this one refines."""

from __future__ import annotations

import hashlib
import importlib
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from itertools import islice
from threading import Thread
from typing import Any, NamedTuple

import numpy as np

from evolve.operators.analysis import material
from evolve.operators.splice import Change, Edit, child, no_child, number
from evolve.operators.territory import Territory
from evolve.operators.tokens import Literal, foreign, quantities, texts
from evolve.types import Files, Parent, Proposal, Trial

MOST = 16  # literals that one child changes
HINT = "hint"  # the operator whose trials say where to look
_HINTED = 0.5  # of the suggestions for a skeleton of which something is said
_STARTUP = 4  # observations without which suggestions are random
_SEEN = 64  # observations that a suggestion is drawn from: the best half and the latest half


_Range = tuple[float, float]


class _Point(NamedTuple):
    """The numbers of a program in the order of its text, and its value; None: it failed."""

    numbers: tuple[float, ...]
    value: float | None


class Tune:
    """Suggests numbers for the skeleton of one parent: its text without them.

    Every program with the same skeleton that this operator made or was given is an observation. What it needs
    of them travels in `details`, so replaying the trials rebuilds it: {"skeleton", "numbers", "parent":
    {"numbers"}}. Scores are measured, not decided: the parent's own trial tells its one. A trial of `hint`
    says the same, and in which ranges to look: {"ranges": {position: [least, greatest]}}.
    TPE: Bergstra et al., "Algorithms for Hyper-Parameter Optimization", 2011.
    """

    name = "tune"
    arity = 1
    prompt_bytes = 0

    def __init__(self, territory: Territory) -> None:
        # while workers start: a tenth of a second that the first suggestion would wait for
        Thread(target=importlib.import_module, args=("optuna",), name="import optuna", daemon=True).start()
        self._territory = territory
        self._points: dict[str, dict[tuple[float, ...], _Point]] = {}  # skeleton -> what is known of it
        self._hints: dict[str, dict[int, _Range]] = {}  # skeleton -> numbers that matter, and where to look
        self._values: dict[str, float | None] = {}  # of every variant, for those that are parents later

    def propose(self, parents: Sequence[Parent], rng: np.random.Generator) -> Proposal:
        """Suggest other numbers for some of the parent's literals."""
        parent = parents[0]
        files = parent.variant.files
        found = numbers_in(files, self._territory)
        if not found:
            return no_child("no number to tune")
        paths = list(found)
        path = paths[int(rng.integers(len(paths)))]
        source, literals = found[path]
        skeleton = skeleton_of(path, source, literals)
        here = tuple(literal.value for literal in literals)
        points = {**self._points.get(skeleton, {}), here: _Point(here, parent.trial.value)}
        hinted = self._hints.get(skeleton, {})
        if hinted and rng.random() < _HINTED:
            chosen = [list(hinted)[n] for n in _subset(len(hinted), rng)]
        else:
            chosen, hinted = _subset(len(literals), rng), {}
        new = _suggest(list(points.values()), literals, chosen, hinted, rng)
        edits = tuple(
            Edit(literal.start, literal.end, number(value, digits=4).fit(literal.needs))
            for literal, value in zip(literals, new, strict=True)
            if value != literal.value
        )
        idea = "tuned " + ", ".join(
            f"{number(literals[i].value, digits=4).text} to {number(new[i], digits=4).text}" for i in chosen
        )
        details = {
            "skeleton": skeleton,
            "numbers": list(new),
            "parent": {"numbers": list(here)},
        }
        made = child(files, path, source, [Change(edits, idea)], self._territory, details)
        return made or no_child("the suggestion is the parent itself")

    def tell(self, trial: Trial) -> None:
        """Remember what this operator tried, and from where."""
        if trial.variant is not None:
            self._values[trial.variant] = trial.value
        if trial.operator not in (self.name, HINT) or "skeleton" not in trial.details:
            return
        if (ranges := trial.details.get("ranges")) is not None:
            self._hints[trial.details["skeleton"]] = {
                int(n): (low, high) for n, (low, high) in ranges.items()
            }
        points = self._points.setdefault(trial.details["skeleton"], {})
        origin = self._values.get(trial.parents[0])
        numbers_before = trial.details["parent"]["numbers"]
        for numbers, value in ((numbers_before, origin), (trial.details["numbers"], trial.value)):
            known = tuple(numbers)
            if known not in points and (value is not None or trial.verdict == "failed"):
                points[known] = _Point(known, value)


def numbers_in(files: Files, territory: Territory) -> dict[str, tuple[str, list[Literal]]]:
    """Sources that hold numbers to tune, by path, and these in their order, up to 4 x MOST.

    Python's are found by syntax, others' by their tokens.
    """
    found = {
        path: (
            analysis.source,
            [Literal(*literal[:4]) for literal in analysis.numbers if not literal.structural],
        )
        for path, analysis in material(files, territory).items()
    }
    for path, text in texts(files, foreign(files, territory), territory).items():
        found[path] = text.source, quantities(text)
    return {
        path: (source, sorted(literals[: 4 * MOST], key=lambda literal: literal.start))
        for path, (source, literals) in found.items()
        if literals
    }


def skeleton_of(path: str, source: str, literals: Sequence[Literal]) -> str:
    """What is left of a source without the numbers, as a digest."""
    parts, end = [path], 0
    for literal in literals:
        parts.append(source[end : literal.start] + ("i" if isinstance(literal.value, int) else "f"))
        end = literal.end
    return hashlib.sha256("\0".join([*parts, source[end:]]).encode()).hexdigest()[:16]


def _subset(count: int, rng: np.random.Generator) -> list[int]:
    """Which literals change: one, or several, or all."""
    most = min(count, MOST)
    size = min(most, int(rng.geometric(0.35)))
    return sorted(int(i) for i in rng.choice(count, size=size, replace=False))


def _suggest(
    points: Sequence[_Point],
    literals: Sequence[Literal],
    chosen: Sequence[int],
    hinted: Mapping[int, _Range],
    rng: np.random.Generator,
) -> list[float]:
    import optuna  # late: most commands need none of it

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    reach = float(np.exp(rng.normal(-0.5, 1.0)))  # of the search, in units of the number itself
    space = {str(i): _range(literals[i].value, reach, hinted.get(i)) for i in chosen}
    reaches = [(i, space[str(i)].low, space[str(i)].high) for i in chosen]
    scored = [
        point
        for point in points
        if point.value is not None and all(low <= point.numbers[i] <= high for i, low, high in reaches)
    ]
    best = sorted(scored, key=lambda point: -(point.value or 0.0))[: _SEEN // 2]
    taken = {point.numbers for point in best}
    others = (point for point in reversed(scored) if point.numbers not in taken)
    latest = list(islice(others, _SEEN - len(best)))[::-1]
    seed, known = int(rng.integers(2**31)), best + latest
    if len(known) < _STARTUP:  # what TPE does then, without what it takes to begin
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed))
    else:
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=_STARTUP)
        study = _study(known, space, sampler)
    asked = study.ask(space)
    new = [literal.value for literal in literals]
    for i in chosen:
        value = asked.params[str(i)]
        new[i] = value if isinstance(value, int) else float(f"{value:.4g}")
    return new


def _study(points: Sequence[_Point], space: Mapping[str, Any], sampler: Any) -> Any:
    """A study that knows these points, without the checks of `create_trial`, which take longer than it."""
    import optuna

    storage, trial, now = optuna.storages.InMemoryStorage(), _uncopied(), datetime.now()
    study = optuna.create_study(direction="maximize", sampler=sampler, storage=storage)
    place = storage.get_study_id_from_name(study.study_name)
    for point in points:
        known = trial(
            number=-1,
            trial_id=-1,
            state=optuna.trial.TrialState.COMPLETE,
            value=point.value,
            datetime_start=now,
            datetime_complete=now,
            params={key: point.numbers[int(key)] for key in space},
            distributions=space,
            user_attrs={},
            system_attrs={},
            intermediate_values={},
        )
        storage.create_new_trial(place, template_trial=known)
    return study


@cache
def _uncopied() -> Any:
    """A trial of Optuna's that a storage does not copy: nobody else has it."""
    from optuna.trial import FrozenTrial

    class Uncopied(FrozenTrial):
        def __deepcopy__(self, _: object) -> Uncopied:
            return self

    return Uncopied


def _range(value: float, reach: float, hinted: _Range | None) -> Any:
    from optuna.distributions import FloatDistribution, IntDistribution

    if hinted is not None:
        low, high = hinted
        return (
            IntDistribution(math.ceil(low), math.floor(high))
            if isinstance(value, int)
            else FloatDistribution(low, high)
        )
    if isinstance(value, int):
        steps = max(1, math.ceil(abs(value) * reach))
        return IntDistribution(value - steps, value + steps)
    far = (abs(value) or 1.0) * reach
    return FloatDistribution(value - far, value + far)
