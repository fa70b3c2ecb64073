"""The Python loop around compiled chunks: checks, progress, metrics, interruption."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from rich.console import Console

import envs
from envs.environment import Environment
from jaxmac.checkpoint import save_learners
from jaxmac.members import MemberSpec, group_members, make_members, seed_list
from jaxmac.memory import refuse_if_too_large
from jaxmac.program import Program
from jaxmac.progress import Reporter
from jaxmac.result import Result
from jaxmac.rundir import FORMAT, RunDirectory, versions


class NonFiniteLossError(RuntimeError):
    """A loss is not finite; the message names member, update and metric."""


def train(
    algorithm: str,
    env: str | Environment = "BoxPushing-10",
    *,
    preset: str = "tuned",
    seeds: int | Sequence[int] = 8,
    episodes: int = 5_000,
    env_options: dict[str, Any] | None = None,
    sweep: dict[str, Sequence[Any]] | None = None,
    out: str | os.PathLike | None = None,
    overwrite: bool = False,
    chunk: int | None = None,
    progress: bool = True,
    **hyperparameters: Any,
) -> Result:
    """Train seeds x swept values together and return a Result.

    Args:
        algorithm: an id of `jaxmac.list_algorithms()`.
        env: an environment id, or an Environment (which `load` then asks for).
        preset: "tuned" or "paper" (or others the algorithm has).
        seeds: a number n (seeds 0..n-1) or a list.
        episodes: training episodes per member, random ones at the start included.
        env_options: constructor options of the environment.
        sweep: hyperparameter -> values; every combination runs with every seed. Traced ones share one program.
        out: run directory; None writes nothing.
        overwrite: replace a run that `out` already holds.
        chunk: iterations per compiled call (None: one evaluation interval); never changes the numbers.
        progress: show progress.
        **hyperparameters: fields of the algorithm's config.

    Raises:
        ValueError: anything unknown or out of range, in one line, before compiling.
        MemoryError: the run does not fit; says what would.
        OSError: the run directory cannot be used or written.
        NonFiniteLossError: a loss is not finite; what was written stays.
    """
    environment = _environment(env, env_options)
    if isinstance(episodes, bool) or not isinstance(episodes, int) or episodes < 1:
        raise ValueError(f"episodes={episodes!r} is out of range; allowed: >= 1")
    if chunk is not None and chunk < 1:
        raise ValueError(f"chunk={chunk!r} is out of range; allowed: >= 1")
    specs = make_members(algorithm, environment, preset, hyperparameters, seeds, sweep)
    _check_replay(specs)
    console = Console(stderr=True, quiet=not progress, highlight=False, soft_wrap=True)
    programs = [Program(algorithm, environment, group, None) for group in group_members(specs)]
    footprints = [program.footprint() for program in programs]
    worst = max(range(len(programs)), key=lambda i: footprints[i].total)
    console.print(
        f"{algorithm} on {environment.name}: {len(specs)} members, {episodes} episodes each, "
        f"{len(jax.local_devices())} {jax.default_backend()} device(s), {_size(footprints[worst].total)} of memory"
    )
    refuse_if_too_large(
        footprints[worst].total, programs[worst].padded, programs[worst].config, footprints[worst].replay
    )
    config = {
        "format": FORMAT,
        "status": "running",
        "algorithm": algorithm,
        "env": environment.name,
        "env_options": dict(environment.options if isinstance(env, Environment) else env_options or {}),
        "env_rebuildable": not isinstance(env, Environment),
        "preset": preset,
        "seeds": seed_list(seeds),
        "episodes": episodes,
        "sweep": {name: list(values) for name, values in (sweep or {}).items()},
        "hyperparameters": hyperparameters,
        "settings": vars(specs[0].config),
        "optimal_return": environment.optimal_return,
        "versions": versions(),
        "backend": jax.default_backend(),
    }
    directory = RunDirectory(out)
    directory.create(config, list(sweep or {}), overwrite, 2 * sum(f.learners for f in footprints) + 10**7)
    rows, status = _run(programs, specs, episodes, chunk, directory, console, config)
    return _finish(rows, status, programs, specs, environment, directory, config)


def _environment(env: str | Environment, env_options: dict[str, Any] | None) -> Environment:
    if isinstance(env, Environment):
        if env_options:
            raise ValueError("env_options go with an environment id, not with an Environment instance")
        return env
    return envs.make(env, **(env_options or {}))


def _check_replay(specs: list[MemberSpec]) -> None:
    for spec in specs:
        config = spec.config
        if config.batch_size > config.replay_episodes:
            raise ValueError(
                f"batch_size={config.batch_size} is larger than the replay; allowed: <= {config.replay_episodes}"
            )
        if config.num_envs > config.replay_episodes:
            raise ValueError(
                f"num_envs={config.num_envs} is larger than the replay; allowed: <= {config.replay_episodes}"
            )


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def _run(
    programs: list[Program],
    specs: list[MemberSpec],
    episodes: int,
    chunk: int | None,
    directory: RunDirectory,
    console: Console,
    config: dict[str, Any],
) -> tuple[list[dict[str, Any]], str]:
    """All groups, one after the other; returns every metrics row and how it ended."""
    rows: list[dict[str, Any]] = []
    try:
        for number, program in enumerate(programs):
            label = f"group {number + 1}/{len(programs)}, " if len(programs) > 1 else ""
            console.print(f"{label}compiling ... ", end="")
            console.print(f"{program.compile():.1f} s")
            _train_group(program, episodes, chunk, directory, rows, console)
    except KeyboardInterrupt:
        console.print("interrupted: metrics up to the last evaluation are kept")
        return rows, "interrupted"
    except NonFiniteLossError:
        directory.write_config({**config, "status": "non-finite loss"})
        raise
    return rows, "finished"


def _train_group(
    program: Program,
    episodes: int,
    chunk: int | None,
    directory: RunDirectory,
    rows: list[dict[str, Any]],
    console: Console,
) -> None:
    per_iteration = program.trainer.episodes_per_iteration
    total = -(-episodes // per_iteration)
    interval = -(-program.config.eval_every // per_iteration)
    reporter = Reporter(console, total, per_iteration, len(program.specs))
    done, warned = 0, False
    with reporter:
        while True:
            fresh = program.evaluate(done)
            directory.append(fresh)
            rows.extend(fresh)
            _refuse_non_finite(program, directory)
            if program.dropped and not warned:
                warned = True
                reporter.note(
                    f"note: max_rows={program.config.max_rows} makes some windows start later "
                    f"({program.dropped} early rows left out so far, never a reward of the rows kept)"
                )
            reporter.update(done, fresh)
            if done >= total:
                return
            following = min(done + interval, total)
            program.advance(done, following, chunk or interval)
            done = following


def _refuse_non_finite(program: Program, directory: RunDirectory) -> None:
    for spec, update in zip(program.specs, program.broken, strict=True):
        if update >= 0:
            kept = f"; what was written stays in {directory.path}" if directory.path else ""
            values = "".join(f", {name}={value}" for name, value in spec.swept.items())
            raise NonFiniteLossError(
                f"member {spec.index} (seed {spec.seed}{values}): loss is not finite at update {update}{kept}"
            )


def _finish(
    rows: list[dict[str, Any]],
    status: str,
    programs: list[Program],
    specs: list[MemberSpec],
    env: Environment,
    directory: RunDirectory,
    config: dict[str, Any],
) -> Result:
    """Write what a run leaves behind and gather its Result."""
    started = all(hasattr(program, "members") for program in programs)
    learners = [program.learners() for program in programs] if started else None
    config = {**config, "status": status, "finished": time.strftime("%Y-%m-%dT%H:%M:%S")}
    members = [{"seed": spec.seed, **spec.swept} for spec in specs]
    result = Result(stack_metrics(rows, len(specs)), members, config, env, directory.path, status, specs, learners)
    if directory.path is not None:
        if learners is not None:
            save_learners(directory.path, learners)
        directory.write_config(config)
        if result.metrics:
            result.plot(directory.path / "curve.png")
    return result


def stack_metrics(rows: list[dict[str, Any]], members: int) -> dict[str, np.ndarray]:
    """Rows to arrays `[evaluations, members]`, as many evaluations as every member has."""
    by_member = [[row for row in rows if row["member"] == member] for member in range(members)]
    count = min(len(found) for found in by_member)
    if not count:
        return {}
    names = [name for name in rows[0] if name not in ("member", "seed")]
    return {name: np.array([[found[e][name] for found in by_member] for e in range(count)]) for name in names}


def use_cpu_devices(count: int) -> None:
    """Split the CPU into `count` JAX devices, over which members are spread; one per core is best.

    Call it before anything else touches JAX. Raises RuntimeError when JAX has already started.
    """
    if count < 1:
        raise ValueError(f"count={count} is out of range; allowed: >= 1")
    try:
        jax.config.update("jax_num_cpu_devices", count)
    except RuntimeError:
        if len(jax.devices("cpu")) != count:
            raise RuntimeError(
                f"JAX has already started with {len(jax.devices('cpu'))} CPU device(s): call "
                "jaxmac.use_cpu_devices before the first use of JAX (in a notebook: restart, then call it first)"
            ) from None
