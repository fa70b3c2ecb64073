"""What every value-based algorithm shares: its settings, epsilon-greedy acting, hysteresis, the optimiser."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float

from envs.environment import Environment, TimeStep
from jaxmac.algorithms.base import Hyper, Progress, linear_schedule
from jaxmac.config import setting
from jaxmac.networks.agent import AgentNetworks, make_agent_networks
from jaxmac.rollout import Policy, uniform_available
from jaxmac.squeeze import REWARD_SCHEMES, TRAJECTORY_UNITS
from jaxmac.targets import conditional_argmax


@dataclass(frozen=True)
class ValueBasedConfig:
    """Hyperparameters of every value-based algorithm; the defaults follow the AVF specification, section 7."""

    learning_rate: float = setting(1e-4, "Adam's step size", above=0.0, high=1.0, traced=True)
    learning_rate_decay: float = setting(
        1.0, "factor on the learning rate after its schedule (1: constant)", above=0.0, high=1.0, traced=True
    )
    learning_rate_episodes: float = setting(4000.0, "episodes of that linear schedule", above=0.0, traced=True)
    gamma: float = setting(0.99, "discount per primitive step", low=0.0, high=1.0, traced=True)
    polyak: float = setting(0.995, "share of the old target kept after an update", low=0.0, high=1.0, traced=True)
    target_episodes: int = setting(
        0, "training episodes between copies of the network to its target (0: polyak)", low=0
    )
    grad_clip: float = setting(10.0, "largest global norm of the gradient", above=0.0, traced=True)
    double_q: bool = setting(True, "arg max by the online network, value by the target")
    epsilon_start: float = setting(1.0, "exploration once learning starts", low=0.0, high=1.0, traced=True)
    epsilon_end: float = setting(0.1, "exploration after the decay", low=0.0, high=1.0, traced=True)
    epsilon_episodes: float = setting(4000.0, "episodes of linear decay", above=0.0, traced=True)
    explore_fraction: float = setting(
        0.0, "share of the parallel episodes that act at random throughout", low=0.0, high=1.0, traced=True
    )
    hysteresis: float = setting(
        1.0, "factor on negative errors when learning starts (1: off)", low=0.0, high=1.0, traced=True
    )
    hysteresis_end: float = setting(1.0, "that factor after its schedule", low=0.0, high=1.0, traced=True)
    hysteresis_episodes: float = setting(9000.0, "episodes of that linear schedule", above=0.0, traced=True)
    reward_scale: float = setting(1.0, "factor on rewards in the loss (never in reports)", above=0.0, traced=True)
    num_envs: int = setting(16, "parallel episodes per member and iteration", low=1)
    learning_starts: int = setting(64, "random episodes before the first update", low=1)
    train_freq: int = setting(15, "nominal primitive steps per update", low=1)
    replay_episodes: int = setting(2500, "episodes held by the replay", low=1)
    batch_size: int = setting(64, "episodes in a batch", low=1)
    replay_tournament: int = setting(
        0, "best of that many uniform episodes, for a share of a batch (0: off)", low=0
    )
    tournament_share: float = setting(0.5, "share of a batch chosen by tournament", low=0.0, high=1.0)
    trajectory: int = setting(25, "length of a training trajectory in its unit", low=1)
    trajectory_unit: str = setting("steps", "primitive steps, joint rows or episode", choices=TRAJECTORY_UNITS)
    unroll_episode: bool = setting(False, "recurrent history from the episode's start, loss on the window only")
    max_rows: int = setting(0, "most rows of a trajectory, the last ones kept (0: no cap)", low=0)
    reward_scheme: str = setting("joint", "how rewards are accumulated in joint rows", choices=REWARD_SCHEMES)
    close_on_terminal: bool = setting(True, "an environment termination ends every running macro-action")
    timeout_is_terminal: bool = setting(False, "no bootstrap at the time limit")
    hidden_size: int = setting(64, "width of the utility networks' recurrent layer", low=1)
    layer_size: int = setting(0, "width of their other layers (0: as the recurrent one)", low=0)
    hidden_layers: int = setting(2, "layers before the recurrent one", low=1, high=8)
    share_parameters: bool = setting(False, "one network for all agents, told apart by a one-hot id")
    obs_last_action: bool = setting(False, "the last macro-action is part of a utility network's input")
    eval_every: int = setting(100, "training episodes between evaluations", low=1)
    eval_episodes: int = setting(32, "greedy episodes per evaluation", low=1)


def updates_per_iteration(config: ValueBasedConfig, horizon: int) -> int:
    """Gradient updates after each batch of parallel episodes: primitive steps are counted nominally."""
    return math.ceil(config.num_envs * horizon / config.train_freq)


def updated_target(
    params: Any, target: Any, config: ValueBasedConfig, hyper: Hyper, progress: Progress, horizon: int
) -> Any:
    """The target network after an update: moved a little, or copied once every `target_episodes` episodes."""
    if not config.target_episodes:
        return optax.incremental_update(params, target, 1.0 - hyper["polyak"])
    now, before = progress.episodes, progress.episodes - config.num_envs
    due = now // config.target_episodes > before // config.target_episodes
    first = progress.updates % updates_per_iteration(config, horizon) == 0
    return jax.lax.cond(due & first, lambda: params, lambda: target)


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


def utility_policy(networks: AgentNetworks, params: Any) -> Policy:
    """Decentralised epsilon-greedy on each agent's own utilities; hidden states move at its own decisions."""

    def act(key: Array, hidden: Array, ts: TimeStep, epsilon: Array) -> tuple[Array, Array]:
        hidden, utilities = networks.apply(
            params, hidden, ts.macro_obs[None], ts.macro_action[None], ts.ended[None]
        )
        return hidden, epsilon_greedy(key, utilities.q[0], ts, epsilon)

    return Policy(networks.initial_hidden, act)


def epsilon_greedy(key: Array, q: Array, ts: TimeStep, epsilon: Float[Array, "batch"]) -> Array:
    """Each agent's own greedy macro-action, or with probability epsilon a random one, int32 `[batch, agents]`."""
    greedy = conditional_argmax(q, ts.avail, ts.ended, ts.macro_action)
    random_key, coin_key = jax.random.split(key)
    explore = jax.random.uniform(coin_key, greedy.shape) < epsilon[:, None]
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


def optimiser(hyper: Hyper, rate: Array | None = None) -> optax.GradientTransformation:
    """Clipping by global norm, Adam, then the (traced) learning rate, `rate` if given."""
    return optax.chain(
        optax.clip_by_global_norm(hyper["grad_clip"]),
        optax.scale_by_adam(),
        optax.scale(-(hyper["learning_rate"] if rate is None else rate)),
    )


def agent_networks(env: Environment, config: ValueBasedConfig, dueling: str = "none") -> AgentNetworks:
    """The utility networks of `config` for the agents of `env`."""
    return make_agent_networks(
        env.obs_sizes,
        env.num_actions,
        hidden_size=config.hidden_size,
        layer_size=config.layer_size,
        hidden_layers=config.hidden_layers,
        dueling=dueling,
        share_parameters=config.share_parameters,
        obs_last_action=config.obs_last_action,
    )
