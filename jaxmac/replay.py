"""Episodes in, minibatches of distinct episodes out. Storage is flashbax's ring buffer, one entry an episode."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import flashbax
import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxmac.episode import Episode


class Replay(NamedTuple):
    """Pure functions over a ring buffer of whole raw episodes."""

    init: Callable[[Episode], Any]  # a single episode (its shapes and dtypes) -> empty storage
    add: Callable[[Any, Episode], Any]  # (storage, batch of episodes) -> storage
    size: Callable[[Any], Array]  # number of episodes held
    sample: Callable[[Array, Any], Episode]  # (key, storage) -> batch of episodes


def make_replay(capacity: int, batch_size: int, *, tournament: int = 0, tournament_share: float = 0.5) -> Replay:
    """A replay of `capacity` episodes that gives batches of `batch_size`.

    Without a tournament the episodes of a batch are distinct and uniform over those held. With `tournament` = n,
    the first `round(tournament_share * batch_size)` are instead each the best by undiscounted return of n drawn
    uniformly; the remaining ones stay uniform and distinct.

    Raises:
        ValueError: the batch is larger than the replay.
    """
    if batch_size > capacity:
        raise ValueError(f"batch_size={batch_size} is larger than the replay; allowed: <= {capacity}")
    storage = flashbax.make_item_buffer(capacity, 1, 1, add_batches=True)
    winners = round(tournament_share * batch_size) if tournament else 0

    def init(example: Episode) -> Any:
        return storage.init((example, example.undiscounted_return))

    def add(state: Any, episodes: Episode) -> Any:
        return storage.add(state, (episodes, episodes.undiscounted_return))

    def size(state: Any) -> Array:
        return jnp.where(state.is_full, capacity, state.current_index)

    def sample(key: Array, state: Any) -> Episode:
        held, returns = jax.tree.map(lambda x: x[0], state.experience)
        uniform_key, tournament_key = jax.random.split(key)
        index = _distinct(uniform_key, size(state), capacity, batch_size - winners)
        if winners:
            drawn = jax.random.randint(tournament_key, (winners, tournament), 0, size(state))
            best = jnp.argmax(returns[drawn], axis=-1)
            index = jnp.concatenate([jnp.take_along_axis(drawn, best[:, None], -1)[:, 0], index])
        return jax.tree.map(lambda x: x[index], held)

    return Replay(init, add, size, sample)


def _distinct(key: Array, size: Array, capacity: int, count: int) -> Array:
    """`count` distinct integers, uniform over [0, size); with fewer than `count` available the rest repeat them."""
    score = jnp.where(jnp.arange(capacity) < size, jax.random.uniform(key, (capacity,)), -1.0)
    _, index = jax.lax.top_k(score, count)
    return jnp.where(index < size, index, index % jnp.maximum(size, 1))
