"""Where the time and the memory of one training iteration go.

The parts are compiled and timed apart, on one device with the members of that device, so that their shares can be
compared. They need not add up to the time of the whole iteration.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jaxmac.algorithms.base import Progress
from jaxmac.bench.timing import Timing, compiled, timed
from jaxmac.record.rollout import rollout
from jaxmac.training.compiled import evaluate_episodes, for_each_member
from jaxmac.training.program import Program


def update_memory(program: Program) -> float:
    """Memory in MiB that the update of one member needs in addition to its arguments."""
    stream = program.algorithm.streams[0]
    arrays = program.members.learner, program.hyper, program.members.replay[stream]
    learner, hyper, storage = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), arrays)
    key = jax.eval_shape(lambda: jax.random.key(0))
    parts = part_functions(program)
    batch = jax.eval_shape(parts["replay_sample"], storage, key)
    lowered = jax.jit(parts["update"]).lower(learner, hyper, batch, key)
    memory: Any = lowered.compile().memory_analysis()
    return round(memory.temp_size_in_bytes / 2**20, 1)


def part_functions(program: Program) -> dict[str, Callable]:
    """The parts of one member's iteration as functions, built as `jaxmac.training.compiled` builds them."""
    env, config, algorithm = program.env, program.config, program.algorithm
    stream = algorithm.streams[0]
    progress = Progress(
        jnp.int32(0), jnp.int32(algorithm.collection.warmup_iterations * config.num_envs), jnp.int32(0)
    )
    replay = algorithm.collection.replay

    def collect(learner: Any, hyper: Any, key: Any) -> Any:
        return rollout(
            env, algorithm.behaviour(learner, hyper, stream), key, algorithm.collection.epsilon(hyper, progress)
        )

    def update(learner: Any, hyper: Any, batch: Any, key: Any) -> Any:
        return algorithm.update(learner, hyper, dict.fromkeys(algorithm.streams, batch), progress, key)

    def evaluate(learner: Any, hyper: Any, key: Any) -> Any:
        return evaluate_episodes(
            env,
            algorithm.evaluation(learner, hyper),
            key,
            config.eval_episodes,
            hyper["gamma"],
            hyper["eval_epsilon"],
        )

    return {
        "rollout": collect,
        "replay_add": replay.add,
        "replay_sample": lambda storage, key: replay.sample(key, storage),
        "update": update,
        "evaluation": evaluate,
    }


def breakdown(program: Program, algorithm: str, size: str, members: int, repeats: int) -> dict[str, Any]:
    """Milliseconds and shares of the parts of an iteration, for `members` members on one device.

    The parts are the rollout, adding to the replay, drawing all batches of the iteration, all its updates (squeeze,
    loss, gradient and optimiser), and the evaluation divided by the number of iterations between evaluations.
    """
    config, updates = program.config, float(program.algorithm.collection.updates)
    run = {name: jax.vmap(function) for name, function in part_functions(program).items()}
    run["update"] = partial(for_each_member, part_functions(program)["update"])
    keys = jax.random.split(jax.random.key(0), members)
    arrays = program.members.learner, program.hyper, program.members.replay[program.algorithm.streams[0]]
    learner, hyper, storage = jax.tree.map(lambda x: jnp.asarray(x[:members]), jax.device_get(arrays))
    episodes = jax.jit(run["rollout"])(learner, hyper, keys)
    batch = jax.jit(run["replay_sample"])(storage, keys)
    calls = {
        "rollout": ((learner, hyper, keys), 1.0),
        "replay_sample": ((storage, keys), updates),
        "update": ((learner, hyper, batch, keys), updates),
        "evaluation": ((learner, hyper, keys), 1 / math.ceil(config.eval_every / config.num_envs)),
    }
    parts = {}
    for name, (arguments, times) in calls.items():
        call, seconds = compiled(run[name], *arguments)
        timing = timed(partial(call, *arguments), repeats)
        parts[name] = _part(timing, times, seconds)
    parts["replay_add"] = _part(_time_add(run["replay_add"], storage, episodes, repeats), 1.0, 0.0)
    total = sum(part["milliseconds_per_iteration"] for part in parts.values())
    for part in parts.values():
        part["share"] = part["milliseconds_per_iteration"] / total
    return {"algorithm": algorithm, "env": program.env.name, "size": size, "members": members, "parts": parts}


def _part(timing: Timing, times: float, compile_seconds: float) -> dict[str, float]:
    """The times of a part that is called `times` times per iteration."""
    return {
        "calls_per_iteration": times,
        "milliseconds_per_iteration": 1e3 * times * timing.median,
        "min": 1e3 * times * timing.fastest,
        "max": 1e3 * times * timing.slowest,
        "compile_seconds": compile_seconds,
    }


def _time_add(add: Callable, storage: Any, episodes: Any, repeats: int) -> Timing:
    """Time adding episodes to the replay. The storage is donated, as in training, so that it is not copied."""
    run, _ = compiled(add, storage, episodes, donate=(0,))

    def call() -> Any:
        nonlocal storage
        storage = run(storage, episodes)
        return storage

    return timed(call, repeats)
