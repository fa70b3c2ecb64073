"""Mac-CERT: own rows, one for each macro-action that an agent ended, packed for each agent separately.

The cut takes a *single* episode; `vmap` it with `out_axes=OWN_TIME_MAJOR` for a batch of time-major rows.
"""

from __future__ import annotations

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Shaped

from jaxmac.record.episode import Episode, Marks
from jaxmac.record.windows import Trajectory, accumulate_reward, check_cut, joint_row_steps, pack, row_duration


class OwnRows(NamedTuple):
    """Mac-CERT: for each agent one row per macro-action of its own that ended.

    Source: docs/specifications/value_based.md, section 3.3.

    The rows of each agent are packed separately, so row k of two agents need not belong to the same time. The
    recurrent networks run over `rows + 1` entries as in `JointRows`, and every entry advances their hidden states.
    """

    obs: Float[Array, "rows+1 agents obs"]  # macro-observations at decisions
    last_action: Int[Array, "rows+1 agents"]  # the macro-action that ended before the entry; -1: none
    macro_action: Int[Array, "rows agents"]  # the macro-action of the row
    avail: Bool[Array, "rows agents actions"]  # macro-actions available when it was chosen
    next_avail: Bool[Array, "rows agents actions"]  # macro-actions available after the row
    state: Float[Array, "rows agents state"]  # global state at the row's first step
    next_state: Float[Array, "rows agents state"]  # global state after the row
    reward: Float[Array, "rows agents"]  # accumulated over the macro-action and discounted inside it
    duration: Float[Array, "rows agents"]  # primitive steps of the macro-action
    terminal: Bool[Array, "rows agents"]  # no bootstrap after this row
    last_step: Int[Array, "rows agents"]  # primitive step that closed the row
    # Index of the joint row that starts with this row; negative as below, and 0 where that was before the window.
    opening: Int[Array, "rows agents"]
    closing: Int[Array, "rows agents"]  # index of the joint row that ends with it; negative: dropped by a cap
    mask: Bool[Array, "rows agents"]  # True for a real row inside the window, False for padding and history
    dropped: Int[Array, "agents"]  # number of rows, of the window or of the history before it, that did not fit


OWN_TIME_MAJOR = OwnRows._make([*[1] * (len(OwnRows._fields) - 1), 0])  # `dropped` has no rows
"""`out_axes` of a `vmap` over episodes that puts the batch second: `[rows, batch, agents, ...]`."""


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
        marks: the marks of the episode.
        keep: the steps whose rows are kept (all, or those of a window).
        counted: the steps whose rows count in the loss; a row kept only for the recurrent history has mask False.
        size: number of rows of the result per agent; of more kept rows the last `size` remain.
        discount: discount per primitive step, inside a row.

    Raises ValueError, in one line, for a batch of episodes.
    """
    check_cut(episode)
    chex.assert_rank([episode.obs, episode.avail, episode.mask, keep, counted], [3, 3, 1, 1, 1])
    joint = joint_row_steps(marks) & keep
    joint_dropped = jnp.maximum(jnp.sum(joint, dtype=jnp.int32) - size, 0)
    through = jnp.cumsum(joint, dtype=jnp.int32)  # number of joint rows closed up to and including each step

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
            duration=row_duration(last, started),
            terminal=episode.terminal[last],
            last_step=last,
            opening=(through - joint)[started] - joint_dropped,
            closing=through[last] - 1 - joint_dropped,
            mask=valid & counted[last],
            dropped=dropped,
        )

    per_agent = marks.ended, marks.started, episode.obs, episode.avail, episode.macro_action
    return jax.vmap(of_agent, in_axes=1, out_axes=OWN_TIME_MAJOR)(*per_agent)


def own_rows(chosen: Trajectory, discount: Array | float) -> OwnRows:
    """Each agent's own rows of a trajectory; `discount` per primitive step."""
    return mac_cert(chosen.episode, chosen.marks, chosen.keep, chosen.counted, chosen.size, discount=discount)


def at_joint_rows(
    values: Shaped[Array, "joint_rows batch #agents *rest"], index: Int[Array, "rows batch agents"]
) -> Shaped[Array, "rows batch agents *rest"]:
    """What each own row finds in the joint row `index`, the `opening` or `closing` one of `OwnRows`.

    Where a cap dropped that joint row, and in padding, it is that of the first joint row instead: such rows do not
    count, but a number that is not finite would reach the gradients even so.
    """
    index = index.reshape(*index.shape, *(1,) * (values.ndim - index.ndim))
    return jnp.take_along_axis(values, jnp.maximum(index, 0), axis=0, mode="clip")
