"""`jaxmac list`: list environments, algorithms, presets and hyperparameters."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterable, Sequence
from typing import Any

from jaxmac import envs
from jaxmac.algorithms import ALGORITHMS, configure
from jaxmac.cli.parsing import parse, refuse_given
from jaxmac.cli.tables import Row, print_line, print_table
from jaxmac.config import allowed, choosing_fields, part_of, settings_of
from jaxmac.envs.registry import description_of

# An algorithm's own settings by what they are for (others: "algorithm"); those of parts are listed under the part.
GROUPS: dict[str, tuple[str, ...]] = {
    "algorithm": ("gamma", "reward_scale", "reward_scheme", "num_envs", "close_on_terminal", "timeout_is_terminal"),
    "exploration": (
        *("epsilon_start", "epsilon_end", "epsilon_episodes", "explore_fraction", "centralised_exploration"),
        *("recurrent_exploration", "exploration_switch"),
    ),
    "target": (
        *("polyak", "target_episodes", "target_steps", "td_lambda", "n_step", "double_q", "conditional"),
        *("hysteresis", "hysteresis_end", "hysteresis_episodes"),
    ),
    "optimiser": (
        *("learning_rate", "learning_rate_decay", "learning_rate_episodes", "actor_learning_rate"),
        *("critic_learning_rate", "grad_clip"),
    ),
    "networks": (
        *("memory", "hidden_size", "layer_size", "decode_size", "hidden_layers", "layer_norm", "dueling"),
        *("share_parameters", "obs_last_action", "centralised_hidden_size"),
        *("critic", "critic_hidden_size", "critic_layer_size"),
    ),
    "replay": (
        *("sampling", "replay_episodes", "batch_size", "learning_starts", "train_freq", "trajectory"),
        *("trajectory_unit", "unroll_episode", "max_rows"),
    ),
    "evaluation": ("eval_every", "eval_episodes", "eval_epsilon", "eval_target"),
}


@dataclasses.dataclass(frozen=True)
class ListArguments:
    """List environments, algorithms and presets, or the hyperparameters of one algorithm."""

    envs: bool = False
    """one environment id per line, with a clause of description"""
    algorithms: bool = False
    """one algorithm id per line, with a clause of description"""
    algorithm: str | None = None
    """list the hyperparameters of this algorithm with their values in each preset"""
    env: str | None = None
    """list this environment only; with --algorithm: what the presets are for (default: BoxPushing-10)"""


def command_list(arguments: Sequence[str]) -> int:
    """Print what was asked for, or tables of all environments and algorithms."""
    given = parse("list", ListArguments, arguments)
    if given.envs or given.algorithms:
        flag = "--envs" if given.envs else "--algorithms"
        refuse_given(arguments, ["--env", "--algorithm"], f"is given beside {flag}: choose one of the two")
        print_table((), [*_described_envs(given.envs), *_described_algorithms(given.algorithms)])
        return 0
    if given.algorithm is not None:
        _print_settings(given.algorithm, given.env or "BoxPushing-10")
        return 0
    _print_environments(envs.list_ids() if given.env is None else (given.env,))
    if given.env is None:
        print_line()
        print_table(("algorithm", "presets"), [(name, ", ".join(ALGORITHMS[name].presets)) for name in ALGORITHMS])
    return 0


def _described_envs(wanted: bool) -> list[Row]:
    """Ids with what each environment is, its agents and its time limit."""
    rows: list[Row] = []
    for env_id in envs.list_ids() if wanted else ():
        env = envs.make(env_id)
        of = f"{env.num_agents} agents, {env.horizon} steps"
        rows.append((env_id, "; ".join(text for text in (_clause(description_of(env_id)), of) if text)))
    return rows


def _described_algorithms(wanted: bool) -> list[Row]:
    """Ids with the summary of each algorithm; one that has none is described by the docstring of its config."""
    specs = ALGORITHMS.items() if wanted else ()
    return [(name, spec.summary or _clause(inspect.getdoc(spec.config) or "")) for name, spec in specs]


def _clause(text: str) -> str:
    """The first sentence of a docstring, without text in parentheses and the full stop."""
    first = " ".join(text.strip().split("\n\n")[0].split())
    return re.split(r"[.;](?: |$)", re.sub(r" \([^)]*\)", "", first))[0]


def _print_environments(env_ids: Sequence[str]) -> None:
    """Environments with their sizes; one number where all agents have the same."""
    rows = []
    for env_id in env_ids:
        env = envs.make(env_id)
        optimum = "" if env.optimal_return is None else f"{env.optimal_return:.1f}"
        actions, obs = (_sizes(sizes) for sizes in (env.num_actions, env.obs_sizes))
        rows.append((env_id, str(env.num_agents), actions, obs, str(env.state_size), str(env.horizon), optimum))
    print_table(("environment", "agents", "actions", "obs", "state", "horizon", "optimum"), rows)


def _sizes(sizes: Sequence[int]) -> str:
    return " ".join(map(str, sizes if len(set(sizes)) > 1 else sizes[:1]))


def _print_settings(algorithm: str, env_id: str) -> None:
    """The hyperparameters of an algorithm by the part that owns them: values, allowed range and meaning."""
    env, presets = envs.make(env_id), list(ALGORITHMS[algorithm].presets)
    configs = {preset: configure(algorithm, preset, env, {}) for preset in presets}
    columns = _same_values(configs)
    fields = {name: field for config in configs.values() for name, field in settings_of(type(config)).items()}
    rows: list[Row] = []
    for group, names in by_group(fields).items():
        rows.append((group,))
        for name in names:
            values = (str(getattr(configs[column[0]], name, "-")) for column in columns)
            together = " (swept together)" if fields[name].metadata["traced"] else ""
            rows.append((f"  {name}", *values, allowed(fields[name]), fields[name].metadata["help"] + together))
    rows += _parts_not_chosen(type(configs[presets[0]]), fields, len(columns))
    print_line(f"{algorithm} on {env_id}; the default is the preset {presets[0]}")
    labels = ["default", *(", ".join(column) for column in columns[1:])]
    print_table(("setting", *labels, "allowed", "meaning"), rows)


def _parts_not_chosen(config_class: type, listed: Iterable[str], columns: int) -> list[Row]:
    """The settings that are not `listed`, each under the choice of a part that would bring it."""
    fields: dict[str, dataclasses.Field] = {}
    choices: dict[tuple[tuple[str, Any], ...], list[str]] = {}
    for name, chooser in choosing_fields(config_class).items():
        for part, made in chooser.metadata["choices"].items():
            known = settings_of(made)
            if not known.keys() <= set(listed):
                fields |= known
                defaults = tuple((setting, field.default) for setting, field in known.items())
                choices.setdefault(defaults, []).append(f"{name}={part}")
    rows: list[Row] = []
    for defaults, bring in choices.items():
        rows.append((f"with {' or '.join(bring)}",))
        for name, default in defaults:
            meaning = f"{fields[name].metadata['help']} (default {default})"
            rows.append((f"  {name}", *["-"] * columns, allowed(fields[name]), meaning))
    return rows


def _same_values(configs: dict[str, Any]) -> list[list[str]]:
    """The presets in lists of those whose values are all equal; the default is on its own."""
    columns: list[list[str]] = []
    for preset, config in configs.items():
        for column in columns[1:]:
            if vars(configs[column[0]]) == vars(config):
                column.append(preset)
                break
        else:
            columns.append([preset])
    return columns


def by_group(fields: dict[str, dataclasses.Field]) -> dict[str, list[str]]:
    """Group or part ("mixer qplex") -> its settings: first the algorithm's own, then those of its parts."""
    group_of = {name: group for group, names in GROUPS.items() for name in names}
    found: dict[str, list[str]] = {group: [] for group in GROUPS}
    for name, field in fields.items():
        found.setdefault(part_of(field) or group_of.get(name, "algorithm"), []).append(name)
    return {group: names for group, names in found.items() if names}
