"""Pictures of the kitchen, as in the papers: rows go down, so row 0 is at the top."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxmac.envs.overcooked.kitchen import HAND, ON_PLATE, Kitchen
from jaxmac.envs.overcooked.layout import CHOPPED, COUNTER, DELIVERY, FOODS, ITEMS, KNIFE, PLATES, ROW, Layout
from jaxmac.envs.rendering import COLOURS, draw_box, draw_grid

TOMATO, LETTUCE, ONION = FOODS
FOOD_COLOURS = {TOMATO: "#d93a2b", LETTUCE: "#4caf3d", ONION: "#8e4fae"}
FLOOR, TILES = "#fbf8f1", {COUNTER: "#c9b394", KNIFE: "#c9b394", DELIVERY: "#b9c9d6"}


def draw_kitchen(layout: Layout, view_radius: int, kitchen: Kitchen, ax: Any) -> None:
    """Draw the kitchen, the fields of view, items and agents."""
    picture, agents = Picture(layout, ax), np.asarray(kitchen.agents)
    picture.room()
    if view_radius > 0:
        picture.views(agents, view_radius)
    picture.items(kitchen)
    picture.agents(agents)


class Picture:
    """Matplotlib axes over one kitchen; places are (x, y) of a `size` by `size` grid, y upwards."""

    def __init__(self, layout: Layout, ax: Any):
        """Everything is drawn on `ax`."""
        self.layout, self.ax = layout, ax

    def middle(self, cell: int) -> tuple[float, float]:
        """The middle of a cell."""
        row, column = divmod(int(cell), ROW)
        return float(column), float(self.layout.size - 1 - row)

    def room(self) -> None:
        """Floor, counters, cutting boards with knives, and the delivery hatch."""
        size = self.layout.size
        draw_grid(self.ax, size, size)
        for (row, column), code in np.ndenumerate(self.layout.template):
            x, y = column, size - 1 - row
            draw_box(self.ax, x, y, 1, 1, TILES.get(int(code), FLOOR), edge="#ffffff", zorder=0)
            if code == KNIFE:
                draw_box(self.ax, x, y, 0.8, 0.62, "#8a5a2b", zorder=2)
                self.ax.plot([x - 0.34, x + 0.05], [y + 0.24] * 2, color="#e8e8e8", lw=3, zorder=3)
                self.ax.plot([x + 0.05, x + 0.34], [y + 0.24] * 2, color="#2b2b2b", lw=3, zorder=3)
            if code == DELIVERY:
                self.ax.plot(x, y, marker="*", markersize=17, color="#f2c230", markeredgecolor="#806000", zorder=2)

    def views(self, agents: np.ndarray, radius: int) -> None:
        """The field of view of each agent, cut at the walls, as a faint outline in its colour."""
        from matplotlib.patches import Rectangle

        for i, cell in enumerate(agents):
            x, y = self.middle(cell)
            reach, inset, last = radius + 0.5, 0.06 + 0.05 * i, self.layout.size - 0.5
            left, bottom = (max(v - reach, -0.5) + inset for v in (x, y))
            right, top = (min(v + reach, last) - inset for v in (x, y))
            style: dict[str, Any] = {"edgecolor": COLOURS[i], "linestyle": "--", "linewidth": 1.1, "alpha": 0.55}
            box = Rectangle((left, bottom), right - left, top - bottom, facecolor="none", zorder=4, **style)
            self.ax.add_patch(box)

    def items(self, kitchen: Kitchen) -> None:
        """Everything on counters and boards, and in hands (small, at the agent's shoulder)."""
        order = sorted(ITEMS, key=lambda k: not kitchen.hidden[k])  # what is hidden lies below
        for k in (k for k in order if kitchen.place[k] < ON_PLATE):
            place, scale = int(kitchen.place[k]), 1.0
            x, y = self.middle(int(kitchen.agents[place - HAND]) if place >= HAND else place)
            if place >= HAND:
                x, y, scale = x + 0.22, y + 0.22, 0.72
            if k in PLATES:
                self.plate(kitchen, k, x, y, scale)
            else:
                self.food(k, int(kitchen.chops[k]), x, y, scale)

    def plate(self, kitchen: Kitchen, plate: int, x: float, y: float, scale: float) -> None:
        """A plate with the foods on it."""
        for radius, colour in ((0.34, "#ffffff"), (0.22, "#f0f0f0")):
            self.disc(x, y, radius * scale, colour, "#7a7a7a", zorder=7)
        load = [f for f in FOODS if kitchen.place[f] == ON_PLATE + PLATES.index(plate)]
        for j, f in enumerate(load):
            angle = 2 * np.pi * j / max(len(load), 1) + np.pi / 2
            reach = 0.15 * scale * (len(load) > 1)
            at = x + reach * np.cos(angle), y + reach * np.sin(angle)
            self.disc(*at, 0.12 * scale, FOOD_COLOURS[f], "#ffffff", zorder=8)

    def food(self, food: int, chops: int, x: float, y: float, scale: float) -> None:
        """A whole food with a cut for each chop so far, or three slices."""
        colour, radius = FOOD_COLOURS[food], 0.26 * scale
        if chops == CHOPPED:
            for dx, dy in ((-0.6, -0.35), (0.6, -0.35), (0, 0.65)):
                self.disc(x + dx * radius, y + dy * radius, 0.58 * radius, colour, "#ffffff", zorder=8)
            return
        self.disc(x, y, radius, colour, "#3a3a3a", zorder=8)
        if food == ONION:  # rings
            self.disc(x, y, 0.55 * radius, "none", "#e6c84f", zorder=9)
        if food == TOMATO:  # a stalk
            self.ax.plot(x, y + radius, marker=(5, 1, 0), markersize=6 * scale, color="#2e6b22", zorder=9)
        if food == LETTUCE:  # a lighter heart
            self.disc(x, y, 0.55 * radius, "#9bd67c", "none", zorder=9)
        for k in range(chops):
            self.ax.plot([x + (k - 0.5) * radius] * 2, [y - radius, y + radius], color="white", lw=2, zorder=10)

    def agents(self, cells: np.ndarray) -> None:
        """Numbered discs in the agents' colours."""
        for i, cell in enumerate(cells):
            x, y = self.middle(cell)
            self.disc(x - 0.08, y - 0.08, 0.33, COLOURS[i], "#ffffff", zorder=6)
            style = {"ha": "center", "va": "center", "color": "white", "weight": "bold"}
            self.ax.text(x - 0.14, y - 0.14, str(i), fontsize=12, zorder=6, **style)

    def disc(self, x: float, y: float, radius: float, colour: str, edge: str, zorder: int) -> None:
        """A filled circle."""
        from matplotlib.patches import Circle

        self.ax.add_patch(Circle((x, y), radius, facecolor=colour, edgecolor=edge, linewidth=0.9, zorder=zorder))
