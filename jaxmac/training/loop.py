"""`jaxmac.train`: it checks the arguments, writes the run's config and directory, and runs a session."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
from rich.console import Console

from jaxmac.arguments import check_path, check_positive, check_switch, check_switches
from jaxmac.envs.environment import Environment
from jaxmac.processes.collective import is_distributed, is_main_process, raise_on_all, refuse_differences
from jaxmac.runs.checkpoint import KEPT_CHECKPOINTS
from jaxmac.runs.contents import plain_digest
from jaxmac.runs.digests import run_identity
from jaxmac.runs.directory import FORMAT, RunDirectory, versions
from jaxmac.runs.exact import described, json_value
from jaxmac.runs.members import MemberSpec, group_members, make_members, refuse_unless_restorable, settings_of_run
from jaxmac.runs.plugins import SCRIPT, plugins_of_run, versions_of
from jaxmac.runs.result import Result, environment_sizes
from jaxmac.runs.sinks import check_sinks, new_log_id
from jaxmac.training.cache import use_compilation_cache
from jaxmac.training.checks import (
    check_contract,
    check_counts,
    check_sizes,
    environment_of,
    exact_options,
    refuse_too_many_members,
)
from jaxmac.training.interruption import Interruption
from jaxmac.training.memory import refuse_if_too_large
from jaxmac.training.program import Program
from jaxmac.training.progress import progress_console
from jaxmac.training.session import Session


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
    check_environment: bool = True,
    compilation_cache: bool = True,
    **hyperparameters: Any,
) -> Result:
    """Train an algorithm for several seeds and swept values together and return a Result.

    Args:
        algorithm: an id of `jaxmac.list_algorithms()`.
        env: an environment id, or an Environment instance (which `jaxmac.load` then needs as an argument).
        preset: name of a preset of the algorithm, such as "tuned" or "paper".
        seeds: a number n (for the seeds 0 to n - 1) or a list of seeds.
        episodes: training episodes per member, including the random ones at the start.
        env_options: constructor options of the environment.
        sweep: hyperparameter -> values, which take the place of one among `hyperparameters`. Every combination of
            values runs with every seed; all values of traced hyperparameters share one compiled program.
        out: run directory; None writes nothing.
        overwrite: replace a run that is in `out` already.
        chunk: iterations per compiled call (None: about 64 updates). It does not change the results.
        checkpoint_every: evaluations between checkpoints; another one is written at the end and at Ctrl-C.
        checkpoint_replay: store the replay in checkpoints; without it a run can be evaluated but not resumed.
        log: registered sinks that get the metrics besides metrics.csv, such as "tensorboard" or "wandb": a sequence
            of names, or a text with commas. They need `out`.
        progress: show progress on stderr.
        check_environment: whether an environment from outside the library must keep the contract that
            `jaxmac.check_environment` tests. The check takes seconds, once in a process.
        compilation_cache: keep compiled programs in the user's cache directory, so that another process need not
            compile them. It holds for the whole process; JAX's own options, where they are set, take precedence.
        **hyperparameters: settings of the algorithm and its parts, which replace those of the preset.

    Returns:
        The result. Ctrl-C and SIGTERM end the run after the current chunk and give what there is, with the status
        "interrupted": check it in a loop over runs.

    Raises:
        ValueError: something is unknown or out of range, or the environment breaks its contract; raised in one line
            before the run compiles.
        MemoryError: the run does not fit into memory; the message says which settings would.
        OSError: the run directory cannot be used.
        NonFiniteLossError: a loss is not finite; files written so far are kept.
        TrainingError: a file could not be written while training, for example because the disk is full.
    """
    check_switch("progress", progress)
    console = progress_console(progress)
    with Interruption(console.print) as stop:
        with stop.at_once():
            prepared = prepare(
                algorithm,
                env,
                preset=preset,
                seeds=seeds,
                episodes=episodes,
                env_options=env_options,
                sweep=sweep,
                out=out,
                overwrite=overwrite,
                chunk=chunk,
                checkpoint_every=checkpoint_every,
                checkpoint_replay=checkpoint_replay,
                log=log,
                console=console,
                check_environment=check_environment,
                compilation_cache=compilation_cache,
                hyperparameters=hyperparameters,
            )
            specs, config = prepared.specs, prepared.config
            members = [{"seed": spec.seed, **spec.swept} for spec in specs]
        with RunDirectory(out, is_main_process()) as directory:
            with raise_on_all():
                directory.claim(overwrite, prepared.on_disk)
            result = Result({}, members, config, prepared.env, directory.path, "running", specs, {})
            Session(result, directory, console, stop, chunk).run(prepared.programs)
    return result


class Prepared(NamedTuple):
    """A run whose arguments are checked; nothing is compiled or written yet."""

    env: Environment
    specs: list[MemberSpec]
    programs: list[Program]
    config: dict[str, Any]  # the content of config.json
    on_disk: int  # bytes that its files need at most


def prepare(
    algorithm: str,
    env: str | Environment,
    *,
    preset: str,
    seeds: int | Sequence[int],
    episodes: int,
    env_options: dict[str, Any] | None,
    sweep: dict[str, Sequence[Any]] | None,
    out: str | os.PathLike | None,
    overwrite: bool,
    chunk: int | None,
    checkpoint_every: int,
    checkpoint_replay: bool,
    log: str | Sequence[str],
    console: Console,
    check_environment: bool,
    compilation_cache: bool,
    hyperparameters: dict[str, Any],
) -> Prepared:
    """Check the arguments of `train`, print the size of the run on `console` and build its programs.

    Raises what `train` raises before it compiles.
    """
    with raise_on_all():
        environment = environment_of(env, env_options)
        check_positive("episodes", episodes)
        check_positive("chunk", 1 if chunk is None else chunk)
        check_positive("checkpoint_every", checkpoint_every)
        check_switches(
            overwrite=overwrite,
            checkpoint_replay=checkpoint_replay,
            compilation_cache=compilation_cache,
            check_environment=check_environment,
        )
        if out is not None:
            check_path("out", out)
        env_id = env if isinstance(env, str) else None
        env_digest = _instance_digest(environment, env_id)  # before it is played
        refuse_too_many_members(algorithm, environment, env_id, preset, hyperparameters, seeds, sweep)
        specs = make_members(algorithm, environment, preset, hyperparameters, seeds, sweep)
        check_sizes(specs)
        check_contract(environment, check_environment)
        sinks = check_sinks(log, out) if is_main_process() else []
        if compilation_cache:
            use_compilation_cache()
        programs = [Program(algorithm, environment, group, env_id=env_id) for group in group_members(specs)]
        parts = plugins_of_run(algorithm, [spec.config for spec in specs], env_id, [])
        plugins = plugins_of_run(algorithm, [spec.config for spec in specs], env_id, sinks)
        if SCRIPT in plugins and out is not None:
            console.print(
                "note: parts that a script or notebook registers must be registered before the run is opened"
            )
        on_disk = announce(console, algorithm, environment, specs, programs, episodes, checkpoint_replay)
    config: dict[str, Any] = {
        "format": FORMAT,
        "status": "running",
        "algorithm": algorithm,
        "env": environment.name,
        "env_options": exact_options(env_options) if env_id is not None else described(environment.options),
        "env_rebuildable": env_id is not None,
        "env_digest": env_digest,
        "env_settings": described(environment.options),
        "env_sizes": environment_sizes(environment),
        "preset": preset,
        "seeds": list(dict.fromkeys(spec.seed for spec in specs)),
        "episodes": int(episodes),
        "sweep": {name: list(dict.fromkeys(spec.swept[name] for spec in specs)) for name in sweep or {}},
        "hyperparameters": {n: vars(specs[0].config)[n] for n in hyperparameters if n not in (sweep or {})},
        "settings": settings_of_run(specs),
        "plugins": plugins,
        "optimal_return": environment.optimal_return,
        "checkpoint_every": int(checkpoint_every),
        "checkpoint_replay": bool(checkpoint_replay),
        "log": sinks,
        "log_id": new_log_id() if sinks else None,
        "versions": versions() | versions_of(parts),
        "backend": jax.default_backend(),
        "key_type": jax.config.jax_default_prng_impl,  # type: ignore[attr-defined]
    }
    config["identity"] = run_identity(config)
    refuse_unless_restorable(config, specs)
    _refuse_other_arguments(config, chunk, log)
    return Prepared(environment, specs, programs, config, on_disk)


def _instance_digest(env: Environment, env_id: str | None) -> str:
    """The digest of an environment instance; none with several processes, between which attributes may differ."""
    return "" if env_id is not None or is_distributed() else plain_digest(env)


def _refuse_other_arguments(config: dict[str, Any], chunk: int | None, log: str | Sequence[str]) -> None:
    """Raise ValueError unless all processes train the same run with the same arguments."""
    # The settings hold the hyperparameters, and the identity follows from the rest; sinks, and the plugins that
    # they come from, are process 0's alone.
    asked = {"chunk": chunk, "log": log} | dict.fromkeys(("log_id", "hyperparameters", "identity", "plugins"))
    refuse_differences(json_value("config", config | asked))


def announce(
    console: Console,
    algorithm: str,
    env: Environment,
    specs: list[MemberSpec],
    programs: list[Program],
    episodes: int,
    replay: bool,
) -> int:
    """Print the size of a run and return the bytes that it needs on disk.

    Raises ValueError for counts that the device cannot hold, MemoryError if the estimated memory is not available.
    """
    for program in programs:
        streams = len(program.algorithm.streams)
        check_counts(env, program.config, program.algorithm.collection, streams, episodes)
    footprints = [program.footprint() for program in programs]
    largest, program = max(zip(footprints, programs, strict=True), key=lambda pair: pair[0].total)
    processes = f" of {jax.process_count()} processes" if is_distributed() else ""
    console.print(
        f"{algorithm} on {env.name}: {_counted(len(specs), 'member')}, {episodes} episodes each, "
        f"{jax.device_count()} {jax.default_backend()} device(s){processes}, {_size(largest.total)} of memory"
    )
    share = program.share
    refuse_if_too_large(int(largest.total * share), program.padded * share, program.config, largest.replay)
    starts = max(program.first_learning_iteration * program.config.num_envs for program in programs)
    if starts >= episodes:
        console.print(f"note: nothing is learned in the first {starts} episodes (learning_starts, batch_size)")
    if any(_chains_in_windows(spec.config) for spec in specs):
        console.print("note: with td_lambda, returns end at the trajectory's last row (trajectory_unit, max_rows)")
    learners = sum(footprint.learners for footprint in footprints)
    replays = sum(f.replay * program.padded for f, program in zip(footprints, programs, strict=True))
    # Space for the kept checkpoints and the one being written; replays compress well, learners do not.
    return (KEPT_CHECKPOINTS + 1) * (learners + (replays // 4 if replay else 0)) + 10**7


def _chains_in_windows(config: Any) -> bool:
    """Whether a config has lambda-returns over trajectories that are shorter than episodes."""
    is_window = getattr(config, "trajectory_unit", "episode") != "episode" or getattr(config, "max_rows", 0)
    return bool(is_window) and getattr(config, "td_lambda", 0.0) > 0.0


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
