"""Mac-SJERT: every primitive step of an episode with fresh observations, and the macro-actions as segments in it.

The joint trajectory is stored once; the N buffers of the paper are N ways to mark the segments in it
(docs/specifications/tomacvf.md, section 1). The cut takes a *single* episode; `vmap` it with `out_axes=1` for
time-major batches.
"""

from __future__ import annotations

from typing import NamedTuple

import chex
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxmac.record.episode import Episode, ends_value, mark
from jaxmac.record.windows import accumulate_own_rewards, check_cut


class JointSteps(NamedTuple):
    """One episode step by step; padding after the last real entry is zero or False, whatever was recorded there.

    Micro-transition of step t: `macro_action[t]`, `micro_reward[t]`, then the value at entry `micro_next[t]`.
    Macro-transition of agent i that closes on step t: the joint choice at entry `started[t, i]`,
    `own_reward[t, i]`, then the value at entry t + 1.
    """

    obs: Float[Array, "time+1 agents obs"]  # observations of this step, not macro-observations
    state: Float[Array, "time+1 state"]  # global state
    avail: Bool[Array, "time+1 agents actions"]  # macro-actions that may be started
    choosing: Bool[Array, "time+1 agents"]  # the agent must choose here
    running: Int[Array, "time+1 agents"]  # the macro-action of the step before; -1 at the start
    elapsed: Float[Array, "time+1 agents"]  # steps since the running macro-action started, 0 where it must choose
    clock: Float[Array, "time+1"]  # steps since reset
    macro_action: Int[Array, "time agents"]  # the macro-action that runs during the step
    mask: Bool[Array, "time"]  # the step was taken
    micro_reward: Float[Array, "time"]  # discounted sum over n steps, fewer near the end of the episode
    micro_steps: Float[Array, "time"]  # the number of steps in that sum
    micro_next: Int[Array, "time"]  # the entry after them, whose value is bootstrapped
    micro_terminal: Bool[Array, "time"]  # no bootstrap after the micro-transition
    ended: Bool[Array, "time agents"]  # the agent's segment closes on this step
    started: Int[Array, "time agents"]  # step at which that segment began
    own_reward: Float[Array, "time agents"]  # discounted over the segment, where `ended`
    duration: Float[Array, "time agents"]  # primitive steps of the segment
    terminal: Bool[Array, "time"]  # no bootstrap after this step


def mac_sjert(
    episode: Episode,
    *,
    discount: Array | float,
    n_step: int = 1,
    close_on_terminal: bool = True,
    timeout_is_terminal: bool = False,
) -> JointSteps:
    """Cut a single episode into micro- and macro-transitions.

    Args:
        episode: a single episode.
        discount: discount per primitive step.
        n_step: primitive steps of a micro-transition (1 or more); near the end of the episode it has fewer.
        close_on_terminal: whether an environment termination closes every running macro-action. A macro-action that
            the time limit cuts off never yields a macro-transition.
        timeout_is_terminal: whether the time limit counts as terminal, so that nothing is bootstrapped after it.

    Raises ValueError, in one line, for a batch of episodes.
    """
    check_cut(episode)
    chex.assert_rank([episode.obs, episode.avail, episode.mask], [3, 3, 1])
    length, mask = episode.length, episode.mask
    entries = jnp.arange(mask.shape[0] + 1, dtype=jnp.int32)
    steps = entries[:-1]
    real = entries <= length

    def real_entries(x: Array) -> Array:
        return jnp.where(real.reshape(-1, *(1,) * (x.ndim - 1)), x, jnp.zeros_like(x))

    def real_steps(x: Array) -> Array:
        return jnp.where(mask.reshape(-1, *(1,) * (x.ndim - 1)), x, jnp.zeros_like(x))

    episode = episode.replace(reward=real_steps(episode.reward), elapsed=real_entries(episode.elapsed))
    macro_action = real_steps(episode.macro_action).astype(jnp.int32)
    terminal = real_steps(ends_value(episode, timeout_is_terminal=timeout_is_terminal))
    marks = mark(episode, close_on_terminal=close_on_terminal)
    reward, count, after = _n_step(episode.reward, length, discount, n_step)
    return JointSteps(
        obs=real_entries(episode.obs).astype(jnp.float32),
        state=real_entries(episode.state),
        avail=real_entries(episode.avail),
        choosing=real_entries(episode.elapsed == 0),
        running=jnp.concatenate([jnp.full_like(macro_action[:1], -1), macro_action]),
        elapsed=episode.elapsed.astype(jnp.float32),
        clock=real_entries(entries).astype(jnp.float32),
        macro_action=macro_action,
        mask=mask,
        micro_reward=reward,
        micro_steps=count,
        micro_next=after,
        micro_terminal=real_steps(terminal[jnp.maximum(after - 1, 0)]),
        ended=marks.ended,
        started=jnp.where(mask[:, None], marks.started, 0),
        own_reward=accumulate_own_rewards(episode.reward, marks.started, steps, discount),
        duration=marks.duration.astype(jnp.float32),
        terminal=terminal,
    )


def _n_step(
    reward: Float[Array, "time"], length: Array, discount: Array | float, n_step: int
) -> tuple[Float[Array, "time"], Float[Array, "time"], Int[Array, "time"]]:
    """Discounted reward of the next n steps, how many there are, and the entry after them."""
    steps = jnp.arange(reward.shape[0], dtype=jnp.int32)
    padded = jnp.concatenate([reward, jnp.zeros(n_step, reward.dtype)])  # rewards of padded steps are 0 already
    total = jnp.zeros_like(reward)
    for ahead in range(n_step):
        total = total + jnp.asarray(discount, jnp.float32) ** ahead * padded[ahead : ahead + reward.shape[0]]
    count = jnp.clip(length - steps, 0, n_step)
    return total, count.astype(jnp.float32), jnp.where(count > 0, steps + count, 0)
