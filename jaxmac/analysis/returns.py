"""What is computed from returns `[evaluations, members]`, where members are seeds (and swept values).

The AVF paper smooths returns over the last ten episodes, read here as evaluations; `window` is that number in every
function.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from jaxmac.analysis import statistics
from jaxmac.analysis.style import number


class Curve(NamedTuple):
    """The evaluations of the members of one label, and how far training had got at each of them."""

    x: Float[np.ndarray, "evaluations"] | Float[np.ndarray, "evaluations members"]  # training episodes or steps
    returns: Float[np.ndarray, "evaluations members"]
    start: float = 0.0  # where learning starts, in the unit of `x`; evaluations before are of untrained policies


Curves = Mapping[str, Curve | tuple[np.ndarray, np.ndarray]]


def interval(
    values: Float[np.ndarray, "*evaluations members"],
    confidence: float = 0.95,
    resamples: int = 5000,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean over members with its percentile-bootstrap interval.

    Members are resampled as a whole, the same ones at every evaluation.

    Args:
        values: `[..., members]`.
        confidence: the coverage of the interval.
        resamples: the number of bootstrap samples.
        seed: of the resampling.

    Returns:
        `(mean, low, high)`, each `[...]`; `low` and `high` are NaN with fewer than three members.

    Raises:
        ValueError: `confidence` is not strictly between 0 and 1.
    """
    found = statistics.mean([values], confidence=confidence, resamples=resamples, seed=seed)
    return found.value, found.low, found.high


def lowest_shown(finals: Iterable[np.ndarray], levels: Iterable[float] = ()) -> tuple[float, str]:
    """Where a figure of final returns begins, so that a failing seed does not squeeze all others into a corner.

    Args:
        finals: the final returns of each label.
        levels: other returns that the figure shows.

    Returns:
        The lowest return shown, and words for the seeds below it ("" if there are none). No level is left out,
        nothing above minus the highest return, and no more than a quarter of the seeds.
    """
    every, kept = np.concatenate([*finals, np.zeros(0)]), [level for level in levels if np.isfinite(level)]
    every = every[np.isfinite(every)]
    highest = max([*every, *kept], default=0.0)
    quarter = np.quantile(every, 0.25, method="lower") if every.size else 0.0
    bound = float(min([-highest, quarter, *kept]))
    below = int((every < bound).sum())
    if highest <= 0 or not below:
        return float(min([*every, *kept], default=0.0)), ""
    return bound, f"{below} {'seed is' if below == 1 else 'seeds are'} below {number(bound)}, out of the figure."


def check_window(count: int, name: str = "window") -> int:
    """`count` if that many evaluations can be averaged; ValueError, in one line, if not."""
    if isinstance(count, bool) or not isinstance(count, int | np.integer):
        raise ValueError(f"{name} is {count!r}, but must be an integer")
    if count < 1:
        raise ValueError(f"{name} is {count!r}, but must be >= 1")
    return count


def smooth(values: Float[np.ndarray, "evaluations *rest"], window: int = 10, untrained: int = 0) -> np.ndarray:
    """Trailing mean of each evaluation and the `window - 1` before it (fewer at the start), in the same shape.

    The first `untrained` evaluations, from before learning starts, are not mixed with those after them. Raises
    ValueError for a window below 1.
    """
    values, window = np.asarray(values, float), check_window(window)
    means = []
    for end in range(1, len(values) + 1):
        first = untrained if end > untrained else 0
        means.append(values[max(first, end - window) : end].mean(axis=0))
    return np.array(means).reshape(values.shape)


def final_returns(
    returns: Float[np.ndarray, "evaluations members"], window: int = 10
) -> Float[np.ndarray, "members"]:
    """Mean return of each member over its last `window` evaluations, `[members]`. `returns` may have fewer.

    Raises ValueError for a window below 1.
    """
    return np.asarray(returns, float)[-check_window(window) :].mean(axis=0)


def solved_at(
    episodes: Float[np.ndarray, "evaluations"] | Float[np.ndarray, "evaluations members"],
    returns: Float[np.ndarray, "evaluations members"],
    threshold: float,
    window: int = 10,
) -> Float[np.ndarray, "members"]:
    """Training episodes from which on a member's smoothed return stays at or above `threshold`; NaN if never.

    Args:
        episodes: training episodes at each evaluation, of all members or of each; NaN where a member was not
            trained so far, and its return does not count.
        returns: evaluation returns.
        threshold: the return that counts as solved.
        window: evaluations to smooth over.
    """
    above = smooth(returns, window) >= threshold
    reached = np.broadcast_to(np.asarray(episodes, float).reshape(len(above), -1), above.shape)
    stays_above = np.logical_and.accumulate((above | np.isnan(reached))[::-1])[::-1]
    first = np.take_along_axis(reached, stays_above.argmax(axis=0)[None], axis=0)[0]
    return np.where(stays_above.any(axis=0), first, np.nan)


def summary_table(curves: Curves, threshold: float, window: int = 10) -> list[dict[str, Any]]:
    """One row per label of `curves` (see `learning_curve`), computed from the final returns of its members.

    A row has the keys `label`, `members` (their number), `mean`, `low` and `high` (the mean with its 95 % bootstrap
    interval) and `solved` (the number of members with a final return of at least `threshold`).
    """
    rows = []
    for label, curve in curves.items():
        final = final_returns(curve[1], window)
        mean, low, high = (float(x) for x in interval(final))
        solved = int((final >= threshold).sum())
        rows.append(
            {"label": label, "members": final.size, "mean": mean, "low": low, "high": high, "solved": solved}
        )
    return rows
