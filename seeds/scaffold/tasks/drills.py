"""Small functions over lists of numbers, put together from phrases: hand-written, draws without end."""

import json
import random

KEPT = {
    "all numbers": lambda x: True,
    "the even numbers": lambda x: x % 2 == 0,
    "the odd numbers": lambda x: x % 2 == 1,
    "the positive numbers": lambda x: x > 0,
    "the negative numbers": lambda x: x < 0,
    "the numbers that are multiples of three": lambda x: x % 3 == 0,
}
MADE = {
    "themselves": lambda x: x,
    "their squares": lambda x: x * x,
    "their absolute values": lambda x: abs(x),
    "their doubles": lambda x: 2 * x,
    "their last digits": lambda x: abs(x) % 10,
}
TAKEN = {
    "the sum": lambda found: sum(found),
    "the largest, or 0 where there is none": lambda found: max(found, default=0),
    "the number of different values": lambda found: len(set(found)),
    "a list, in ascending order": lambda found: sorted(found),
}
STREAMS = {"search": 0, "gate": 1, "check": 2, "sealed": 3, "smoke": 4}
SHOWN, HIDDEN = 3, 12


def task(split, seed):
    rng = random.Random(f"{STREAMS[split]}-{seed}")
    kept, made, taken = rng.choice(list(KEPT)), rng.choice(list(MADE)), rng.choice(list(TAKEN))
    examples = [numbers(rng) for _ in range(SHOWN)]
    hidden = [[], [0], *(numbers(rng) for _ in range(HIDDEN - 2))]

    def solution(found):
        return TAKEN[taken]([MADE[made](x) for x in found if KEPT[kept](x)])

    goal = (
        f"Drill {split}-{seed}. Write the file solution.py with a function f(numbers).\n"
        f"Of {kept} in the list take {made}; return {taken}.\n"
        "The list may be empty. examples.json shows some arguments and results."
    )
    shown = [{"arguments": [each], "result": solution(each)} for each in examples]
    return {
        "id": f"drill {split}-{seed}",
        "goal": goal,
        "function": "f",
        "files": {"examples.json": json.dumps({"function": "f", "examples": shown}) + "\n"},
        "hidden": [{"arguments": [each], "result": solution(each)} for each in hidden],
    }


def smoke():
    """The task that a scaffold must solve before anything else is tried."""
    found = task("smoke", 0)
    return {**found, "goal": found["goal"].replace("Drill smoke-0", "Drill smoke")}


def numbers(rng):
    return [rng.randint(-30, 30) for _ in range(rng.randint(1, 9))]


def papers(case):
    return [{"arguments": each["arguments"]} for each in case["hidden"]]


def solved(case, returned):
    return all(
        type(got) is type(each["result"]) and got == each["result"]
        for got, each in zip(returned, case["hidden"], strict=True)
    )
