"""Run parallel episodes of an environment under a policy and record them."""

from __future__ import annotations

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxmac.arguments import check_environment_made
from jaxmac.envs.environment import Environment, EnvState, TimeStep
from jaxmac.envs.shapes import one_line
from jaxmac.record.episode import Episode
from jaxmac.record.policy import Policy, check_policy
from jaxmac.record.under_vmap import largest_under_vmap


def small_int(largest: int) -> jnp.dtype:
    """The smallest signed integer type that holds `largest`."""
    return jnp.dtype(next(t for t in (jnp.int8, jnp.int16, jnp.int32) if largest <= jnp.iinfo(t).max))


def rollout(env: Environment, policy: Policy, key: Array, epsilon: Float[Array, "batch"]) -> Episode:
    """Whole episodes under `policy`, one for each entry of `epsilon`, stepped together until the last one ends.

    Returns a batch of Episodes `[batch, time, ...]`; an episode that ends early is padded and masked. Raises
    ValueError, in one line, for what is no Environment or no Policy, and for an epsilon of another shape.
    """
    check_environment_made(env)
    check_policy(policy)
    if not isinstance(epsilon, jax.Array | np.ndarray) or epsilon.ndim != 1:
        what = "an array of exploration rates, one for each parallel episode, such as jnp.zeros(16)"
        raise ValueError(f"epsilon is {one_line(epsilon)}, but must be {what}")
    return rollout_to_end(env, policy, key, epsilon)[0]


def rollout_to_end(
    env: Environment, policy: Policy, key: Array, epsilon: Float[Array, "batch"]
) -> tuple[Episode, EnvState]:
    """As `rollout`; also returns the environment's states `[batch, ...]` at the end of each episode."""
    chex.assert_rank(epsilon, 1)
    batch = epsilon.shape[0]
    reset_key, scan_key = jax.random.split(key)
    env_state, timestep = jax.vmap(env.reset)(jax.random.split(reset_key, batch))
    action_dtype = small_int(env.max_actions)

    def before_step(ts: TimeStep) -> dict[str, Array]:
        return {
            "obs": ts.obs.astype(env.obs_dtype),
            "state": ts.state,
            "avail": ts.avail,
            "elapsed": ts.elapsed.astype(small_int(env.horizon)),
        }

    def step(loop: tuple, time: Array) -> tuple[tuple, tuple[dict, dict]]:
        env_state, before, carry = loop
        act_key, env_key = jax.random.split(jax.random.fold_in(scan_key, time))
        carry, macro_actions = policy.act(act_key, carry, before, epsilon)
        env_state, after = jax.vmap(env.step)(jax.random.split(env_key, batch), env_state, macro_actions)
        taken = {
            "macro_action": after.macro_action.astype(action_dtype),
            "ended": after.ended,
            "reward": after.reward,
            "terminal": after.terminal,
            "truncated": after.truncated,
            "mask": ~(before.terminal | before.truncated),
        }
        return (env_state, after, carry), (before_step(before), taken)

    loop = (env_state, timestep, policy.initial_carry(batch))
    (ended, last, _), (before, taken) = _until_over(step, loop, env.horizon)
    before = {name: jnp.concatenate([x, before_step(last)[name][None]]) for name, x in before.items()}
    return Episode(**jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), {**before, **taken})), ended


def _until_over(
    step: Callable[[tuple, Array], tuple[tuple, tuple[dict, dict]]], loop: tuple, horizon: int
) -> tuple[tuple, tuple[dict, dict]]:
    """As `lax.scan(step, loop, arange(horizon))`, but it stops one step after all episodes have ended.

    An environment keeps an ended episode as it is, so the record of that step is that of the steps left out.
    """
    step = jax.jit(step, inline=True)  # traced once
    shapes = jax.eval_shape(step, loop, jnp.int32(0))[1]
    empty = jax.tree.map(lambda x: jnp.zeros((horizon, *x.shape), x.dtype), shapes)

    def goes_on(state: tuple) -> Array:
        time, played, *_ = state
        return (time < horizon) & played

    def body(state: tuple) -> tuple:
        time, _, loop, record = state
        loop, entry = step(loop, time)
        record = jax.tree.map(lambda entries, one: entries.at[time].set(one), record, entry)
        return time + 1, largest_under_vmap(jnp.any(entry[1]["mask"])), loop, record

    time, _, loop, record = jax.lax.while_loop(goes_on, body, (jnp.int32(0), jnp.bool_(True), loop, empty))
    computed = jnp.minimum(jnp.arange(horizon), time - 1)
    return loop, jax.tree.map(lambda entries: entries[computed], record)


def play(env: Environment, policy: Policy, key: Array) -> tuple[EnvState, TimeStep]:
    """The states and timesteps `[steps + 1, ...]` of one episode without exploration, cut at the episode's end.

    Raises ValueError, in one line, for what is no Environment or no Policy.
    """
    check_environment_made(env)
    check_policy(policy)
    reset_key, scan_key = jax.random.split(key)

    def step(loop: tuple, time: Array) -> tuple[tuple, tuple[EnvState, TimeStep]]:
        env_state, ts, carry = loop
        act_key, env_key = jax.random.split(jax.random.fold_in(scan_key, time))
        batched = jax.tree.map(lambda x: x[None], ts)
        carry, macro_actions = policy.act(act_key, carry, batched, jnp.zeros(1, jnp.float32))
        env_state, ts = env.step(env_key, env_state, macro_actions[0])
        return (env_state, ts, carry), (env_state, ts)

    @jax.jit
    def run(key: Array) -> tuple[EnvState, TimeStep]:
        first = env.reset(key)
        _, after = jax.lax.scan(step, (*first, policy.initial_carry(1)), jnp.arange(env.horizon))
        return jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), first, after)

    played = jax.device_get(run(reset_key))
    over = played[1].terminal | played[1].truncated
    last = int(over.argmax()) if over.any() else env.horizon
    return jax.device_put(jax.tree.map(lambda x: x[: last + 1], played))
