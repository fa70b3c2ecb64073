"""QTRAN (base): a free joint value, and utilities whose sum is made to agree with it where it matters."""

from collections.abc import Sequence
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxmac.config import setting
from jaxmac.mixers.base import MixerInputs, register_mixer
from jaxmac.networks.choice import feasible_max, is_action, masked_argmax, take_chosen
from jaxmac.networks.layers import MLP


class QTRAN(nn.Module):
    """Q_jt = MLP([s, sum_i MLP([h_i, onehot(m_i)])]) and V = MLP(s) (docs/specifications/mixers.md, section 4).

    Q_jt itself does not factorise; what the agents act on is the sum of their utilities, which `auxiliary` ties
    to it. `critic_embed` is the width of its networks, `critic_layers` the number of their layers.
    """

    critic_embed: int = setting(64, "hidden width of the joint critic", low=1)
    critic_layers: int = setting(3, "layers of the joint critic", low=2, high=8)
    opt_weight: float = setting(1.0, "weight of the loss at the greedy choice", low=0.0)
    nopt_weight: float = setting(0.1, "weight of the loss at the choice taken", low=0.0)
    factorised: ClassVar[bool] = False

    def __call__(self, inputs: MixerInputs) -> Float[Array, "*rows"]:
        """Joint value Q_jt of the running macro-actions."""
        return self.values((inputs.chosen,), inputs.hidden, inputs.mixer_state, inputs.q_all.shape[-1])[0][0]

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

    def losses(self, inputs: MixerInputs) -> tuple[Float[Array, "*rows"], Float[Array, "*rows"]]:
        """The squares (opt, nopt) of each row: at the conditional greedy choice, and at the one taken.

        Their gradient moves utilities and V only, never Q_jt.
        """
        q_all, chosen, feasible, hidden, mixer_state, *_ = inputs
        greedy = masked_argmax(q_all, feasible)
        (taken, best), value = self.values((chosen, greedy), hidden, mixer_state, q_all.shape[-1])
        opt = jnp.sum(feasible_max(q_all, feasible), axis=-1) - jax.lax.stop_gradient(best) + value
        nopt = jnp.sum(take_chosen(q_all, chosen), axis=-1) - jax.lax.stop_gradient(taken) + value
        return opt**2, jnp.minimum(nopt, 0.0) ** 2

    def auxiliary(self, inputs: MixerInputs) -> Float[Array, "*rows"]:
        """The weighted sum of `losses`, to be added to the temporal-difference loss."""
        opt, nopt = self.losses(inputs)
        return self.opt_weight * opt + self.nopt_weight * nopt


register_mixer("qtran", QTRAN)
