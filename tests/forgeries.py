"""Ways to forge a run whose every hash is valid, and where each must show: an event and a field of it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace

from evolve.types import Event
from fitness.intervals import mean_interval
from fitness.verify import STRETCH

Events = list[Event]


@dataclass(frozen=True, slots=True)
class Forged:
    """A forged history; `at` is the event that must be named, `field` what of it."""

    events: Events
    at: int
    field: str
    edited: int | None = None  # an event whose pairs were edited: named as what the mismatch follows from


def find(events: Events, kind: str, *, after: int = -1, nth: int = 0, **decision: object) -> int:
    """Position of the nth event of a kind with these decisions."""
    return [
        i
        for i, event in enumerate(events)
        if i > after
        and event.kind == kind
        and all(event.decision.get(key) == value for key, value in decision.items())
    ][nth]


def edit(events: Events, i: int, part: str, **values: object) -> Events:
    """With other values in one part of one event."""
    changed = replace(events[i], **{part: {**getattr(events[i], part), **values}})
    return [*events[:i], changed, *events[i + 1 :]]


def numbered(events: Events) -> Events:
    """What a careful forger does: indices, and what refers to them, closed up again."""
    new = {event.index: position for position, event in enumerate(events)}

    def told(event: Event, position: int) -> Event:
        if "told" not in event.decision:
            return replace(event, index=position)
        before = [new[i] for i in range(event.decision["told"] + 1) if i in new]
        decision = {**event.decision, "told": max(before, default=0)}
        return replace(event, index=position, decision=decision)

    return [told(event, position) for position, event in enumerate(events)]


def without(events: Events, *dropped: int) -> Events:
    return numbered([event for i, event in enumerate(events) if i not in dropped])


def moved(event: Event, side: str, by: float) -> dict[str, list[float]]:
    """The scores of one side, the first that no clipping hides moved."""
    pairs = zip(event.measured["challenger"], event.measured["champion"], strict=True)
    n = next(n for n, (challenger, champion) in enumerate(pairs) if abs(challenger - champion) < 0.8)
    return {side: [x + by if i == n else x for i, x in enumerate(event.measured[side])]}


def lost(events: Events) -> tuple[int, int]:
    """Number of a duel that was lost, and where it was closed; not the last one, and with equals after it."""
    i = find(events, "duel_close", verdict="futile")
    return events[i].decision["duel"], i


def closing(events: Events, duel: int) -> int:
    return find(events, "duel_close", duel=duel)


# ------------------------------------------------------------------------------------------------ evidence


def edited_pair(events: Events) -> Forged:
    duel, end = lost(events)
    i = find(events, "duel_batch", duel=duel)
    scores = moved(events[i], "challenger", -0.01)
    return Forged(edit(events, i, "measured", **scores), end, "log_e", i)


def edited_winning_pair(events: Events) -> Forged:
    i = find(events, "promotion")
    batch = find(events, "duel_batch", duel=events[i].decision["duel"])
    scores = moved(events[batch], "champion", -0.01)
    return Forged(edit(events, batch, "measured", **scores), i, "log_e", batch)


def edited_check_pair(events: Events) -> Forged:
    i = find(events, "duel_batch", phase="check")
    end = closing(events, events[i].decision["duel"])
    scores = moved(events[i], "champion", -0.01)
    return Forged(edit(events, i, "measured", **scores), end, "duel_gain", i)


def swapped_sides(events: Events) -> Forged:
    duel, end = lost(events)
    i = find(events, "duel_batch", duel=duel)
    sides = events[i].measured
    swapped = edit(events, i, "measured", challenger=sides["champion"], champion=sides["challenger"])
    return Forged(swapped, end, "log_e", i)


def reused_check_pairs(events: Events) -> Forged:
    """The pairs that proved it once more as its check, with the gain that follows from them."""
    duel = events[find(events, "promotion")].decision["duel"]
    own = [i for i, event in enumerate(events) if event.decision.get("duel") == duel]
    batches = {
        phase: [i for i in own if events[i].decision.get("phase") == phase] for phase in ("duel", "check")
    }
    sides = ("challenger", "champion")
    had = {side: [x for i in batches["duel"] for x in events[i].measured[side]] for side in sides}
    forged, used, gains, at = events, 0, list[float](), -1
    for i in batches["check"]:
        count = events[i].decision["count"]
        copied = {side: had[side][used : used + count] for side in sides}
        sound = {side: [*copied[side], *events[i].measured[side][len(copied[side]) :]] for side in sides}
        forged = edit(forged, i, "measured", **sound)
        gains += [a - b for a, b in zip(*(sound[side] for side in sides), strict=True)]
        at = i if at < 0 and used + count >= STRETCH else at
        used += count
    interval = mean_interval(gains)
    assert interval is not None
    claim = {"duel_gain": sum(gains) / len(gains), "duel_gain_interval": list(interval)}
    return Forged(edit(forged, closing(events, duel), "measured", **claim), at, "challenger")


def check_counted_twice(events: Events) -> Forged:
    i = find(events, "duel_batch", phase="check")
    return Forged(numbered([*events[: i + 1], events[i], *events[i + 1 :]]), i + 1, "first draw")


def other_draws(events: Events) -> Forged:
    i = find(events, "duel_batch", phase="duel")
    return Forged(edit(events, i, "decision", first=100), i, "first draw")


def skipped_batch(events: Events) -> Forged:
    duel, _ = lost(events)
    i = find(events, "duel_batch", duel=duel)
    following = find(events, "duel_batch", after=i, duel=duel)
    return Forged(without(events, i), following - 1, "first draw")


def exchanged_batches(events: Events) -> Forged:
    duel, _ = lost(events)
    i = find(events, "duel_batch", duel=duel)
    j = find(events, "duel_batch", duel=duel, after=i)
    forged = list(events)
    forged[i], forged[j] = replace(events[j], index=i), replace(events[i], index=j)
    return Forged(forged, i, "first draw")


def champion_said_to_be_known(events: Events) -> Forged:
    i = find(events, "duel_batch", phase="duel")
    return Forged(edit(events, i, "measured", ran=events[i].decision["count"]), i, "ran")


def hidden_retries(events: Events) -> Forged:
    i = next(
        i for i, event in enumerate(events) if "retries" in event.measured and event.kind == "duel_batch"
    )
    measured = {key: value for key, value in events[i].measured.items() if key != "retries"}
    forged = [*events[:i], replace(events[i], measured=measured), *events[i + 1 :]]
    return Forged(forged, closing(events, events[i].decision["duel"]), "measured keys")


def shifted_retries(events: Events) -> Forged:
    """Said to have been the champion's fault."""
    i = next(
        i for i, event in enumerate(events) if "retries" in event.measured and event.kind == "duel_batch"
    )
    turned = dict(
        zip(("challenger", "champion"), reversed(events[i].measured["retries"].values()), strict=True)
    )
    end = closing(events, events[i].decision["duel"])
    return Forged(edit(events, i, "measured", retries=turned), end, "retries", i)


# ------------------------------------------------------------------------------------------------- duels


def dropped_lost_duel(events: Events) -> Forged:
    duel, _ = lost(events)
    gone = {i for i, event in enumerate(events) if event.decision.get("duel") == duel}
    return Forged(without(events, *gone), min(gone), "duel_open")


def dropped_lost_duel_with_later_ones_renamed(events: Events) -> Forged:
    duel, _ = lost(events)
    gone = {i for i, event in enumerate(events) if event.decision.get("duel") == duel}

    def renamed(event: Event) -> Event:
        number = event.decision.get("duel")
        later = number is not None and number > duel
        return replace(event, decision={**event.decision, "duel": number - 1}) if later else event

    return Forged([renamed(event) for event in without(events, *gone)], min(gone), "duel_open")


def exchanged_challenger(events: Events) -> Forged:
    i = find(events, "duel_open", nth=1)
    other = next(
        event.variant
        for event in events[1:i]
        if event.kind == "trial" and event.variant and event.variant != events[i].variant
    )
    forged = edit(events, i, "decision", challenger=other)
    forged[i] = replace(forged[i], variant=other)
    return Forged(forged, i, "challenger")


def pairs_of_another_program(events: Events) -> Forged:
    i = find(events, "duel_batch", nth=1)
    other = events[find(events, "trial", trial=0)].variant
    return Forged([*events[:i], replace(events[i], variant=other), *events[i + 1 :]], i, "variant")


def second_chance(events: Events) -> Forged:
    """Who has lost duels again in place of the next one."""
    _, end = lost(events)
    again = events[end].variant
    i = find(events, "duel_open", after=end)
    forged = edit(events, i, "decision", challenger=again)
    forged[i] = replace(forged[i], variant=again)
    return Forged(forged, i, "challenger")


def respread_levels(events: Events) -> Forged:
    forged = [
        replace(event, decision={**event.decision, "level": 0.01}) if event.kind == "duel_open" else event
        for event in events
    ]
    return Forged(forged, find(events, "duel_open"), "level")


def one_higher_level(events: Events) -> Forged:
    i = find(events, "duel_open", nth=2)
    return Forged(edit(events, i, "decision", level=0.002), i, "level")


def early_promotion(events: Events) -> Forged:
    """Called proven a batch before the boundary."""
    duel, _ = lost(events)
    i = find(events, "duel_batch", duel=duel)
    opened = events[find(events, "duel_open", duel=duel)]
    decision = {"promotion": 1, "duel": duel, "variant": opened.variant}
    decision |= {"champion": opened.decision["champion"], "n": events[i].decision["count"]}
    promotion = Event(-1, "promotion", decision, {"log_e": 7.5}, opened.variant)
    return Forged(numbered([*events[: i + 1], promotion, *events[i + 1 :]]), i + 1, "promotion")


def loser_promoted(events: Events) -> Forged:
    duel, end = lost(events)
    close = events[end]
    decision = {"promotion": 1, "duel": duel, "variant": close.variant}
    decision |= {"champion": events[find(events, "duel_open", duel=duel)].decision["champion"]}
    decision |= {"n": close.decision["n"]}
    promotion = Event(-1, "promotion", decision, {"log_e": 7.5}, close.variant)
    return Forged(numbered([*events[:end], promotion, *events[end:]]), end, "kind")


def early_close(events: Events) -> Forged:
    duel, _ = lost(events)
    i = find(events, "duel_batch", duel=duel)
    close = Event(-1, "duel_close", {"duel": duel, "verdict": "futile", "n": 10}, {}, events[i].variant)
    return Forged(numbered([*events[: i + 1], close, *events[i + 1 :]]), i + 1, "duel_close")


def raised_e_value(events: Events) -> Forged:
    i = find(events, "promotion")
    return Forged(edit(events, i, "measured", log_e=events[i].measured["log_e"] + 1), i, "log_e")


def other_champion_crowned(events: Events) -> Forged:
    i = find(events, "promotion")
    other = events[find(events, "trial", trial=0)].variant
    forged = edit(events, i, "decision", variant=other)
    forged[i] = replace(forged[i], variant=other)
    return Forged(forged, i, "variant")


def demotion_left_out(events: Events) -> Forged:
    i = find(events, "demotion")
    return Forged(without(events, i), i, "kind")


def undone_called_promoted(events: Events) -> Forged:
    i = find(events, "duel_close", verdict="undone")
    return Forged(edit(events, i, "decision", verdict="promoted"), i, "verdict")


def better_duel_gain(events: Events) -> Forged:
    i = find(events, "duel_close", verdict="promoted")
    low, high = events[i].measured["duel_gain_interval"]
    forged = edit(events, i, "measured", duel_gain_interval=[low + 0.01, high])
    return Forged(forged, i, "duel_gain_interval")


# ------------------------------------------------------------------------------------------------- the start


def fewer_planned_duels(events: Events) -> Forged:
    account = {**events[0].decision["account"], "duels": 10}
    return Forged(edit(events, 0, "decision", account=account), find(events, "duel_open"), "level")


def other_n_max(events: Events) -> Forged:
    """More pairs than were frozen: who ran out of them could have gone on."""
    return Forged(edit(events, 0, "measured", n_max=events[0].measured["n_max"] + 1), 0, "n_max")


def other_nonce(events: Events) -> Forged:
    return Forged(edit(events, 0, "measured", nonce="0" * 64), 0, "nonce")


def other_direction(events: Events) -> Forged:
    return Forged(edit(events, 0, "decision", direction="minimise"), 0, "direction")


def account_changed_midway(events: Events) -> Forged:
    i = find(events, "resume")
    return Forged(edit(events, i, "decision", changes={"account": {}}), i, "changes of what is frozen")


# ------------------------------------------------------------------------------------------------- the search


def dropped_trial(events: Events) -> Forged:
    used = {event.decision.get("challenger") for event in events}
    used |= {id for event in events if event.kind == "trial" for id in event.decision["parents"]}
    i = next(i for i, e in enumerate(events) if e.kind == "trial" and i > 3 and e.variant not in used)
    return Forged(without(events, i), find(without(events, i), "stop"), "trials")


def lowered_search_score(events: Events) -> Forged:
    """Of who challenged: it had no right to."""
    i = find(events, "duel_open", nth=1)
    trial = find(events, "trial", variant=events[i].variant)
    scores = [-1.0] * len(events[trial].measured["scores"])
    return Forged(edit(events, trial, "measured", scores=scores), i, "duel_open")


def cut_out_event(events: Events) -> Forged:
    return Forged(events[:40] + events[41:], 41, "index")


def score_that_is_none(events: Events) -> Forged:
    i = find(events, "duel_batch")
    nothing = [None] * events[i].decision["count"]
    return Forged(edit(events, i, "measured", challenger=nothing), i, "event")


# ------------------------------------------------------------------------------------------------- the claim


def sealed_before_the_end(events: Events) -> Forged:
    """Opened while there was still something to choose."""
    i = find(events, "sealed")
    before = i - 1
    while events[before].kind != "trial":
        before -= 1
    forged = [*events[:before], events[i], *events[before:i], *events[i + 1 :]]
    return Forged(numbered(forged), before + 1, "order")


def reopened_without_a_label(events: Events) -> Forged:
    i = find(events, "sealed", opening=2)
    return Forged(edit(events, i, "decision", seen=False), i, "seen")


def first_opening_forgotten(events: Events) -> Forged:
    i = find(events, "sealed", opening=1)
    return Forged(without(events, i), find(events, "sealed", opening=2) - 1, "opening")


def other_champion_sealed(events: Events) -> Forged:
    i = find(events, "sealed")
    other = next(
        event.variant
        for event in events
        if event.kind == "trial" and event.variant not in (None, events[i].decision["champion"])
    )
    return Forged(edit(events, i, "decision", champion=other), i, "champion")


def larger_gain(events: Events) -> Forged:
    i = find(events, "sealed")
    return Forged(edit(events, i, "measured", gain=events[i].measured["gain"] + 0.01), i, "gain")


def narrower_interval(events: Events) -> Forged:
    i = find(events, "sealed")
    low, high = events[i].measured["interval"]
    return Forged(edit(events, i, "measured", interval=[low + 0.001, high]), i, "interval")


def edited_sealed_score(events: Events) -> Forged:
    i = find(events, "sealed")
    scores = [*events[i].measured["champion"]]
    scores[3] += 0.5
    return Forged(edit(events, i, "measured", champion=scores), i, "confirmed")


FORGERIES: list[Callable[[Events], Forged]] = [
    edited_pair,
    edited_winning_pair,
    edited_check_pair,
    swapped_sides,
    reused_check_pairs,
    check_counted_twice,
    other_draws,
    skipped_batch,
    exchanged_batches,
    champion_said_to_be_known,
    hidden_retries,
    shifted_retries,
    dropped_lost_duel,
    dropped_lost_duel_with_later_ones_renamed,
    exchanged_challenger,
    pairs_of_another_program,
    second_chance,
    respread_levels,
    one_higher_level,
    early_promotion,
    loser_promoted,
    early_close,
    raised_e_value,
    other_champion_crowned,
    demotion_left_out,
    undone_called_promoted,
    better_duel_gain,
    fewer_planned_duels,
    other_direction,
    account_changed_midway,
    dropped_trial,
    lowered_search_score,
    score_that_is_none,
    sealed_before_the_end,
    reopened_without_a_label,
    first_opening_forgotten,
    other_champion_sealed,
    larger_gain,
    narrower_interval,
    edited_sealed_score,
]


def forge(how: Callable[[Events], Forged], events: Events) -> Forged:
    """Forge a copy."""
    return how(copy.deepcopy(events))
