"""The low-level controllers of go-to and of a push without a partner: one primitive step of one robot.

Source: docs/specifications/box_pushing.md, sections 3.1 and 3.2, and its quirks Q2 to Q5.
"""

from __future__ import annotations

from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, Shaped

from jaxmac.envs.box_pushing.layout import DIRECTIONS, DOWN, LEFT, RIGHT, UP, Layout
from jaxmac.envs.box_pushing.state import Robots, Rows

Distance = Literal["manhattan", "euclidean"]
BLOCKED = 1_000_000  # score of a cell that the go-to controller may not enter


def go_to(
    layout: Layout, distance: Distance, robot: Robots, rows: Rows, waypoint: Int[Array, ""]
) -> tuple[Robots, Bool[Array, ""]]:
    """One step towards waypoint 0 to 3 (section 3.1): the robot, and whether its macro-action has ended."""
    left, right, big_left, big_right = layout.columns
    small, big = jnp.where(waypoint == 0, left, right), jnp.where(waypoint == 2, big_left, big_right)
    column = jnp.where(waypoint < 2, small, big)
    there = (robot.x == column) & (robot.y == layout.waypoint_row)
    best: Array | int = 0
    lowest: Array | int = BLOCKED + 1
    for k, (dx, dy) in enumerate(DIRECTIONS):
        x, y = robot.x + dx, robot.y + dy
        quarter_turns = 2 - jnp.abs(((k - robot.heading) & 3) - 2)
        score = _score(distance, column - x, layout.waypoint_row - y, quarter_turns)
        # Quirk Q3: the obstacles' row is that of small box 0, wherever the other boxes are.
        score = jnp.where((y == rows[0]) & _has_box(layout, x), BLOCKED, score)
        best, lowest = jnp.where(score < lowest, k, best), jnp.minimum(score, lowest)
    turn = (best - robot.heading) & 3
    moved = robot.forward((turn == 0) & ~there)
    heading = jnp.where(turn == 2, (robot.heading + 1) & 3, best)
    heading = jnp.where(there, UP, heading)  # quirk Q5: whatever the angle
    arrived = (moved.x == column) & (moved.y == layout.waypoint_row) & (heading == UP)
    return moved.replace(heading=heading), arrived


def _score(
    distance: Distance, dx: Int[Array, ""], dy: Int[Array, ""], quarter_turns: Int[Array, ""]
) -> Shaped[Array, ""]:
    """Distance left after a step plus a tenth per quarter turn; in tenths for the Manhattan distance."""
    if distance == "euclidean":
        return jnp.sqrt((dx * dx + dy * dy).astype(jnp.float32)) + 0.1 * quarter_turns
    return 10 * (jnp.abs(dx) + jnp.abs(dy)) + quarter_turns


def _has_box(layout: Layout, x: Int[Array, ""]) -> Bool[Array, ""]:
    """Whether column `x` is one of the four with a box."""
    left, right, big_left, big_right = layout.columns
    return (x == left) | (x == right) | (x == big_left) | (x == big_right)


def push_alone(
    layout: Layout, robot: Robots, rows: Rows, active: Bool[Array, ""]
) -> tuple[Robots, Rows, Bool[Array, ""], Int[Array, ""]]:
    """One step of a push without a partner where `active` (section 3.2).

    Returns the robot, the box rows, whether the macro-action has ended, and the number of penalties.
    """
    at_border = _faces_border(layout, robot)
    moving = active & ~at_border
    robot, rows, pushed, home, penalties = meet_boxes(layout, robot.forward(moving), rows, moving)
    ended = at_border | home | (penalties > 0) | ~pushed & _faces_border(layout, robot)
    return robot, rows, ended, penalties + (active & at_border)


def _faces_border(layout: Layout, robot: Robots) -> Bool[Array, ""]:
    """Whether the robot is on the border cell that it faces; tests of equality, so never outside (quirk Q2)."""
    x, y, heading, last = robot.x, robot.y, robot.heading, layout.size - 1
    vertical = (heading == UP) & (y == last) | (heading == DOWN) & (y == 0)
    return vertical | (heading == RIGHT) & (x == last) | (heading == LEFT) & (x == 0)


def meet_boxes(
    layout: Layout, robot: Robots, rows: Rows, moving: Bool[Array, ""]
) -> tuple[Robots, Rows, Bool[Array, ""], Bool[Array, ""], Int[Array, ""]]:
    """Boxes in the cell that a robot has entered: they move up with it, or throw it back one cell.

    One box after the other is tested against the robot's current cell, so it can be thrown back twice (quirk Q4).
    Returns the robot, the box rows, whether a box moved, whether one reached the goal row, and the number of times
    that the robot was thrown back.
    """
    rows, pushed, home, penalties = list(rows), jnp.bool_(False), jnp.bool_(False), jnp.int32(0)
    for k, columns in enumerate((layout.columns[:1], layout.columns[1:2], layout.columns[2:])):
        inside = moving & (robot.y == rows[k]) & ((robot.x == columns[0]) | (robot.x == columns[-1]))
        lifts = inside & (robot.heading == UP) & (k < 2)
        rows[k] = rows[k] + lifts
        pushed, home = pushed | lifts, home | lifts & (rows[k] == layout.goal_row)
        robot, penalties = robot.back(inside & ~lifts), penalties + (inside & ~lifts)
    return robot, rows, pushed, home, penalties
