"""What every value-based algorithm shares: its settings, epsilon-greedy acting, hysteresis, the optimiser."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float

from jaxmac.algorithms.base import Collection, CommonConfig, Hyper, Progress, linear_schedule
from jaxmac.config import setting
from jaxmac.envs.environment import Environment, TimeStep
from jaxmac.networks.agent import ActingNets, AgentNetworks, make_agent_networks
from jaxmac.networks.choice import conditional_argmax
from jaxmac.record.joint_rows import REWARD_SCHEMES, TRAJECTORY_UNITS
from jaxmac.record.replay import SAMPLING, make_replay
from jaxmac.record.rollout import Policy, uniform_available


@dataclass(frozen=True)
class ValueBasedConfig(CommonConfig):
    """Hyperparameters of every value-based algorithm; the defaults follow the AVF specification, section 7."""

    learning_rate: float = setting(1e-4, "Adam's step size", above=0.0, high=1.0, traced=True)
    learning_rate_decay: float = setting(
        1.0, "factor on the learning rate after its schedule (1: constant)", above=0.0, high=1.0, traced=True
    )
    learning_rate_episodes: float = setting(4000.0, "episodes of that linear schedule", above=0.0, traced=True)
    polyak: float = setting(0.995, "share of the old target kept after an update", low=0.0, high=1.0, traced=True)
    target_episodes: int = setting(
        0, "training episodes between copies of the network to its target (0: polyak)", low=0
    )
    target_steps: int = setting(0, "nominal primitive steps between such copies (0: not so)", low=0)
    double_q: bool = setting(True, "arg max by the online network, value by the target")
    explore_fraction: float = setting(
        0.0, "share of the parallel episodes that act at random throughout", low=0.0, high=1.0, traced=True
    )
    hysteresis: float = setting(
        1.0, "factor on negative errors when learning starts (1: off)", low=0.0, high=1.0, traced=True
    )
    hysteresis_end: float = setting(1.0, "that factor after its schedule", low=0.0, high=1.0, traced=True)
    hysteresis_episodes: float = setting(9000.0, "episodes of that linear schedule", above=0.0, traced=True)
    learning_starts: int = setting(64, "random episodes before the first update", low=1)
    train_freq: int = setting(15, "nominal primitive steps per update", low=1)
    replay_episodes: int = setting(2500, "episodes held by the replay", low=1)
    batch_size: int = setting(64, "episodes in a batch", low=1)
    replay_tournament: int = setting(
        0, "best of that many uniform episodes, for a share of a batch (0: off)", low=0
    )
    tournament_share: float = setting(0.5, "share of a batch chosen by tournament", low=0.0, high=1.0)
    sampling: str = setting("episodes", "what of the replay is uniform in a batch", choices=SAMPLING)
    trajectory: int = setting(25, "length of a training trajectory in its unit", low=1)
    trajectory_unit: str = setting("steps", "primitive steps, joint rows or episode", choices=TRAJECTORY_UNITS)
    unroll_episode: bool = setting(False, "recurrent history from the episode's start, loss on the window only")
    reward_scheme: str = setting("joint", "how rewards are accumulated in joint rows", choices=REWARD_SCHEMES)


def updates_per_iteration(config: ValueBasedConfig, horizon: int) -> int:
    """Gradient updates after each batch of parallel episodes: primitive steps are counted nominally."""
    return math.ceil(config.num_envs * horizon / config.train_freq)


def updated_target(
    params: Any, target: Any, config: ValueBasedConfig, hyper: Hyper, progress: Progress, horizon: int
) -> Any:
    """The target network after an update: moved a little, or copied now and then."""
    if config.target_steps:
        period = math.ceil(config.target_steps / config.train_freq)
        return jax.lax.cond((progress.updates + 1) % period == 0, lambda: params, lambda: target)
    if not config.target_episodes:
        return optax.incremental_update(params, target, 1.0 - hyper["polyak"])
    now, before = progress.episodes, progress.episodes - config.num_envs
    due = now // config.target_episodes > before // config.target_episodes
    first = progress.updates % updates_per_iteration(config, horizon) == 0
    return jax.lax.cond(due & first, lambda: params, lambda: target)


def collection(config: ValueBasedConfig, env: Environment) -> Collection:
    """Epsilon-greedy episodes into a replay; learning starts once `learning_starts` and a batch are stored."""
    if config.sampling == "windows" and config.trajectory_unit != "steps":
        raise ValueError(f"sampling='windows' needs trajectory_unit='steps', not {config.trajectory_unit!r}")
    replay = make_replay(
        config.replay_episodes,
        config.batch_size,
        tournament=config.replay_tournament,
        tournament_share=config.tournament_share,
        window=config.trajectory if config.sampling == "windows" else 0,
    )
    waits = -(-max(config.learning_starts, config.batch_size) // config.num_envs) - 1
    return Collection(partial(exploration, config), replay, updates_per_iteration(config, env.horizon), waits)


def exploration(config: ValueBasedConfig, hyper: Hyper, progress: Progress) -> Float[Array, "envs"]:
    """Epsilon of each parallel episode: 1 until learning starts, then the schedule; the first
    `explore_fraction` of them stay at 1."""
    scheduled = linear_schedule(
        progress,
        config.learning_starts,
        hyper["epsilon_start"],
        hyper["epsilon_end"],
        hyper["epsilon_episodes"],
    )
    scheduled = jnp.where(progress.episodes < config.learning_starts, 1.0, scheduled)
    always = jnp.arange(config.num_envs) < jnp.round(hyper["explore_fraction"] * config.num_envs)
    return jnp.where(always, 1.0, scheduled)


def utility_policy(networks: AgentNetworks, params: Any, recurrent: bool = True) -> Policy:
    """Decentralised epsilon-greedy on each agent's own utilities; hidden states move at its own decisions.

    Without `recurrent` every decision is taken as if it were the first.
    """

    def act(key: Array, hidden: Array, ts: TimeStep, epsilon: Array) -> tuple[Array, Array]:
        moved, utilities = networks.apply(params, hidden, ts.macro_obs[None], ts.macro_action[None], ts.ended[None])
        return moved if recurrent else hidden, epsilon_greedy(key, utilities.q[0], ts, epsilon)

    return Policy(networks.initial_hidden, act, nets=ActingNets(networks, params) if recurrent else None)


def epsilon_greedy(key: Array, q: Array, ts: TimeStep, epsilon: Float[Array, "batch"]) -> Array:
    """Each agent's own greedy macro-action, or with probability epsilon a random one, int32 `[batch, agents]`."""
    greedy = conditional_argmax(q, ts.avail, ts.ended, ts.macro_action)
    return explored(key, greedy, ts, epsilon, coins=greedy.shape[-1])


def explored(key: Array, greedy: Array, ts: TimeStep, epsilon: Float[Array, "batch"], coins: int) -> Array:
    """`greedy` macro-actions, or with probability epsilon random available ones.

    `coins`: number of agents to decide it for each of them, 1 to decide it for all at once.
    """
    random_key, coin_key = jax.random.split(key)
    explore = jax.random.uniform(coin_key, (greedy.shape[0], coins)) < epsilon[:, None]
    return jnp.where(explore, uniform_available(random_key, ts.avail), greedy)


def hysteretic(error: Array, config: ValueBasedConfig, hyper: Hyper, progress: Progress) -> Array:
    """Negative errors (target below estimate) scaled by the scheduled factor; 1 leaves them as they are."""
    factor = linear_schedule(
        progress,
        config.learning_starts,
        hyper["hysteresis"],
        hyper["hysteresis_end"],
        hyper["hysteresis_episodes"],
    )
    return jnp.maximum(factor * error, error)


def masked_mean_square(error: Float[Array, "..."], mask: Bool[Array, "..."]) -> Float[Array, ""]:
    """Mean of error^2 over the entries of `mask`; 0 when there is none."""
    return jnp.sum(jnp.where(mask, error, 0.0) ** 2) / jnp.maximum(jnp.sum(mask), 1)


def scheduled_rate(config: ValueBasedConfig, hyper: Hyper, progress: Progress) -> Array:
    """The learning rate now."""
    start, episodes = hyper["learning_rate"], hyper["learning_rate_episodes"]
    return linear_schedule(progress, config.learning_starts, start, start * hyper["learning_rate_decay"], episodes)


def window_options(config: ValueBasedConfig) -> dict[str, Any]:
    """What `jaxmac.record.joint_rows.trajectory_of` asks for, from a config."""
    names = (
        "trajectory",
        "trajectory_unit",
        "unroll_episode",
        "max_rows",
        "close_on_terminal",
        "timeout_is_terminal",
    )
    return {name: getattr(config, name) for name in names}


def agent_networks(env: Environment, config: ValueBasedConfig, dueling: str = "none") -> AgentNetworks:
    """The utility networks of `config` for the agents of `env`."""
    return make_agent_networks(
        env.obs_sizes,
        env.num_actions,
        hidden_size=config.hidden_size,
        layer_size=config.layer_size,
        decode_size=config.decode_size,
        hidden_layers=config.hidden_layers,
        dueling=dueling,
        share_parameters=config.share_parameters,
        obs_last_action=config.obs_last_action,
    )
