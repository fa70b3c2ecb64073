"""A picture of the torus."""

from __future__ import annotations

import math
from typing import Any

from jaxmac.envs.capture_target.state import Cells, Physics
from jaxmac.envs.rendering import COLOURS, WIDTH, draw_box, draw_grid


def draw_torus(grid: int, legend: str, physics: Physics, ax: Any) -> None:
    """Draw the target (star), agents (discs, ringed where they see it) and the cells they remember (crosses)."""
    draw_grid(ax, grid, grid)
    cell = 72 * WIDTH / (grid + 1)  # points
    x, y = float(physics.target.x), float(physics.target.y)
    draw_box(ax, x, y, 1, 1, "#fff3c4", zorder=0)
    ax.plot(x, y, "*", markersize=0.95 * cell, color="#f2c230", markeredgecolor="#8a6a00", mew=0.6, zorder=2)
    for i, (x, y, room) in enumerate(_side_by_side(physics.agents)):
        _draw_last_seen(physics, i, cell, ax)
        size = (0.58 if room == 1 else 0.9 * room) * cell
        ring = {"markeredgecolor": "black", "mew": min(1.6, 0.2 * size)} if physics.visible[i] else {"mew": 0}
        ax.plot(x, y, "o", markersize=size, color=COLOURS[i], **ring, zorder=4, clip_on=False)
        if size >= 7:  # points; a number in a smaller disc is not readable
            style = {"color": "white", "ha": "center", "va": "center_baseline", "zorder": 5}
            ax.text(x, y, str(i), fontsize=0.6 * size, **style)
    style = {"textcoords": "offset points", "fontsize": 7, "color": "#606060", "va": "center"}
    ax.annotate(legend, (-0.5, -0.5), xytext=(0, -8), **style)


def _draw_last_seen(physics: Physics, i: int, cell: float, ax: Any) -> None:
    """The cell that agent `i` remembers, unless it stands on it; every agent has its own place in a cell."""
    if physics.last_seen.x[i] < 0 or physics.agents.same(physics.last_seen)[i]:
        return
    angle = 2 * math.pi * (i + 0.5) / physics.agents.x.shape[0]
    x, y = physics.last_seen.x[i] + 0.41 * math.cos(angle), physics.last_seen.y[i] + 0.41 * math.sin(angle)
    style = {"markersize": 0.16 * cell, "mew": 0.05 * cell, "zorder": 4, "clip_on": False}
    ax.plot(x, y, "x", color=COLOURS[i], **style)


def _side_by_side(cells: Cells) -> list[tuple[float, float, float]]:
    """Where to draw each agent (x, y) and how wide, in cells: those that share a cell stand side by side."""
    occupied = list(zip(cells.x.tolist(), cells.y.tolist(), strict=True))
    places = []
    for i, (x, y) in enumerate(occupied):
        sharing = [j for j, other in enumerate(occupied) if other == (x, y)]
        columns = math.ceil(math.sqrt(len(sharing)))
        row, column = divmod(sharing.index(i), columns)
        last_row = math.ceil(len(sharing) / columns) - 1
        in_row = columns if row < last_row else len(sharing) - last_row * columns
        room = (1 if len(sharing) == 1 else 0.85) / columns
        places.append((x + room * (column - (in_row - 1) / 2), y + room * (last_row / 2 - row), room))
    return places
