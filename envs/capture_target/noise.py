"""The random draws of one step (docs/specifications/capture_target.md, sections 3 to 5)."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float32, Int32, PRNGKeyArray, UInt

LEFT, INTENDED, RIGHT = range(3)  # outcomes of a slip
ORDERS = 120  # permutations of the five directions


class Noise(NamedTuple):
    """The draws."""

    direction_priority: Float32[Array, "... agents 5"]  # among tied best directions the highest wins
    slip: Int32[Array, "... agents"]  # 0 left, 1 intended, 2 right of the direction
    target_direction: Int32[Array, "..."]  # 0 north, 1 south, 2 west, 3 east, 4 none
    visible: Bool[Array, "... agents"]  # whether the agent sees the target after this step


def sample_noise(key: PRNGKeyArray, num_agents: int, slip: float, flicker: float) -> Noise:
    """Draw a step's noise from two words of random bits for each agent and one for the target.

    `slip` is the probability that a step goes astray, half to each side, `flicker` the one that an agent does not
    see the target.
    """
    words = jax.random.bits(key, (2 * num_agents + 1,), jnp.uint32)
    first, second = words[:num_agents], words[num_agents:-1]
    order, rest = first % ORDERS, first // ORDERS  # independent of each other
    span = -(-(2**32) // ORDERS)  # number of values of `rest`
    left, astray = (rest < np.uint32(round(share * span)) for share in (slip / 2, slip))
    return Noise(
        _ranks(order),
        jnp.where(left, jnp.int32(LEFT), jnp.where(astray, jnp.int32(RIGHT), jnp.int32(INTENDED))),
        (words[-1] % 5).astype(jnp.int32),
        second >> 8 >= np.uint32(round(flicker * 2**24)),
    )


def _ranks(order: UInt[Array, "agents"]) -> Float32[Array, "agents 5"]:
    """Permutation number `order` (below 120) of the five directions: each of 0 to 4 once."""
    ranks = [jnp.zeros_like(order)]
    for others in range(1, 5):  # the next direction takes a place among the others
        order, place = order // (others + 1), order % (others + 1)
        ranks = [*(rank + (rank >= place) for rank in ranks), place]
    return jnp.stack([rank.astype(jnp.float32) for rank in ranks], axis=1)
