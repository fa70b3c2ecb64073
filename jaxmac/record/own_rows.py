"""Mac-CERT: own rows, one for each macro-action of an agent that ended, packed agent by agent.

The cut takes a *single* episode; `vmap` it with `out_axes=OWN_TIME_MAJOR` for a batch of time-major rows.
"""

from __future__ import annotations

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxmac.record.episode import Episode, Marks
from jaxmac.record.windows import Trajectory, accumulate_reward, joint_row_steps, pack, row_duration


class OwnRows(NamedTuple):
    """Mac-CERT: for each agent one row per macro-action of its own that ended.

    docs/specifications/value_based.md, section 3.3.

    Agents have their rows packed apart, so row k of two agents need not be of the same time. The recurrent networks
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
            duration=row_duration(last, started),
            terminal=episode.terminal[last],
            last_step=last,
            opening=(through - joint)[started] - joint_dropped,
            closing=through[last] - 1 - joint_dropped,
            mask=valid & counted[last],
            dropped=dropped,
        )

    apart = marks.ended, marks.started, episode.obs, episode.avail, episode.macro_action
    return jax.vmap(of_agent, in_axes=1, out_axes=OWN_TIME_MAJOR)(*apart)


def own_rows(chosen: Trajectory, discount: Array | float) -> OwnRows:
    """Each agent's own rows of a trajectory."""
    return mac_cert(chosen.episode, chosen.marks, chosen.keep, chosen.counted, chosen.size, discount=discount)
