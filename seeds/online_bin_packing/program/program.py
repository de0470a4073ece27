import numpy as np


def priority(item, bins):
    """Best fit: the less room is left, the better. Share and load are there to be used."""
    # EVOLVE-BLOCK-START
    residual = bins - item
    load = bins.max() - bins
    share = residual / bins
    score = -residual
    return score
    # EVOLVE-BLOCK-END
