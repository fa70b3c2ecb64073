"""Run parallel episodes of an environment under a policy and write down what happened."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxmac.config import nearest
from jaxmac.envs.environment import Environment, EnvState, TimeStep
from jaxmac.record.episode import Episode


class Policy(NamedTuple):
    """How a team chooses: a carry (hidden states) and a function of the batched TimeStep.

    `act(key, carry, timestep, epsilon [batch]) -> (carry, macro_actions [batch, agents])`; the entry of an agent
    whose macro-action still runs is ignored. A policy that draws what it does has `act_greedily`, too: the most
    probable macro-actions instead, or with probability epsilon random ones. `nets`
    (`jaxmac.networks.agent.ActingNets`) are the networks behind it where it is theirs alone: with them it can be
    exported.
    """

    initial_carry: Callable[[int], Any]
    act: Callable[[Array, Any, TimeStep, Float[Array, "batch"]], tuple[Any, Int[Array, "batch agents"]]]
    act_greedily: Callable[..., tuple[Any, Array]] | None = None
    nets: Any = None


def random_policy() -> Policy:
    """Uniform over the available macro-actions."""

    def act(key: Array, carry: Any, timestep: TimeStep, epsilon: Array) -> tuple[Any, Array]:
        del epsilon
        return carry, uniform_available(key, timestep.avail)

    return Policy(lambda batch: (), act)


def scripted_policy(env: Environment) -> Policy:
    """The best known open-loop plan of `env`, its `script()`.

    Raises ValueError if the environment has none (under its present options).
    """
    script = env.script()
    if script is None:
        raise ValueError(f"{env.name} has no scripted policy under these options; a random one is always there")
    longest = max(len(plan) for plan in script)
    plans = jnp.array([(*plan, *[plan[-1]] * (longest - len(plan))) for plan in script])

    def act(key: Array, chosen: Array, timestep: TimeStep, epsilon: Array) -> tuple[Array, Array]:
        del key, epsilon
        entry = jnp.minimum(chosen, longest - 1)
        macro_actions = jnp.take_along_axis(plans[None], entry[..., None], axis=-1)[..., 0]
        return chosen + timestep.ended, macro_actions

    return Policy(lambda batch: jnp.zeros((batch, env.num_agents), jnp.int32), act)


BASELINES: dict[str, Callable[[Environment], Policy]] = {
    "scripted": scripted_policy,
    "random": lambda env: random_policy(),
}


def baseline_policy(name: str, env: Environment) -> Policy:
    """The policy of `BASELINES` with that name; raises ValueError for an unknown one, or where `env` has none."""
    if name not in BASELINES:
        raise ValueError(f"unknown policy {name!r}; {nearest(name, BASELINES)}")
    return BASELINES[name](env)


def uniform_available(key: Array, avail: Array) -> Array:
    """One available macro-action per agent, uniformly, int32 `[..., agents]` for `avail [..., agents, actions]`."""
    count = jnp.sum(avail, axis=-1)
    share = jax.random.uniform(key, count.shape)  # one draw; randint makes two
    rank = jnp.minimum((share * count).astype(jnp.int32), count - 1)
    return jnp.argmax(jnp.cumsum(avail, axis=-1) > rank[..., None], axis=-1).astype(jnp.int32)


def small_int(largest: int) -> jnp.dtype:
    """The smallest signed integer type that holds `largest`."""
    return jnp.dtype(next(t for t in (jnp.int8, jnp.int16, jnp.int32) if largest <= jnp.iinfo(t).max))


def rollout(env: Environment, policy: Policy, key: Array, epsilon: Float[Array, "batch"]) -> Episode:
    """Whole episodes under `policy`, one for each entry of `epsilon`, stepped together for `env.horizon` steps.

    Returns a batch of Episodes `[batch, time, ...]`; an episode that ends early is padded and masked.
    """
    return rollout_to_end(env, policy, key, epsilon)[0]


def rollout_to_end(
    env: Environment, policy: Policy, key: Array, epsilon: Float[Array, "batch"]
) -> tuple[Episode, EnvState]:
    """As `rollout`, and the states `[batch, ...]` of the environment at the end of each episode."""
    chex.assert_rank(epsilon, 1)
    batch = epsilon.shape[0]
    reset_key, scan_key = jax.random.split(key)
    env_state, timestep = jax.vmap(env.reset)(jax.random.split(reset_key, batch))
    action_dtype = small_int(env.max_actions)

    def seen(ts: TimeStep) -> dict[str, Array]:
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
        return (env_state, after, carry), (seen(before), taken)

    loop = (env_state, timestep, policy.initial_carry(batch))
    (ended, last, _), (before, taken) = jax.lax.scan(step, loop, jnp.arange(env.horizon))
    before = {name: jnp.concatenate([x, seen(last)[name][None]]) for name, x in before.items()}
    return Episode(**jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), {**before, **taken})), ended


def play(env: Environment, policy: Policy, key: Array) -> Any:
    """Environment states of one episode without exploration, stacked `[steps + 1, ...]` and cut at its end."""
    reset_key, scan_key = jax.random.split(key)

    def step(loop: tuple, time: Array) -> tuple[tuple, tuple[Any, Array]]:
        env_state, ts, carry = loop
        act_key, env_key = jax.random.split(jax.random.fold_in(scan_key, time))
        batched = jax.tree.map(lambda x: x[None], ts)
        carry, macro_actions = policy.act(act_key, carry, batched, jnp.zeros(1))
        env_state, ts = env.step(env_key, env_state, macro_actions[0])
        return (env_state, ts, carry), (env_state, ts.terminal | ts.truncated)

    @jax.jit
    def run(key: Array) -> tuple[Any, Any, Array]:
        env_state, ts = env.reset(key)
        _, (states, over) = jax.lax.scan(step, (env_state, ts, policy.initial_carry(1)), jnp.arange(env.horizon))
        return env_state, states, over

    first, states, over = jax.device_get(run(reset_key))
    steps = int(over.argmax()) + 1 if over.any() else len(over)
    return jax.tree.map(lambda a, b: jnp.concatenate([a[None], b[:steps]]), first, states)
