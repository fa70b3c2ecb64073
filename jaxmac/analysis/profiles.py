"""Performance profiles as figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from jaxmac.analysis import statistics
from jaxmac.analysis.returns import lowest_shown
from jaxmac.analysis.style import BAND, grid, label_axes, legend, line_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def profile_figure(
    scores: Mapping[str, statistics.Tasks],
    labels: Sequence[str],
    title: str = "",
    unit: str = "final return",
    width: float | None = None,
    detail: tuple[float, float] | None = None,
) -> Figure:
    """Performance profiles: for every return the share of seeds above it, with pointwise 95 % bands.

    They are the run-score distributions of Agarwal et al., "Deep Reinforcement Learning at the Edge of the
    Statistical Precipice" (2021), section 4.2. There is no band for a label with fewer than three seeds on a task.

    Args:
        scores: label -> one array `[members]` of final scores per task.
        labels: all labels of the report, in the order that fixes their colours.
        title: title of the axes.
        unit: what the scores are.
        width: of the axes in inches; None: as fits a page.
        detail: lowest and highest score of a second panel, where the lines are close together in the first.

    Raises:
        ValueError: `scores` is empty, or `detail` is not two finite numbers, the lower one first.
    """
    if not scores:
        raise ValueError("scores is empty: there is nothing to draw")
    if detail is not None and not -np.inf < detail[0] < detail[1] < np.inf:
        raise ValueError(f"detail is {detail}, but must be two finite numbers, the lower one first")
    every = [np.concatenate([np.asarray(sample, float) for sample in tasks]) for tasks in scores.values()]
    lowest, below = lowest_shown(every)
    highest = max([x for values in every for x in values if np.isfinite(x)], default=0.0)
    margin = 0.05 * ((highest - lowest) or 1.0)
    panels = [(lowest - margin, highest + margin), *([] if detail is None else [detail])]
    figure, drawn = grid(len(panels), width)
    for axes, bounds in zip(drawn, panels, strict=True):
        _draw_profiles(axes, scores, labels, np.linspace(*bounds, 201))
        label_axes(axes, title, f"{unit} exceeded", "share of seeds")
    band = "Band: 95\N{NO-BREAK SPACE}% bootstrap interval over seeds." if drawn[0].collections else ""
    legend(figure, " ".join(filter(None, (band, below))))
    return figure


def _draw_profiles(
    axes: Any, scores: Mapping[str, statistics.Tasks], labels: Sequence[str], levels: Float[np.ndarray, "levels"]
) -> None:
    """The profiles at these scores, one line and its band for each label."""
    for label, tasks in scores.items():
        share, low, high = statistics.performance_profile(tasks, levels)
        colour, dash = line_style(labels.index(label))
        if min(map(len, tasks)) >= statistics.FEWEST_FOR_AN_INTERVAL:
            axes.fill_between(levels, low, high, color=colour, alpha=BAND, linewidth=0, step="post")
        name = f"{label} ({_seeds_of(tasks)})"
        axes.step(levels, share, color=colour, linestyle=dash, linewidth=2, where="post", label=name)
    axes.set_ylim(-0.03, 1.03)
    axes.margins(x=0.01)


def _seeds_of(tasks: statistics.Tasks) -> str:
    counts = [len(sample) for sample in tasks]
    where = "" if len(counts) == 1 else " on each task" if len(set(counts)) == 1 else " on a task"
    return seeds(*sorted(set(counts))) + where


def seeds(*counts: int) -> str:
    """Numbers of seeds in words: "1 seed", "3 or 4 seeds"."""
    return f"{' or '.join(map(str, counts))} seed{'' if counts == (1,) else 's'}"
