"""The mobile robots: one primitive step of driving, waiting and delivering.

Source: docs/specifications/warehouse.md, section 6, and quirks 1, 2 and 4 of section 11.
"""

from __future__ import annotations

import math

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxmac.envs.warehouse.humans import wanted_tools
from jaxmac.envs.warehouse.layout import ON_TIME, Layout
from jaxmac.envs.warehouse.state import Humans, Mobiles


def destinations(
    layout: Layout, actions: Int[Array, "robots"]
) -> tuple[Float[Array, "robots"], Float[Array, "robots"]]:
    """Where each robot drives to under its macro-action, x and y in metres."""
    x, y = jnp.array(layout.table_points, jnp.float32).T
    for a, (px, py) in enumerate((*layout.work_areas, layout.tool_room)):
        x, y = jnp.where(actions == a, px, x), jnp.where(actions == a, py, y)
    return x, y


def drive(
    layout: Layout, speed: float, mobiles: Mobiles, actions: Int[Array, "robots"]
) -> tuple[Mobiles, Bool[Array, "robots"]]:
    """One step of each robot's macro-action, without delivery: the robots, and which macro-actions ended."""
    goal_x, goal_y = destinations(layout, actions)
    dx, dy = goal_x - mobiles.x, goal_y - mobiles.y
    # Distances count in whole centimetres, also where a step's length is divided by them.
    centimetres = jnp.rint(100 * jnp.sqrt(dx * dx + dy * dy))
    there = centimetres <= math.floor(100 * speed + 1e-6)
    share = 100 * speed / jnp.maximum(centimetres, 1)
    timer = jnp.minimum(mobiles.timer, 0)
    pause = layout.go_to_tool_room if layout.pause_at_tool_room else layout.get_tool  # quirk 1
    paused = (mobiles.timer > 0) & (actions == pause)
    gets = actions == layout.get_tool
    timer = timer - (gets & ~paused)
    gives_up = gets & (timer <= -layout.get_tool_wait)  # quirk 2
    timer = jnp.where(gives_up, -1, timer)  # quirk 4
    moved = Mobiles(
        x=jnp.where(there, goal_x, mobiles.x + share * dx),
        y=jnp.where(there, goal_y, mobiles.y + share * dy),
        place=jnp.where(there, actions, -1),
        timer=jnp.where(there, timer, 1),
        basket=mobiles.basket,
    )
    return moved, there & ~paused & (~gets | gives_up)


def deliver(
    layout: Layout, late_penalty: float, mobiles: Mobiles, humans: Humans, actions: Int[Array, "robots"]
) -> tuple[Mobiles, Humans, Float[Array, ""]]:
    """Robots, in the order of their numbers, give the human at their work area the tool that it needs.

    Returns the robots, the humans and the reward of these deliveries.
    """
    late = humans.left < int(layout.late_at_zero)  # quirk 2
    pay = jnp.where(late, jnp.float32(ON_TIME + late_penalty), jnp.float32(ON_TIME))
    wanted = wanted_tools(layout, humans)
    got, baskets = humans.got, []
    reward: Array | float = 0.0
    for i in range(layout.num_mobiles):
        here = (mobiles.place[i] == actions[i]) & (jnp.arange(layout.num_humans) == actions[i])
        has = (wanted & (mobiles.basket[i] > 0)[None]).any(axis=1)
        gives = here & has & ~got
        got = got | gives
        baskets.append(mobiles.basket[i] - (wanted & gives[:, None]).any(axis=0))
        reward = reward + jnp.where(gives, pay, 0).sum()
    return mobiles.replace(basket=jnp.stack(baskets)), humans.replace(got=got), jnp.asarray(reward)
