"""`jaxmac eval`: fresh episodes of what a run has learned, or of a scripted or random policy."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.markup import escape

from jaxmac import envs
from jaxmac.cli.parsing import documented, env_options_class, given_env_options, parse, peek
from jaxmac.record.policy import BASELINES, baseline_policy


def _eval_class(env_id: str | None) -> type:
    """The arguments of `jaxmac eval`, with the options of the environment to judge in where it is known."""
    fields: list[Any] = [
        ("run", Annotated[Path | None, tyro.conf.Positional], None),
        ("episodes", documented(int, "of each member"), 1000),
        ("member", documented(int | None, "only this member"), None),
        ("seed", documented(int, "of the episodes"), 0),
        ("epsilon", documented(float, "probability of a random macro-action"), 0.0),
        ("greedy", documented(bool | None, "the most probable macro-actions, or (False) drawn ones"), None),
        ("best", documented(bool, "the learner of each member's best evaluation, not the last one"), False),
        ("env", documented(str | None, "judge in this environment (default: the one trained on)"), None),
        ("policy", documented(str | None, "without a run: " + " or ".join(BASELINES)), None),
        ("gamma", documented(float, "without a run: the discount"), 0.99),
        ("durations", documented(bool, "show how long macro-actions took"), False),
        ("json", documented(bool, "everything, durations included, as one line of JSON"), False),
    ]
    made = [(name, kind, dataclasses.field(default=default)) for name, kind, default in fields]
    if env_id is not None:
        options = env_options_class(env_id)
        made.append(("env_options", options, dataclasses.field(default_factory=options)))
    return dataclasses.make_dataclass("Eval", made, frozen=True)


def command_eval(arguments: Sequence[str]) -> int:
    """Print a table (or JSON) of returns, success and lengths per member."""
    from jaxmac.evaluation.episodes import evaluate, evaluate_policy

    env_id = peek(arguments, "--env", "") or _trained_on(arguments)
    given = parse("eval", _eval_class(env_id), arguments)
    options = given_env_options(env_id, given.env_options, arguments) if env_id else {}
    if given.run is not None:
        if given.policy is not None:
            raise ValueError("--policy goes with --env, not with a run")
        asked = {name: getattr(given, name) for name in ("epsilon", "greedy", "best", "env")}
        rows = evaluate(given.run, given.episodes, given.seed, given.member, env_options=options, **asked)
    elif given.env is not None:
        env = envs.make(given.env, **options)
        name = given.policy or "scripted"
        policy = baseline_policy(name, env)
        found = evaluate_policy(env, policy, given.episodes, given.seed, gamma=given.gamma, epsilon=given.epsilon)
        rows = [{"policy": name, **found}]
    else:
        raise ValueError("name a run directory or an environment (--env ID)")
    print(json.dumps(_finite(rows))) if given.json else _print_tables(rows, given.durations)
    return 0


def _trained_on(arguments: Sequence[str]) -> str | None:
    """The environment id of the run among the arguments, None where there is none."""
    from jaxmac.runs.directory import read_config

    for argument in arguments:
        if not argument.startswith("-") and (Path(argument) / "config.json").exists():
            config = read_config(argument)
            return config["env"] if config["env_rebuildable"] else None
    return None


def _finite(value: Any) -> Any:
    """The same without NaN, which JSON has not."""
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _print_tables(rows: list[dict[str, Any]], durations: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    first = list(rows[0])
    named = first[: first.index("episodes")]
    told = ("return [95 %]", "std", "discounted", "success", "length")
    table = Table(*named, *told, title=f"{rows[0]['episodes']} episodes each")
    for row in rows:
        mean = f"{row['mean']:.2f} [{_cell(row['low'])}, {_cell(row['high'])}]"
        shown = (row[name] for name in ("std", "discounted_mean", "success", "length"))
        table.add_row(*(str(row[name]) for name in named), escape(mean), *map(_cell, shown))
    console.print(table)
    for row in rows if durations else []:
        _print_durations(console, ", ".join(f"{name} {row[name]}" for name in named), row["durations"])


def _print_durations(console: Any, title: str, durations: list[dict[str, Any]]) -> None:
    """Every macro-action that was chosen at all."""
    from rich.table import Table

    table = Table("agent", "macro-action", "ended", "mean", "cut off", "steps: count", title=title)
    for agent, actions in enumerate(durations):
        for name, found in actions.items():
            if found["completed"] or found["unfinished"]:
                counts = ", ".join(f"{steps}: {count}" for steps, count in found["histogram"].items())
                cells = (found["completed"], found["mean"], found["unfinished"])
                table.add_row(str(agent), name, *map(_cell, cells), counts)
    console.print(table)


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    return f"{value:.2f}" if isinstance(value, float) else str(value)
