"""A warehouse as a picture: above how each human is getting on, below the floor with robots and tools."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from jaxmac.envs.rendering import COLOURS, WIDTH, draw_box
from jaxmac.envs.warehouse.layout import PASS_STEPS, SEARCH_STEPS, Layout
from jaxmac.envs.warehouse.state import Humans, Manipulator, Mobiles, Physics

MARGIN = 0.9  # metres of floor around the outermost places
PANEL = 0.44  # of the height, for the humans
TOOL_COLOURS = ("#f2c230", "#8fce7f", "#b9a3e3", "#f29c9c", "#9ad7ea", "#d8d8a0")
HUMAN, WORKS, SOON, LATE, LINE = "#5a5a5a", "#3c7a32", "#b06000", "#c62828", "#9a9a9a"
CENTRE = {"ha": "center", "va": "center"}


class Floor(NamedTuple):
    """The axes, and how large things are on them in metres."""

    ax: Any
    left: float
    bottom: float
    width: float
    height: float  # of the floor; the panel of the humans is above
    point: float  # 1/72 inch


def draw_warehouse(layout: Layout, phase_times: np.ndarray, physics: Physics, ax: Any) -> None:
    """Draw rooms, tables, staged tools, robots with their baskets, and humans with phase and progress."""
    floor = _floor(layout, ax)
    _draw_rooms(layout, floor)
    for human in range(layout.num_humans):
        _draw_human(layout, phase_times, floor, physics.humans, human)
    _draw_manipulator(layout, floor, physics.manipulator)
    _draw_mobiles(layout, floor, physics.mobiles)


def _floor(layout: Layout, ax: Any) -> Floor:
    places = (*layout.work_areas, layout.tool_room, *layout.table_points, *layout.robots, layout.manipulator)
    (left, bottom), (right, top) = np.min(places, axis=0) - MARGIN, np.max(places, axis=0) + MARGIN
    span = max(right - left, (top - bottom) / (1 - PANEL))
    ax.set_axis_off()
    ax.set_aspect("equal")
    ax.set_xlim(left, left + span)
    ax.set_ylim(bottom, bottom + span)
    return Floor(ax, left, bottom, span, (1 - PANEL) * span, span / (72 * 0.94 * WIDTH))


def _draw_rooms(layout: Layout, floor: Floor) -> None:
    ax, point = floor.ax, floor.point
    centre = (floor.left + floor.width / 2, floor.bottom + floor.height / 2)
    draw_box(ax, *centre, floor.width, floor.height, "#fafafa", edge="#404040", zorder=0)
    inside = layout.room_border - floor.left
    draw_box(ax, floor.left + inside / 2, centre[1], inside, floor.height, "#eaf1f8", edge="#404040", zorder=0)
    top = floor.bottom + floor.height - 7 * point
    ax.text(floor.left + 4 * point, top, "tool room", fontsize=7, va="center", color="#405060")
    for x, y in layout.table_points:
        draw_box(ax, x, y, 19 * point, 19 * point, "#ead9c0", edge="#8a5a2b", zorder=1)
        ax.text(x, y, "table", fontsize=5, color="#8a5a2b", **CENTRE)
    names = ("TR", *(f"W{human}" for human in range(layout.num_humans)))
    for name, (x, y) in zip(names, (layout.tool_room, *layout.work_areas), strict=True):
        draw_box(ax, x, y, 22 * point, 22 * point, "none", edge=LINE, zorder=1)
        ax.text(x, y, name, fontsize=7, color=LINE, **CENTRE)
    for human, (x, y) in enumerate(layout.work_areas):
        _draw_badge(ax, x + 18 * point, y, human)


def _draw_badge(ax: Any, x: float, y: float, human: int) -> None:
    ax.plot(x, y, "o", markersize=11, color=HUMAN, markeredgecolor="white", zorder=3)
    ax.text(x, y, f"H{human}", fontsize=6, color="white", zorder=4, **CENTRE)


def _draw_human(layout: Layout, phase_times: np.ndarray, floor: Floor, humans: Humans, human: int) -> None:
    """One row of the panel: a bar per phase, filled as far as it is done, and how it stands with the next tool."""
    ax, point = floor.ax, floor.point
    phase, left = int(humans.phase[human]), int(humans.left[human])
    room = min(PANEL * floor.width / layout.num_humans, 32 * point)
    y = floor.bottom + floor.height + room * (layout.num_humans - human - 0.4)
    _draw_badge(ax, floor.left + 6 * point, y, human)
    phases, thick = layout.num_phases, min(11 * point, 0.7 * room)
    wide = 0.5 * floor.width / phases
    for p in range(phases):
        done = 1 if p < phase else 0 if p > phase else 1 - max(left, 0) / phase_times[human, p]
        start = floor.left + 16 * point + p * (wide + 2 * point)
        late = p == phase and left < 0
        draw_box(ax, start + done * wide / 2, y, done * wide, thick, LATE if late else "#86b4d8", zorder=1)
        draw_box(ax, start + wide / 2, y, wide, thick, "none", edge="#404040", zorder=2)
    text, colour = _next_tool(layout, humans, human, phase, left)
    ax.text(start + wide + 5 * point, y, text, fontsize=7.5, va="center", color=colour)


def _next_tool(layout: Layout, humans: Humans, human: int, phase: int, left: int) -> tuple[str, str]:
    """The note about the human's next tool, and its colour."""
    if phase == layout.num_phases - 1:
        return ("finished", HUMAN) if humans.finished[human] else ("last phase", WORKS)
    tool = layout.tools[layout.needs[human][phase]]
    if humans.got[human]:
        return f"has {tool}", WORKS
    if left <= 0:
        return f"waits for {tool}" + (f" ({-left} late)" if left < 0 else ""), LATE
    return f"needs {tool} in {left}", SOON


def _draw_manipulator(layout: Layout, floor: Floor, arm: Manipulator) -> None:
    """The manipulator, how far its macro-action is, and the staged tools, the oldest first."""
    ax, point, (x, y) = floor.ax, floor.point, layout.manipulator
    colour = COLOURS[layout.num_mobiles % len(COLOURS)]
    ax.plot(x, y, "h", markersize=16, color=colour, markeredgecolor="white", zorder=5)
    ax.text(x, y, str(layout.num_mobiles), fontsize=8, color="white", zorder=6, **CENTRE)
    if arm.left > 0:
        steps = PASS_STEPS if 0 < arm.macro <= layout.num_mobiles else SEARCH_STEPS
        done, wide = 1 - float(arm.left) / steps, 22 * point
        draw_box(ax, x - (1 - done) * wide / 2, y - 13 * point, done * wide, 4 * point, colour, zorder=5)
        draw_box(ax, x, y - 13 * point, wide, 4 * point, "none", edge="#404040", zorder=6)
    for slot, tool in enumerate(arm.staged):
        place = (x + (20 + 12 * slot) * point, y)
        draw_box(ax, *place, 11 * point, 11 * point, "white", edge=LINE, zorder=2)
        if tool >= 0:
            _draw_tool(floor, *place, int(tool))
    ax.text(x + 26 * point, y - 10 * point, "staged", fontsize=5.5, color=LINE, **CENTRE)


def _draw_tool(floor: Floor, x: float, y: float, tool: int) -> None:
    colour = TOOL_COLOURS[tool % len(TOOL_COLOURS)]
    draw_box(floor.ax, x, y, 8 * floor.point, 8 * floor.point, colour, edge="#404040", zorder=7)
    floor.ax.text(x, y, str(tool), fontsize=6, zorder=8, **CENTRE)


def _draw_mobiles(layout: Layout, floor: Floor, mobiles: Mobiles) -> None:
    """Numbered robots with the tools in their baskets above; those in one place stand side by side."""
    ax, point = floor.ax, floor.point
    places = list(zip(mobiles.x.tolist(), mobiles.y.tolist(), strict=True))
    for i, (x, y) in enumerate(places):
        sharing = [j for j, other in enumerate(places) if np.hypot(other[0] - x, other[1] - y) < 0.1]
        x += (sharing.index(i) - (len(sharing) - 1) / 2) * 13 * point
        ax.plot(x, y, "o", markersize=13, color=COLOURS[i % len(COLOURS)], markeredgecolor="white", zorder=5)
        ax.text(x, y, str(i), fontsize=8, color="white", zorder=6, **CENTRE)
        tools = np.repeat(np.arange(layout.num_tools), np.asarray(mobiles.basket[i]))
        for n, tool in enumerate(tools):
            _draw_tool(floor, x + (n - (len(tools) - 1) / 2) * 9 * point, y + 11 * point, int(tool))
