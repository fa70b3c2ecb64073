"""Environment steps per second under random available macro-actions, for several numbers of parallel environments.

An episode that has ended is restarted at once from the initial state of its scan, so every step that is counted was
taken in a running episode. Every field of every TimeStep enters a checksum, so that the compiler cannot remove work
that a learner would need.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array

from jaxmac import envs
from jaxmac.bench.timing import compiled, timed
from jaxmac.envs.environment import Environment, TimeStep
from jaxmac.record.policy import uniform_available

PARALLEL = (1, 4, 16, 64, 256, 1024, 4096, 16384)
QUICK_PARALLEL = (1, 64, 1024)
REFERENCE = {  # steps/s of the papers' own Python environments in one process, without a learner
    "BoxPushing-10": 62_000,
    "Warehouse-S": 71_000,
    "Warehouse-D": 66_000,
    "Warehouse-D1": 67_000,
    "Warehouse-T": 68_000,
    "Warehouse-T1": 50_000,
    "Warehouse-Q": 48_000,
    "CaptureTarget-10": 2_300,
    "CaptureTarget-10-primitive": 4_800,
    "Overcooked-A": 10_400,
    "Overcooked-B": 10_500,
    "Overcooked-C": 9_300,
    "Overcooked-A-primitive": 40_000,
}


def checksum(timestep: TimeStep) -> Array:
    """The sum of all entries of all fields."""
    sums = (jnp.sum(field, dtype=jnp.float32) for field in jax.tree.leaves(timestep))
    return sum(sums, start=jnp.float32(0))


def random_steps(env: Environment, key: Array, steps: int) -> tuple[Array, Array]:
    """Take `steps` random steps in one environment. Returns the number of episodes that ended and the checksum."""
    reset_key, scan_key = jax.random.split(key)
    fresh = env.reset(reset_key)

    def step(loop: tuple, time: Array) -> tuple[tuple, None]:
        previous, ended, total = loop
        is_over = previous[1].terminal | previous[1].truncated
        # Restart before the step: after it, XLA would recompute a costly step for every field that is selected.
        state, before = jax.tree.map(lambda new, old: jnp.where(is_over, new, old), fresh, previous)
        act_key, env_key = jax.random.split(jax.random.fold_in(scan_key, time))
        state, after = env.step(env_key, state, uniform_available(act_key, before.avail))
        ended = ended + (after.terminal | after.truncated)
        return ((state, after), ended, total + checksum(after)), None

    loop = (fresh, jnp.int32(0), checksum(fresh[1]))
    (_, ended, total), _ = jax.lax.scan(step, loop, jnp.arange(steps))
    return ended, total


def sharded(function: Callable, batch: int) -> tuple[Callable, int]:
    """`function` split over all devices if their number divides `batch`, and the number of devices it uses."""
    devices = jax.local_devices()
    if len(devices) == 1 or batch % len(devices):
        return function, 1
    spec = PartitionSpec("batch")
    mesh = Mesh(devices, ("batch",))
    return jax.shard_map(function, mesh=mesh, in_specs=spec, out_specs=spec, check_vma=False), len(devices)


def measure(env_id: str, parallel: int, repeats: int) -> dict[str, Any]:
    """Measure one environment at one number of parallel copies."""
    env = envs.make(env_id)
    steps = max(env.horizon, 20_000 // parallel)  # long enough to be timed reliably
    function, devices = sharded(jax.vmap(partial(random_steps, env, steps=steps)), parallel)
    keys = jax.random.split(jax.random.key(0), parallel)
    run, compile_seconds = compiled(function, keys)
    timing = timed(lambda: run(keys), repeats)
    return {
        "env": env_id,
        "parallel": parallel,
        "devices": devices,
        "steps": parallel * steps,
        "episodes_ended": int(jnp.sum(run(keys)[0])),
        "steps_per_second": timing.rate(parallel * steps),
        "compile_seconds": compile_seconds,
        "reference_steps_per_second": REFERENCE.get(env_id),
    }


def bench_environments(
    env_ids: Sequence[str],
    quick: bool,
    log: Callable[[str], None],
    sizes: Sequence[int] = (),
    section: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Measure every environment at every number of parallel copies; `log` is called with a line for each.

    Returns `section`, a part of a report, which is filled as measurements come; None is a new one.
    """
    section, rows = {} if section is None else section, list[dict[str, Any]]()
    section |= {
        "counted": "steps taken in running episodes; an episode that ends starts again at once",
        "actions": "uniform over the available macro-actions",
        "rows": rows,
    }
    for env_id in env_ids:
        for parallel in sizes or (QUICK_PARALLEL if quick else PARALLEL):
            rows.append(measure(env_id, parallel, repeats=25 if parallel <= 256 else 3 if quick else 5))
            rate = rows[-1]["steps_per_second"]["median"]
            log(f"{env_id} x {parallel}: {rate:,.0f} steps/s")
    return section
