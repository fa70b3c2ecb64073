"""A picture of the grid."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxmac.envs.box_pushing.layout import Layout
from jaxmac.envs.box_pushing.state import Physics
from jaxmac.envs.rendering import draw_box, draw_grid, draw_robots

SMALL_BOX, BIG_BOX, HOME = "#c8a165", "#8a5a2b", "#f2c230"


def draw_field(layout: Layout, physics: Physics, ax: Any) -> None:
    """Draw the goal row (green), waypoints (crosses), boxes (gold on the goal row) and robots (arrows)."""
    draw_grid(ax, layout.size, layout.size)
    draw_box(ax, (layout.size - 1) / 2, layout.goal_row, layout.size, 1, "#d5ecd0", zorder=0)
    ax.text(-0.4, layout.goal_row, "goal", fontsize=7, color="#3c7a32", va="center")
    ax.plot(layout.columns, [layout.waypoint_row] * 4, "x", markersize=4, color="#909090", zorder=2)
    left, right, big_left, big_right = layout.columns
    boxes = ((left, 1, SMALL_BOX), (right, 1, SMALL_BOX), ((big_left + big_right) / 2, 2, BIG_BOX))
    for (x, width, colour), y in zip(boxes, physics.rows, strict=True):
        draw_box(ax, x, float(y), width - 0.12, 0.88, HOME if y == layout.goal_row else colour, edge="#4a3418")
    robots = physics.robots
    outside = (-0.8, layout.size - 0.2)  # robots that have left the grid are drawn just outside
    columns, rows = (np.clip(values, *outside) for values in (robots.x, robots.y))
    draw_robots(ax, columns, rows, np.asarray(robots.heading))
