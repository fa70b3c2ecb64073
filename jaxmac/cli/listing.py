"""`jaxmac list`: environments, algorithms, presets and hyperparameters."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from jaxmac import envs
from jaxmac.algorithms import ALGORITHMS, configure
from jaxmac.cli.parsing import parse
from jaxmac.config import allowed, part_of, settings_of


@dataclasses.dataclass(frozen=True)
class ListArguments:
    """Environments, algorithms and presets; with --algorithm its hyperparameters."""

    algorithm: str | None = None
    """show this algorithm's hyperparameters under each preset"""
    env: str = "BoxPushing-10"
    """environment the presets are for"""


def command_list(arguments: Sequence[str]) -> int:
    """Print what there is."""
    from rich.console import Console
    from rich.table import Column, Table

    given, console = parse("list", ListArguments, arguments), Console()
    if given.algorithm is None:
        table = Table("environment", "agents", "macro-actions", "obs", "state", "horizon", "optimum")
        for env_id in envs.list_ids():
            env = envs.make(env_id)
            best = "" if env.optimal_return is None else f"{env.optimal_return:.1f}"
            actions, obs = (" ".join(map(str, sizes)) for sizes in (env.num_actions, env.obs_sizes))
            table.add_row(env_id, str(env.num_agents), actions, obs, str(env.state_size), str(env.horizon), best)
        console.print(table)
        table = Table("algorithm", "presets")
        for name, found in ALGORITHMS.items():
            table.add_row(name, ", ".join(found.presets))
    else:
        env, presets = envs.make(given.env), list(ALGORITHMS[given.algorithm].presets)
        configs = [configure(given.algorithm, preset, env, {}) for preset in presets]
        name = Column("hyperparameter", no_wrap=True)
        table = Table(name, "part", *presets, "allowed", "swept together", "meaning")
        fields = {name: field for config in configs for name, field in settings_of(type(config)).items()}
        for setting, field in fields.items():
            values = [str(getattr(config, setting, "")) for config in configs]
            traced = "yes" if field.metadata["traced"] else ""
            table.add_row(setting, part_of(field), *values, allowed(field), traced, field.metadata["help"])
    console.print(table)
    return 0
