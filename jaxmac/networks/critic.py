"""State critics: networks for the value of a global state (docs/specifications/policy_gradient.md, section 2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxmac.networks.layers import GAIN, leaky_relu, xavier


class StateCritic(nn.Module):
    """V(s): four leaky-ReLU layers of width `layer_size`, the third of width `middle_size`, and a linear output."""

    layer_size: int = 32
    middle_size: int = 32

    @nn.compact
    def __call__(self, state: Float[Array, "*rows state"]) -> Float[Array, "*rows"]:
        """Value of each state."""
        widths = (self.layer_size, self.layer_size, self.middle_size, self.layer_size)
        x = state
        for index, width in enumerate(widths):
            x = leaky_relu(nn.Dense(width, kernel_init=xavier(GAIN), name=f"layer_{index}")(x))
        return nn.Dense(1, kernel_init=xavier(), name="value")(x)[..., 0]


class Critics(NamedTuple):
    """Independent critics side by side, parameters stacked along a leading axis."""

    init: Callable[[Array], Any]
    apply: Callable[[Any, Float[Array, "*rows critics state"]], Float[Array, "*rows critics"]]


def make_state_critics(count: int, state_size: int, *, layer_size: int, middle_size: int) -> Critics:
    """`count` independent state critics; critic k reads slice k of the states `[..., critics, state]`."""
    critic = StateCritic(layer_size, middle_size)

    def init(key: Array) -> Any:
        return jax.vmap(lambda key: critic.init(key, jnp.zeros(state_size, jnp.float32)))(
            jax.random.split(key, count)
        )

    def apply(params: Any, state: Array) -> Array:
        values: Any = jax.vmap(critic.apply, in_axes=(0, -2), out_axes=-1)(params, state)
        return values

    return Critics(init, apply)
