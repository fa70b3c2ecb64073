"""The interface of algorithms: a few pure functions, whose closures hold environment, networks and optimiser."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxmac.config import setting
from jaxmac.hyper import Hyper
from jaxmac.networks.memory import MEMORIES, memory_of
from jaxmac.record.policy import Policy
from jaxmac.record.replay import Replay, Sample

LearnerState = Any  # a pytree of arrays


class Progress(NamedTuple):
    """The counters of a run, the same for all members and not batched, so that `lax.cond` on them branches."""

    iteration: Int[Array, ""]  # one iteration collects `num_envs` episodes and makes the updates that follow
    episodes: Int[Array, ""]  # finished training episodes
    updates: Int[Array, ""]  # gradient updates made


class Collection(NamedTuple):
    """How experience is collected and how many updates are made, the same for all members of a program."""

    epsilon: Callable[[Hyper, Progress], Float[Array, "envs"]]  # exploration rate of each parallel episode
    replay: Replay
    updates: int  # gradient updates per iteration
    warmup_iterations: int  # iterations that only collect
    episodes_per_env: int = 1  # consecutive episodes per environment; the `num_envs` that finish first are kept


def idle_schedule(config: Any, name: str, start: str, end: str) -> dict[str, str]:
    """The length of a schedule, with the reason why it has no effect, if it starts and ends with the same value."""
    same = getattr(config, start) == getattr(config, end)
    return {name: f"{start} and {end} are both {getattr(config, end):g}"} if same else {}


@dataclass(frozen=True)
class CommonConfig:
    """Hyperparameters that every algorithm has."""

    def check_together(self) -> None:
        """Raise a one-line ValueError for values, each of them allowed, that do not go together.

        A value that JAX traces is NaN here: `jax.vmap` over a hyperparameter of `make_train`.
        """

    def without_effect(self) -> dict[str, str]:
        """See `jaxmac.config.without_effect`."""
        return idle_schedule(self, "epsilon_episodes", "epsilon_start", "epsilon_end")

    gamma: float = setting(0.99, "discount factor per primitive step", low=0.0, high=1.0, traced=True)
    epsilon_start: float = setting(1.0, "exploration rate when learning starts", low=0.0, high=1.0, traced=True)
    epsilon_end: float = setting(0.1, "exploration rate at the end of its decay", low=0.0, high=1.0, traced=True)
    epsilon_episodes: float = setting(
        4000.0, "training episodes of the exploration rate's linear decay", above=0.0, traced=True
    )
    grad_clip: float = setting(10.0, "largest global norm of the gradient (0: no clipping)", low=0.0, traced=True)
    reward_scale: float = setting(
        1.0, "factor on rewards in the loss; reported returns are not scaled", above=0.0, traced=True
    )
    num_envs: int = setting(16, "parallel episodes per member and iteration", low=1)
    close_on_terminal: bool = setting(
        True, "an environment's termination ends running macro-actions, so that they yield rows"
    )
    timeout_is_terminal: bool = setting(
        False,
        "treat the time limit as a termination: no bootstrap after it (unlike the environments' option "
        "horizon_is_terminal it ends no running macro-actions)",
    )
    memory: str = setting("gru", "recurrent layer of the agents' networks", choices=MEMORIES, chooses="memory")
    hidden_size: int = setting(64, "width of the agents' recurrent layer", low=1)
    layer_size: int = setting(0, "width of the agents' layers before the recurrent one (0: hidden_size)", low=0)
    decode_size: int = setting(0, "width of the agents' layer after the recurrent one (0: layer_size)", low=0)
    hidden_layers: int = setting(2, "number of the agents' layers before the recurrent one", low=1, high=8)
    layer_norm: bool = setting(
        False, "layer normalisation of the agents' dense layers, before their activation functions"
    )
    eval_every: int = setting(100, "training episodes between evaluations, rounded up to whole iterations", low=1)
    eval_episodes: int = setting(32, "episodes per evaluation", low=1)
    eval_epsilon: float = setting(
        0.0, "exploration rate of the evaluation episodes (0: greedy)", low=0.0, high=1.0, traced=True
    )


@dataclass(frozen=True)
class RowsConfig:
    """Hyperparameters of algorithms that learn from rows, joint or own."""

    max_rows: int = setting(
        0,
        "cap on the rows of a trajectory (0: none); of an episode, value-based algorithms take a random window of "
        "that many joint rows, which may reach beyond its ends, and actor-critics and PPO the last ones",
        low=0,
    )


@dataclass(frozen=True)
class SharedAgentsConfig:
    """Hyperparameters of algorithms whose agents may share one network."""

    share_parameters: bool = setting(False, "one network for all agents, with the agent's one-hot id as input")


@dataclass(frozen=True)
class LastActionConfig:
    """Hyperparameters of algorithms whose agents may have their last macro-action as input."""

    obs_last_action: bool = setting(False, "the agent's last macro-action (one-hot) is part of its input")


def network_options(config: CommonConfig) -> dict[str, Any]:
    """The arguments of `make_agent_networks` for the sizes and the recurrent layer, from a config."""
    names = ("hidden_size", "layer_size", "decode_size", "hidden_layers", "layer_norm")
    return {name: getattr(config, name) for name in names} | {"memory": memory_of(config.memory, config)}


def is_copy_due(progress: Progress, config: Any) -> Bool[Array, ""]:
    """Whether a multiple of `target_episodes` lies among the episodes of this iteration."""
    before = progress.episodes - config.num_envs
    return progress.episodes // config.target_episodes > before // config.target_episodes


class Algorithm(NamedTuple):
    """An algorithm built for one environment and config.

    Attributes:
        streams: names of the streams of experience; each has one behaviour policy, one replay and one minibatch per
            update.
        init: (key, hyper) -> LearnerState, arrays only: parameters, targets, optimiser states.
        behaviour: (LearnerState, hyper, stream) -> the Policy that collects the experience of a stream.
        evaluation: (LearnerState, hyper) -> the Policy that is evaluated, rendered and exported.
        update: (LearnerState, hyper, samples by stream, Progress, key) -> (LearnerState, metrics). These are
            `loss`, the `diagnostics` and, where a cap left rows out, their number `dropped_rows`, all scalars.
            `errors` may hold, by stream, the mean absolute temporal-difference error of each sampled episode
            `[batch]`, which is passed to the sampler's `feedback`.
        collection: how experience is collected.
        joint_outputs: number of joint macro-actions for which a network has outputs, to estimate memory (0: none).
        diagnostics: names of further metrics of `update`; the mean of each over the updates between two evaluations
            is a column of metrics.csv.
    """

    streams: tuple[str, ...]
    init: Callable[[Array, Hyper], LearnerState]
    behaviour: Callable[[LearnerState, Hyper, str], Policy]
    evaluation: Callable[[LearnerState, Hyper], Policy]
    update: Callable[[LearnerState, Hyper, dict[str, Sample], Progress, Array], tuple[LearnerState, dict[str, Any]]]
    collection: Collection
    joint_outputs: int = 0
    diagnostics: tuple[str, ...] = ()


def linear_schedule(
    progress: Progress, after: int, start: Array | float, end: Array | float, episodes: Array | float
) -> Float[Array, ""]:
    """`start` until `after` episodes, then linearly to `end` over `episodes` more, then `end`."""
    fraction = (progress.episodes - after) / jnp.maximum(episodes, 1.0)
    return start + (end - start) * jnp.clip(fraction, 0.0, 1.0)
