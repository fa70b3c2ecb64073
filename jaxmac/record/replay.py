"""Episodes in, minibatches out. Storage is flashbax's ring buffer, one entry an episode."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import flashbax
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from jaxmac.record.episode import Episode


class Replay(NamedTuple):
    """Pure functions over a ring buffer of whole raw episodes."""

    init: Callable[[Episode], Any]  # a single episode (its shapes and dtypes) -> empty storage
    add: Callable[[Any, Episode], Any]  # (storage, batch of episodes) -> storage
    size: Callable[[Any], Array]  # number of episodes held
    sample: Callable[[Array, Any], Episode]  # (key, storage) -> batch of episodes
    capacity: int  # episodes


SAMPLING = ("episodes", "windows")


def fresh_episodes(count: int) -> Replay:
    """What an on-policy algorithm learns from: the `count` episodes added last, all of them."""

    def init(example: Episode) -> Episode:
        return jax.tree.map(lambda x: jnp.zeros((count, *x.shape), x.dtype), example)

    return Replay(init, lambda state, episodes: episodes, lambda state: count, lambda key, state: state, count)


def make_replay(
    capacity: int, batch_size: int, *, tournament: int = 0, tournament_share: float = 0.5, window: int = 0
) -> Replay:
    """A replay of `capacity` episodes that gives batches of `batch_size`.

    Without a tournament the episodes of a batch are distinct and uniform over those held. With `tournament` = n,
    the first `round(tournament_share * batch_size)` are instead each the best by undiscounted return of n drawn
    uniformly; the remaining ones stay uniform and distinct.

    With `window` = n > 0 it is windows of n primitive steps that are distinct and uniform over all that are held:
    an episode of L steps has L + n - 1 of them, the first beginning n - 1 steps before it. Episodes come with
    `window_start` then; those chosen by tournament begin anywhere.

    Raises:
        ValueError: the batch is larger than the replay.
    """
    if batch_size > capacity:
        raise ValueError(f"batch_size={batch_size} is larger than the replay; allowed: <= {capacity}")
    storage = flashbax.make_item_buffer(capacity, 1, 1, add_batches=True)
    winners = round(tournament_share * batch_size) if tournament else 0

    def init(example: Episode) -> Any:
        return storage.init((example, example.undiscounted_return, example.length))

    def add(state: Any, episodes: Episode) -> Any:
        return storage.add(state, (episodes, episodes.undiscounted_return, episodes.length))

    def size(state: Any) -> Array:
        return jnp.where(state.is_full, capacity, state.current_index)

    def sample(key: Array, state: Any) -> Episode:
        held, returns, lengths = jax.tree.map(lambda x: x[0], state.experience)
        uniform_key, tournament_key = jax.random.split(key)
        if window:
            counts = jnp.where(jnp.arange(capacity) < size(state), lengths + window - 1, 0)
            index, rank = _windows(uniform_key, counts, batch_size - winners)
        else:
            index = _distinct(uniform_key, size(state), capacity, batch_size - winners)
        if winners:
            drawn = jax.random.randint(tournament_key, (winners, tournament), 0, size(state))
            best = jnp.argmax(returns[drawn], axis=-1)[:, None]
            chosen = jnp.take_along_axis(drawn, best, -1)[:, 0]
            index = jnp.concatenate([chosen, index])
        batch = jax.tree.map(lambda x: x[index], held)
        if not window:
            return batch
        if winners:
            share = jax.random.uniform(jax.random.fold_in(tournament_key, 1), (winners,))
            rank = jnp.concatenate([(share * counts[chosen]).astype(rank.dtype), rank])
        return batch.replace(window_start=rank + 1 - window)

    return Replay(init, add, size, sample, capacity)


def _windows(key: Array, counts: Int[Array, "episodes"], number: int) -> tuple[Array, Array]:
    """`number` distinct windows, uniform over all: episode and rank within it. `counts`: windows of each episode.

    Floyd's way to draw a subset; with fewer than `number` windows some come again.
    """
    before = jnp.cumsum(counts)
    total = before[-1]

    def draw(chosen: Array, entry: tuple[Array, Array]) -> tuple[Array, None]:
        place, share = entry
        last = jnp.maximum(total - number, 0) + place
        candidate = jnp.minimum((share * (last + 1)).astype(jnp.int32), last)
        pick = jnp.where(jnp.any(chosen == candidate), last, candidate)
        return chosen.at[place].set(pick), None

    places = jnp.arange(number), jax.random.uniform(key, (number,))
    chosen, _ = jax.lax.scan(draw, jnp.full(number, -1, jnp.int32), places)
    chosen = chosen % jnp.maximum(total, 1)
    episode = jnp.sum(before <= chosen[:, None], axis=-1)
    return episode, chosen - (before - counts)[episode]


def _distinct(key: Array, size: Array, capacity: int, count: int) -> Array:
    """`count` distinct integers, uniform over [0, size); with fewer than `count` available the rest repeat them."""
    score = jnp.where(jnp.arange(capacity) < size, jax.random.uniform(key, (capacity,)), -1.0)
    _, index = jax.lax.top_k(score, count)
    return jnp.where(index < size, index, index % jnp.maximum(size, 1))
