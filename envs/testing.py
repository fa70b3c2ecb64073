"""The test kit for environments: `check_environment(env)` raises where one breaks the contract.

The library's own environments pass the same checks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Shaped

from jaxmac.envs.arguments import check_seed, python_value
from jaxmac.envs.environment import Environment, EnvState, Outcome, TimeStep
from jaxmac.envs.options import WithOptions
from jaxmac.envs.randomness import wrong_randomness
from jaxmac.envs.registry import make
from jaxmac.envs.shapes import described, kind_and_line

QUICK_COMPILE = {"xla_backend_optimization_level": 0}  # the program runs only once
AFTER = 6  # steps after the end of an episode, in which nothing may change
FLOATS = {"rtol": 1e-5, "atol": 1e-5}


class ContractError(ValueError):
    """An environment breaks its contract; one line says where."""


class Course(NamedTuple):
    """The course of episodes, leaves `[time, batch, ...]`."""

    states: EnvState
    ts: TimeStep
    observed: Shaped[Any, "... agents obs"]  # what `observe` (at reset `observe_initial`) says of the states


class Played(NamedTuple):
    """Random episodes, twice.

    `again` was computed in the opposite order of episodes, and with another input for agents that do not choose.
    """

    states: EnvState
    ts: TimeStep
    observed: Any
    again: Course


def check_environment(env: Environment | str, *, episodes: int = 3, seed: int = 7) -> None:
    """Check that an environment (or an id) keeps the contract: function by function, then in random episodes.

    Returns nothing if it does. Raises ContractError, a ValueError of one line, for the first fault, and ValueError
    for `episodes` below 1 or a `seed` that is none.
    """
    count = python_value(episodes)
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise ValueError(f"episodes is {episodes!r}, but must be an integer of at least 1")
    seed = check_seed(seed)
    env = make(env) if isinstance(env, str) else env
    if not isinstance(env, Environment):
        raise ContractError(f"env is {env!r}, but must be an envs.Environment")
    check_functions(env)
    problem = wrong_randomness(env)
    _demand(env, not problem, problem)
    played = play_at_random(env, count, seed)
    for check in CHECKS:
        check(env, played)


def _demand(env: Environment, holds: Any, message: str) -> None:
    if not holds:
        raise ContractError(f"{env.name}: {message}")


def check_functions(env: Environment) -> None:
    """Check shapes and dtypes of everything that a subclass supplies, by tracing alone."""
    n, actions = env.num_agents, env.max_actions
    _check_sizes(env)
    key = jax.eval_shape(lambda: jax.random.key(0))
    physics = _traced(env, "initial_physics", key)
    for name in ("observe", "observe_initial"):
        _expect(env, f"{name} gives", _traced(env, name, physics), (n, env.obs_size))
    _expect(env, "global_state gives", _traced(env, "global_state", physics), (env.state_size,))
    _expect(env, "available gives", _traced(env, "available", physics), (n, actions), "bool")
    if (success := _traced(env, "success", physics)) is not None:
        _expect(env, "success gives", success, (), "bool")
    noise = _traced(env, "sample_noise", key)
    chosen, started = jax.ShapeDtypeStruct((n,), jnp.int32), jax.ShapeDtypeStruct((n,), bool)
    _check_transition(env, physics, _traced(env, "transition", physics, chosen, started, noise))
    state, ts = _traced(env, "reset", key)
    _check_timestep(env, "reset", ts)
    later, ts = _traced(env, "step", key, state, chosen)
    _check_timestep(env, "step", ts)
    before, now = described(state), described(later)
    _demand(env, before == now, f"step gives the state {now}, but reset {before}")


def _check_sizes(env: Environment) -> None:
    n = env.num_agents
    _demand(env, n > 0 and min(env.num_actions) > 0, "every agent needs at least one macro-action")
    positive = all(isinstance(size, int | np.integer) and size > 0 for size in env.obs_sizes)
    _demand(env, positive, f"obs_sizes {env.obs_sizes} must be positive integers")
    counted = isinstance(env.state_size, int | np.integer) and env.state_size >= 0
    _demand(env, counted, f"state_size {env.state_size} must be an integer, 0 without a global state")
    _demand(env, len(env.obs_sizes) == n, f"obs_sizes has {len(env.obs_sizes)} entries for {n} agents")


def _check_transition(env: Environment, physics: Any, result: Any) -> None:
    """Check what `transition` gives for `physics`."""
    pair = isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], Outcome)
    _demand(env, pair, "transition must give the pair (physics, Outcome)")
    after, outcome = result
    before, now = described(physics), described(after)
    _demand(env, before == now, f"transition gives the physics {now}, but initial_physics {before}")
    n = env.num_agents
    for name, shape, kind in (
        ("ended", (n,), "bool"),
        ("macro_action", (n,), "integer"),
        ("reward", (), ""),
        ("terminal", (), "bool"),
    ):
        _expect(env, f"transition gives the {name}", getattr(outcome, name), shape, kind)
    numbers = not jnp.issubdtype(outcome.reward.dtype, jnp.complexfloating)
    _demand(env, numbers, f"transition gives the reward {described(outcome.reward)}, but must give a real number")


def _check_timestep(env: Environment, name: str, ts: Any) -> None:
    _demand(env, isinstance(ts, TimeStep), f"{name} must give the pair (state, TimeStep)")
    n, f32, i32 = env.num_agents, np.float32, np.int32
    expected: dict[str, tuple[tuple[int, ...], Any]] = {
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
        found, due = described(getattr(ts, field)), f"{np.dtype(dtype)}{list(shape)}"
        _demand(env, found == due, f"{name} gives a TimeStep with {field} {found}, but must give {due}")


def _traced(env: Environment, name: str, *arguments: Any) -> Any:
    """What a function of the environment gives, as shapes and dtypes."""
    try:
        return jax.eval_shape(lambda *given: jax.tree.map(jnp.asarray, getattr(env, name)(*given)), *arguments)
    except Exception as error:  # of whatever kind: the function is the user's
        raise ContractError(f"{env.name}: {name} raised {kind_and_line(error)}") from error


def _expect(env: Environment, what: str, found: Any, shape: tuple[int, ...], kind: str = "") -> None:
    kinds = {"bool": jnp.bool_, "integer": jnp.integer}
    fits = getattr(found, "shape", None) == shape and (not kind or jnp.issubdtype(found.dtype, kinds[kind]))
    _demand(env, fits, f"{what} {described(found)}, but must be {f'{kind} ' if kind else ''}{list(shape)}")


def play_at_random(env: Environment, episodes: int = 3, seed: int = 7) -> Played:
    """Play random macro-actions to the horizon and a few steps beyond."""

    def episode(key: jax.Array, ignored: jax.Array) -> Any:
        def record(state: EnvState, ts: TimeStep, observe: Any = env.observe) -> Course:
            observed = observe(state.physics)
            floats = jnp.issubdtype(observed.dtype, jnp.floating)  # of a larger type they are rounded, by design
            return Course(state, ts, observed.astype(jnp.float32) if floats else observed)

        def body(carry: Any, key: jax.Array) -> Any:
            state, ts = carry
            choice_key, step_key = jax.random.split(key)
            choices = jax.random.categorical(choice_key, jnp.where(ts.avail, 0.0, -1e9))
            inputs = jnp.where(ts.ended & ~(ts.terminal | ts.truncated), choices, ignored)
            carry = env.step(step_key, state, inputs)
            return carry, record(*carry)

        first = env.reset(key)
        _, rest = jax.lax.scan(body, first, jax.random.split(key, env.horizon + AFTER))
        joined = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), record(*first, env.observe_initial), rest)
        return jax.tree.map(_without_keys, joined)

    # Of this type under `jax_default_prng_impl`, too: with "rbg" an episode depends on the others of its vmap.
    key = jax.random.key(seed, impl="threefry2x32")
    keys, ignored = jax.random.split(key, episodes), jnp.repeat(jnp.array([0, -1], jnp.int32), episodes)
    run = jax.jit(jax.vmap(episode, out_axes=1), compiler_options=QUICK_COMPILE)
    both = jax.device_get(run(jnp.concatenate([keys, keys[::-1]]), ignored))
    once = jax.tree.map(lambda leaf: leaf[:, :episodes], both)
    again = jax.tree.map(lambda leaf: leaf[:, : episodes - 1 : -1], both)
    return Played(once.states, once.ts, once.observed, again)


def _without_keys(leaf: jax.Array) -> jax.Array:
    return jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf


def check_numbers(env: Environment, played: Played) -> None:
    """Check that numbers are finite, and that `obs_dtype` and the multiples represent them exactly."""
    for name in ("obs", "state", "reward"):
        wrong = ~np.isfinite(getattr(played.ts, name))
        _demand(env, not wrong.any(), f"{name} is not finite {_where(wrong)}")
    inexact = played.observed != played.ts.obs
    _demand(env, not inexact.any(), f"obs_dtype {env.obs_dtype} does not hold the observation {_where(inexact)}")
    for name, multiples in (("obs", env.obs_multiples), ("state", env.state_multiples)):
        if multiples is not None:
            values = getattr(played.ts, name)
            there_and_back = jax.jit(lambda x, m=multiples: m.unpack(m.pack(x)), compiler_options=QUICK_COMPILE)
            again = np.asarray(there_and_back(values))
            inexact = again != values
            _demand(env, not inexact.any(), f"{name}_multiples do not give the {name} back {_where(inexact)}")


def _where(wrong: Any) -> str:
    """Step and agent of the first entry `[time, batch, ...]` that is wrong."""
    if not wrong.any():
        return ""
    time, _, *rest = np.argwhere(wrong)[0]
    return f"at step {time}" + (f", agent {rest[0]}" if wrong.ndim > 2 else "")


def check_padding_and_choice(env: Environment, played: Played) -> None:
    """Check that padding is zero and never available, and that an agent that must choose can choose."""
    ts = played.ts
    for i, (actions, size) in enumerate(zip(env.num_actions, env.obs_sizes, strict=True)):
        padded = ts.avail[..., i, actions:]
        _demand(env, not padded.any(), f"agent {i} has {actions} macro-actions, but more are available")
        for name in ("obs", "macro_obs"):
            beyond = getattr(ts, name)[..., i, size:]
            _demand(env, not beyond.any(), f"{name} of agent {i} is not zero beyond its {size} entries")
        named = ts.macro_action[..., i]
        wrong = named[(named < -1) | (named >= actions)].tolist()
        _demand(env, not wrong, f"macro_action of agent {i} is {wrong[0] if wrong else -1}, it has {actions}")
    finished = (ts.terminal | ts.truncated)[..., None]  # nobody chooses any more
    stuck = ts.ended & ~finished & ~ts.avail.any(axis=-1)
    _demand(env, not stuck.any(), f"one must be chosen, but no macro-action is available {_where(stuck)}")


def check_actions_of_options(env: Environment, played: Played) -> None:
    """Check that options take actions that the environment below them has."""
    physics, above = played.states.physics, env
    while isinstance(above, WithOptions):
        for i, count in enumerate(above.env.num_actions):
            taken = physics.action[..., i]
            wrong = (taken < -1) | (taken >= count)  # -1: the environment below names none
            if wrong.any():
                time, episode = np.argwhere(wrong)[0]
                named = above.action_names[i][played.ts.macro_action[time, episode, i]] if above is env else ""
                who = f"option {named!r} of agent {i}" if named else f"an option of agent {i} in {above.name}"
                what = f"takes the action {taken[time, episode]} at step {time}"
                _demand(env, False, f"{who} {what}, but must take one from 0 to {count - 1}")
        physics, above = physics.world, above.env


def check_script(env: Environment, played: Played) -> None:
    """Check that a scripted plan names real macro-actions."""
    del played
    script = env.script()
    if script is None:
        return
    _demand(env, len(script) == env.num_agents, f"script has {len(script)} plans for {env.num_agents} agents")
    for i, (plan, count) in enumerate(zip(script, env.num_actions, strict=True)):
        real = len(plan) > 0 and set(plan) <= set(range(count))
        _demand(env, real, f"script of agent {i} is {plan}, but must name macro-actions 0 to {count - 1}")


def check_reset(env: Environment, played: Played) -> None:
    """Check that after reset every agent must choose and nothing has happened."""
    first = jax.tree.map(lambda leaf: leaf[0], played.ts)
    _demand(env, first.ended.all(), "after reset every agent must choose: ended is not all True")
    _demand(env, (first.macro_action == -1).all(), "after reset macro_action must be -1")
    for name in ("elapsed", "time", "reward", "terminal", "truncated"):
        _demand(env, not getattr(first, name).any(), f"after reset {name} must be 0")
    _demand(env, np.array_equal(first.macro_obs, first.obs), "after reset macro_obs must be obs")


def check_running(env: Environment, played: Played) -> None:
    """Check that running macro-actions keep their macro-observation, and that `elapsed` counts."""
    ts = played.ts
    expected = np.where(ts.ended[1:, ..., None], ts.obs[1:], ts.macro_obs[:-1])
    _demand(env, np.array_equal(ts.macro_obs[1:], expected), "macro_obs must be obs where `ended`, else as before")
    finished = (ts.terminal | ts.truncated)[:-1, :, None]
    counted = np.where(ts.ended[1:], 0, np.where(finished, ts.elapsed[:-1], ts.elapsed[:-1] + 1))
    _demand(env, np.array_equal(ts.elapsed[1:], counted), "elapsed must count the steps since the last choice")
    changed = ~ts.ended[:-1] & (ts.macro_action[1:] != ts.macro_action[:-1])
    _demand(env, not changed.any(), "macro_action changed although it had not ended")


def check_independence(env: Environment, played: Played) -> None:
    """Check that the input of running agents, and other episodes of the batch, change nothing."""
    once = Course(played.states, played.ts, played.observed)
    for one, other in zip(jax.tree.leaves(once), jax.tree.leaves(played.again), strict=True):
        exact = not np.issubdtype(one.dtype, np.floating)
        same = np.array_equal(one, other) if exact else np.allclose(one, other, equal_nan=True, **FLOATS)
        _demand(env, same, "the input of agents that are running, or another episode, changed what happened")


def check_end(env: Environment, played: Played) -> None:
    """Check that one of `terminal` and `truncated` ends an episode at the horizon at the latest, for good."""
    states, ts = played.states, played.ts
    _demand(env, not (ts.terminal & ts.truncated).any(), "an end is both terminal and truncated")
    finished = ts.terminal | ts.truncated
    _demand(env, finished[env.horizon :].all(), f"an episode goes on after the horizon of {env.horizon} steps")
    at_limit = (ts.time == env.horizon) & ~ts.terminal
    _demand(env, np.array_equal(ts.truncated, at_limit), "truncated must be the time limit, and nothing else")
    _demand(env, np.array_equal(ts.time[1:], ts.time[:-1] + ~finished[:-1]), "time must count the steps taken")
    stays = np.nonzero(finished[:-1])
    repeated = ts.replace(reward=np.zeros_like(ts.reward))
    for before, after in (
        *zip(jax.tree.leaves(states), jax.tree.leaves(states), strict=True),
        *zip(jax.tree.leaves(repeated), jax.tree.leaves(ts), strict=True),
    ):
        exact = not np.issubdtype(before.dtype, np.floating)  # floats may be NaN, and stay NaN
        same = np.array_equal(before[:-1][stays], after[1:][stays], equal_nan=not exact)
        _demand(env, same, "something changes after the end")
    returns = np.cumsum(ts.reward, axis=0)
    close = np.allclose(states.episode_return, returns, rtol=1e-5, atol=1e-3)
    _demand(env, close, "episode_return must be the sum of rewards")


CHECKS: tuple[Callable[[Environment, Played], None], ...] = (
    check_numbers,
    check_padding_and_choice,
    check_actions_of_options,
    check_script,
    check_reset,
    check_independence,
    check_end,
    check_running,
)
