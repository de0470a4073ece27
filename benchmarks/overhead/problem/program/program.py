"""Five coordinates of a point in space."""


# EVOLVE-BLOCK-START
def solve():
    """Only the numbers matter."""
    unit = 1.0 * 1.0
    a = 1.0
    b = 1.0
    c = 1.0
    d = 1.0
    e = 1.0
    return [unit * a, unit * b, c + 0.0, d + 0.0, e - 0.0]


# EVOLVE-BLOCK-END


def main():
    return solve()
