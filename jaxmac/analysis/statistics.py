"""Statistics for comparing algorithms over a handful of runs: interquartile means, improvement, profiles.

The methods are those of Agarwal et al., "Deep Reinforcement Learning at the Edge of the Statistical Precipice"
(2021), section 4. `tasks` is a list with one array `[members]` of final scores for each task (environment). All
tasks have the same weight, also where they have different numbers of members. Intervals are stratified percentile
bootstraps: members are resampled within each task. Where a task has fewer than three members, or a statistic is
NaN, both ends of an interval are NaN. With few members an interval is too narrow: docs/results.md says by how much.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from jaxmac.arguments import check_positive
from jaxmac.envs.arguments import python_value
from jaxmac.envs.shapes import one_line

FEWEST_FOR_AN_INTERVAL = 3  # members of a task: the resamples of two have three different means
Tasks = Sequence[Float[np.ndarray, "members"]]


class Estimate(NamedTuple):
    """A statistic and the ends of its percentile-bootstrap interval, as scalars or arrays `[...]`."""

    value: Float[np.ndarray, "..."]
    low: Float[np.ndarray, "..."]
    high: Float[np.ndarray, "..."]


def stratified_bootstrap(
    statistic: Callable[..., np.ndarray],
    samples: Sequence[Float[np.ndarray, "... members"]],
    confidence: float = 0.95,
    resamples: int = 5000,
    seed: int = 0,
) -> Estimate:
    """A statistic with its percentile-bootstrap interval, each sample (stratum) being resampled on its own.

    Args:
        statistic: called as `statistic(*samples, axis=-1)`.
        samples: one array `[..., members]` per stratum.
        confidence: the coverage of the interval.
        resamples: the number of bootstrap samples.
        seed: of the resampling.

    Raises:
        ValueError: there is no sample or an empty one, one is no array of numbers with an axis, `confidence` is not
            strictly between 0 and 1, or `resamples` is not a positive integer.
    """
    samples = [_numbers(sample) for sample in samples]
    if not samples or not all(sample.shape[-1] for sample in samples):
        raise ValueError("every task needs at least one score")
    if not isinstance(confidence := python_value(confidence), float) or not 0 < confidence < 1:
        raise ValueError(f"confidence={confidence}: must lie strictly between 0 and 1")
    check_positive("resamples", resamples)
    with np.errstate(invalid="ignore"):  # of infinite scores, whose mean may be NaN
        value = statistic(*samples, axis=-1)
    if min(sample.shape[-1] for sample in samples) < FEWEST_FOR_AN_INTERVAL or np.isnan(value).all():
        return Estimate(value, np.full_like(value, np.nan), np.full_like(value, np.nan))
    from scipy.stats import bootstrap

    with np.errstate(invalid="ignore"):
        found = bootstrap(
            samples,
            statistic,
            axis=-1,
            confidence_level=confidence,
            n_resamples=resamples,
            method="percentile",
            batch=500,
            rng=seed,
        )
    return Estimate(value, *found.confidence_interval)


def _numbers(sample: Any) -> np.ndarray:
    """A sample as an array of floats with one axis or more; ValueError for anything else."""
    try:
        found = np.asarray(sample, float)
    except (TypeError, ValueError):
        found = np.zeros(())
    if not found.ndim:
        raise ValueError(
            f"a task has the scores {one_line(sample)}, but must have a list with one array [members] for each task"
        )
    return found


def mean(tasks: Tasks, **options: Any) -> Estimate:
    """Mean over tasks of the mean score of each. `options`, here and below, are those of `stratified_bootstrap`."""
    return stratified_bootstrap(
        lambda *x, axis: np.mean([sample.mean(axis) for sample in x], axis=0), tasks, **options
    )


def median(tasks: Tasks, **options: Any) -> Estimate:
    """Median over tasks of the mean score of each task; with a single task, the median of its scores."""
    if len(tasks) == 1:
        return stratified_bootstrap(lambda x, axis: np.median(x, axis), tasks, **options)
    return stratified_bootstrap(
        lambda *x, axis: np.median([sample.mean(axis) for sample in x], axis=0), tasks, **options
    )


def interquartile_mean(tasks: Tasks, **options: Any) -> Estimate:
    """Mean of the scores of all tasks without the lowest and the highest quarter.

    The number of scores in a quarter is rounded down. Where the tasks have different numbers of members, a score
    counts the less the more members its task has, and of one that lies across the end of a quarter a part counts.
    """
    from scipy.stats import trim_mean

    def statistic(*samples: np.ndarray, axis: int) -> np.ndarray:
        scores, sizes = np.concatenate(samples, axis=axis), [sample.shape[axis] for sample in samples]
        if len({*sizes}) > 1:
            return _weighted_middle(scores, np.repeat(1.0 / np.array(sizes), sizes) / len(sizes))
        unknown = np.isnan(scores).any(axis)  # older versions of SciPy leave NaN out, among the highest scores
        return np.where(unknown, np.nan, trim_mean(scores, 0.25, axis))

    return stratified_bootstrap(statistic, tasks, **options)


def _weighted_middle(
    scores: Float[np.ndarray, "... scores"], weights: Float[np.ndarray, "scores"]
) -> Float[np.ndarray, "..."]:
    """Mean of the middle half of the weight, `[...]`; the `weights` add up to 1."""
    order = np.argsort(scores, axis=-1)
    weight = weights[order]
    up_to = np.cumsum(weight, axis=-1)
    kept = np.clip(np.minimum(up_to, 0.75) - np.maximum(up_to - weight, 0.25), 0.0, None)
    ordered = np.where(kept > 0, np.take_along_axis(scores, order, -1), 0.0)  # what is left out may be infinite
    middle = (kept * ordered).sum(-1) / kept.sum(-1)
    return np.where(np.isnan(scores).any(-1), np.nan, middle)


def optimality_gap(tasks: Tasks, target: float = 1.0, **options: Any) -> Estimate:
    """Mean of max(target - score, 0): how far scores fall short of `target`. A score above it counts as 0."""
    return mean([np.maximum(target - _numbers(sample), 0) for sample in tasks], **options)


def probability_of_improvement(ours: Tasks, theirs: Tasks, **options: Any) -> Estimate:
    """Probability that a run of ours has a higher score than a run of theirs, on a task chosen at random.

    For each task it is the Mann-Whitney U statistic divided by the number of pairs, so a tie counts half.

    Raises:
        ValueError: `ours` and `theirs` have different numbers of tasks.
    """
    if len(ours) != len(theirs):
        raise ValueError(f"{len(ours)} tasks against {len(theirs)}: improvement compares scores on the same tasks")

    def statistic(*samples: np.ndarray, axis: int) -> np.ndarray:
        del axis  # the last one
        pairs = zip(samples[: len(ours)], samples[len(ours) :], strict=True)
        return np.mean([_wins(x, y) for x, y in pairs], axis=0)

    return stratified_bootstrap(statistic, [*ours, *theirs], **options)


def performance_profile(tasks: Tasks, levels: Float[np.ndarray, "levels"], **options: Any) -> Estimate:
    """Share of runs with a score above each level, `[levels]`, with pointwise intervals; NaN with a NaN score."""

    def above(scores: np.ndarray) -> np.ndarray:
        return np.where(np.isnan(scores), np.nan, scores > _numbers(levels)[:, None])

    return mean([above(_numbers(sample)) for sample in tasks], **options)


def _wins(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Share of pairs `(x_i, y_j)` along the last axes with `x_i > y_j`, ties counted half, `[...]`; of NaN, NaN."""
    x, y = x[..., :, None], y[..., None, :]
    wins = (x > y) + 0.5 * (x == y)
    return np.where(np.isnan(x) | np.isnan(y), np.nan, wins).mean(axis=(-2, -1))
