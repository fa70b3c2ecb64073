"""The raw record of an episode, and the start and end marks that every cut derives from it.

With `ts[0]` from `reset` and `ts[t + 1]` from step t, the fields known before a step have T + 1 entries and the
fields that a step produces have T. Nothing derived is stored: no next observation, no accumulated reward, no
discount.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float, Int


class Episode(struct.PyTreeNode):
    """One episode, time first; a batch of them has one more leading axis.

    Steps where `mask` is False are padding, and so are the entries of the `[time+1]` fields after the first such
    step; the entry at it is the end of the episode. Padding never changes a result.
    """

    obs: Array  # [time+1, agents, obs] observation of each agent now, in the environment's storage dtype
    state: Float[Array, "time+1 state"]  # global state
    avail: Bool[Array, "time+1 agents actions"]  # macro-actions that may be started
    elapsed: Int[Array, "time+1 agents"]  # steps since the running macro-action started; 0: must choose
    macro_action: Int[Array, "time agents"]  # the macro-action that runs during the step
    ended: Bool[Array, "time agents"]  # the environment's own termination flags
    reward: Float[Array, "time"]  # team reward
    terminal: Bool[Array, "time"]  # the environment itself ended the episode
    truncated: Bool[Array, "time"]  # the time limit ended the episode
    mask: Bool[Array, "time"]  # True where the step was taken, False for padding

    @property
    def length(self) -> Int[Array, "*batch"]:
        """Number of primitive steps taken, int32; for a batch of episodes `[batch]`."""
        return jnp.sum(self.mask, axis=-1, dtype=jnp.int32)

    @property
    def undiscounted_return(self) -> Float[Array, "*batch"]:
        """Sum of the rewards of the steps taken; for a batch of episodes `[batch]`."""
        return jnp.sum(jnp.where(self.mask, self.reward, 0.0), axis=-1)


class Marks(NamedTuple):
    """Where the macro-actions of an episode start and end, for each step and agent `[time, agents]`."""

    ended: Bool[Array, "time agents"]  # the macro-action closes on this step and yields a row
    started: Int[Array, "time agents"]  # step at which the running macro-action was chosen
    next_start: Int[Array, "time agents"]  # step at which the macro-action running at time + 1 is chosen

    @property
    def duration(self) -> Int[Array, "time agents"]:
        """Primitive steps of the macro-action that closes on this step, int `[time, agents]`; 0 where none does."""
        steps = jnp.arange(self.ended.shape[0], dtype=jnp.int32)[:, None]
        return jnp.where(self.ended, steps - self.started + 1, 0)


def mark(episode: Episode, *, close_on_terminal: bool) -> Marks:
    """Start and end marks of a single episode.

    Args:
        episode: a single episode, fields as in `Episode`.
        close_on_terminal: whether an environment termination closes every running macro-action (True in AVF and
            ToMacVF, False in the reference programs of the baselines). A macro-action that is unfinished at a time
            limit never yields a row.
    """
    steps = jnp.arange(episode.mask.shape[0], dtype=jnp.int32)
    ended = episode.ended
    if close_on_terminal:
        ended = ended | episode.terminal[:, None]
    ended = ended & episode.mask[:, None]
    started = steps[:, None] - episode.elapsed[:-1].astype(jnp.int32)
    return Marks(ended, started, next_start=jnp.where(ended, steps[:, None] + 1, started))


def ends_value(episode: Episode, *, timeout_is_terminal: bool) -> Bool[Array, "time"]:
    """The steps of a single episode after which nothing is bootstrapped: the flags `terminal` of all cuts.

    They are the environment's terminations, the time limit with `timeout_is_terminal`, and every step after which
    an agent that must choose has no macro-action available, for example where an environment offers none at its
    time limit: the team cannot go on from there, so there is no successor value to maximise
    (docs/specifications/README.md, decision 4).
    """
    stuck = jnp.any(episode.ended & ~jnp.any(episode.avail[1:], axis=-1), axis=-1)
    ends = episode.terminal | stuck
    return ends | episode.truncated if timeout_is_terminal else ends


def discounted_return(episode: Episode, discount: Float[Array, ""] | float) -> Float[Array, "*batch"]:
    """Sum over t of discount^t r_t, t in primitive steps; for a batch of episodes `[batch]`."""
    powers = jnp.float32(discount) ** jnp.arange(episode.mask.shape[-1], dtype=jnp.int32)
    paid = jnp.where(episode.mask, episode.reward, 0.0)
    return jnp.sum(paid * jax.lax.broadcast_to_rank(powers, paid.ndim), axis=-1)
