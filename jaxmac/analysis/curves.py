"""Learning curves: the one place that defines what axes, lines, bands and marks of the figures mean."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jaxmac.analysis.profiles import seeds
from jaxmac.analysis.random_play import random_return
from jaxmac.analysis.returns import Curve, Curves, check_window, interval, smooth
from jaxmac.analysis.statistics import FEWEST_FOR_AN_INTERVAL
from jaxmac.analysis.style import (
    BAND,
    BEST,
    INK,
    OTHER,
    draw_levels,
    grid,
    label_axes,
    legend,
    line_style,
    log_below,
    mark,
    number,
)
from jaxmac.arguments import FIGURES, file_to_write
from jaxmac.envs.environment import Environment
from jaxmac.errors import close_names, nearest

if TYPE_CHECKING:
    from matplotlib.figure import Figure

X_AXES = {"episodes": "training episodes", "steps": "environment steps (mean over seeds)"}
Y_AXES = {
    "eval_return": "evaluation return",
    "eval_discounted_return": "discounted evaluation return",
    "eval_length": "steps of an evaluation episode",
    "eval_success": "success rate",
    "train_return": "training return",
    "loss": "loss",
    "epsilon": "exploration rate",
}
SMOOTHED = 5  # evaluations; a longer mean would make a sudden improvement look gradual
RAW = 0.25  # opacity of single evaluations


class Panel(NamedTuple):
    """One axes of learning curves, with the levels that they are compared with, as undiscounted returns."""

    title: str
    curves: Curves
    optimum: float | None = None  # proven; drawn dashed
    best_known: float | None = None  # of the best plan known, drawn dashed where no optimum is proven
    anchors: Mapping[str, float] = {}  # label -> return of other policies, such as random play; drawn dotted
    ylabel: str = Y_AXES["eval_return"]

    @classmethod
    def on(cls, env: Environment, title: str, curves: Curves, y: str = "eval_return") -> Panel:
        """A panel with what is known of the returns of an environment: its optimum or best plan, and random play.

        With another column `y` there is only its name. Raises ValueError, in one line, for a curve of it without
        any number.
        """
        if y != "eval_return":
            if without := next((label for label, curve in curves.items() if np.isnan(curve[1]).all()), None):
                raise ValueError(f"{without} has no number in {y} on {env.name}, so there is nothing to draw")
            return cls(title, curves, ylabel=Y_AXES.get(y, y))
        random = random_return(env)
        anchors = {} if random is None else {"random play": random}
        return cls(title, curves, env.optimal_return, env.best_known_return, anchors)

    @property
    def best(self) -> tuple[str, float] | None:
        """The best return with the word for it; None where no good plan is known."""
        if self.optimum is not None:
            return "optimum", self.optimum
        return None if self.best_known is None else ("best known", self.best_known)


def check_axis(x: str, y: str = "eval_return", diagnostics: Sequence[str] = ()) -> str:
    """`x` if it is the name of a horizontal axis; ValueError, in one line, if not, or if `y` is no vertical one.

    Vertical axes are the columns that all runs have and the diagnostics of a run.
    """
    _check_among("y", y, (*Y_AXES, *diagnostics))
    return _check_among("x", x, tuple(X_AXES))


def _check_among(name: str, given: str, known: tuple[str, ...]) -> str:
    if given not in known:
        meant = f"; {nearest(given, known)}" if close_names(given, known) else ""
        raise ValueError(f"{name} is {given!r}, but must be one of {', '.join(known)}{meant}")
    return given


def learning_curve(
    curves: Curves,
    path: str | os.PathLike | None = None,
    optimum: float | None = None,
    title: str = "",
    window: int = SMOOTHED,
    anchors: Mapping[str, float] | None = None,
    x: str = "episodes",
) -> Figure:
    """Evaluation return against training: mean over seeds, 95 % bootstrap interval, single evaluations.

    Returns are smoothed by a trailing mean that does not reach across the start of learning. With fewer than three
    seeds their own curves stand in the place of the interval.

    Args:
        curves: label -> `Curve`, or a pair of x `[evaluations]` and returns `[evaluations, members]`.
        path: the file to write; its suffix gives the format.
        optimum: the optimal return, drawn as a dashed line.
        title: title of the axes.
        window: evaluations to smooth over; 1: none.
        anchors: label -> return, drawn as dotted lines for comparison.
        x: "episodes" or "steps": what the x of the curves are.

    Raises:
        ValueError: x and returns of a label have different numbers of evaluations, `x` is another word, or `window`
            is below 1.
    """
    return learning_curves([Panel(title, curves, optimum, anchors=anchors or {})], path, window, x)


def learning_curves(
    panels: Sequence[Panel],
    path: str | os.PathLike | None = None,
    window: int = SMOOTHED,
    x: str = "episodes",
    width: float | None = None,
    labels: Sequence[str] = (),
    compact: bool = False,
) -> Figure:
    """Several panels of `learning_curve` side by side.

    A label has the same colour in all of them. Where evaluations fall below minus three times the best known
    return, the axis is logarithmic below minus that return, rounded; that part is shaded and says so. All else is
    linear.

    Args:
        panels: what to draw, each with a curve or more.
        path: the file to write, whose suffix selects the format. None writes no file.
        window: evaluations that a point is the mean of; 1: no smoothing.
        x: the horizontal axis, "episodes" or "steps" (primitive steps of the environment).
        width: inches of each panel. None: as fits a page.
        labels: labels of figures beside this one, in their order, which gives a label the same colour in all.
        compact: for many panels on a page: no single seeds, a curve begins where its algorithm starts to learn, and
            the axis ends a little below the lowest level, where what fails goes on below it.

    Raises:
        ValueError: there is no panel, or one without a curve; x and returns of a label have different numbers of
            evaluations; `x` is another word; `window` is below 1; or `path` does not end with .png, .svg or .pdf.
        OSError: `path` cannot be written, or holds something that is not a picture.
    """
    check_window(window)
    path = None if path is None else file_to_write("path", path, FIGURES)
    xlabel = X_AXES[check_axis(x)]
    if not panels:
        raise ValueError("panels is empty: there is nothing to draw")
    if empty := [panel.title for panel in panels if not panel.curves]:
        raise ValueError(f"there is no curve to draw{f' for {empty[0]}' if empty[0] else ''}: no evaluation yet?")
    figure, axes_of = grid(len(panels), (width or 3.6) if compact else width, 3.0 if compact else 4.6)
    labels = list(dict.fromkeys([*labels, *(label for panel in panels for label in panel.curves)]))
    styles = {label: line_style(index) for index, label in enumerate(labels)}
    drawn_in = [
        [_Drawn(k, *_checked(k, curve), window, compact) for k, curve in panel.curves.items()] for panel in panels
    ]
    every = [curve for drawn in drawn_in for curve in drawn]
    for axes, panel, drawn in zip(axes_of, panels, drawn_in, strict=True):
        for curve in drawn:
            counts = {other.members for other in every if other.label == curve.label}
            curve.draw(axes, *styles[curve.label], f"{curve.label} ({seeds(*sorted(counts))})")
        _finish(axes, panel, drawn, x, compact)
        if not compact:
            _mark_starts(axes, [(curve.start, styles[curve.label][0]) for curve in drawn])
        label_axes(axes, panel.title, xlabel, panel.ylabel)
    legend(figure, caption(every, window))
    if path is not None:
        figure.savefig(path, dpi=150)
    return figure


class _Drawn:
    """The lines of one label, computed once; what is not a number in `returns` becomes a gap."""

    def __init__(
        self, label: str, x: np.ndarray, returns: np.ndarray, start: float, window: int, compact: bool = False
    ):
        self.label, self.start, self.window, self.compact = label, start, window, compact
        if compact:
            trained = (x if x.ndim == 1 else x.mean(axis=1)) >= start
            x, returns = x[trained], returns[trained]
        self.x, self.returns = x, np.where(np.isfinite(returns), returns, np.nan)
        self.mean_x = x if x.ndim == 1 else x.mean(axis=1)
        # Nothing was learned before the first episode, whatever the algorithm.
        untrained = int(((self.mean_x <= 0) | (self.mean_x < start)).sum())
        self.smoothed = smooth(self.returns, window, untrained)
        self.mean = self.smoothed.mean(axis=1)
        self.has_gap = bool(np.isnan(self.returns[untrained:]).any())  # not before the first update

    @property
    def members(self) -> int:
        """The number of seeds."""
        return self.returns.shape[1]

    @property
    def has_band(self) -> bool:
        """Whether there are seeds enough for an interval."""
        return self.members >= FEWEST_FOR_AN_INTERVAL

    @property
    def has_raw(self) -> bool:
        """Whether single evaluations are drawn, and no line that is there anyway."""
        return not self.compact and (self.window > 1 or self.has_band)

    def draw(self, axes: Any, colour: str, dash: Any, name: str) -> None:
        """Draw the single evaluations, the band or else the seeds, and the mean, which has a name in the legend."""
        if self.has_raw:
            axes.plot(self.x, self.returns, color=colour, linewidth=0.7, alpha=RAW, zorder=1.5)
        if self.has_band:
            whole = np.isfinite(self.smoothed).all(axis=1)
            low, high = np.full((2, len(whole)), np.nan)
            if whole.any():
                _, low[whole], high[whole] = interval(self.smoothed[whole])
            axes.fill_between(self.mean_x, low, high, color=colour, alpha=BAND, linewidth=0, zorder=1.6)
        elif self.members > 1:
            axes.plot(self.x, self.smoothed, color=colour, linewidth=1, alpha=0.7, zorder=1.9)
        marker = "o" if np.isfinite(self.mean).sum() == 1 else "None"  # a single evaluation makes no line
        axes.plot(
            self.mean_x, self.mean, color=colour, linestyle=dash, linewidth=2, marker=marker, label=name, zorder=2
        )


def caption(drawn: Sequence[_Drawn], window: int) -> str:
    """What the lines of a figure are, in whole sentences."""
    several = any(curve.members > 1 for curve in drawn)
    sentences = ["Bold: mean over seeds." if several else "Bold: the one seed."]
    if window > 1:
        sentences.append(f"Smoothed: mean of the last {window} evaluations, or of fewer since learning started.")
    if any(curve.has_band for curve in drawn):
        sentences.append("Band: 95\N{NO-BREAK SPACE}% bootstrap interval over seeds.")
    if any(1 < curve.members < FEWEST_FOR_AN_INTERVAL for curve in drawn):
        sentences.append("Thin: each of two seeds, which are too few for a band.")
    if any(curve.has_raw for curve in drawn):
        sentences.append("Faint: each seed's evaluations, not smoothed." if window > 1 else "Faint: each seed.")
    if any(curve.has_gap for curve in drawn):
        which = "an evaluation that is averaged there" if window > 1 else "an evaluation"
        sentences.append(f"Gap: {which} was not a number.")
    if any(curve.compact for curve in drawn):
        sentences.append("Curves begin where learning starts. What lies far below the lowest level is cut off.")
    return " ".join(sentences)


def _checked(label: str, curve: Curve | tuple[np.ndarray, np.ndarray]) -> Curve:
    """A curve as arrays; ValueError, in one line, for returns that are not `[evaluations, members]`."""
    x, returns, start = Curve(*curve)
    x, returns = np.asarray(x, float), np.asarray(returns, float)
    if returns.ndim != 2 or len(returns) != len(x) or (x.ndim == 2 and x.shape != returns.shape):
        raise ValueError(f"{label}: returns {returns.shape} must be [{len(x)} evaluations, members]")
    return Curve(x, returns, start)


def _finish(axes: Any, panel: Panel, drawn: Sequence[_Drawn], x: str, compact: bool) -> None:
    """Limits, tick labels and levels."""
    from matplotlib.ticker import EngFormatter, StrMethodFormatter

    plain, short = StrMethodFormatter("{x:,.0f}"), EngFormatter(sep="\N{NO-BREAK SPACE}")  # 60,000 and 1.2 M
    axes.xaxis.set_major_formatter(short if x == "steps" else plain)
    axes.margins(x=0.01, y=0.08)
    levels = [(label, value, OTHER) for label, value in panel.anchors.items()]
    if panel.best is not None:
        levels.append((*panel.best, BEST))
    axes.dataLim.update_from_data_y([value for _, value, _ in levels], ignore=False)
    axes.autoscale_view()
    if max(map(abs, axes.get_ylim())) >= 1000:  # with a comma, as the other numbers
        axes.yaxis.set_major_formatter(lambda value, _: number(value))
    if not compact:
        _compress_far_below(axes, panel, drawn)
    elif len(levels) > 1:
        lowest, highest = min(value for _, value, _ in levels), axes.dataLim.y1
        axes.set_ylim(lowest - 0.12 * (highest - lowest), highest + 0.08 * (highest - lowest))
    draw_levels(axes, levels)


def _compress_far_below(axes: Any, panel: Panel, drawn: Sequence[_Drawn]) -> None:
    """Where a failing policy would flatten all other curves, make what lies far below logarithmic, and mark it."""
    every = np.concatenate([curve.returns.ravel() for curve in drawn])
    if panel.best is None or not np.isfinite(every).any():
        return
    levels = [panel.best[1], *panel.anchors.values()]
    lowest, highest = min(np.nanmin(every), *levels), max(np.nanmax(every), *levels)
    best = abs(panel.best[1])
    if best and lowest < -3 * best:
        log_below(axes, -float(f"{best:.0e}"), lowest, highest)


def _mark_starts(axes: Any, starts: Sequence[tuple[float, str]]) -> None:
    """Mark where learning starts: once if it is the same for all curves, else in the colour of each."""
    low, high = axes.get_xlim()
    colours = {start: colour for start, colour in reversed(starts) if max(low, 0.0) < start <= high}
    shared = len({start for start, _ in starts}) == 1
    for start in sorted(colours):
        mark(axes, start, "learning starts" if start == min(colours) else "", INK if shared else colours[start])
