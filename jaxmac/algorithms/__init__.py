"""The table of algorithms: name -> how to configure and build it. One line each."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from jaxmac.algorithms import actor_critic, avf, mac_q, tomacvf
from jaxmac.algorithms.base import Algorithm, Progress
from jaxmac.algorithms.presets import actor_critic as actor_critic_presets
from jaxmac.algorithms.presets import mac_q as mac_q_presets
from jaxmac.config import build, nearest
from jaxmac.envs.environment import Environment

__all__ = ["ALGORITHMS", "Algorithm", "Entry", "Progress", "configure", "entry", "list_algorithms"]


class Entry(NamedTuple):
    """One algorithm: its config class, `make(env, config)` and presets `name -> (env -> values)`."""

    config: type
    make: Callable[[Environment, Any], Algorithm]
    presets: dict[str, Callable[[Environment], dict[str, Any]]]


def _avf(mixer: str) -> Entry:
    return Entry(
        avf.AVFConfig,
        partial(avf.make, mixer_name=mixer),
        {"tuned": partial(avf.tuned, mixer_name=mixer), "paper": partial(avf.paper, mixer_name=mixer)},
    )


def _tomacvf(mixer: str) -> Entry:
    return Entry(
        tomacvf.ToMacVFConfig,
        partial(tomacvf.make, mixer_name=mixer),
        {"tuned": partial(tomacvf.tuned, mixer_name=mixer), "paper": partial(tomacvf.paper, mixer_name=mixer)},
    )


def _baseline(config: type, make: Callable[..., Algorithm], presets: Any, kind: str) -> Entry:
    """A baseline; the papers ran them with the reference's settings."""
    named = {"tuned": presets.tuned, "reference": presets.reference, "paper": presets.reference}
    return Entry(config, partial(make, kind=kind), {name: partial(of, kind=kind) for name, of in named.items()})


ALGORITHMS: dict[str, Entry] = {
    **{f"avf-{mixer}": _avf(mixer) for mixer in ("vdn", "qmix", "qplex", "qtran")},
    **{f"tomacvf-{mixer}": _tomacvf(mixer) for mixer in ("qmix", "qplex", "qtran")},
    **{kind: _baseline(mac_q.MacQConfig, mac_q.make, mac_q_presets, kind) for kind in mac_q.KINDS},
    **{
        kind: _baseline(actor_critic.ActorCriticConfig, actor_critic.make, actor_critic_presets, kind)
        for kind in actor_critic.KINDS
    },
}


def list_algorithms() -> tuple[str, ...]:
    """Known algorithm ids."""
    return tuple(ALGORITHMS)


def entry(name: str) -> Entry:
    """The table's entry, or a one-line ValueError naming the nearest known ids."""
    if name not in ALGORITHMS:
        raise ValueError(f"unknown algorithm {name!r}; {nearest(name, ALGORITHMS)}")
    return ALGORITHMS[name]


def configure(name: str, preset: str, env: Environment, overrides: dict[str, Any]) -> Any:
    """The checked config of algorithm `name` on `env`: preset values, then `overrides`.

    Raises ValueError, in one line, for an unknown algorithm, preset or hyperparameter, or a value out of range.
    """
    found = entry(name)
    if preset not in found.presets:
        raise ValueError(f"unknown preset {preset!r} of {name}; {nearest(preset, found.presets)}")
    return build(found.config, found.presets[preset](env), overrides)
