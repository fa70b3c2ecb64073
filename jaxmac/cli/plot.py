"""`jaxmac plot`: learning curves of runs as a figure, a comparison of them as a page, or data for marl-eval."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from jaxmac.analysis.curves import SMOOTHED, check_axis, learning_curves
from jaxmac.analysis.returns import check_window
from jaxmac.arguments import FIGURES
from jaxmac.cli.parsing import parse, print_note, refuse_given
from jaxmac.errors import RunDirectoryError
from jaxmac.evaluation.comparison import check_solved, gather, panels
from jaxmac.runs.outputs import output_file
from jaxmac.runs.result import Result, load

SUFFIXES = (*FIGURES, ".html", ".json")


@dataclasses.dataclass(frozen=True)
class PlotArguments:
    """Plot the learning curves of runs, one panel per environment, or write a page that compares them.

    LABEL=RUN gives a run the label under which it is shown, in place of its algorithm.
    """

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    out: Path = Path("curves.png")
    """.png, .svg or .pdf for a figure, .html for a page with figures, tables and animations, .json for marl-eval"""
    title: str = ""
    """title of the figure or page"""
    x: str = "episodes"
    """horizontal axis of the curves: episodes, or steps of the environment (episodes, steps)"""
    y: str = "eval_return"
    """vertical axis of a figure: a column of metrics.csv from eval_return on, such as eval_success or grad_norm"""
    smooth: int = SMOOTHED
    """evaluations that a point of a curve is the mean of (1: no smoothing)"""
    window: int = 10
    """for the page and marl-eval: evaluations that a final return is the mean of"""
    solved: float = 0.95
    """for the page: share of the best known return from which on a member has solved the task"""


def command_plot(arguments: Sequence[str]) -> int:
    """Write the file that the suffix of --out asks for, and print its path."""
    given = parse("plot", PlotArguments, arguments)
    if not given.runs:
        raise ValueError("give at least one run directory")
    suffix = given.out.suffix.lower()
    check_axis(given.x)
    check_window(given.smooth, "smooth")
    check_window(given.window)
    check_solved(given.solved)
    if suffix != ".html":
        refuse_given(arguments, ["--solved"], f"is for a page (--out x.html), not for {suffix}")
    if suffix not in FIGURES:
        refuse_given(arguments, ["--y"], f"is for a figure, not for {suffix}")
    if suffix in FIGURES:
        refuse_given(arguments, ["--window"], f"is for final returns, which {suffix} does not show; see --smooth")
    if suffix == ".json":
        refuse_given(arguments, ["--title", "--x", "--smooth"], "is for a figure or page, not for .json")
    labels, paths = zip(*map(_labelled, given.runs), strict=True)
    results = _runs_with_evaluations(labels, paths)
    for result in results:
        try:
            check_axis(given.x, given.y, result.config.get("diagnostics", ()))
        except ValueError as error:
            raise ValueError(f"{result.path} ({result.config['algorithm']}): {error}") from None
    own = {path.resolve() for path in paths}
    may = ("curve.png",) if given.out.resolve().parent in own else ()
    out = output_file(given.out, SUFFIXES, writes=may)  # last: it makes the folder
    if suffix == ".json" and out.exists() and not _is_marl_eval(out):
        raise FileExistsError(f"--out {out} holds something that `jaxmac plot` did not write: choose another name")
    _write(results, given, out, suffix)
    print(out)
    return 0


def _labelled(given: Path) -> tuple[str, Path]:
    """The label and the run directory of `LABEL=RUN`; a folder that is there is taken as it is called."""
    label, equals, path = str(given).partition("=")
    labels = equals and label and path and "/" not in label and not given.exists()
    return (label, Path(path)) if labels else ("", given)


def _runs_with_evaluations(labels: Sequence[str], paths: Sequence[Path]) -> list[Result]:
    """The runs that have anything to plot; a note says which have not, and which are not finished.

    Raises RunDirectoryError if a run cannot be read, or none has an evaluation.
    """
    results = []
    for label, path in zip(labels, paths, strict=True):
        result = dataclasses.replace(load(path, need_rows=False), label=label)
        reached, total = np.nan_to_num(result.metrics["episodes"]), result.config["episodes"]
        if not len(reached):
            print_note(f"{path} has no evaluation yet: it is left out")
            continue
        results.append(result)
        if result.status != "finished":
            low, high = (int(ends(reached.max(axis=0))) for ends in (np.min, np.max))
            far = f"{high}" if low == high else f"{low} to {high}"
            total = max(total, high)  # training rounds it up
            print_note(f"{path} is not finished ({result.status}): plotted up to {far} of {total} episodes")
    if not results:
        raise RunDirectoryError(f"nothing to plot: {', '.join(map(str, paths))} has no evaluation yet")
    return results


def _is_marl_eval(path: Path) -> bool:
    """Whether a file is empty or has the layout that `jaxmac plot` writes: family, task, algorithm, seed, steps."""
    try:
        content = json.loads(path.read_text(encoding="utf-8") or "{}")
        tasks = [task for family in content.values() for task in family.values()]
        seeds = [seed for task in tasks for algorithm in task.values() for seed in algorithm.items()]
        ours = all(name.startswith("seed_") and "absolute_metrics" in steps for name, steps in seeds)
        return not content or (bool(seeds) and ours)
    except (ValueError, AttributeError, TypeError):
        return False


def _write(results: Sequence[Result], given: PlotArguments, out: Path, suffix: str) -> None:
    if suffix in FIGURES:
        drawn = panels(gather(results, given.x, given.y), given.title, given.y)
        if given.title and len(drawn) > 1:
            raise ValueError(f"--title is for a figure of one environment; these runs are on {len(drawn)}")
        learning_curves(drawn, out, given.smooth, given.x)
    elif suffix == ".html":
        from jaxmac.evaluation.report import html_report

        out.write_text(
            html_report(results, given.title, given.window, given.solved, given.x, given.smooth), encoding="utf-8"
        )
    else:
        from jaxmac.evaluation.marl_eval import marl_eval_data

        out.write_text(json.dumps(marl_eval_data(results, given.window), indent=2) + "\n")
