"""Comparing algorithms over a handful of runs: interquartile means, probability of improvement, profiles.

The methods are those of Agarwal et al., *Deep Reinforcement Learning at the Edge of the Statistical Precipice*
(NeurIPS 2021). `tasks` is one array `[members]` of final scores for each task (environment); the tasks are the
strata of the bootstrap: members are resampled within each task. With a single member in some task nothing is known
about the spread, and both ends of an interval are NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

Tasks = Sequence[Float[np.ndarray, "members"]]


class Estimate(NamedTuple):
    """A statistic and the ends of its percentile-bootstrap interval, numbers or arrays `[...]`."""

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
    """`statistic(*samples, axis=-1)` with the interval from resampling each sample (stratum) on its own.

    Raises ValueError for no samples, an empty one, or unless 0 < confidence < 1.
    """
    samples = [np.asarray(sample, float) for sample in samples]
    if not samples or not all(sample.shape[-1] for sample in samples):
        raise ValueError("every task needs at least one score")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence={confidence}: must lie strictly between 0 and 1")
    value = statistic(*samples, axis=-1)
    if min(sample.shape[-1] for sample in samples) < 2:
        return Estimate(value, np.full_like(value, np.nan), np.full_like(value, np.nan))
    from scipy.stats import bootstrap

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


def mean(tasks: Tasks, **options: float) -> Estimate:
    """Mean of all scores; `options` are those of `stratified_bootstrap`, here and below."""
    return stratified_bootstrap(lambda *x, axis: _pooled(x, axis).mean(axis), tasks, **options)


def median(tasks: Tasks, **options: float) -> Estimate:
    """Median over the tasks of each task's mean (of all scores where there is one task)."""
    if len(tasks) == 1:
        return stratified_bootstrap(lambda x, axis: np.median(x, axis), tasks, **options)
    return stratified_bootstrap(
        lambda *x, axis: np.median([sample.mean(axis) for sample in x], axis=0), tasks, **options
    )


def interquartile_mean(tasks: Tasks, **options: float) -> Estimate:
    """Mean of the middle half of all scores: without the lowest and the highest quarter, rounded down."""
    from scipy.stats import trim_mean

    return stratified_bootstrap(lambda *x, axis: trim_mean(_pooled(x, axis), 0.25, axis), tasks, **options)


def optimality_gap(tasks: Tasks, target: float = 1.0, **options: float) -> Estimate:
    """How far scores fall short of `target` on average; what lies above it does not make up for it."""
    return stratified_bootstrap(
        lambda *x, axis: np.maximum(target - _pooled(x, axis), 0).mean(axis), tasks, **options
    )


def probability_of_improvement(ours: Tasks, theirs: Tasks, **options: float) -> Estimate:
    """Probability that a random run of ours beats one of theirs on a random task; a tie counts half.

    On each task it is the Mann-Whitney U statistic over the number of pairs. Raises ValueError where the numbers of
    tasks differ.
    """
    if len(ours) != len(theirs):
        raise ValueError(f"{len(ours)} tasks against {len(theirs)}: improvement is judged on the same tasks")

    def statistic(*samples: np.ndarray, axis: int) -> np.ndarray:
        del axis  # the last one
        pairs = zip(samples[: len(ours)], samples[len(ours) :], strict=True)
        return np.mean([_wins(x, y) for x, y in pairs], axis=0)

    return stratified_bootstrap(statistic, [*ours, *theirs], **options)


def performance_profile(tasks: Tasks, levels: Float[np.ndarray, "levels"], **options: float) -> Estimate:
    """Share of runs with a score above each level, `[levels]`, with pointwise bands."""
    above = [np.asarray(sample, float) > np.asarray(levels)[:, None] for sample in tasks]
    return mean(above, **options)


def _pooled(samples: Sequence[np.ndarray], axis: int) -> np.ndarray:
    return np.concatenate(samples, axis=axis)


def _wins(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Share of pairs in which an entry of the last axis of `x` is above one of `y`, ties half, `[...]`."""
    x, y = x[..., :, None], y[..., None, :]
    return ((x > y) + 0.5 * (x == y)).mean(axis=(-2, -1))
