"""What a run shows while it runs, on standard error: a live display, or plain lines without a terminal.

Both hear every event in the loop's own thread, so hearing is an append to a queue (the live one) or a fold of
some microseconds (the plain one). The live display folds and draws in its own thread, a few times a second.
"""

from __future__ import annotations

import math
import time
from collections import deque
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from evolve.budget import Budget
from evolve.cli.evidence import Evidence
from evolve.cli.log import control_words
from evolve.cli.screen import bar, dollars, duration, number, odds, one_line, signed
from evolve.cli.story import Duel, Story
from evolve.cli.summary import arm_lines
from evolve.types import Event
from fitness.problem import Problem

CHECK_PAIRS = 30  # fresh pairs after a promotion's decision
DRAWS_A_SECOND = 4
_LINE_EVERY_SECONDS = 10.0
MOST_OPERATORS = 6


class LiveProgress:
    """A few lines at the bottom of the terminal that show where the run stands."""

    def __init__(self, problem: Problem, budget: Budget, console: Console) -> None:
        self.story = Story()
        self._problem = problem
        self._budget = budget
        self._heard: deque[Event] = deque()
        self._evidence = Evidence()
        self._newest = (0.0, time.monotonic())  # the run's seconds, and when we learned of them
        self._waits_for = ""
        self._live = Live(
            console=console,
            get_renderable=self._draw,
            refresh_per_second=DRAWS_A_SECOND,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> Self:
        self._live.start()
        self._live.console.show_cursor(True)  # a killed run could not bring it back
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()
        self._fold()

    def tell(self, event: Event) -> None:
        """Hear one event: nothing but an append, which is atomic."""
        self._heard.append(event)

    def notice(self, text: str) -> None:
        """Hear, from any thread, why the run waits; "": it goes on."""
        self._waits_for = text

    def _fold(self) -> None:
        while self._heard:
            event = self._heard.popleft()
            self.story.tell(event)
            self._budget = _as_raised(self._budget, event)
            self._newest = (event.measured.get("elapsed", self._newest[0]), time.monotonic())

    def _draw(self) -> Text:
        self._fold()
        elapsed, at = self._newest
        # Up to a pause of the whole machinery: then the clock must not run on alone.
        elapsed += time.monotonic() - at
        return draw(self.story, self._problem, self._budget, self._evidence, elapsed, self._waits_for)


def draw(
    story: Story, problem: Problem, budget: Budget, evidence: Evidence, elapsed: float, waits_for: str = ""
) -> Text:
    """The live display."""
    if story.history.start is None:
        return Text(f"{problem.name}: starting ...", style="quiet")
    heading = Text.assemble(
        (problem.name, "key"), f"  seed {story.start.get('seed', 0)}  ", (direction(problem), "quiet")
    )
    rows = [("champion", champion_line(story))]
    if (leader := leader_line(story)) is not None:
        rows.append(("leader", leader))
    rows += [(f"duel {duel.number}", duel_line(story, duel, evidence)) for duel in story.open_duels()]
    rows.append(("trials", trials_line(story)))
    if failures := story.history.failures:
        kinds = ", ".join(f"{count} {kind}" for kind, count in failures.most_common(4))
        rows.append(("", Text(kinds, style="quiet")))
    rows += zip(("operators", *[""] * MOST_OPERATORS), arm_lines(story, MOST_OPERATORS), strict=False)
    rows.append(("budget", budget_line(story, budget, elapsed)))
    rows += [("no reply", Text(one_line(why), style="bad")) for why in story.lost.values()]
    if story.differs:
        rows.append(("replay", Text(f"differs since {one_line(story.differs)}", style="note")))
    if waits_for:
        rows.append(("waiting", Text(one_line(waits_for), style="bad")))
    # lines of text, no table: a table takes rich four times as long, several times a second
    lines = [heading, *(Text.assemble((f"{name:<9} ", "quiet"), row) for name, row in rows)]
    display = Text("\n").join(lines)
    display.no_wrap, display.overflow = True, "ellipsis"
    return display


class PlainProgress:
    """One line at every promotion and, where something happens, one about every ten seconds."""

    def __init__(self, problem: Problem, budget: Budget, console: Console) -> None:
        self.story = Story()
        self._problem = problem
        self._budget = budget
        self._console = console
        self._next_line = time.monotonic() + _LINE_EVERY_SECONDS

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def tell(self, event: Event) -> None:
        """Hear one event, and say so if people would want to know."""
        story = self.story
        lost, differs = dict(story.lost), story.differs
        story.tell(event)
        if event.kind == "control":
            self._budget = _as_raised(self._budget, event)
            self._say(event, f"asked for: {control_words(event.decision)}")
        for model, why in story.lost.items():
            if model not in lost:
                self._say(event, f"no reply: {one_line(why)}")
        if story.differs and not differs:
            self._say(event, f"the prompts are not the recorded ones since {one_line(story.differs)}")
        if event.kind == "trial" and event.decision["trial"] == 0:
            self._say(
                event, f"seed {story.champion}: {number(story.score(story.champion))} {self._problem.unit}"
            )
        elif event.kind == "promotion":
            promotion = story.promotions[-1]
            gain = story.gain_over(promotion.variant, promotion.before)
            self._say(
                event,
                f"promotion {promotion.number}: {promotion.variant} replaces {promotion.before}, "
                f"search score {number(story.score(promotion.variant))} ({signed(gain)})",
            )
        elif event.kind == "demotion":
            self._say(event, f"promotion {event.decision['promotion']} undone by its check pairs")
        elif time.monotonic() >= self._next_line:
            failed = sum(story.history.failures.values())
            champion = f"champion {story.champion} {number(story.score(story.champion))}"
            self._say(
                event,
                f"{story.history.trials} trials ({failed} without a score), {champion}, "
                f"{len(story.open_duels())} open duels, {story.rate():.1f} evaluations/s",
            )

    def notice(self, text: str) -> None:
        """Hear, from any thread, why the run waits; "": it goes on."""
        self._console.out(f"waiting: {one_line(text)}" if text else "going on", highlight=False)

    def _say(self, event: Event, line: str) -> None:
        self._next_line = time.monotonic() + _LINE_EVERY_SECONDS
        elapsed = duration(event.measured.get("elapsed", 0.0))
        self._console.out(f"[{elapsed}] {line}", highlight=False)


# ------------------------------------------------------------------------------------- parts of the display


def direction(problem: Problem) -> str:
    """What is better, in words."""
    less = "less" if problem.sign < 0 else "more"
    return f"{problem.unit or 'score'}, {less} is better"


def champion_line(story: Story) -> Text:
    """The champion, its search score, and what has been proven so far."""
    if story.champion is None:
        return Text("evaluating the seed ...", style="quiet")
    line = Text.assemble((story.champion, "name"), "  ", (number(story.score(story.champion)), "key"))
    proven = [promotion for promotion in story.promotions if not promotion.undone]
    if proven:
        gain = story.gain_over(story.champion, story.history.seed)
        line.append(f"  {signed(gain)} over the seed", style="good" if gain and gain > 0 else "bad")
        line.append(f"  {len(proven)} promotion{'s' * (len(proven) > 1)}", style="quiet")
    else:
        line.append("  the seed, nothing proven yet", style="quiet")
    return line


def leader_line(story: Story) -> Text | None:
    """Who does better than the champion on the search cases, and has not proven it."""
    if (leader := story.leader) is None:
        return None
    return Text.assemble((leader, "name"), f"  {number(story.score(leader))}  ", ("not proven", "quiet"))


def duel_line(story: Story, duel: Duel, evidence: Evidence) -> Text:
    """An open duel: evidence as a bar towards its threshold."""
    if duel.promotion is not None or duel.pairs["check"][0]:
        done = len(duel.pairs["check"][0])
        return Text.assemble(
            (duel.challenger, "name"),
            " ",
            bar(done / CHECK_PAIRS),
            f" proven; {done} of {CHECK_PAIRS} check pairs",
        )
    log_e, needed = evidence.log_e(story, duel), -math.log(duel.level)
    return Text.assemble(
        (duel.challenger, "name"),
        " ",
        bar(log_e / needed),
        f" evidence {odds(log_e)} of {odds(needed)}, {duel.n} pairs",
    )


def trials_line(story: Story) -> Text:
    """Trials, those without a score, the rate."""
    history = story.history
    failed = sum(history.failures.values())
    return Text.assemble(
        (f"{history.trials:,}", "key"),
        f"  {failed:,} without a score  ",
        (f"{story.rate():.1f}", "key"),
        " evaluations/s",
    )


def _as_raised(budget: Budget, event: Event) -> Budget:
    """A budget after an event: a person may have raised it."""
    asked = event.decision["action"] if event.kind == "control" else ""
    return budget.raised(event.decision["limits"]) if asked == "budget" else budget


def budget_line(story: Story, budget: Budget, elapsed: float) -> Text:
    """What is spent of what may be; the budget that is nearest to its end as a bar."""
    history = story.history
    words = {"seconds": duration, "usd": dollars}
    spent = {
        "trials": float(history.trials),
        "seconds": elapsed,
        "usd": history.usd,
        "tokens": float(history.tokens),
        "calls": float(history.calls),
    }
    limits = {name: limit for name in spent if (limit := getattr(budget, name)) is not None}
    if not limits:
        return Text(
            f"none: {duration(elapsed)} so far, Ctrl-C ends the run and keeps everything", style="quiet"
        )
    share = max(spent[name] / limit for name, limit in limits.items())
    texts = [
        f"{words[name](spent[name])} of {words[name](limit)}"
        if name in words
        else f"{spent[name]:,.0f} of {limit:,.0f} {name}"
        for name, limit in limits.items()
    ]
    if "seconds" not in limits:
        texts.append(duration(elapsed))
    return Text.assemble(bar(share, 12), " ", ", ".join(texts))
