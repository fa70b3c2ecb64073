"""Asynchronous value factorization: AVF-VDN, AVF-QMIX, AVF-QPLEX, AVF-QTRAN (AVF specification, sections 3 to 7).

On a `-primitive` environment every macro-action lasts one step and the same code is VDN, QMIX or QPLEX.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jaxtyping import Array

from jaxmac.algorithms.base import Algorithm, Hyper, Progress
from jaxmac.algorithms.optimiser import optimiser
from jaxmac.algorithms.value_based import (
    ValueBasedConfig,
    agent_networks,
    collection,
    hysteretic,
    masked_mean_square,
    scheduled_rate,
    updated_target,
    utility_policy,
    window_options,
)
from jaxmac.config import setting
from jaxmac.envs.environment import Environment
from jaxmac.mixers import MIXERS, make_mixer
from jaxmac.networks.agent import Utilities
from jaxmac.networks.attention import AgentContext
from jaxmac.networks.choice import bootstrapped_target, conditional_argmax, feasible_set
from jaxmac.record.episode import Episode
from jaxmac.record.joint_rows import MACRO_STATES, TIME_MAJOR, JointRows, joint_trajectory
from jaxmac.record.rollout import Policy

FAMILIES = ("BoxPushing", "Warehouse", "CaptureTarget", "Overcooked")  # that `tuned` was tried on


@dataclass(frozen=True)
class AVFConfig(ValueBasedConfig):
    """Hyperparameters of AVF; those a mixer does not have are not read by it."""

    macro_state: str = setting("joint", "what the mixer sees", choices=MACRO_STATES)
    mixing_embed: int = setting(32, "QMIX: mixing width", low=1)
    hypernet_layers: int = setting(2, "QMIX: layers of its hypernetworks", low=1, high=2)
    hypernet_embed: int = setting(32, "QMIX, QPLEX: hidden width of the hypernetworks", low=1)
    kernels: int = setting(4, "QPLEX: attention heads", low=1)
    advantage_layers: int = setting(2, "QPLEX: layers of the advantage weights", low=1, high=3)
    advantage_embed: int = setting(32, "QPLEX: hidden width of the advantage weights", low=1)
    v_over_feasible: bool = setting(True, "QPLEX: V over the feasible set (False breaks conditional IGM)")
    critic_embed: int = setting(64, "QTRAN: hidden width of its joint critic", low=1)
    critic_layers: int = setting(3, "QTRAN: layers of its joint critic", low=2, high=8)
    opt_weight: float = setting(1.0, "QTRAN: weight of the loss at the greedy choice", low=0.0)
    nopt_weight: float = setting(0.1, "QTRAN: weight of the loss at the choice taken", low=0.0)
    dueling: str = setting(
        "auto",
        "dueling utilities; auto: centred for QPLEX, else none",
        choices=("auto", "none", "centred", "raw"),
    )


@struct.dataclass
class AVFState:
    """Everything AVF learns, arrays only."""

    params: Any  # {"agents", "mixer"}
    target: Any  # the same, Polyak-averaged
    optimiser: Any


def mixer_of(name: str, config: AVFConfig, **given: Any) -> Any:
    """The mixer `name`; each of its fields that the config has takes the config's value, `given` ones win."""
    fields = MIXERS[name].__dataclass_fields__ if name in MIXERS else {}
    return make_mixer(name, **{f: getattr(config, f) for f in fields if hasattr(config, f)} | given)


def dueling_of(config: AVFConfig, mixer_name: str) -> str:
    """The kind of dueling head that `auto` stands for with this mixer."""
    return ("centred" if mixer_name == "qplex" else "none") if config.dueling == "auto" else config.dueling


def init_mixer(mixer: Any, key: Array, env: Environment, hidden_size: int, state_size: int) -> Any:
    """Initial parameters of a mixer for the agents of `env`."""
    agents, actions = env.num_agents, env.max_actions
    return mixer.init(
        key,
        jnp.zeros((1, agents, actions)),
        jnp.zeros((1, agents), jnp.int32),
        jnp.ones((1, agents, actions), bool),
        jnp.zeros((1, agents, hidden_size)),
        jnp.zeros((1, state_size)),
        jnp.ones((1, agents, actions), bool),
    )


def auxiliary_loss(mixer: Any, params: Any, mask: Array, *arguments: Array) -> Array | float:
    """Mean over `mask` of what a mixer adds to the loss; 0 for most."""
    if not hasattr(mixer, "auxiliary"):
        return 0.0
    rows = mixer.apply(params, *arguments, method="auxiliary")
    return jnp.sum(jnp.where(mask, rows, 0.0)) / jnp.maximum(jnp.sum(mask), 1)


def make(
    env: Environment, config: AVFConfig, mixer_name: str, mixer: Any = None, context: AgentContext | None = None
) -> Algorithm:
    """Build AVF with the mixer `mixer_name` for `env`.

    `mixer` replaces the one that the config describes; `context` encodes the agents' histories over joint rows
    and is appended to what the mixer sees (both are for ToMacVF's ablations).
    """
    dueling = dueling_of(config, mixer_name)
    networks = agent_networks(env, config, dueling)
    mixer = mixer or mixer_of(mixer_name, config)
    agents, actions = env.num_agents, env.max_actions
    mixer_size = env.state_size * (agents if config.macro_state == "joint" else 1)
    if context is not None:
        mixer_size += agents * context.width

    def init(key: Array, hyper: Hyper) -> AVFState:
        agents_key, mixer_key = jax.random.split(key)
        params = {
            "agents": networks.init(agents_key),
            "mixer": init_mixer(mixer, mixer_key, env, config.hidden_size, mixer_size),
        }
        if context is not None:
            tokens = jnp.zeros((1, 1, agents, env.obs_size + actions))
            params["context"] = context.init(jax.random.fold_in(mixer_key, 1), tokens)
        return AVFState(params, jax.tree.map(jnp.copy, params), optimiser(hyper).init(params))

    def mixer_inputs(params: Any, rows: JointRows) -> tuple[Array, Array]:
        """What the mixer sees at each row and after it."""
        if context is None:
            return rows.mixer_state, rows.next_mixer_state
        tokens = jnp.concatenate([rows.obs, jax.nn.one_hot(rows.last_action, actions)], axis=-1)
        encoded = context.apply(params["context"], tokens)
        encoded = encoded.reshape(*encoded.shape[:2], -1)
        return (
            jnp.concatenate([rows.mixer_state, encoded[:-1]], axis=-1),
            jnp.concatenate([rows.next_mixer_state, encoded[1:]], axis=-1),
        )

    def utilities(params: Any, rows: JointRows) -> Utilities:
        batch = rows.mask.shape[1]
        return networks.apply(
            params["agents"], networks.initial_hidden(batch), rows.obs, rows.last_action, rows.advance
        )[1]

    def joint_value(
        params: Any,
        said: Utilities,
        chosen: Array,
        avail: Array,
        choosing: Array,
        running: Array,
        state: Array,
    ) -> Array:
        feasible = feasible_set(avail, choosing, running)
        given = (avail, said.value) if dueling == "raw" and mixer_name == "qplex" else (avail,)
        return mixer.apply(params["mixer"], said.q, chosen, feasible, said.hidden, state, *given)

    def td_target(state: AVFState, online: Utilities, rows: JointRows, hyper: Hyper) -> Array:
        after = jax.tree.map(lambda x: x[1:], utilities(state.target, rows))
        chooser = online.q[1:] if config.double_q else after.q
        greedy = conditional_argmax(chooser, rows.next_avail, rows.ended, rows.macro_action)
        seen = mixer_inputs(state.target, rows)[1]
        value = joint_value(state.target, after, greedy, rows.next_avail, rows.ended, rows.macro_action, seen)
        reward = hyper["reward_scale"] * rows.reward
        return bootstrapped_target(reward, hyper["gamma"] ** rows.duration, rows.terminal, value)

    def loss(params: Any, state: AVFState, rows: JointRows, hyper: Hyper, progress: Progress) -> Array:
        online = utilities(params, rows)
        now = jax.tree.map(lambda x: x[:-1], online)
        seen = mixer_inputs(params, rows)[0]
        value = joint_value(params, now, rows.macro_action, rows.avail, rows.start, rows.macro_action, seen)
        error = hysteretic(td_target(state, online, rows, hyper) - value, config, hyper, progress)
        feasible = feasible_set(rows.avail, rows.start, rows.macro_action)
        arguments = (now.q, rows.macro_action, feasible, now.hidden, seen)
        return masked_mean_square(error, rows.mask) + auxiliary_loss(mixer, params["mixer"], rows.mask, *arguments)

    def update(
        state: AVFState, hyper: Hyper, batches: dict[str, Episode], progress: Progress, key: Array
    ) -> tuple[AVFState, dict[str, Array]]:
        episodes = batches["main"]
        keys = jax.random.split(key, episodes.mask.shape[0])
        rows = jax.vmap(lambda k, e: _rows(config, hyper, k, e), out_axes=TIME_MAJOR)(keys, episodes)
        value, gradient = jax.value_and_grad(loss)(state.params, state, rows, hyper, progress)
        adam = optimiser(hyper, scheduled_rate(config, hyper, progress))
        steps, opt_state = adam.update(gradient, state.optimiser, state.params)
        params = optax.apply_updates(state.params, steps)
        target = updated_target(params, state.target, config, hyper, progress, env.horizon)
        return AVFState(params, target, opt_state), {"loss": value, "dropped_rows": jnp.sum(rows.dropped)}

    def behaviour(state: AVFState, hyper: Hyper, stream: str) -> Policy:
        del hyper, stream
        return utility_policy(networks, state.params["agents"])

    return Algorithm(
        ("main",),
        init,
        behaviour,
        lambda state, hyper: behaviour(state, hyper, "main"),
        update,
        collection(config, env),
    )


def _rows(config: AVFConfig, hyper: Hyper, key: Array, episode: Episode) -> JointRows:
    return joint_trajectory(
        key,
        episode,
        discount=hyper["gamma"],
        macro_state=config.macro_state,
        reward_scheme=config.reward_scheme,
        **window_options(config),
    )


def _is_warehouse(env: Environment) -> bool:
    return env.name.startswith("Warehouse")


def paper(env: Environment, mixer_name: str) -> dict[str, Any]:
    """Table 5 of the AVF paper, with the specification's reading of what it leaves open (section 7)."""
    small_rate = mixer_name != "qplex" and not _is_warehouse(env)
    grid = getattr(env, "size", 0)
    large = _is_warehouse(env) or grid >= 20
    train_freq = 30 if _is_warehouse(env) else 5 if env.name.startswith("CaptureTarget") else 15
    train_freq = {20: 35, 30: 45}.get(grid, train_freq)
    return {
        "learning_rate": 5e-5 if small_rate else 1e-4,
        "gamma": 0.9 if mixer_name == "vdn" or _is_warehouse(env) else 0.99,
        "epsilon_episodes": 6000.0 if large else 4000.0,
        "train_freq": train_freq,
    }


def tuned(env: Environment, mixer_name: str) -> dict[str, Any]:
    """Settings that learn reliably in minutes; what they change and why: experiments/README.md."""
    del mixer_name
    family = env.name.partition("-")[0]
    large = family == "BoxPushing" and env.size >= 20
    # Box Pushing's goal is rare under random play, and must be in the replay before learning starts.
    starts = 4096 if large else 2048 if family == "BoxPushing" else 512
    # Elsewhere three updates an episode: one in a hundred steps was too few for environments with short episodes.
    train_freq = max(100, env.horizon) if family in FAMILIES else math.ceil(env.horizon / 3)
    values = {
        "learning_rate": 1e-3,
        "learning_rate_decay": 0.1,
        "learning_rate_episodes": 3000.0 if large else 2500.0,
        "gamma": 0.98,
        "polyak": 0.99,
        "epsilon_episodes": 1500.0,
        "explore_fraction": 0.5,
        "replay_tournament": 128 if large else 64,
        "reward_scale": 0.1,
        "learning_starts": starts,
        "replay_episodes": 5000 if large else 2500,
        "train_freq": train_freq,
        "batch_size": 32,
        "max_rows": 12,
        "hidden_size": 32,
    }
    # Equal agents, and a reward of 1 that all must earn together: one network, and soon nobody acts by chance.
    alike = {"share_parameters": True, "explore_fraction": 0.0, "reward_scale": 1.0}
    alike |= {"epsilon_start": 0.2, "epsilon_end": 0.05, "epsilon_episodes": 400.0}
    return values | alike if family == "CaptureTarget" else values
