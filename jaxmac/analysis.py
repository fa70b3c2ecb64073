"""Statistics and plots of tidy metrics: arrays `[evaluations, members]`, members = seeds (and swept values).

The papers report returns smoothed over the last ten evaluations; `window` is that ten everywhere here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Curves = Mapping[str, tuple[Float[np.ndarray, "evaluations"], Float[np.ndarray, "evaluations members"]]]

# Okabe and Ito's palette, distinguishable with any common colour blindness; its yellow is too faint for lines.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", (0, (5, 1.5)), (0, (1, 1)))  # once the colours are used up


def interval(
    values: Float[np.ndarray, "*evaluations members"],
    confidence: float = 0.95,
    resamples: int = 5000,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean over members and its percentile-bootstrap interval, `(mean, low, high)`, each `[...]`.

    Members are resampled as a whole, the same ones at every evaluation. With a single member nothing is known
    about the spread: `low` and `high` are NaN. Raises ValueError unless 0 < confidence < 1.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence={confidence}: must lie strictly between 0 and 1")
    values = np.asarray(values, float)
    members, mean = values.shape[-1], values.mean(axis=-1)
    if members < 2:
        return mean, np.full_like(mean, np.nan), np.full_like(mean, np.nan)
    from scipy.stats import bootstrap

    found = bootstrap(
        (values,),
        np.mean,
        axis=-1,
        confidence_level=confidence,
        n_resamples=resamples,
        method="percentile",
        batch=500,
        rng=seed,
    )
    return mean, *found.confidence_interval


def smooth(values: Float[np.ndarray, "evaluations *rest"], window: int = 10) -> np.ndarray:
    """Mean of each evaluation and the `window - 1` before it (fewer at the start), same shape as `values`."""
    values = np.asarray(values, float)
    means = [values[max(0, end - window) : end].mean(axis=0) for end in range(1, len(values) + 1)]
    return np.array(means).reshape(values.shape)


def final_returns(
    returns: Float[np.ndarray, "evaluations members"], window: int = 10
) -> Float[np.ndarray, "members"]:
    """Mean return of each member over its last `window` evaluations, `[members]`."""
    return np.asarray(returns, float)[-window:].mean(axis=0)


def solved_at(
    episodes: Float[np.ndarray, "evaluations"],
    returns: Float[np.ndarray, "evaluations members"],
    threshold: float,
    window: int = 10,
) -> Float[np.ndarray, "members"]:
    """Training episodes after which a member's smoothed return stays at or above `threshold`; NaN if never."""
    above = smooth(returns, window) >= threshold
    stays = np.logical_and.accumulate(above[::-1])[::-1]
    return np.where(stays.any(axis=0), np.asarray(episodes, float)[stays.argmax(axis=0)], np.nan)


def summary_table(curves: Curves, threshold: float, window: int = 10) -> list[dict[str, Any]]:
    """One row per label of `curves` (as for `learning_curve`), from the members' final returns.

    Keys: `label`, `members` (their number), `mean`, `low`, `high` (95 % interval of the mean) and `solved` (members
    whose final return is at or above `threshold`).
    """
    rows = []
    for label, (_, returns) in curves.items():
        final = final_returns(returns, window)
        mean, low, high = (float(x) for x in interval(final))
        solved = int((final >= threshold).sum())
        rows.append(
            {"label": label, "members": final.size, "mean": mean, "low": low, "high": high, "solved": solved}
        )
    return rows


def learning_curve(
    curves: Curves,
    path: str | Path | None = None,
    optimum: float | None = None,
    title: str = "",
    window: int = 10,
    anchors: Mapping[str, float] | None = None,
) -> Figure:
    """Smoothed return against training episodes: mean, 95 % interval and a thin line per member.

    `curves` maps a label to `(episodes [evaluations], returns [evaluations, members])`; `optimum` is drawn as a
    dashed line, each of `anchors` (label -> return) as a dotted one. Written to `path` if given. Raises
    ValueError for shapes that do not fit.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullLocator

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for index, (label, (episodes, returns)) in enumerate(curves.items()):
        colour, dash = COLOURS[index % len(COLOURS)], DASHES[index // len(COLOURS) % len(DASHES)]
        _draw_members(axes, label, np.asarray(episodes), np.asarray(returns), window, colour, dash)
    if optimum is not None:
        if axes.get_ylim()[0] < -2 * abs(optimum):  # a policy gone wrong must not squeeze the rest
            unit = 10.0 ** np.round(np.log10(abs(optimum)))
            axes.set_yscale("symlog", linthresh=unit, linscale=2)
            axes.set_yticks([-10 * unit, -unit, -unit / 2, 0, unit / 2, unit])
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_locator(NullLocator())
        _draw_level(axes, "optimum", optimum, "--")
    for label, value in (anchors or {}).items():
        _draw_level(axes, label, value, ":")
    axes.set(xlabel="training episodes", ylabel="greedy return", title=title)
    axes.margins(x=0.01, y=0.08)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="0.9")
    axes.set_axisbelow(True)
    # Below the axes, where it can cover no curve.
    legend_title = f"mean of members, 95 % interval; smoothed over {window} evaluations"
    # As many columns as their longest label leaves room for.
    columns = max(1, min(3, len(curves), 72 // (max(map(len, curves), default=0) + 14)))
    figure.legend(loc="outside lower center", ncols=columns, title=legend_title, frameon=False)
    if path is not None:
        figure.savefig(path, dpi=150)
    return figure


def _draw_level(axes, label, value, dash) -> None:
    axes.axhline(value, color="0.25", linestyle=dash, linewidth=1.2)
    at, above = (0.01, value), (0, 3)
    axes.annotate(f"{label} {value:.3g}", at, above, ("axes fraction", "data"), "offset points", color="0.25")


def _draw_members(axes, label, episodes, returns, window, colour, dash) -> None:
    if returns.ndim != 2 or len(returns) != len(episodes):
        raise ValueError(f"{label}: returns {returns.shape} must be [{len(episodes)} evaluations, members]")
    smoothed = smooth(returns, window)
    mean, low, high = interval(smoothed)
    members = returns.shape[1]
    if members > 1:
        axes.plot(episodes, smoothed, color=colour, linewidth=0.6, alpha=0.35)
        axes.fill_between(episodes, low, high, color=colour, alpha=0.2, linewidth=0)
    axes.plot(episodes, mean, color=colour, linestyle=dash, linewidth=2, label=f"{label} (n = {members})")
