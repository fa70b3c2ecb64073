import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmac.algorithms.targets import TargetRows, n_step_target, one_step_target, target_rows
from jaxmac.hyper import Hyper


def test_one_step_target():
    reward, discount = jnp.array([1.0, 1.0, 2.0]), jnp.array([0.9, 0.9, 0.81])
    terminal, next_value = jnp.array([False, True, False]), jnp.array([10.0, jnp.nan, -10.0])
    rows = TargetRows(reward, discount, terminal, jnp.ones(3, bool))
    np.testing.assert_allclose(one_step_target(rows, next_value), [10.0, 1.0, -6.1], rtol=1e-6)
    np.testing.assert_allclose(n_step_target(rows, next_value, 1), [10.0, 1.0, -6.1], rtol=1e-6)


def test_n_steps_by_hand_with_garbage_in_the_padding():
    """Rows of 2, 1 and 3 primitive steps, the last one terminal; two rows of padding."""
    nan, discount = jnp.nan, 0.9
    reward = jnp.array([1.0, 2.0, 4.0, nan, nan])
    duration = jnp.array([2.0, 1.0, 3.0, nan, nan])
    terminal = jnp.array([False, False, True, False, True])
    value, mask = jnp.array([10.0, 20.0, nan, nan, nan]), jnp.arange(5) < 3
    rows = TargetRows(reward, discount**duration, terminal, mask)
    two = n_step_target(rows, value, 2)
    expected = [1 + 0.81 * 2 + 0.9**3 * 20, 2 + 0.9 * 4, 4]
    np.testing.assert_allclose(two[:3], expected, rtol=1e-6)
    np.testing.assert_allclose(n_step_target(rows, value, 9)[:3], [1 + 0.81 * 2 + 0.9**3 * 4, 5.6, 4], rtol=1e-6)
    truncated = rows._replace(terminal=jnp.zeros(5, bool))
    assert float(n_step_target(truncated, value.at[2].set(30.0), 9)[2]) == pytest.approx(4 + 0.9**3 * 30)


def test_rewards_are_scaled_and_durations_become_discounts():
    hyper = Hyper(gamma=jnp.float32(0.5), reward_scale=jnp.float32(3.0))
    rows = target_rows(hyper, jnp.array([2.0]), jnp.array([3.0]), jnp.array([False]), jnp.array([True]))
    assert rows.reward.tolist() == [6.0] and rows.discount.tolist() == [0.125]


def test_no_gradient_flows_into_the_target():
    def loss(reward, value):
        rows = TargetRows(reward[None], jnp.array([0.9]), jnp.array([False]), jnp.array([True]))
        return (one_step_target(rows, value[None]) ** 2 + n_step_target(rows, value[None], 2) ** 2).sum()

    assert jax.grad(loss, argnums=(0, 1))(jnp.float32(1.0), jnp.float32(2.0)) == (0.0, 0.0)
