"""What each agent remembers (the Overcooked specification, section 6)."""

from __future__ import annotations

import jax.numpy as jnp
from flax import struct
from jax import Array

from jaxmac.envs.overcooked.kitchen import Kitchen, item_cells
from jaxmac.envs.overcooked.layout import CHOPPED, FOODS, Layout, fraction, in_view


@struct.dataclass
class Belief:
    """Where each agent believes the others are. Knives and delivery never move: nobody needs to remember them."""

    items: Array  # i32 [N, 5]: cells
    agents: Array  # i32 [N, N]: cells
    chops: Array  # f32 [N, 3]: foods' chops as a fraction


def start(layout: Layout) -> Belief:
    """At first everybody knows where everything is."""
    n = layout.num_agents
    items, agents = (jnp.array([cells] * n, jnp.int32) for cells in (layout.items, layout.agents))
    return Belief(items, agents, jnp.zeros((n, 3), jnp.float32))


def update(layout: Layout, radius: int, kitchen: Kitchen, belief: Belief) -> Belief:
    """What is in view is known; what is not where it was believed is believed to be where it started."""
    eyes = kitchen.agents[:, None]

    def look(truth: Array, believed: Array, initial: tuple[int, ...]) -> tuple[Array, Array]:
        seen, missed = in_view(radius, eyes, truth), in_view(radius, eyes, believed)
        return jnp.where(seen, truth, jnp.where(missed, jnp.array(initial), believed)), seen

    items, seen = look(item_cells(kitchen), belief.items, layout.items)
    agents, _ = look(kitchen.agents, belief.agents, layout.agents)
    # The reference divides what it remembers by three at each step.
    chops = jnp.where(seen[:, : len(FOODS)], fraction(kitchen.chops, CHOPPED), belief.chops / 3)
    return Belief(items, agents, chops)
