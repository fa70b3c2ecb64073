import numpy as np
import pytest
from scipy import stats

from jaxmac import analysis


def curve(evaluations=30, members=6, seed=0):
    rng = np.random.default_rng(seed)
    return 100.0 * np.arange(evaluations), rng.normal(size=(evaluations, members)).cumsum(axis=0)


def test_interval_agrees_with_scipy():
    _, returns = curve(evaluations=4, members=8)
    mean, low, high = analysis.interval(returns, confidence=0.9)
    expected = stats.bootstrap(
        (returns,), np.mean, axis=-1, confidence_level=0.9, method="percentile", n_resamples=20_000, rng=1
    ).confidence_interval
    np.testing.assert_allclose(mean, returns.mean(1))
    width = expected.high - expected.low
    np.testing.assert_allclose((low - expected.low) / width, 0, atol=0.04)
    np.testing.assert_allclose((high - expected.high) / width, 0, atol=0.04)


def test_interval_covers_the_mean_about_as_often_as_it_says():
    samples = np.random.default_rng(3).normal(size=(400, 20))
    _, low, high = analysis.interval(samples)
    assert 0.88 < ((low < 0) & (high > 0)).mean() < 0.97


def test_interval_is_reproducible_and_narrows_with_confidence():
    _, returns = curve()
    np.testing.assert_array_equal(analysis.interval(returns), analysis.interval(returns))
    _, low, high = analysis.interval(returns, 0.5)
    _, wide_low, wide_high = analysis.interval(returns, 0.99)
    assert (wide_low < low).all()
    assert (high < wide_high).all()


@pytest.mark.parametrize("members", [1, 2])
def test_one_or_two_members_have_a_mean_and_no_interval(members):
    mean, low, high = analysis.interval(np.tile(np.arange(5.0)[:, None], members) + np.arange(members))
    np.testing.assert_array_equal(mean, np.arange(5.0) + (members - 1) / 2)
    assert np.isnan([low, high]).all()
    assert np.isfinite(analysis.interval(np.arange(3.0))).all()


def test_interval_refuses_a_percentage():
    with pytest.raises(ValueError, match="confidence=95"):
        analysis.interval(np.zeros((3, 4)), confidence=95)


def test_smooth_is_a_trailing_mean():
    np.testing.assert_allclose(analysis.smooth(np.array([1.0, 3, 5, 7]), window=2), [1, 2, 4, 6])
    _, returns = curve()
    smoothed = analysis.smooth(returns)
    assert smoothed.shape == returns.shape
    np.testing.assert_allclose(smoothed[14], returns[5:15].mean(0))
    np.testing.assert_allclose(smoothed[3], returns[:4].mean(0))
    np.testing.assert_array_equal(analysis.smooth(returns, window=1), returns)


def test_smooth_forgets_what_left_its_window():
    np.testing.assert_array_equal(analysis.smooth(np.array([np.nan, 1e12, 1.0, 2, 3]), window=2)[3:], [1.5, 2.5])


def test_final_returns_are_those_of_the_last_evaluations():
    _, returns = curve()
    np.testing.assert_allclose(analysis.final_returns(returns), returns[20:].mean(0))
    np.testing.assert_allclose(analysis.final_returns(returns, window=100), returns.mean(0))


def test_solved_at_means_it_stays():
    episodes = np.array([0, 100, 200, 300, 400])
    returns = np.array(
        [
            # always, never, late, falls back, at the threshold, only at the last evaluation
            [9, 0, 0, 9, 0, 0],
            [9, 0, 0, 9, 5, 0],
            [9, 0, 9, 9, 5, 0],
            [9, 0, 9, 0, 5, 0],
            [9, 0, 9, 0, 5, 9],
        ]
    )
    np.testing.assert_array_equal(
        analysis.solved_at(episodes, returns, 5, window=1), [0, np.nan, 200, np.nan, 100, 400]
    )
    # Smoothed over two the late one reaches 9 one evaluation later, the last one not at all.
    np.testing.assert_array_equal(
        analysis.solved_at(episodes, returns, 5, window=2), [0, np.nan, 300, np.nan, 200, np.nan]
    )


def test_solved_at_by_the_episodes_of_each_member():
    episodes = np.array([[0, 0, 0], [32, 64, 32], [64, 128, np.nan], [96, 192, np.nan]], float)
    returns = np.array([[0, 0, 0], [9, 0, 9], [9, 9, np.nan], [9, 9, np.nan]], float)
    found = analysis.solved_at(
        episodes, returns, 5, window=1
    )  # the last member was trained less far, and solves it
    np.testing.assert_array_equal(found, [32, 128, 32])
    diverged = analysis.solved_at(
        episodes[:, 0], returns[:, 2:], 5, window=1
    )  # it was trained, to what is no number
    np.testing.assert_array_equal(diverged, [np.nan])


@pytest.mark.parametrize("window", [0, -3, 2.5, True])
def test_windows_that_mean_nothing_are_refused(window):
    episodes, returns = curve()
    for ask in (
        lambda: analysis.smooth(returns, window),
        lambda: analysis.final_returns(returns, window),
        lambda: analysis.solved_at(episodes, returns, 1.0, window),
        lambda: analysis.summary_table({"a": (episodes, returns)}, 1.0, window),
    ):
        with pytest.raises(ValueError, match=f"^window is {window}, but must be "):
            ask()


def test_summary_table():
    episodes = np.arange(20.0)
    returns = np.ones((20, 1)) * np.array([1.0, 2.0, 3.0, 6.0])
    many, one = analysis.summary_table(
        {"many": (episodes, returns), "one": (episodes, returns[:, :1])}, threshold=3.0
    )
    assert (many["label"], many["members"], many["mean"], many["solved"]) == ("many", 4, 3.0, 2)
    assert 1 < many["low"] < 3 < many["high"] < 6
    assert (one["label"], one["members"], one["mean"], one["solved"]) == ("one", 1, 1.0, 0)
    assert np.isnan(one["low"])
