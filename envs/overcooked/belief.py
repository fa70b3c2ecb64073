"""What each agent believes about the others and the items (docs/specifications/overcooked.md, section 6)."""

from __future__ import annotations

import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float32, Int, Int32

from jaxmac.envs.overcooked.kitchen import Kitchen, item_cells
from jaxmac.envs.overcooked.layout import CHOPPED, FOODS, Layout, fraction, in_view


class Belief(struct.PyTreeNode):
    """Where each agent believes items and agents to be. Knives and the hatch never move, so they are left out."""

    items: Int32[Array, "... agents 5"]  # cells
    agents: Int32[Array, "... agents agents"]  # cells
    chops: Float32[Array, "... agents 3"]  # chops of the foods, as a fraction


def initial_belief(layout: Layout) -> Belief:
    """The belief before the first look: every agent knows where everything starts."""
    n = layout.num_agents
    items, agents = (jnp.array([cells] * n, jnp.int32) for cells in (layout.items, layout.agents))
    return Belief(items, agents, jnp.zeros((n, 3), jnp.float32))


def update_belief(layout: Layout, radius: int, kitchen: Kitchen, belief: Belief) -> Belief:
    """The belief after a look around: what is in view is known, the rest is remembered.

    What is not where an agent believed it to be, with that cell in view, is believed to be where it started.
    """
    own_cells = kitchen.agents[:, None]

    def look(
        cells: Int[Array, "things"], believed: Int[Array, "agents things"], initial: tuple[int, ...]
    ) -> tuple[Int[Array, "agents things"], Bool[Array, "agents things"]]:
        visible, missed = in_view(radius, own_cells, cells[None]), in_view(radius, own_cells, believed)
        start = jnp.array(initial, jnp.int32)[None]
        return jnp.where(visible, cells[None], jnp.where(missed, start, believed)), visible

    items, visible = look(item_cells(kitchen), belief.items, layout.items)
    agents, _ = look(kitchen.agents, belief.agents, layout.agents)
    # The reference program divides the chops that it remembers by three at each step.
    chops = jnp.where(visible[:, : len(FOODS)], fraction(kitchen.chops, CHOPPED)[None], belief.chops / 3)
    return Belief(items, agents, chops)
