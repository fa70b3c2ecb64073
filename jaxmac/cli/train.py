"""`jaxmac train`: train several seeds and swept values together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxmac import envs
from jaxmac.algorithms.registry import ALGORITHMS, configure, owners_of, refusal
from jaxmac.cli.devices import DeviceArguments, join_processes
from jaxmac.cli.parsing import (
    documented,
    given_env_options,
    make_arguments_class,
    parse,
    parse_seeds,
    parse_sweep,
    peek,
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
    use_cpu_devices(given.devices)
    join_processes(given)
    kinds = field_types(type(config))
    changed = {name: getattr(given, name) for name in kinds if getattr(given, name) != getattr(config, name)}
    changed |= chosen
    out = given.out or Path("runs") / f"{algorithm}_{env_id}".replace("-", "_").lower()
    result = train(
        algorithm,
        env_id,
        preset=preset,
        seeds=parse_seeds(given.seeds),
        episodes=given.episodes,
        env_options=given_env_options(env_id, given.env_options, arguments),
        sweep=parse_sweep(given.sweep, kinds, explain) or None,
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
    from jaxmac.analysis.returns import final_returns

    if not is_main_process():
        return
    if len(result.metrics["episodes"]):
        final = final_returns(result.metrics["eval_return"])
        best = result.env.optimal_return
        against = "" if best is None else f" (optimum {best:.1f})"
        print(f"mean of the last ten evaluations{against}: " + ", ".join(f"{value:.1f}" for value in final))
        print(f"metrics {out / 'metrics.csv'}, curve {out / 'curve.png'}")
    if result.status == "finished":
        best_member = int(final.argmax())
        print(f"animation {result.render(best_member, out / 'episode.gif')} (member {best_member})")
