"""Numbers from tidy metrics: arrays `[evaluations, members]`, members = seeds (and swept values).

The papers report returns smoothed over the last ten evaluations; `window` is that ten everywhere here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from jaxmac.analysis import statistics

Curves = Mapping[str, tuple[Float[np.ndarray, "evaluations"], Float[np.ndarray, "evaluations members"]]]


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
    return tuple(statistics.mean([values], confidence=confidence, resamples=resamples, seed=seed))


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
