"""Cuts: one raw episode in, training rows of fixed length and a row mask out.

Marks, durations and rewards are taken from the whole episode, then the window is chosen, then rows are packed:
a row at the edge of a window keeps its full reward and duration. Each cut takes a *single* episode; `vmap` it
with `out_axes=TIME_MAJOR` for a batch of time-major rows.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxmac.record.episode import Episode, Marks, mark

MACRO_STATES = ("joint", "real", "terminated", "start")
REWARD_SCHEMES = ("joint", "own", "max", "min", "mean")
TRAJECTORY_UNITS = ("steps", "rows", "episode")


class JointRows(NamedTuple):
    """Mac-JERT: one row per step on which at least one agent's macro-action ended (AVF specification, section 1).

    The recurrent nets run over `rows + 1` entries: entry 0 is what was perceived at the first row, entry k + 1 is
    what is known after row k. So row k's utilities are output k, and those of its successor output k + 1.
    """

    obs: Float[Array, "rows+1 agents obs"]  # macro-observations, held while a macro-action runs
    last_action: Int[Array, "rows+1 agents"]  # the macro-action that ended before it, -1: none
    advance: Bool[Array, "rows+1 agents"]  # the agent decides here, so its hidden state moves
    macro_action: Int[Array, "rows agents"]  # running during the row
    start: Bool[Array, "rows agents"]  # chosen at the row's first step (from the whole episode)
    ended: Bool[Array, "rows agents"]  # ended at the row's last step
    avail: Bool[Array, "rows agents actions"]  # what could be chosen at the row's first step
    next_avail: Bool[Array, "rows agents actions"]  # what can be chosen after it
    mixer_state: Float[Array, "rows mixer"]  # macro-state in the chosen mode
    next_mixer_state: Float[Array, "rows mixer"]
    reward: Float[Array, "rows"]  # accumulated and discounted within the row
    duration: Float[Array, "rows"]  # primitive steps of that accumulation
    terminal: Bool[Array, "rows"]  # no bootstrap after this row
    last_step: Int[Array, "rows"]  # primitive step that closed the row
    mask: Bool[Array, "rows"]  # a real row inside the window; padding is False
    dropped: Int[Array, ""]  # rows of the window that did not fit


class OwnRows(NamedTuple):
    """Mac-CERT: for each agent one row per macro-action of its own that ended (value-based specification, 3.3).

    Agents have their rows packed apart, so row k of two agents need not be of the same time. The recurrent nets
    run over `rows + 1` entries as in `JointRows`; every entry advances them.
    """

    obs: Float[Array, "rows+1 agents obs"]  # macro-observations at decisions
    last_action: Int[Array, "rows+1 agents"]  # the macro-action that ended before it, -1: none
    macro_action: Int[Array, "rows agents"]
    avail: Bool[Array, "rows agents actions"]  # where the row's macro-action was chosen
    next_avail: Bool[Array, "rows agents actions"]  # after the row
    state: Float[Array, "rows agents state"]  # global state at the row's first step
    next_state: Float[Array, "rows agents state"]  # after the row
    reward: Float[Array, "rows agents"]  # accumulated over the macro-action
    duration: Float[Array, "rows agents"]  # its primitive steps
    terminal: Bool[Array, "rows agents"]
    last_step: Int[Array, "rows agents"]  # primitive step that closed the row
    opening: Int[Array, "rows agents"]  # index of the joint row, of the same trajectory, that it begins with
    closing: Int[Array, "rows agents"]  # and of the one that ends with it; negative: left out by a cap
    mask: Bool[Array, "rows agents"]
    dropped: Int[Array, "agents"]


OWN_TIME_MAJOR = OwnRows(*(1,) * (len(OwnRows._fields) - 1), dropped=0)
"""`out_axes` of a `vmap` over episodes that puts the batch second: `[rows, batch, agents, ...]`."""

TIME_MAJOR = JointRows(*(1,) * (len(JointRows._fields) - 1), dropped=0)
"""`out_axes` of a `vmap` over episodes that puts the batch second: `[rows, batch, ...]`."""


def accumulate_reward(
    reward: Float[Array, "time"], started: Int[Array, "time"], last: Int[Array, "rows"], discount: Array | float
) -> Float[Array, "rows"]:
    """Discounted reward of the segments that close on the steps `last`: sum of discount^(t - first) r_t.

    `started` is the first step of the segment that each step belongs to, so `first` is `started[last]`.
    """
    steps = jnp.arange(reward.shape[0])
    discounted = reward * jnp.power(jnp.asarray(discount, jnp.float32), (steps - started).astype(jnp.float32))
    inside = (steps >= started[last][:, None]) & (steps <= last[:, None])
    return jnp.sum(jnp.where(inside, discounted, 0.0), axis=-1)


def pack(keep: Bool[Array, "time"], size: int) -> tuple[Int[Array, "size"], Bool[Array, "size"], Array]:
    """Indices of the last `size` True entries of `keep`, packed to the front.

    Returns indices (0 where there is none), a mask of the real ones and the number that did not fit. Keeping the
    last ones makes a full cap the same as a window that starts later, and never loses a terminal reward.
    """
    order = jnp.cumsum(keep)
    dropped = jnp.maximum(order[-1] - size, 0)
    wanted = dropped + 1 + jnp.arange(size)
    index = jnp.sum(order < wanted[:, None], axis=-1)
    valid = wanted <= order[-1]
    return jnp.where(valid, index, 0), valid, dropped


def window(
    key: Array, rows: Bool[Array, "time"], length: Array, size: int, unit: str, start: Array | None = None
) -> Bool[Array, "time"]:
    """Which steps lie in a random window (AVF specification, section 5).

    Args:
        key: random key for the position.
        rows: steps that close a joint row.
        length: steps taken in the episode.
        size: window length in `unit`s.
        unit: "steps" (primitive steps), "rows" (joint rows) or "episode" (everything).
        start: its first step where that is decided already.

    The window may begin before the first entry: its start is uniform in [1 - size, length - 1].
    """
    steps = jnp.arange(rows.shape[0])
    if unit == "episode":
        return steps >= 0
    position = steps if unit == "steps" else jnp.cumsum(rows) - rows
    extent = length if unit == "steps" else jnp.sum(rows)
    if start is None:
        start = jax.random.randint(key, (), 1 - size, jnp.maximum(extent, 1))
    return (position >= start) & (position < start + size)


def _row_reward(
    episode: Episode, scheme: str, discount: Array | float, last: Array, marks: Marks
) -> tuple[Float[Array, "rows"], Float[Array, "rows"]]:
    """Reward and duration of each row under a reward scheme (AVF specification, section 1)."""
    if scheme == "joint":
        started = jnp.max(marks.started, axis=-1)
        return accumulate_reward(episode.reward, started, last, discount), _duration(last, started[last])
    per_agent = jax.vmap(accumulate_reward, in_axes=(None, 1, None, None), out_axes=1)
    own = per_agent(episode.reward, marks.started, last, discount)
    duration, ended = _duration(last[:, None], marks.started[last]), marks.ended[last]
    if scheme == "mean":
        count = jnp.maximum(jnp.sum(ended, axis=-1), 1)
        return jnp.sum(own * ended, axis=-1) / count, jnp.sum(duration * ended, axis=-1) / count
    score = {"own": duration, "max": own, "min": -own}[scheme]
    agent = jnp.argmax(jnp.where(ended, score, -jnp.inf), axis=-1)[:, None]
    return jnp.take_along_axis(own, agent, -1)[:, 0], jnp.take_along_axis(duration, agent, -1)[:, 0]


def _duration(last: Array, first: Array) -> Array:
    return (last - first + 1).astype(jnp.float32)


def _macro_state(
    episode: Episode, mode: str, last: Array, started: Array, following: Array, ended: Array
) -> tuple[Array, Array]:
    """Macro-state before and after each row, `[rows, mixer]` (AVF specification, section 2)."""
    if mode == "real":
        return episode.state[last], episode.state[last + 1]
    if mode == "start":  # of the row, whoever chose there
        return episode.state[jnp.max(started, axis=-1)], episode.state[last + 1]
    if mode == "terminated":
        agent = jnp.argmax(jnp.where(ended, started, -1), axis=-1)[:, None]
        started = jnp.take_along_axis(started, agent, -1)
        following = jnp.take_along_axis(following, agent, -1)
    rows = last.shape[0]
    return episode.state[started].reshape(rows, -1), episode.state[following].reshape(rows, -1)


def joint_row_steps(marks: Marks) -> Bool[Array, "time"]:
    """Steps that close a joint row: somebody's macro-action ended."""
    return jnp.any(marks.ended, axis=-1)


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
        marks: its marks.
        rows: steps whose rows are kept (all that somebody ends, or those of a window).
        counted: steps whose rows count in the loss; a row kept only to carry the history has mask False.
        size: number of rows of the result; when more are kept the last `size` of them remain.
        discount: per primitive step, inside a row.
        macro_state: one of MACRO_STATES.
        reward_scheme: one of REWARD_SCHEMES.
    """
    chex.assert_rank([episode.obs, episode.avail, episode.mask, rows, counted], [3, 3, 1, 1, 1])
    last, valid, dropped = pack(rows, size)
    agents = jnp.arange(episode.macro_action.shape[-1])
    started, following, ended = marks.started[last], marks.following[last], marks.ended[last]
    decided = jnp.concatenate([started[:1], following])
    last_action = episode.macro_action[jnp.maximum(decided - 1, 0), agents].astype(jnp.int32)
    reward, duration = _row_reward(episode, reward_scheme, discount, last, marks)
    mixer_state, next_mixer_state = _macro_state(episode, macro_state, last, started, following, ended)
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


def mac_cert(
    episode: Episode,
    marks: Marks,
    keep: Bool[Array, "time"],
    counted: Bool[Array, "time"],
    size: int,
    *,
    discount: Array | float,
) -> OwnRows:
    """Cut a single episode into each agent's own rows.

    Args:
        episode: a single episode.
        marks: its marks.
        keep: steps whose rows are kept (all, or those of a window).
        counted: steps whose rows count in the loss; a row kept only to carry the history has mask False.
        size: number of rows of the result per agent; when more are kept the last `size` of them remain.
        discount: per primitive step, inside a row.
    """
    chex.assert_rank([episode.obs, episode.avail, episode.mask, keep, counted], [3, 3, 1, 1, 1])
    joint = joint_row_steps(marks) & keep
    joint_dropped = jnp.maximum(jnp.sum(joint) - size, 0)
    through = jnp.cumsum(joint)  # joint rows closed up to and with each step

    def of_agent(ended: Array, begun: Array, obs: Array, avail: Array, macro_action: Array) -> OwnRows:
        last, valid, dropped = pack(ended & keep, size)
        started = begun[last]
        decided = jnp.concatenate([started[:1], last + 1])
        last_action = macro_action[jnp.maximum(decided - 1, 0)].astype(jnp.int32)
        return OwnRows(
            obs=obs[decided].astype(jnp.float32),
            last_action=jnp.where(decided > 0, last_action, -1),
            macro_action=macro_action[last].astype(jnp.int32),
            avail=avail[started],
            next_avail=avail[last + 1],
            state=episode.state[started],
            next_state=episode.state[last + 1],
            reward=accumulate_reward(episode.reward, begun, last, discount),
            duration=_duration(last, started),
            terminal=episode.terminal[last],
            last_step=last,
            opening=(through - joint)[started] - joint_dropped,
            closing=through[last] - 1 - joint_dropped,
            mask=valid & counted[last],
            dropped=dropped,
        )

    apart = marks.ended, marks.started, episode.obs, episode.avail, episode.macro_action
    return jax.vmap(of_agent, in_axes=1, out_axes=OWN_TIME_MAJOR)(*apart)


class Trajectory(NamedTuple):
    """The part of a single episode that is learned from, before it is cut."""

    episode: Episode
    marks: Marks
    keep: Bool[Array, "time"]  # steps whose rows are kept, some for the recurrent history only
    counted: Bool[Array, "time"]  # steps whose rows count
    size: int  # rows that fit


def trajectory_of(
    key: Array,
    episode: Episode,
    *,
    trajectory: int,
    trajectory_unit: str = "steps",
    unroll_episode: bool = False,
    max_rows: int = 0,
    close_on_terminal: bool = True,
    timeout_is_terminal: bool = False,
) -> Trajectory:
    """Choose a window of a single episode.

    With `unroll_episode` the rows before the window are kept for the recurrent history and masked out of the loss.
    `max_rows` caps the rows (0: as many as the window or episode can hold): the last ones up to the window's end.
    A capped "episode" is a window of that many joint rows.
    """
    if trajectory_unit == "episode" and max_rows:
        trajectory, trajectory_unit = max_rows, "rows"
    steps = episode.mask.shape[0]
    marks = mark(episode, close_on_terminal=close_on_terminal)
    if timeout_is_terminal:
        episode = episode.replace(terminal=episode.terminal | episode.truncated)
    given = episode.window_start
    inside = window(key, joint_row_steps(marks), episode.length, trajectory, trajectory_unit, given)
    whole = unroll_episode or trajectory_unit == "episode"
    until_window_ends = jnp.cumsum(inside[::-1])[::-1] > 0
    size = steps if whole else min(trajectory, steps)
    size = min(size, max_rows) if max_rows else size
    return Trajectory(episode, marks, until_window_ends if whole else inside, inside, size)


def own_rows(chosen: Trajectory, discount: Array | float) -> OwnRows:
    """Each agent's own rows of a trajectory."""
    return mac_cert(chosen.episode, chosen.marks, chosen.keep, chosen.counted, chosen.size, discount=discount)


def joint_rows(chosen: Trajectory, discount: Array | float, **options: str) -> JointRows:
    """Joint rows of a trajectory; `options` (macro_state, reward_scheme) as in `mac_jert`."""
    closing = joint_row_steps(chosen.marks)
    keep, counted = closing & chosen.keep, closing & chosen.counted
    return mac_jert(chosen.episode, chosen.marks, keep, counted, chosen.size, discount=discount, **options)


def joint_trajectory(
    key: Array,
    episode: Episode,
    *,
    discount: Array | float,
    macro_state: str = "joint",
    reward_scheme: str = "joint",
    **window_options: Any,
) -> JointRows:
    """A training trajectory of joint rows from a single episode; `window_options` as in `trajectory_of`."""
    chosen = trajectory_of(key, episode, **window_options)
    return joint_rows(chosen, discount, macro_state=macro_state, reward_scheme=reward_scheme)
