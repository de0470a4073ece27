"""What people ask of a run: it becomes events, and takes effect by their place in the order."""

import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from noisy import noisy_score, write_problem
from openai_server import Answer, serving

from evolve.control import FOLDER, MOST_TEXT, Mailbox, Steering, requested
from evolve.doubles import InlineExecutor
from evolve.replaying import replay
from evolve.restored import restore
from evolve.run import RunOptions, run
from evolve.types import BadInput, Event, Json
from fitness.doubles import SyntheticFitness
from fitness.verify import verify
from populations.ledger import GitLedger

VARIANTS = ("0-aaaaaa", "7-bbbbbb")


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("pause", "request: expected an object"),
        ({}, "action: expected one of"),
        ({"action": "explode"}, "got 'explode'"),
        (
            {"action": "pause", "variant": VARIANTS[0]},
            "request to pause: expected only the action, got variant",
        ),
        ({"action": "pin"}, "variant: expected the id"),
        ({"action": "ban", "variant": "9-cccccc"}, "got '9-cccccc'"),
        ({"action": "ban", "variant": ["x"]}, "variant: expected the id"),
        ({"action": "note", "text": ""}, "text: expected text"),
        ({"action": "note", "text": 5}, "got 5"),
        ({"action": "hint", "text": "x" * (MOST_TEXT + 1)}, f"{MOST_TEXT + 1} signs"),
        ({"action": "budget"}, "limits: expected numbers"),
        ({"action": "budget", "limits": {"hours": 1}}, "limits: expected numbers"),
        ({"action": "budget", "limits": {"trials": 1.5}}, "a whole number above 0, got 1.5"),
        ({"action": "budget", "limits": {"usd": -1}}, "limits.usd: expected a number above 0"),
        ({"action": "budget", "limits": {"seconds": True}}, "limits.seconds: expected a number"),
    ],
)
def test_a_request_that_no_run_could_do_is_refused_in_a_line(value: Json, says: str) -> None:
    with pytest.raises(BadInput) as caught:
        requested(value, VARIANTS)
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_requests_come_in_order_and_go_when_they_are_dropped(tmp_path: Path) -> None:
    mail = Mailbox(tmp_path / "control")
    names = [mail.put({"action": "note", "text": f"{n}"}) for n in range(3)]
    letters = mail.take()
    assert [letter.name for letter in letters] == names
    assert [letter.value["text"] for letter in letters] == ["0", "1", "2"]
    assert (tmp_path / "control").stat().st_mode & 0o077 == 0
    mail.drop(names[:2])
    assert [letter.name for letter in mail.take()] == names[2:] and mail.waits(names[2])


def test_only_what_its_own_user_wrote_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "control"
    mail = Mailbox(folder)
    (tmp_path / "elsewhere.json").write_text('{"action": "stop"}')
    mail.put({"action": "pause"})
    (folder / "1.json").symlink_to(tmp_path / "elsewhere.json")
    (folder / "2.json").write_text("{not json")
    (folder / "3.json").write_text('{"pad": "' + "x" * 70_000 + '"}')
    os.mkfifo(folder / "4.json")
    assert [letter.value for letter in mail.take()] == [{"action": "pause"}]
    folder.chmod(0o777)
    assert mail.take() == []
    with pytest.raises(BadInput, match="only you may write"):
        mail.put({"action": "pause"})


@dataclass
class Person:
    """Hears a run, and leaves requests when it is time."""

    to: Path
    plan: dict[int, Callable[[str], Json]]  # trial -> a request, given the newest variant
    events: list[Event] = field(default_factory=list)

    def tell(self, event: Event) -> None:
        self.events.append(event)
        ask = self.plan.get(event.decision.get("trial", -1)) if event.kind == "trial" else None
        if ask is not None:
            Mailbox(self.to / "evolve" / FOLDER).put(ask(str(event.variant)))

    def parents_after(self, action: str) -> list[str]:
        at = next(e.index for e in self.events if e.kind == "control" and e.decision["action"] == action)
        told = [e for e in self.events if e.kind == "trial" and e.decision["told"] >= at]
        return [parent for event in told for parent in event.decision["parents"]]


def play(
    tmp_path: Path, plan: dict[int, Callable[[str], Json]], kind: type[Person] | None = None, **options: Any
) -> tuple[Person, dict[str, Any]]:
    folder = tmp_path / "numbers"
    if not folder.exists():
        write_problem(folder, search=4, sealed=6, n_max=40)
    person = (kind or Person)(tmp_path / "run.git", plan)
    chosen: dict[str, Any] = {"trials": 60, "operators": ("evolve.doubles.Nudge",), **options}
    result = run(
        RunOptions(str(folder), person.to, **chosen),
        [person],
        executor=InlineExecutor(SyntheticFitness(noisy_score), 1),
    )
    return person, result


def checked(path: Path, tmp_path: Path) -> None:
    """The run verifies, and replay makes the same decisions."""
    with GitLedger.read(path) as ledger:
        assert verify(ledger.events()) == []
        found = replay(ledger, restore(ledger, tmp_path / "restored"))
        assert found.different == [] and found.digest == ledger.digest()


def test_a_banned_variant_has_no_more_children(tmp_path: Path) -> None:
    person, _ = play(tmp_path, {20: lambda newest: {"action": "ban", "variant": "0-" + seed_tree(tmp_path)}})
    banned = next(e.decision["variant"] for e in person.events if e.kind == "control")
    assert banned in [e.decision["parents"][0] for e in trials(person)[:10]]
    assert person.parents_after("ban") and banned not in person.parents_after("ban")
    checked(person.to, tmp_path)


def seed_tree(tmp_path: Path) -> str:
    with GitLedger.read(tmp_path / "run.git") as ledger:
        return next(iter(ledger.variants())).partition("-")[2]


def trials(person: Person) -> list[Event]:
    return [event for event in person.events if event.kind == "trial" and event.decision["parents"]]


def test_a_pinned_variant_breeds(tmp_path: Path) -> None:
    person, _ = play(tmp_path, {10: lambda newest: {"action": "pin", "variant": newest}}, trials=80)
    pinned = next(e.decision["variant"] for e in person.events if e.kind == "control")
    after = person.parents_after("pin")
    assert after.count(pinned) > len(after) / 10  # a quarter is meant
    checked(person.to, tmp_path)


def test_a_banned_challenger_opens_no_duel(tmp_path: Path) -> None:
    plan = {n: (lambda newest: {"action": "ban", "variant": newest}) for n in range(1, 40)}
    person, _ = play(tmp_path, plan, trials=40)
    banned = {e.decision["variant"]: e.index for e in person.events if e.kind == "control"}
    opened = [e for e in person.events if e.kind == "duel_open"]
    assert len(banned) > 20
    assert not [e for e in opened if e.index > banned.get(e.decision["challenger"], 10**9)]
    checked(person.to, tmp_path)


class Forbidding(Person):
    """Bans whoever opens a duel."""

    def tell(self, event: Event) -> None:
        super().tell(event)
        if event.kind == "duel_open":
            request = {"action": "ban", "variant": event.decision["challenger"]}
            Mailbox(self.to / "evolve" / FOLDER).put(request)


def test_the_open_duel_of_a_banned_challenger_ends(tmp_path: Path) -> None:
    person, _ = play(tmp_path, {}, kind=Forbidding)
    banned = {e.decision["variant"]: e.index for e in person.events if e.kind == "control"}
    closed = [e for e in person.events if e.kind == "duel_close" and e.decision["verdict"] == "banned"]
    assert closed and all(banned[str(e.variant)] < e.index for e in closed)
    promoted = [e for e in person.events if e.kind == "promotion"]
    assert not [e for e in promoted if e.index > banned.get(str(e.variant), 10**9)]
    checked(person.to, tmp_path)


def test_stop_records_what_is_finished_and_keeps_the_sealed_set_closed(tmp_path: Path) -> None:
    person, result = play(tmp_path, {15: lambda newest: {"action": "stop"}})
    assert result["stopped_by"] == "request" and 15 <= result["trials"] < 30
    assert [e.kind for e in person.events][-1] == "stop"
    assert not [e for e in person.events if e.kind == "sealed"]
    person, result = play(tmp_path, {})  # and the same command goes on
    assert result["stopped_by"] == "trials" and result["trials"] == 60
    checked(person.to, tmp_path)


def test_a_raised_budget_goes_on(tmp_path: Path) -> None:
    person, result = play(tmp_path, {20: lambda newest: {"action": "budget", "limits": {"trials": 75}}})
    assert result["trials"] == 75 and result["stopped_by"] == "trials"
    checked(person.to, tmp_path)


def test_a_pause_starts_nothing_and_takes_no_time_of_the_budget(tmp_path: Path) -> None:
    paused, going_on = threading.Event(), []

    class Waiter(Person):
        def tell(self, event: Event) -> None:
            super().tell(event)
            if event.kind == "control" and event.decision["action"] == "pause":
                paused.set()

    write_problem(tmp_path / "numbers", search=4, sealed=6, n_max=40)
    person = Waiter(tmp_path / "run.git", {10: lambda newest: {"action": "pause"}})

    def later() -> None:
        assert paused.wait(300)
        time.sleep(3.0)
        going_on.append(len(person.events))
        Mailbox(person.to / "evolve" / FOLDER).put({"action": "resume"})

    thread = threading.Thread(target=later)
    thread.start()
    options = RunOptions(str(tmp_path / "numbers"), person.to, trials=30, operators=("evolve.doubles.Nudge",))
    run(options, [person], executor=InlineExecutor(SyntheticFitness(noisy_score), 1))
    thread.join()
    controls = [e for e in person.events if e.kind == "control"]
    assert [e.decision["action"] for e in controls] == ["pause", "resume"]
    started = [e for e in person.events[controls[0].index + 1 : controls[1].index] if e.kind == "trial"]
    assert len(started) <= 2  # what was in flight landed
    assert (
        controls[1].measured["elapsed"] - controls[0].measured["elapsed"] < 2.9
    )  # of the three seconds that it took
    checked(person.to, tmp_path)


def test_a_request_is_done_once_though_a_kill_came_before_it_was_dropped(tmp_path: Path) -> None:
    person, _ = play(tmp_path, {10: lambda newest: {"action": "note", "text": "why?"}}, trials=20)
    name = next(e.measured["request"] for e in person.events if e.kind == "control")
    again = person.to / "evolve" / FOLDER / f"{name}.json"
    again.write_text(json.dumps({"action": "note", "text": "why?"}))
    person, _ = play(tmp_path, {}, trials=25)
    with GitLedger.read(person.to) as ledger:
        assert sum(event.kind == "control" for event in ledger.events()) == 1
    assert not again.exists()


def test_what_lies_there_is_heeded_by_the_next_session(tmp_path: Path) -> None:
    person, _ = play(tmp_path, {}, trials=10)
    Mailbox(person.to / "evolve" / FOLDER).put({"action": "note", "text": "between"})
    Mailbox(person.to / "evolve" / FOLDER).put({"action": "ban", "variant": "nobody"})  # is thrown away
    person, _ = play(tmp_path, {}, trials=20)
    assert [e.decision for e in person.events if e.kind == "control"] == [
        {"action": "note", "text": "between"}
    ]


def test_nothing_asked_draws_nothing(tmp_path: Path) -> None:
    class Counting:
        draws = 0

        def random(self) -> float:
            self.draws += 1
            return 0.0

    class Seed:
        def ask(self, rng: Any, count: int, pending: Any) -> tuple[str, ...]:
            return ("0-aaaaaa",) * count

    rng = Counting()
    assert Steering().parents(Seed(), rng, 2, []) == ("0-aaaaaa", "0-aaaaaa") and rng.draws == 0  # type: ignore[arg-type]


def test_a_hint_stands_in_the_next_prompts_and_the_replay_has_it_too(tmp_path: Path) -> None:
    def answer(body: dict[str, Any], number: int) -> Answer:
        return Answer(f"A number.\n```python\ndef solve(case):\n    return 0.{number + 1:03d}\n```\n")

    words = "try primes {braces} & <b>"
    plan = {
        4: lambda newest: {"action": "hint", "text": words},
        10: lambda newest: {"action": "hint", "text": ""},
    }
    with serving(answer) as server:
        model = f"openai/small,base={server.url},price=0.1/0.1,at_once=1"
        os.environ.setdefault("OPENAI_API_KEY", "sk-test")
        person, _ = play(tmp_path, plan, trials=16, models=(model,), operators=("rewrite",))
        prompts = [request["messages"][-1]["content"] for request in server.requests]
    hinted = [words in prompt for prompt in prompts]
    assert not any(hinted[:4]) and any(hinted) and not hinted[-1]
    named = [e.decision.get("hint") for e in person.events if e.kind == "trial"]
    assert sum(hint is not None for hint in named) == sum(hinted)
    checked(person.to, tmp_path)
