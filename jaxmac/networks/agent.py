"""Recurrent utility networks: one per agent with its own weights, or one that all agents share, with an agent id.

Architecture (docs/specifications/avf.md, section 3): leaky-ReLU layers, a recurrent layer, one more leaky-ReLU
layer and a linear one for the utilities. The hidden state of an agent advances only where `advance` is True (in
most algorithms where the agent decides); elsewhere the hidden state and the utilities keep their values.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxmac.networks.joint import JointSpace
from jaxmac.networks.layers import GAIN, NORM_EPSILON, leaky_relu, xavier
from jaxmac.networks.memory import GRU, carry_size


class UtilityNetwork(nn.Module):
    """Utilities Q(h, .) of one agent.

    Attributes:
        actions: number of outputs.
        hidden_size: width of the recurrent layer.
        layer_size: width of the layers before it.
        decode_size: width of the layer after it.
        layers: number of layers before the recurrent one.
        dueling: "none", "centred" (Q = V + A - mean of A over the real actions) or "raw" (Q = V + A). Source: Wang
            et al., "Dueling Network Architectures for Deep Reinforcement Learning", 2016, equations 9 and 7.
        memory: size -> the recurrent layer, see `jaxmac.register_memory`.
        layer_norm: whether every layer but the last is normalised before its activation function. Source: Jimmy Lei
            Ba, Jamie Ryan Kiros and Geoffrey E. Hinton, "Layer Normalization", 2016.
    """

    actions: int
    hidden_size: int = 64
    layer_size: int = 64
    decode_size: int = 64
    layers: int = 2
    dueling: str = "none"
    memory: Callable[..., nn.Module] = GRU
    layer_norm: bool = False

    def _layer(self, x: Array, width: int, name: str) -> Array:
        """A leaky-ReLU layer, normalised with `layer_norm`."""
        x = nn.Dense(width, kernel_init=xavier(GAIN), name=name)(x)
        if self.layer_norm:  # the difference of two large numbers that the fast variance is loses digits
            x = nn.LayerNorm(NORM_EPSILON, use_fast_variance=False, name=f"{name}_norm")(x)
        return leaky_relu(x)

    @nn.compact
    def __call__(
        self,
        hidden: Float[Array, "batch carry"],
        inputs: Float[Array, "time batch i"],
        advance: Bool[Array, "time batch"],
        real: Bool[Array, "actions"],
    ) -> tuple[Array, Float[Array, "time batch actions"], Float[Array, "time batch h"], Float[Array, "time batch"]]:
        """Run the network over a sequence; `real` marks the agent's real macro-actions among the padded outputs.

        Returns the final hidden state, the utilities, the outputs of the recurrent layer, and V of a dueling head
        (0 without one).
        """
        x = inputs.reshape(-1, inputs.shape[-1])  # one long batch: gradients over two axes are slower
        for index in range(self.layers):
            x = self._layer(x, self.layer_size, f"encode_{index}")
        x = x.reshape(*advance.shape, -1)
        hidden, remembered = self.memory(self.hidden_size, name="memory")(hidden, x, advance)
        x = remembered.reshape(-1, self.hidden_size)
        x = self._layer(x, self.decode_size, "decode")
        utilities = nn.Dense(self.actions, kernel_init=xavier(), name="utilities")(x).reshape(*advance.shape, -1)
        value = jnp.zeros(utilities.shape[:-1], jnp.float32)
        if self.dueling != "none":
            value = nn.Dense(1, kernel_init=xavier(), name="value")(x).reshape(advance.shape)
            if self.dueling == "centred":
                mean = jnp.sum(jnp.where(real, utilities, 0.0), -1, keepdims=True) / jnp.sum(real)
                utilities = utilities - mean
            utilities = utilities + value[..., None]
        return hidden, utilities, remembered, value


class Utilities(NamedTuple):
    """The outputs of the agents' networks over a sequence."""

    q: Float[Array, "time batch agents actions"]  # utilities
    hidden: Float[Array, "time batch agents h"]  # outputs of the recurrent layers
    value: Float[Array, "time batch agents"]  # V of a dueling head, 0 without one


class Layout(NamedTuple):
    """Sizes of a team's networks and the composition of their inputs.

    The input is, in this order, the observation (zero-padded to the largest), the last macro-action (one-hot, with
    `obs_last_action`) and the agent's id (one-hot, with `share_parameters`).
    """

    obs_sizes: tuple[int, ...]  # of each agent, without padding
    num_actions: tuple[int, ...]  # of each agent, without padding
    network: UtilityNetwork  # of one agent, with as many outputs as the largest agent needs
    share_parameters: bool
    obs_last_action: bool


class AgentNetworks(NamedTuple):
    """The utility networks of a team as pure functions over one array axis of agents; see `make_agent_networks`."""

    init: Callable[[Array], Any]
    initial_hidden: Callable[[int], Float[Array, "batch agents h"]]
    apply: Callable[..., tuple[Array, Utilities]]
    layout: Layout


class PolicyNetworks(NamedTuple):
    """The networks behind a policy, as data: all that is needed to run the policy outside jaxmac.

    Attributes:
        networks: one network per agent, or a single one for the team.
        params: their parameters.
        output: the meaning of the outputs: "utilities" to maximise, or "logits" of a distribution to sample from.
        encoding_size: size of each of the two temporal encodings that follow the observation. With 0 there are none
            and hidden states advance at decisions only; otherwise they advance at every primitive step.
        observes: with temporal encodings, the observation that the network gets: "now", or that of the
            "last_decision" (the macro-observation).
        joint: the joint macro-actions of a network that decides for the team, else None.
    """

    networks: AgentNetworks
    params: Any
    output: str = "utilities"
    encoding_size: int = 0
    observes: str = "last_decision"
    joint: JointSpace | None = None


def make_agent_networks(
    obs_sizes: Sequence[int],
    num_actions: Sequence[int],
    *,
    hidden_size: int = 64,
    layer_size: int = 0,
    decode_size: int = 0,
    hidden_layers: int = 2,
    dueling: str = "none",
    share_parameters: bool = False,
    obs_last_action: bool = False,
    memory: Callable[..., nn.Module] = GRU,
    layer_norm: bool = False,
) -> AgentNetworks:
    """Build the networks of a team of possibly unequal agents.

    Args:
        obs_sizes: size of each agent's observation, without padding.
        num_actions: number of each agent's macro-actions, without padding.
        hidden_size: width of the recurrent layer.
        layer_size: width of the layers before it (0: `hidden_size`).
        decode_size: width of the layer after it (0: the same as `layer_size`).
        hidden_layers: number of layers before the recurrent one.
        dueling: see `UtilityNetwork`.
        share_parameters: one network for all agents, whose input includes the agent's one-hot id. Otherwise every
            parameter has a leading axis of agents.
        obs_last_action: whether the last macro-action is part of the input.
        memory: size -> the recurrent layer.
        layer_norm: whether layers are normalised, see `UtilityNetwork`.

    Returns the functions `init(key) -> params`, `initial_hidden(batch) -> hidden [batch, agents, h]` and
    `apply(params, hidden [batch, agents, h], obs [time, batch, agents, obs], last_action [time, batch, agents],
    advance [time, batch, agents] bool) -> (hidden, Utilities)`. Observations are zero-padded on the right.
    """
    layer_size = layer_size or hidden_size
    sizes = max(num_actions), hidden_size, layer_size, decode_size or layer_size, hidden_layers
    network = UtilityNetwork(*sizes, dueling, memory, layer_norm)
    layout = Layout(tuple(obs_sizes), tuple(num_actions), network, share_parameters, obs_last_action)
    return AgentNetworks(partial(_init, layout), partial(_initial_hidden, layout), partial(_apply, layout), layout)


def _team(layout: Layout) -> nn.Module:
    """The agents' networks as one module over a leading axis of agents."""
    share = layout.share_parameters
    team: Any = nn.vmap(
        UtilityNetwork,
        variable_axes={"params": None if share else 0},
        split_rngs={"params": not share},
        in_axes=(0, 0, 0, 0),
        out_axes=0,
    )
    names = [field.name for field in dataclasses.fields(layout.network) if field.name not in ("parent", "name")]
    made: nn.Module = team(**{name: getattr(layout.network, name) for name in names})
    return made


def _real_actions(layout: Layout) -> Bool[Array, "agents actions"]:
    """Which outputs of the agents' networks are macro-actions."""
    return jnp.arange(layout.network.actions)[None] < jnp.asarray(layout.num_actions, jnp.int32)[:, None]


def _initial_hidden(layout: Layout, batch: int) -> Float[Array, "batch agents carry"]:
    width = carry_size(layout.network.memory, layout.network.hidden_size)
    return jnp.zeros((batch, len(layout.num_actions), width), jnp.float32)


def _inputs(
    layout: Layout, obs: Float[Array, "time batch agents obs"], last_action: Int[Array, "time batch agents"]
) -> Float[Array, "agents time batch i"]:
    """The inputs of the networks, see `Layout`."""
    parts = [obs]
    if layout.obs_last_action:
        parts.append(jax.nn.one_hot(last_action, layout.network.actions, dtype=jnp.float32))
    if layout.share_parameters:
        agents = obs.shape[-2]
        parts.append(jnp.broadcast_to(jnp.eye(agents, dtype=jnp.float32), (*obs.shape[:-1], agents)))
    return jnp.moveaxis(jnp.concatenate(parts, axis=-1), -2, 0)


def _apply(
    layout: Layout, params: Any, hidden: Array, obs: Array, last_action: Array, advance: Array
) -> tuple[Array, Utilities]:
    """`AgentNetworks.apply`, see `make_agent_networks`."""
    chex.assert_equal_shape([last_action, advance])
    chex.assert_shape(obs, (*advance.shape[:2], len(layout.obs_sizes), max(layout.obs_sizes)))
    chex.assert_shape(hidden, _initial_hidden(layout, advance.shape[1]).shape)
    given = jnp.moveaxis(hidden, -2, 0), _inputs(layout, obs, last_action), jnp.moveaxis(advance, -1, 0)
    outputs: Any = _team(layout).apply(params, *given, _real_actions(layout))
    hidden, q, remembered, value = outputs
    utilities = Utilities(jnp.moveaxis(q, 0, -2), jnp.moveaxis(remembered, 0, -2), jnp.moveaxis(value, 0, -1))
    return jnp.moveaxis(hidden, 0, -2), utilities


def _init(layout: Layout, key: Array) -> Any:
    """`AgentNetworks.init`, see `make_agent_networks`."""
    agents, obs_size, network = len(layout.obs_sizes), max(layout.obs_sizes), layout.network
    nothing = jnp.zeros((1, 1, agents), jnp.int32)
    inputs = _inputs(layout, jnp.zeros((1, 1, agents, obs_size), jnp.float32), nothing)
    hidden = jnp.moveaxis(_initial_hidden(layout, 1), -2, 0)
    params = _team(layout).init(key, hidden, inputs, jnp.ones((agents, 1, 1), bool), _real_actions(layout))
    if layout.share_parameters:
        return params
    width = inputs.shape[-1]
    fan_out = jnp.asarray(layout.num_actions, jnp.int32)
    fan_in = jnp.asarray(layout.obs_sizes, jnp.int32) + layout.obs_last_action * fan_out
    first = jnp.sqrt((width + network.layer_size) / (fan_in + network.layer_size))
    last = jnp.sqrt((network.decode_size + network.actions) / (network.decode_size + fan_out))
    factors = {"encode_0": first, "utilities": last}
    return _rescaled(params, {name: factor.astype(jnp.float32) for name, factor in factors.items()})


def _rescaled(params: Any, scales: dict[str, Array]) -> Any:
    """Initial weights scaled for each agent, as if drawn with its real fan-in and fan-out, not the padded ones."""
    inner = dict(params["params"])
    for name, scale in scales.items():
        layer = dict(inner[name])
        layer["kernel"] = layer["kernel"] * scale[:, None, None]
        inner[name] = layer
    return {**params, "params": inner}
