"""The best plans known for the three kitchens, at default options, found by a local search over macro-actions."""

from __future__ import annotations

Plan = tuple[tuple[int, ...], ...]  # for each agent its choices one after the other; the last one repeats

PLAN_STEPS = {"A": 27, "B": 37, "C": 35}  # primitive steps until the salad is served

MACRO_PLANS: dict[str, Plan] = {
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
}

# What the macro-actions of these plans do, at each step right, down, left, up or stay.
_MOVES = {
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
PRIMITIVE_PLANS: dict[str, Plan] = {
    name: tuple(tuple(map("RDLU-".index, moves)) for moves in agents) for name, agents in _MOVES.items()
}
