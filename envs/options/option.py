"""What an option is, and the checks that a set of options passes before anything is compiled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array


class View(NamedTuple):
    """All that an option is shown: what its own agent perceives and has done, nothing of the others.

    O and A are the agent's own sizes, without padding.
    """

    obs: Array  # f32 [O]: its observation now
    avail: Array  # bool [A]: the actions it may take now
    elapsed: Array  # i32 []: primitive steps since the option started
    memory: Any  # what the option has remembered (see `Option`)
    key: Array  # for random choices, a new one for every call


def anywhere(view: View) -> bool:
    """The initiation set of an option that can always start."""
    del view
    return True


@dataclass(frozen=True, eq=False)
class Option:
    """A macro-action: JAX functions of a `View`, the same for every agent that has it.

    Attributes:
        name: shown in animations and tables.
        policy: the action now, an integer scalar.
        terminates: after a step, whether the option is over, a bool scalar; `view.elapsed` is at least 1.
        can_start: its initiation set, a bool scalar; `view.elapsed` is 0 and `view.memory` as at the start.
        max_duration: primitive steps after which it is over in any case; None for no limit.
        memory: a pytree of arrays that the option begins with each time it starts.
        remember: the memory after a look at what is there now, called at every step before `policy`; None keeps it.
    """

    name: str
    policy: Callable[[View], Array]
    terminates: Callable[[View], Array]
    can_start: Callable[[View], Array] = anywhere
    max_duration: int | None = None
    memory: Any = ()
    remember: Callable[[View], Any] | None = None


def options_per_agent(options: Any, num_agents: int) -> tuple[tuple[Option, ...], ...]:
    """One tuple of options for each agent, from a list for all or one list each; ValueError for anything else."""
    given = list(options) if isinstance(options, Sequence) else [options]
    if given and all(isinstance(option, Option) for option in given):
        return (tuple(given),) * num_agents
    if not all(isinstance(found, Sequence) and not isinstance(found, str) for found in given):
        wrong = next(found for found in given if not isinstance(found, Sequence) or isinstance(found, str))
        raise ValueError(f"options holds {wrong!r}, but must be a list of Option, or one such list per agent")
    if len(given) != num_agents:
        raise ValueError(f"options has lists for {len(given)} agents, but the environment has {num_agents}")
    return tuple(map(tuple, given))


def check_options(agent: int, options: tuple[Option, ...], obs_size: int, num_actions: int) -> None:
    """Raise a one-line ValueError unless every function of every option gives what it must."""
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
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int | np.integer) or limit < 1):
        raise ValueError(f"{where}: max_duration is {limit!r}, but must be None or an integer of at least 1")
    try:
        memory = jax.eval_shape(lambda: jax.tree.map(jnp.asarray, option.memory))
    except (TypeError, ValueError):
        raise ValueError(f"{where}: memory is {option.memory!r}, but must be a pytree of arrays") from None
    like = jax.ShapeDtypeStruct
    key = jax.eval_shape(lambda: jax.random.key(0))
    view = View(like((obs_size,), jnp.float32), like((num_actions,), bool), like((), jnp.int32), memory, key)
    if option.remember is not None:
        given = _shapes(where, option, "remember", view)
        if _described(given) != _described(memory):
            told = f"gives {_described(given)}, but must give what `memory` is, {_described(memory)}"
            raise ValueError(f"{where}: remember {told}")
    action = _shapes(where, option, "policy", view, range(num_actions))
    if _kind(action) != "integer":
        told = f"gives {_described(action)}, but must give an integer scalar, the action 0 to {num_actions - 1}"
        raise ValueError(f"{where}: policy {told}")
    for function in ("terminates", "can_start"):
        given = _shapes(where, option, function, view)
        if _kind(given) != "bool":
            raise ValueError(f"{where}: {function} gives {_described(given)}, but must give a bool scalar")


def _shapes(where: str, option: Option, name: str, view: View, allowed: range | None = None) -> Any:
    """Shapes and dtypes that a function of the option gives; constants are held to `allowed`."""
    function = getattr(option, name)
    if not callable(function):
        raise ValueError(f"{where}: {name} is {function!r}, but must be a function of a View")
    constants: list[int] = []

    def called(view: View) -> Any:
        given = function(view)
        if isinstance(given, int | np.integer) and not isinstance(given, bool):
            constants.append(int(given))
        return jax.tree.map(jnp.asarray, given)

    try:
        shapes = jax.eval_shape(called, view)
    except Exception as error:  # of whatever kind: the function is the user's
        first = (str(error).strip() or "no message").splitlines()[0]
        raise ValueError(f"{where}: {name} raised {type(error).__name__}: {first}") from error
    for value in constants:
        if allowed is not None and value not in allowed:
            raise ValueError(f"{where}: {name} gives {value}, but must give an action from 0 to {allowed[-1]}")
    return shapes


def _kind(given: Any) -> str:
    """ "integer" or "bool" for a scalar of that kind, else empty."""
    if not isinstance(given, jax.ShapeDtypeStruct) or given.shape != ():
        return ""
    return "bool" if given.dtype == bool else "integer" if jnp.issubdtype(given.dtype, jnp.integer) else ""


def _described(given: Any) -> str:
    """Shape and dtype in a few words, of every leaf if there are several."""
    if isinstance(given, jax.ShapeDtypeStruct):
        return f"{given.dtype}{list(given.shape)}"
    return str(jax.tree.map(_described, given)).replace("'", "")
