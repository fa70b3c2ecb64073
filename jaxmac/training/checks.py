"""Checks of the arguments of training, made before anything compiles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

from jaxmac import envs
from jaxmac.algorithms.base import Collection
from jaxmac.envs.environment import Environment
from jaxmac.envs.testing import ContractError, check_environment
from jaxmac.runs.members import MemberSpec, is_integer

LARGEST_COUNT = 2_000_000_000  # what a counter on a device, an int32, may reach


def environment_of(env: str | Environment, env_options: Mapping[str, Any] | None) -> Environment:
    """The environment with this id and these options, or the instance itself.

    Raises ValueError, in one line, for an unknown id or option, or options of an instance.
    """
    if isinstance(env, Environment):
        if env_options:
            raise ValueError("env_options go with an environment id, not with an Environment instance")
        return env
    return envs.make(env, **(env_options or {}))


_checked: WeakKeyDictionary[type, set[str]] = WeakKeyDictionary()  # class -> the attributes of what was checked
WRAPPERS = ("jaxmac.envs.adapters", "jaxmac.envs.options")  # their environments are made of parts from outside


def check_contract(env: Environment, wanted: bool) -> None:
    """Check, if `wanted`, that an environment that is not the library's own keeps its contract.

    It plays random episodes, which takes seconds, mostly to compile them; environments of the same class and with
    the same attributes are checked once in a process. Raises `jaxmac.envs.ContractError`, a ValueError of one line.
    """
    kind, attributes = type(env), repr(sorted(vars(env).items()))
    is_own = kind.__module__.startswith("jaxmac.envs.") and not kind.__module__.startswith(WRAPPERS)
    if not wanted or is_own or attributes in _checked.get(kind, ()):
        return
    try:
        check_environment(env)
    except ContractError as error:
        skip = "check_environment=False (--no-check-environment) trains nevertheless"
        raise ContractError(f"{error}; {skip}") from error
    _checked.setdefault(kind, set()).add(attributes)


def check_positive(name: str, value: Any) -> None:
    """Raise a one-line ValueError unless `value` is a positive integer."""
    if not is_integer(value) or value < 1:
        raise ValueError(f"{name}={value!r} is out of range; allowed: >= 1")


def check_sizes(specs: list[MemberSpec]) -> None:
    """Raise a one-line ValueError if a batch or the episodes of an iteration do not fit in the replay."""
    for spec in specs:
        capacity = spec.config.replay_episodes
        for name in ("batch_size", "num_envs"):
            value = getattr(spec.config, name)
            if value > capacity:
                raise ValueError(f"{name}={value} is larger than the replay; allowed: <= {capacity}")


def check_counts(env: Environment, config: Any, collection: Collection, streams: int, episodes: int) -> None:
    """Raise a one-line ValueError if a counter on the device could wrap around in a run of `episodes`.

    The device counts iterations, episodes and updates over the whole run and primitive steps between evaluations.
    """
    allowed = f"allowed: <= {LARGEST_COUNT:,}"
    if episodes > LARGEST_COUNT:
        raise ValueError(f"episodes={episodes} is out of range; allowed: <= {LARGEST_COUNT}")
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
