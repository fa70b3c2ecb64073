"""Statistics against their definitions, written out, and against SciPy's own."""

import inspect
import itertools

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

import jaxmac
from jaxmac.analysis import statistics

RNG = np.random.default_rng(0)
TASKS = [RNG.normal(1.0, 0.3, size=8), RNG.normal(0.2, 0.5, size=8), np.array([0.5, 0.5, 0.9, 0.1])]


def test_the_interquartile_mean_leaves_out_a_quarter_at_either_end():
    scores = np.array([-1000.0, 1, 2, 3, 4, 5, 6, 9999])
    assert statistics.interquartile_mean([scores], resamples=9).value == (2 + 3 + 4 + 5) / 4
    # Over tasks the scores are put together: six of them, of which one at either end goes (6 / 4 rounded down).
    pooled = statistics.interquartile_mean([np.array([7.0, 100, 1]), np.array([2.0, -50, 4])], resamples=9).value
    assert pooled == pytest.approx((1 + 2 + 4 + 7) / 4)
    assert statistics.interquartile_mean([np.array([3.0, 5, 10])], resamples=9).value == 6  # nothing to leave out


def test_mean_median_and_gap():
    tasks = [np.array([1.0, 2.0, 6.0]), np.array([0.0, 0.5, 0.1])]
    assert statistics.mean(tasks, resamples=9).value == pytest.approx(9.6 / 6)
    assert statistics.median(tasks, resamples=9).value == pytest.approx((3.0 + 0.2) / 2)
    assert statistics.median(tasks[:1], resamples=9).value == 2.0
    # Only what is missing counts: 1 + 0.5 + 0.9 of six scores, the surplus of 6 does not help.
    assert statistics.optimality_gap(tasks, resamples=9).value == pytest.approx(2.4 / 6)


def test_a_task_with_more_members_counts_no_more_than_the_others():
    """One algorithm has most of its members on the easy task, the other on the hard one; they are equally good."""
    easy, hard = np.linspace(0.9, 1.0, 16), np.linspace(0.0, 0.1, 16)
    first, second = [easy, hard[[0, 5, 10, 15]]], [easy[[0, 5, 10, 15]], hard]
    for statistic in (statistics.mean, statistics.optimality_gap, statistics.median, statistics.interquartile_mean):
        assert statistic(first, resamples=9).value == pytest.approx(0.5, abs=0.01), statistic.__name__
        assert statistic(second, resamples=9).value == pytest.approx(0.5, abs=0.01), statistic.__name__
    above = statistics.performance_profile(first, np.array([0.5]), resamples=9).value
    np.testing.assert_allclose(above, [0.5])
    # Weights are those of a task that is there several times, until all have equally many members.
    repeated = [*TASKS[:2], np.tile(TASKS[2], 2)]
    weighted = statistics.interquartile_mean(TASKS, resamples=9).value
    assert weighted == pytest.approx(np.sort(np.concatenate(repeated))[6:-6].mean())
    for diverged in (-np.inf, np.inf):
        apart = [np.array([0.0, 1, 2]), np.array([diverged, 1, 2, 3])]
        assert np.isfinite(statistics.interquartile_mean(apart, resamples=9).value)
    unknown = [np.array([1.0, np.nan, 2]), np.ones(4)]
    assert np.isnan(statistics.interquartile_mean(unknown, resamples=9).value)


def by_pairs(ours, theirs):
    wins = [
        np.mean([1.0 if a > b else 0.5 if a == b else 0.0 for a, b in itertools.product(x, y)])
        for x, y in zip(ours, theirs, strict=True)
    ]
    return np.mean(wins)


def test_probability_of_improvement_counts_pairs_and_half_of_the_ties():
    ours, theirs = [np.array([1.0, 2.0, 2.0])], [np.array([2.0, 0.0])]
    assert statistics.probability_of_improvement(ours, theirs, resamples=9).value == (0 + 1 + 0.5 + 1 + 0.5 + 1) / 6
    for x, y in itertools.permutations([[task] for task in TASKS], 2):
        found = statistics.probability_of_improvement(x, y, resamples=9).value
        assert found == pytest.approx(by_pairs(x, y))
        u = mannwhitneyu(x[0], y[0]).statistic
        assert found == pytest.approx(u / (len(x[0]) * len(y[0])))
        assert statistics.probability_of_improvement(y, x, resamples=9).value == pytest.approx(1 - found)
    several = statistics.probability_of_improvement(TASKS[:2], TASKS[1:], resamples=9).value
    assert several == pytest.approx(by_pairs(TASKS[:2], TASKS[1:]))
    same = statistics.probability_of_improvement([np.ones(4)], [np.ones(4)], resamples=9)
    assert tuple(same) == (0.5, 0.5, 0.5)
    clear = statistics.probability_of_improvement([np.arange(4.0) + 9], [np.arange(4.0)], resamples=99)
    assert tuple(clear) == (1.0, 1.0, 1.0)


def test_nothing_is_probable_where_a_member_diverged():
    for x, y in (([1.0, np.nan], [0.0, 0.0]), ([1.0, 1.0], [0.0, np.nan])):
        found = statistics.probability_of_improvement([np.asarray(x)], [np.asarray(y)], resamples=9)
        assert np.isnan([found.value, found.low, found.high]).all()


def test_a_diverged_member_has_no_interquartile_mean(monkeypatch):
    """Older versions of SciPy sort NaN to the highest scores, which are left out."""
    monkeypatch.setattr("scipy.stats.trim_mean", lambda x, share, axis: np.nanmean(x, axis))
    scores = [np.array([1.0, 2, 3, np.nan]), np.ones(4)]
    assert np.isnan(list(statistics.interquartile_mean(scores, resamples=9))).all()


def test_a_profile_is_the_share_above_each_level():
    levels = np.array([-5.0, 0.1, 0.5, 0.9, 9.0])
    share, low, high = statistics.performance_profile(TASKS[2:], levels)
    np.testing.assert_array_equal(share, [1.0, 0.75, 0.25, 0.0, 0.0])
    assert ((low <= share) & (share <= high)).all() and (low[0], high[-1]) == (1.0, 0.0)
    assert low[1] < share[1] < high[1]
    both = statistics.performance_profile(TASKS[:2], levels).value
    np.testing.assert_allclose(
        both, [[np.mean([s > t for s in (*TASKS[0], *TASKS[1])])] for t in levels] @ np.ones(1)
    )


def test_a_profile_with_a_score_that_is_no_number_is_none():
    share = statistics.performance_profile([np.array([1.0, np.nan, 3.0])], np.array([0.0]), resamples=9).value
    assert np.isnan(share).all()


def test_members_are_resampled_within_their_task():
    """Tasks without any spread have none together, however far apart they are."""
    apart = [np.full(5, 1.0), np.full(5, 100.0)]
    for statistic in (statistics.mean, statistics.interquartile_mean, statistics.median):
        value, low, high = statistic(apart, resamples=99)
        assert low == value == high
    _, low, high = statistics.mean([np.concatenate(apart)], resamples=99)
    assert low < high  # one task with the same scores has


def test_the_interval_is_that_of_a_bootstrap_by_hand():
    tasks = [*TASKS[:2], RNG.normal(0.6, 0.2, size=8)]
    found = statistics.interquartile_mean(tasks, resamples=4000)
    again = np.random.default_rng(1)
    means = []
    for _ in range(4000):
        pooled = np.sort(np.concatenate([again.choice(task, len(task)) for task in tasks]))
        means.append(pooled[6:-6].mean())  # 24 scores
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(means, [2.5, 97.5])), abs=0.03)
    assert found == statistics.interquartile_mean(tasks, resamples=4000)
    narrow = statistics.interquartile_mean(tasks, confidence=0.5)
    assert found.low < narrow.low < found.value < narrow.high < found.high


def test_a_lone_member_has_no_interval():
    value, low, high = statistics.mean([np.ones(3), np.array([5.0])])
    assert value == 3.0 and np.isnan([low, high]).all()


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match="every task needs at least one score"):
        statistics.mean([np.array([])])
    with pytest.raises(ValueError, match="every task needs at least one score"):
        statistics.mean([])
    with pytest.raises(ValueError, match="confidence=95"):
        statistics.mean(TASKS, confidence=95)
    for confidence in ("a", True, None):
        with pytest.raises(ValueError, match=f"confidence={confidence}: must lie strictly between 0 and 1"):
            inspect.unwrap(statistics.stratified_bootstrap)(np.mean, TASKS, confidence)
    with pytest.raises(ValueError, match="resamples is 0, but must be"):
        statistics.mean(TASKS, resamples=0)
    for wrong in (np.ones(3), [1, 2, 3], [["a", "b"]]):
        with pytest.raises(
            ValueError, match=r"a task has the scores .*, but must have a list with one array \[members\]"
        ):
            inspect.unwrap(statistics.mean)(wrong)
    with pytest.raises(ValueError, match=r"a task has the scores 0.5, but must have"):
        inspect.unwrap(statistics.performance_profile)(TASKS, 0.5)
    with pytest.raises(ValueError, match="2 tasks against 1"):
        statistics.probability_of_improvement(TASKS[:2], TASKS[:1])


def test_they_are_public_as_jaxmac_statistics():
    defined = {
        name for name, value in vars(statistics).items() if getattr(value, "__module__", "") == statistics.__name__
    }
    assert {name for name in defined if not name.startswith("_")} | {"Tasks"} == set(jaxmac.statistics.__all__)
    assert all(getattr(jaxmac.statistics, name) is getattr(statistics, name) for name in jaxmac.statistics.__all__)
