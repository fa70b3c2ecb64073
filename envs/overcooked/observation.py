"""The vector that observations, beliefs and the global state have in common (docs/specifications/overcooked.md,
section 7): row and column of every entity over the size, for foods also the chops, then the task as a one-hot.
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float32, Int

from jaxmac.envs.multiples import Multiples
from jaxmac.envs.overcooked.kitchen import Kitchen, item_cells
from jaxmac.envs.overcooked.layout import CHOPPED, FOODS, RECIPES, ROW, Layout, fraction

PER_FOOD, FIXED = 3, 3  # entries of a food (row, column, chops); knife, knife and hatch never move


def vector_length(num_agents: int) -> int:
    """Number of entries."""
    return PER_FOOD * len(FOODS) + 2 * (2 + FIXED + num_agents) + len(RECIPES)


def multiples(layout: Layout, believed: bool = False) -> Multiples:
    """The units of the entries; a `believed` number of chops has none, because it fades away."""
    row = column = 1 / layout.size
    food = (row, column, 0.0 if believed else 1 / CHOPPED)
    entities = 2 + FIXED + layout.num_agents  # other than foods
    return Multiples(food * len(FOODS) + (row, column) * entities + (1.0,) * len(RECIPES), largest=layout.size)


def entity_cells(
    layout: Layout, items: Int[Array, "*rows items"], agents: Int[Array, "*rows agents"]
) -> Int[Array, "*rows items+agents+3"]:
    """Cells in the order of section 3: items, knives, hatch, agents."""
    fixed = jnp.array([*layout.knives, layout.delivery], jnp.int32)
    return jnp.concatenate([items, jnp.broadcast_to(fixed, (*items.shape[:-1], FIXED)), agents], -1)


def true_cells(layout: Layout, kitchen: Kitchen) -> Int[Array, "entities"]:
    """Where every entity really is."""
    return entity_cells(layout, item_cells(kitchen), kitchen.agents)


def true_chops(kitchen: Kitchen) -> Float32[Array, "3"]:
    """How far the foods are really chopped, 0 to 1."""
    return fraction(kitchen.chops, CHOPPED)


def vector(
    layout: Layout,
    task: int,
    cells: Int[Array, "*#rows entities"],
    chops: Float32[Array, "*#rows 3"],
    visible: Bool[Array, "*rows entities"] | None = None,
) -> Float32[Array, "*rows obs"]:
    """The vector from all cells and the foods' chops.

    Where `visible` is given, the entries of all other entities are zero.
    """
    place = jnp.stack([fraction(cells // ROW, layout.size), fraction(cells % ROW, layout.size)], -1)
    foods, rest = jnp.concatenate([place[..., :3, :], chops[..., None]], -1), place[..., 3:, :]
    if visible is not None:
        foods, rest = foods * visible[..., :3, None], rest * visible[..., 3:, None]
    lead = rest.shape[:-2]
    of_task = jnp.broadcast_to(jnp.arange(len(RECIPES)) == task, (*lead, len(RECIPES))).astype(jnp.float32)
    return jnp.concatenate([foods.reshape(*lead, 9), rest.reshape(*lead, -1), of_task], -1)
