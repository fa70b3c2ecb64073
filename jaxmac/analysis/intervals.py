"""Final returns of several runs side by side: each seed, the mean and its interval."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from jaxmac.analysis.profiles import seeds
from jaxmac.analysis.returns import interval, lowest_shown
from jaxmac.analysis.statistics import FEWEST_FOR_AN_INTERVAL
from jaxmac.analysis.style import COLOURS, INK, LINE, SMALL, number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROW = 0.32  # inches for each label
THICK = 2.5  # points, the line of an interval
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
    every = {label: np.asarray(values, float) for label, values in finals.items()}
    names = [
        textwrap.fill(_named(*item), int(CHARACTERS * width), break_on_hyphens=False) for item in every.items()
    ]
    lines = max(name.count("\n") + 1 for name in names)
    figure = NotebookFigure(figsize=(width, 1.4 + (ROW + LINE * (lines - 1)) * len(every)), layout="constrained")
    axes = figure.add_subplot()
    for row, values in enumerate(every.values()):
        _draw_row(axes, row, values[np.isfinite(values)])
    axes.set_yticks(range(len(every)), names, parse_math=False)
    axes.set_ylim(len(every) - 0.4, -0.6)
    left, below = lowest_shown(every.values(), (levels or {}).values())
    if below:
        axes.set_xlim(left=left)
    _draw_levels(axes, levels or {})
    axes.set_title(title, parse_math=False, pad=16 * max(1, len(levels or {})))
    axes.set_xlabel(unit)
    figure.supxlabel("\n".join(filter(None, (_caption(axes), below))), fontsize=SMALL)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params("y", length=0)
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)
    return figure


def _draw_row(axes: Any, row: int, finite: np.ndarray) -> None:
    """Seeds, mean and interval of one label."""
    axes.plot(finite, np.full(finite.size, row), "|", color=COLOURS[0], alpha=0.45, markersize=9, zorder=2)
    if finite.size:
        mean, low, high = interval(finite)
        axes.plot(mean, row, "o", color=COLOURS[0], zorder=3)
        if finite.size >= FEWEST_FOR_AN_INTERVAL:
            axes.plot([low, high], [row, row], color=COLOURS[0], linewidth=THICK, zorder=2.5)


def _draw_levels(axes: Any, levels: Mapping[str, float]) -> None:
    """Vertical dashed lines, each named above the axes, a line of text higher than the one before it."""
    where: Any = ("data", "axes fraction")
    for place, (label, level) in enumerate(sorted(levels.items(), key=lambda item: item[1])):
        axes.axvline(level, color=INK, linestyle="--", linewidth=1.2, zorder=1.8)
        words, offset = f"{label} {number(level)}", (0, 3 + 1.5 * SMALL * place)
        style: Any = {"color": INK, "fontsize": SMALL, "ha": "center", "parse_math": False}
        axes.annotate(words, (level, 1), offset, where, "offset points", **style)


def _caption(axes: Any) -> str:
    """What the marks are; an interval only if there is one."""
    words = "Strokes: seeds. Dot: their mean."
    drawn = any(line.get_linewidth() == THICK for line in axes.lines)
    return words + (" Line: its 95\N{NO-BREAK SPACE}% bootstrap interval." if drawn else "")


def _named(label: str, values: np.ndarray) -> str:
    """A label with the number of its seeds, and of those with a finite return if some have none."""
    finite, every = int(np.isfinite(values).sum()), len(values)
    return f"{label} ({seeds(every)})" if finite == every else f"{label} ({finite} finite of {seeds(every)})"
