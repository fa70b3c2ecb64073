"""Members of a run: seeds x swept values, grouped by what must be compiled apart."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

from envs.environment import Environment
from jaxmac.algorithms import configure, entry
from jaxmac.config import nearest, traced_fields


class MemberSpec(NamedTuple):
    """One member: its place among all, its seed, the values swept for it and the config they give."""

    index: int
    seed: int
    swept: dict[str, Any]
    config: Any


def seed_list(seeds: int | Sequence[int]) -> list[int]:
    """0..n-1 for a number, the list itself otherwise; ValueError for none, duplicates or negative ones."""
    if isinstance(seeds, bool) or (isinstance(seeds, int) and seeds < 1):
        raise ValueError(f"seeds={seeds!r} is out of range; allowed: >= 1, or a list of seeds")
    chosen = list(range(seeds)) if isinstance(seeds, int) else [int(seed) for seed in seeds]
    if not chosen or len(set(chosen)) != len(chosen) or min(chosen) < 0 or max(chosen) >= 2**31:
        raise ValueError(f"seeds={chosen!r}: allowed are distinct integers from 0 to 2147483647, at least one")
    return chosen


def make_members(
    algorithm: str,
    env: Environment,
    preset: str,
    hyperparameters: dict[str, Any],
    seeds: int | Sequence[int],
    sweep: dict[str, Sequence[Any]] | None,
) -> list[MemberSpec]:
    """Every combination of swept values with every seed, seeds fastest; each with its checked config.

    Raises ValueError, in one line, for anything unknown or out of range.
    """
    sweep = dict(sweep or {})
    known = entry(algorithm).config.__dataclass_fields__
    for name, values in sweep.items():
        if name not in known:
            raise ValueError(f"unknown hyperparameter {name!r} in sweep; {nearest(name, known)}")
        if name in ("num_envs", "eval_every"):
            raise ValueError(f"{name} cannot be swept: all members of a run are evaluated at the same episodes")
        if isinstance(values, str) or not isinstance(values, Sequence) or not values:
            raise ValueError(f"sweep[{name!r}]={values!r}: expected a non-empty list of values")
    chosen_seeds = seed_list(seeds)
    members = []
    for combination in itertools.product(*sweep.values()):
        swept = dict(zip(sweep, combination, strict=True))
        config = configure(algorithm, preset, env, {**hyperparameters, **swept})
        for seed in chosen_seeds:
            members.append(MemberSpec(len(members), seed, swept, config))
    return members


def group_members(members: list[MemberSpec]) -> list[list[MemberSpec]]:
    """Members of one compiled program each: those whose configs agree on every static field."""
    traced = set(traced_fields(type(members[0].config)))
    groups: dict[tuple, list[MemberSpec]] = {}
    for member in members:
        values = vars(member.config)
        static = tuple((name, value) for name, value in values.items() if name not in traced)
        groups.setdefault(static, []).append(member)
    return list(groups.values())
