"""Shared by all value-based algorithms: settings, state, epsilon-greedy policies, hysteresis, updates, targets."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jaxtyping import Array, Bool, Float, Int

from jaxmac.algorithms.base import (
    Collection,
    CommonConfig,
    LastActionConfig,
    Progress,
    RowsConfig,
    SharedAgentsConfig,
    idle_schedule,
    is_copy_due,
    linear_schedule,
    network_options,
)
from jaxmac.algorithms.optimiser import gradient_step, init_optimiser
from jaxmac.arguments import LARGEST_COUNT
from jaxmac.config import setting
from jaxmac.envs.environment import Environment, TimeStep
from jaxmac.hyper import Hyper
from jaxmac.networks.agent import AgentNetworks, PolicyNetworks, make_agent_networks
from jaxmac.networks.choice import conditional_argmax
from jaxmac.record.joint_rows import REWARD_SCHEMES
from jaxmac.record.policy import Policy, explored
from jaxmac.record.replay import SAMPLERS, make_sampler
from jaxmac.record.windows import TRAJECTORY_UNITS


@dataclass(frozen=True)
class ValueBasedConfig(CommonConfig):
    """Hyperparameters of every value-based algorithm; defaults as in docs/specifications/avf.md, section 7."""

    learning_rate: float = setting(1e-4, "learning rate (Adam)", above=0.0, high=1.0, traced=True)
    learning_rate_decay: float = setting(
        1.0,
        "factor on the learning rate at the end of its schedule (1: constant)",
        above=0.0,
        high=1.0,
        traced=True,
    )
    learning_rate_episodes: float = setting(
        4000.0, "training episodes of the learning rate's linear schedule", above=0.0, traced=True
    )
    polyak: float = setting(
        0.995, "share of the old target network kept after an update", low=0.0, high=1.0, traced=True
    )
    target_episodes: int = setting(
        0, "training episodes between copies to the target networks (0: use Polyak averaging)", low=0
    )
    target_steps: int = setting(
        0, "nominal primitive steps between copies to the target networks (0: use target_episodes or polyak)", low=0
    )
    td_lambda: float = setting(
        0.0,
        "share of the following rows' return in the target (0: one-step targets, 1: the whole return)",
        low=0.0,
        high=1.0,
        traced=True,
    )
    eval_target: bool = setting(
        False, "evaluate, render and export the target networks' policy (with polyak: an average over updates)"
    )
    double_q: bool = setting(True, "double Q-learning: arg max by the online network, value by the target network")
    explore_fraction: float = setting(
        0.0, "share of the parallel episodes that are random throughout training", low=0.0, high=1.0, traced=True
    )
    hysteresis: float = setting(
        1.0, "factor on negative TD errors when learning starts (1: no hysteresis)", low=0.0, high=1.0, traced=True
    )
    hysteresis_end: float = setting(
        1.0, "factor on negative TD errors at the end of its schedule", low=0.0, high=1.0, traced=True
    )
    hysteresis_episodes: float = setting(
        9000.0, "training episodes of the hysteresis factor's linear schedule", above=0.0, traced=True
    )
    learning_starts: int = setting(
        64, "training episodes, all random, before the first update, which also waits for a batch", low=1
    )
    train_freq: int = setting(15, "nominal primitive steps (num_envs x horizon per iteration) per update", low=1)
    replay_episodes: int = setting(2500, "episodes that the replay stores", low=1)
    batch_size: int = setting(64, "episodes in a batch", low=1)
    sampling: str = setting("uniform", "sampling rule of the replay", choices=SAMPLERS, chooses="sampler")

    def without_effect(self) -> dict[str, str]:
        """See `jaxmac.config.without_effect`; which setting of the targets goes before which: `update_target`."""
        found = idle_schedule(self, "hysteresis_episodes", "hysteresis", "hysteresis_end")
        if self.learning_rate_decay == 1.0:
            found["learning_rate_episodes"] = "with learning_rate_decay=1 the rate is constant"
        if self.target_steps:
            found["target_episodes"] = found["polyak"] = f"target_steps={self.target_steps} goes before it"
        elif self.target_episodes:
            found["polyak"] = f"target_episodes={self.target_episodes} goes before it"
        if self.explore_fraction > 0 and not round(self.explore_fraction * self.num_envs):
            found["explore_fraction"] = f"of num_envs={self.num_envs} it is half an episode at most"
        return found


@dataclass(frozen=True)
class WindowsConfig(RowsConfig):
    """Hyperparameters of algorithms that learn from the rows of windows of episodes."""

    trajectory: int = setting(25, "length of a training trajectory, in trajectory_unit", low=1)
    trajectory_unit: str = setting(
        "steps", "unit of a trajectory: primitive steps, joint rows or the whole episode", choices=TRAJECTORY_UNITS
    )
    unroll_episode: bool = setting(
        False,
        "run the recurrent layers from the episode's start, with the loss on the trajectory only; max_rows caps "
        "the history, too",
    )
    reward_scheme: str = setting("joint", "how the reward of a joint row is accumulated", choices=REWARD_SCHEMES)

    def without_effect(self) -> dict[str, str]:
        """See `jaxmac.config.without_effect`."""
        if self.trajectory_unit != "episode":
            return {}
        if self.max_rows:
            return {"trajectory": f"with trajectory_unit=episode it is a window of max_rows={self.max_rows} rows"}
        history = "with trajectory_unit=episode every history starts with the episode"
        return {"trajectory": "with trajectory_unit=episode it is the whole episode", "unroll_episode": history}

    def check_together(self) -> None:
        """Refuse lambda-returns, and a `td_lambda` of NaN, over rows whose rewards the chain would count twice."""
        td_lambda = getattr(self, "td_lambda", 0.0)  # traced, so that the static part of a config has none
        if not td_lambda <= 0 and self.reward_scheme != "joint":
            given = "a traced td_lambda" if math.isnan(td_lambda) else f"td_lambda={td_lambda:g}"
            raise ValueError(
                f"{given} chains rows, and with reward_scheme={self.reward_scheme!r} their rewards overlap: "
                "set td_lambda=0, or reward_scheme='joint'"
            )


@dataclass(frozen=True)
class AgentRowsConfig(WindowsConfig, SharedAgentsConfig, LastActionConfig, ValueBasedConfig):
    """Hyperparameters of value-based algorithms whose agents learn from the rows of windows."""


class ValueBasedState(struct.PyTreeNode):
    """Everything that a value-based algorithm learns, arrays only."""

    params: Any  # a dict: name of the networks -> parameters
    target: Any  # the same for the target networks, Polyak-averaged or copied periodically
    opt_state: Any  # of all parameters together, or a dict by name for networks that learn separately


def initial_state(hyper: Hyper, params: dict[str, Any]) -> ValueBasedState:
    """The state of new parameters with one optimiser for all of them; targets start as copies."""
    return ValueBasedState(params, jax.tree.map(jnp.copy, params), init_optimiser(hyper, params))


def learning_rate(config: ValueBasedConfig, hyper: Hyper, progress: Progress) -> Float[Array, ""]:
    """The scheduled learning rate at this progress."""
    start, end = hyper.learning_rate, hyper.learning_rate * hyper.learning_rate_decay
    return linear_schedule(progress, config.learning_starts, start, end, hyper.learning_rate_episodes)


def descend(
    state: ValueBasedState,
    gradient: Any,
    config: ValueBasedConfig,
    hyper: Hyper,
    progress: Progress,
    network: str | None = None,
    has_rows: Bool[Array, "*networks"] | None = None,
) -> ValueBasedState:
    """The state after one step of Adam along `gradient`; the targets are not changed.

    Without `network` all parameters are updated together. With it only the networks of that name are, each
    separately along the leading axis (see `gradient_step`). `has_rows` marks those that have rows to learn from, or
    says whether there are any.
    """
    rate = learning_rate(config, hyper, progress)
    if network is None:
        params, opt_state = gradient_step(hyper, rate, gradient, state.opt_state, state.params, has_rows)
        return state.replace(params=params, opt_state=opt_state)
    params, opt_state = gradient_step(
        hyper, rate, gradient, state.opt_state[network], state.params[network], has_rows
    )
    return state.replace(params=state.params | {network: params}, opt_state=state.opt_state | {network: opt_state})


def updates_per_iteration(config: ValueBasedConfig, horizon: int) -> int:
    """Gradient updates per iteration: ceil(num_envs * horizon / train_freq), with nominal primitive steps."""
    return math.ceil(config.num_envs * horizon / config.train_freq)


def update_target(
    state: ValueBasedState, config: ValueBasedConfig, hyper: Hyper, progress: Progress, horizon: int
) -> ValueBasedState:
    """The state with updated targets: Polyak-averaged, or copied every `target_steps` or `target_episodes`.

    `target_steps` above 0 goes before `target_episodes` above 0, which goes before `polyak`; `target_steps` are
    nominal primitive steps, rounded up to whole updates.
    """
    params, target = state.params, state.target
    if config.target_steps:
        period = math.ceil(config.target_steps / config.train_freq)
        due = (progress.updates + 1) % period == 0
        return state.replace(target=jax.lax.cond(due, lambda: params, lambda: target))
    if not config.target_episodes:
        return state.replace(target=optax.incremental_update(params, target, 1.0 - hyper.polyak))
    due = is_copy_due(progress, config)
    first = progress.updates % updates_per_iteration(config, horizon) == 0
    return state.replace(target=jax.lax.cond(due & first, lambda: params, lambda: target))


def evaluated_params(state: ValueBasedState, config: ValueBasedConfig) -> dict[str, Any]:
    """The parameters, by network, of the policy that is evaluated: the targets' with `eval_target`."""
    params: dict[str, Any] = state.target if config.eval_target else state.params
    return params


def episodes_before_learning(settings: Mapping[str, Any]) -> int:
    """Training episodes when the first update is made: whole iterations that store `learning_starts` and a batch.

    It is 0 for the settings of an algorithm that learns from its first episodes on.
    """
    if "learning_starts" not in settings:
        return 0
    num_envs = settings["num_envs"]
    return -(-max(settings["learning_starts"], settings["batch_size"]) // num_envs) * num_envs


def collection(config: ValueBasedConfig, env: Environment) -> Collection:
    """Epsilon-greedy episodes into a replay; learning starts once `learning_starts` and a batch are stored.

    Raises ValueError, in one line, for a sampler that chooses windows with a trajectory that is not in steps, or
    among more windows than int32 counts.
    """
    window, unit = getattr(config, "trajectory", env.horizon), getattr(config, "trajectory_unit", "episode")
    replay = make_sampler(config.sampling, config, config.replay_episodes, config.batch_size, window)
    if replay.chooses_windows and not hasattr(config, "trajectory_unit"):
        raise ValueError(
            f"sampling={config.sampling!r} draws windows; this algorithm learns from whole episodes only"
        )
    if replay.chooses_windows and unit != "steps":
        raise ValueError(f"sampling={config.sampling!r} needs trajectory_unit='steps', not {unit!r}")
    windows = config.replay_episodes * (env.horizon + window - 1)
    if replay.chooses_windows and windows > LARGEST_COUNT:
        raise ValueError(
            f"sampling={config.sampling!r} draws one of up to {windows:,} windows (replay_episodes="
            f"{config.replay_episodes}, trajectory={window}), but can count {LARGEST_COUNT:,} at most"
        )
    warmup = episodes_before_learning(vars(config)) // config.num_envs - 1
    return Collection(partial(exploration, config), replay, updates_per_iteration(config, env.horizon), warmup)


def exploration(config: ValueBasedConfig, hyper: Hyper, progress: Progress) -> Float[Array, "envs"]:
    """The exploration rate of each parallel episode: 1 for `learning_starts` episodes, then the linear schedule.

    The first `explore_fraction` of the parallel episodes stay at 1.
    """
    scheduled = linear_schedule(
        progress, config.learning_starts, hyper.epsilon_start, hyper.epsilon_end, hyper.epsilon_episodes
    )
    scheduled = jnp.where(progress.episodes < config.learning_starts, 1.0, scheduled)
    always = jnp.arange(config.num_envs) < jnp.round(hyper.explore_fraction * config.num_envs)
    return jnp.where(always, 1.0, scheduled)


def utility_policy(networks: AgentNetworks, params: Any, recurrent: bool = True) -> Policy:
    """Decentralised epsilon-greedy policy on each agent's utilities; hidden states advance at its decisions.

    Without `recurrent` every decision starts from the initial hidden state.
    """

    def act(key: Array, hidden: Array, ts: TimeStep, epsilon: Array) -> tuple[Array, Array]:
        moved, outputs = networks.apply(params, hidden, ts.macro_obs[None], ts.macro_action[None], ts.ended[None])
        return moved if recurrent else hidden, epsilon_greedy(key, outputs.q[0], ts, epsilon)

    policy_networks = PolicyNetworks(networks, params) if recurrent else None
    return Policy(networks.initial_hidden, act, networks=policy_networks)


def epsilon_greedy(
    key: Array, q: Float[Array, "batch agents actions"], ts: TimeStep, epsilon: Float[Array, "batch"]
) -> Int[Array, "batch agents"]:
    """Each agent's greedy macro-action, or with probability epsilon a random available one."""
    greedy = conditional_argmax(q, ts.avail, ts.ended, ts.macro_action)
    return explored(key, greedy, ts, epsilon, coins=greedy.shape[-1])


def hysteretic(
    error: Float[Array, "..."], config: ValueBasedConfig, hyper: Hyper, progress: Progress
) -> Float[Array, "..."]:
    """Negative errors (target below estimate) scaled by the scheduled factor; with 1 nothing changes.

    Source: Laetitia Matignon, Guillaume J. Laurent and Nadine Le Fort-Piat, "Hysteretic Q-Learning", IROS 2007;
    docs/specifications/value_based.md, section 5.
    """
    factor = linear_schedule(
        progress, config.learning_starts, hyper.hysteresis, hyper.hysteresis_end, hyper.hysteresis_episodes
    )
    return jnp.maximum(factor * error, error)


def weighted_mean_square(
    error: Float[Array, "rows batch *rest"],
    mask: Bool[Array, "rows batch *rest"],
    weight: Float[Array, "batch"],
    axis: tuple[int, ...] | None = None,
    whole: Bool[Array, "all_rows episodes *rest"] | None = None,
) -> Float[Array, "..."]:
    """The sum over `mask` of weight * error^2, divided by the number of rows in `mask`; 0 if there are none.

    `weight` is the weight of each episode of the batch; `axis` are the axes of the sum (None: all). For a
    microbatch `whole` is the mask of the whole batch, whose rows are counted instead.
    """
    weight = weight.reshape(-1, *(1,) * (error.ndim - 2))[None]
    square = jnp.sum(weight * jnp.where(mask, error, 0.0) ** 2, axis=axis)
    return square / jnp.maximum(jnp.sum(mask if whole is None else whole, axis=axis), 1)


def window_options(config: Any) -> dict[str, Any]:
    """The arguments of `jaxmac.record.windows.trajectory_of`, from a config."""
    names = (
        "trajectory",
        "trajectory_unit",
        "unroll_episode",
        "max_rows",
        "close_on_terminal",
        "timeout_is_terminal",
    )
    return {name: getattr(config, name) for name in names}


def agent_networks(env: Environment, config: Any, dueling: str = "none") -> AgentNetworks:
    """The utility networks of `config` for the agents of `env`."""
    return make_agent_networks(
        env.obs_sizes,
        env.num_actions,
        dueling=dueling,
        share_parameters=config.share_parameters,
        obs_last_action=config.obs_last_action,
        **network_options(config),
    )
