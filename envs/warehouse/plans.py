"""The best plans known for the six warehouses, at default options.

The manipulator is the bottleneck: it needs ten steps for each tool, so tools leave the table at steps 10, 20, ...
at the earliest, and a good plan keeps it busy while the robots that get the next tools are back in time.
"""

from __future__ import annotations

from typing import NamedTuple


class Plan(NamedTuple):
    """For each agent its choices of macro-actions one after the other (the last repeats), and what they bring."""

    earns: float  # undiscounted return
    steps: int  # until the last tool is delivered
    choices: tuple[tuple[int, ...], ...]


PLANS = {
    "S": Plan(259.0, 41, ((2, 2, 0, 2), (2, 0, 2, 0), (3, 2, 4, 1, 5, 2, 0))),
    "D": Plan(533.0, 67, ((3, 0, 3, 0, 3, 0, 3), (3, 3, 1, 3, 1, 3, 1), (3, 1, 3, 2, 4, 1, 4, 2, 5, 1, 5, 2, 0))),
    "D1": Plan(533.0, 67, ((3, 0, 3, 0, 3, 1, 3), (3, 3, 0, 3, 1, 3, 1), (3, 1, 4, 2, 5, 1, 3, 2, 4, 1, 5, 2, 0))),
    "T": Plan(
        803.0,
        97,
        (
            (4, 4, 1, 2, 4, 4, 1, 2, 4, 4, 1, 2, 4),
            (4, 4, 4, 0, 4, 4, 0, 4, 4, 0),
            (3, 1, 3, 1, 3, 2, 4, 4, 1, 1, 4, 2, 5, 5, 1, 1, 5, 2, 0),
        ),
    ),
    "T1": Plan(
        803.0,
        97,
        (
            (4, 4, 4, 0, 4, 4, 0, 4, 4, 0),
            (4, 2, 4, 4, 2, 4, 4, 2, 4),
            (4, 4, 1, 4, 4, 1, 4, 4, 1, 4),
            (4, 2, 4, 3, 4, 1, 5, 2, 5, 3, 5, 1, 6, 2, 6, 3, 6, 1, 0),
        ),
    ),
    "Q": Plan(
        1053.0,
        127,
        (
            (5, 5, 5, 0, 5, 5, 5, 0, 5, 5, 5, 0, 5),
            (5, 1, 5, 5, 2, 5, 3, 5, 5, 1, 5, 5, 2),
            (5, 5, 3, 5, 5, 1, 5, 5, 2, 5, 3, 5),
            (4, 2, 4, 3, 4, 1, 4, 2, 5, 3, 5, 2, 5, 1, 5, 3, 6, 2, 6, 3, 6, 1, 6, 2, 0),
        ),
    ),
}
