import numpy as np


def priority(item, bins):
    """Best fit: the cost of a bin grows with the room that the item would leave, up to a whole bin."""
    # EVOLVE-BLOCK-START
    residual = bins - item
    fill = residual / 100
    cost = residual * (2 - fill)
    score = -cost
    return score
    # EVOLVE-BLOCK-END
