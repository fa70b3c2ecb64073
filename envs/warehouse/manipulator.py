"""The manipulator: one primitive step of its macro-action, and what a pass or a search brings when it ends.

Source: docs/specifications/warehouse.md, section 7, and quirk 3 of section 11.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from jaxmac.envs.warehouse.layout import PASS_STEPS, SEARCH_STEPS, Layout
from jaxmac.envs.warehouse.state import Manipulator, Mobiles


def work(
    layout: Layout, manipulator: Manipulator, mobiles: Mobiles, action: Int[Array, ""], starts: Bool[Array, ""]
) -> Manipulator:
    """One step of the macro-action `action` up to its effects, which come when `left` becomes 0 (see `finish`)."""
    waits, passes = action == 0, action <= layout.num_mobiles
    steps = jnp.where(waits, 0, jnp.where(passes, PASS_STEPS, SEARCH_STEPS) - 1)
    absent = (mobiles.place != layout.get_tool) | (mobiles.timer > -1)
    to = jnp.arange(layout.num_mobiles) == action - 1
    checked = np.array([i not in layout.early_pass for i in range(layout.num_mobiles)])  # quirk 3
    return manipulator.replace(
        macro=action,
        left=jnp.where(starts, steps, manipulator.left - 1),
        failed=jnp.where(starts, (to & absent & checked).any(), manipulator.failed),
    )


def finish(
    layout: Layout,
    manipulator: Manipulator,
    mobiles: Mobiles,
    actions: Int[Array, "robots"],
    action: Int[Array, ""],
) -> tuple[Manipulator, Mobiles, Bool[Array, "robots"], Bool[Array, ""]]:
    """The effects of a pass or a search that ends now.

    `actions` are the macro-actions of the robots, `action` the manipulator's. Returns the manipulator, the robots,
    which of them was passed to, and whether a pass failed.
    """
    ends = manipulator.left == 0
    to = ends & (jnp.arange(layout.num_mobiles) == action - 1)
    passed = to & (mobiles.timer < 0) & (actions == layout.get_tool) & ~manipulator.failed
    failed = to.any() & ~passed.any()
    oldest, newest = manipulator.staged
    tools = jnp.arange(layout.num_tools)
    basket = mobiles.basket + (passed[:, None] & (tools == oldest)[None])
    tool = action - 1 - layout.num_mobiles
    in_store = ((tools == tool) & (manipulator.found < np.array(layout.stock))).any()
    finds = ends & in_store & (newest < 0)
    popped = passed.any()  # finds is False then
    oldest, newest = (
        jnp.where(popped, newest, jnp.where(finds & (oldest < 0), tool, oldest)),
        jnp.where(popped, -1, jnp.where(finds & (oldest >= 0), tool, newest)),
    )
    manipulator = manipulator.replace(
        failed=manipulator.failed & ~ends,
        staged=jnp.stack([oldest, newest]),
        found=manipulator.found + (finds & (tools == tool)),
    )
    mobiles = mobiles.replace(basket=basket, timer=jnp.where(passed, 0, mobiles.timer))
    return manipulator, mobiles, passed, failed


def staged_tools(layout: Layout, manipulator: Manipulator) -> Int[Array, "tools"]:
    """Number of staged tools of each kind."""
    return jax.nn.one_hot(manipulator.staged, layout.num_tools, dtype=bool).sum(axis=0, dtype=jnp.int32)
