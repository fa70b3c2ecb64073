"""The planner: first move of a shortest way through the kitchen as an agent believes it to be.

Other agents do not count as obstacles, but among equally short ways one that avoids them is preferred; any item
that is believed to lie inside the room is an obstacle. Ties are decided exactly as in the reference program.

Source: docs/specifications/overcooked.md, section 8.5.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from jaxmac.envs.overcooked import heap_search
from jaxmac.envs.overcooked.lanes import only_where
from jaxmac.envs.overcooked.layout import SPACE, Layout, MapType

TABLES = Path(__file__).with_name("navigation.npz")  # made by `build_navigation.py`


class Planner:
    """The planner of one kitchen.

    Where no item lies inside the room, the move is looked up in a table over own cell, target and believed agents.
    Otherwise (about one call in a hundred) `heap_search` finds it; on CPUs, and on GPUs with the kernel, only for
    those elements of a batch that need it, however `vmap`s are nested (see `lanes.py`).
    """

    def __init__(self, map_type: MapType, size: int, num_agents: int):
        """The planner of the kitchen `Layout(map_type, size, num_agents)`."""
        self.layout = Layout(map_type, size, num_agents)
        self._moves = _table(map_type, size, num_agents)
        # One word for each row of the map, bit c for column c.
        self._floor = ((self.layout.template == SPACE) << np.arange(size)).sum(1).astype(np.int32)
        self._search = only_where(
            lambda items, agents, *way: heap_search.search(self._board(items, agents), *way), self._kernel
        )

    def first_move(
        self, here: Int[Array, ""], target: Int[Array, ""], items: Int[Array, "5"], others: Int[Array, "others"]
    ) -> Int[Array, ""]:
        """First move from `here` to `target`: right, down, left, up or, without a way, stay (0 to 4).

        Cells are numbered as in `layout`. `items` and `others` are where the agent believes items and other agents
        to be. An item on an agent's cell does not count.
        """
        agents = jnp.concatenate([others, here[None]])
        stale: Array | bool = False
        for k in range(items.shape[0]):
            hidden = items[k] == target
            for agent in agents:
                hidden = hidden | (items[k] == agent)
            stale = stale | self.layout.is_floor(items[k]) & ~hidden
        return self._search(stale, self._look_up(here, target, others), items, agents, here, target)

    def _look_up(
        self, here: Int[Array, ""], target: Int[Array, ""], others: Int[Array, "others"]
    ) -> Int[Array, ""]:
        """The move where no item lies inside the room."""
        size, inside = self.layout.size, self.layout.size - 2

        def index(cell: Array) -> Array:  # number of a cell inside the border
            return inside * ((cell >> 4) - 1) + (cell & 15) - 1

        place = size**2 * index(here) + size * (target >> 4) + (target & 15)
        for other in others:
            place = inside**2 * place + index(other)
        return jnp.asarray(self._moves)[place].astype(jnp.int32)

    def _kernel(self) -> Callable[..., Array] | None:
        """The search of all lanes in one GPU kernel, where JAX is built with what makes kernels."""
        try:
            from jaxmac.envs.overcooked import gpu_search
        except ImportError:
            return None

        def search(needed: Array, default: Array, items: Array, agents: Array, here: Array, target: Array) -> Array:
            return gpu_search.search(needed, default, jax.vmap(self._board)(items, agents), here, target)

        return search

    def _board(self, items: Int[Array, "5"], agents: Int[Array, "agents"]) -> Int[Array, "rows"]:
        """The map that `heap_search.search` takes, from believed cells."""

        def bits(cells: Array) -> Array:
            in_row = jax.nn.one_hot(cells >> 4, self.layout.size, dtype=bool)
            return jnp.bitwise_or.reduce(jnp.where(in_row, 1 << (cells & 15)[:, None], 0), axis=0)

        shown = bits(agents)
        return self._floor & ~bits(items) | shown | shown << heap_search.AGENTS


@lru_cache
def _table(map_type: MapType, size: int, num_agents: int) -> np.ndarray:
    """First moves, flat, over own cell, target and the cell of each other agent."""
    with np.load(TABLES) as file:
        moves = file[f"{map_type}{size}"]  # over own cell, target and unordered pairs of agents
    inside = (size - 2) ** 2
    pairs = np.empty((inside, inside), np.int32)
    a, b = np.triu_indices(inside)
    pairs[a, b] = pairs[b, a] = np.arange(len(a))
    return moves[..., pairs if num_agents == 3 else pairs.diagonal()].ravel()
