"""The table of environments and what is done with it: `register`, `list_ids`, `make`, `env_options`."""

from __future__ import annotations

import difflib
import inspect
import math
import re
from collections.abc import Callable, Iterable, Mapping
from numbers import Integral, Real
from typing import Any, Literal, NamedTuple, get_args, get_origin

from jaxmac.envs.environment import Environment

Presets = Mapping[str, Mapping[str, Any]]


class Entry(NamedTuple):
    """How to build one id."""

    factory: Callable[..., Environment]
    presets: Presets
    listed: bool


_TABLE: dict[str, Entry] = {}
_SIZES: dict[str, str] = {}  # family -> what the number in its ids may be


def register(
    env_id: str, factory: Callable[..., Environment], presets: Presets | None = None, listed: bool = True
) -> None:
    """Add an environment: `factory`'s keyword-only arguments are its options, `presets` names sets of values.

    With `listed` False `make` knows the id but `list_ids` does not show it. Raises ValueError if it is taken.
    """
    if env_id in _TABLE:
        raise ValueError(f"environment id {env_id!r} is registered already")
    _TABLE[env_id] = Entry(factory, presets or {}, listed)


def describe_sizes(family: str, allowed: str) -> None:
    """Say what the number in the ids `FAMILY-NUMBER` may be, for the error about one that is not registered."""
    _SIZES[family] = allowed


def list_ids() -> tuple[str, ...]:
    """The ids `make` knows (and the other sizes between those shown)."""
    return tuple(env_id for env_id, entry in _TABLE.items() if entry.listed)


def make(env_id: str, **options: Any) -> Environment:
    """Build the environment `env_id`; options given here win over those of `preset`, and these over defaults.

    Raises ValueError, in one line, for an unknown id, option or preset, a wrong type or a value out of range.
    """
    entry = _find(env_id)
    known = env_options(env_id)
    for name, value in options.items():
        if name not in known:
            raise ValueError(
                f"{env_id} has no option {name!r}{_nearest(name, known)}; its options are {', '.join(known)}"
            )
        if not _fits(value, known[name][0]):
            raise ValueError(f"{name} is {value!r}, but must be {_describe(known[name][0])}")
    preset = options.pop("preset", None)
    chosen = {**(entry.presets[preset] if preset is not None else {}), **options}
    plain = {name: kind for name, (kind, _) in known.items() if kind in (int, float)}  # also for NumPy's numbers
    chosen = {name: plain.get(name, lambda same: same)(value) for name, value in chosen.items()}
    env = entry.factory(**chosen)
    env.name = env_id
    env.options = {name: chosen.get(name, default) for name, (_, default) in known.items() if name != "preset"}
    return env


def env_options(env_id: str) -> dict[str, tuple[Any, Any]]:
    """Type and default of every option of an environment, from its constructor's signature."""
    entry = _find(env_id)
    parameters = inspect.signature(entry.factory, eval_str=True).parameters.values()
    options = {p.name: (p.annotation, p.default) for p in parameters if p.kind is p.KEYWORD_ONLY}
    if entry.presets:
        options["preset"] = (Literal[tuple(entry.presets)] | None, None)
    return options


def _find(env_id: str) -> Entry:
    if env_id in _TABLE:
        return _TABLE[env_id]
    sized = re.fullmatch(r"([A-Za-z]+)-(-?\d+)(-primitive)?", str(env_id))
    if sized and sized[1] in _SIZES:
        raise ValueError(f"unknown environment {env_id!r}: {_SIZES[sized[1]]}, not {sized[2]}")
    raise ValueError(
        f"unknown environment {env_id!r}{_nearest(str(env_id), list_ids())}; envs.list_ids() lists all"
    )


def _nearest(name: str, known: Iterable[str]) -> str:
    by_lower_case = {k.lower(): k for k in known}
    close = [by_lower_case[k] for k in difflib.get_close_matches(name.lower(), by_lower_case, n=3, cutoff=0.5)]
    return f", did you mean {' or '.join(close)}?" if close else ""


def _fits(value: Any, kind: Any) -> bool:
    """Is `value` of the annotated type? Plain types and choices are tested; constructors check the rest."""
    if get_origin(kind) is Literal:
        return isinstance(value, str) and value in get_args(kind)
    if type(None) in get_args(kind):
        return value is None or any(_fits(value, k) for k in get_args(kind) if k is not type(None))
    if kind in (bool, str):
        return isinstance(value, kind)
    if kind is int:
        return isinstance(value, Integral) and not isinstance(value, bool)
    if kind is float:
        return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    return True


def _describe(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(map(repr, get_args(kind)))
    if type(None) in get_args(kind):
        return " or ".join(_describe(k) for k in get_args(kind) if k is not type(None))
    plain = {bool: "True or False", int: "an integer", float: "a finite number", str: "a string"}
    return plain.get(kind, str(kind))
