"""Permutation flow shops of Taillard's kind (1993): 30 jobs on 10 machines, times uniform in 1 to 99."""

import numpy as np

JOBS, MACHINES = 30, 10
STREAMS = {"search": 0, "gate": 1, "check": 2, "sealed": 3}


def case(split, seed):
    generator = np.random.default_rng([1993, STREAMS[split], seed])
    return {"times": generator.integers(1, 100, (JOBS, MACHINES)).tolist()}


def score(case, answer):
    times = case["times"]
    whole = isinstance(answer, list) and all(type(job) is int for job in answer)
    if not whole or sorted(answer) != list(range(len(times))):
        raise ValueError(f"the order must hold each of the {len(times)} jobs once")
    bound = lower_bound(times)
    return 100 * (makespan(times, answer) - bound) / bound


def makespan(times, order):
    """When the last machine is done with the last job."""
    ready = [0] * len(times[0])
    for job in order:
        before = 0
        for machine, time in enumerate(times[job]):
            before = ready[machine] = max(before, ready[machine]) + time
    return ready[-1]


def lower_bound(times):
    """No order is done before: each machine's work, with the least that comes before and after it."""
    spans = np.array(times)
    before, after = np.cumsum(spans, axis=1) - spans, np.cumsum(spans[:, ::-1], axis=1)[:, ::-1] - spans
    return int(
        max((spans.sum(axis=0) + before.min(axis=0) + after.min(axis=0)).max(), spans.sum(axis=1).max())
    )


def picture(case, answer):
    times, ready, bars = case["times"], [0] * MACHINES, []
    for position, job in enumerate(answer):
        before = 0
        for machine, time in enumerate(times[job]):
            start = max(before, ready[machine])
            before = ready[machine] = start + time
            hue = 360 * position // len(answer)
            place = f'x="{start}" y="{40 * machine}" width="{time}" height="36"'
            bars.append(f'<rect {place} fill="hsl({hue} 60% 60%)"/>')
    view = f"0 0 {ready[-1]} {40 * MACHINES}"
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{view}" width="800">{"".join(bars)}</svg>'
