"""What prompts remember: chosen by the folded state alone, cut to size, kept for its use."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolve.history import History
from evolve.memory import FREE, KINDS, chosen
from evolve.memory.archive import POOL, Archive
from evolve.memory.critiques import Critiques
from evolve.memory.lessons import COMPARED, EVERY, SHOWN, TRIED, Lessons, told_of
from evolve.memory.memory import Memory
from evolve.memory.pairs import Pair, Pairs, likeness, words
from evolve.memory.recall import Recall
from evolve.memory.view import TOKEN_BYTES, Part, fitting, room_bytes
from evolve.operators.territory import Territory
from evolve.types import BadInput, Evaluation, Event, Failure, Files, Json, Parent, Trial, Variant

CASES = 4
SEED = {"program.py": b"def f(x):\n    return 0\n"}


class Known(Recall):
    """Programs of a test, by name, and of `proposal` events."""

    def __init__(self, known: dict[str, Parent], proposed: dict[int, Files] | None = None) -> None:
        self._parents, self._events = known, proposed or {}

    def variant(self, id: str) -> Parent:
        return self._parents[id]

    def proposed(self, event: int) -> Files:
        return self._events[event]


class Problem:
    statement = "Count."
    sign = 1

    def __init__(self, documents: Files | None = None) -> None:
        self.documents: Files = documents or {}


def child(
    index: int,
    value: float | None,
    parent: str = "0-seed",
    *,
    values: Sequence[float] | None = None,
    failure: str = "crash",
    detail: str = "ValueError: nothing",
    model: str | None = "m",
    carried: dict[str, Json] | None = None,
    details: dict[str, Json] | None = None,
) -> Trial:
    scores = tuple(values or ([0.0] * CASES if value is None else [value] * CASES))
    failures = (Failure(failure, detail) if value is None else None,) * CASES  # type: ignore[arg-type]
    return Trial(
        index, index - 1, "rewrite" if model else "syntax", () if index == 0 else (parent,),
        f"{index}-seed" if index == 0 else f"{index}-x", "failed" if value is None else "evaluated", value,
        () if value is None else scores, idea=f"idea {index}",
        evaluation=Evaluation(scores, failures, (0.1,) * CASES),
        model=model if index else None, carried=carried or {}, details=details or {},
    )  # fmt: skip


def memory(kinds: Sequence[str] = tuple(KINDS), documents: Files | None = None) -> Memory:
    return Memory(Problem(documents), Territory(SEED, ["*"]), kinds)


def remember(made: Memory, trials: Sequence[Trial]) -> dict[str, Parent]:
    """Tell, and append what follows; the variants."""
    found = {}
    for trial in trials:
        made.tell(trial)
        while decided := made.judge():
            for each in decided:
                made.hear(Event(0, "lesson", each.decision, each.measured))
        if trial.variant:
            source = f"def f(x):\n    return {trial.index}\n".encode()
            found[trial.variant] = Parent(Variant(trial.variant, {"program.py": source}), trial)
    return found


def said(
    made: Memory, known: dict[str, Parent], carried: dict[str, Json], parent: str, room: int = 9_000
) -> str:
    return made.view(carried, [known[parent]], Known(known)).text({}, room, 0)


# ------------------------------------------------------------------------------------- the compiled view

VALUES = st.one_of(st.none(), st.integers(-9, 9).map(float))
HISTORY = st.lists(st.tuples(VALUES, st.integers(0, 30), st.booleans()), max_size=40)


def told(history: list[tuple[float | None, int, bool]]) -> list[Trial]:
    trials = [child(0, 0.0)]
    for index, (value, parent, asked) in enumerate(history, start=1):
        origin = trials[parent % len(trials)].variant
        values = None if value is None else [value + (index * case) % 3 for case in range(CASES)]
        details: dict[str, Json] = {"lesson": f"lesson {index}"} if index % 9 == 0 and asked else {}
        if index % 5 == 0 and asked and (failed := [t for t in trials if t.value is None]):
            details["critique"] = {"of": failed[-1].variant, "text": f"critique {index}"}
        trials.append(
            child(index, value, origin or "", values=values, model="m" if asked else None, details=details)
        )
    return trials


@settings(max_examples=60, deadline=None)
@given(HISTORY, st.integers(0, 99), st.integers(0, 9_000))
def test_the_same_state_and_generator_carry_the_same_bytes_within_the_room(history, seed, room):
    trials, texts = told(history), []
    parent = next(trial.variant for trial in reversed(trials) if trial.value is not None)
    for _ in range(2):
        made = memory()
        known = remember(made, trials)
        carried = made.carry([parent], np.random.default_rng(seed), [])
        texts.append((carried, said(made, known, carried, parent, room)))
        later = remember(
            made, [child(len(trials) + n, 99.0, parent, values=[99 - n, 9, 9, 9]) for n in range(3)]
        )
        assert said(made, known | later, carried, parent, room) == texts[-1][1], "what is carried stays"
    assert texts[0] == texts[1]
    assert len(texts[0][1].encode()) <= room


def test_the_least_useful_is_dropped_first():
    parts = [Part(2, "c" * 10), Part(0, "a" * 10), Part(1, "b" * 10)]
    assert fitting(parts, 99) == "\n\n" + "\n\n".join(["c" * 10, "a" * 10, "b" * 10])
    assert fitting(parts, 30) == "\n\n" + "a" * 10 + "\n\n" + "b" * 10
    assert fitting(parts, 12) == "\n\n" + "a" * 10 and fitting(parts, 11) == "" == fitting(parts, -5)


def test_a_prompt_leaves_room_for_its_reply():
    assert room_bytes(None, 4096) == TOKEN_BYTES * 3072
    assert room_bytes(32_000, 4096) == TOKEN_BYTES * 27_904
    assert room_bytes(2048, 1024) == TOKEN_BYTES * 1024 and room_bytes(512, 1024) == 0


def test_every_part_shows_and_can_be_switched_off():
    trials = [
        child(0, 0.0), child(1, 2.0, values=[2, 2, 2, 2]), child(2, 1.0, "1-x", values=[1, 1, 1, 1]),
        child(3, 3.0, values=[9, 0, 1, 2]), child(4, None, "2-x", detail="KeyError: 'a'"),
        child(5, 1.5, "4-x", values=[1, 2, 2, 1]), child(6, None, "2-x", detail="KeyError: 'b'"),
        child(7, 1.0, "2-x", details={"critique": {"of": "4-x", "text": "No such key."}}),
        child(8, 0.0, details={"lesson": "Be greedy."}),
    ]  # fmt: skip
    expected = {
        "inspirations": "Another program of this search scores 3",
        "ancestors": "- idea 2: -1\n- idea 1: +2",
        "pairs": "failed like this before: crash: KeyError: 'a'",
        "critiques": "failed (idea 4). What was wrong: No such key.",
        "lessons": "A lesson from what was tried: Be greedy.",
    }
    for kinds in [(), *((kind,) for kind in KINDS), tuple(KINDS)]:
        made = memory(kinds if "pairs" not in kinds else (*kinds, "critiques"))
        known = remember(made, trials)
        carried: dict[str, Json] = {}
        for seed in range(20):  # a quarter of the prompts carries no lesson
            carried = carried | made.carry(["2-x"], np.random.default_rng(seed), [])
        text = said(made, known, carried, "2-x")
        for kind, words_ in expected.items():
            shown = kind in kinds or (kind == "critiques" and "pairs" in kinds)
            assert (words_ in text) == shown, (kinds, kind)
        assert "weakest on these of the 4 cases: " in text


def test_weak_cases_are_those_where_the_programs_shown_do_better():
    made = memory(["inspirations"])
    trials = [child(0, 0.0), child(1, 1.0, values=[1, 1, 1, 1]), child(2, 3.0, values=[9, 0, 1, 2])]
    known = remember(made, trials)
    carried = made.carry(["1-x"], np.random.default_rng(0), [])
    assert "cases: 1 (1; another has 9), 4 (1; another has 2)." in said(made, known, carried, "1-x")
    assert "cases: 2 (0), 3 (1), 4 (2)." in said(made, known, {}, "2-x")


def test_inspirations_are_the_best_one_that_complements_and_one_alike():
    archive = Archive()
    archive.tell(child(0, 0.0))
    archive.tell(child(1, 1.0, values=[4, 0, 0, 0]))
    archive.tell(child(2, 9.0, values=[9, 9, 9, 9]))
    archive.tell(child(3, 1.0, values=[-9, 1, 9, 3]))
    archive.tell(child(4, 1.0, values=[4, 0, 1, 0]))
    assert archive.inspirations(np.random.default_rng(0), ["1-x"]) == ["2-x", "3-x", "4-x"]
    assert archive.inspirations(np.random.default_rng(0), ["2-x"])[0] != "2-x"
    copies = Archive()
    for index in range(POOL + 40):
        copies.tell(child(index, 1.0, values=[1, 2, 3, index % 2]))
    assert len(copies.inspirations(np.random.default_rng(0), ["0-seed"])) == 1, "copies inspire nobody"


def test_a_problem_may_word_all_of_it_itself():
    made = memory(documents={"prompts/lesson.md": b"Mind: {lesson}"})
    known = remember(made, [child(0, 0.0), child(1, 1.0, details={"lesson": "Be greedy."})])
    assert "Mind: Be greedy." in said(made, known, {"lesson": 1}, "1-x")
    with pytest.raises(BadInput, match=r"prompts/pair.md: expected text whose fields .*got \{x\}"):
        memory(documents={"prompts/pair.md": b"{x}"})


@pytest.mark.parametrize(
    ("names", "baseline", "lessons", "found"),
    [
        (None, False, False, FREE), (None, True, False, ()), (None, False, True, (*FREE, "lessons")),
        (["none"], False, False, ()), (["all"], True, False, tuple(KINDS)),
        (["lessons", "pairs"], False, True, ("pairs", "lessons")),
    ],
)  # fmt: skip
def test_what_is_on(names, baseline, lessons, found):
    assert chosen(names, baseline, lessons) == found


def test_a_part_that_nobody_knows_and_lessons_that_nobody_is_told_are_refused():
    with pytest.raises(BadInput, match=r"--memory: expected .lessons. or .*got lesons"):
        chosen(["lesons"], False, False)
    for wrong in ([], ["all", "pairs"], ["none", "lessons"]):
        with pytest.raises(
            BadInput, match="--memory: expected names, joined by commas; or all, or none, got"
        ):
            chosen(wrong, False, False)
    for names, baseline in ((["pairs"], False), (["none"], False), (None, True)):
        with pytest.raises(BadInput, match="--lessons-from: expected lessons among the parts of --memory"):
            chosen(names, baseline, True)


# -------------------------------------------------------------------------- critiques, pairs, lessons


def test_a_failed_child_is_looked_at_once_by_its_lineage():
    made = memory(["critiques"])
    known = remember(made, [child(0, 0.0), child(1, 1.0), child(2, 1.0), child(3, None, "1-x")])
    rng = np.random.default_rng(0)
    assert made.carry(["2-x"], rng, []) == {}, "another lineage"
    carried = made.carry(["1-x"], rng, [])
    assert carried == {"reflect": "3-x"}
    assert made.carry(["1-x"], rng, [carried]) == {}, "somebody is at it"
    question = made.reflection(carried, Known(known))
    assert question is not None and "return 3" in question and "crash: ValueError: nothing" in question
    remember(made, [child(4, 1.0, "1-x", details={"critique": {"of": "3-x", "text": "Wrong."}})])
    assert made.carry(["1-x"], rng, []) == {"critiques": ["3-x"]}
    assert made.carry(["4-x"], rng, []) == {"critiques": ["3-x"]}, "its lineage"
    assert made.carry(["2-x"], rng, []) == {}


def test_failures_of_free_operators_are_not_looked_at():
    critiques, archive = Critiques(), Archive()
    failed = child(1, None, model=None)
    critiques.tell(failed, archive.tell(failed))
    assert critiques.wanted(["0-seed"], []) is None


def test_a_pair_is_found_for_a_similar_failure_and_no_other():
    pairs, archive = Pairs(), Archive()
    details = ["IndexError: index 7 is out of bounds for axis 0 with size 5", "5.0 s", "KeyError: 'home'"]
    kinds = ["crash", "timeout", "crash"]
    for n, (kind, detail) in enumerate(zip(kinds, details, strict=True)):
        for trial in (
            child(3 * n + 1, None, failure=kind, detail=detail),
            child(3 * n + 2, 1.0, f"{3 * n + 1}-x"),
        ):
            pairs.tell(trial.index, archive.tell(trial), archive.facts)
    other = Failure("crash", "Traceback\nIndexError: index 9 is out of bounds for axis 1")
    assert pairs.like(other, []) == Pair("1-x", "2-x", f"crash: {details[0]}")
    assert pairs.like(Failure("timeout", "1.0 s"), []) == Pair("4-x", "5-x", "timeout: 5.0 s")
    assert pairs.like(Failure("out_of_memory", "half a GB"), []) is None
    assert pairs.like(Failure("timeout", "1.0 s"), ["4-x"]) is None
    assert likeness(words(Failure("crash", "a b")), words(Failure("crash", "b 3"))) == 2 / 3


def test_a_child_that_its_own_model_mended_is_a_pair_too():
    made = memory(["pairs"])
    crash: Json = {"kind": "crash", "detail": "NameError: name 'near' is not defined"}
    known = remember(made, [child(0, 0.0)])
    made.hear(Event(7, "proposal", {"trial": 1}, {"exchanges": [{}]}))
    made.hear(Event(9, "proposal", {"trial": 1}, {"exchanges": [{"after": crash}]}))
    failed = child(2, None, detail="NameError: name 'far' is not defined", model=None)
    known |= remember(made, [child(1, 1.0), failed])
    carried = made.carry(["2-x"], np.random.default_rng(0), [])
    assert carried == {"pair": [7, "1-x", "crash: NameError: name 'near' is not defined"]}
    recall = Known(known, {7: {"program.py": b"def f(x):\n    return near\n"}})
    text = made.view(carried, [known["2-x"]], recall).text({}, 9_000, 0)
    assert "-    return near" in text and "+    return 1" in text


def lessons_after(trials: Sequence[Trial], made: Lessons | None = None) -> Lessons:
    made, archive = made or Lessons(), Archive()
    for trial in trials:
        fact = archive.tell(trial)
        made.tell(trial, fact and fact.gain)
        while decided := made.judge():
            for each in decided:
                made.hear(Event(0, "lesson", each.decision, each.measured))
    return made


def test_a_lesson_is_drawn_from_every_so_many_children_of_models():
    trials = [child(0, 0.0), *(child(n, float(n)) for n in range(1, EVERY))]
    made = lessons_after(trials)
    assert made.due([]) == []
    lessons_after([child(90, 1.0, model=None)], made)
    assert made.due([]) == [], "a free child teaches nothing here"
    lessons_after([child(EVERY, 1.0)], made)
    assert len(made.due([])) == EVERY and made.due([{"distil": []}]) == []
    lessons_after([child(91, 1.0, carried={"distil": ["1-x"]}, details={"lesson": "Add."})], made)
    assert made.due([]) == [] and [lesson.text for lesson in made.all] == ["Add."]
    again = lessons_after([child(100 + n, 1.0) for n in range(EVERY)], made)
    lessons_after([child(200, None, carried={"distil": ["1-x"]})], again)
    assert again.due([]) == [], "a model that did not answer is not asked again at once"


def test_it_is_drawn_from_the_best_and_the_worst():
    gains = [(f"{n}", float(n % 7)) for n in range(30)] + [("failed", None)]
    found = told_of(gains)
    assert len(found) == SHOWN and found[0] in ("6", "13", "20", "27") and "failed" in found


def carrying(first: int, count: int, lesson: int | None, better: bool) -> list[Trial]:
    carried = {} if lesson is None else {"lesson": lesson}
    return [child(first + n, float(first + n) if better else -1.0, carried=carried) for n in range(count)]


def test_a_lesson_that_never_helps_is_dropped_and_one_that_helps_is_carried_more():
    start = [child(0, 0.0), child(1, 1.0, details={"lesson": "A."}), child(2, 1.0, details={"lesson": "B."})]
    made = lessons_after(start)
    lessons_after(carrying(10, TRIED - 1, 1, better=False) + carrying(40, TRIED, 2, better=True), made)
    assert [lesson.dropped for lesson in made.all] == [False, False]
    drawn = [made.sample(np.random.default_rng(seed)) for seed in range(400)]
    assert drawn.count(2) > 2 * drawn.count(1) and 60 < drawn.count(None) < 140
    lessons_after(carrying(60, 1, 1, better=False), made)
    assert [lesson.dropped for lesson in made.all] == [True, False]
    assert {made.sample(np.random.default_rng(seed)) for seed in range(50)} == {2, None}
    assert made.useful() == ["B."]


def test_a_lesson_that_does_less_than_none_is_dropped():
    made = lessons_after([child(0, 0.0), child(1, 1.0, details={"lesson": "A."})])
    lessons_after(carrying(10, 1, 1, better=True) + carrying(20, COMPARED - 2, 1, better=False), made)
    lessons_after(carrying(100, COMPARED, None, better=True), made)
    assert not made.all[0].dropped
    lessons_after(carrying(200, 1, 1, better=False), made)
    assert made.all[0].dropped


def test_usefulness_is_by_ranks():
    trials = [child(0, 0.0), child(1, 1.0, details={"lesson": "A."}), *carrying(5, 9, 1, better=True)]
    stretched = [
        child(
            t.index, None if t.value is None else t.value**3, carried=dict(t.carried), details=dict(t.details)
        )
        for t in trials
    ]
    assert lessons_after(trials).all[0].mean == lessons_after(stretched).all[0].mean > 0


def test_lessons_of_another_run_stand_at_the_start():
    made = Lessons()
    made.hear(Event(0, "start", {}, {"lessons": [{"text": "Old."}]}))
    lessons_after([child(0, 0.0), child(1, 1.0, details={"lesson": "New."})], made)
    assert [(each.number, each.text) for each in made.all] == [(1, "Old."), (2, "New.")]


def test_the_history_keeps_what_a_prompt_carried():
    decision = {
        "trial": 1, "told": 0, "operator": "rewrite", "model": "m", "parents": ["0-a"], "variant": "1-b",
        "tree": "b", "verdict": "evaluated", "carried": {"lesson": 3},
    }  # fmt: skip
    history = History()
    history.tell(Event(1, "trial", decision, {"scores": [1.0], "seconds": [0.1]}))
    assert history.variants["1-b"].carried == {"lesson": 3}
