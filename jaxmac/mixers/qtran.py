"""QTRAN-base: an unconstrained joint value, and auxiliary losses that tie the sum of the utilities to it.

Paper: Kyunghwan Son, Daewoo Kim, Wan Ju Kang, David Hostallero and Yung Yi, "QTRAN: Learning to Factorize with
Transformation for Cooperative Multi-Agent Reinforcement Learning", ICML 2019.
"""

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

    Q_jt itself does not factorise. The agents maximise the sum of their utilities, which the loss `auxiliary` ties
    to Q_jt. `critic_embed` is the width of the networks of Q_jt and V, `critic_layers` the number of their layers.
    """

    critic_embed: int = setting(64, "hidden width of the networks of the joint value", low=1)
    critic_layers: int = setting(3, "layers of the networks of the joint value", low=2, high=8)
    opt_weight: float = setting(1.0, "weight of the loss L_opt, at the greedy joint macro-action", low=0.0)
    nopt_weight: float = setting(0.1, "weight of the loss L_nopt, at the joint macro-action taken", low=0.0)
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
        """The losses L_opt and L_nopt of each row, at the conditional greedy joint macro-action and the one taken.

        L_opt = (sum_i max Q_i - Q_jt(greedy) + V)^2 and L_nopt = min(sum_i Q_i - Q_jt(taken) + V, 0)^2; gradients
        flow to the utilities and V only (docs/specifications/mixers.md, section 4).
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
