"""What an algorithm is: a few pure functions. Environments, networks and optimisers live in their closures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array

from jaxmac.rollout import Policy

Hyper = dict[str, Array]  # traced hyperparameters of one member, scalars
LearnerState = Any  # a pytree of arrays


class Progress(NamedTuple):
    """Where a run stands; unbatched, the same for all members, so that conditions on it stay conditions."""

    iteration: Array  # i32
    episodes: Array  # i32, finished training episodes
    updates: Array  # i32, gradient updates made


class Algorithm(NamedTuple):
    """An algorithm built for one environment and config (architecture: one record, cuts, one jitted update)."""

    streams: tuple[str, ...]  # one behaviour, one replay and one batch each
    init: Callable[[Array, Hyper], LearnerState]
    behaviour: Callable[[LearnerState, Hyper, str], Policy]
    evaluation: Callable[[LearnerState, Hyper], Policy]
    update: Callable[[LearnerState, Hyper, dict[str, Any], Progress, Array], tuple[LearnerState, dict[str, Array]]]


def linear_schedule(progress: Progress, after: int, start: Array, end: Array, episodes: Array) -> Array:
    """`start` until `after` episodes, then linearly to `end` over `episodes` more, then `end`."""
    fraction = (progress.episodes - after) / jnp.maximum(episodes, 1.0)
    return start + (end - start) * jnp.clip(fraction, 0.0, 1.0)
