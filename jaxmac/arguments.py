"""Checks of arguments that many functions have; each raises ValueError, in one line."""

from __future__ import annotations

import numbers
import os
from collections.abc import Sequence
from typing import Any, TypeGuard

from jaxmac.envs.arguments import python_value
from jaxmac.envs.environment import Environment
from jaxmac.envs.shapes import one_line

LARGEST_COUNT = 2_000_000_000  # what a counter on a device, an int32, may reach; it has room to count further


def is_integer(value: Any) -> TypeGuard[int]:
    """Whether `value` is an integer of Python, NumPy or JAX and not a bool."""
    value = python_value(value)
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def check_positive(name: str, value: Any) -> None:
    """Raise a one-line ValueError unless `value` is a positive integer that int32 holds."""
    if not is_integer(value) or value < 1:
        raise ValueError(f"{name} is {one_line(value)}, but must be an integer >= 1")
    if value > LARGEST_COUNT:
        raise ValueError(f"{name} is {one_line(value)}, but must be <= {LARGEST_COUNT}")


def check_switch(name: str, value: Any) -> None:
    """Raise a one-line ValueError unless `value` is True or False: a text such as "no" would count as True."""
    if not isinstance(python_value(value), bool):
        raise ValueError(f"{name} is {one_line(value)}, but must be True or False")


def check_switches(**values: Any) -> None:
    """Raise a one-line ValueError unless every value is True or False."""
    for name, value in values.items():
        check_switch(name, value)


def check_path(name: str, value: Any) -> None:
    """Raise a one-line ValueError unless `value` is a path."""
    if not isinstance(value, str | os.PathLike) or "\0" in str(value):
        raise ValueError(f"{name} is {one_line(value)}, but must be a path")


def check_function(name: str, value: Any) -> None:
    """Raise a one-line ValueError unless `value` is a function or None."""
    if value is not None and not callable(value):
        raise ValueError(f"{name} is {one_line(value)}, but must be a function or None")


def check_names(name: str, value: Any) -> None:
    """Raise a one-line ValueError unless `value` is a sequence of texts."""
    if isinstance(value, str) or not isinstance(value, Sequence) or not all(isinstance(x, str) for x in value):
        raise ValueError(f"{name} is {one_line(value)}, but must be a list of names")


def check_environment_made(env: Any) -> None:
    """Raise a one-line ValueError unless `env` is an Environment, with a hint for an id."""
    if not isinstance(env, Environment):
        hint = f" such as jaxmac.make({env!r})" if isinstance(env, str) else ""
        raise ValueError(f"env is {one_line(env)}, but must be an Environment{hint}")
