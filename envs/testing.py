"""The test kit for environments: does one keep the contract? `check_environment(env)` says so, or why not.

The library's own environments pass the same checks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmac.envs.environment import Environment, EnvState, Outcome, TimeStep
from jaxmac.envs.registry import make

QUICK_COMPILE = {"xla_backend_optimization_level": 0}  # it runs once
AFTER = 6  # steps after the end, where nothing may change
FLOATS = {"rtol": 1e-5, "atol": 1e-5}


class ContractError(ValueError):
    """An environment breaks its contract; one line says where."""


class Played(NamedTuple):
    """Random episodes, leaves `[time, batch, ...]`, twice: `again` was computed in the opposite order of episodes,
    and running agents were given another input."""

    states: EnvState
    ts: TimeStep
    seen: Any  # f32 [N, O] what `observe` says of the states
    again: tuple[EnvState, TimeStep, Any]


def check_environment(env: Environment | str, *, episodes: int = 3, seed: int = 7) -> None:
    """Hold an environment (or an id) to the contract: its functions one by one, then whole random episodes.

    Silent if all is well. Raises ContractError, a ValueError of one line, for the first thing that is not.
    """
    env = make(env) if isinstance(env, str) else env
    if not isinstance(env, Environment):
        raise ContractError(f"env is {env!r}, but must be an envs.Environment")
    check_functions(env)
    played = play_at_random(env, episodes, seed)
    for check in CHECKS:
        check(env, played)


def _demand(env: Environment, holds: Any, message: str) -> None:
    if not holds:
        raise ContractError(f"{env.name}: {message}")


def check_functions(env: Environment) -> None:
    """Shapes and dtypes of everything a subclass supplies, from tracing alone."""
    n, actions = env.num_agents, env.max_actions
    _demand(env, n > 0 and min(env.num_actions) > 0, "every agent needs at least one macro-action")
    sizes = (*env.obs_sizes, env.state_size)
    _demand(
        env,
        all(isinstance(size, int | np.integer) and size > 0 for size in sizes),
        f"obs_sizes {env.obs_sizes} and state_size {env.state_size} must be positive integers",
    )
    _demand(env, len(env.obs_sizes) == n, f"obs_sizes has {len(env.obs_sizes)} entries for {n} agents")
    key = jax.eval_shape(lambda: jax.random.key(0))
    physics = _traced(env, "initial_physics", key)
    for name in ("observe", "observe_initial"):
        _expect(env, f"{name} gives", _traced(env, name, physics), (n, env.obs_size))
    _expect(env, "global_state gives", _traced(env, "global_state", physics), (env.state_size,))
    _expect(env, "available gives", _traced(env, "available", physics), (n, actions), "bool")
    noise = _traced(env, "sample_noise", key)
    chosen, started = jax.ShapeDtypeStruct((n,), jnp.int32), jax.ShapeDtypeStruct((n,), bool)
    found = _traced(env, "transition", physics, chosen, started, noise)
    pair = isinstance(found, tuple) and len(found) == 2 and isinstance(found[1], Outcome)
    _demand(env, pair, "transition must give the pair (physics, Outcome)")
    after, outcome = found
    before, now = (_described(tree) for tree in (physics, after))
    _demand(env, before == now, f"transition gives the physics {now}, but initial_physics {before}")
    for name, shape, kind in (
        ("ended", (n,), "bool"),
        ("macro_action", (n,), "integer"),
        ("reward", (), ""),
        ("terminal", (), "bool"),
    ):
        _expect(env, f"transition gives the {name}", getattr(outcome, name), shape, kind)
    state, ts = _traced(env, "reset", key)
    _check_timestep(env, "reset", ts)
    later, ts = _traced(env, "step", key, state, chosen)
    _check_timestep(env, "step", ts)
    before, now = (_described(tree) for tree in (state, later))
    _demand(env, before == now, f"step gives the state {now}, but reset {before}")


def _check_timestep(env: Environment, name: str, ts: Any) -> None:
    _demand(env, isinstance(ts, TimeStep), f"{name} must give the pair (state, TimeStep)")
    n, f32, i32 = env.num_agents, np.float32, np.int32
    expected = {
        "obs": ((n, env.obs_size), f32),
        "macro_obs": ((n, env.obs_size), f32),
        "state": ((env.state_size,), f32),
        "avail": ((n, env.max_actions), bool),
        "macro_action": ((n,), i32),
        "elapsed": ((n,), i32),
        "time": ((), i32),
        "ended": ((n,), bool),
        "reward": ((), f32),
        "terminal": ((), bool),
        "truncated": ((), bool),
    }
    for field, (shape, dtype) in expected.items():
        given, due = _described(getattr(ts, field)), f"{np.dtype(dtype)}{list(shape)}"
        _demand(env, given == due, f"{name} gives a TimeStep with {field} {given}, but must give {due}")


def _traced(env: Environment, name: str, *arguments: Any) -> Any:
    """What a function of the environment gives, as shapes and dtypes."""
    try:
        return jax.eval_shape(lambda *given: jax.tree.map(jnp.asarray, getattr(env, name)(*given)), *arguments)
    except Exception as error:  # of whatever kind: the function is the user's
        first = (str(error).strip() or "no message").splitlines()[0]
        raise ContractError(f"{env.name}: {name} raised {type(error).__name__}: {first}") from error


def _expect(env: Environment, what: str, given: Any, shape: tuple[int, ...], kind: str = "") -> None:
    kinds = {"bool": jnp.bool_, "integer": jnp.integer}
    fits = getattr(given, "shape", None) == shape and (not kind or jnp.issubdtype(given.dtype, kinds[kind]))
    _demand(env, fits, f"{what} {_described(given)}, but must be {f'{kind} ' if kind else ''}{list(shape)}")


def _described(tree: Any) -> str:
    if isinstance(tree, jax.ShapeDtypeStruct):
        return f"{tree.dtype}{list(tree.shape)}"
    return str(jax.tree.map(_described, tree)).replace("'", "")


def play_at_random(env: Environment, episodes: int = 3, seed: int = 7) -> Played:
    """Random macro-actions to the horizon and a few steps beyond."""

    def episode(key: jax.Array, decoy: jax.Array) -> Any:
        def record(state: EnvState, ts: TimeStep) -> tuple[EnvState, TimeStep, jax.Array]:
            return state, ts, env.observe(state.physics).astype(jnp.float32)

        def body(carry: Any, key: jax.Array) -> Any:
            state, ts = carry
            of_choice, of_step = jax.random.split(key)
            choices = jax.random.categorical(of_choice, jnp.where(ts.avail, 0.0, -1e9))
            inputs = jnp.where(ts.ended & ~(ts.terminal | ts.truncated), choices, decoy)
            carry = env.step(of_step, state, inputs)
            return carry, record(*carry)

        first = env.reset(key)
        _, rest = jax.lax.scan(body, first, jax.random.split(key, env.horizon + AFTER))
        joined = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), record(*first), rest)
        return jax.tree.map(_without_keys, joined)

    keys, decoys = jax.random.split(jax.random.key(seed), episodes), jnp.repeat(jnp.array([0, -1]), episodes)
    run = jax.jit(jax.vmap(episode, out_axes=1), compiler_options=QUICK_COMPILE)
    found = jax.device_get(run(jnp.concatenate([keys, keys[::-1]]), decoys))
    half = jax.tree.map(lambda leaf: leaf[:, :episodes], found)
    other = jax.tree.map(lambda leaf: leaf[:, : episodes - 1 : -1], found)
    return Played(*half, other)


def _without_keys(leaf: jax.Array) -> jax.Array:
    return jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf


def check_numbers(env: Environment, played: Played) -> None:
    """Finite numbers, and observations that `obs_dtype` holds exactly."""
    for name in ("obs", "state", "reward"):
        wrong = ~np.isfinite(getattr(played.ts, name))
        _demand(env, not wrong.any(), f"{name} is not finite {_where(wrong)}")
    inexact = played.seen[1:] != played.ts.obs[1:]  # the first may be `observe_initial`'s
    _demand(env, not inexact.any(), f"obs_dtype {env.obs_dtype} does not hold the observation {_where(inexact)}")


def _where(wrong: np.ndarray) -> str:
    """Step and agent of the first entry `[time, batch, ...]` that is wrong."""
    if not wrong.any():
        return ""
    time, _, *rest = np.argwhere(wrong)[0]
    return f"at step {time}" + (f", agent {rest[0]}" if wrong.ndim > 2 else "")


def check_padding_and_choice(env: Environment, played: Played) -> None:
    """Padding is zero and never available, and whoever must choose can."""
    ts = played.ts
    for i, (actions, size) in enumerate(zip(env.num_actions, env.obs_sizes, strict=True)):
        padded = ts.avail[..., i, actions:]
        _demand(env, not padded.any(), f"agent {i} has {actions} macro-actions, but more are available")
        for name in ("obs", "macro_obs"):
            beyond = getattr(ts, name)[..., i, size:]
            _demand(env, not beyond.any(), f"{name} of agent {i} is not zero beyond its {size} entries")
        named = ts.macro_action[..., i]
        _demand(env, (named < actions).all(), f"macro_action of agent {i} is {named.max()}, it has {actions}")
    stuck = ts.ended & ~ts.avail.any(axis=-1)
    _demand(env, not stuck.any(), f"one must be chosen, but no macro-action is available {_where(stuck)}")


def check_script(env: Environment, played: Played) -> None:
    """A scripted plan names real macro-actions."""
    del played
    script = env.script()
    if script is None:
        return
    _demand(env, len(script) == env.num_agents, f"script has {len(script)} plans for {env.num_agents} agents")
    for i, (plan, count) in enumerate(zip(script, env.num_actions, strict=True)):
        real = len(plan) > 0 and set(plan) <= set(range(count))
        _demand(env, real, f"script of agent {i} is {plan}, but must name macro-actions 0 to {count - 1}")


def check_reset(env: Environment, played: Played) -> None:
    """After reset everybody must choose and nothing has happened."""
    first = jax.tree.map(lambda leaf: leaf[0], played.ts)
    _demand(env, first.ended.all(), "after reset every agent must choose: ended is not all True")
    _demand(env, (first.macro_action == -1).all(), "after reset macro_action must be -1")
    for name in ("elapsed", "time", "reward", "terminal", "truncated"):
        _demand(env, not getattr(first, name).any(), f"after reset {name} must be 0")
    _demand(env, np.array_equal(first.macro_obs, first.obs), "after reset macro_obs must be obs")


def check_holding(env: Environment, played: Played) -> None:
    """Macro-observations and running macro-actions are held, `elapsed` counts."""
    ts = played.ts
    held = np.where(ts.ended[1:, ..., None], ts.obs[1:], ts.macro_obs[:-1])
    _demand(env, np.array_equal(ts.macro_obs[1:], held), "macro_obs must be obs where `ended`, else as before")
    finished = (ts.terminal | ts.truncated)[:-1, :, None]
    counted = np.where(ts.ended[1:], 0, np.where(finished, ts.elapsed[:-1], ts.elapsed[:-1] + 1))
    _demand(env, np.array_equal(ts.elapsed[1:], counted), "elapsed must count the steps since the last choice")
    changed = ~ts.ended[:-1] & (ts.macro_action[1:] != ts.macro_action[:-1])
    _demand(env, not changed.any(), "macro_action changed although it had not ended")


def check_independence(env: Environment, played: Played) -> None:
    """What running agents are given, and which episodes run beside, changes nothing."""
    for one, other in zip(jax.tree.leaves(played[:3]), jax.tree.leaves(played.again), strict=True):
        exact = not np.issubdtype(one.dtype, np.floating)
        same = np.array_equal(one, other) if exact else np.allclose(one, other, equal_nan=True, **FLOATS)
        _demand(env, same, "the input of agents that are running, or another episode, changed what happened")


def check_end(env: Environment, played: Played) -> None:
    """`terminal` and `truncated` exclude each other, the horizon ends, and after the end nothing changes."""
    states, ts = played.states, played.ts
    _demand(env, not (ts.terminal & ts.truncated).any(), "an end is both terminal and truncated")
    finished = ts.terminal | ts.truncated
    _demand(env, not finished[0].any(), "an episode has ended at reset")
    _demand(env, finished[env.horizon :].all(), f"an episode goes on after the horizon of {env.horizon} steps")
    timely = (ts.time == env.horizon) & ~ts.terminal
    _demand(env, np.array_equal(ts.truncated, timely), "truncated must be the time limit, and nothing else")
    _demand(env, np.array_equal(ts.time[1:], ts.time[:-1] + ~finished[:-1]), "time must count the steps taken")
    stays = np.nonzero(finished[:-1])
    repeated = ts.replace(reward=np.zeros_like(ts.reward))
    for before, after in (
        *zip(jax.tree.leaves(states), jax.tree.leaves(states), strict=True),
        *zip(jax.tree.leaves(repeated), jax.tree.leaves(ts), strict=True),
    ):
        _demand(env, np.array_equal(before[:-1][stays], after[1:][stays]), "something changes after the end")
    returns = np.cumsum(ts.reward, axis=0)
    close = np.allclose(states.episode_return, returns, rtol=1e-5, atol=1e-3)
    _demand(env, close, "episode_return must be the sum of rewards")


CHECKS: tuple[Callable[[Environment, Played], None], ...] = (
    check_numbers,
    check_padding_and_choice,
    check_script,
    check_reset,
    check_independence,
    check_end,
    check_holding,
)
