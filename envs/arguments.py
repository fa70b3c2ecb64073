"""Options of an environment: the keyword-only arguments of its factory, their types, and checks of values."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from numbers import Integral, Real
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import jax
import jax.numpy as jnp
import numpy as np

from jaxmac.envs.environment import Environment
from jaxmac.envs.shapes import one_line

Factory = Callable[..., Environment]
LAST_SEED = 2**32 - 1  # JAX takes seeds modulo 2^32: others would repeat what these give
LARGEST_FLOAT = float(np.finfo(np.float32).max)  # on a device what is larger is infinite
UNIONS = (Union, UnionType)
PLAIN = {
    bool: "True or False",
    int: "an integer",
    float: "a finite number (float32)",
    str: "a string",
    Path: "a path",
}


def factory_options(factory: Factory) -> dict[str, tuple[Any, Any]]:
    """Type and default of each keyword-only argument; without an annotation the type is that of the default."""
    try:
        signature = inspect.signature(factory, eval_str=True)
    except NameError:  # an annotation whose names exist for type checkers only
        signature = inspect.signature(factory)
    options = {}
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY:
            kind, default = parameter.annotation, parameter.default
            if kind is parameter.empty or isinstance(kind, str):
                kind = type(default) if type(default) in PLAIN else Any
            options[parameter.name] = (kind, default)
    return options


def check_factory(env_id: str, factory: Any, presets: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise a one-line ValueError unless `factory` can be called with options alone, and has those of `presets`."""
    target = underlying(factory)
    if isinstance(factory, Environment):
        kind = type(factory).__name__
        raise ValueError(f"factory of {env_id!r} is an instance of {kind}, but must be its class or a function")
    if not callable(factory) or (isinstance(target, type) and not issubclass(target, Environment)):
        raise ValueError(
            f"factory of {env_id!r} is {factory!r}, but must be a callable that returns an Environment"
        )
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError) as error:
        raise ValueError(f"factory of {env_id!r}: {error}") from None
    for p in parameters:
        if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            hint = "has no default" if p.kind is p.KEYWORD_ONLY else "must be given: bind it with functools.partial"
            raise ValueError(f"factory of {env_id!r}: its argument {p.name} {hint}")
    known = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
    if "preset" in known:
        raise ValueError(f"factory of {env_id!r}: its option preset has the name that chooses presets: rename it")
    if not isinstance(presets, Mapping) or not all(isinstance(values, Mapping) for values in presets.values()):
        raise ValueError(
            f"presets of {env_id!r} are {presets!r}, but must be names with a dict of options for each"
        )
    kinds = factory_options(factory)
    for preset, values in presets.items():
        for name, value in values.items():
            if name not in known:
                raise ValueError(f"preset {preset!r} of {env_id!r} sets {name!r}, which is none of its options")
            try:
                check_option(name, value, kinds[name][0])
            except ValueError as error:
                raise ValueError(f"preset {preset!r} of {env_id!r}: {error}") from None


def underlying(factory: Any) -> Any:
    """The class or function that `functools.partial` was applied to, or the factory itself."""
    return factory.func if isinstance(factory, partial) else factory


def fits(value: Any, kind: Any) -> bool:
    """Whether `value` is of the annotated type; plain types and choices are tested, constructors check the rest."""
    if get_origin(kind) is Literal:
        # True is no 1 here, but a string of NumPy is a string.
        alike = [one for one in get_args(kind) if isinstance(value, bool) == isinstance(one, bool)]
        return any(isinstance(value, type(one)) and value == one for one in alike)
    if get_origin(kind) in UNIONS:
        return any(fits(value, one) for one in get_args(kind))
    if kind in (None, type(None)):
        return value is None
    if kind in (bool, str):
        return isinstance(value, kind)
    if kind is int:
        return isinstance(value, Integral) and not isinstance(value, bool)
    if kind is float:
        if not isinstance(value, Real) or isinstance(value, bool):
            return False
        return bool(abs(value) <= LARGEST_FLOAT)  # type: ignore[operator]
    return True


def check_option(name: str, value: Any, kind: Any) -> None:
    """Raise ValueError, in one line that names the option, unless `value` is of the annotated type (`fits`)."""
    if not fits(python_value(value), kind):
        raise ValueError(f"{name} is {one_line(value)}, but must be {describe(kind)}")


def plain(value: Any, kind: Any) -> Any:
    """`value` in the one form that an option of this type has: numbers of Python, and tuples for tables and arrays.

    A run keeps its options in config.json, where a tuple is a list: both must build the same environment.
    """
    if get_origin(kind) in UNIONS:
        kinds = get_args(kind)
        kind = type(value) if type(value) in kinds else next((k for k in kinds if fits(value, k)), Any)
    if get_origin(kind) in (tuple, Sequence):
        return _as_tuples(value)
    return kind(value) if kind in (int, float) and value is not None else value


def _as_tuples(value: Any) -> Any:
    if _is_numeric(value):
        value = np.asarray(value).tolist()
    return tuple(_as_tuples(one) for one in value) if isinstance(value, list | tuple) else value


def python_value(value: Any, levels: int = 32) -> Any:
    """A scalar of NumPy or JAX as a number of Python, also inside lists, tuples and dicts; all else as it is.

    Lists are followed to a depth of `levels`. A float32 becomes the shortest decimal number that rounds to it: 0.1,
    not 0.10000000149011612.
    """
    if levels and isinstance(value, Mapping):
        return {name: python_value(one, levels - 1) for name, one in value.items()}
    if levels and type(value) in (list, tuple):
        return type(value)(python_value(one, levels - 1) for one in value)
    return _python_number(np.asarray(value)[()]) if _is_numeric(value) and value.ndim == 0 else value


def _is_numeric(value: Any) -> bool:
    """Whether `value` is an array or a scalar of NumPy or JAX, of numbers that are known."""
    if not isinstance(value, np.generic | np.ndarray | jax.Array) or isinstance(value, jax.core.Tracer):
        return False
    return any(jnp.issubdtype(value.dtype, kind) for kind in (np.bool_, np.integer, np.floating))


def _python_number(scalar: Any) -> bool | int | float:
    if scalar.dtype == np.bool_:
        return bool(scalar)
    if jnp.issubdtype(scalar.dtype, np.integer):
        return int(scalar)
    return float(str(scalar)) if scalar.dtype == np.float32 else float(scalar)


def check_seed(seed: Any) -> int:
    """`seed` as a number of Python. Raises ValueError, in one line, unless it is an integer from 0 to 2^32 - 1.

    A key of JAX has 32 bits: -1 and 2^32 would silently give the keys of other seeds.
    """
    number = python_value(seed)
    if type(number) is not int or not 0 <= number <= LAST_SEED:
        raise ValueError(f"seed is {number!r}, but must be an integer of 0 to {LAST_SEED}")
    return number


def describe(kind: Any) -> str:
    """An annotated type in words, for error messages."""
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(map(repr, get_args(kind)))
    if get_origin(kind) in UNIONS:
        return " or ".join(describe(k) for k in get_args(kind) if k is not type(None))
    return PLAIN.get(kind, str(kind))
