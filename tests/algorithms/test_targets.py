import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmac.algorithms import targets
from jaxmac.algorithms.targets import TargetRows, target_rows
from jaxmac.hyper import Hyper

one_step_target, lambda_target = jax.jit(targets.one_step_target), jax.jit(targets.lambda_target)
linked_lambda_target = jax.jit(targets.linked_lambda_target)
n_step_target = jax.jit(targets.n_step_target, static_argnums=2)


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


def three_rows(terminal):
    """Rows of 2, 1 and 3 primitive steps and two rows of padding full of garbage."""
    nan, padding = jnp.nan, jnp.array([jnp.inf, jnp.nan])
    reward = jnp.concatenate([jnp.array([1.0, 2.0, 4.0]), padding])
    duration = jnp.concatenate([jnp.array([2.0, 1.0, 3.0]), padding])
    ends = jnp.array([False, False, terminal, False, True])
    value = jnp.array([10.0, 20.0, nan if terminal else 30.0, nan, -nan])
    return TargetRows(reward, 0.9**duration, ends, jnp.arange(5) < 3), value


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize("td_lambda", [0.0, 0.3, 1.0])
def test_lambda_returns_by_hand_with_garbage_in_the_padding(terminal, td_lambda):
    rows, value = three_rows(terminal)
    last = 4.0 if terminal else 4.0 + 0.9**3 * 30
    middle = 2 + 0.9 * ((1 - td_lambda) * 20 + td_lambda * last)
    first = 1 + 0.81 * ((1 - td_lambda) * 10 + td_lambda * middle)
    found = lambda_target(rows, value, jnp.float32(td_lambda))
    np.testing.assert_allclose(found, [first, middle, last, 0.0, 0.0], rtol=1e-6)
    linked = linked_lambda_target(rows, value, jnp.arange(1, 6), jnp.full(5, td_lambda))
    np.testing.assert_allclose(linked, found, rtol=1e-6)


@partial(jax.jit, static_argnames=("rows", "batch"))
def random_rows(key, rows=40, batch=7):
    """Sequences of 0 to `rows` real rows; about half of them end terminal, and NaN is everywhere else."""
    keys = jax.random.split(key, 5)
    real = jax.random.randint(keys[0], (batch,), 0, rows + 1).at[0].set(rows).at[1].set(0)
    mask = jnp.arange(rows)[:, None] < real
    reward, value = (jax.random.normal(k, (rows, batch)) for k in keys[1:3])
    duration = jax.random.randint(keys[3], (rows, batch), 1, 9).astype(jnp.float32)
    last = jnp.arange(rows)[:, None] == real - 1
    terminal = last & jax.random.bernoulli(keys[4], 0.5, (batch,))
    spoilt = [jnp.where(mask, x, jnp.nan) for x in (reward, 0.95**duration)]
    return TargetRows(*spoilt, terminal | ~mask, mask), jnp.where(mask & ~terminal, value, jnp.nan)


def test_with_lambda_0_nothing_changes():
    rows, value = random_rows(jax.random.key(0))
    found, wanted = lambda_target(rows, value, jnp.float32(0.0)), one_step_target(rows, value)
    np.testing.assert_array_equal(found, jnp.where(rows.mask, wanted, 0.0))


def test_with_lambda_1_a_terminated_episode_gives_its_discounted_return():
    rows, value = random_rows(jax.random.key(1))
    found = np.asarray(lambda_target(rows, value, jnp.float32(1.0)))
    terminated = np.flatnonzero(np.asarray((rows.terminal & rows.mask).any(axis=0)))
    assert len(terminated) >= 2
    for sequence in terminated:
        expected = 0.0
        for k in reversed(range(int(rows.mask[:, sequence].sum()))):
            expected = float(rows.reward[k, sequence]) + float(rows.discount[k, sequence]) * expected
            np.testing.assert_allclose(found[k, sequence], expected, rtol=1e-4, atol=1e-5)


def test_rows_that_skip_ahead_refer_to_the_row_they_name():
    """Micro-transitions of two steps in an episode of five: rows 3 and 4 have one step left or end the episode."""
    reward, value = jnp.arange(1.0, 6.0), jnp.arange(10.0, 60.0, 10.0)
    steps = jnp.array([2.0, 2.0, 2.0, 2.0, 1.0])
    rows = TargetRows(reward, 0.9**steps, jnp.zeros(5, bool), jnp.ones(5, bool))
    found = linked_lambda_target(rows, value, jnp.array([2, 3, 4, 5, 5]), 0.5**steps)
    y4, y3 = 5 + 0.9 * 50, 4 + 0.81 * 40
    y2 = 3 + 0.81 * (0.75 * 30 + 0.25 * y4)
    y1 = 2 + 0.81 * (0.75 * 20 + 0.25 * y3)
    y0 = 1 + 0.81 * (0.75 * 10 + 0.25 * y2)
    np.testing.assert_allclose(found, [y0, y1, y2, y3, y4], rtol=1e-6)


@pytest.mark.parametrize("longest", [1, 3])
@pytest.mark.parametrize("rows", [2, 16, 33])
def test_chains_of_any_length_are_followed_to_their_end(rows, longest, monkeypatch):
    found_rows, value = random_rows(jax.random.key(rows), rows=rows)
    steps = jax.random.randint(jax.random.key(longest), (rows, 7), 1, longest + 1)
    following = jnp.arange(rows)[:, None] + steps
    given = found_rows, value, following, 0.9**steps
    found = linked_lambda_target(*given)
    on_gpu = linked_lambda_target.trace(*given).lower(lowering_platforms=("cuda",)).as_text()
    assert "stablehlo.while" not in on_gpu
    with monkeypatch.context() as patched:
        patched.setattr(targets, "_row_by_row", targets._by_doubling)
        doubled = jax.jit(lambda *given: targets.linked_lambda_target(*given))(*given)
    reward, discount, terminal, mask, value, following, share = (
        np.asarray(x) for x in (*found_rows, value, following, 0.9**steps)
    )
    expected = np.zeros((rows + longest, 7))
    for k, b in itertools.product(reversed(range(rows)), range(7)):
        if mask[k, b]:
            ahead, further = following[k, b], share[k, b] * (following[k, b] < mask[:, b].sum())
            after = 0.0 if terminal[k, b] else (1 - further) * value[k, b] + further * expected[ahead, b]
            expected[k, b] = reward[k, b] + discount[k, b] * after
    np.testing.assert_allclose(found, expected[:rows], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(doubled, expected[:rows], rtol=1e-4, atol=1e-5)


def test_rewards_are_scaled_and_durations_become_discounts():
    hyper = Hyper(gamma=jnp.float32(0.5), reward_scale=jnp.float32(3.0))
    rows = target_rows(hyper, jnp.array([2.0]), jnp.array([3.0]), jnp.array([False]), jnp.array([True]))
    assert rows.reward.tolist() == [6.0] and rows.discount.tolist() == [0.125]


def test_no_gradient_flows_into_the_target():
    def loss(reward, value):
        rows = TargetRows(reward[None], jnp.array([0.9]), jnp.array([False]), jnp.array([True]))
        found = one_step_target(rows, value[None]), n_step_target(rows, value[None], 2)
        found += (
            lambda_target(rows, value[None], 0.5),
            linked_lambda_target(rows, value[None], jnp.ones(1, int), jnp.ones(1)),
        )
        return sum((x**2).sum() for x in found)

    assert jax.grad(loss, argnums=(0, 1))(jnp.float32(1.0), jnp.float32(2.0)) == (0.0, 0.0)
