"""`jaxmac eval`: play fresh episodes with the learned policies of a run, or with a scripted or random policy."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from jaxmac import envs
from jaxmac.cli.parsing import documented, given_env_options, make_arguments_class, parse, peek, refuse_given
from jaxmac.cli.render import POLICIES
from jaxmac.cli.tables import print_line, print_table
from jaxmac.record.policy import BASELINES


def _eval_class(env_id: str | None) -> type:
    """The arguments of `jaxmac eval`, with the options of the environment if it is known."""
    fields = [
        ("run", Annotated[Path | None, tyro.conf.Positional], None),
        ("episodes", documented(int, "number of episodes for each member"), 1000),
        ("member", documented(int | None, "evaluate this member only"), None),
        ("seed", documented(int, "seed of the episodes"), 0),
        (
            "epsilon",
            documented(
                float | None,
                "probability of a random macro-action, of a policy that samples the share of uniform choices "
                "(default: the run's eval_epsilon, else 0)",
            ),
            None,
        ),
        (
            "greedy",
            documented(bool | None, "actor-critics: take the most probable macro-action, do not sample"),
            None,
        ),
        ("best", documented(bool, "the learner of each member's best evaluation instead of the last one"), False),
        ("env", documented(str | None, "environment to evaluate in (default: the one trained on)"), None),
        ("policy", documented(str | None, "without a run: " + POLICIES), None),
        ("gamma", documented(float, "without a run: the discount"), 0.99),
        ("durations", documented(bool, "print how long macro-actions took"), False),
        ("json", documented(bool, "print everything, durations included, as one line of JSON"), False),
    ]
    description = "Play fresh episodes with the learned policies of a run, or with a scripted or random policy."
    return make_arguments_class(description, fields, env_id)


def command_eval(arguments: Sequence[str]) -> int:
    """Print a table, or JSON, with returns, success and length of each member."""
    from jaxmac.evaluation.episodes import evaluate, evaluate_policy
    from jaxmac.export.zoo import policy_by_name, policy_title

    env_id = peek(arguments, "--env", "") or _trained_on(arguments)
    given = parse("eval", _eval_class(env_id), arguments)
    options = given_env_options(env_id, given.env_options, arguments) if env_id else {}
    if given.run is not None:
        refuse_given(arguments, ["--policy"], "is for --env without a run: a run has its own policies")
        refuse_given(arguments, ["--gamma"], "is for --env without a run: members have their own discount")
        settings = {name: getattr(given, name) for name in ("epsilon", "greedy", "best", "env")}
        rows = evaluate(given.run, given.episodes, given.seed, given.member, env_options=options, **settings)
    elif given.env is not None:
        name = given.policy or "scripted"
        refuse_given(arguments, ["--member", "--best", "--greedy"], "is for a run: a policy by name is one learner")
        if name in BASELINES:
            refuse_given(
                arguments, ["--epsilon"], "is for learned policies: scripted and random ones do not explore"
            )
        env = envs.make(given.env, **options)
        policy = policy_by_name(name, env)
        epsilon = 0.0 if given.epsilon is None else given.epsilon
        row = evaluate_policy(env, policy, given.episodes, given.seed, gamma=given.gamma, epsilon=epsilon)
        rows = [{"policy": policy_title(name, env), **row}]
    else:
        raise ValueError("give a run directory or an environment (--env ID)")
    print(json.dumps(_nan_to_none(rows))) if given.json else _print_tables(rows, given.durations)
    return 0


def _trained_on(arguments: Sequence[str]) -> str | None:
    """The environment id of the run directory among the arguments; None if there is no run or no id.

    Raises RunDirectoryError, in one line that names the run, if it cannot be read or its environment is unknown.
    """
    from jaxmac.runs.directory import RunDirectoryError, read_config
    from jaxmac.runs.plugins import refuse_missing_plugins

    for argument in arguments:
        if not argument.startswith("-") and (Path(argument) / "config.json").exists():
            config = read_config(argument)
            refuse_missing_plugins(argument, config)
            if not config["env_rebuildable"]:
                return None
            try:
                envs.env_options(config["env"])
            except ValueError as error:
                raise RunDirectoryError(f"{argument}/config.json: {error}") from None
            return config["env"]
    return None


def _nan_to_none(value: Any) -> Any:
    """The same with None for NaN, which JSON does not have."""
    if isinstance(value, dict):
        return {name: _nan_to_none(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_nan_to_none(one) for one in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _print_tables(rows: list[dict[str, Any]], durations: bool) -> None:
    """Print one line per row, and the durations of macro-actions if asked for."""
    names = list(rows[0])
    labels = names[: names.index("episodes")]  # member, seed and swept values, or the policy
    estimates = ("return [95 %]", "std", "discounted", "success", "length")
    cells = []
    for row in rows:
        mean = f"{row['mean']:.2f} [{_cell(row['low'])}, {_cell(row['high'])}]"
        others = (row[name] for name in ("std", "discounted_mean", "success", "length"))
        cells.append([*(str(row[name]) for name in labels), mean, *map(_cell, others)])
    print_line(f"{rows[0]['episodes']} episodes each")
    print_table([*labels, *estimates], cells)
    for row in rows if durations else []:
        print_line()
        _print_durations(", ".join(f"{name} {row[name]}" for name in labels), row["durations"])


def _print_durations(title: str, durations: list[dict[str, Any]]) -> None:
    """Print how often and how long every macro-action ran that was chosen at all."""
    cells = []
    for agent, actions in enumerate(durations):
        for name, runs in actions.items():
            if runs["completed"] or runs["unfinished"]:
                counts = ", ".join(f"{steps}: {count}" for steps, count in runs["histogram"].items())
                numbers = (runs["completed"], runs["mean"], runs["unfinished"])
                cells.append([str(agent), name, *map(_cell, numbers), counts])
    print_line(title)
    print_table(["agent", "macro-action", "ended", "mean", "cut off", "steps: count"], cells)


def _cell(value: Any) -> str:
    """A value of a table; a dash for what is unknown."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    return f"{value:.2f}" if isinstance(value, float) else str(value)
