"""An instance is {"nodes": n, "edges": [[a, b], ...]}, nodes being numbered from 0.
An answer is a list of n sides, 0 or 1; it is worth the share of edges between different sides. All can be.
"""

NODES, EDGES = 24, 70


def instance(rng):
    side = [n % 2 for n in range(NODES)]
    rng.shuffle(side)
    pairs = [[a, b] for a in range(NODES) for b in range(a) if side[a] != side[b]]
    return {"nodes": NODES, "edges": rng.sample(pairs, EDGES)}


def guess(instance, rng):
    return [rng.randint(0, 1) for _ in range(instance["nodes"])]


def value(instance, answer):
    sides = [each for each in answer if type(each) is int and each in (0, 1)]
    if len(sides) != len(answer) or len(answer) != instance["nodes"]:
        raise ValueError("not a list of so many sides")
    return sum(answer[a] != answer[b] for a, b in instance["edges"]) / len(instance["edges"])
