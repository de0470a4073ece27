import numpy as np


def priority(item, bins):
    # EVOLVE-BLOCK-START
    residual = bins - item
    ratio = item / bins
    square = residual * residual
    fullest = residual.min()
    emptiest = residual.max()
    score = -residual
    return score
    # EVOLVE-BLOCK-END
