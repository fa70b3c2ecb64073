"""Shared by all experiments: train jobs, keep their metrics, draw one figure and write one summary."""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

import jaxmac
from jaxmac.algorithms import configure
from jaxmac.algorithms.value_based import episodes_before_learning
from jaxmac.analysis import Curve, Panel, final_returns, learning_curves, random_return, solved_at, summary_table
from jaxmac.cli.scripts import ScriptParser
from jaxmac.envs import Environment
from jaxmac.errors import RunDirectoryError, nearest
from jaxmac.runs.checkpoint import saved_iterations
from jaxmac.runs.rows import tabulate
from jaxmac.training.resume import BROKEN

RESULTS = Path(__file__).parent / "results"
RUNS = Path("runs") / "experiments"
LINES = {
    "avf-qmix": "AVF-QMIX",
    "tomacvf-qmix": "ToMacVF-QMIX",
    "avf-vdn": "AVF-VDN",
    "mac-dec-q": "MacDec-Q",
    "mac-cen-q": "MacCen-Q",
    "avf-qplex": "AVF-QPLEX",
    "mac-iaicc": "Mac-IAICC",
}
"""Algorithms in the order of their lines' colours in every figure: these seven are solid, so that no two of similar
curves look alike."""
ONLY = "labels of the jobs to run (default: all jobs; without labels: only draw the stored metrics)"


@dataclass(frozen=True)
class Job:
    """One run of an experiment and its label in the figure."""

    label: str
    algorithm: str
    env: str | Environment
    episodes: int
    preset: str = "tuned"
    settings: dict[str, Any] = field(default_factory=dict)
    env_options: dict[str, Any] = field(default_factory=dict)


def arguments(description: str, seeds: Sequence[int], **extra: dict[str, Any]) -> argparse.Namespace:
    """The parsed flags of an experiment: seeds, jobs, episodes, devices and `extra` (name -> argparse options).

    An extra one with the option `positional` is an argument without a flag.
    """
    parser = ScriptParser(description)
    for name, options in extra.items():
        options = dict(options)
        parser.add_argument(name if options.pop("positional", False) else f"--{name}", **options)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(seeds), help="seeds (default: %(default)s)")
    parser.add_argument("--only", nargs="*", default=None, help=ONLY)
    parser.add_argument("--episodes", type=int, default=None, help="training episodes (default: each job's own)")
    parser.add_argument("--devices", type=int, default=os.cpu_count() or 1, help="virtual CPU devices")
    given = parser.parse_args()
    given.usual_seeds = list(seeds)
    jaxmac.use_cpu_devices(given.devices)
    return given


def run(
    name: str,
    title: str,
    jobs: Sequence[Job],
    given: argparse.Namespace,
    threshold: float,
    anchors: dict[str, float] | None = None,
) -> Path:
    """Train the jobs one after the other; write results/`name`/{LABEL.csv, curve.png, summary.json, summary.md}.

    A job that is not run again keeps its stored metrics, and one that was stopped goes on. `anchors` are returns to
    compare with, by label. Returns the folder.
    """
    folder, labels = RESULTS / name, [job.label for job in jobs]
    for label in given.only or ():
        if label not in labels:
            print(f"--only {label!r} is not a job of {name}; {nearest(label, labels)}", file=sys.stderr)
    wanted = [job for job in jobs if given.only is None or job.label in given.only]
    if given.only and not wanted:
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    for job in wanted:
        out = RUNS / name / _file(job)
        train_or_go_on(job, given.seeds, given.episodes or job.episodes, out)
        (folder / f"{_file(job)}.csv").write_text((out / "metrics.csv").read_text())
        (folder / f"{_file(job)}.json").write_text((out / "config.json").read_text())
        report(name, title, jobs, given, threshold, anchors or {})
    if not wanted:
        report(name, title, jobs, given, threshold, anchors or {})
    return folder


def folders(given: argparse.Namespace, experiment: str) -> Iterator[tuple[str, str]]:
    """Each environment asked for, and its folder `experiment`/ENVIRONMENT, while the summary names that part.

    Where only stored metrics are drawn, environments without any are left out.
    """
    for env_id in given.env:
        given.running = ["--env", env_id]
        folder = f"{experiment}/{slug(env_id)}"
        if given.only != [] or (RESULTS / folder).exists():
            yield env_id, folder


def train_or_go_on(
    job: Job, seeds: Sequence[int], episodes: int, out: Path, keep_finished: bool = False
) -> jaxmac.Result:
    """Go on with the run in `out` where this very job was stopped; else train it anew, over what `out` holds.

    With `keep_finished` a run of this very job that is finished is not trained again. Raises KeyboardInterrupt as
    `completed` does.
    """
    status = stored_status(job, seeds, episodes, out)
    if status == "finished" and keep_finished:
        return jaxmac.load(out)
    if status in (None, "finished", BROKEN):
        return train_anew(job, seeds, episodes, out)
    return completed(jaxmac.resume(out))


def train_anew(job: Job, seeds: Sequence[int], episodes: int, out: Path) -> jaxmac.Result:
    """Train a job over what `out` holds; raises KeyboardInterrupt as `completed` does."""
    options = {"preset": job.preset, "env_options": job.env_options, "out": out, "overwrite": True}
    options |= {"seeds": seeds, "episodes": episodes}
    return completed(jaxmac.train(job.algorithm, job.env, **options, **job.settings))


def completed(result: jaxmac.Result) -> jaxmac.Result:
    """The result of a finished run; raises KeyboardInterrupt for one stopped from the keyboard, which is none."""
    if result.status != "finished":
        raise KeyboardInterrupt
    return result


def stored_status(job: Job, seeds: Sequence[int], episodes: int, out: Path) -> str | None:
    """The status of the run in `out`; None if it has no checkpoint or differs in task, seeds, episodes or settings.

    Of an Environment that has no id nobody can say whether it is the same: it is None, too.
    """
    if isinstance(job.env, Environment) or not saved_iterations(out, 0):
        return None
    try:
        stored = jaxmac.load(out).config
    except RunDirectoryError:  # damaged: to be trained anew
        return BROKEN
    config = configure(job.algorithm, job.preset, jaxmac.make(job.env, **job.env_options), job.settings)
    asked = {"algorithm": job.algorithm, "env": job.env, "env_options": job.env_options}
    asked |= {"seeds": list(seeds), "episodes": episodes}
    settings = {one.name: getattr(config, one.name) for one in fields(config)}
    same = asked.items() <= stored.items() and settings == stored["settings"] | stored["hyperparameters"]
    return stored["status"] if same else None


def report(
    name: str,
    title: str,
    jobs: Sequence[Job],
    given: argparse.Namespace,
    threshold: float,
    anchors: dict[str, float],
) -> None:
    """Draw the figure and write the summary from the stored metrics."""
    folder, curves, rows = RESULTS / name, {}, []
    optima, known, random = set(), set(), set()
    for job in jobs:
        if not (folder / f"{_file(job)}.csv").exists():
            continue
        metrics, config = _read(folder, job)
        start = episodes_before_learning(config["settings"])
        curves[job.label] = Curve(metrics["episodes"][:, 0], metrics["eval_return"], start)
        env = job.env if isinstance(job.env, Environment) else jaxmac.make(job.env, **job.env_options)
        optima.add(config["optimal_return"])
        known.add(env.best_known_return)
        random.add(random_return(env))
        rows.append(_summary(job, metrics, config, threshold))
    optimum, best_known = (found.pop() if len(found) == 1 else None for found in (optima, known))
    # The script's return is the best known one where that is given.
    levels = {label: value for label, value in anchors.items() if label != "scripted play" or best_known is None}
    if not anchors and len(random) == 1 and random != {None}:
        levels = {"random play": random.pop()}
    if not rows:
        raise SystemExit(f"{folder} has no results yet: run the experiment without --only")
    order = [*LINES.values()] if curves.keys() <= set(LINES.values()) else []
    learning_curves([Panel(title, curves, optimum, best_known, levels)], folder / "curve.png", labels=order)
    content = {"title": title, "command": _command(given), "threshold": threshold, "rows": rows}
    content["anchors"] = anchors
    (folder / "summary.json").write_text(json.dumps(content, indent=2) + "\n")
    (folder / "summary.md").write_text(_markdown(content))


def _summary(job: Job, metrics: dict[str, np.ndarray], config: dict[str, Any], threshold: float) -> dict[str, Any]:
    episodes, returns = metrics["episodes"][:, 0], metrics["eval_return"]
    table = summary_table({job.label: (episodes, returns)}, threshold)[0]
    solved = solved_at(episodes, returns, threshold)
    return {
        **{name: None if value != value else value for name, value in table.items()},  # no interval of two members
        "algorithm": job.algorithm,
        "env": config["env"],
        "seeds": config["seeds"],
        "episodes": int(episodes[-1]),
        "optimum": config["optimal_return"],
        "discounted": float(final_returns(metrics["eval_discounted_return"]).mean()),
        "finals": [round(float(value), 2) for value in final_returns(returns)],
        "solved_at_median": None if np.isnan(solved).all() else float(np.nanmedian(solved)),
        "updates": int(metrics["updates"][-1].max()),
        "backend": {"cpu": "CPU", "gpu": "GPU"}.get(config["backend"], config["backend"]),
        "wall_seconds": round(float(metrics["wall_seconds"][-1].max()), 1),
    }


def _read(folder: Path, job: Job) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    config = json.loads((folder / f"{_file(job)}.json").read_text())
    with (folder / f"{_file(job)}.csv").open() as file:
        return tabulate(list(csv.DictReader(file)), [{} for _ in config["seeds"]]), config


def _markdown(content: dict[str, Any]) -> str:
    lines = [
        f"# {content['title']}",
        "",
        f"Command: `{content['command']}`",
        "",
        "Undiscounted return of the learned policies, mean of the last ten evaluations; 95 % bootstrap interval "
        f"over seeds; solved: members at {content['threshold']:g} or more. Machines: experiments/README.md.",
        "",
        "| | mean [interval] | optimum | solved | episodes (median of those that solve) | updates | discounted "
        "| wall s | on |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    # Returns of at most 1 are shares of episodes.
    small = max((abs(row["mean"]) for row in content["rows"]), default=0) <= 1
    digits = 2 if small else 1
    for row in content["rows"]:
        best = "-" if row["optimum"] is None else f"{row['optimum']:.1f}"
        when = "never" if row["solved_at_median"] is None else f"{row['solved_at_median']:.0f}"
        lines.append(
            f"| {row['label']} | {mean_in_words(row, digits)} | {best} "
            f"| {row['solved']} of {row['members']} | {row['episodes']} ({when}) | {row['updates']} "
            f"| {row['discounted']:.{digits}f} | {row['wall_seconds']:.0f} | {row['backend']} |"
        )
    lines += ["", *(f"{label}: {value:.4g}" for label, value in content["anchors"].items())]
    return "\n".join(lines).rstrip() + "\n"


def mean_in_words(row: dict[str, Any], digits: int) -> str:
    """The mean of a row with its interval in brackets, where there are enough members for one."""
    low, high = row["low"], row["high"]
    known = low is not None and not np.isnan(low)
    return f"{row['mean']:.{digits}f}" + (f" [{low:.{digits}f}, {high:.{digits}f}]" if known else "")


def _command(given: argparse.Namespace) -> str:
    """The command that produces the whole table, even if only a part of it was run this time."""
    part = list(getattr(given, "running", []))
    if getattr(given, "episodes", None):
        part += ["--episodes", str(given.episodes)]
    if getattr(given, "seeds", None) != getattr(given, "usual_seeds", None):
        part += ["--seeds", *map(str, given.seeds)]
    return shlex.join(["python", "-m", f"experiments.{Path(sys.argv[0]).stem}", *part])


def slug(env_id: str) -> str:
    """An environment's id as a file name: BoxPushing-10 -> box_pushing_10."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", env_id).replace("-", "_").lower()


def _file(job: Job) -> str:
    return re.sub(r"[^a-z0-9-]+", "_", job.label.lower())
