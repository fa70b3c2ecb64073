"""Members of a run: seeds x swept values, grouped by the compiled program that trains them."""

from __future__ import annotations

import itertools
import numbers
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TypeGuard

import numpy as np

from jaxmac.algorithms.registry import build_config, config_class_of, configure
from jaxmac.config import settings_of
from jaxmac.envs.environment import Environment
from jaxmac.hyper import static_view


class MemberSpec(NamedTuple):
    """One member: its number among all members, its seed, its swept values and the config with these values."""

    index: int  # type: ignore[assignment]  # hides tuple.index
    seed: int
    swept: dict[str, Any]
    config: Any


def seed_list(seeds: int | Sequence[int]) -> list[int]:
    """The list of seeds: 0 to n - 1 for a number n, else the given sequence.

    Raises ValueError, in one line, for no seeds, duplicates, or seeds outside 0 to 2^31 - 1.
    """
    if is_integer(seeds):
        if seeds < 1:
            raise ValueError(f"seeds={seeds!r} is out of range; allowed: >= 1, or a list of seeds")
        return list(range(int(seeds)))
    chosen = list(seeds) if isinstance(seeds, Iterable) and not isinstance(seeds, str) else []
    whole = all(is_integer(seed) and 0 <= seed < 2**31 for seed in chosen)
    if not chosen or not whole or len(set(chosen)) != len(chosen):
        raise ValueError(f"seeds={seeds!r}: expected a number, or distinct integers from 0 to 2147483647")
    return [int(seed) for seed in chosen]


def is_integer(value: Any) -> TypeGuard[int]:
    """Whether `value` is a Python or NumPy integer and not a bool."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def make_members(
    algorithm: str,
    env: Environment,
    preset: str,
    hyperparameters: dict[str, Any],
    seeds: int | Sequence[int],
    sweep: dict[str, Sequence[Any]] | None,
) -> list[MemberSpec]:
    """The members of a run: every combination of swept values with every seed, seeds varying fastest.

    Raises ValueError, in one line, for anything unknown or out of range.
    """
    sweep = {name: _values_of(name, values) for name, values in (sweep or {}).items()}
    chosen_seeds = seed_list(seeds)
    members: list[MemberSpec] = []
    for combination in itertools.product(*sweep.values()):
        given = dict(zip(sweep, combination, strict=True))
        config = configure(algorithm, preset, env, {**hyperparameters, **given})
        swept = {name: getattr(config, name) for name in given}
        for seed in chosen_seeds:
            members.append(MemberSpec(len(members), seed, swept, config))
    return members


def _values_of(name: str, values: Any) -> Sequence[Any]:
    """The values of a swept hyperparameter; raises ValueError, in one line, if it has none or cannot be swept."""
    if name in ("num_envs", "eval_every"):
        raise ValueError(f"{name} cannot be swept: all members of a run are evaluated at the same episodes")
    if isinstance(values, np.ndarray):
        values = values.tolist()
    if isinstance(values, str) or not isinstance(values, Sequence) or not values:
        raise ValueError(f"sweep[{name!r}]={values!r}: expected a non-empty list of values")
    return values


def restore_members(saved: dict[str, Any]) -> list[MemberSpec]:
    """The members of a run from its config.json, with the settings that it ran with, not today's presets."""
    members: list[MemberSpec] = []
    for combination in itertools.product(*saved["sweep"].values()):
        swept = dict(zip(saved["sweep"], combination, strict=True))
        values = _still_settings(saved["algorithm"], saved, swept)
        config = build_config(saved["algorithm"], saved["settings"], values, "config.json")
        members += [MemberSpec(len(members) + i, seed, swept, config) for i, seed in enumerate(saved["seeds"])]
    return members


def _still_settings(algorithm: str, saved: dict[str, Any], swept: dict[str, Any]) -> dict[str, Any]:
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
