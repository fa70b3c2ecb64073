"""The three kitchens as data, and how cells, items and macro-actions are numbered.

A cell is one number, `16 * row + column`, rows downwards: its neighbours are at +1, +16, -1 and -16.

Source: docs/specifications/overcooked.md, sections 1 to 3 and 8.1.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float32, Int, Int8, Shaped

from jaxmac.envs.exact import exact_product

MapType = Literal["A", "B", "C"]
MAP_TYPES: tuple[MapType, ...] = get_args(MapType)

SPACE, COUNTER, AGENT, TOMATO, LETTUCE, PLATE, KNIFE, DELIVERY, ONION = range(9)  # codes of cells
FOODS, PLATES, ITEMS = range(3), (3, 4), range(5)  # items: tomato, lettuce, onion, plate 1, plate 2
CHOPPED = 3  # chops that a food needs

RECIPES = {  # foods of each task, in the order of their numbers
    "tomato salad": (0,),
    "lettuce salad": (1,),
    "onion salad": (2,),
    "lettuce-tomato salad": (0, 1),
    "onion-tomato salad": (0, 2),
    "lettuce-onion salad": (1, 2),
    "lettuce-onion-tomato salad": (0, 1, 2),
}

ROW = 16  # from a cell to the one below it
RIGHT, DOWN, LEFT, UP, STAY = range(5)
PRIMITIVE_ACTIONS = ("right", "down", "left", "up", "stay")

GET, GO_TO_KNIFE, DELIVER, CHOP = 1, 6, 8, 9  # macro-actions (0 stays); GET + item, GO_TO_KNIFE + knife
_COMMON = (
    *("stay", "get tomato", "get lettuce", "get onion", "get plate 1", "get plate 2"),
    *("go to knife 1", "go to knife 2", "deliver", "chop"),
)


def cell(row: int, column: int) -> int:
    """The number of a cell."""
    return ROW * row + column


def step_from(cells: Int[Array, "*rows"], action: Int[Array, "*rows"]) -> Int[Array, "*rows"]:
    """The cell that a primitive action leads to, or acts on."""
    across = (action == RIGHT).astype(jnp.int32) - (action == LEFT)
    return cells + across + ROW * ((action == DOWN).astype(jnp.int32) - (action == UP))


def beside(one: Int[Array, "*rows"], other: Int[Array, "*rows"]) -> Bool[Array, "*rows"]:
    """Whether two cells are neighbours (Manhattan distance 1)."""
    distance = jnp.abs(one - other)
    return (distance == 1) | (distance == ROW)


def in_view(radius: int, centre: Int[Array, "*#rows"], cells: Int[Array, "*#rows"]) -> Bool[Array, "*rows"]:
    """Whether cells are within `radius` rows and columns of `centre`; with radius 0 everything is in view."""
    if radius == 0:
        return jnp.ones(jnp.broadcast_shapes(jnp.shape(centre), jnp.shape(cells)), bool)
    radius = min(radius, ROW)
    rows, columns = cells // ROW - centre // ROW, cells % ROW - centre % ROW
    return (jnp.abs(rows) <= radius) & (jnp.abs(columns) <= radius)


def fraction(count: Int[Array, "*rows"], whole: int) -> Float32[Array, "*rows"]:
    """`count / whole` in float32, rounded once."""
    return exact_product(count, 1 / whole)


class Layout(NamedTuple):
    """One kitchen: `map_type` A (one room), B (a wall of counters across) or C (that wall with a gap)."""

    map_type: MapType
    size: int
    num_agents: int

    @property
    def macro_actions(self) -> tuple[str, ...]:
        """Names of the macro-actions; A has no wall inside and so no counter to go to."""
        counter = () if self.map_type == "A" else ("go to counter",)
        return (*_COMMON, *counter, *PRIMITIVE_ACTIONS[:4])

    @property
    def go_to_counter(self) -> int:
        """Index of the macro-action "go to counter", -1 where there is none."""
        return -1 if self.map_type == "A" else 10

    @property
    def knives(self) -> tuple[int, int]:
        """Cells of the knives; the cell to the right of each is the only one beside it."""
        return cell(1, 0), cell(2, 0)

    @property
    def delivery(self) -> int:
        """Cell of the delivery hatch."""
        return cell(3, 0)

    @property
    def items(self) -> tuple[int, ...]:
        """Cells where tomato, lettuce, onion, plate 1 and plate 2 start, and return to."""
        last = self.size - 1
        return cell(0, last - 1), cell(1, last), cell(2, last), cell(last - 1, last), cell(last, last - 1)

    @property
    def agents(self) -> tuple[int, ...]:
        """Cells where the agents start."""
        return (cell(1, 2), cell(1, self.size - 3), cell(self.size - 2, 2))[: self.num_agents]

    @property
    def wall(self) -> tuple[int, ...]:
        """Counters inside the room, from top to bottom."""
        rows = {"A": 0, "B": self.size - 2, "C": self.size - 3}[self.map_type]
        return tuple(cell(row, self.size // 2) for row in range(1, rows + 1))

    @property
    def counters(self) -> tuple[int, ...]:
        """Cells of the wall in the order that "go to counter" tries: from the middle outwards, up first."""
        middle = cell(self.size // 2, self.size // 2)
        return tuple(sorted(self.wall, key=lambda c: (abs(c - middle), c)))

    @property
    def template(self) -> Int8[np.ndarray, "size size"]:
        """Codes of the kitchen without items and agents."""
        grid = np.full((self.size, self.size), COUNTER, np.int8)
        grid[1:-1, 1:-1] = SPACE
        for c in self.wall:
            grid[divmod(c, ROW)] = COUNTER
        for c in self.knives:
            grid[divmod(c, ROW)] = KNIFE
        grid[divmod(self.delivery, ROW)] = DELIVERY
        return grid

    def is_floor(self, cells: Int[Array, "*rows"]) -> Bool[Array, "*rows"]:
        """Whether agents can stand on these cells."""
        row, column, last = cells // ROW, cells % ROW, self.size - 1
        floor = (row > 0) & (row < last) & (column > 0) & (column < last)
        if self.wall:
            floor &= (column != self.size // 2) | (row > len(self.wall))
        return floor

    def is_knife(self, cells: Int[Array, "*rows"]) -> Bool[Array, "*rows"]:
        """Whether there is a knife on these cells."""
        return (cells == self.knives[0]) | (cells == self.knives[1])


# Over tiny axes selections are much faster than gathers and reductions, and compile to less.


def any_of(flags: Sequence[Bool[Array, "*rows"]]) -> Bool[Array, "*rows"]:
    """Whether any of these flags is set."""
    return functools.reduce(operator.or_, flags)


def pick(index: Int[Array, ""], values: Sequence[Shaped[Array, ""] | int]) -> Shaped[Array, ""]:
    """`values[index]`; the first one for an index out of range."""
    chosen = jnp.asarray(values[0])
    for k, value in enumerate(values[1:], 1):
        chosen = jnp.where(index == k, value, chosen)
    return chosen
