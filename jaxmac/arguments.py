"""Checks of arguments that many functions have; each raises ValueError, in one line."""

from __future__ import annotations

import numbers
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeGuard

from jaxmac.envs.arguments import python_value
from jaxmac.envs.environment import Environment
from jaxmac.envs.shapes import one_line

FIGURES = (".png", ".svg", ".pdf")  # formats of the files of figures
PAGE_MARK = '<meta name="generator" content="jaxmac">'  # in the head of every page that jaxmac writes
MARKS = {".png": b"\x89PNG", ".gif": b"GIF8", ".pdf": b"%PDF", ".svg": b"<svg", ".html": PAGE_MARK.encode()}
"""What the files that jaxmac may replace hold in their first bytes, by suffix."""
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


def file_to_write(name: str, value: Any, suffixes: Sequence[str] = ()) -> Path:
    """`value` as the path of a file that can be written; its folder is made if it is missing.

    `suffixes` are what its name may end with; empty: anything. Raises ValueError, in one line, for no path or
    another suffix, OSError for a folder, a place that cannot be written, or a picture or page whose content is none
    that jaxmac writes.
    """
    check_path(name, value)
    path = Path(value)
    if suffixes and path.suffix.lower() not in suffixes:
        raise ValueError(f"{path} must end with one of {', '.join(suffixes)}: its suffix selects the format")
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: give the name of a file")
    _make_folder(path)
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise PermissionError(f"cannot write {path}: permission denied")
    if not may_be_replaced(path):
        raise FileExistsError(f"{path} holds something that jaxmac does not know as its own: choose another name")
    return path


def may_be_replaced(path: Path) -> bool:
    """Whether a file is missing, empty, of a format without a mark, or begins as the files of jaxmac do."""
    mark = MARKS.get(path.suffix.lower())
    if mark is None or not path.is_file():
        return True
    with path.open("rb") as file:
        head = file.read(1000)
    return not head or mark in head


def _make_folder(path: Path) -> None:
    """Make the folder of a file; OSError, in one line, if that cannot be."""
    for parent in path.parents:
        if parent.exists() and not parent.is_dir():
            raise NotADirectoryError(f"cannot write {path}: {parent} is a file, not a folder")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"cannot write {path}: {error.strerror}") from None


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
