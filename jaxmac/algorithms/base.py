"""What an algorithm is: a few pure functions. Environments, networks and optimisers live in their closures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxmac.config import setting
from jaxmac.hyper import Hyper
from jaxmac.networks.memory import MEMORIES, memory_of
from jaxmac.record.policy import Policy
from jaxmac.record.replay import Replay, Sample

LearnerState = Any  # a pytree of arrays


class Progress(NamedTuple):
    """Where a run stands; unbatched, the same for all members, so that conditions on it stay conditions."""

    iteration: Int[Array, ""]
    episodes: Int[Array, ""]  # finished training episodes
    updates: Int[Array, ""]  # gradient updates made


class Collection(NamedTuple):
    """How experience is gathered and how often it is learned from, the same for all members of a program."""

    epsilon: Callable[[Hyper, Progress], Float[Array, "envs"]]  # of each parallel episode of an iteration
    replay: Replay
    updates: int  # per iteration
    warmup_iterations: int  # iterations that only collect
    episodes_per_env: int = 1  # each environment plays so many in a row; the `num_envs` that finish first are kept


@dataclass(frozen=True)
class CommonConfig:
    """Hyperparameters that every algorithm has."""

    gamma: float = setting(0.99, "discount per primitive step", low=0.0, high=1.0, traced=True)
    epsilon_start: float = setting(1.0, "exploration once learning starts", low=0.0, high=1.0, traced=True)
    epsilon_end: float = setting(0.1, "exploration after the decay", low=0.0, high=1.0, traced=True)
    epsilon_episodes: float = setting(4000.0, "episodes of linear decay", above=0.0, traced=True)
    grad_clip: float = setting(10.0, "largest global norm of the gradient (0: no clipping)", low=0.0, traced=True)
    reward_scale: float = setting(1.0, "factor on rewards in the loss (never in reports)", above=0.0, traced=True)
    num_envs: int = setting(16, "parallel episodes per member and iteration", low=1)
    close_on_terminal: bool = setting(True, "an environment termination ends every running macro-action")
    timeout_is_terminal: bool = setting(False, "no bootstrap at the time limit")
    memory: str = setting("gru", "recurrent layer of the agents' networks", choices=MEMORIES, chooses="memory")
    hidden_size: int = setting(64, "width of the agents' recurrent layer", low=1)
    layer_size: int = setting(0, "width of their layers before it (0: as the recurrent one)", low=0)
    decode_size: int = setting(0, "width of their layer after it (0: as those before)", low=0)
    hidden_layers: int = setting(2, "layers before the recurrent one", low=1, high=8)
    eval_every: int = setting(100, "training episodes between evaluations", low=1)
    eval_episodes: int = setting(32, "episodes per evaluation", low=1)


@dataclass(frozen=True)
class RowsConfig:
    """Hyperparameters of algorithms that learn from rows, joint or own."""

    max_rows: int = setting(0, "most rows of a trajectory, the last ones are kept (0: no cap)", low=0)


@dataclass(frozen=True)
class SharedAgentsConfig:
    """Hyperparameters of algorithms whose agents may share one network."""

    share_parameters: bool = setting(False, "one network for all agents, told apart by a one-hot id")


@dataclass(frozen=True)
class LastActionConfig:
    """Hyperparameters of algorithms whose agents may see their last macro-action."""

    obs_last_action: bool = setting(False, "the last macro-action is part of an agent's input")


def network_options(config: CommonConfig) -> dict[str, Any]:
    """The sizes and the memory of recurrent networks, for `make_agent_networks`."""
    names = ("hidden_size", "layer_size", "decode_size", "hidden_layers")
    return {name: getattr(config, name) for name in names} | {"memory": memory_of(config.memory, config)}


class Algorithm(NamedTuple):
    """An algorithm built for one environment and config.

    Attributes:
        streams: names; each has one behaviour, one replay and one minibatch per update.
        init: (key, hyper) -> LearnerState, arrays only: parameters, targets, optimiser states.
        behaviour: (LearnerState, hyper, stream) -> Policy that gathers the experience of a stream.
        evaluation: (LearnerState, hyper) -> Policy that is judged.
        update: (LearnerState, hyper, samples by stream, Progress, key) -> (LearnerState, metrics). Metrics are
            scalars with at least `loss`, and `dropped_rows` where a cap left rows out; `errors` may hold, by
            stream, the mean absolute temporal-difference error of each sampled episode `[batch]`, which the
            sampler hears of.
        collection: how experience is gathered.
        joint_outputs: joint macro-actions that a network has outputs for, for the estimate of memory.
    """

    streams: tuple[str, ...]
    init: Callable[[Array, Hyper], LearnerState]
    behaviour: Callable[[LearnerState, Hyper, str], Policy]
    evaluation: Callable[[LearnerState, Hyper], Policy]
    update: Callable[[LearnerState, Hyper, dict[str, Sample], Progress, Array], tuple[LearnerState, dict[str, Any]]]
    collection: Collection
    joint_outputs: int = 0


def linear_schedule(
    progress: Progress, after: int, start: Array | float, end: Array | float, episodes: Array | float
) -> Float[Array, ""]:
    """`start` until `after` episodes, then linearly to `end` over `episodes` more, then `end`."""
    fraction = (progress.episodes - after) / jnp.maximum(episodes, 1.0)
    return start + (end - start) * jnp.clip(fraction, 0.0, 1.0)
