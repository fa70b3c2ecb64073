"""Several runs beside each other: curves by task, final tables, pairwise improvement, settings that differ."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from jaxmac import envs
from jaxmac.analysis import statistics
from jaxmac.analysis.curves import Panel
from jaxmac.analysis.returns import final_returns
from jaxmac.runs.result import Result, load, members_alike

ALL_TASKS = "all tasks"
ENDS = ("", "_low", "_high")
AGGREGATES = {"mean": statistics.mean, "iqm": statistics.interquartile_mean, "median": statistics.median}


@dataclass(frozen=True)
class Line:
    """The members of a run that differ in their seed only: one curve."""

    label: str
    task: str  # the environment, with the options that were given
    run: int  # which of the runs
    members: list[int]  # and which of its members
    episodes: np.ndarray  # [evaluations]
    returns: np.ndarray  # [evaluations, members]
    best_known: float | None  # return of the best policy known for the task
    proven: bool  # that no better one exists


def compare(
    runs: Sequence[Result | str | os.PathLike], window: int = 10, solved: float = 0.95
) -> dict[str, list[dict[str, Any]]]:
    """Final returns of several runs, the mean of each member's last `window` evaluations, as lists of rows.

    `"final"`: for each task and label `members`, `best_known` return, `mean`, `iqm` (interquartile mean), `median`
    and `gap` (mean shortfall from the best known return, as a share of it), each with the ends of its 95 %
    bootstrap interval (`mean_low`, ...), and `solved`: members at or above the share `solved` of the best known.
    Where every task has a positive one, rows of the task "all tasks" follow for labels that are in all of several
    tasks: the same of returns as shares of the best known ones, with the tasks as strata.
    `"improvement"`: for each task and ordered pair the `probability` (`low`, `high`) that a member of `label` beats
    one of `over`.
    `"differences"`: for each setting that differs, `setting` and its `values`, one per run (None: it has none).

    Raises ValueError for no runs, RunDirectoryError for one that cannot be read.
    """
    results = [run if isinstance(run, Result) else load(run) for run in runs]
    lines = gather(results)
    scores = scores_by_task(lines, window)
    finals, improvement = [], []
    for task, found in scores.items():
        best = {line.best_known for line in lines if line.task == task}
        best_known = 1.0 if task == ALL_TASKS else best.pop() if len(best) == 1 else None
        finals += [_final_row(task, label, tasks, best_known, solved) for label, tasks in found.items()]
        improvement += [_improvement_row(task, a, b, found) for a in found for b in found if a != b]
    return {"final": finals, "improvement": improvement, "differences": differences(results)}


def gather(results: Sequence[Result]) -> list[Line]:
    """The curves of all runs, each with a label of its own within its task.

    A label is the algorithm with its swept values; curves that share one are told apart by the settings they differ
    in, or else by the name of their run. Raises ValueError for no runs.
    """
    if not results:
        raise ValueError("name at least one run")
    lines = []
    for number, result in enumerate(results):
        algorithm, env = result.config["algorithm"], result.env
        proven = env.optimal_return is not None
        best_known = env.optimal_return if proven else env.best_known_return
        for swept, members in members_alike(result).items():
            label = algorithm if swept == algorithm else f"{algorithm}, {swept}"
            episodes, returns = result.metrics["episodes"][:, members[0]], result.metrics["eval_return"][:, members]
            lines.append(Line(label, _task(result), number, members, episodes, returns, best_known, proven))
    for tell in (_by_settings, _by_name, _by_number):
        alike: dict[tuple[str, str], list[int]] = {}
        for number, line in enumerate(lines):
            alike.setdefault((line.task, line.label), []).append(number)
        for numbers in alike.values():
            if len(numbers) > 1:
                endings = tell([results[lines[number].run] for number in numbers])
                for number, ending in zip(numbers, endings, strict=True):
                    lines[number] = replace(lines[number], label=lines[number].label + ending)
    return lines


def _by_settings(results: Sequence[Result]) -> list[str]:
    """The fewest settings, the first ones, that tell all apart, but at most three."""
    known = {"preset", *(name for result in results for name in result.config["settings"])}
    known -= {name for result in results for name in result.config["sweep"]}
    rows = [row for row in differences(results) if row["setting"] in known]
    endings = [""] * len(results)
    for row in rows[:3]:
        if len(set(endings)) < len(endings):
            endings = [f"{end}, {row['setting']}={v}" for end, v in zip(endings, row["values"], strict=True)]
    return endings


def _by_name(results: Sequence[Result]) -> list[str]:
    return [f" ({name})" for name in run_names(results)]


def _by_number(results: Sequence[Result]) -> list[str]:
    return [f" #{number}" for number in range(1, len(results) + 1)]


def run_names(results: Sequence[Result]) -> list[str]:
    """What to call each run: its folder, or its number where it is not on disk."""
    return [f"run {n}" if r.path is None else Path(r.path).name for n, r in enumerate(results, start=1)]


def panels(lines: Sequence[Line], title: str = "") -> list[Panel]:
    """One panel of learning curves per task; `title` replaces the name of a lone one."""
    found = []
    for task in dict.fromkeys(line.task for line in lines):
        mine = [line for line in lines if line.task == task]
        shown = {line.label: (line.episodes, line.returns) for line in mine}
        best, proven = mine[0].best_known, mine[0].proven
        anchors = {} if proven or best is None else {"best known": best}
        found.append(Panel(task, shown, best if proven else None, anchors))
    return [found[0]._replace(title=title or found[0].title)] if len(found) == 1 else found


def scores_by_task(lines: Sequence[Line], window: int = 10) -> dict[str, dict[str, list[np.ndarray]]]:
    """Task -> label -> list of its final scores `[members]`; of `ALL_TASKS` one array per task, normalised."""
    scores: dict[str, dict[str, list[np.ndarray]]] = {}
    for line in lines:
        scores.setdefault(line.task, {})[line.label] = [final_returns(line.returns, window)]
    if len(scores) > 1 and all(line.best_known is not None and line.best_known > 0 for line in lines):
        best = {line.task: line.best_known for line in lines}
        common = [
            label for label in next(iter(scores.values())) if all(label in found for found in scores.values())
        ]
        if common:
            scores[ALL_TASKS] = {
                label: [found[label][0] / best[task] for task, found in scores.items()] for label in common
            }
    return scores


def differences(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Settings in which the runs differ: rows with `setting` and `values`, one per run (None: it has none)."""
    flat = [_settings(result) for result in results]
    names = dict.fromkeys(name for settings in flat for name in settings)
    rows = [{"setting": name, "values": [settings.get(name) for settings in flat]} for name in names]
    return [row for row in rows if any(value != row["values"][0] for value in row["values"])]


def _settings(result: Result) -> dict[str, Any]:
    """Everything that decides a run's numbers, by name; a swept setting is the list of its values."""
    config = result.config
    named = {name: config[name] for name in ("algorithm", "env", "preset", "seeds", "episodes", "backend")}
    options = {f"env_options.{name}": value for name, value in result.env.options.items()}
    versions = {f"versions.{name}": value for name, value in config["versions"].items()}
    return {**named, **options, **config["settings"], **config["sweep"], **versions}


def _task(result: Result) -> str:
    """The environment with those of its options that are not at their default."""
    env_id, usual = result.config["env"], {}
    if result.config["env_rebuildable"]:
        usual = {name: default for name, (_, default) in envs.env_options(env_id).items()}
    other = ", ".join(f"{k}={v}" for k, v in result.env.options.items() if k not in usual or v != usual[k])
    return f"{env_id} ({other})" if other else env_id


def _final_row(
    task: str, label: str, tasks: list[np.ndarray], best_known: float | None, solved: float
) -> dict[str, Any]:
    row: dict[str, Any] = {"task": task, "label": label, "members": sum(len(scores) for scores in tasks)}
    for name, statistic in AGGREGATES.items():
        row |= _with_ends(name, statistic(tasks))
    row |= {"best_known": best_known, **_with_ends("gap", (None, None, None)), "solved": None}
    if best_known is not None and best_known > 0:
        shares = [scores / best_known for scores in tasks]
        row |= _with_ends("gap", statistics.optimality_gap(shares))
        row["solved"] = sum(int((share >= solved).sum()) for share in shares)
    return row


def _with_ends(name: str, estimate: Sequence[Any]) -> dict[str, float | None]:
    numbers = [None if x is None else float(x) for x in estimate]
    return {f"{name}{end}": x for end, x in zip(ENDS, numbers, strict=True)}


def _improvement_row(task: str, label: str, over: str, scores: dict[str, list[np.ndarray]]) -> dict[str, Any]:
    found = statistics.probability_of_improvement(scores[label], scores[over])
    ends = {"probability": float(found.value), "low": float(found.low), "high": float(found.high)}
    return {"task": task, "label": label, "over": over, **ends}
