"""`jaxmac list`: list environments, algorithms, presets and hyperparameters."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from rich.console import Console
from rich.table import Column, Table

from jaxmac import envs
from jaxmac.algorithms import ALGORITHMS, configure
from jaxmac.cli.parsing import parse
from jaxmac.config import allowed, part_of, settings_of


@dataclasses.dataclass(frozen=True)
class ListArguments:
    """List environments, algorithms and presets, or the hyperparameters of one algorithm."""

    algorithm: str | None = None
    """list the hyperparameters of this algorithm with their values in each preset"""
    env: str | None = None
    """list this environment only; with --algorithm: what the presets are for (default: BoxPushing-10)"""


def command_list(arguments: Sequence[str]) -> int:
    """Print the tables."""
    given, console = parse("list", ListArguments, arguments), Console()
    if given.algorithm is not None:
        console.print(_hyperparameters(given.algorithm, given.env or "BoxPushing-10"))
        return 0
    console.print(_environments(envs.list_ids() if given.env is None else (given.env,)))
    if given.env is not None:
        return 0
    table = Table("algorithm", "presets")
    for name, spec in ALGORITHMS.items():
        table.add_row(name, ", ".join(spec.presets))
    console.print(table)
    return 0


def _environments(env_ids: Sequence[str]) -> Table:
    """Environments with their sizes."""
    table = Table("environment", "agents", "macro-actions", "obs", "state", "horizon", "optimum")
    for env_id in env_ids:
        env = envs.make(env_id)
        optimum = "" if env.optimal_return is None else f"{env.optimal_return:.1f}"
        actions, obs = (" ".join(map(str, sizes)) for sizes in (env.num_actions, env.obs_sizes))
        table.add_row(env_id, str(env.num_agents), actions, obs, str(env.state_size), str(env.horizon), optimum)
    return table


def _hyperparameters(algorithm: str, env_id: str) -> Table:
    """The hyperparameters of an algorithm: values under its presets, allowed range and meaning."""
    env, presets = envs.make(env_id), list(ALGORITHMS[algorithm].presets)
    configs = [configure(algorithm, preset, env, {}) for preset in presets]
    name = Column("hyperparameter", no_wrap=True)
    table = Table(name, "part", *presets, "allowed", "swept together", "meaning")
    fields = {name: field for config in configs for name, field in settings_of(type(config)).items()}
    for setting, field in fields.items():
        values = [str(getattr(config, setting, "")) for config in configs]
        traced = "yes" if field.metadata["traced"] else ""
        table.add_row(setting, part_of(field), *values, allowed(field), traced, field.metadata["help"])
    return table
