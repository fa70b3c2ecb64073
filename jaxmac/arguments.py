"""Checks of arguments that many functions have; each raises ValueError, in one line."""

from __future__ import annotations

import numbers
from typing import Any, TypeGuard

from jaxmac.envs.arguments import python_value

LARGEST_COUNT = 2_000_000_000  # what a counter on a device, an int32, may reach


def is_integer(value: Any) -> TypeGuard[int]:
    """Whether `value` is an integer of Python, NumPy or JAX and not a bool."""
    value = python_value(value)
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def check_positive(name: str, value: Any) -> None:
    """Raise a one-line ValueError unless `value` is a positive integer that int32 holds."""
    if not is_integer(value) or value < 1:
        raise ValueError(f"{name}={value!r} is out of range; allowed: >= 1")
    if value > LARGEST_COUNT:
        raise ValueError(f"{name}={value!r} is out of range; allowed: <= {LARGEST_COUNT}")


def check_switch(name: str, value: Any) -> None:
    """Raise a one-line ValueError unless `value` is True or False: a text such as "no" would count as True."""
    if not isinstance(python_value(value), bool):
        raise ValueError(f"{name}={value!r}: expected True or False")
