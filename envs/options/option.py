"""What an option is, and what it is shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float32, Int, Int32, PRNGKeyArray


class View(NamedTuple):
    """All that an option is shown: what its own agent perceives and has done, nothing of the other agents.

    `obs` and `avail` have the agent's own sizes, without padding. `can_start` sees the same key at every call, as
    an initiation set must not depend on random numbers.
    """

    obs: Float32[Array, "... obs"]  # its observation now
    avail: Bool[Array, "... actions"]  # the actions it may take now
    elapsed: Int32[Array, "..."]  # primitive steps since the option started
    memory: Any  # what the option has remembered (see `Option`)
    key: PRNGKeyArray  # for random choices, a new one for every call, but for `can_start`


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
        terminates: after a step, whether the option is over, a bool scalar; `view.elapsed` is at least 1. Over a
            macro-action that is still running it ends with that.
        can_start: its initiation set, a bool scalar; `view.elapsed` is 0 and `view.memory` as at the start.
        max_duration: primitive steps after which it is over in any case; None for no limit.
        memory: a pytree of arrays, the memory with which the option starts each time.
        remember: the new memory, called at every step before `policy`; None keeps the memory as it is.
    """

    name: str
    policy: Callable[[View], Int[ArrayLike, ""]]
    terminates: Callable[[View], Bool[ArrayLike, ""]]
    can_start: Callable[[View], Bool[ArrayLike, ""]] = anywhere
    max_duration: int | None = None
    memory: Any = ()
    remember: Callable[[View], Any] | None = None
