"""A comparison of runs as one self-contained HTML page: figures, tables, differing settings, animations."""

from __future__ import annotations

import base64
import io
import math
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from jaxmac.analysis.curves import SMOOTHED, learning_curves
from jaxmac.analysis.intervals import interval_figure
from jaxmac.analysis.profiles import profile_figure
from jaxmac.arguments import PAGE_MARK
from jaxmac.evaluation.comparison import (
    ALL_TASKS,
    SUFFIXES,
    Runs,
    compare,
    gather,
    panels,
    results_of,
    run_names,
    scores_by_task,
)
from jaxmac.evaluation.page import PAGE, SORT, glossary, percent, table
from jaxmac.runs.result import Result, task_of

# What matplotlib draws in black or grey takes the colours of the page, which has a dark mode.
THEME = {"#000000": "currentColor", "#404040": "currentColor", "#e6e6e6": "var(--grid)", "#e5e5e5": "var(--grid)"}
INTRODUCTION = '<p>Words and statistics are explained at the <a href="#words">end of the page</a>.</p>'
WIDTH = 4.7  # inches of an axes: two fit side by side, and one can be read on a phone


def html_report(
    runs: Runs,
    title: str = "",
    window: int = 10,
    solved: float = 0.95,
    x: str = "episodes",
    smooth: int = SMOOTHED,
) -> str:
    """The page as text.

    Args:
        runs: as for `jaxmac.compare`.
        title: the heading; empty: the tasks.
        window: as for `jaxmac.compare`.
        solved: as for `jaxmac.compare`.
        x: the horizontal axis of the curves, as for `Result.plot`.
        smooth: evaluations that a point of a curve is the mean of.

    Raises:
        ValueError: there are no runs, `x` is no axis, `window` or `smooth` is no positive integer, or `solved` is
            not above 0 and at most 1.
        RunDirectoryError: a run cannot be read.
    """
    results = results_of(runs)
    lines, compared = gather(results, x), compare(results, window, solved)
    by_task = {panel.title: panel for panel in panels(lines)}
    names, scores = run_names(results), scores_by_task(lines, window)
    labels = list(dict.fromkeys(line.label for line in lines))
    parts = [INTRODUCTION, _runs_table(results, names)]
    for number, (task, found) in enumerate(scores.items()):
        figures = []
        if task in by_task:
            curves = learning_curves([by_task[task]._replace(title="")], None, smooth, x, WIDTH, labels)
            figures.append(_figure(curves, f"c{number}", f"Learning curves on {task}: evaluation return"))
        unit = "share of the best known return" if task == ALL_TASKS else "final return"
        if task != ALL_TASKS:
            ends = interval_figure({label: tasks[0] for label, tasks in found.items()}, unit=unit, width=WIDTH)
            figures.append(_figure(ends, f"i{number}", f"Final returns on {task}"))
        profile = profile_figure(found, labels, unit=unit, width=WIDTH)
        figures.append(_figure(profile, f"p{number}", f"Performance profile on {task}"))
        parts += [f"<h2>{escape(task)}</h2>", f'<div class="row">{"".join(figures)}</div>']
        parts.append(_final_table([row for row in compared["final"] if row["task"] == task], task, solved))
        parts.append(
            _improvement_table([row for row in compared["improvement"] if row["task"] == task], list(found))
        )
    parts += [
        _differences_table(compared["differences"], names),
        _animations(results, names),
        glossary(window, solved),
    ]
    tasks = ", ".join(by_task)
    body = "\n".join(part for part in parts if part)
    return PAGE.substitute(mark=PAGE_MARK, title=escape(title or tasks), body=body, script=SORT)


def _figure(figure: Any, prefix: str, words: str) -> str:
    """A matplotlib figure as inline SVG with a caption. `prefix` makes its ids unique in the page."""
    import matplotlib as mpl

    text = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": prefix}):
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{prefix}-", svg)
    for colour, themed in THEME.items():
        svg = svg.replace(colour, themed)
    svg = svg.replace("<svg ", f'<svg role="img" aria-label="{escape(words)}" ', 1)
    return f"<figure>{svg}<figcaption>{escape(words)}</figcaption></figure>"


def _runs_table(results: Sequence[Result], names: Sequence[str]) -> str:
    """What was trained in each run, and how far it got."""
    head = ("run", "algorithm", "environment", "preset", "members", "episodes", "status")
    rows = []
    for name, result in zip(names, results, strict=True):
        config = result.config
        cells = [config["algorithm"], task_of(result), config["preset"]]
        reached = np.nan_to_num(result.metrics["episodes"]).max(axis=0, initial=0)
        trained = " to ".join(f"{int(count):,}" for count in sorted({reached.min(), reached.max()}))
        rows.append([name, *cells, str(len(result.members)), trained, result.status])
    return table("Runs", head, rows)


def _final_table(rows: Sequence[dict[str, Any]], task: str, solved: float) -> str:
    """The rows `"final"` of `compare` for one task."""
    head = [
        "line",
        "members",
        "mean",
        "interquartile mean",
        "median",
        "best known",
        "gap",
        f"solved ({percent(solved)})",
    ]
    best = "-" if not rows or rows[0]["best_known"] is None else f"{rows[0]['best_known']:.4g}"
    body = []
    for row in rows:
        gap = "-" if row["gap"] is None or math.isnan(row["gap"]) else percent(row["gap"], 1)
        count = "-" if row["solved"] is None else f"{row['solved']} of {row['members']}"
        found = [_with_interval(*(row[f"{name}{end}"] for end in SUFFIXES)) for name in ("mean", "iqm", "median")]
        body.append([row["label"], str(row["members"]), *found, best, gap, count])
    unit = ", as a share of the best known" if task == ALL_TASKS else ""
    return table(f"Final return on {task}{unit}", head, body)


def _with_interval(value: float, low: float, high: float, form: str = ".4g") -> str:
    """An estimate with its interval, which is left out where it is NaN; a dash for no number."""
    if math.isnan(value):
        return "-"
    return f"{value:{form}}" if math.isnan(low) else f"{value:{form}} [{low:{form}}, {high:{form}}]"


def _improvement_table(rows: Sequence[dict[str, Any]], labels: Sequence[str]) -> str:
    """The rows `"improvement"` of `compare` for one task, as a square; empty for a single label."""
    if not rows:
        return ""
    cells = {
        (row["label"], row["over"]): _with_interval(row["probability"], row["low"], row["high"], ".2f")
        for row in rows
    }
    body = [[label, *(cells.get((label, over), "") for over in labels)] for label in labels]
    return table("Probability that a member of the row beats one of the column", ["line", *labels], body)


def _differences_table(rows: Sequence[dict[str, Any]], names: Sequence[str]) -> str:
    """The rows `"differences"` of `compare`; empty where there are none."""
    if not rows:
        return ""
    body = [[row["setting"], *("-" if v is None else _plain(v) for v in row["values"])] for row in rows]
    return "<h2>Settings that differ</h2>" + table("One column per run", ["setting", *names], body)


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _animations(results: Sequence[Result], names: Sequence[str]) -> str:
    """The episode.gif of every run that has one."""
    figures = []
    for name, result in zip(names, results, strict=True):
        file = None if result.path is None else Path(result.path) / "episode.gif"
        if file is not None and file.exists():
            data = base64.b64encode(file.read_bytes()).decode()
            words = f"{name}: an episode of {result.config['algorithm']} on {result.config['env']}"
            image = f'<img src="data:image/gif;base64,{data}" alt="{escape(words)}">'
            figures.append(f"<figure>{image}<figcaption>{escape(words)}</figcaption></figure>")
    return f'<h2>Episodes</h2><div class="row">{"".join(figures)}</div>' if figures else ""
