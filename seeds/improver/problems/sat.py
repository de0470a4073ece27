"""An instance is {"variables": n, "clauses": [[a, b, c], ...]}: literal k wants variable k true, -k false.
An answer is a list of n booleans; it is worth the share of clauses of which a literal holds. All can hold.
"""

VARIABLES, CLAUSES = 20, 80


def instance(rng):
    hidden = [rng.random() < 0.5 for _ in range(VARIABLES)]
    clauses = []
    while len(clauses) < CLAUSES:
        chosen = rng.sample(range(1, VARIABLES + 1), 3)
        clause = [k if rng.random() < 0.5 else -k for k in chosen]
        if any((k > 0) == hidden[abs(k) - 1] for k in clause):
            clauses.append(clause)
    return {"variables": VARIABLES, "clauses": clauses}


def guess(instance, rng):
    return [rng.random() < 0.5 for _ in range(instance["variables"])]


def value(instance, answer):
    if len(answer) != instance["variables"] or any(type(each) is not bool for each in answer):
        raise ValueError("not a list of so many booleans")
    held = sum(any((k > 0) == answer[abs(k) - 1] for k in clause) for clause in instance["clauses"])
    return held / len(instance["clauses"])
