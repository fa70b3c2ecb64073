"""Which part of an episode is learned from: its window, and the rows of it that fit.

Marks, durations and rewards are derived from the whole episode first, then the window is chosen, then rows are
packed: a row at the edge of a window keeps its full reward and duration. All functions take a *single* episode.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxmac.record.episode import Episode, Marks, ends_value, mark

TRAJECTORY_UNITS = ("steps", "rows", "episode")


def check_cut(episode: Episode, **modes: tuple[str, Sequence[str]]) -> None:
    """Raise a one-line ValueError for a batch of episodes, or for an unknown mode: `name=(value, those known)`."""
    if episode.mask.ndim != 1:
        raise ValueError(
            f"episode.mask has the shape {episode.mask.shape}, but a cut takes a single episode: jax.vmap the cut"
        )
    for name, (value, allowed) in modes.items():
        if value not in allowed:
            raise ValueError(f"{name} is {value!r}, but must be one of {', '.join(allowed)}")


def accumulate_reward(
    reward: Float[Array, "time"], started: Int[Array, "time"], last: Int[Array, "rows"], discount: Array | float
) -> Float[Array, "rows"]:
    """Discounted reward of the segments that close on the steps `last`: sum over t of discount^(t - first) r_t.

    `started` is the first step of the segment that each step belongs to, so `first` is `started[last]`
    (docs/specifications/value_based.md, section 3.2).
    """
    steps = jnp.arange(reward.shape[0], dtype=jnp.int32)
    discounted = reward * jnp.power(jnp.asarray(discount, jnp.float32), (steps - started).astype(jnp.float32))

    def joined(before: tuple[Array, Array], after: tuple[Array, Array]) -> tuple[Array, Array]:
        """Sums of two neighbouring stretches, and whether a segment starts in them: then the sum is since there."""
        return jnp.where(after[1], after[0], before[0] + after[0]), before[1] | after[1]

    return jax.lax.associative_scan(joined, (discounted, started == steps))[0][last]


def accumulate_own_rewards(
    reward: Float[Array, "time"],
    started: Int[Array, "time agents"],
    last: Int[Array, "rows"],
    discount: Array | float,
) -> Float[Array, "rows agents"]:
    """As `accumulate_reward`, for the segments of each agent."""
    return jax.vmap(accumulate_reward, in_axes=(None, 1, None, None), out_axes=1)(reward, started, last, discount)


def row_duration(last: Array, first: Array) -> Array:
    """Number of primitive steps, as float32, from the steps `first` to the steps `last`, both included."""
    return (last - first + 1).astype(jnp.float32)


def pack(keep: Bool[Array, "time"], size: int) -> tuple[Int[Array, "size"], Bool[Array, "size"], Array]:
    """Indices of the last `size` True entries of `keep`, packed to the front.

    Returns the indices (0 for padding), a mask of the real ones and the number of entries that did not fit. Because
    the last entries are kept, a cap acts like a window that starts later, and a terminal reward is never lost.
    """
    order = jnp.cumsum(keep, dtype=jnp.int32)
    dropped = jnp.maximum(order[-1] - size, 0)
    place = order - 1 - dropped
    place = jnp.where(keep & (place >= 0), place, size)  # beyond the end: nowhere
    index = jnp.zeros(size, jnp.int32).at[place].set(jnp.arange(keep.shape[0], dtype=jnp.int32), mode="drop")
    return index, jnp.arange(size, dtype=jnp.int32) < order[-1] - dropped, dropped


def joint_row_steps(marks: Marks) -> Bool[Array, "time"]:
    """The steps that close a joint row: the macro-action of at least one agent ended."""
    return jnp.any(marks.ended, axis=-1)


def window(
    key: Array, rows: Bool[Array, "time"], length: Array, size: int, unit: str, start: Array | None = None
) -> Bool[Array, "time"]:
    """Which steps lie in a random window (docs/specifications/avf.md, section 5).

    Args:
        key: random key for the position.
        rows: steps that close a joint row.
        length: number of primitive steps of the episode.
        size: length of the window in `unit`s.
        unit: "steps" (primitive steps), "rows" (joint rows) or "episode" (everything).
        start: first entry of the window; None draws it with `key`.

    The window may start before the first entry: its start is uniform in [1 - size, entries - 1], where entries are
    the primitive steps or joint rows of the episode.
    """
    steps = jnp.arange(rows.shape[0], dtype=jnp.int32)
    if unit == "episode":
        return steps >= 0
    position = steps if unit == "steps" else jnp.cumsum(rows, dtype=jnp.int32) - rows
    extent = length if unit == "steps" else jnp.sum(rows, dtype=jnp.int32)
    if start is None:
        start = jax.random.randint(key, (), 1 - size, jnp.maximum(extent, 1), jnp.int32)
    return (position >= start) & (position < start + size)


class Trajectory(NamedTuple):
    """The part of a single episode that is learned from, before it is cut into rows."""

    episode: Episode  # its `terminal` is True wherever nothing is bootstrapped, see `ends_value`
    marks: Marks  # of the whole episode
    keep: Bool[Array, "time"]  # steps whose rows are kept, some of them for the recurrent history only
    counted: Bool[Array, "time"]  # steps whose rows count in the loss
    size: int  # largest number of rows


def trajectory_of(
    key: Array,
    episode: Episode,
    window_start: Int[Array, ""] | None = None,
    *,
    trajectory: int,
    trajectory_unit: str = "steps",
    unroll_episode: bool = False,
    max_rows: int = 0,
    close_on_terminal: bool = True,
    timeout_is_terminal: bool = False,
) -> Trajectory:
    """Choose the window of a single episode that is learned from.

    Args:
        key: random key for the position of the window.
        episode: a single episode.
        window_start: first primitive step of the window where the replay's sampler chose it; None: uniform.
        trajectory: length of the window in `trajectory_unit`s.
        trajectory_unit: one of TRAJECTORY_UNITS, see `window`.
        unroll_episode: keep the rows before the window for the recurrent history, masked out of the loss.
        max_rows: largest number of rows, of which the last ones up to the window's end are kept (0: as many as the
            window or episode can have). A capped "episode" is a window of that many joint rows.
        close_on_terminal: as in `mark`.
        timeout_is_terminal: whether the time limit counts as terminal, so that nothing is bootstrapped after it.

    Raises ValueError, in one line, for a batch of episodes or an unknown unit.
    """
    check_cut(episode, trajectory_unit=(trajectory_unit, TRAJECTORY_UNITS))
    if trajectory_unit == "episode" and max_rows:
        trajectory, trajectory_unit = max_rows, "rows"
    steps = episode.mask.shape[0]
    marks = mark(episode, close_on_terminal=close_on_terminal)
    # After `mark`: only the environment's own termination closes running macro-actions.
    episode = episode.replace(terminal=ends_value(episode, timeout_is_terminal=timeout_is_terminal))
    inside = window(key, joint_row_steps(marks), episode.length, trajectory, trajectory_unit, window_start)
    whole = unroll_episode or trajectory_unit == "episode"
    until_window_ends = jnp.cumsum(inside[::-1])[::-1] > 0
    size = steps if whole else min(trajectory, steps)
    size = min(size, max_rows) if max_rows else size
    return Trajectory(episode, marks, until_window_ends if whole else inside, inside, size)
