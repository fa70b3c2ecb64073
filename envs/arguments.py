"""Options of an environment: the keyword-only arguments of its factory, their types, and checks of values."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from functools import partial
from numbers import Integral, Real
from typing import Any, Literal, get_args, get_origin

from jaxmac.envs.environment import Environment

Factory = Callable[..., Environment]
PLAIN = {bool: "True or False", int: "an integer", float: "a finite number", str: "a string"}


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
    for preset, values in presets.items():
        for name in values:
            if name not in known:
                raise ValueError(f"preset {preset!r} of {env_id!r} sets {name!r}, which is none of its options")


def underlying(factory: Any) -> Any:
    """The class or function that `functools.partial` was applied to, or the factory itself."""
    return factory.func if isinstance(factory, partial) else factory


def fits(value: Any, kind: Any) -> bool:
    """Whether `value` is of the annotated type; plain types and choices are tested, constructors check the rest."""
    if get_origin(kind) is Literal:
        return isinstance(value, str) and value in get_args(kind)
    if type(None) in get_args(kind):
        return value is None or any(fits(value, k) for k in get_args(kind) if k is not type(None))
    if kind in (bool, str):
        return isinstance(value, kind)
    if kind is int:
        return isinstance(value, Integral) and not isinstance(value, bool)
    if kind is float:
        return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    return True


def plain(value: Any, kind: Any) -> Any:
    """`value` as a number of Python where the option is a number, so that numbers of NumPy can be given, too."""
    return kind(value) if kind in (int, float) else value


def describe(kind: Any) -> str:
    """An annotated type in words, for error messages."""
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(map(repr, get_args(kind)))
    if type(None) in get_args(kind):
        return " or ".join(describe(k) for k in get_args(kind) if k is not type(None))
    return PLAIN.get(kind, str(kind))
