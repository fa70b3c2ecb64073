"""Hyperparameters inside compiled programs: the traced ones as a pytree, the static ones as a hashable view.

Reading a traced field from the static view raises, so that no program uses the first member's value for all
members.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxmac.config import settings_of, traced_fields

Config = TypeVar("Config")


class Hyper(Mapping[str, Array]):
    """The traced hyperparameters of one member, or of several with a leading axis of members, read as attributes.

    It is a pytree of float32 arrays. Reading a name that is not traced raises AttributeError.
    """

    _values: dict[str, Any]

    def __init__(self, **values: Any):
        object.__setattr__(self, "_values", values)

    def __getattr__(self, name: str) -> Array:
        values = object.__getattribute__(self, "_values")
        if name in values:
            return values[name]
        raise AttributeError(f"{name} is not traced, read it from the config; traced: {', '.join(values)}")

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{name}: traced hyperparameters are not assigned to; make a new Hyper")

    def __getitem__(self, name: str) -> Any:  # an array, or what JAX puts in its place in a pytree
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Hyper({', '.join(f'{name}={value}' for name, value in self._values.items())})"

    def __reduce__(self) -> tuple:
        return (_hyper_of, (dict(self._values),))


def _hyper_of(values: Mapping[str, Any]) -> Hyper:
    return Hyper(**values)


jax.tree_util.register_pytree_with_keys(
    Hyper,
    lambda hyper: (
        [(jax.tree_util.DictKey(name), hyper[name]) for name in sorted(hyper)],
        tuple(sorted(hyper)),
    ),
    lambda names, values: Hyper(**dict(zip(names, values, strict=True))),
)


def hyper_of(config: Any) -> Hyper:
    """The traced fields of one config as a Hyper of float32 scalars."""
    return Hyper(**{name: jnp.float32(getattr(config, name)) for name in traced_fields(type(config))})


def hyper_arrays(configs: Sequence[Any]) -> Hyper:
    """The traced fields of several configs, one per member, as a Hyper of float32 arrays `[members]`."""
    names = traced_fields(type(configs[0]))
    return Hyper(**{name: jnp.asarray([getattr(c, name) for c in configs], jnp.float32) for name in names})


class _TracedField:
    """Replaces a traced field in the static view of a config; reading it raises AttributeError."""

    def __init__(self, name: str):
        self.name = name

    def __get__(self, config: Any, owner: Any = None) -> Any:
        if config is None:
            return self
        raise AttributeError(f"{self.name} is traced, so members may differ in it: read it from hyper")

    def __set__(self, config: Any, value: Any) -> None:
        raise AttributeError(f"{self.name} is traced: it has no static value")


class _StaticMethods:
    """Equality, hash and representation of a static view, from its static values."""

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and _static_values(self) == _static_values(other)

    def __hash__(self) -> int:
        return hash((type(self), _static_values(self)))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in _static_values(self))})"


@functools.lru_cache(maxsize=256)
def _static_class(config_class: type) -> type:
    traced = {name: _TracedField(name) for name in traced_fields(config_class)}
    body = {**traced, "__module__": config_class.__module__, "__doc__": config_class.__doc__}
    return type(config_class.__name__, (_StaticMethods, config_class), body)


def _static_values(config: Any) -> tuple:
    traced = set(traced_fields(type(config)))
    return tuple((name, getattr(config, name)) for name in settings_of(type(config)) if name not in traced)


def static_view(config: Config) -> Config:
    """The config without its traced fields: what a compiled program depends on.

    Two views are equal if all their static fields are. Reading a traced field of a view raises AttributeError.
    """
    if isinstance(config, _StaticMethods):
        return config
    kind: Any = type(config)
    view: Any = object.__new__(_static_class(kind))
    for name, value in _static_values(config):
        object.__setattr__(view, name, value)
    return view
