"""Checks of the arguments of training, made before anything compiles."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import jax

from jaxmac import envs
from jaxmac.algorithms.base import Collection
from jaxmac.algorithms.registry import check_mixer_of
from jaxmac.arguments import LARGEST_COUNT
from jaxmac.envs.environment import Environment
from jaxmac.envs.shapes import one_line
from jaxmac.envs.testing import ContractError, check_environment
from jaxmac.mixers import MixerError
from jaxmac.runs.contents import attributes_of
from jaxmac.runs.exact import json_value
from jaxmac.runs.members import MemberSpec, make_members, seed_list, values_of_sweep
from jaxmac.training.memory import refuse_if_too_large
from jaxmac.training.program import Program

SKIP = "check_environment=False (--no-check-environment) trains nevertheless"
FEW_MEMBERS = 500  # made and measured within a second; of more, one is measured first


def environment_of(env: str | Environment, env_options: Mapping[str, Any] | None) -> Environment:
    """The environment with this id and these options, or the instance itself.

    Raises ValueError, in one line, for an unknown id or option, options that config.json cannot hold, or options of
    an instance.
    """
    if isinstance(env, Environment):
        if env_options:
            raise ValueError("env_options go with an environment id, not with an Environment instance")
        return env
    return envs.make(env, **exact_options(env_options))


def exact_options(env_options: Mapping[str, Any] | None) -> dict[str, Any]:
    """The options of an environment as config.json holds them: numbers of Python, lists.

    Raises ValueError, in one line, for options that are not a dict of names, or a value that JSON cannot hold.
    """
    if env_options is None:
        return {}
    if not isinstance(env_options, Mapping) or not all(isinstance(name, str) for name in env_options):
        raise ValueError(f"env_options is {one_line(env_options)}, but must be a dict, option -> value")
    return {name: json_value(name, value) for name, value in env_options.items()}


# Class -> the attributes of those of its environments that were checked.
_checked: WeakKeyDictionary[type, set[Hashable]] = WeakKeyDictionary()
WRAPPERS = ("jaxmac.envs.adapters", "jaxmac.envs.options")  # their environments are made of parts from outside


def check_contract(env: Environment, wanted: bool) -> None:
    """Check, if `wanted`, that an environment that is not the library's own keeps its contract.

    It plays random episodes, which takes seconds, mostly to compile them; environments of the same class and with
    the same attributes are checked once in a process. Raises `jaxmac.envs.ContractError`, a ValueError of one line.
    """
    kind = type(env)
    is_own = kind.__module__.startswith("jaxmac.envs.") and not kind.__module__.startswith(WRAPPERS)
    if not wanted or is_own or (attributes := attributes_of(env)) in _checked.get(kind, ()):
        return
    try:
        check_environment(env)
    except ContractError as error:
        raise ContractError(f"{error}; {SKIP}") from error
    _checked.setdefault(kind, set()).add(attributes)


def check_mixers(algorithm: str, configs: Iterable[Any], wanted: bool) -> None:
    """Check, if `wanted`, that a mixer that is not the library's own does what it promises, with these settings.

    Raises `jaxmac.mixers.MixerError`, a ValueError of one line.
    """
    try:
        for config in configs if wanted else ():
            check_mixer_of(algorithm, config)
    except MixerError as error:
        raise MixerError(f"{error}; {SKIP}") from error


def refuse_too_many_members(
    algorithm: str,
    env: Environment,
    env_id: str | None,
    preset: str,
    hyperparameters: Mapping[str, Any],
    seeds: int | Sequence[int],
    sweep: Mapping[str, Sequence[Any]] | None,
) -> None:
    """Raise MemoryError, at once, for far more members than memory holds; the estimate is that of one member.

    The run's own estimate is exact, but takes minutes for a million members. Raises ValueError as `make_members`.
    """
    values = values_of_sweep(sweep)
    chosen = seed_list(seeds)
    if len(chosen) * math.prod(map(len, values.values())) <= FEW_MEMBERS:
        return
    first = {name: found[0] for name, found in values.items()}
    specs = make_members(algorithm, env, preset, {**hyperparameters, **first}, chosen[:1], None)
    program = Program(algorithm, env, specs, env_id=env_id)
    traced = [found for name, found in values.items() if name in program.hyper]
    together = len(chosen) * math.prod(map(len, traced)) // jax.process_count()  # other values train one by one
    footprint = program.footprint()
    refuse_if_too_large(footprint.total * together, together, program.config, footprint.replay)


def check_sizes(specs: list[MemberSpec]) -> None:
    """Raise a one-line ValueError if a batch or the episodes of an iteration do not fit in the replay."""
    for spec in specs:
        check_size(spec.config)


def check_size(config: Any) -> None:
    """Raise a one-line ValueError if a batch or the episodes of an iteration do not fit in the replay, if any."""
    stored = getattr(config, "replay_episodes", math.inf)  # a config from outside may have no replay or batches
    for name in ("batch_size", "num_envs"):
        value = getattr(config, name, 0)
        if value > stored:
            raise ValueError(f"{name} is {value}, but must be <= replay_episodes={stored}")


def check_counts(env: Environment, config: Any, collection: Collection, streams: int, episodes: int) -> None:
    """Raise a one-line ValueError if a counter on the device could wrap around in a run of `episodes`.

    The device counts iterations, episodes and updates over the whole run and primitive steps between evaluations.
    """
    allowed = f"at most {LARGEST_COUNT:,} can be counted"
    if episodes > LARGEST_COUNT:
        raise ValueError(f"episodes is {episodes}, but must be <= {LARGEST_COUNT}")
    updates = -(-episodes // config.num_envs) * collection.updates
    if updates > LARGEST_COUNT:
        raise ValueError(f"episodes={episodes} makes {updates:,} updates; {allowed} (train_freq sets the ratio)")
    steps = most_steps(env, config, streams, min(episodes, config.eval_every))
    if steps > LARGEST_COUNT:
        between = f"counts up to {steps:,} primitive steps between evaluations"
        raise ValueError(f"eval_every={config.eval_every} {between}; {allowed}")


def most_steps(env: Environment, config: Any, streams: int, episodes: int) -> int:
    """The most primitive steps that a member can make in `episodes` training episodes of each stream."""
    return -(-episodes // config.num_envs) * config.num_envs * env.horizon * streams
