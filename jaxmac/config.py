"""Hyperparameters: frozen dataclasses whose fields know their range and whether they are traced.

A *traced* field is an array in the compiled program, so it can differ between members and be swept without
compiling again. A *static* field shapes the program. Everything is checked before anything compiles.

An algorithm's config class declares its own settings. Some of them choose a part (a memory, a sampler). `compose`
makes the config class of an algorithm with its parts: its own settings and those of its mixer and chosen parts.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import numbers
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import numpy as np

from jaxmac.envs.arguments import describe, python_value
from jaxmac.envs.shapes import one_line
from jaxmac.errors import close_names, nearest

KINDS: dict[str, type] = {"int": int, "float": float, "bool": bool, "str": str}
LARGEST_INT = 2**31 - 1
ARGUMENTS_OF_TRAIN = {
    *("algorithm", "env", "preset", "seeds", "episodes", "env_options", "sweep", "out", "overwrite", "chunk"),
    *(
        "checkpoint_every",
        "checkpoint_replay",
        "log",
        "progress",
        "check_environment",
        "compilation_cache",
        "stop_when",
    ),
}
Config = TypeVar("Config")


def setting(
    default: Any,
    help: str,
    *,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    choices: Iterable[str] = (),
    chooses: str = "",
    traced: bool = False,
) -> Any:
    """A hyperparameter: a dataclass field with its default, meaning and allowed range.

    Args:
        default: the value where neither a preset nor the user gives one.
        help: one clause for `jaxmac list` and `--help`.
        low: the smallest allowed number.
        high: the largest allowed number.
        above: an exclusive lower bound of the number.
        choices: the allowed values of a text.
        chooses: the kind of part ("memory", "sampler") that the value names. `choices` is then the registry of
            these parts, and the settings of the chosen part join the config.
        traced: whether it is a float32 array in the compiled program, so that members can differ in it and all its
            swept values share one program.
    """
    metadata = {"help": help, "low": low, "high": high, "above": above, "choices": choices}
    return dataclasses.field(default=default, metadata=metadata | {"chooses": chooses, "traced": traced})


def settings_of(part: Any) -> dict[str, dataclasses.Field]:
    """Name -> field of every hyperparameter of a config or part class; other fields of a part are left out."""
    if not dataclasses.is_dataclass(part):
        return {}
    return {field.name: field for field in dataclasses.fields(part) if "traced" in field.metadata}


def check_settings(kind: str, name: str, part: Any, may_trace: bool = True) -> None:
    """Check that the settings of a part can be hyperparameters.

    Raises ValueError, in one line, for a setting of another type than int, float, bool or str, or for a traced one
    that is not a float, has the name of a method of mappings (as `Hyper` is one) or (without `may_trace`) belongs
    to a kind of part whose settings are static, for one that is named like an argument of `jaxmac.train`, which
    nobody could set, for a default out of its range, and for one that is not a field, as its class is not a
    dataclass.
    """
    for field in settings_of(part).values():
        label = f"{kind} {name!r}: its setting {field.name}"
        if field.name in ARGUMENTS_OF_TRAIN:
            raise ValueError(f"{label} has the name of an argument of jaxmac.train: choose another name")
        if field.metadata["traced"] and hasattr(Mapping, field.name):
            raise ValueError(f"{label} is traced, and has the name of a method of mappings: choose another name")
        if _kind_of(field) is None:
            raise ValueError(f"{label} has type {field.type!r}, but must have int, float, bool or str")
        if field.metadata["traced"] and not may_trace:
            raise ValueError(f"{label} is traced, but a {kind} may have static settings only")
        if field.metadata["traced"] and _kind_of(field) is not float:
            raise ValueError(f"{label} is traced and has type {field.type!r}, but must have float")
        if not field.metadata["chooses"]:
            try:
                checked_value(field.name, field, field.default)
            except ValueError as error:
                raise ValueError(f"{kind} {name!r}: the default of a setting: {error}") from None
    for owner in part.__mro__ if isinstance(part, type) else ():
        for attribute, value in vars(owner).items():
            if isinstance(value, dataclasses.Field) and "traced" in value.metadata:
                missing = f"{owner.__name__} is not a dataclass: add @dataclass(frozen=True)"
                raise ValueError(f"{kind} {name!r}: its setting {attribute} is not a field, as {missing}")


def _kind_of(field: dataclasses.Field) -> type | None:
    return KINDS.get(field.type if isinstance(field.type, str) else getattr(field.type, "__name__", ""))


def field_types(config_class: type) -> dict[str, type]:
    """Name -> plain type (int, float, bool or str) of every hyperparameter, in order of definition."""
    return {name: _kind_of(field) or str for name, field in settings_of(config_class).items()}


def traced_fields(config_class: type) -> tuple[str, ...]:
    """Names of the hyperparameters that are arrays in the compiled program."""
    return tuple(name for name, field in settings_of(config_class).items() if field.metadata["traced"])


def part_of(field: dataclasses.Field) -> str:
    """The part that a setting of a composed config belongs to ("mixer qplex"), or "" for the algorithm itself."""
    return field.metadata.get("part", "")


def _all_checks(base: type, parts: tuple[tuple[str, Any], ...]) -> Callable[[Any], None]:
    """The checks of values that go together: those of the algorithm, then those of its parts that have some."""
    checks = [getattr(part, "check_together", None) for part in (base, *(part for _, part in parts))]
    each = dict.fromkeys(check for check in checks if check is not None)

    def check_together(config: Any) -> None:
        for check in each:
            check(config)

    return check_together


@functools.lru_cache(maxsize=256)
def _composed(base: type, parts: tuple[tuple[str, Any], ...]) -> type:
    fields, owners = [], dict.fromkeys(settings_of(base), "its algorithm")
    for label, part in parts:
        for name, field in settings_of(part).items():
            if name in owners:
                raise ValueError(f"{label} has a setting {name}, which {owners[name]} has, too: rename it")
            owners[name] = label
            metadata = {**field.metadata, "part": label}
            fields.append((name, _kind_of(field), dataclasses.field(default=field.default, metadata=metadata)))

    def pickled(config: Any) -> Any:
        if type(config) is not made:  # a view of its static part
            return object.__reduce_ex__(config, 2)
        return _unpickled, (base, parts, dict(vars(config)))

    methods = {"check_together": _all_checks(base, parts), "__reduce__": pickled}
    made = dataclasses.make_dataclass(base.__name__, fields, bases=(base,), namespace=methods, frozen=True)
    made.__module__, made.__doc__ = base.__module__, base.__doc__
    made.__parts__ = dict(parts)  # type: ignore[attr-defined]
    return made


def _unpickled(base: type, parts: tuple[tuple[str, Any], ...], values: dict[str, Any]) -> Any:
    return _composed(base, parts)(**values)


def compose(base: type[Config], parts: Mapping[str, Any]) -> type[Config]:
    """The config class of an algorithm with its parts: the settings of `base` and of each part.

    `parts` maps labels ("mixer qplex") to classes. The same arguments give the same class. Raises ValueError, in
    one line, if two of them have a setting of the same name.
    """
    own: Any = base
    return _composed(own, tuple(parts.items()))


def part_labels(config_class: type) -> tuple[str, ...]:
    """The labels of the parts of a composed config class, such as ("mixer qplex", "memory gru")."""
    return tuple(getattr(config_class, "__parts__", {}))


def without_effect(config: Any) -> dict[str, str]:
    """The settings of `config` that nothing reads because of the values of others, each with the reason.

    Each class of the config and of its parts may have a method `without_effect(config)` that names its own.
    """
    found: dict[str, str] = {}
    for whole in (type(config), *getattr(type(config), "__parts__", {}).values()):
        for owner in getattr(whole, "__mro__", ()):  # a part may be no class
            if "without_effect" in vars(owner):
                found |= vars(owner)["without_effect"](config)
    return found


def choosing_fields(base: type) -> dict[str, dataclasses.Field]:
    """Name -> field of the settings that choose a part."""
    return {name: field for name, field in settings_of(base).items() if field.metadata["chooses"]}


def chosen_parts(base: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """The parts that `values`, or else the defaults of `base`, choose: label ("sampler windows") -> class.

    Raises ValueError, in one line, for a part that is not registered.
    """
    parts = {}
    for name, field in choosing_fields(base).items():
        value = values.get(name, field.default)
        if not isinstance(value, str) or value not in field.metadata["choices"]:
            close = nearest(value, field.metadata["choices"])
            raise ValueError(f"{name}={value!r}: unknown {field.metadata['chooses']}; {close}")
        parts[f"{field.metadata['chooses']} {value}"] = field.metadata["choices"][value]
    return parts


def allowed(field: dataclasses.Field) -> str:
    """The allowed range of a field in words."""
    meta = field.metadata
    if tuple(meta["choices"]):
        return "one of " + ", ".join(str(choice) for choice in meta["choices"])
    low = f"> {meta['above']:g}" if meta["above"] is not None else ""
    low = f">= {meta['low']:g}" if meta["low"] is not None else low
    high = f"<= {meta['high']:g}" if meta["high"] is not None else ""
    return " and ".join(part for part in (low, high) if part) or ("True or False" if is_switch(field) else "any")


def is_switch(field: dataclasses.Field) -> bool:
    """Whether a hyperparameter is a bool."""
    return isinstance(field.default, bool)


def _typed(name: str, value: Any, kind: type) -> Any:
    """`value` as `kind`, or a one-line ValueError; an integer is accepted as a float, a float not as an integer."""
    value = python_value(value)
    switch = isinstance(value, bool)
    if kind is bool and switch:
        return value
    if kind is float and isinstance(value, numbers.Real) and not switch:
        try:
            return float(value)
        except OverflowError:  # an integer beyond all floats
            return math.inf if value > 0 else -math.inf  # type: ignore[operator]
    if kind is int and isinstance(value, numbers.Integral) and not switch:
        return int(value)
    if kind is str and isinstance(value, str):
        return str.__str__(value)  # not one of a subclass
    raise ValueError(f"{name} is {one_line(value)}, but must be {describe(kind)}")


def check(config: Any) -> None:
    """Raise a one-line ValueError with name, value and allowed range for the first field that is out of range."""
    for name, field in settings_of(type(config)).items():
        check_value(name, field, getattr(config, name))


def checked_value(name: str, field: dataclasses.Field, value: Any) -> Any:
    """`value` in the type of its field. Raises a one-line ValueError for another type or a value out of range."""
    typed = _typed(name, value, _kind_of(field) or str)
    check_value(name, field, typed)
    return typed


def check_value(name: str, field: dataclasses.Field, value: Any) -> None:
    """Raise a one-line ValueError with the allowed range unless a field may have this value.

    A number must also be in range in the type in which compiled programs use it, int32 or float32.
    """
    choices = tuple(field.metadata["choices"])
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if (choices and value not in choices) or (number and not _in_range(field, value)):
        finite = "finite, " if number and not math.isfinite(value) else ""
        raise ValueError(f"{name} is {one_line(value)}, but must be {finite}{allowed(field)}")
    if isinstance(value, float) and not _in_range(field, used := in_float32(value)):
        raise ValueError(
            f"{name} is {one_line(value)}, {used:g} in float32, in which it is used, but must be {allowed(field)}"
        )
    if isinstance(value, int) and value > LARGEST_INT:
        raise ValueError(f"{name} is {one_line(value)}, but must be {allowed(field)} and <= {LARGEST_INT}")


def _in_range(field: dataclasses.Field, value: float) -> bool:
    low, above, high = (field.metadata[bound] for bound in ("low", "above", "high"))
    return (
        (isinstance(value, int) or math.isfinite(value))
        and (low is None or value >= low)
        and (above is None or value > above)
        and (high is None or value <= high)
    )


def in_float32(value: float) -> float:
    """A number as compiled programs see it: rounded to float32, and 0 where it is smaller than a normal number."""
    with np.errstate(over="ignore"):
        single = np.float32(value)
    return 0.0 if abs(single) < np.finfo(np.float32).tiny else float(single)


def meant_by(name: str, settings: Iterable[str]) -> str:
    """What may have been meant by an unknown name: a setting or an argument of `jaxmac.train`."""
    if name in ARGUMENTS_OF_TRAIN:
        return "it is an argument of jaxmac.train"
    every = [*settings, *sorted(ARGUMENTS_OF_TRAIN)]
    return nearest(name, every if close_names(name, every) else settings)


def build(config_class: type[Config], *layers: Mapping[str, Any]) -> Config:
    """A checked config from layers of values, of which later ones take precedence.

    Raises ValueError, in one line, for an unknown name, a wrong type or a value out of range.
    """
    kinds = field_types(config_class)
    values: dict[str, Any] = {}
    for layer in layers:
        for name, value in layer.items():
            if name not in kinds:
                raise ValueError(f"unknown hyperparameter {name!r}; {meant_by(name, kinds)}")
            values[name] = _typed(name, value, kinds[name])
    config = config_class(**values)
    check(config)
    return config
