"""The command line: `jaxmac list | train | resume | eval | render | plot | export | bench`.

Exit status: 0 only when what was asked for was done, 2 for bad input (one line on stderr), 1 for a run that failed,
130 for an interrupted one.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from jaxmac import envs
from jaxmac.algorithms import ALGORITHMS, configure, entry
from jaxmac.cli.devices import DeviceArguments, join_processes
from jaxmac.cli.eval import command_eval
from jaxmac.cli.export import command_export
from jaxmac.cli.parsing import documented, env_options_class, given_env_options, parse, peek
from jaxmac.cli.plot import command_plot
from jaxmac.config import allowed, field_types
from jaxmac.errors import nearest
from jaxmac.processes.collective import is_main_process
from jaxmac.processes.joining import end, use_cpu_devices
from jaxmac.record.policy import BASELINES, baseline_policy
from jaxmac.runs.sinks import SINKS
from jaxmac.training.loop import TrainingError, train

USAGE = """usage: jaxmac COMMAND ...

  list                 environments, algorithms, presets   [--algorithm ID: its hyperparameters]
  train                train seeds (and swept values) together
  resume RUN           continue a run that was stopped, bit for bit as if it never had been
  eval RUN             fresh episodes of a run, with intervals   [--env ID --policy scripted|random]
  render RUN           animation of a learned policy     [--env ID --policy scripted|random: of an environment]
  plot RUN [RUN ...]   learning curves of several runs   [--out x.html: a page that compares them]
  export RUN           a member's policy as files that run without jaxmac, on NumPy alone
  bench                environment and training throughput

`jaxmac COMMAND --help` lists the options of a command."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE)
        return 0 if arguments else 2
    name, rest = arguments[0], arguments[1:]
    try:
        if name not in COMMANDS:
            raise ValueError(f"unknown command {name!r}; {nearest(name, COMMANDS)}")
        return COMMANDS[name](rest)
    except (ValueError, MemoryError, OSError) as error:
        return end(error, 2)
    except TrainingError as error:
        return end(error, 1)
    except KeyboardInterrupt as error:
        return end(error, 130)


def _train_class(algorithm: str, env_id: str, preset: str) -> tuple[type, Any]:
    """The arguments of `jaxmac train` for this algorithm and environment, and the config of its preset."""
    config = configure(algorithm, preset, envs.make(env_id), {})
    options = env_options_class(env_id)
    common = [
        ("algorithm", documented(str, "one of " + ", ".join(ALGORITHMS)), algorithm),
        ("env", documented(str, "an environment id (see `jaxmac list`)"), env_id),
        ("preset", documented(str, "one of " + ", ".join(entry(algorithm).presets)), preset),
        ("seeds", documented(str, "a number n (seeds 0..n-1) or a list such as 3,5,8"), "8"),
        ("episodes", documented(int, "training episodes per member"), 5000),
        ("out", documented(Path | None, "run directory (default: runs/ALGORITHM_ENV)"), None),
        ("overwrite", documented(bool, "replace a run that is there already"), False),
        (
            "sweep",
            documented(tuple[str, ...], "NAME=VALUE,VALUE ...: every combination runs with every seed"),
            (),
        ),
        ("chunk", documented(int | None, "iterations per compiled call; never changes the numbers"), None),
        ("checkpoint_every", documented(int, "evaluations between checkpoints"), 10),
        ("checkpoint_replay", documented(bool, "keep the replay in them, for `jaxmac resume`"), True),
        ("log", documented(str, "besides metrics.csv: " + ",".join(SINKS)), ""),
    ]
    fields: list[Any] = [(name, kind, dataclasses.field(default=default)) for name, kind, default in common]
    fields.append(("env_options", options, dataclasses.field(default_factory=options)))
    for field in dataclasses.fields(config):
        text = f"{field.metadata['help']} ({allowed(field)})"
        kind = documented(field_types(type(config))[field.name], text)
        fields.append((field.name, kind, dataclasses.field(default=getattr(config, field.name))))
    return dataclasses.make_dataclass("Train", fields, bases=(DeviceArguments,), frozen=True), config


def _parse_seeds(text: str) -> int | list[int]:
    try:
        return [int(part) for part in text.split(",")] if "," in text else int(text)
    except ValueError:
        raise ValueError(f"seeds={text!r}: expected a number or a list such as 3,5,8") from None


def _parse_sweep(items: Sequence[str], kinds: dict[str, type]) -> dict[str, list[Any]]:
    sweep = {}
    for item in items:
        name, _, values = item.partition("=")
        name = name.replace("-", "_")
        if name not in kinds:
            raise ValueError(f"unknown hyperparameter {name!r} in --sweep; {nearest(name, kinds)}")
        parse_one = (lambda v: {"true": True, "false": False}[v.lower()]) if kinds[name] is bool else kinds[name]
        try:
            sweep[name] = [parse_one(value) for value in values.split(",")]
        except (ValueError, KeyError):
            raise ValueError(f"--sweep {item}: expected {kinds[name].__name__} values") from None
    return sweep


def command_train(arguments: Sequence[str]) -> int:
    """Train and leave a run directory with metrics, curve, checkpoint and an animation of member 0."""
    algorithm = peek(arguments, "--algorithm", "avf-qplex")
    env_id = peek(arguments, "--env", "BoxPushing-10")
    preset = peek(arguments, "--preset", "tuned")
    arguments_class, config = _train_class(algorithm, env_id, preset)
    given = parse("train", arguments_class, arguments)
    use_cpu_devices(given.devices)
    join_processes(given)
    kinds = field_types(type(config))
    changed = {name: getattr(given, name) for name in kinds if getattr(given, name) != getattr(config, name)}
    out = given.out or Path("runs") / f"{algorithm}_{env_id}".replace("-", "_").lower()
    result = train(
        algorithm,
        env_id,
        preset=preset,
        seeds=_parse_seeds(given.seeds),
        episodes=given.episodes,
        env_options=given_env_options(env_id, given.env_options, arguments),
        sweep=_parse_sweep(given.sweep, kinds) or None,
        out=out,
        overwrite=given.overwrite,
        chunk=given.chunk,
        checkpoint_every=given.checkpoint_every,
        checkpoint_replay=given.checkpoint_replay,
        log=given.log,
        **changed,
    )
    _report(result, out)
    return 0 if result.status == "finished" else 130


def _report(result: Any, out: Path) -> None:
    from jaxmac.analysis.curves import final_returns

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
        env, presets = envs.make(given.env), list(entry(given.algorithm).presets)
        configs = [configure(given.algorithm, preset, env, {}) for preset in presets]
        name = Column("hyperparameter", no_wrap=True)
        table = Table(name, *presets, "allowed", "swept together", "meaning")
        for field in dataclasses.fields(configs[0]):
            values = [str(getattr(config, field.name)) for config in configs]
            traced = "yes" if field.metadata["traced"] else ""
            table.add_row(field.name, *values, allowed(field), traced, field.metadata["help"])
    console.print(table)
    return 0


def _render_class(env_id: str | None) -> type:
    """The arguments of `jaxmac render`: of a run, or of an environment with its options."""
    fields: list[Any] = [
        ("run", Annotated[Path | None, tyro.conf.Positional], None),
        ("member", documented(int, "member of the run"), 0),
        ("env", documented(str | None, "instead of a run: an environment id"), None),
        ("policy", documented(str, "without a run: " + " or ".join(BASELINES)), "scripted"),
        ("seed", documented(int, "of the episode"), 0),
        ("out", documented(Path | None, "the GIF to write (default: RUN/episode.gif or ENV_POLICY.gif)"), None),
    ]
    made = [(name, kind, dataclasses.field(default=default)) for name, kind, default in fields]
    if env_id is not None:
        options = env_options_class(env_id)
        made.append(("env_options", options, dataclasses.field(default_factory=options)))
    return dataclasses.make_dataclass("Render", made, frozen=True)


def command_render(arguments: Sequence[str]) -> int:
    """Write a GIF of a learned policy, or of an environment under a scripted or random one."""
    from jaxmac.analysis.animation import animate
    from jaxmac.runs.result import load

    given = parse("render", _render_class(peek(arguments, "--env", "") or None), arguments)
    if (given.run is None) == (given.env is None):
        raise ValueError("name a run directory or an environment (--env ID), one of the two")
    if given.run is not None:
        print(load(given.run).render(given.member, given.out or given.run / "episode.gif", given.seed))
        return 0
    env = envs.make(given.env, **given_env_options(given.env, given.env_options, arguments))
    policy = baseline_policy(given.policy, env)
    out = given.out or Path(f"{given.env}_{given.policy}".replace("-", "_").lower() + ".gif")
    print(animate(env, policy, given.seed, out))
    return 0


@dataclasses.dataclass(frozen=True)
class ResumeArguments(DeviceArguments):
    """Continue a run that was stopped."""

    run: Annotated[Path, tyro.conf.Positional]
    episodes: int | None = None
    """train up to so many episodes instead"""
    iteration: Annotated[int | None, tyro.conf.arg(name="from")] = None
    """the checkpoint to continue from (default: the last one)"""


def command_resume(arguments: Sequence[str]) -> int:
    """Continue a run from its last complete checkpoint."""
    from jaxmac.training.resume import resume

    given = parse("resume", ResumeArguments, arguments)
    use_cpu_devices(given.devices)
    join_processes(given)
    result = resume(given.run, episodes=given.episodes, iteration=given.iteration)
    _report(result, given.run)
    return 0 if result.status == "finished" else 130


def command_bench(arguments: Sequence[str]) -> int:
    """Throughput of environments and training."""
    from jaxmac.bench.run import BenchArguments, bench

    return bench(parse("bench", BenchArguments, arguments))


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "list": command_list,
    "train": command_train,
    "resume": command_resume,
    "eval": command_eval,
    "render": command_render,
    "plot": command_plot,
    "export": command_export,
    "bench": command_bench,
}

if __name__ == "__main__":
    sys.exit(main())
