"""QPLEX: a weighted sum of the utilities plus a weighted sum of the agents' non-positive advantages.

Paper: Jianhao Wang, Zhizhou Ren, Terry Liu, Yang Yu and Chongjie Zhang, "QPLEX: Duplex Dueling Multi-Agent
Q-Learning", ICLR 2021.
"""

from typing import ClassVar, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxmac.config import setting
from jaxmac.mixers.base import MixerInputs, register_mixer, weight_floor
from jaxmac.networks.choice import feasible_max, is_action, take_chosen
from jaxmac.networks.layers import MLP, StackedMLP

POSITIVE = 1e-10
"""Added to absolute values, so that weights are positive and not only non-negative."""


class Terms(NamedTuple):
    """The terms of QPLEX's sum, each `[..., agents]`."""

    weight: Float[Array, "*rows agents"]  # w_i > 0
    utility: Float[Array, "*rows agents"]  # w_i Q_i + b_i
    advantage: Float[Array, "*rows agents"]  # w_i (Q_i - V_i), no gradient; <= 0 unless V_i is given
    importance: Float[Array, "*rows agents"]  # lambda_i > 0


class QPLEX(nn.Module):
    """Q_tot = sum_i (w_i Q_i + b_i) + sum_i (lambda_i - 1) sg(w_i (Q_i - V_i)), where sg stops the gradient.

    Source: docs/specifications/mixers.md, section 3.

    V_i is the maximum of Q_i over the agent's feasible set (section 5). `v_over_feasible=False` takes it over
    `available` even while a macro-action is running, which breaks the conditional IGM and serves as a comparison.
    `weighted_head=False` sets w = 1 and b = 0, `is_minus_one=False` drops the "- 1", and `kernels` is the number of
    terms in lambda. `weight_floor` is added to w (section 5).
    """

    kernels: int = setting(4, "number of terms in the advantage weights lambda", low=1)
    hypernet_embed: int = setting(32, "hidden width of the hypernetworks that weight the utilities", low=1)
    advantage_layers: int = setting(2, "layers of the networks that weight the advantages", low=1, high=3)
    advantage_embed: int = setting(32, "hidden width of the networks that weight the advantages", low=1)
    weight_floor: float = weight_floor()
    v_over_feasible: bool = setting(
        True, "V is the maximum over the feasible set; False: over all available ones, which breaks conditional IGM"
    )
    weighted_head: bool = True
    is_minus_one: bool = True
    factorised: ClassVar[bool] = True

    def __call__(self, inputs: MixerInputs) -> Float[Array, "*rows"]:
        """Joint value of the running macro-actions.

        `inputs.value`, if given (raw dueling utilities), replaces V_i: advantages can then be positive, and IGM
        fails. Raises ValueError if `v_over_feasible` is False and `inputs.available` is missing.
        """
        over = inputs.feasible
        if not self.v_over_feasible:
            if inputs.available is None:
                raise ValueError("available=None: QPLEX with v_over_feasible=False needs the availability mask")
            # An agent that runs on may have nothing available, and no maximum over it.
            over = jnp.where(jnp.any(inputs.available, axis=-1, keepdims=True), inputs.available, inputs.feasible)
        value = feasible_max(inputs.q_all, over) if inputs.value is None else inputs.value
        terms = self.terms(inputs.q_all, inputs.chosen, value, inputs.mixer_state)
        factor = terms.importance - 1 if self.is_minus_one else terms.importance
        return jnp.sum(terms.utility + factor * terms.advantage, axis=-1)

    @nn.compact
    def terms(
        self,
        q_all: Float[Array, "*rows agents actions"],
        chosen: Int[Array, "*rows agents"],
        value: Float[Array, "*rows agents"],
        mixer_state: Float[Array, "*rows state"],
    ) -> Terms:
        """The per-agent terms, with `value` as V_i."""
        agents = chosen.shape[-1]
        q = take_chosen(q_all, chosen)
        weight, bias = jnp.ones_like(q), jnp.zeros_like(q)
        if self.weighted_head:
            weight = jnp.abs(MLP(agents, self.hypernet_embed, name="weight")(mixer_state))
            weight = weight + POSITIVE + self.weight_floor
            bias = MLP(agents, self.hypernet_embed, name="bias")(mixer_state)
        advantage = jax.lax.stop_gradient(weight * (q - value))
        return Terms(weight, weight * q + bias, advantage, self._importance(q_all, chosen, mixer_state))

    def _importance(self, q_all, chosen, mixer_state) -> Float[Array, "*rows agents"]:
        """lambda_i = sum_k (|key_k(s)| + 1e-10) sigmoid(agents_k(s))_i sigmoid(action_k(s, m))_i."""
        agents, actions = q_all.shape[-2:]
        joint_action = is_action(chosen, actions).reshape(*chosen.shape[:-1], agents * actions)
        state_action = jnp.concatenate([mixer_state, joint_action], axis=-1)  # bool becomes 0. and 1.

        def heads(name: str, features: int, x: Array) -> Array:
            shape = (self.kernels, features, self.advantage_embed, self.advantage_layers)
            return StackedMLP(*shape, name=name)(x)

        key = jnp.abs(heads("key", 1, mixer_state)) + POSITIVE
        of_agents = nn.sigmoid(heads("agents", agents, mixer_state))
        of_action = nn.sigmoid(heads("action", agents, state_action))
        return jnp.sum(key * of_agents * of_action, axis=-2)


register_mixer("qplex", QPLEX, dueling="centred")
