"""`jaxmac plot`: learning curves of runs as a figure, a comparison of them as a page, or data for marl-eval."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from jaxmac.cli.parsing import parse

FIGURES = (".png", ".svg", ".pdf")
SUFFIXES = (*FIGURES, ".html", ".json")


@dataclasses.dataclass(frozen=True)
class PlotArguments:
    """Plot the learning curves of runs, one panel per environment, or write a page that compares them."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    out: Path = Path("curves.png")
    """.png, .svg or .pdf for a figure, .html for a page with figures, tables and animations, .json for marl-eval"""
    title: str = ""
    """title of the figure or page"""
    window: int = 10
    """evaluations to smooth over, and to average for the final return"""
    solved: float = 0.95
    """for the page: share of the best known return from which on a member has solved the task"""


def command_plot(arguments: Sequence[str]) -> int:
    """Write the file that the suffix of --out asks for, and print its path."""
    from jaxmac.analysis.curves import learning_curves
    from jaxmac.evaluation.comparison import gather, panels
    from jaxmac.runs.result import load

    given = parse("plot", PlotArguments, arguments)
    if not given.runs:
        raise ValueError("give at least one run directory")
    suffix = given.out.suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"--out {given.out}: its suffix selects the format; allowed: {', '.join(SUFFIXES)}")
    if given.window < 1:
        raise ValueError(f"window={given.window} is out of range; allowed: >= 1")
    results = [load(path) for path in given.runs]
    given.out.parent.mkdir(parents=True, exist_ok=True)
    if suffix in FIGURES:
        learning_curves(panels(gather(results), given.title), given.out, given.window)
    elif suffix == ".html":
        from jaxmac.evaluation.report import html_report

        given.out.write_text(html_report(results, given.title, given.window, given.solved), encoding="utf-8")
    else:
        from jaxmac.evaluation.marl_eval import marl_eval_data

        given.out.write_text(json.dumps(marl_eval_data(results, given.window), indent=2) + "\n")
    print(given.out)
    return 0
