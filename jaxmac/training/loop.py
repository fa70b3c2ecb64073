"""The Python loop around compiled chunks: checks, progress, metrics, interruption."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

import jax
from rich.console import Console

from jaxmac import envs
from jaxmac.envs.environment import Environment
from jaxmac.processes.collective import (
    any_process,
    is_distributed,
    is_main_process,
    is_shared,
    mark_shared,
    raise_on_all,
    refuse_differences,
)
from jaxmac.runs.checkpoint import KEPT_CHECKPOINTS, save_checkpoint, saved_iterations
from jaxmac.runs.directory import FORMAT, RunDirectory, tabulate, versions
from jaxmac.runs.members import MemberSpec, group_members, is_integer, make_members, seed_list
from jaxmac.runs.result import Result, environment_sizes
from jaxmac.runs.sinks import Sink, check_sinks, new_log_id, open_sinks
from jaxmac.training.memory import refuse_if_too_large
from jaxmac.training.program import Program
from jaxmac.training.progress import CtrlC, Reporter, progress_console

UPDATES_PER_CHUNK = 64  # per member: how long Ctrl-C and the progress bar may wait


class TrainingError(RuntimeError):
    """A run that had started could not go on, in one line; what was written stays."""


class NonFiniteLossError(TrainingError):
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
    checkpoint_every: int = 10,
    checkpoint_replay: bool = True,
    log: str | Sequence[str] = (),
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
        chunk: iterations per compiled call (None: about 64 updates); never changes the numbers.
        checkpoint_every: evaluations between checkpoints; one more is written at the end and at Ctrl-C.
        checkpoint_replay: keep the replay in them; without it a run can be judged but not resumed.
        log: "tensorboard", "wandb" or both, besides metrics.csv; needs `out`.
        progress: show progress.
        **hyperparameters: fields of the algorithm's config.

    Raises:
        ValueError: anything unknown or out of range, in one line, before compiling.
        MemoryError: the run does not fit; says what would.
        OSError: the run directory cannot be used.
        NonFiniteLossError: a loss is not finite; what was written stays.
        TrainingError: the disk filled up while training.
    """
    console = progress_console(progress)
    with raise_on_all():
        environment = _environment(env, env_options)
        check_positive("episodes", episodes)
        check_positive("chunk", 1 if chunk is None else chunk)
        check_positive("checkpoint_every", checkpoint_every)
        specs = make_members(algorithm, environment, preset, hyperparameters, seeds, sweep)
        _check_sizes(specs)
        sinks = check_sinks(log, out) if is_main_process() else []
        programs = [Program(algorithm, environment, group, None) for group in group_members(specs)]
        on_disk = announce(console, algorithm, environment, specs, programs, episodes, checkpoint_replay)
    config = {
        "format": FORMAT,
        "status": "running",
        "algorithm": algorithm,
        "env": environment.name,
        "env_options": dict(environment.options if isinstance(env, Environment) else env_options or {}),
        "env_rebuildable": not isinstance(env, Environment),
        "env_sizes": environment_sizes(environment),
        "preset": preset,
        "seeds": seed_list(seeds),
        "episodes": int(episodes),
        "sweep": {name: list(dict.fromkeys(spec.swept[name] for spec in specs)) for name in sweep or {}},
        "hyperparameters": {name: vars(specs[0].config)[name] for name in hyperparameters},
        "settings": vars(specs[0].config),
        "optimal_return": environment.optimal_return,
        "checkpoint_every": int(checkpoint_every),
        "checkpoint_replay": bool(checkpoint_replay),
        "log": sinks,
        "log_id": new_log_id() if sinks else None,
        "versions": versions(),
        "backend": jax.default_backend(),
    }
    asked = {"chunk": chunk, "log": log, "log_id": None, "hyperparameters": None}  # these are among the settings
    refuse_differences(config | asked)
    directory = RunDirectory(out, is_main_process())
    with raise_on_all():
        directory.create(config, list(config["sweep"]), overwrite, on_disk)
    members = [{"seed": spec.seed, **spec.swept} for spec in specs]
    result = Result({}, members, config, environment, directory.path, "running", specs, {})
    train_groups(result, programs, chunk, directory, console)
    return result


def _environment(env: str | Environment, env_options: dict[str, Any] | None) -> Environment:
    if isinstance(env, Environment):
        if env_options:
            raise ValueError("env_options go with an environment id, not with an Environment instance")
        return env
    return envs.make(env, **(env_options or {}))


def check_positive(name: str, value: Any) -> None:
    """Raise a one-line ValueError unless `value` is a positive integer."""
    if not is_integer(value) or value < 1:
        raise ValueError(f"{name}={value!r} is out of range; allowed: >= 1")


def _check_sizes(specs: list[MemberSpec]) -> None:
    for spec in specs:
        held = spec.config.replay_episodes
        for name in ("batch_size", "num_envs"):
            value = getattr(spec.config, name)
            if value > held:
                raise ValueError(f"{name}={value} is larger than the replay; allowed: <= {held}")


def announce(
    console: Console,
    algorithm: str,
    env: Environment,
    specs: list[MemberSpec],
    programs: list[Program],
    episodes: int,
    replay: bool,
) -> int:
    """Say what will run and how much memory it takes; refuse what cannot fit. Returns bytes needed on disk."""
    footprints = [program.footprint() for program in programs]
    largest, program = max(zip(footprints, programs, strict=True), key=lambda pair: pair[0].total)
    processes = f" of {jax.process_count()} processes" if is_distributed() else ""
    console.print(
        f"{algorithm} on {env.name}: {len(specs)} members, {episodes} episodes each, "
        f"{jax.device_count()} {jax.default_backend()} device(s){processes}, {_size(largest.total)} of memory"
    )
    share = program.share
    refuse_if_too_large(int(largest.total * share), program.padded * share, program.config, largest.replay)
    starts = max(program.first_learning_iteration * program.config.num_envs for program in programs)
    if starts >= episodes:
        console.print(f"note: nothing is learned before {starts} episodes (learning_starts, batch_size)")
    learners = sum(footprint.learners for footprint in footprints)
    replays = sum(f.replay * program.padded for f, program in zip(footprints, programs, strict=True))
    # The last checkpoints and the one being written; replays compress well, learners do not.
    return (KEPT_CHECKPOINTS + 1) * (learners + (replays // 4 if replay else 0)) + 10**7


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def train_groups(
    result: Result,
    programs: list[Program],
    chunk: int | None,
    directory: RunDirectory,
    console: Console,
    rows: list[dict[str, Any]] | None = None,
    found: list[Any] | None = None,
) -> None:
    """Train the groups one after the other and fill in the result, whatever ends it.

    `rows` of metrics are there already, `found` are the items of the checkpoints to continue from.
    """
    rows = [] if rows is None else rows
    status, sinks = "failed", []
    try:
        with raise_on_all():
            sinks += open_sinks(directory.path if directory.writes else None, result.config, result.members)
            _log(rows, sinks)
        for number, program in enumerate(programs):
            label = f"group {number + 1}/{len(programs)}, " if len(programs) > 1 else ""
            try:
                console.print(f"{label}compiling ... ", end="")
                console.print(f"{program.compile():.1f} s")
                if found and found[number]:
                    program.restore(found[number])
                _train_group(program, number, result, chunk, directory, rows, sinks, console)
            finally:
                if is_shared(sys.exception()):
                    _checkpoint(result, number, program)
                    learners = program.finish()
                    if learners is not None:
                        result.learners[number] = learners
        status = "finished"
    except KeyboardInterrupt as error:
        status = "interrupted"
        if not is_shared(error):
            raise
        console.print("interrupted: what was learned and the metrics up to the last evaluation are kept")
    except NonFiniteLossError:
        status = "non-finite loss"
        raise
    except OSError as error:
        raise TrainingError(str(error)) from error
    finally:
        _finish(result, rows, status, directory)
        for sink in sinks:
            sink.close()


def _log(rows: list[dict[str, Any]], sinks: list[Sink]) -> None:
    for sink in sinks:
        for row in rows:
            sink.write(row)


def _checkpoint(result: Result, group: int, program: Program) -> None:
    """Write down where a group stands, unless that is written already."""
    if result.path is None:
        return
    with raise_on_all():
        written = is_main_process() and saved_iterations(result.path, group)[-1:] == [program.done]
    if any_process(written):
        return
    items = program.snapshot(result.config["checkpoint_replay"])
    with raise_on_all():
        if items is not None and is_main_process():
            save_checkpoint(result.path, group, program.done, items)


def _finish(result: Result, rows: list[dict[str, Any]], status: str, directory: RunDirectory) -> None:
    result.status = status
    result.metrics = tabulate(rows, [spec.swept for spec in result.specs])
    result.config |= {"status": status, "finished": time.strftime("%Y-%m-%dT%H:%M:%S")}
    with raise_on_all() if status == "finished" else contextlib.suppress(OSError):
        directory.write_config(result.config)
        if directory.writes and rows:
            result.plot(result.path / "curve.png")


def _train_group(
    program: Program,
    group: int,
    result: Result,
    chunk: int | None,
    directory: RunDirectory,
    rows: list[dict[str, Any]],
    sinks: list[Sink],
    console: Console,
) -> None:
    per_iteration = program.config.num_envs
    total = -(-result.config["episodes"] // per_iteration)
    interval = -(-program.config.eval_every // per_iteration)
    chunk = chunk or max(1, UPDATES_PER_CHUNK // program.algorithm.collection.updates)
    reporter = Reporter(console, total, per_iteration, program.done)
    warned = False
    with reporter, CtrlC(reporter.note) as ctrl_c:

        def after_chunk(iterations: int) -> None:
            reporter.advance(iterations)
            ctrl_c.check()

        while True:
            done = program.done
            if program.evaluated < done and (done % interval == 0 or done == total):
                fresh = program.evaluate(done)
                with raise_on_all():
                    directory.append(fresh)
                    rows.extend(fresh)
                    _log(fresh, sinks)
                _refuse_non_finite(program, directory)
                warned = warned or _warn_of_dropped_rows(program, reporter)
                reporter.update(done, fresh)
                if done and done // interval % result.config["checkpoint_every"] == 0:
                    _checkpoint(result, group, program)
            if done >= total:
                return
            program.advance(done, min(done - done % interval + interval, total), chunk, after_chunk)


def _warn_of_dropped_rows(program: Program, reporter: Reporter) -> bool:
    if program.dropped:
        reporter.note(
            f"note: max_rows={program.config.max_rows} shortens some windows "
            f"({program.dropped} early rows left out so far)"
        )
    return bool(program.dropped)


def _refuse_non_finite(program: Program, directory: RunDirectory) -> None:
    for spec, update in zip(program.specs, program.broken, strict=True):
        if update >= 0:
            kept = f"; what was written stays in {directory.path}" if directory.path else ""
            values = "".join(f", {name}={value}" for name, value in spec.swept.items())
            text = f"member {spec.index} (seed {spec.seed}{values}): loss is not finite at update {update}{kept}"
            raise mark_shared(NonFiniteLossError(text))
