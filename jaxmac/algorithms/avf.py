"""AVF, asynchronous value factorization on joint rows: AVF-VDN, AVF-QMIX, AVF-QPLEX, AVF-QTRAN.

Paper: E. Marchesini, Y. Xiao and C. Amato, "Value Factorization for Asynchronous Multi-Agent
Reinforcement Learning", 2024; docs/specifications/avf.md, sections 3 to 7. On a `-primitive` environment every
macro-action lasts one step, and the same code is VDN, QMIX, QPLEX or QTRAN.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxmac.algorithms.base import Algorithm, LastActionConfig, Progress
from jaxmac.algorithms.diagnostics import EpisodeMeans, episode_means
from jaxmac.algorithms.factorised import (
    FactorisedConfig,
    FactorisedNetworks,
    auxiliary_loss,
    dueling_of,
    init,
    joint_value,
    make_algorithm,
    mixer_for,
    mixer_inputs,
    mixer_state_of,
)
from jaxmac.algorithms.targets import lambda_target, target_rows
from jaxmac.algorithms.value_based import (
    ValueBasedState,
    WindowsConfig,
    agent_networks,
    hysteretic,
    utility_policy,
    weighted_mean_square,
    window_options,
)
from jaxmac.config import setting
from jaxmac.envs.environment import Environment
from jaxmac.hyper import Hyper
from jaxmac.networks.agent import Utilities
from jaxmac.networks.choice import conditional_argmax
from jaxmac.record.joint_rows import MACRO_STATES, TIME_MAJOR, JointRows, joint_trajectory
from jaxmac.record.replay import Sample


@dataclass(frozen=True)
class AVFConfig(WindowsConfig, LastActionConfig, FactorisedConfig):
    """Hyperparameters of AVF; those of its mixer, memory and sampler join them."""

    macro_state: str = setting("joint", "macro-state that conditions the mixer", choices=MACRO_STATES)


def macro_state_size(env: Environment, config: Any) -> int:
    """Size of the macro-state; the joint one consists of the global states at every agent's last decision."""
    return env.state_size * (env.num_agents if config.macro_state == "joint" else 1)


def make_networks(env: Environment, config: Any, mixer_name: str) -> FactorisedNetworks:
    """The networks of AVF with the mixer `mixer_name`."""
    dueling, size = dueling_of(config, mixer_name), macro_state_size(env, config)
    tokens = env.obs_size + env.max_actions
    agents, mixer = agent_networks(env, config, dueling), mixer_for(mixer_name, config)
    return FactorisedNetworks(env, config, agents, mixer, None, dueling, size, tokens)


def make(env: Environment, config: AVFConfig, mixer_name: str) -> Algorithm:
    """Build AVF with the mixer `mixer_name` for `env`."""
    return from_networks(make_networks(env, config, mixer_name))


def from_networks(networks: FactorisedNetworks) -> Algorithm:
    """AVF with given networks; in ToMacVF's ablations they have a context that encodes the agents' histories."""

    def init_of(key: Array, hyper: Hyper) -> ValueBasedState:
        agents_key, mixer_key = jax.random.split(key)
        return init(networks, agents_key, mixer_key, jax.random.fold_in(mixer_key, 1), hyper)

    cut, policy = partial(rows_of, networks.config), partial(utility_policy, networks.agents)
    return make_algorithm(networks, init_of, cut, partial(loss, networks), policy)


def rows_of(config: Any, sample: Sample, hyper: Hyper, key: Array) -> JointRows:
    """Joint rows of a batch of windows, `[rows, batch, ...]`."""
    cut: Callable[..., JointRows] = partial(
        joint_trajectory,
        discount=hyper.gamma,
        macro_state=config.macro_state,
        reward_scheme=config.reward_scheme,
        **window_options(config),
    )
    keys = jax.random.split(key, sample.weight.shape[0])
    return jax.vmap(cut, out_axes=TIME_MAJOR)(keys, sample.episodes, sample.window_start)


def utilities_of(networks: FactorisedNetworks, params: Any, rows: JointRows) -> Utilities:
    """Utilities at every entry, `[rows+1, batch, agents, actions]`."""
    hidden = networks.agents.initial_hidden(rows.mask.shape[1])
    return networks.agents.apply(params["agents"], hidden, rows.obs, rows.last_action, rows.advance)[1]


def mixer_states(
    networks: FactorisedNetworks, params: Any, rows: JointRows
) -> tuple[Float[Array, "rows batch state"], Float[Array, "rows batch state"]]:
    """The mixer state before and after each row: the macro-state and, with a context, the encoded histories."""
    if networks.context is None:
        return mixer_state_of(networks, rows.mixer_state), mixer_state_of(networks, rows.next_mixer_state)
    last_action = jax.nn.one_hot(rows.last_action, networks.env.max_actions, dtype=jnp.float32)
    tokens = jnp.concatenate([rows.obs, last_action], axis=-1)
    encoded: Any = networks.context.apply(params["context"], tokens)
    encoded = encoded.reshape(*encoded.shape[:2], -1)
    return (
        mixer_state_of(networks, rows.mixer_state, encoded[:-1]),
        mixer_state_of(networks, rows.next_mixer_state, encoded[1:]),
    )


def td_target(
    networks: FactorisedNetworks, state: ValueBasedState, online: Utilities, rows: JointRows, hyper: Hyper
) -> Float[Array, "rows batch"]:
    """The target of each row (equation 14 of the paper; docs/specifications/avf.md, section 4).

    It bootstraps from the target networks' value of the conditional greedy joint macro-action after the row, which
    the online networks choose with `double_q`; with `td_lambda` it chains the rows of the trajectory.
    """
    after = jax.tree.map(lambda x: x[1:], utilities_of(networks, state.target, rows))
    chooser = online.q[1:] if networks.config.double_q else after.q
    greedy = conditional_argmax(chooser, rows.next_avail, rows.ended, rows.macro_action)
    mixer_state = mixer_states(networks, state.target, rows)[1]
    inputs = mixer_inputs(
        networks,
        after,
        greedy,
        avail=rows.next_avail,
        choosing=rows.ended,
        running=rows.macro_action,
        mixer_state=mixer_state,
    )
    value = joint_value(networks, state.target, hyper, inputs)
    transitions = target_rows(hyper, rows.reward, rows.duration, rows.terminal, rows.mask)
    return lambda_target(transitions, value, hyper.td_lambda)


def loss(
    networks: FactorisedNetworks,
    params: Any,
    state: ValueBasedState,
    rows: JointRows,
    hyper: Hyper,
    progress: Progress,
    weight: Float[Array, "batch"],
    whole: JointRows | None = None,
) -> tuple[Float[Array, ""], EpisodeMeans]:
    """The loss of a batch and the mean absolute error and value of each episode.

    The loss is the mean square of the (hysteretic) temporal-difference errors over the rows plus the mixer's
    auxiliary loss (docs/specifications/avf.md, section 4). If `rows` are a microbatch of the rows `whole`, it is
    their share of it.
    """
    counted = rows.mask if whole is None else whole.mask
    online = utilities_of(networks, params, rows)
    now = jax.tree.map(lambda x: x[:-1], online)
    mixer_state = mixer_states(networks, params, rows)[0]
    inputs = mixer_inputs(
        networks,
        now,
        rows.macro_action,
        avail=rows.avail,
        choosing=rows.start,
        running=rows.macro_action,
        mixer_state=mixer_state,
    )
    value = joint_value(networks, params, hyper, inputs)
    error = td_target(networks, state, online, rows, hyper) - value
    scaled = hysteretic(error, networks.config, hyper, progress)
    square = weighted_mean_square(scaled, rows.mask, weight, whole=counted)
    auxiliary = auxiliary_loss(networks, params, hyper, inputs, rows.mask, weight, counted)
    return square + auxiliary, episode_means(error, value, rows.mask)
