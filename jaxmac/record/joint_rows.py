"""Mac-JERT: joint rows, one for each primitive step on which the macro-action of at least one agent ended.

The cut takes a *single* episode; `vmap` it with `out_axes=TIME_MAJOR` for a batch of time-major rows.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import chex
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxmac.record.episode import Episode, Marks
from jaxmac.record.windows import (
    Trajectory,
    accumulate_own_rewards,
    accumulate_reward,
    check_cut,
    joint_row_steps,
    pack,
    row_duration,
    trajectory_of,
)

MACRO_STATES = ("joint", "real", "terminated", "start")
REWARD_SCHEMES = ("joint", "own", "max", "min", "mean")


class JointRows(NamedTuple):
    """Mac-JERT: one row per step on which at least one agent's macro-action ended.

    Source: docs/specifications/avf.md, section 1 (Figure 2 of the AVF paper).

    The recurrent networks run over `rows + 1` entries: entry 0 holds the macro-observations at the start of the
    first row, entry k + 1 those after row k. So the utilities of row k are output k, and those after it output k +
    1.
    """

    obs: Float[Array, "rows+1 agents obs"]  # macro-observations (each from the agent's last decision)
    last_action: Int[Array, "rows+1 agents"]  # the macro-action that ended before the entry; -1: none
    advance: Bool[Array, "rows+1 agents"]  # the agent decides at this entry, so its hidden state advances
    macro_action: Int[Array, "rows agents"]  # the macro-action that runs during the row
    start: Bool[Array, "rows agents"]  # it was chosen at the row's first step (derived from the whole episode)
    ended: Bool[Array, "rows agents"]  # it ended at the row's last step
    avail: Bool[Array, "rows agents actions"]  # macro-actions available at the row's first step
    next_avail: Bool[Array, "rows agents actions"]  # macro-actions available after the row
    mixer_state: Float[Array, "rows mixer"]  # macro-state before the row, in the chosen mode
    next_mixer_state: Float[Array, "rows mixer"]  # macro-state after the row
    reward: Float[Array, "rows"]  # accumulated over the row and discounted inside it
    duration: Float[Array, "rows"]  # primitive steps of that accumulation
    terminal: Bool[Array, "rows"]  # no bootstrap after this row
    last_step: Int[Array, "rows"]  # primitive step that closed the row
    mask: Bool[Array, "rows"]  # True for a real row inside the window, False for padding and history
    dropped: Int[Array, ""]  # number of rows, of the window or of the history before it, that did not fit


TIME_MAJOR = JointRows._make([*[1] * (len(JointRows._fields) - 1), 0])  # `dropped` has no rows
"""`out_axes` of a `vmap` over episodes that puts the batch second: `[rows, batch, ...]`."""


def _row_reward(
    episode: Episode, scheme: str, discount: Array | float, last: Array, marks: Marks
) -> tuple[Float[Array, "rows"], Float[Array, "rows"]]:
    """Reward and duration of each row under a reward scheme (docs/specifications/avf.md, section 1)."""
    if scheme == "joint":
        started = jnp.max(marks.started, axis=-1)
        return accumulate_reward(episode.reward, started, last, discount), row_duration(last, started[last])
    own = accumulate_own_rewards(episode.reward, marks.started, last, discount)
    duration, ended = row_duration(last[:, None], marks.started[last]), marks.ended[last]
    if scheme == "mean":
        count = jnp.maximum(jnp.sum(ended, axis=-1, dtype=jnp.int32), 1)
        return jnp.sum(own * ended, axis=-1) / count, jnp.sum(duration * ended, axis=-1) / count
    score = {"own": duration, "max": own, "min": -own}[scheme]
    agent = jnp.argmax(jnp.where(ended, score, -jnp.inf), axis=-1)[:, None]
    return jnp.take_along_axis(own, agent, -1)[:, 0], jnp.take_along_axis(duration, agent, -1)[:, 0]


def _macro_state(
    episode: Episode, mode: str, last: Array, started: Array, next_start: Array, ended: Array
) -> tuple[Array, Array]:
    """Macro-state before and after each row, `[rows, mixer]` (docs/specifications/avf.md, section 2)."""
    if mode == "joint":  # the macro-state after a row is that before the next one
        states = episode.state[jnp.concatenate([started[:1], next_start])].reshape(last.shape[0] + 1, -1)
        return states[:-1], states[1:]
    if mode == "real":
        return episode.state[last], episode.state[last + 1]
    if mode == "start":  # the state at the row's first step
        return episode.state[jnp.max(started, axis=-1)], episode.state[last + 1]
    agent = jnp.argmax(jnp.where(ended, started, -1), axis=-1)[:, None]  # of those, the last to decide
    before, after = (jnp.take_along_axis(x, agent, -1)[:, 0] for x in (started, next_start))
    return episode.state[before], episode.state[after]


def mac_jert(
    episode: Episode,
    marks: Marks,
    rows: Bool[Array, "time"],
    counted: Bool[Array, "time"],
    size: int,
    *,
    discount: Array | float,
    macro_state: str = "joint",
    reward_scheme: str = "joint",
) -> JointRows:
    """Cut a single episode into joint rows.

    Args:
        episode: a single episode.
        marks: the marks of the episode.
        rows: the steps whose joint rows are kept (all steps that close one, or those of a window).
        counted: the steps whose rows count in the loss; a row kept only for the recurrent history has mask False.
        size: number of rows of the result; of more kept rows the last `size` remain.
        discount: discount per primitive step, inside a row.
        macro_state: one of MACRO_STATES (docs/specifications/avf.md, section 2).
        reward_scheme: one of REWARD_SCHEMES (docs/specifications/avf.md, section 1).

    Raises ValueError, in one line, for a batch of episodes or an unknown mode.
    """
    modes = {"macro_state": (macro_state, MACRO_STATES), "reward_scheme": (reward_scheme, REWARD_SCHEMES)}
    check_cut(episode, **modes)
    chex.assert_rank([episode.obs, episode.avail, episode.mask, rows, counted], [3, 3, 1, 1, 1])
    last, valid, dropped = pack(rows, size)
    agents = jnp.arange(episode.macro_action.shape[-1])
    started, next_start, ended = marks.started[last], marks.next_start[last], marks.ended[last]
    decided = jnp.concatenate([started[:1], next_start])
    last_action = episode.macro_action[jnp.maximum(decided - 1, 0), agents].astype(jnp.int32)
    reward, duration = _row_reward(episode, reward_scheme, discount, last, marks)
    mixer_state, next_mixer_state = _macro_state(episode, macro_state, last, started, next_start, ended)
    return JointRows(
        obs=episode.obs[decided, agents].astype(jnp.float32),
        last_action=jnp.where(decided > 0, last_action, -1),
        advance=jnp.concatenate([jnp.ones_like(ended[:1]), ended]),
        macro_action=episode.macro_action[last].astype(jnp.int32),
        start=started == jnp.max(started, axis=-1, keepdims=True),
        ended=ended,
        avail=episode.avail[jnp.max(started, axis=-1)],
        next_avail=episode.avail[last + 1],
        mixer_state=mixer_state,
        next_mixer_state=next_mixer_state,
        reward=reward,
        duration=duration,
        terminal=episode.terminal[last],
        last_step=last,
        mask=valid & counted[last],
        dropped=dropped,
    )


def joint_rows(chosen: Trajectory, discount: Array | float, **options: str) -> JointRows:
    """Joint rows of a trajectory; `options` (macro_state, reward_scheme) as in `mac_jert`."""
    closing = joint_row_steps(chosen.marks)
    keep, counted = closing & chosen.keep, closing & chosen.counted
    return mac_jert(chosen.episode, chosen.marks, keep, counted, chosen.size, discount=discount, **options)


def joint_trajectory(
    key: Array,
    episode: Episode,
    window_start: Int[Array, ""] | None = None,
    *,
    discount: Array | float,
    macro_state: str = "joint",
    reward_scheme: str = "joint",
    **window_options: Any,
) -> JointRows:
    """A training trajectory of joint rows from a single episode; `window_options` as in `trajectory_of`."""
    chosen = trajectory_of(key, episode, window_start, **window_options)
    return joint_rows(chosen, discount, macro_state=macro_state, reward_scheme=reward_scheme)
