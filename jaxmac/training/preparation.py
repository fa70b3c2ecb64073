"""Before a run compiles: its arguments are checked, its programs are built, and config.json is put together."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
from rich.console import Console

from jaxmac.arguments import check_function, check_path, check_positive, check_switches
from jaxmac.config import settings_of, without_effect
from jaxmac.envs.environment import Environment
from jaxmac.errors import bytes_in_words
from jaxmac.processes.collective import is_distributed, is_main_process, raise_on_all, refuse_differences
from jaxmac.runs.checkpoint import KEPT_CHECKPOINTS
from jaxmac.runs.contents import plain_digest
from jaxmac.runs.digests import run_identity
from jaxmac.runs.directory import FORMAT, RunDirectory, versions
from jaxmac.runs.environments import environment_sizes
from jaxmac.runs.exact import json_description, json_value
from jaxmac.runs.members import MemberSpec, group_members, make_members, refuse_unless_restorable, settings_of_run
from jaxmac.runs.plugins import SCRIPT, plugins_of_run, versions_of
from jaxmac.runs.rows import refuse_taken_names
from jaxmac.runs.sinks import check_sinks, new_log_id
from jaxmac.training.cache import use_compilation_cache
from jaxmac.training.checks import (
    check_contract,
    check_counts,
    check_mixers,
    check_sizes,
    environment_of,
    exact_options,
    refuse_too_many_members,
)
from jaxmac.training.memory import refuse_if_too_large
from jaxmac.training.program import Program
from jaxmac.training.session import StopWhen

MOST_FREQUENT = 0.75  # of train_freq: updates with a shorter period are worth a note
FEW_LEFT = 0.05  # of the decay of an exploration rate, which is not worth a note


@dataclass(frozen=True)
class Request:
    """What a run is asked to be: the arguments of `jaxmac.train`, which describes them, but for `progress`."""

    algorithm: str
    env: str | Environment
    preset: str
    seeds: int | Sequence[int]
    episodes: int
    env_options: dict[str, Any] | None
    sweep: dict[str, Sequence[Any]] | None
    out: str | os.PathLike | None
    overwrite: bool
    chunk: int | None
    checkpoint_every: int
    checkpoint_replay: bool
    log: str | Sequence[str]
    check_environment: bool
    compilation_cache: bool
    stop_when: StopWhen | None = None
    hyperparameters: dict[str, Any] = field(default_factory=dict)

    @property
    def env_id(self) -> str | None:
        """The id of the environment; None for an instance."""
        return self.env if isinstance(self.env, str) else None


class Prepared(NamedTuple):
    """A run whose arguments are checked; nothing is compiled or written yet."""

    env: Environment
    specs: list[MemberSpec]
    programs: list[Program]
    config: dict[str, Any]  # the content of config.json
    on_disk: int  # bytes that its files need at most


def prepare(request: Request, console: Console) -> Prepared:
    """Check what is asked for, print the size of the run on `console` and build its programs.

    Raises what `train` raises before it compiles.
    """
    with raise_on_all():
        environment = environment_of(request.env, request.env_options)
        _check_arguments(request)
        RunDirectory(request.out, is_main_process()).check(request.overwrite)
        digest = _instance_digest(environment, request.env_id)  # before it is played
        specs = _members(request, environment)
        check_sizes(specs)
        check_contract(environment, request.check_environment)
        check_mixers(request.algorithm, (spec.config for spec in specs), request.check_environment)
        sinks = check_sinks(request.log, request.out) if is_main_process() else []
        if request.compilation_cache:
            use_compilation_cache()
        groups, algorithm = group_members(specs), request.algorithm
        programs = [Program(algorithm, environment, group, env_id=request.env_id) for group in groups]
        config = _config_of(request, environment, digest, specs, sinks)
        config["diagnostics"] = _diagnostics(algorithm, programs)
        for spec in specs:
            refuse_taken_names(algorithm, config["diagnostics"], settings_of(type(spec.config)))
        if SCRIPT in config["plugins"] and request.out is not None:
            console.print(
                "note: parts that a script or notebook registers must be registered before the run is opened"
            )
        on_disk = announce(
            console, algorithm, environment, specs, programs, request.episodes, request.checkpoint_replay
        )
    for note in _without_effect(request, specs):
        console.print(f"note: {note}")
    config["identity"] = run_identity(config)
    refuse_unless_restorable(config, specs)
    _refuse_other_arguments(config, request.chunk, request.log)
    return Prepared(environment, specs, programs, config, on_disk)


def _without_effect(request: Request, specs: list[MemberSpec]) -> list[str]:
    """What to say of settings that were asked for and that no member reads."""
    asked = {*request.hyperparameters, *(request.sweep or {})}
    unread = [without_effect(spec.config) for spec in specs]
    shared = [name for name in unread[0] if name in asked and all(name in found for found in unread)]
    reasons = {name: dict.fromkeys(found[name] for found in unread) for name in shared}
    return [f"{name} has no effect: {', or '.join(why)}" for name, why in reasons.items()]


def _check_arguments(request: Request) -> None:
    """Raise a one-line ValueError for counts, switches and a path of the wrong kind."""
    check_positive("episodes", request.episodes)
    check_positive("chunk", 1 if request.chunk is None else request.chunk)
    check_positive("checkpoint_every", request.checkpoint_every)
    names = ("overwrite", "checkpoint_replay", "compilation_cache", "check_environment")
    check_switches(**{name: getattr(request, name) for name in names})
    if request.out is not None:
        check_path("out", request.out)
    check_function("stop_when", request.stop_when)


def _members(request: Request, env: Environment) -> list[MemberSpec]:
    """The members of the run: every seed with every combination of swept values."""
    settings = request.preset, request.hyperparameters, request.seeds, request.sweep
    refuse_too_many_members(request.algorithm, env, request.env_id, *settings)
    return make_members(request.algorithm, env, *settings)


def _config_of(
    request: Request, env: Environment, env_digest: str, specs: list[MemberSpec], sinks: list[str]
) -> dict[str, Any]:
    """The content of config.json, without the run's identity."""
    has_id, sweep = request.env_id is not None, request.sweep or {}
    of_run = request.algorithm, [spec.config for spec in specs], request.env_id
    return {
        "format": FORMAT,
        "status": "running",
        "algorithm": request.algorithm,
        "env": env.name,
        "env_options": exact_options(request.env_options) if has_id else json_description(env.options),
        "env_rebuildable": has_id,
        "env_digest": env_digest,
        "env_settings": json_description(env.options),
        "env_sizes": environment_sizes(env),
        "preset": request.preset,
        "seeds": list(dict.fromkeys(spec.seed for spec in specs)),
        "episodes": int(request.episodes),
        "sweep": {name: list(dict.fromkeys(spec.swept[name] for spec in specs)) for name in sweep},
        "hyperparameters": {n: vars(specs[0].config)[n] for n in request.hyperparameters if n not in sweep},
        "settings": settings_of_run(specs),
        "plugins": plugins_of_run(*of_run, sinks),
        "optimal_return": env.optimal_return,
        "checkpoint_every": int(request.checkpoint_every),
        "checkpoint_replay": bool(request.checkpoint_replay),
        "log": sinks,
        "log_id": new_log_id() if sinks else None,
        "versions": versions() | versions_of(plugins_of_run(*of_run, [])),
        "backend": jax.default_backend(),
        "key_type": jax.config.jax_default_prng_impl,  # type: ignore[attr-defined]
    }


def _diagnostics(algorithm: str, programs: list[Program]) -> list[str]:
    """The diagnostics of a run; ValueError, in one line, if they differ between its groups."""
    first, *others = (list(program.algorithm.diagnostics) for program in programs)
    if other := next((found for found in others if found != first), None):
        raise ValueError(
            f"algorithm {algorithm!r} has the diagnostics {first} with some of the swept values and {other} with "
            "others: they are columns of one file and must be the same"
        )
    return first


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
        f"{jax.device_count()} {jax.default_backend()} device(s){processes}, "
        f"{bytes_in_words(largest.total)} of memory"
    )
    share = program.share
    refuse_if_too_large(int(largest.total * share), program.padded * share, program.config, largest.replay)
    starts = max(program.first_learning_iteration * program.config.num_envs for program in programs)
    if starts >= episodes:
        console.print(f"note: nothing is learned in the first {starts} episodes (learning_starts, batch_size)")
    elif text := next(filter(None, (_unfinished_exploration(spec.config, episodes) for spec in specs)), ""):
        console.print(f"note: {text}")
    if text := next(filter(None, (_other_period(spec.config, env.horizon) for spec in specs)), ""):
        console.print(f"note: {text}")
    if any(_chains_in_windows(spec.config) for spec in specs):
        console.print("note: with td_lambda, returns end at the trajectory's last row (trajectory_unit, max_rows)")
    learners = sum(footprint.learners for footprint in footprints)
    replays = sum(f.replay * program.padded for f, program in zip(footprints, programs, strict=True))
    # Space for the kept checkpoints and the one being written; replays compress well, learners do not.
    return (KEPT_CHECKPOINTS + 1) * (learners + (replays // 4 if replay else 0)) + 10**7


def _unfinished_exploration(config: Any, episodes: int) -> str:
    """What to say of an exploration rate that is far from its end when training ends; "" for others."""
    start, end, decay = config.epsilon_start, config.epsilon_end, config.epsilon_episodes
    begins = getattr(config, "learning_starts", 0)
    left = 1 - max(episodes - begins, 0) / max(decay, 1.0)
    if start <= end or left < FEW_LEFT:
        return ""
    reached, last = end + min(left, 1.0) * (start - end), begins + decay
    return f"epsilon is {reached:.2g} at the end; with epsilon_episodes={decay:g} it is {end:.2g} from {last:g} on"


def _other_period(config: Any, horizon: int) -> str:
    """What to say of updates that are much more frequent than `train_freq` asks for; "" for others."""
    asked = getattr(config, "train_freq", 0)
    nominal = config.num_envs * horizon
    period = nominal / math.ceil(nominal / asked) if asked else 0.0
    if period >= MOST_FREQUENT * asked:
        return ""
    copied = ", and target_steps counts each of them as train_freq" if getattr(config, "target_steps", 0) else ""
    whole = f"an iteration has {nominal} nominal primitive steps (num_envs x horizon) and whole updates"
    return (
        f"there is an update per {round(period, 1):g} primitive steps, not per train_freq={asked}: {whole}{copied}"
    )


def _chains_in_windows(config: Any) -> bool:
    """Whether a config has lambda-returns over trajectories that are shorter than episodes."""
    is_window = getattr(config, "trajectory_unit", "episode") != "episode" or getattr(config, "max_rows", 0)
    return bool(is_window) and getattr(config, "td_lambda", 0.0) > 0.0


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
