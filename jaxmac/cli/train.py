"""`jaxmac train`: train several seeds and swept values together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from jaxmac import envs
from jaxmac.algorithms.registry import ALGORITHMS, configure, named_otherwise, owners_of, refusal
from jaxmac.cli.devices import DeviceArguments, join_processes
from jaxmac.cli.dry_run import print_plan
from jaxmac.cli.layers import fitting, names_of_flags, read_layers, words_of
from jaxmac.cli.parsing import (
    documented,
    given_env_options,
    given_flags,
    make_arguments_class,
    parse,
    parse_seeds,
    parse_sweep,
    peek,
    refuse_given,
)
from jaxmac.cli.words import option_types
from jaxmac.config import allowed, choosing_fields, field_types, is_switch, part_of, settings_of
from jaxmac.errors import first_line
from jaxmac.processes.collective import is_main_process
from jaxmac.processes.joining import use_cpu_devices
from jaxmac.runs.sinks import SINKS
from jaxmac.training.loop import train

# What a dry run shows beside the settings, with the defaults.
RUN_DEFAULTS: dict[str, Any] = {
    "algorithm": "avf-qplex",
    "env": "BoxPushing-10",
    "preset": "tuned",
    "seeds": 8,
    "episodes": 5000,
    "overwrite": False,
    "chunk": None,
    "checkpoint_every": 10,
    "checkpoint_replay": True,
    "log": "",
}
PARTS = ("algorithm", "env", "preset")
OTHER_DEFAULTS: dict[str, Any] = {
    "out": None,
    "config": None,
    "like": None,
    "dry_run": False,
    "sweep": (),
    "check_environment": True,
}


def command_train(arguments: Sequence[str]) -> int:
    """Train, print final returns, animate an episode of the best member and return the exit status."""
    layers, arguments = read_layers(arguments)
    words = [*words_of(layers), *arguments]
    algorithm, env_id, preset = (peek(words, f"--{name}", RUN_DEFAULTS[name]) for name in PARTS)
    chosen = _chosen_parts(algorithm, words)
    arguments_class, config = _train_class(algorithm, env_id, preset, chosen)
    explain = partial(_explain, algorithm, type(config))
    kinds, flags = field_types(type(config)), option_types(arguments_class)
    settings, of = settings_of(type(config)), f"{algorithm} on {env_id}"
    layers = [fitting(layer, flags, settings, of, explain) for layer in layers]
    words = [*words_of(layers), *arguments]
    given = parse("train", arguments_class, words, explain)
    sweep = _sweep(given.sweep, kinds, words, explain)
    seeds = parse_seeds(given.seeds)
    env_options = given_env_options(env_id, given.env_options, words)
    # The values of a preset may depend on the options of the environment.
    usual = configure(algorithm, preset, envs.make(env_id, **env_options), chosen)
    on_line = {name: getattr(given, name) for name in names_of_flags(words) & kinds.keys()}
    changed = {name: value for name, value in on_line.items() if value != getattr(usual, name)} | chosen
    use_cpu_devices(given.devices)
    join_processes(given)
    out = given.out or Path("runs") / f"{algorithm}_{env_id}".replace("-", "_").lower()
    options = {name: getattr(given, name) for name in RUN_DEFAULTS if name not in ("algorithm", "env")}
    options |= {"seeds": seeds, "env_options": env_options, "sweep": sweep or None, "out": out}
    if given.dry_run:
        print_plan(algorithm, env_id, run_defaults=RUN_DEFAULTS, hyperparameters=changed, **options)
        return 0
    result = train(algorithm, env_id, check_environment=given.check_environment, **options, **changed)
    report_result(result, out)
    return 0 if result.status == "finished" else 130


def _explain(algorithm: str, config_class: type, flag: str) -> str | None:
    """What is wrong with an option that is not one of `jaxmac train`, if it names a setting; else None."""
    given = flag.lstrip("-").partition("=")[0].replace("-", "_")
    setting = given.removeprefix("no_")
    own = settings_of(config_class)
    if given == setting or setting not in own:
        known = owners_of(setting) or named_otherwise(setting, config_class)
        return refusal(algorithm, setting, config_class) if known else None
    option = "--" + given.replace("_", "-")
    switch = f"write {setting}: false in a file, {option} on the command line"
    return f"{flag.partition('=')[0]}: " + (switch if is_switch(own[setting]) else f"{setting} is not a switch")


def _sweep(
    items: Sequence[str], kinds: dict[str, type], arguments: Sequence[str], explain: Callable[[str], str | None]
) -> dict[str, Sequence[Any]]:
    """The swept values; ValueError for none after --sweep, and for a setting that is also given on its own."""
    if not items and "--sweep" in given_flags(arguments):
        raise ValueError("--sweep needs NAME=VALUE,VALUE ...")
    sweep = parse_sweep(items, kinds, explain)
    flags = ["--" + name.replace("_", "-") for name in sweep]
    refuse_given(arguments, flags, "is given beside a sweep of it: choose one of the two")
    return sweep


def _chosen_parts(algorithm: str, arguments: Sequence[str]) -> dict[str, str]:
    """The settings on the command line that choose a part, such as the memory; its settings are options, too."""
    flags = {name: "--" + name.replace("_", "-") for name in choosing_fields(ALGORITHMS[algorithm].config)}
    given = {name: peek(arguments, flag, "") for name, flag in flags.items()}
    return {name: value for name, value in given.items() if value}


def _train_class(algorithm: str, env_id: str, preset: str, chosen: dict[str, str]) -> tuple[type, Any]:
    """The arguments of `jaxmac train` for these parts and this environment, and the config of the preset."""
    config = configure(algorithm, preset, envs.make(env_id), chosen)
    kinds = field_types(type(config))
    values = OTHER_DEFAULTS | RUN_DEFAULTS | {"algorithm": algorithm, "env": env_id, "preset": preset}
    values["seeds"] = str(values["seeds"])
    options = _run_options(algorithm).items()
    fields = [(name, documented(kind, text), values[name]) for name, (kind, text) in options]
    for name, field in settings_of(type(config)).items():
        owner = f"{part_of(field)}: " if part_of(field) else ""
        kind = documented(kinds[name], f"{owner}{field.metadata['help']} ({allowed(field)})")
        fields.append((name, kind, getattr(config, name)))
    description = "Train several seeds (and swept values) together, as one program, and write a run directory."
    return make_arguments_class(description, fields, env_id, (DeviceArguments,)), config


def _run_options(algorithm: str) -> dict[str, tuple[Any, str]]:
    """The options that are not settings of the algorithm: name -> type and help."""
    return {
        "algorithm": (str, "one of " + ", ".join(ALGORITHMS)),
        "env": (str, "environment id (`jaxmac list` shows them)"),
        "preset": (str, "one of " + ", ".join(ALGORITHMS[algorithm].presets)),
        "seeds": (str, "a number n (seeds 0 to n-1) or a list such as 3,5,8"),
        "episodes": (int, "training episodes of each member"),
        "out": (Path | None, "run directory (default: runs/ALGORITHM_ENV)"),
        "overwrite": (bool, "replace a run that is already there"),
        "config": (Path | None, "file of settings, YAML or JSON; flags on the line override it"),
        "like": (Path | None, "run directory whose settings are taken; flags and --config override"),
        "dry_run": (bool, "print what would be done, and end before anything compiles"),
        "sweep": (tuple[str, ...], "NAME=VALUE,VALUE ...: train every combination with every seed"),
        "chunk": (int | None, "iterations per compiled call; does not change the numbers"),
        "checkpoint_every": (int, "evaluations between checkpoints"),
        "checkpoint_replay": (bool, "keep the replay in checkpoints, for `jaxmac resume`"),
        "log": (str, "besides metrics.csv, separated by commas: " + ", ".join(SINKS)),
        "check_environment": (bool, "check an environment or mixer from outside the library before it learns"),
    }


def report_result(result: Any, out: Path) -> None:
    """Print the final returns and the written files, and animate an episode of the best member."""
    if not is_main_process():
        return
    final = _final_returns(result)
    if any(value is not None for value in final):
        best = result.env.optimal_return
        against = "" if best is None else f" (optimum {best:.1f})"
        shown = ", ".join("-" if value is None else f"{value:.1f}" for value in final)
        print(f"mean of {_averaged(result)}{against}: {shown}")
        print(f"metrics {out / 'metrics.csv'}, curve {out / 'curve.png'}")
    if result.status == "finished":
        best_member = int(np.argmax([-np.inf if value is None else value for value in final]))
        try:
            print(f"animation {result.render(best_member, out / 'episode.gif')} (member {best_member})")
        except (OSError, ValueError) as error:  # training has succeeded
            print(f"no animation: {first_line(error)}")


def _averaged(result: Any) -> str:
    """Which evaluations `_final_returns` is the mean of, in words."""
    from jaxmac.runs.result import evaluations_of

    most = max(evaluations_of(result, [member]) for member in range(len(result.members)))
    return "the last ten evaluations" if most >= 10 else f"all {most} evaluations" if most > 1 else "one evaluation"


def _final_returns(result: Any) -> list[float | None]:
    """The mean of each member's last ten evaluations, or of all if they are fewer; None where there are none."""
    from jaxmac.analysis.returns import final_returns
    from jaxmac.runs.result import evaluations_of

    final: list[float | None] = []
    for member in range(len(result.members)):
        returns = result.metrics["eval_return"][: evaluations_of(result, [member]), [member]]
        final.append(float(final_returns(returns)[0]) if len(returns) else None)
    return final
