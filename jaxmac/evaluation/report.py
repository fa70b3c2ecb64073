"""A comparison of runs as one self-contained HTML page: figures, tables, differing settings, animations."""

from __future__ import annotations

import base64
import io
import math
import re
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from jaxmac.analysis.curves import learning_curves, profile_figure
from jaxmac.evaluation.comparison import ALL_TASKS, SUFFIXES, compare, gather, panels, run_names, scores_by_task
from jaxmac.runs.result import Result

PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root { color-scheme: light dark; --ink: #1a1a1a; --paper: #ffffff; --line: #c8c8c8; --grid: #e2e2e2; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e6e6; --paper: #17191c; --line: #4a4e54; --grid: #33373c; }
}
body { margin: 0 auto; max-width: 72rem; padding: 1rem; color: var(--ink); background: var(--paper);
  font: 1rem/1.5 system-ui, sans-serif; }
figure { margin: 1rem 0; }
figure svg, figure img { max-width: 100%; height: auto; } svg text { fill: currentColor; }
.row { display: flex; flex-wrap: wrap; gap: 1rem; } .row figure { flex: 1 1 24rem; }
.table { overflow-x: auto; } table { border-collapse: collapse; margin: 1rem 0; }
caption { text-align: left; font-weight: bold; padding-bottom: 0.3rem; }
th, td { border: 1px solid var(--line); padding: 0.25rem 0.6rem; text-align: left; vertical-align: top; }
td { font-variant-numeric: tabular-nums; } .note { font-size: 0.9rem; }
</style>
</head>
<body>
<main>
<h1>$title</h1>
$body
</main>
</body>
</html>
""")
NOTES = Template("""<p class="note">The final return of a member is the mean of its last $window evaluations;
members are seeds. Brackets hold 95 % percentile-bootstrap intervals, for which members are resampled within each
environment. The interquartile mean is the mean of the middle half of the members. The gap is the mean shortfall
from the best known return, as a share of it. A member with at least $solved of the best known return has solved
the task. In the probability of improvement a tie counts half. A performance profile shows for each return the
share of members whose final return is higher.</p>""")
# What matplotlib draws in black or grey takes the colours of the page, which has a dark mode.
THEME = {"#000000": "currentColor", "#404040": "currentColor", "#e6e6e6": "var(--grid)", "#e5e5e5": "var(--grid)"}


def html_report(results: Sequence[Result], title: str = "", window: int = 10, solved: float = 0.95) -> str:
    """The page as text. `results`, `window` and `solved` are as for `jaxmac.compare`.

    Raises ValueError if there are no runs.
    """
    lines, compared = gather(results), compare(results, window, solved)
    by_task = {panel.title: panel for panel in panels(lines)}
    names, scores = run_names(results), scores_by_task(lines, window)
    labels = list(dict.fromkeys(line.label for line in lines))
    parts = [_runs_table(results, names)]
    for number, (task, found) in enumerate(scores.items()):
        figures = []
        if task in by_task:
            curves = learning_curves([by_task[task]._replace(title="")], window=window)
            figures.append(_figure(curves, f"c{number}", f"Learning curves on {task}: evaluation return"))
        unit = "share of the best known return" if task == ALL_TASKS else "final return"
        profile = profile_figure(found, labels, unit=unit)
        figures.append(_figure(profile, f"p{number}", f"Performance profile on {task}"))
        parts += [f"<h2>{escape(task)}</h2>", f'<div class="row">{"".join(figures)}</div>']
        parts.append(_final_table([row for row in compared["final"] if row["task"] == task], task, solved))
        parts.append(
            _improvement_table([row for row in compared["improvement"] if row["task"] == task], list(found))
        )
    parts += [
        NOTES.substitute(window=window, solved=f"{solved:.0%}"),
        _differences_table(compared["differences"], names),
        _animations(results, names),
    ]
    tasks = ", ".join(by_task)
    return PAGE.substitute(title=escape(title or tasks), body="\n".join(part for part in parts if part))


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


def _table(caption: str, head: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    """An HTML table. The first cell of each row is the heading of the row."""
    columns = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    body = "".join(
        f'<tr><th scope="row">{escape(first)}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in rest)}</tr>\n'
        for first, *rest in rows
    )
    return (
        f'<div class="table"><table><caption>{escape(caption)}</caption>\n'
        f"<thead><tr>{columns}</tr></thead>\n<tbody>\n{body}</tbody></table></div>"
    )


def _runs_table(results: Sequence[Result], names: Sequence[str]) -> str:
    """What was trained in each run, and how far it got."""
    head = ("run", "algorithm", "environment", "preset", "members", "episodes", "status")
    rows = []
    for name, result in zip(names, results, strict=True):
        config = result.config
        cells = [config[key] for key in ("algorithm", "env", "preset")]
        reached = np.nan_to_num(result.metrics["episodes"]).max(axis=0, initial=0)
        trained = " to ".join(f"{int(count):,}" for count in sorted({reached.min(), reached.max()}))
        rows.append([name, *cells, str(len(result.members)), trained, result.status])
    return _table("Runs", head, rows)


def _final_table(rows: Sequence[dict[str, Any]], task: str, solved: float) -> str:
    """The rows `"final"` of `compare` for one task."""
    head = ["", "members", "mean", "interquartile mean", "median", "best known", "gap", f"solved ({solved:.0%})"]
    best = "-" if not rows or rows[0]["best_known"] is None else f"{rows[0]['best_known']:.4g}"
    body = []
    for row in rows:
        gap = "-" if row["gap"] is None else f"{row['gap']:.1%}"
        count = "-" if row["solved"] is None else f"{row['solved']} of {row['members']}"
        found = [_with_interval(*(row[f"{name}{end}"] for end in SUFFIXES)) for name in ("mean", "iqm", "median")]
        body.append([row["label"], str(row["members"]), *found, best, gap, count])
    unit = ", as a share of the best known" if task == ALL_TASKS else ""
    return _table(f"Final return on {task}{unit}", head, body)


def _with_interval(value: float, low: float, high: float, form: str = ".4g") -> str:
    """An estimate with its interval, which is left out where it is NaN."""
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
    return _table("Probability that a member of the row beats one of the column", ["", *labels], body)


def _differences_table(rows: Sequence[dict[str, Any]], names: Sequence[str]) -> str:
    """The rows `"differences"` of `compare`; empty where there are none."""
    if not rows:
        return ""
    body = [[row["setting"], *("-" if v is None else _plain(v) for v in row["values"])] for row in rows]
    return "<h2>Settings that differ</h2>" + _table("One column per run", ["setting", *names], body)


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
