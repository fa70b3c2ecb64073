"""`jaxmac plot`: several runs beside each other, as a figure, a page or data for other tools."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from jaxmac.cli.parsing import parse

FIGURES = (".png", ".svg", ".pdf")
ENDINGS = (*FIGURES, ".html", ".json")


@dataclasses.dataclass(frozen=True)
class PlotArguments:
    """Learning curves of several runs, one panel per environment; with --out x.html a whole comparison."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    out: Path = Path("curves.png")
    """.png, .svg or .pdf: a figure; .html: a page with figures, tables and animations; .json: data for marl-eval"""
    title: str = ""
    window: int = 10
    """evaluations to smooth over, and to take the final return from"""
    solved: float = 0.95
    """in the page: share of the best known return from which on a member has solved it"""


def command_plot(arguments: Sequence[str]) -> int:
    """Write what the ending of --out says."""
    from jaxmac.analysis.curves import learning_curves
    from jaxmac.evaluation.comparison import gather, panels
    from jaxmac.runs.result import load

    given = parse("plot", PlotArguments, arguments)
    if not given.runs:
        raise ValueError("name at least one run directory")
    ending = given.out.suffix.lower()
    if ending not in ENDINGS:
        raise ValueError(f"--out {given.out}: its ending says what to write; allowed: {', '.join(ENDINGS)}")
    if given.window < 1:
        raise ValueError(f"window={given.window} is out of range; allowed: >= 1")
    results = [load(path) for path in given.runs]
    given.out.parent.mkdir(parents=True, exist_ok=True)
    if ending in FIGURES:
        learning_curves(panels(gather(results), given.title), given.out, given.window)
    elif ending == ".html":
        from jaxmac.evaluation.report import html_report

        given.out.write_text(html_report(results, given.title, given.window, given.solved), encoding="utf-8")
    else:
        from jaxmac.evaluation.marl_eval import marl_eval_data

        given.out.write_text(json.dumps(marl_eval_data(results, given.window), indent=2) + "\n")
    print(given.out)
    return 0
