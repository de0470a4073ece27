def choose(case):
    values, weights, left = case["values"], case["weights"], case["capacity"]
    order = sorted(range(len(values)), key=lambda i: -priority(values[i], weights[i]))
    chosen = []
    for i in order:
        if weights[i] <= left:
            chosen.append(i)
            left -= weights[i]
    return chosen


# Only what stands between the markers may change. Without any markers the whole file may.
# EVOLVE-BLOCK-START
def priority(value, weight):
    """How much an item is wanted. Name what might matter: mutations combine the names that they find."""
    net = value - weight
    both = value + weight
    score = value
    return score


# EVOLVE-BLOCK-END
