"""Updates of large batches from microbatches are those of the whole batch."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.samples import sample_of, with_garbage

from jaxmac import envs
from jaxmac.algorithms import Progress, configure, make_algorithm
from jaxmac.hyper import hyper_of
from jaxmac.record import microbatches as module
from jaxmac.record.microbatches import CACHED, divided, microbatches, summed_over
from jaxmac.record.policy import random_policy
from jaxmac.record.rollout import rollout


class SomeRows(NamedTuple):
    value: jax.Array  # [rows, batch]
    mask: jax.Array  # [rows, batch, agents]
    dropped: jax.Array  # [batch]


ROWS = SomeRows(jnp.arange(24, dtype=jnp.float32).reshape(2, 12), jnp.ones((2, 12, 3), bool), jnp.arange(12))


def test_a_batch_is_divided_as_little_as_the_cache_demands():
    assert [microbatches(32, CACHED // each) for each in (32, 31, 16, 9, 8)] == [1, 2, 2, 4, 4]


def test_parts_are_equal_and_have_at_least_four_episodes():
    assert microbatches(32, CACHED) == 8
    assert microbatches(12, CACHED // 5) == 3
    assert microbatches(31, CACHED) == 1
    assert microbatches(3, CACHED) == 1


def test_an_accelerator_gets_the_whole_batch(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert microbatches(32, CACHED) == 1


def test_episodes_stay_together():
    parts = jax.device_get(jax.jit(lambda rows: divided(rows, 3))(ROWS))
    assert parts.value.shape == (3, 2, 4) and parts.mask.shape == (3, 2, 4, 3)
    for part in range(3):
        np.testing.assert_array_equal(parts.dropped[part], ROWS.dropped[4 * part : 4 * part + 4])
        np.testing.assert_array_equal(parts.value[part], ROWS.value[:, 4 * part : 4 * part + 4])
    np.testing.assert_array_equal(divided(jnp.arange(12), 3), jnp.arange(12).reshape(3, 4))
    assert divided(ROWS._replace(value=jnp.zeros((2, 12, 0))), 3).value.shape == (3, 2, 4, 0)


def test_totals_are_summed_and_what_each_episode_has_is_kept_in_order():
    def function(rows, weight):
        assert rows.value.shape == (2, 4)
        return {"sum": jnp.sum(rows.value * weight[None])}, (rows.value[1], rows.dropped)

    weight = jnp.arange(12, dtype=jnp.float32)
    summed = jax.jit(lambda *given: summed_over(function, given, CACHED, {"sum": jnp.float32(7)}))
    total, each = summed(ROWS, weight)
    assert total["sum"].dtype == jnp.float32
    assert total["sum"] == jnp.sum(ROWS.value * weight)
    np.testing.assert_array_equal(each[0], ROWS.value[1])
    np.testing.assert_array_equal(each[1], ROWS.dropped)


def test_short_episodes_share_a_microbatch_that_is_computed_at_their_length():
    counts = jnp.array([100, 7, 59, 100, 8, 60, 1, 99, 31, 30, 61, 40])
    mask = jnp.arange(100)[:, None, None] < counts[:, None]
    rows = SomeRows(jnp.zeros((100, 12)) + jnp.arange(12), mask, jnp.arange(12))

    def function(rows, weight):
        computed = jnp.float32(rows.mask.shape[0])
        return {"computed": computed, "real": jnp.sum(rows.mask)}, rows.dropped + weight

    like = {"computed": jnp.float32(0), "real": jnp.int32(0)}
    summed = jax.jit(lambda rows, weight: summed_over(function, (rows, weight), CACHED, like))
    total, each = summed(rows, jnp.arange(12) * 100)
    assert total == {"computed": 30 + 60 + 100, "real": counts.sum()}
    np.testing.assert_array_equal(each, 101 * np.arange(12))


REPLAYING = ("avf-qmix", "avf-qtran", "tomacvf-qplex", "mac-dec-q", "mac-cen-q", "mac-dec-ddrqn")
NOW = Progress(jnp.int32(0), jnp.int32(200), jnp.int32(0))


@pytest.fixture(scope="module")
def env():
    return envs.make("BoxPushing-4", horizon=24)


@pytest.fixture(scope="module")
def episodes(env):
    """Episodes of unequal length, the shortest ones first, with garbage behind their ends."""
    played = jax.jit(lambda key: rollout(env, random_policy(), key, jnp.ones(64)))(jax.random.key(1))
    by_length = jnp.argsort(played.length)
    chosen = jnp.concatenate([by_length[:4], by_length[-4:]])
    played = with_garbage(jax.tree.map(lambda x: np.asarray(x)[chosen], played))
    assert played.length[3] < played.length[4]
    return played


def updated(name, env, episodes):
    sizes = {"num_envs": 8, "batch_size": 8, "hidden_size": 8, "hysteresis": 0.3, "hysteresis_end": 0.3}
    config = configure(name, "tuned", env, sizes)
    algorithm, hyper = make_algorithm(name, env, config), hyper_of(config)
    sample = sample_of(episodes)._replace(weight=jnp.linspace(0.5, 2.0, 8, dtype=jnp.float32))
    state = jax.jit(algorithm.init)(jax.random.key(0), hyper)
    return jax.jit(algorithm.update)(state, hyper, dict.fromkeys(algorithm.streams, sample), NOW, jax.random.key(5))


@pytest.mark.slow
@pytest.mark.parametrize("name", REPLAYING)
def test_an_update_from_microbatches_is_that_of_the_whole_batch(name, env, episodes, monkeypatch):
    whole, metrics = updated(name, env, episodes)
    divisions = []
    monkeypatch.setattr(module, "microbatches", lambda *given: divisions.append(given) or 2)
    parts, part_metrics = updated(name, env, episodes)
    assert divisions and all(episodes == 8 for episodes, _ in divisions)
    # Adam's first steps have one size whatever the gradient's: its moments tell more than the parameters do.
    for moved, expected in ((parts.opt_state, whole.opt_state), (part_metrics, metrics)):
        jax.tree.map(assert_near, moved, expected)


def assert_near(found, expected):
    """Equal up to the rounding of sums of terms that are as large as the largest of `expected`."""
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())
