"""Comparing runs: learning curves by task, tables of final returns, pairwise improvement, differing settings.

A task is an environment with its options. A line is the members of one run that differ in their seed only.
"""

from __future__ import annotations

import numbers
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from jaxmac.analysis import statistics
from jaxmac.analysis.curves import Panel
from jaxmac.analysis.returns import Curve, check_window, final_returns
from jaxmac.envs.arguments import python_value
from jaxmac.envs.environment import Environment
from jaxmac.envs.shapes import one_line
from jaxmac.runs.members import settings_of_run
from jaxmac.runs.result import Result, curves, load, members_alike, task_of

ALL_TASKS = "all tasks"
SUFFIXES = ("", "_low", "_high")  # of the columns of an estimate and the ends of its interval
AGGREGATES = {"mean": statistics.mean, "iqm": statistics.interquartile_mean, "median": statistics.median}


@dataclass(frozen=True)
class Line:
    """The members of a run that differ in their seed only; they give one learning curve."""

    label: str
    task: str  # the environment, with the options that were given
    run: int  # index of the run
    members: list[int]  # indices of the members within the run
    curve: Curve
    env: Environment

    @property
    def best_known(self) -> float | None:
        """The return of the optimum, or else of the best plan known; None where there is neither."""
        best = Panel.on(self.env, "", {}).best
        return None if best is None else best[1]


Runs = Sequence[Result | str | os.PathLike] | Mapping[str, Result | str | os.PathLike]


def results_of(runs: Runs) -> list[Result]:
    """Results or run directories as results; the keys of a dict become their labels.

    Raises ValueError, in one line, for anything else; RunDirectoryError if a run cannot be read.
    """
    if isinstance(runs, Mapping):
        labels, runs = list(runs), list(runs.values())
        if wrong := next((label for label in labels if not isinstance(label, str) or not label), None):
            raise ValueError(f"runs has the label {wrong!r}, but must have words")
        return [replace(result, label=label) for label, result in zip(labels, results_of(runs), strict=True)]
    if isinstance(runs, str | os.PathLike | Result) or not isinstance(runs, Sequence):
        shown = one_line(runs)
        raise ValueError(
            f"runs is {shown}, but must be a list of results or run directories, or a dict, label -> run"
        )
    for run in runs:
        if not isinstance(run, str | os.PathLike | Result):
            raise ValueError(f"runs has {one_line(run)}, but must have results or run directories")
    return [run if isinstance(run, Result) else load(run) for run in runs]


def compare(runs: Runs, window: int = 10, solved: float = 0.95) -> dict[str, list[dict[str, Any]]]:
    """Compare the final returns of runs. A final return is the mean of a member's last `window` evaluations.

    Args:
        runs: results or run directories, or a dict from the labels that they are to have.
        window: evaluations that a final return is the mean of.
        solved: share of the best known return from which on a member has solved the task.

    Returns:
        Three lists of rows.

        * `"final"`, one row for each task and label: `members` (their number), `best_known` (return), `solved` (how
          many members solved the task), and the estimates `mean`, `iqm` (interquartile mean), `median` and `gap`
          (mean shortfall from the best known return, as a share of it), each with the ends of its 95 % bootstrap
          interval (`mean_low`, `mean_high`, ...). If there are several tasks and all have a positive best known
          return, rows of the task "all tasks" follow for the labels that occur in every task. They are about
          returns divided by the best known one, with the tasks as strata.
        * `"improvement"`, one row for each task and ordered pair of labels: the `probability` (with `low`, `high`)
          that a member of `label` has a higher final return than a member of `over`.
        * `"differences"`, one row for each setting that differs: `setting` and its `values`, one per run, None for
          a run that does not have the setting.

    Raises:
        ValueError: there are no runs, `window` is no positive integer, or `solved` is not above 0 and at most 1.
        RunDirectoryError: a run cannot be read.
    """
    check_window(window)
    check_solved(solved)
    results = results_of(runs)
    lines = gather(results)
    scores = scores_by_task(lines, window)
    final, improvement = [], []
    for task, own in scores.items():
        best = {line.best_known for line in lines if line.task == task}
        best_known = 1.0 if task == ALL_TASKS else best.pop() if len(best) == 1 else None
        final += [_final_row(task, label, tasks, best_known, solved) for label, tasks in own.items()]
        improvement += [_improvement_row(task, a, b, own) for a in own for b in own if a != b]
    return {"final": final, "improvement": improvement, "differences": differences(results)}


def check_solved(solved: Any) -> None:
    """Raise a one-line ValueError for what is no share of the best known return."""
    share = python_value(solved)
    if not isinstance(share, numbers.Real) or isinstance(share, bool) or not 0 < float(share) <= 1:
        raise ValueError(
            f"solved is {one_line(solved)}, but must be above 0 and at most 1: a share of the best known return"
        )


def gather(results: Sequence[Result], x: str = "episodes", y: str = "eval_return") -> list[Line]:
    """The lines of all runs, each with a label that is unique within its task; `x` and `y` as for `Result.plot`.

    A label is that of the run, or else its algorithm, with its swept values. Lines that would share a label are
    distinguished by the settings in which they differ, or else by the name of their run. Raises ValueError if there
    are no runs.
    """
    if not results:
        raise ValueError("give at least one run")
    lines = []
    for number, result in enumerate(results):
        algorithm, found = result.config["algorithm"], curves(result, x, y)
        for swept, members in members_alike(result).items():
            name = result.label or algorithm
            label = name if swept == algorithm else f"{name}, {swept}"
            lines.append(Line(label, task_of(result), number, members, found[swept], result.env))
    for distinguish in (_by_settings, _by_name, _by_number):
        same_label: dict[tuple[str, str], list[int]] = {}
        for index, line in enumerate(lines):
            same_label.setdefault((line.task, line.label), []).append(index)
        for indices in same_label.values():
            if len(indices) > 1:
                suffixes = distinguish([results[lines[index].run] for index in indices])
                for index, suffix in zip(indices, suffixes, strict=True):
                    lines[index] = replace(lines[index], label=lines[index].label + suffix)
    return lines


def _by_settings(results: Sequence[Result]) -> list[str]:
    """Suffixes with the first settings that distinguish the runs, three at most."""
    known = {"preset", *(name for result in results for name in settings_of_run(result.specs))}
    known -= {name for result in results for name in result.config["sweep"]}
    rows = [row for row in differences(results) if row["setting"] in known]
    suffixes = [""] * len(results)
    for row in rows[:3]:
        if len(set(suffixes)) < len(suffixes):
            suffixes = [f"{text}, {row['setting']}={v}" for text, v in zip(suffixes, row["values"], strict=True)]
    return suffixes


def _by_name(results: Sequence[Result]) -> list[str]:
    return [f" ({name})" for name in run_names(results)]


def _by_number(results: Sequence[Result]) -> list[str]:
    return [f" #{number}" for number in range(1, len(results) + 1)]


def run_names(results: Sequence[Result]) -> list[str]:
    """The name of each run: that of its folder, or its number if it was not written to disk."""
    return [f"run {n}" if r.path is None else Path(r.path).name for n, r in enumerate(results, start=1)]


def panels(lines: Sequence[Line], title: str = "", y: str = "eval_return") -> list[Panel]:
    """One panel of curves of the column `y` per task. `title` replaces the name of a task that is the only one."""
    made = []
    for task in dict.fromkeys(line.task for line in lines):
        own = [line for line in lines if line.task == task]
        made.append(Panel.on(own[0].env, task, {line.label: line.curve for line in own}, y))
    return [made[0]._replace(title=title or made[0].title)] if len(made) == 1 else made


def scores_by_task(lines: Sequence[Line], window: int = 10) -> dict[str, dict[str, list[np.ndarray]]]:
    """Task -> label -> a list with the final returns `[members]`.

    The task `ALL_TASKS` is added under the conditions that `compare` states. Its lists hold one array per task, of
    final returns divided by the best known return.
    """
    scores: dict[str, dict[str, list[np.ndarray]]] = {}
    for line in lines:
        scores.setdefault(line.task, {})[line.label] = [final_returns(line.curve.returns, window)]
    if len(scores) > 1 and all(line.best_known is not None and line.best_known > 0 for line in lines):
        best = {line.task: line.best_known for line in lines}
        common = [label for label in next(iter(scores.values())) if all(label in own for own in scores.values())]
        if common:
            scores[ALL_TASKS] = {
                label: [own[label][0] / best[task] for task, own in scores.items()] for label in common
            }
    return scores


def differences(results: Sequence[Result]) -> list[dict[str, Any]]:
    """The settings in which runs differ: rows with `setting` and `values`, one per run, None where it has none."""
    flat = [_settings(result) for result in results]
    names = dict.fromkeys(name for settings in flat for name in settings)
    rows = [{"setting": name, "values": [settings.get(name) for settings in flat]} for name in names]
    return [row for row in rows if any(value != row["values"][0] for value in row["values"])]


def _settings(result: Result) -> dict[str, Any]:
    """Everything that determines the numbers of a run, by name. A swept setting is the list of its values."""
    config = result.config
    named = {name: config[name] for name in ("algorithm", "env", "preset", "seeds", "episodes", "backend")}
    options = {f"env_options.{name}": value for name, value in result.env.options.items()}
    versions = {f"versions.{name}": value for name, value in config["versions"].items()}
    return {**named, **options, **settings_of_run(result.specs), **config["sweep"], **versions}


def _final_row(
    task: str, label: str, tasks: list[np.ndarray], best_known: float | None, solved: float
) -> dict[str, Any]:
    """The row of a label in the table of final returns; `tasks` are its scores, one array per task."""
    row: dict[str, Any] = {"task": task, "label": label, "members": sum(len(scores) for scores in tasks)}
    for name, statistic in AGGREGATES.items():
        row |= _with_interval(name, statistic(tasks))
    row |= {"best_known": best_known, **_with_interval("gap", (None, None, None)), "solved": None}
    if best_known is not None and best_known > 0:
        shares = [scores / best_known for scores in tasks]
        row |= _with_interval("gap", statistics.optimality_gap(shares))
        row["solved"] = sum(int((share >= solved).sum()) for share in shares)
    return row


def _with_interval(name: str, estimate: Sequence[Any]) -> dict[str, float | None]:
    """The columns of an estimate `(value, low, high)`."""
    numbers = [None if x is None else float(x) for x in estimate]
    return {f"{name}{suffix}": x for suffix, x in zip(SUFFIXES, numbers, strict=True)}


def _improvement_row(task: str, label: str, over: str, scores: dict[str, list[np.ndarray]]) -> dict[str, Any]:
    """How likely a member of `label` is to beat a member of `over`."""
    estimate = statistics.probability_of_improvement(scores[label], scores[over])
    columns = zip(("probability", "low", "high"), map(float, estimate), strict=True)
    return {"task": task, "label": label, "over": over, **dict(columns)}
