"""Final returns of several runs side by side: each seed, the mean and its interval."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from jaxmac.analysis.profiles import seeds
from jaxmac.analysis.returns import interval
from jaxmac.analysis.style import COLOURS, FEWEST_FOR_A_BAND, INK, LINE, SMALL, number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROW = 0.32  # inches for each label
CHARACTERS = 6  # of a label in one line, per inch of the figure's width: then it takes half of it


def interval_figure(
    finals: Mapping[str, Float[np.ndarray, "members"]],
    title: str = "",
    unit: str = "final return",
    levels: Mapping[str, float] | None = None,
    width: float = 7.5,
) -> Figure:
    """One row for each label, from top to bottom: every seed faint, the mean over seeds, its 95 % interval.

    It shows what curves of many labels hide under each other. The intervals are percentile bootstraps over seeds
    (Agarwal et al., "Deep Reinforcement Learning at the Edge of the Statistical Precipice", 2021, section 4); there
    is none for fewer than three seeds. Seeds whose return is not finite are left out, and counted in the label.

    Args:
        finals: label -> final return of each member, as `jaxmac.analysis.final_returns` gives them.
        title: title of the axes.
        unit: what the values are.
        levels: label -> return of a vertical dashed line, for example the optimum.
        width: of the figure in inches.

    Raises:
        ValueError: `finals` is empty.
    """
    from jaxmac.analysis.figure import NotebookFigure

    if not finals:
        raise ValueError("finals is empty: there is nothing to draw")
    names = [textwrap.fill(_named(*item), int(CHARACTERS * width)) for item in finals.items()]
    lines = max(name.count("\n") + 1 for name in names)
    figure = NotebookFigure(figsize=(width, 1.4 + (ROW + LINE * (lines - 1)) * len(finals)), layout="constrained")
    axes = figure.add_subplot()
    for row, values in enumerate(finals.values()):
        finite = np.asarray(values, float)[np.isfinite(values)]
        axes.plot(finite, np.full(finite.size, row), "|", color=COLOURS[0], alpha=0.45, markersize=9, zorder=2)
        if finite.size:
            mean, low, high = interval(finite)
            axes.plot(mean, row, "o", color=COLOURS[0], zorder=3)
            if finite.size >= FEWEST_FOR_A_BAND:
                axes.plot([low, high], [row, row], color=COLOURS[0], linewidth=2.5, zorder=2.5)
    for label, level in (levels or {}).items():
        axes.axvline(level, color=INK, linestyle="--", linewidth=1.2, zorder=1.8)
        above = {"xytext": (0, 3), "textcoords": "offset points", "xycoords": ("data", "axes fraction")}
        text = f"{label} {number(level)}"
        axes.annotate(text, (level, 1), **above, color=INK, fontsize=SMALL, ha="center", parse_math=False)
    axes.set_yticks(range(len(finals)), names, parse_math=False)
    axes.set_ylim(len(finals) - 0.4, -0.6)
    axes.set_title(title, parse_math=False, pad=16)
    axes.set_xlabel(unit)
    words = "Strokes: seeds. Dot: their mean. Line: its 95\N{NO-BREAK SPACE}% bootstrap interval."
    figure.supxlabel(words, fontsize=SMALL)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params("y", length=0)
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)
    return figure


def _named(label: str, values: np.ndarray) -> str:
    """A label with the number of its seeds, and of those with a finite return if some have none."""
    finite, every = int(np.isfinite(values).sum()), len(values)
    return f"{label} ({seeds(every)})" if finite == every else f"{label} ({finite} finite of {seeds(every)})"
