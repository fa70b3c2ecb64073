"""The best plans known for the three kitchens, at default options: for each agent its choices in order.

The last one repeats. With primitive actions a plan is what its macro-actions do, at each step right, down, left, up
or stay.
"""

SCRIPT_STEPS = {"A": 27, "B": 37, "C": 35}

_PRIMITIVE = {
    "A": (
        "RRRULLLLLRDRRRRLLLLLLLLU---",
        "RRDLLLLLLLLULLL--RRRR------",
        "RRRR-U-UUU-DLLLLLLULDDDDLDL",
    ),
    "B": (
        "-DDR--RUULLLLL-DDRRLULLLLRRRLLLLLDRRR",
        "RUDDLLUURRDDLLDDRRUULULRRLLDULDLLLLLL",
        "-UUUUUUUR--UULLLLDRDR--URLLDRRULLLLDL",
    ),
    "C": (
        "DDDDRRURUURDLLDDRRLLLULUULULDDDDLDL",
        "-RUDLDDDDLLUUULLLLLDRR-ULLLLLLLDDD-",
        "RRUUURUURLDDDDLLUUUULLLLLR---------",
    ),
}

SCRIPTS = {
    "A": (
        (1, 6, 3, 7, 9, 6),
        (2, 7, 9, 13, 9, 10),
        (4, 0, 13, 0, 1, 2, 2, 0, 7, 1, 3, 8),
    ),
    "B": (
        (0, 10, 0, 0, 1, 6, 9, 0, 2, 7, 9, 10, 3, 7, 9, 10),
        (1, 10, 2, 10, 4, 10, 3, 10),
        (0, 10, 0, 0, 1, 10, 0, 0, 4, 2, 1, 7, 8),
    ),
    "C": (
        (3, 10, 4, 7, 6, 3, 8),
        (0, 1, 7, 9, 3, 0, 7, 9, 12),
        (2, 6, 9, 11),
    ),
} | {
    f"{name}-primitive": tuple(tuple(map("RDLU-".index, moves)) for moves in plan)
    for name, plan in _PRIMITIVE.items()
}
