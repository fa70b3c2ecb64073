"""QTRAN (base): a free joint value, and utilities whose sum is made to agree with it where it matters."""

from collections.abc import Sequence
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxmac.networks.choice import NEGATIVE, feasible_max, is_action, take_chosen
from jaxmac.networks.layers import MLP


class QTRAN(nn.Module):
    """Q_jt = MLP([s, sum_i MLP([h_i, onehot(m_i)])]) and V = MLP(s) (mixer specification, section 4).

    Q_jt itself does not factorise; what the agents act on is the sum of their utilities, which `auxiliary` ties
    to it. `critic_embed` is the width of its networks, `critic_layers` the number of their layers.
    """

    critic_embed: int = 64
    critic_layers: int = 3
    opt_weight: float = 1.0
    nopt_weight: float = 0.1
    factorised: ClassVar[bool] = False

    def __call__(
        self,
        q_all: Float[Array, "*rows agents actions"],
        chosen: Int[Array, "*rows agents"],
        feasible: Bool[Array, "*rows agents actions"],
        hidden: Float[Array, "*rows agents features"],
        mixer_state: Float[Array, "*rows state"],
        available: Bool[Array, "*rows agents actions"] | None = None,
    ) -> Float[Array, "*rows"]:
        """Joint value Q_jt of the running macro-actions; arguments as in `jaxmac.mixers`."""
        return self.values((chosen,), hidden, mixer_state, q_all.shape[-1])[0][0]

    @nn.compact
    def values(
        self, joint_actions: Sequence[Array], hidden: Array, mixer_state: Array, actions: int
    ) -> tuple[list[Array], Array]:
        """Q_jt of each of the joint macro-actions, and V, all `[...]`."""
        width = hidden.shape[-1] + actions
        encoder = MLP(width, width, name="encoder")
        joint = MLP(1, self.critic_embed, self.critic_layers, name="joint")

        def critic(joint_action: Array) -> Array:
            x = jnp.concatenate([hidden, is_action(joint_action, actions).astype(hidden.dtype)], axis=-1)
            return joint(jnp.concatenate([mixer_state, jnp.sum(encoder(x), axis=-2)], axis=-1))[..., 0]

        value = MLP(1, self.critic_embed, self.critic_layers, name="value")(mixer_state)[..., 0]
        return [critic(joint_action) for joint_action in joint_actions], value

    def losses(
        self,
        q_all: Float[Array, "*rows agents actions"],
        chosen: Int[Array, "*rows agents"],
        feasible: Bool[Array, "*rows agents actions"],
        hidden: Float[Array, "*rows agents features"],
        mixer_state: Float[Array, "*rows state"],
    ) -> tuple[Float[Array, "*rows"], Float[Array, "*rows"]]:
        """The squares (opt, nopt) of each row: at the conditional greedy choice, and at the one taken.

        Their gradient moves utilities and V only, never Q_jt.
        """
        greedy = jnp.argmax(jnp.where(feasible, q_all, NEGATIVE), axis=-1)
        (taken, best), value = self.values((chosen, greedy), hidden, mixer_state, q_all.shape[-1])
        opt = jnp.sum(feasible_max(q_all, feasible), axis=-1) - jax.lax.stop_gradient(best) + value
        nopt = jnp.sum(take_chosen(q_all, chosen), axis=-1) - jax.lax.stop_gradient(taken) + value
        return opt**2, jnp.minimum(nopt, 0.0) ** 2

    def auxiliary(self, *arguments: Array) -> Float[Array, "*rows"]:
        """The weighted sum of `losses`, to be added to the temporal-difference loss."""
        opt, nopt = self.losses(*arguments)
        return self.opt_weight * opt + self.nopt_weight * nopt
