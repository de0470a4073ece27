"""What language models may use is never passed: by the purse alone, and by a run with 64 calls in flight."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from noisy import noisy_score, write_problem
from openai_server import Answer, serving

from evolve.doubles import InlineExecutor
from evolve.models import Amount
from evolve.models.purse import Limits, Purse, Ticket
from evolve.run import RunOptions, run
from evolve.types import BadInput, Event, Json
from fitness.doubles import SyntheticFitness

AMOUNTS = st.builds(Amount, st.floats(0, 3), st.integers(0, 300), st.just(1))


def told(model: str, used: Amount) -> Event:
    row = {"model": model, "usd": used.usd, "prompt_tokens": used.tokens, "reply_tokens": 0}
    return Event(1, "proposal", {}, {"exchanges": [row]})


@given(st.lists(st.tuples(st.sampled_from("ab"), AMOUNTS, st.floats(0, 1), st.booleans()), max_size=40))
def test_what_is_spent_and_what_is_held_stays_within_every_limit(
    calls: list[tuple[str, Amount, float, bool]],
) -> None:
    whole, own = Limits(usd=10, tokens=1000, calls=12), Limits(usd=4)
    purse, total, of_a = Purse(whole, {"a": own}), Amount(), Amount()
    open_tickets = []
    for model, most, share, later in calls:
        ticket = Ticket(purse, model)
        if not ticket.hold(most):
            continue
        used = Amount(most.usd * share, int(most.tokens * share), 1)
        total, of_a = total.plus(used), of_a.plus(used) if model == "a" else of_a
        ticket.settle(used)
        if later:
            open_tickets.append(ticket)
        else:
            purse.tell(told(model, used))
            ticket.close()
    assert whole.passed(total) is None and own.passed(of_a) is None


def test_a_limit_is_used_to_its_last_cent_and_names_itself() -> None:
    purse = Purse(Limits(usd=0.3))
    for _ in range(3):
        ticket = Ticket(purse, "a")
        assert ticket.hold(Amount(0.1, 5, 1))
        ticket.settle(Amount(0.1, 5, 1))
    assert not Ticket(purse, "a").hold(Amount(0.1, 5, 1))
    assert purse.lacks("a", Amount(0.1, 5, 1)) == "usd"
    assert Purse(Limits(tokens=4)).lacks("a", Amount(0, 5, 1)) == "tokens"
    assert Purse(Limits(calls=1), {"a": Limits(tokens=4)}).lacks("a", Amount(0, 5, 1)) == "tokens"
    assert Purse(Limits(calls=1), {"a": Limits(tokens=4)}).lacks("a", Amount(0, 5, 1), own=False) is None


def test_a_second_question_is_asked_only_if_there_is_room_beside_what_was_paid() -> None:
    purse = Purse(Limits(calls=2))
    ticket = Ticket(purse, "a")
    assert ticket.hold(Amount(0, 9, 1)) and ticket.hold(Amount(0, 5, 1))
    ticket.settle(Amount(0, 3, 1))
    assert ticket.hold(Amount(0, 5, 1)) and purse.lacks("b", Amount(0, 1, 1)) == "calls"
    ticket.settle(Amount(0, 3, 1))
    assert not ticket.hold(Amount(0, 5, 1))
    purse.tell(told("a", Amount(0, 3, 1)))
    purse.tell(told("a", Amount(0, 3, 1)))
    ticket.recorded()
    ticket.close()
    assert purse.lacks("b", Amount(0, 1, 1)) == "calls"


@pytest.mark.parametrize("limits", [{"usd": 0}, {"tokens": -1}, {"calls": 0}, {"usd": float("nan")}])
def test_a_limit_is_above_zero(limits: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        Limits(**limits)


class Billing:
    """A model that bills up to what it was allowed; the first replies come once 60 are being waited for."""

    def __init__(self) -> None:
        self.tokens = 0
        self._many = threading.Event()

    def __call__(self, body: dict[str, Any], number: int) -> Answer:
        most = body["max_tokens"]
        billed = most if number % 3 else most // 7
        prompt = len(body["messages"][0]["content"])
        self.tokens += prompt + billed
        text = f"More.\n```python\ndef solve(case):\n    return 0.{number + 1:03d}\n```"
        if number == 59:
            self._many.set()
        wait = partial(self._many.wait, 600)
        return Answer(text, delay_seconds=0.3, prompt_tokens=prompt, reply_tokens=billed, wait=wait)


def spend(
    folder: Path, monkeypatch: pytest.MonkeyPatch, model: str, **limits: Any
) -> tuple[Json, int, Billing]:
    """A run that only asks a model, with 64 calls in flight."""
    write_problem(folder / "numbers", search=2, sealed=4)
    billing = Billing()
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    with serving(billing) as server:
        options = RunOptions(
            str(folder / "numbers"),
            folder / "run.git",
            trials=400,
            models=(f"openai/mine,at_once=64,reply_tokens=1000,base={server.url},{model}",),
            operators=("rewrite",),
            **limits,
        )
        result = run(options, executor=InlineExecutor(SyntheticFitness(noisy_score), 2))
        return result, max(server.at_once), billing


@pytest.mark.parametrize(
    ("limits", "model", "used"),
    [
        ({"usd": 15.0}, "price=1/100", lambda result, billing: result["usd"]),
        ({}, "price=1/100,usd=15", lambda result, billing: result["usd"]),
        ({"calls": 150}, "price=0/0", lambda result, billing: result["trials"]),
        ({"tokens": 250_000}, "price=0/0", lambda result, billing: billing.tokens),
    ],
    ids=["dollars", "dollars of the model", "calls", "tokens"],
)
def test_no_budget_is_passed_with_64_calls_in_flight(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    limits: dict[str, Any],
    model: str,
    used: Callable[[Json, Billing], float],
) -> None:
    result, at_once, billing = spend(tmp_path, monkeypatch, model, **limits)
    name, limit = next(iter(limits.items()), ("usd", 15.0))
    assert result["stopped_by"] == name
    assert at_once >= 60
    assert limit * 0.9 < used(result, billing) <= limit
