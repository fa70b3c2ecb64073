"""Members of a run: seeds x swept values, grouped by the compiled program that trains them."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxmac.algorithms.registry import build_config, config_class_of, configure
from jaxmac.arguments import is_integer
from jaxmac.config import in_float32, settings_of
from jaxmac.envs.arguments import python_value
from jaxmac.envs.environment import Environment
from jaxmac.envs.shapes import one_line
from jaxmac.hyper import static_view
from jaxmac.runs.exact import json_text

LARGEST_SEED = 2**31 - 1
MOST_MEMBERS = 10**6  # of one run
# Settings that came with a format, with the value that stands for what runs of older formats did. A setting that
# the library gets later has an entry here; for nothing else that is missing there is a value.
NEW_IN_FORMAT: dict[int, dict[str, Any]] = {
    2: {"memory": "gru", "b1_abs": False},
    3: {"td_lambda": 0.0, "layer_norm": False, "normalise_state": False, "eval_epsilon": 0.0},
    4: {"weight_floor": 0.0, "actor_gain": 1.0},
    5: {"eval_target": False},
}


class MemberSpec(NamedTuple):
    """One member: its number among all members, its seed, its swept values and the config with these values."""

    index: int  # type: ignore[assignment]  # hides tuple.index
    seed: int
    swept: dict[str, Any]
    config: Any


def seed_list(seeds: int | Sequence[int]) -> list[int]:
    """The list of seeds: 0 to n - 1 for a number n, else the given sequence.

    Raises ValueError, in one line, for no seeds, duplicates, seeds outside 0 to 2^31 - 1, or more than
    `MOST_MEMBERS` of them.
    """
    chosen = python_value(seeds)
    if is_integer(chosen):
        if chosen < 1:
            raise ValueError(f"seeds is {chosen!r}, but must be >= 1, or a list of seeds")
        if chosen > MOST_MEMBERS:
            raise ValueError(f"seeds is {chosen!r}, but must be <= {MOST_MEMBERS}, or a list of seeds")
        return list(range(chosen))
    values = _listed(chosen)
    whole = all(is_integer(seed) and 0 <= seed <= LARGEST_SEED for seed in values)
    if not 1 <= len(values) <= MOST_MEMBERS or not whole or len(set(values)) != len(values):
        given = repr(seeds) if len(repr(seeds)) <= 80 else f"a list of {len(values)}"
        raise ValueError(f"seeds is {given}, but must be a number, or distinct integers from 0 to {LARGEST_SEED}")
    return [int(seed) for seed in values]


def _listed(values: Any) -> list[Any]:
    """The numbers of Python, or texts, in a sequence or an array of one axis; empty for anything else."""
    if isinstance(values, np.ndarray | jax.Array):
        return [python_value(one) for one in values] if values.ndim == 1 else []
    if isinstance(values, str | bytes | bytearray) or not isinstance(values, Sequence):
        return []
    return [python_value(one) for one in values]


def make_members(
    algorithm: str,
    env: Environment,
    preset: str,
    hyperparameters: dict[str, Any],
    seeds: int | Sequence[int],
    sweep: Mapping[str, Sequence[Any]] | None,
) -> list[MemberSpec]:
    """The members of a run: every combination of swept values with every seed, seeds varying fastest.

    A swept value takes the place of one among `hyperparameters`. Raises ValueError, in one line, for anything
    unknown or out of range, and for two swept values that are the same in float32.
    """
    values = values_of_sweep(sweep)
    chosen_seeds = seed_list(seeds)
    count = len(chosen_seeds) * math.prod(map(len, values.values()))
    if count > MOST_MEMBERS:
        raise ValueError(
            f"{count} members (seeds x swept values) are too many: at most {MOST_MEMBERS} train in a run"
        )
    configs = []
    for combination in itertools.product(*values.values()):
        given = dict(zip(values, combination, strict=True))
        configs.append(configure(algorithm, preset, env, {**hyperparameters, **given}))
    _refuse_duplicates(values, configs)
    members: list[MemberSpec] = []
    for config in configs:
        swept = {name: getattr(config, name) for name in values}
        members += [MemberSpec(len(members) + i, seed, swept, config) for i, seed in enumerate(chosen_seeds)]
    return members


def values_of_sweep(sweep: Mapping[str, Sequence[Any]] | None) -> dict[str, list[Any]]:
    """Name -> values of the swept hyperparameters, as numbers of Python.

    Raises ValueError, in one line, for a sweep that is not a dict of lists, or one that cannot be swept.
    """
    if sweep is None:
        return {}
    if not isinstance(sweep, Mapping) or not all(isinstance(name, str) for name in sweep):
        raise ValueError(f"sweep is {one_line(sweep)}, but must be a dict, hyperparameter -> list of values")
    found = {}
    for name, given in sweep.items():
        if name in ("num_envs", "eval_every"):
            raise ValueError(f"{name} cannot be swept: all members of a run are evaluated at the same episodes")
        found[name] = _listed(given)
        if not found[name]:
            raise ValueError(f"sweep[{name!r}] is {one_line(given)}, but must be a non-empty list of values")
    return found


def _refuse_duplicates(sweep: Mapping[str, list[Any]], configs: Sequence[Any]) -> None:
    """Raise ValueError, in one line, for a hyperparameter with a value that members would train with twice."""
    for name, values in sweep.items():
        used = {_as_used(getattr(config, name)) for config in configs}
        if len(used) < len(values):
            raise ValueError(f"sweep[{name!r}]={values!r}: two values are the same (after rounding to float32)")


def _as_used(value: Any) -> Any:
    return in_float32(value) if isinstance(value, float) else value


def restore_members(saved: Mapping[str, Any]) -> list[MemberSpec]:
    """The members of a run from its config.json, with the settings that it ran with, not today's presets.

    Raises ValueError, in one line, for a setting that is missing, unknown, or out of range.
    """
    members: list[MemberSpec] = []
    for combination in itertools.product(*saved["sweep"].values()):
        swept = dict(zip(saved["sweep"], combination, strict=True))
        values = _still_settings(saved["algorithm"], saved, swept)
        settings = _newer_settings(saved["format"]) | saved["settings"]
        config = build_config(saved["algorithm"], settings, values, "config.json")
        for name in settings_of(type(config)):
            if name not in settings:
                raise ValueError(f"settings lacks {name}, which {saved['algorithm']} reads")
        members += [MemberSpec(len(members) + i, seed, swept, config) for i, seed in enumerate(saved["seeds"])]
    for name, value in saved["hyperparameters"].items() if saved["format"] > 1 else ():
        if type(value) is not type(saved["settings"].get(name)):
            raise ValueError(f"hyperparameters has {name}={value!r}, but settings {saved['settings'].get(name)!r}")
    return members


def _newer_settings(number: int) -> dict[str, Any]:
    """The settings that runs of format `number` did without."""
    newer = (values for format_number, values in NEW_IN_FORMAT.items() if format_number > number)
    return {name: value for values in newer for name, value in values.items()}


def refuse_unless_restorable(saved: Mapping[str, Any], specs: Sequence[MemberSpec]) -> None:
    """Raise ValueError, in one line, unless config.json with this content gives the same members back.

    It does not where two parts of a sweep have a setting of the same name and different defaults.
    """
    read = json.loads(json_text(saved))
    for spec, again in zip(
        specs[:: len(read["seeds"])], restore_members(read | {"seeds": read["seeds"][:1]}), strict=True
    ):
        for name, value in vars(spec.config).items():
            if getattr(again.config, name) != value:
                raise ValueError(
                    f"members of this sweep differ in {name}, which is not swept: give or sweep it, too"
                )


def _still_settings(algorithm: str, saved: Mapping[str, Any], swept: dict[str, Any]) -> dict[str, Any]:
    """The swept values without those that a run of format 1 never read."""
    if saved["format"] > 1:
        return swept
    known = settings_of(config_class_of(algorithm, {**saved["settings"], **swept}))
    return {name: value for name, value in swept.items() if name in known}


def group_members(members: list[MemberSpec]) -> list[list[MemberSpec]]:
    """Groups of members that share a compiled program: those whose configs agree on every static field.

    In runs of format 1, members also form separate groups by swept values that nothing reads.
    """
    groups: dict[Any, list[MemberSpec]] = {}
    for member in members:
        known = settings_of(type(member.config))
        unread = tuple((name, value) for name, value in member.swept.items() if name not in known)
        groups.setdefault((static_view(member.config), unread), []).append(member)
    return list(groups.values())


def settings_of_run(specs: Sequence[MemberSpec]) -> dict[str, Any]:
    """All settings of a run by name: those of the first member, and those that only parts of other members have."""
    settings: dict[str, Any] = {}
    for spec in reversed(specs):
        settings |= vars(spec.config)
    return settings
