import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmac.networks import choice as targets


def random_case(seed, rows=200, agents=3, actions=4):
    rng = np.random.default_rng(seed)
    available = rng.random((rows, agents, actions)) < 0.6
    available[..., 0] |= ~available.any(-1)
    return (
        rng.normal(size=(rows, agents, actions)).astype(np.float32),
        available,
        rng.random((rows, agents)) < 0.5,
        rng.integers(0, actions, (rows, agents)),
    )


def test_conditional_argmax_is_the_best_feasible_joint_choice():
    q, available, choosing, running = random_case(0, rows=50)
    greedy = targets.conditional_argmax(q, available, choosing, running)
    assert greedy.dtype == jnp.int32
    for row in range(len(q)):
        options = [np.flatnonzero(available[row, i]) if choosing[row, i] else [running[row, i]] for i in range(3)]
        sums = {joint: q[row, np.arange(3), joint].sum() for joint in itertools.product(*options)}
        assert tuple(greedy[row].tolist()) == max(sums, key=sums.get)


def test_running_macro_action_is_kept_even_where_unavailable():
    available = jnp.array([[True, False]])
    q = jnp.array([[5.0, -5.0]])
    assert targets.conditional_argmax(q, available, jnp.array([False]), jnp.array([1])) == 1
    assert targets.conditional_argmax(q, available, jnp.array([True]), jnp.array([1])) == 0
    np.testing.assert_array_equal(
        targets.feasible_set(available, jnp.array([False]), jnp.array([1])), [[False, True]]
    )


@pytest.mark.parametrize("garbage", [1e8, np.inf, np.nan])
def test_padding_never_wins(garbage):
    q, available, choosing, running = random_case(1)
    everyone = np.ones_like(choosing)
    spoiled = np.where(available, q, garbage).astype(np.float32)
    clean = targets.conditional_argmax(q, available, everyone, running)
    same = np.testing.assert_array_equal
    same(targets.conditional_argmax(spoiled, available, everyone, running), clean)
    same(targets.feasible_max(spoiled, available), targets.feasible_max(q, available))
    same(targets.take_chosen(spoiled, clean), targets.take_chosen(q, clean))
    assert np.take_along_axis(available, np.asarray(clean)[..., None], -1).all()


def test_very_low_utilities_still_beat_padding():
    q = jnp.array([[-1e6, 0.0]])
    assert targets.conditional_argmax(q, jnp.array([[True, False]]), jnp.array([True]), jnp.array([0])) == 0


def test_ties_go_to_the_lowest_available_index():
    q = jnp.array([3.0, 7.0, 7.0, 7.0])
    for available, expected in [([1, 1, 1, 1], 1), ([1, 0, 1, 1], 2), ([1, 0, 0, 1], 3)]:
        greedy = targets.conditional_argmax(q, jnp.array(available, bool), jnp.array(True), jnp.array(0))
        assert greedy == expected


def test_feasible_max_of_one_who_runs_is_its_own_utility():
    q, available, choosing, running = random_case(2)
    value = targets.feasible_max(q, targets.feasible_set(available, choosing, running))
    greedy = targets.conditional_argmax(q, available, choosing, running)
    np.testing.assert_array_equal(value, targets.take_chosen(q, greedy))
    own = np.take_along_axis(q, running[..., None], -1)[..., 0]
    np.testing.assert_array_equal(np.asarray(value)[~choosing], own[~choosing])
    assert (np.asarray(value)[choosing] >= np.where(available, q, -1e9).max(-1)[choosing]).all()


def test_no_action_is_worth_nothing_and_stays_finite():
    q = jnp.ones((2, 4))
    np.testing.assert_array_equal(targets.take_chosen(q, jnp.array([-1, 2])), [0.0, 1.0])
    nothing = jnp.zeros((2, 4), bool)
    np.testing.assert_array_equal(targets.feasible_max(q, nothing), [0.0, 0.0])
    np.testing.assert_array_equal(targets.masked_argmax(q, nothing), [0, 0])
    assert not jax.grad(lambda q: targets.feasible_max(q, nothing).sum())(q).any()


def test_take_chosen_sends_its_gradient_to_the_chosen_entry():
    q, chosen = jnp.arange(6.0).reshape(2, 3), jnp.array([2, 0])
    grad = jax.grad(lambda q: (targets.take_chosen(q, chosen) * jnp.array([5.0, 7.0])).sum())(q)
    np.testing.assert_array_equal(grad, [[0, 0, 5], [7, 0, 0]])


@pytest.mark.parametrize("lowest", [-2e9, -3e38, -np.inf])
def test_what_is_not_allowed_never_wins_however_low_the_others_are(lowest):
    values, allowed = np.float32([[lowest, lowest, 5.0]]), np.array([[False, True, False]])
    assert targets.masked_argmax(values, allowed).tolist() == [1]
