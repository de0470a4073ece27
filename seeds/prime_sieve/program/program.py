def total(below):
    # EVOLVE-BLOCK-START
    root = int(below**0.5) + 1
    composite = [False] * below
    found = 0
    for number in range(2, below):
        square = number * number
        twice = 2 * number
        if not composite[number]:
            found += number
            for multiple in range(twice, below, number):
                composite[multiple] = True
    return found
    # EVOLVE-BLOCK-END
