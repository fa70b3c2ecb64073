"""Hyperparameters: frozen dataclasses whose fields know their range and whether they are traced.

A *traced* field is an array in the compiled program, so it can differ between members and be swept without
compiling again. A *static* field shapes the program. Everything is checked before anything compiles.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import numbers
import typing
from typing import Any

import jax.numpy as jnp
import numpy as np


def setting(
    default: Any,
    help: str,
    *,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    choices: tuple[Any, ...] = (),
    traced: bool = False,
) -> Any:
    """A hyperparameter field: its default, meaning and allowed range (`above` is an open lower end)."""
    metadata = {"help": help, "low": low, "high": high, "above": above, "choices": choices, "traced": traced}
    return dataclasses.field(default=default, metadata=metadata)


def nearest(name: str, known: typing.Iterable[str]) -> str:
    """A phrase for an error message: the known names closest to `name`, or all where none is close."""
    known = list(known)
    close = difflib.get_close_matches(str(name), known, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(known)}"


def field_types(config_class: type) -> dict[str, type]:
    """Name -> plain type (int, float, bool or str) of every hyperparameter, in order of definition."""
    hints = typing.get_type_hints(config_class)
    return {field.name: hints[field.name] for field in dataclasses.fields(config_class)}


def traced_fields(config_class: type) -> tuple[str, ...]:
    """Names of the hyperparameters that are arrays in the compiled program."""
    return tuple(f.name for f in dataclasses.fields(config_class) if f.metadata.get("traced"))


def is_switch(field: dataclasses.Field) -> bool:
    """A hyperparameter that is on or off."""
    return isinstance(field.default, bool)


def allowed(field: dataclasses.Field) -> str:
    """The allowed range of a field in words."""
    meta = field.metadata
    if meta["choices"]:
        return "one of " + ", ".join(str(choice) for choice in meta["choices"])
    low = f"> {meta['above']:g}" if meta["above"] is not None else ""
    low = f">= {meta['low']:g}" if meta["low"] is not None else low
    high = f"<= {meta['high']:g}" if meta["high"] is not None else ""
    return " and ".join(part for part in (low, high) if part) or ("True or False" if is_switch(field) else "any")


def _typed(name: str, value: Any, kind: type) -> Any:
    """`value` as `kind`, or a one-line ValueError; an integer is a fine float, a float is no integer."""
    switch = isinstance(value, (bool, np.bool_))
    if kind is bool and switch:
        return bool(value)
    if kind is float and isinstance(value, numbers.Real) and not switch:
        return float(str(value)) if isinstance(value, np.floating) else float(value)
    if kind is int and isinstance(value, numbers.Integral) and not switch:
        return int(value)
    if kind is str and isinstance(value, str):
        return value
    raise ValueError(f"{name}={value!r}: expected {kind.__name__}")


def check(config: Any) -> None:
    """Raise a one-line ValueError naming field, value and allowed range for the first field out of range."""
    for field in dataclasses.fields(config):
        value, meta = getattr(config, field.name), field.metadata
        bad = bool(meta["choices"]) and value not in meta["choices"]
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            bad |= not math.isfinite(value)
            bad |= meta["low"] is not None and value < meta["low"]
            bad |= meta["above"] is not None and value <= meta["above"]
            bad |= meta["high"] is not None and value > meta["high"]
        if bad:
            raise ValueError(f"{field.name}={value!r} is out of range; allowed: {allowed(field)}")


def build(config_class: type, *layers: dict[str, Any]) -> Any:
    """A checked config from layers of values, the later ones winning (preset, then the user's own).

    Raises ValueError for an unknown name, a wrong type or a value out of range.
    """
    kinds = field_types(config_class)
    values: dict[str, Any] = {}
    for layer in layers:
        for name, value in layer.items():
            if name not in kinds:
                raise ValueError(f"unknown hyperparameter {name!r}; {nearest(name, kinds)}")
            values[name] = _typed(name, value, kinds[name])
    config = config_class(**values)
    check(config)
    return config


def hyper_arrays(configs: list[Any]) -> dict[str, jnp.ndarray]:
    """The traced fields of one config per member as arrays `[members]`."""
    names = traced_fields(type(configs[0]))
    return {name: jnp.asarray([getattr(c, name) for c in configs], jnp.float32) for name in names}
