"""The library's sampling rules: `uniform`, `tournament` and `windows`. Episodes are stored in flashbax's buffer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import flashbax
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from jaxmac.config import setting
from jaxmac.record.episode import Episode
from jaxmac.record.replay import Replay, Sample, register_sampler

TOURNAMENT = "tournament size: uniform episodes of which the one with the best return is drawn (0: no tournament)"
SHARE = "share of a batch that is drawn by tournament; the rest is uniform"


@dataclass(frozen=True)
class Uniform:
    """Distinct episodes, drawn uniformly from those stored."""

    def __call__(self, capacity: int, batch_size: int, window: int) -> Replay:
        """See `jaxmac.register_sampler`."""
        del window
        return tournament_replay(capacity, batch_size)


@dataclass(frozen=True)
class Tournament:
    """A share of a batch is drawn by tournament: each episode has the best undiscounted return of several."""

    replay_tournament: int = setting(64, TOURNAMENT, low=0)
    tournament_share: float = setting(0.5, SHARE, low=0.0, high=1.0)

    def without_effect(self) -> dict[str, str]:
        """See `jaxmac.config.without_effect`."""
        return _idle_tournament(self)

    def __call__(self, capacity: int, batch_size: int, window: int) -> Replay:
        """See `jaxmac.register_sampler`."""
        del window
        return tournament_replay(capacity, batch_size, self.replay_tournament, self.tournament_share)


@dataclass(frozen=True)
class Windows:
    """Distinct windows of primitive steps, drawn uniformly from all windows of the stored episodes.

    An episode of L steps has L + n - 1 windows of n steps; the first one starts n - 1 steps before the episode
    (docs/specifications/value_based.md, section 3.5). An episode drawn by tournament gets a uniform window.
    """

    replay_tournament: int = setting(0, TOURNAMENT, low=0)
    tournament_share: float = setting(0.5, SHARE, low=0.0, high=1.0)

    def without_effect(self) -> dict[str, str]:
        """See `jaxmac.config.without_effect`."""
        return _idle_tournament(self)

    def __call__(self, capacity: int, batch_size: int, window: int) -> Replay:
        """See `jaxmac.register_sampler`."""
        return tournament_replay(capacity, batch_size, self.replay_tournament, self.tournament_share, window)


register_sampler("uniform", Uniform)
register_sampler("tournament", Tournament)
register_sampler("windows", Windows)


def _idle_tournament(config: Any) -> dict[str, str]:
    """The settings of a tournament that have no effect in the `config` of an algorithm with this sampler."""
    if not config.replay_tournament:
        return {"tournament_share": "with replay_tournament=0 there is no tournament"}
    if not winners_in(config.batch_size, config.tournament_share):
        share = f"tournament_share={config.tournament_share:g} of batch_size={config.batch_size}"
        return {"replay_tournament": f"{share} is half an episode at most"}
    return {}


def winners_in(batch_size: int, share: float) -> int:
    """How many episodes of a batch are drawn by tournament."""
    return round(share * batch_size)


def tournament_replay(
    capacity: int, batch_size: int, tournament: int = 0, share: float = 0.5, window: int = 0
) -> Replay:
    """A ring buffer of `capacity` episodes, sampled in batches of `batch_size`.

    With `tournament` = n, each of the first `round(share * batch_size)` episodes of a batch has the best
    undiscounted return of n uniformly drawn ones; winners are drawn independently, so that an episode may
    occur twice. The others are distinct and uniform. No paper of docs/specifications has this rule. With
    `window` = n the batch consists of windows of n primitive steps, and the others are distinct and uniform over
    all stored windows.
    """
    storage = flashbax.make_item_buffer(capacity, 1, 1, add_batches=True)
    winners = winners_in(batch_size, share) if tournament else 0

    def init(example: Episode) -> Any:
        empty = storage.init((example, example.undiscounted_return, example.length))
        return empty.replace(current_index=empty.current_index.astype(jnp.int32))

    def add(state: Any, episodes: Episode) -> Any:
        return storage.add(state, (episodes, episodes.undiscounted_return, episodes.length))

    def size(state: Any) -> Int[Array, ""]:
        return jnp.where(state.is_full, capacity, state.current_index).astype(jnp.int32)

    def sample(key: Array, state: Any) -> Sample:
        episodes, returns, lengths = jax.tree.map(lambda x: x[0], state.experience)
        uniform_key, tournament_key = jax.random.split(key)
        counts = jnp.where(jnp.arange(capacity) < size(state), lengths + window - 1, 0)
        if window:
            index, rank = _distinct_windows(uniform_key, counts, batch_size - winners)
        else:
            index, rank = _distinct(uniform_key, size(state), capacity, batch_size - winners), None
        if winners:
            drawn = jax.random.randint(tournament_key, (winners, tournament), 0, size(state), jnp.int32)
            best = jnp.argmax(returns[drawn], axis=-1)[:, None]
            chosen = jnp.take_along_axis(drawn, best, -1)[:, 0]
            index = jnp.concatenate([chosen, index])
            if rank is not None:
                anywhere = jax.random.uniform(jax.random.fold_in(tournament_key, 1), (winners,), jnp.float32)
                rank = jnp.concatenate([(anywhere * counts[chosen]).astype(rank.dtype), rank])
        start = None if rank is None else rank + 1 - window
        return Sample(jax.tree.map(lambda x: x[index], episodes), start, jnp.ones(batch_size, jnp.float32), index)

    return Replay(init, add, size, sample, capacity, chooses_windows=window > 0)


def _distinct_windows(key: Array, counts: Int[Array, "episodes"], number: int) -> tuple[Array, Array]:
    """`number` distinct windows, uniform over all: (episode, index of the window within it).

    `counts` are the numbers of windows of the episodes. Floyd's algorithm for a random subset (Bentley and Floyd,
    "A Sample of Brilliance", Communications of the ACM, 1987); with fewer than `number` windows some are repeated.
    """
    if not number:  # the whole batch is drawn by tournament
        return jnp.zeros(0, jnp.int32), jnp.zeros(0, jnp.int32)
    before = jnp.cumsum(counts, dtype=jnp.int32)
    total = before[-1]

    def draw(chosen: Array, entry: tuple[Array, Array, Array]) -> tuple[Array, None]:
        place, last, candidate = entry
        pick = jnp.where(jnp.any(chosen == candidate), last, candidate)
        return chosen.at[place].set(pick), None

    places = jnp.arange(number, dtype=jnp.int32)
    last = jnp.maximum(total - number, 0) + places
    candidates = jax.random.randint(key, (number,), 0, last + 1, jnp.int32)
    chosen, _ = jax.lax.scan(draw, jnp.full(number, -1, jnp.int32), (places, last, candidates))
    chosen = chosen % jnp.maximum(total, 1)
    episode = jnp.sum(before[None] <= chosen[:, None], axis=-1, dtype=jnp.int32)
    return episode, chosen - (before - counts)[episode]


def _distinct(key: Array, size: Array, capacity: int, count: int) -> Int[Array, "count"]:
    """`count` distinct integers, uniform over [0, size); where size < `count`, some are repeated."""
    score = jnp.where(jnp.arange(capacity) < size, jax.random.uniform(key, (capacity,), jnp.float32), -1.0)
    _, index = jax.lax.top_k(score, count)
    return jnp.where(index < size, index, index % jnp.maximum(size, 1))
