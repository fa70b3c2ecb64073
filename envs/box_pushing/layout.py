"""The grid as data: headings, macro-actions, and where waypoints, boxes and robots are on a grid of any size.

Source: docs/specifications/box_pushing.md, section 1 (closed form of the table) and section 3 (macro-actions).
"""

from __future__ import annotations

from typing import NamedTuple

UP, RIGHT, DOWN, LEFT = range(4)  # headings
DIRECTIONS = ((0, 1), (1, 0), (0, -1), (-1, 0))  # step (columns, rows) of each heading
MACRO_ACTIONS = (
    *("go to small box 0", "go to small box 1", "go to big box (left)", "go to big box (right)"),
    *("push", "turn left", "turn right", "stay"),
)
PUSH, TURN_LEFT, TURN_RIGHT, STAY = 4, 5, 6, 7  # the macro-actions below PUSH go to the waypoint of that number


class Layout(NamedTuple):
    """A grid of `size` columns and rows; cells are (column, row), columns to the right and rows upwards, from 0."""

    size: int

    @property
    def columns(self) -> tuple[int, int, int, int]:
        """Columns of the four waypoints and of the boxes above them: small box 0, small box 1, big box (2)."""
        margin = int(self.size >= 8)
        return margin, self.size - 1 - margin, self.size // 2 - 1, self.size // 2

    @property
    def waypoint_row(self) -> int:
        """Row of the waypoints, directly below the boxes."""
        return self.size // 2 - 1

    @property
    def box_row(self) -> int:
        """Row in which all boxes start."""
        return self.size // 2

    @property
    def goal_row(self) -> int:
        """Row to which boxes are pushed, the topmost."""
        return self.size - 1

    @property
    def start_cells(self) -> tuple[tuple[int, int], ...]:
        """Cells in which robots 0, 1 and 2 start."""
        row = int(self.size > 4)
        return tuple((self.columns[k], row) for k in range(3))

    @property
    def start_headings(self) -> tuple[int, int, int]:
        """Headings with which robots 0, 1 and 2 start."""
        return RIGHT, LEFT, UP
