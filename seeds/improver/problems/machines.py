"""An instance is {"machines": m, "hours": [...], "shortest": h}: jobs that m machines can do in h hours.
An answer is a list of machine numbers from 0 to m - 1, one a job; it is worth h over the hours of the machine
that works longest.
"""

import itertools

MACHINES, HOURS, CUTS = 5, 100, 3


def instance(rng):
    hours = []
    for _ in range(MACHINES):
        cuts = [0, *sorted(rng.sample(range(5, HOURS - 5), CUTS)), HOURS]
        hours += [high - low for low, high in itertools.pairwise(cuts)]
    rng.shuffle(hours)
    return {"machines": MACHINES, "hours": hours, "shortest": HOURS}


def guess(instance, rng):
    return [rng.randrange(instance["machines"]) for _ in instance["hours"]]


def value(instance, answer):
    hours, machines = instance["hours"], range(instance["machines"])
    if len(answer) != len(hours) or any(type(each) is not int or each not in machines for each in answer):
        raise ValueError("not a machine number a job")
    busy = [0] * len(machines)
    for each, machine in zip(hours, answer, strict=True):
        busy[machine] += each
    return instance["shortest"] / max(busy)
