"""Moves on the torus: the low-level controller of a move to the target, and a step that may slip.

Source: docs/specifications/capture_target.md, section 1 (directions, slip) and section 4 (controller).
"""

from __future__ import annotations

from functools import partial, reduce

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Shaped

from jaxmac.envs.capture_target.noise import LEFT, RIGHT
from jaxmac.envs.capture_target.state import Cells

NORTH, SOUTH, WEST, EAST, STILL = range(5)  # directions


def wrap(grid: int, x: Int[Array, "*cells"]) -> Int[Array, "*cells"]:
    """A column or row that is at most one cell outside, brought back onto a torus with `grid` cells a side."""
    return jnp.where(x < 0, grid - 1, jnp.where(x == grid, 0, x))


def best_direction(
    grid: int, agents: Cells, goals: Cells, priority: Float[Array, "agents 5"]
) -> Int[Array, "agents"]:
    """The direction into the cell that is nearest to the goal by plain Euclidean distance.

    Cells are taken on the torus, distances straight across the square. Among equally near cells the direction of
    the highest `priority` wins.
    """
    # Of squared offsets for no step, +1 and -1.
    x, y = ([(wrap(grid, a + step) - b) ** 2 for step in (0, 1, -1)] for a, b in axes(agents, goals))
    scores = (x[0] + y[1], x[0] + y[-1], x[-1] + y[0], x[1] + y[0], x[0] + y[0])
    lowest = reduce(jnp.minimum, scores)
    best: Array | int = NORTH
    highest: Array | float = -jnp.inf
    for direction, score in enumerate(scores):
        tied = jnp.where(score == lowest, priority[:, direction], -jnp.inf)
        best, highest = jnp.where(tied > highest, direction, best), jnp.maximum(tied, highest)
    return jnp.asarray(best)


def walk(grid: int, cells: Cells, direction: Int[Array, "*cells"], slip: Int[Array, "*cells"] | int) -> Cells:
    """One step in `direction`, turned by a quarter to the side of `slip`; standing still does not slip."""
    dx = (direction == EAST).astype(jnp.int32) - (direction == WEST)
    dy = (direction == NORTH).astype(jnp.int32) - (direction == SOUTH)
    left, right = slip == LEFT, slip == RIGHT
    x = cells.x + jnp.where(left, -dy, jnp.where(right, dy, dx))
    y = cells.y + jnp.where(left, dx, jnp.where(right, -dx, dy))
    return Cells(wrap(grid, x), wrap(grid, y))


def axes(
    one: Cells, other: Cells
) -> tuple[tuple[Shaped[Array, "..."], Shaped[Array, "..."]], tuple[Shaped[Array, "..."], Shaped[Array, "..."]]]:
    """The columns of both, and the rows of both."""
    return (one.x, other.x), (one.y, other.y)


def select(condition: Bool[Array, "..."], one: Cells, other: Cells) -> Cells:
    """`one` where `condition` holds, else `other`."""
    selected: Cells = jax.tree.map(partial(jnp.where, condition), one, other)
    return selected
