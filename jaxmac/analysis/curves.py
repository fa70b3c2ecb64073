"""Figures of tidy metrics: learning curves and performance profiles."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jaxmac.analysis import statistics
from jaxmac.analysis.returns import Curves, interval, smooth

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# The palette of Okabe and Ito, which people with any common colour blindness can tell apart, without its yellow,
# which is too faint for lines.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", (0, (5, 1.5)), (0, (1, 1)))  # the next one each time the colours are used up


def learning_curve(
    curves: Curves,
    path: str | os.PathLike | None = None,
    optimum: float | None = None,
    title: str = "",
    window: int = 10,
    anchors: Mapping[str, float] | None = None,
) -> Figure:
    """Smoothed return against training episodes: mean, 95 % bootstrap interval and a thin line per member.

    Args:
        curves: label -> `(episodes [evaluations], returns [evaluations, members])`.
        path: the file to write; its suffix gives the format.
        optimum: the optimal return, drawn as a dashed line.
        title: title of the axes.
        window: evaluations to smooth over.
        anchors: label -> return, drawn as dotted lines for comparison.

    Raises:
        ValueError: episodes and returns of a label have different numbers of evaluations.
    """
    return learning_curves([Panel(title, curves, optimum, anchors or {})], path, window)


class Panel(NamedTuple):
    """One axes of learning curves. The fields are the arguments of `learning_curve`."""

    title: str
    curves: Curves
    optimum: float | None = None
    anchors: Mapping[str, float] = {}


def learning_curves(panels: Sequence[Panel], path: str | os.PathLike | None = None, window: int = 10) -> Figure:
    """Several panels of `learning_curve` side by side. A label has the same colour in all of them."""
    figure, grid = _grid(len(panels))
    labels = list(dict.fromkeys(label for panel in panels for label in panel.curves))
    for axes, panel in zip(grid, panels, strict=True):
        for label, (episodes, returns) in panel.curves.items():
            style = line_style(labels.index(label))
            _draw_members(axes, label, np.asarray(episodes), np.asarray(returns), window, *style)
        if panel.optimum is not None:
            _compress_far_negative(axes, panel.optimum)
            _draw_level(axes, "optimum", panel.optimum, "--")
        for label, value in panel.anchors.items():
            _draw_level(axes, label, value, ":")
        _style(axes, panel.title, "training episodes", "evaluation return")
    smoothing = f"; smoothed over {window} evaluations" if window > 1 else ""
    _legend(figure, f"mean of members, 95 % interval{smoothing}")
    if path is not None:
        figure.savefig(path, dpi=150)
    return figure


def profile_figure(
    scores: Mapping[str, statistics.Tasks], labels: Sequence[str], title: str = "", unit: str = "final return"
) -> Figure:
    """Performance profiles: for every return the share of members above it, with pointwise 95 % bands.

    They are the run-score distributions of Agarwal et al., "Deep Reinforcement Learning at the Edge of the
    Statistical Precipice" (2021), section 4.2.

    Args:
        scores: label -> one array `[members]` of final scores per task.
        labels: all labels of the report, in the order that fixes their colours.
        title: title of the axes.
        unit: what the scores are.
    """
    figure, (axes,) = _grid(1)
    every = np.concatenate([np.asarray(sample, float) for tasks in scores.values() for sample in tasks])
    lowest, highest = every.min(), every.max()
    if highest > 0:  # a failing policy must not squeeze all others into a corner
        lowest = max(lowest, -highest)
    margin = 0.05 * ((highest - lowest) or 1.0)
    levels = np.linspace(lowest - margin, highest + margin, 201)
    for label, tasks in scores.items():
        share, low, high = statistics.performance_profile(tasks, levels)
        colour, dash = line_style(labels.index(label))
        axes.fill_between(levels, low, high, color=colour, alpha=0.2, linewidth=0, step="post")
        count = sum(len(sample) for sample in tasks)
        axes.step(
            levels, share, color=colour, linestyle=dash, linewidth=2, where="post", label=f"{label} (n = {count})"
        )
    axes.set_ylim(-0.03, 1.03)
    _style(axes, title, f"{unit} exceeded", "share of members")
    _legend(figure, "95 % bands")
    return figure


def line_style(index: int) -> tuple[str, Any]:
    """Colour and dash pattern of the line with this index."""
    return COLOURS[index % len(COLOURS)], DASHES[index // len(COLOURS) % len(DASHES)]


def _grid(count: int) -> tuple[Figure, list[Any]]:
    """A figure and its `count` axes, at most three in a row."""
    from jaxmac.analysis.figure import NotebookFigure

    columns = min(count, 3)
    rows = -(-count // columns)
    figure = NotebookFigure(figsize=(7 if columns == 1 else 5 * columns, 4.5 * rows), layout="constrained")
    return figure, [figure.add_subplot(rows, columns, index + 1) for index in range(count)]


def _compress_far_negative(axes: Any, optimum: float) -> None:
    """Make the axis logarithmic far below zero, so that a failing policy does not flatten all other curves."""
    from matplotlib.ticker import NullLocator

    if optimum and axes.get_ylim()[0] < -2 * abs(optimum):
        unit = 10.0 ** np.round(np.log10(abs(optimum)))
        axes.set_yscale("symlog", linthresh=unit, linscale=2)
        axes.set_yticks([-10 * unit, -unit, -unit / 2, 0, unit / 2, unit])
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_locator(NullLocator())


def _style(axes: Any, title: str, xlabel: str, ylabel: str) -> None:
    """Labels, margins and grid lines that all figures share."""
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.set_title(title, parse_math=False)
    axes.margins(x=0.01, y=0.08)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="0.9")
    axes.set_axisbelow(True)


def _legend(figure: Figure, title: str) -> None:
    """Draw one legend for all axes, below them, where it cannot cover a curve."""
    lines: dict[str, Any] = {}
    for axes in figure.axes:
        for line, label in zip(*axes.get_legend_handles_labels(), strict=True):
            lines.setdefault(label, line)
    characters = int(72 * figure.get_figwidth() / 7)  # that fit side by side
    columns = max(1, min(3, len(lines), characters // (max(map(len, lines), default=0) + 6)))
    legend = figure.legend(
        list(lines.values()), list(lines), loc="outside lower center", ncols=columns, title=title, frameon=False
    )
    for text in legend.get_texts():
        text.set_parse_math(False)  # a dollar sign in a label does not start a formula


def _draw_level(axes: Any, label: str, value: float, dash: str) -> None:
    """Draw a horizontal line with its label and value."""
    axes.axhline(value, color="0.25", linestyle=dash, linewidth=1.2)
    point, offset = (0.01, value), (0, 3)
    axes.annotate(f"{label} {value:.4g}", point, offset, ("axes fraction", "data"), "offset points", color="0.25")


def _draw_members(
    axes: Any, label: str, episodes: np.ndarray, returns: np.ndarray, window: int, colour: str, dash: Any
) -> None:
    """Draw the mean of the members, its interval and each of them.

    Raises ValueError for returns that are not `[len(episodes), members]`.
    """
    if returns.ndim != 2 or len(returns) != len(episodes):
        raise ValueError(f"{label}: returns {returns.shape} must be [{len(episodes)} evaluations, members]")
    smoothed = smooth(returns, window)
    mean, low, high = interval(smoothed)
    members = returns.shape[1]
    if members > 1:
        axes.plot(episodes, smoothed, color=colour, linewidth=0.6, alpha=0.35)
        axes.fill_between(episodes, low, high, color=colour, alpha=0.2, linewidth=0)
    marker = "o" if len(episodes) == 1 else "None"  # a single evaluation makes no line
    name = f"{label} (n = {members})"
    axes.plot(episodes, mean, color=colour, linestyle=dash, linewidth=2, marker=marker, label=name)
