"""Runs that an older jaxmac wrote: conversion of their configs and checkpoints to today's format.

Format 1 (jaxmac 0.1.0): the config of every algorithm contained the settings of all mixers, `sampling` was
`episodes` or `windows`, and some names differed. Format 2: the config contains the settings of the chosen parts,
and the plugins that they need. Format 3: a checkpoint has digests of its files, and its counters are exact.
Format 4: `weight_floor` and `actor_gain` are among the settings. Format 5: `eval_target` is. Format 6: metrics.csv
has `eval_success`. Format 7: it has the diagnostics that config.json names. Whether a replay of any format is
stored compactly (`jaxmac.record.compact`), and PPO's moments as mean squares, the arrays tell.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp

from jaxmac.algorithms.moments import Moments
from jaxmac.algorithms.registry import ALGORITHMS, config_class_of, owners_of, refusal
from jaxmac.config import settings_of
from jaxmac.errors import RunNote
from jaxmac.record.compact import CompactEpisode, is_compact, packed
from jaxmac.record.episode import Episode
from jaxmac.runs.directory import RunDirectoryError

SETTINGS = {"rounds": "episodes_per_env"}  # format 1 -> format 2
FIELDS = {"optimiser": "opt_state", "actor_optimiser": "actor_opt_state", "critic_optimiser": "critic_opt_state"}


def upgraded(path: str | os.PathLike, config: dict[str, Any]) -> dict[str, Any]:
    """The config of a run in today's format.

    Settings that the run's algorithm and parts never read are dropped, with a `RunNote`. Raises RunDirectoryError,
    in one line, for settings that no algorithm or part has.
    """
    if config.get("format", 0) >= 2 or config.get("algorithm") not in ALGORITHMS:
        return config
    sections = {name: dict(config.get(name, {})) for name in ("settings", "hyperparameters", "sweep")}
    for section in sections.values():
        for old, new in SETTINGS.items():
            if old in section:
                section[new] = section.pop(old)
    settings, sweep = sections["settings"], sections["sweep"]
    tournament = bool(settings.get("replay_tournament")) or "replay_tournament" in sweep
    rule = "tournament" if tournament else "uniform"
    for values in (settings, sections["hyperparameters"]):
        if values.get("sampling") == "episodes":
            values["sampling"] = rule
    if "sampling" in sweep:
        sweep["sampling"] = [rule if value == "episodes" else value for value in sweep["sampling"]]
    unread = _unread(path, config["algorithm"], settings | {name: values[0] for name, values in sweep.items()})
    if unread:
        warnings.warn(
            f"{path} was written by jaxmac 0.1.0; its algorithm never read {', '.join(unread)}: dropped",
            RunNote,
            stacklevel=3,
        )
    sections["settings"] = {name: value for name, value in settings.items() if name not in unread}
    return config | sections | {"format": 1, "plugins": []}


def _unread(path: str | os.PathLike, algorithm: str, values: dict[str, Any]) -> list[str]:
    """The settings that the algorithm with its chosen parts does not have, although others do."""
    config_class = config_class_of(algorithm, values)
    unread = [name for name in values if name not in settings_of(config_class)]
    for name in unread:
        if not owners_of(name):
            raise RunDirectoryError(f"{path}/config.json: {refusal(algorithm, name, config_class)}")
    return unread


def counter_shapes(members: int) -> dict[str, jax.ShapeDtypeStruct]:
    """The counters among the arrays of a checkpoint of format 1 or 2."""
    whole = {"done": (), "evaluated": (), "updates": (members,), "env_steps": (members,)}
    shapes = {name: jax.ShapeDtypeStruct(shape, jnp.int32) for name, shape in whole.items()}
    return shapes | {"seconds": jax.ShapeDtypeStruct((), jnp.float32)}


def path_of(keys: Iterable[Any]) -> tuple[str, ...]:
    """The names along a path into a pytree, for attributes, dict keys and sequence indices alike."""
    return tuple(str(next(getattr(key, a) for a in ("name", "key", "idx") if hasattr(key, a))) for key in keys)


def is_old(stored: Any) -> bool:
    """Whether a checkpoint, by the names in its metadata, is one that jaxmac 0.1.0 wrote."""
    if isinstance(stored, dict):
        return bool({*FIELDS, "window_start"} & set(stored)) or any(map(is_old, stored.values()))
    return isinstance(stored, list | tuple) and any(map(is_old, stored))


def _is_episode(node: Any) -> bool:
    return isinstance(node, Episode)


def is_plain(stored: Any) -> bool:
    """Whether a checkpoint, by its metadata, has episodes none of whose fields is packed."""
    if isinstance(stored, dict):
        if {"macro_action", "elapsed", "obs", "state"} <= set(stored):
            return all(hasattr(stored[name], "shape") for name in ("obs", "state"))
        stored = list(stored.values())
    return isinstance(stored, list | tuple) and any(map(is_plain, stored))


def has_squares(stored: Any) -> bool:
    """Whether a checkpoint, by its metadata, has the moments of PPO's returns as means of their squares."""
    if isinstance(stored, dict):
        return "square" in stored.get("moments", ()) or any(map(has_squares, stored.values()))
    return isinstance(stored, list | tuple) and any(map(has_squares, stored))


def _are_moments(node: Any) -> bool:
    return isinstance(node, Moments)


def _squares(node: Any) -> Any:
    """Moments with the names that they had; other nodes as they are."""
    return dict(zip(("mean", "square", "weight"), vars(node).values(), strict=True)) if _are_moments(node) else node


def _from_squares(like: Any, found: Any) -> Any:
    """The inverse of `_squares`, whose means are multiplied by the weight."""
    if not _are_moments(like):
        return found
    weight = jnp.where(found["weight"] > 0, found["weight"], 1.0)
    mean = found["mean"] / weight
    return Moments(mean, jnp.maximum(found["square"] / weight - mean**2, 0.0), found["weight"])


def as_written(item: Any, stored: Any) -> Any:
    """An item of a checkpoint, as shapes, in the layout that its metadata `stored` shows."""
    if has_squares(stored):
        return jax.tree.map(_squares, item, is_leaf=_are_moments)
    if is_plain(stored):
        item = _unpacked(item)
    return old_names(item) if is_old(stored) else item


def from_written(item: Any, restored: Any, stored: Any) -> Any:
    """The inverse of `as_written`: the arrays `restored` in today's layout, which is that of `item`."""
    if has_squares(stored):
        return jax.tree.map(_from_squares, item, restored, is_leaf=_are_moments)
    if is_old(stored):
        restored = from_old_names(_unpacked(item) if is_plain(stored) else item, restored)
    if not is_plain(stored):
        return restored

    def today(like: Any, found: Any) -> Any:
        return packed(found, like.obs_multiples, like.state_multiples) if is_compact(like) else found

    return jax.tree.map(today, item, restored, is_leaf=is_compact)


def _unpacked(item: Any) -> Any:
    """The shapes of an item whose episodes are not packed."""

    def shapes(node: Any) -> Any:
        return jax.eval_shape(CompactEpisode.unpacked, node) if is_compact(node) else node

    return jax.tree.map(shapes, item, is_leaf=is_compact)


def old_names(item: Any) -> Any:
    """An item of a checkpoint with the field names of jaxmac 0.1.0, for learners and for stored episodes."""
    renamed = {new: old for old, new in FIELDS.items()}
    if hasattr(item, "target"):
        return {renamed.get(name, name): value for name, value in vars(item).items()}
    return jax.tree.map(
        lambda x: {**vars(x), "window_start": None} if _is_episode(x) else x, item, is_leaf=_is_episode
    )


def from_old_names(item: Any, restored: Any) -> Any:
    """The inverse of `old_names`: `restored`, which has the old field names, in the structure of `item`."""
    if hasattr(item, "target"):
        return item.replace(**{FIELDS.get(name, name): value for name, value in restored.items()})

    def episode_of(like: Any, found: Any) -> Any:
        return Episode(**{name: found[name] for name in vars(like)}) if _is_episode(like) else found

    return jax.tree.map(episode_of, item, restored, is_leaf=_is_episode)
