"""The raw record of what happened, and the marks every cut derives from it.

With `ts[0]` from reset and `ts[t + 1]` from step `t`: what is known before a step has T + 1 entries, what a step
brings has T. Nothing derived is stored: no next observation, no accumulated reward, no discount.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float, Int


@struct.dataclass
class Episode:
    """One episode, time first; a batch of them has one more leading axis.

    Entries at and after the first False of `mask` are padding and never change a result.
    """

    obs: Array  # [time+1, agents, obs] what each agent perceives, in the environment's storage dtype
    state: Float[Array, "time+1 state"]  # global state
    avail: Bool[Array, "time+1 agents actions"]  # macro-actions that may be started
    elapsed: Int[Array, "time+1 agents"]  # steps since the running macro-action started, 0: must choose
    macro_action: Int[Array, "time agents"]  # running during the step
    ended: Bool[Array, "time agents"]  # the environment's own termination flags
    reward: Float[Array, "time"]  # team reward
    terminal: Bool[Array, "time"]  # the environment ended the episode
    truncated: Bool[Array, "time"]  # the time limit ended it
    mask: Bool[Array, "time"]  # the step was taken

    @property
    def length(self) -> Int[Array, ""]:
        """Number of steps taken, int32 (over the last axis, so batches work too)."""
        return jnp.sum(self.mask, axis=-1, dtype=jnp.int32)

    @property
    def undiscounted_return(self) -> Float[Array, ""]:
        """Sum of the rewards of the steps taken."""
        return jnp.sum(jnp.where(self.mask, self.reward, 0.0), axis=-1)


class Marks(NamedTuple):
    """What the flags of an episode say about each step and agent, `[time, agents]`."""

    ended: Bool[Array, "time agents"]  # the macro-action closes on this step and yields a row
    started: Int[Array, "time agents"]  # step at which the running macro-action was chosen
    next_start: Int[Array, "time agents"]  # step at which the one running at time + 1 was or will be chosen

    @property
    def duration(self) -> Int[Array, "time agents"]:
        """Primitive steps of the macro-action that closes on this step, 0 where none does."""
        steps = jnp.arange(self.ended.shape[0])[:, None]
        return jnp.where(self.ended, steps - self.started + 1, 0)


def mark(episode: Episode, *, close_on_terminal: bool) -> Marks:
    """Start and end marks of a single episode.

    Args:
        episode: a single episode, fields as in `Episode`.
        close_on_terminal: an environment termination closes every running macro-action (AVF, ToMacVF); an
            unfinished one at a time limit never yields a row.
    """
    steps = jnp.arange(episode.mask.shape[0])
    ended = episode.ended
    if close_on_terminal:
        ended = ended | episode.terminal[:, None]
    ended = ended & episode.mask[:, None]
    started = steps[:, None] - episode.elapsed[:-1].astype(jnp.int32)
    return Marks(ended, started, next_start=jnp.where(ended, steps[:, None] + 1, started))


def discounted_return(episode: Episode, discount: Float[Array, ""] | float) -> Float[Array, ""]:
    """Return discounted by `discount` per primitive step; batches of episodes work too."""
    powers = discount ** jnp.arange(episode.mask.shape[-1])
    return jnp.sum(jnp.where(episode.mask, episode.reward, 0.0) * powers, axis=-1)
