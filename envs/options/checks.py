"""The checks that a set of options passes before anything is compiled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxmac.envs.environment import LONGEST_HORIZON
from jaxmac.envs.options.option import Option, View
from jaxmac.envs.shapes import described, kind_and_line


def options_per_agent(options: Any, num_agents: int) -> tuple[tuple[Option, ...], ...]:
    """One tuple of options for each agent, from a list for all or one list each; ValueError for anything else."""
    given = list(options) if isinstance(options, Sequence) else [options]
    if given and all(isinstance(option, Option) for option in given):
        return (tuple(given),) * num_agents
    for own in given:
        if not isinstance(own, Sequence) or isinstance(own, str):
            raise ValueError(f"options holds {own!r}, but must be a list of Option, or one such list per agent")
    if len(given) != num_agents:
        raise ValueError(f"options has lists for {len(given)} agents, but the environment has {num_agents}")
    return tuple(map(tuple, given))


def check_options(agent: int, options: tuple[Option, ...], obs_size: int, num_actions: int) -> None:
    """Raise a one-line ValueError unless every function of every option returns what it must."""
    if not options:
        raise ValueError(f"agent {agent} has no option, but must have at least one")
    for option in options:
        if not isinstance(option, Option):
            raise ValueError(f"agent {agent} has {option!r} among its options, but must have Option objects")
    names = [option.name for option in options]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"agent {agent} has two options named {twice!r}, but must have different names")
    for option in options:
        _check_option(f"agent {agent}, option {option.name!r}", option, obs_size, num_actions)


def _check_option(where: str, option: Option, obs_size: int, num_actions: int) -> None:
    limit = option.max_duration
    whole = isinstance(limit, int | np.integer) and not isinstance(limit, bool)
    if limit is not None and not (whole and 1 <= limit <= LONGEST_HORIZON):
        allowed = f"None or an integer of at least 1, at most {LONGEST_HORIZON}"
        raise ValueError(f"{where}: max_duration is {limit!r}, but must be {allowed}")
    try:
        memory = jax.eval_shape(lambda: jax.tree.map(jnp.asarray, option.memory))
    except (TypeError, ValueError):
        raise ValueError(f"{where}: memory is {option.memory!r}, but must be a pytree of arrays") from None
    key = jax.eval_shape(lambda: jax.random.key(0))
    like: Any = jax.ShapeDtypeStruct
    view = View(like((obs_size,), jnp.float32), like((num_actions,), bool), like((), jnp.int32), memory, key)
    if option.remember is not None:
        result = _shapes(where, option, "remember", view)
        if described(result) != described(memory):
            mismatch = f"gives {described(result)}, but must give what `memory` is, {described(memory)}"
            raise ValueError(f"{where}: remember {mismatch}")
    action = _shapes(where, option, "policy", view, range(num_actions))
    if _kind(action) != "integer":
        mismatch = f"gives {described(action)}, but must give an integer scalar, the action 0 to {num_actions - 1}"
        raise ValueError(f"{where}: policy {mismatch}")
    for function in ("terminates", "can_start"):
        result = _shapes(where, option, function, view)
        if _kind(result) != "bool":
            raise ValueError(f"{where}: {function} gives {described(result)}, but must give a bool scalar")


def _shapes(where: str, option: Option, name: str, view: View, allowed: range | None = None) -> Any:
    """Shapes and dtypes of what a function of the option returns; a constant must be among `allowed`."""
    function = getattr(option, name)
    if not callable(function):
        raise ValueError(f"{where}: {name} is {function!r}, but must be a function of a View")
    constants: list[int] = []

    def called(view: View) -> Any:
        result = function(view)
        if isinstance(result, int | np.integer) and not isinstance(result, bool):
            constants.append(int(result))
        return jax.tree.map(jnp.asarray, result)

    try:
        shapes = jax.eval_shape(called, view)
    except Exception as error:  # of whatever kind: the function is the user's
        raise ValueError(f"{where}: {name} raised {kind_and_line(error)}") from error
    for value in constants:
        if allowed is not None and value not in allowed:
            raise ValueError(f"{where}: {name} gives {value}, but must give an action from 0 to {allowed[-1]}")
    return shapes


def _kind(result: Any) -> str:
    """ "integer" or "bool" for a scalar of that kind, else empty."""
    if not isinstance(result, jax.ShapeDtypeStruct) or result.shape != ():
        return ""
    return "bool" if result.dtype == bool else "integer" if jnp.issubdtype(result.dtype, jnp.integer) else ""
