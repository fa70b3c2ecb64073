"""`jaxmac train`: train several seeds and swept values together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxmac import envs
from jaxmac.algorithms.registry import ALGORITHMS, configure, owners_of, refusal
from jaxmac.cli.devices import DeviceArguments, join_processes
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
from jaxmac.config import allowed, choosing_fields, field_types, part_of, settings_of
from jaxmac.processes.collective import is_main_process
from jaxmac.processes.joining import use_cpu_devices
from jaxmac.runs.sinks import SINKS
from jaxmac.training.loop import train


def command_train(arguments: Sequence[str]) -> int:
    """Train, print final returns, animate an episode of the best member and return the exit status."""
    algorithm = peek(arguments, "--algorithm", "avf-qplex")
    env_id = peek(arguments, "--env", "BoxPushing-10")
    preset = peek(arguments, "--preset", "tuned")
    chosen = _chosen_parts(algorithm, arguments)
    arguments_class, config = _train_class(algorithm, env_id, preset, chosen)

    def explain(flag: str) -> str | None:
        setting = flag.lstrip("-").partition("=")[0].replace("-", "_").removeprefix("no_")
        return refusal(algorithm, setting, type(config)) if owners_of(setting) else None

    given = parse("train", arguments_class, arguments, explain)
    kinds = field_types(type(config))
    sweep = _sweep(given.sweep, kinds, arguments, explain)
    seeds = parse_seeds(given.seeds)
    use_cpu_devices(given.devices)
    join_processes(given)
    changed = {name: getattr(given, name) for name in kinds if getattr(given, name) != getattr(config, name)}
    changed |= chosen
    out = given.out or Path("runs") / f"{algorithm}_{env_id}".replace("-", "_").lower()
    result = train(
        algorithm,
        env_id,
        preset=preset,
        seeds=seeds,
        episodes=given.episodes,
        env_options=given_env_options(env_id, given.env_options, arguments),
        sweep=sweep or None,
        out=out,
        overwrite=given.overwrite,
        chunk=given.chunk,
        checkpoint_every=given.checkpoint_every,
        checkpoint_replay=given.checkpoint_replay,
        log=given.log,
        check_environment=given.check_environment,
        **changed,
    )
    report_result(result, out)
    return 0 if result.status == "finished" else 130


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
    fields = [
        ("algorithm", documented(str, "one of " + ", ".join(ALGORITHMS)), algorithm),
        ("env", documented(str, "environment id (`jaxmac list` shows them)"), env_id),
        ("preset", documented(str, "one of " + ", ".join(ALGORITHMS[algorithm].presets)), preset),
        ("seeds", documented(str, "a number n (seeds 0 to n-1) or a list such as 3,5,8"), "8"),
        ("episodes", documented(int, "training episodes of each member"), 5000),
        ("out", documented(Path | None, "run directory (default: runs/ALGORITHM_ENV)"), None),
        ("overwrite", documented(bool, "replace a run that is already there"), False),
        ("sweep", documented(tuple[str, ...], "NAME=VALUE,VALUE ...: train every combination with every seed"), ()),
        ("chunk", documented(int | None, "iterations per compiled call; does not change the numbers"), None),
        ("checkpoint_every", documented(int, "evaluations between checkpoints"), 10),
        ("checkpoint_replay", documented(bool, "keep the replay in checkpoints, for `jaxmac resume`"), True),
        ("log", documented(str, "besides metrics.csv, separated by commas: " + ", ".join(SINKS)), ""),
        (
            "check_environment",
            documented(bool, "check the contract of an environment from outside the library"),
            True,
        ),
    ]
    for name, field in settings_of(type(config)).items():
        owner = f"{part_of(field)}: " if part_of(field) else ""
        kind = documented(kinds[name], f"{owner}{field.metadata['help']} ({allowed(field)})")
        fields.append((name, kind, getattr(config, name)))
    description = "Train several seeds (and swept values) together, as one program, and write a run directory."
    return make_arguments_class(description, fields, env_id, (DeviceArguments,)), config


def report_result(result: Any, out: Path) -> None:
    """Print the final returns and the written files, and animate an episode of the best member."""
    if not is_main_process():
        return
    final = _final_returns(result)
    if any(value is not None for value in final):
        best = result.env.optimal_return
        against = "" if best is None else f" (optimum {best:.1f})"
        shown = ", ".join("-" if value is None else f"{value:.1f}" for value in final)
        print(f"mean of the last ten evaluations{against}: {shown}")
        print(f"metrics {out / 'metrics.csv'}, curve {out / 'curve.png'}")
    if result.status == "finished":
        best_member = int(np.argmax([value or 0.0 if value else -np.inf for value in final]))
        print(f"animation {result.render(best_member, out / 'episode.gif')} (member {best_member})")


def _final_returns(result: Any) -> list[float | None]:
    """The mean of each member's last ten evaluations; None for one that was not trained yet."""
    from jaxmac.analysis.returns import final_returns
    from jaxmac.runs.result import evaluations_of

    final: list[float | None] = []
    for member in range(len(result.members)):
        returns = result.metrics["eval_return"][: evaluations_of(result, [member]), [member]]
        final.append(float(final_returns(returns)[0]) if len(returns) else None)
    return final
