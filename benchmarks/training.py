"""Training throughput, and where the time of an iteration goes.

`throughput` runs the program that `jaxmac.train` runs: collect, store, sample, update, members spread over the
devices. `breakdown` times its parts apart, on one device and with the members of that device vmapped, so that
their shares can be compared; parts compiled apart need not add up to the whole.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

import jaxmac
from benchmarks.timing import time_function, timed
from jaxmac.algorithms.base import Progress
from jaxmac.algorithms.value_based import exploration
from jaxmac.members import make_members
from jaxmac.program import Program
from jaxmac.replay import make_replay
from jaxmac.rollout import rollout
from jaxmac.training import EVALUATION, episode_means, example_episode

# The papers' sizes on the tuned preset, and a small replay so that learning starts at once.
PAPER = {"trajectory": 25, "trajectory_unit": "rows", "max_rows": 25, "hidden_size": 64, "batch_size": 64}
SIZES: dict[str, dict[str, Any]] = {"tuned": {}, "paper": PAPER}
EARLY = {"learning_starts": 128, "replay_episodes": 1024}


def build(algorithm: str, env_id: str, size: str, members: int, **changes: Any) -> Program:
    """The program of a run with `members` seeds."""
    hyper = {**SIZES[size], **EARLY, **changes}
    specs = make_members(algorithm, jaxmac.make(env_id), "tuned", hyper, members, None)
    return Program(algorithm, jaxmac.make(env_id), specs, None)


def throughput(
    algorithm: str, env_id: str, size: str, members: int, repeats: int, **changes: Any
) -> dict[str, Any]:
    """Steps and updates per second, summed over members, of whole iterations after learning started."""
    program = build(algorithm, env_id, size, members, **changes)
    config, updates = program.config, program.trainer.updates_per_iteration
    compile_seconds = program.compile()
    done = program.first_learning_iteration
    program.advance(0, done, max(done, 1))

    def iteration() -> Any:
        nonlocal done
        program.advance(done, done + 1, 1)
        done += 1
        return program.members.tally

    program.evaluate(done)  # empties the tally
    timing = timed(iteration, repeats)
    tally = jax.device_get(program.members.tally)
    iterations = repeats + 1
    steps = float(tally.env_steps[:members].sum()) / iterations
    made = float(tally.updates[:members].sum()) / iterations
    return {
        "algorithm": algorithm,
        "env": env_id,
        "size": size,
        "members": members,
        "devices": 1 if program.mesh is None else program.mesh.size,
        **{name: getattr(config, name) for name in ("num_envs", "batch_size", "max_rows", "hidden_size")},
        "nominal_env_steps_per_update": config.num_envs * program.env.horizon / updates,
        "updates_per_iteration_and_member": made / members,
        "live_env_steps_per_second": timing.rate(steps),
        "nominal_env_steps_per_second": timing.rate(members * config.num_envs * program.env.horizon),
        "updates_per_second": timing.rate(made),
        "compile_seconds": compile_seconds,
    }


def breakdown(
    algorithm: str, env_id: str, size: str, members: int, repeats: int, **changes: Any
) -> dict[str, Any]:
    """Milliseconds and shares of an iteration's parts, for `members` on one device.

    The parts: rollout; replay add and all the iteration's samples; all its updates (squeeze, loss, gradient,
    optimiser); evaluation, counted as often as it happens per iteration.
    """
    program = build(algorithm, env_id, size, 1, **changes)
    env, config, algo, updates = program.env, program.config, program.algorithm, program.trainer.updates_per_iteration
    replay = make_replay(
        config.replay_episodes,
        config.batch_size,
        tournament=config.replay_tournament,
        tournament_share=config.tournament_share,
    )
    progress = Progress(jnp.int32(0), jnp.int32(config.learning_starts), jnp.int32(0))
    stream = algo.streams[0]

    def collect(learner: Any, hyper: Any, key: Any) -> Any:
        return rollout(env, algo.behaviour(learner, hyper, stream), key, exploration(config, hyper, progress))

    def store(storage: Any, episodes: Any) -> Any:
        return replay.add(storage, episodes)

    def sample(storage: Any, key: Any) -> Any:
        return replay.sample(key, storage)

    def update(learner: Any, hyper: Any, batch: Any, key: Any) -> Any:
        return algo.update(learner, hyper, {stream: batch}, progress, key)

    def evaluate(learner: Any, hyper: Any, key: Any) -> Any:
        key = jax.random.fold_in(key, EVALUATION)
        return episode_means(env, algo.evaluation(learner, hyper), key, config.eval_episodes, hyper["gamma"])

    def empty(learner: Any, hyper: Any) -> Any:
        return replay.init(example_episode(env, algo.evaluation(learner, hyper)))

    keys = jax.random.split(jax.random.key(0), members)
    hyper = {name: jnp.repeat(values, members) for name, values in program.hyper.items()}
    learner = jax.jit(jax.vmap(algo.init))(keys, hyper)
    episodes = jax.jit(jax.vmap(collect))(learner, hyper, keys)
    add = jax.jit(jax.vmap(store))
    storage = jax.jit(jax.vmap(empty))(learner, hyper)
    for _ in range(math.ceil(config.batch_size / config.num_envs)):
        storage = add(storage, episodes)
    batch = jax.jit(jax.vmap(sample))(storage, keys)
    evaluations = config.num_envs / config.eval_every  # per iteration
    calls = {
        "rollout": (collect, (learner, hyper, keys), 1.0),
        "replay_sample": (sample, (storage, keys), float(updates)),
        "update": (update, (learner, hyper, batch, keys), float(updates)),
        "evaluation": (evaluate, (learner, hyper, keys), evaluations),
    }
    parts = {}
    for name, (function, arguments, times) in calls.items():
        timing = time_function(jax.vmap(function), arguments, repeats)
        parts[name] = _part(timing, times)
    parts["replay_add"] = _part(_time_add(jax.vmap(store), storage, episodes, repeats), 1.0)
    total = sum(part["milliseconds_per_iteration"] for part in parts.values())
    for part in parts.values():
        part["share"] = part["milliseconds_per_iteration"] / total
    return {"algorithm": algorithm, "env": env_id, "size": size, "members": members, "devices": 1, "parts": parts}


def _part(timing: Any, times: float) -> dict[str, float]:
    return {
        "calls_per_iteration": times,
        "milliseconds_per_iteration": 1e3 * times * timing.median,
        "min": 1e3 * times * timing.least,
        "max": 1e3 * times * timing.most,
        "compile_seconds": timing.compile,
    }


def _time_add(store: Callable, storage: Any, episodes: Any, repeats: int) -> Any:
    """Adding gives its storage away, as training does; without that the copy of the storage would be timed."""
    run = jax.jit(store, donate_argnums=0).lower(storage, episodes).compile()

    def call() -> Any:
        nonlocal storage
        storage = run(storage, episodes)
        return storage

    return timed(call, repeats)


def bench_training(env_id: str, quick: bool, say: Callable[[str], None]) -> dict[str, Any]:
    """Throughput at both sizes for one and eight members, and the shares of an iteration."""
    cases = [("avf-qmix", size, members) for size in SIZES for members in (1, 8)]
    cases += [(name, "paper", 8) for name in ("avf-qplex", "avf-vdn")]
    if quick:
        cases = [("avf-qmix", "tuned", 2)]
    rows = []
    for algorithm, size, members in cases:
        rows.append(throughput(algorithm, env_id, size, members, repeats=2 if quick else 3))
        done = rows[-1]
        say(
            f"{algorithm} {size} x {members}: {done['updates_per_second']['median']:,.0f} updates/s, "
            f"{done['live_env_steps_per_second']['median']:,.0f} live steps/s, "
            f"compiled in {done['compile_seconds']:.1f} s"
        )
    parts = []
    for size in ("tuned",) if quick else tuple(SIZES):
        parts.append(breakdown("avf-qmix", env_id, size, 1 if quick else 4, repeats=3))
        shares = ", ".join(f"{name} {part['share']:.0%}" for name, part in parts[-1]["parts"].items())
        say(f"avf-qmix {size}, one iteration: {shares}")
    return {
        "summed_over": "members",
        "rows": rows,
        "breakdown": parts,
        "update_ratio": "nominal_env_steps_per_update = num_envs x horizon / updates per iteration and member",
        "changed_from_preset": {"all": EARLY, **SIZES},
    }
