"""What the diagnostics of an update are, by hand and against the gradient of the loss itself."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.losses_under_test import compiled_loss, pieces_of, progress_now, random_state, weighted_sample
from support.probes import Additive
from support.runs import TINY, without

from jaxmac.algorithms import configure, make_algorithm
from jaxmac.algorithms.diagnostics import (
    VALUE_BASED,
    episode_means,
    explained_variance,
    mean_where,
    of_ratios,
    of_values,
)
from jaxmac.hyper import hyper_of, static_view
from jaxmac.record.policy import random_policy
from jaxmac.record.rollout import rollout

NAN = np.nan


def test_means_of_an_episode_leave_padding_out():
    error = jnp.array([[1.0, 5.0], [-3.0, NAN], [NAN, NAN]])  # [rows, batch]
    value = jnp.array([[10.0, -2.0], [20.0, NAN], [NAN, NAN]])
    mask = jnp.array([[True, True], [True, False], [False, False]])
    means = episode_means(error, value, mask)
    assert means.error.tolist() == [2.0, 5.0] and means.value.tolist() == [15.0, -2.0]
    agents = episode_means(*(x[..., None] for x in (error, value, mask)))
    assert agents.error.tolist() == [2.0, 5.0]
    assert means.rows.tolist() == [2, 1]
    assert episode_means(error, value, mask & False).error.tolist() == [0.0, 0.0]


def test_an_episode_without_rows_does_not_count():
    """The mean is over the rows of the batch, in units of returns: 1 and 3 in the first episode, none, then 5."""
    error = jnp.array([[1.0, NAN, 5.0], [-3.0, NAN, NAN]])
    mask = jnp.array([[True, False, True], [True, False, False]])
    means = episode_means(error, 2 * error, mask)
    gradient = {"weights": jnp.array([3.0, 4.0])}
    for scale in (1.0, 0.1):
        found = of_values(means, gradient, scale)
        np.testing.assert_allclose([found[name] for name in VALUE_BASED], [3 / scale, 2 / scale, 5], rtol=1e-6)
    nothing = of_values(episode_means(error, error, mask & False), gradient, 1.0)
    assert (nothing["td_error"], nothing["q_taken"]) == (0, 0)


def test_the_distance_of_a_policy_by_hand():
    ratio = np.array([1.0, 1.5, 0.5, 1.1])
    mask = jnp.array([True, True, True, True, False])
    log_ratio = jnp.array([*np.log(ratio), NAN], jnp.float32)
    found = of_ratios(log_ratio, mask, 0.2)
    np.testing.assert_allclose(found["approx_kl"], np.mean(ratio - 1 - np.log(ratio)), rtol=1e-5)
    assert found["clip_fraction"] == 0.5
    assert mean_where(log_ratio, mask & False) == 0.0
    tiny = 1e-5 * jax.random.normal(jax.random.key(0), (100, 8))
    distances = jax.vmap(lambda x: of_ratios(x, jnp.ones(8, bool), 0.2)["approx_kl"])(tiny)
    assert (distances >= 0).all()


def test_explained_variance_by_hand():
    returns = jnp.array([1.0, 2.0, 3.0, NAN])
    mask = jnp.array([True, True, True, False])
    for value, expected in (([1.0, 2.0, 3.0], 1.0), ([5.0, 5.0, 5.0], 0.0), ([3.0, 2.0, 1.0], -3.0)):
        found = explained_variance(returns, jnp.array([*value, NAN]), mask)
        np.testing.assert_allclose(found, expected, atol=1e-6)
    for same in (1.0, 0.1, -3.3, 100.7):  # nothing is there to explain, but rounding
        equal, many = jnp.full(1000, same), jnp.ones(1000, bool)
        assert explained_variance(equal, jnp.linspace(-1, 1, 1000), many) == 0.0
    wide = jnp.linspace(999.0, 1001.0, 1000)
    np.testing.assert_allclose(explained_variance(wide, wide, jnp.ones(1000, bool)), 1.0, rtol=1e-6)


@pytest.mark.parametrize("name", ["avf-qmix", "tomacvf-qmix"])
def test_they_belong_to_the_loss_that_is_minimised(name):
    env = Additive()
    options = {**without(TINY, "sampling", "replay_tournament", "trajectory", "max_rows"), "sampling": "uniform"}
    config = configure(name, "paper", env, options)
    static, hyper = static_view(config), hyper_of(config)
    episodes = jax.jit(lambda key: rollout(env, random_policy(), key, jnp.ones(8)))(jax.random.key(0))
    sample = weighted_sample(episodes, np.zeros(8, np.int32), np.ones(8))
    if name.startswith("tomacvf"):
        sample = sample._replace(window_start=None)
    state = random_state(name, env, options, seed=0)
    cut = pieces_of(name, env, static)[2]
    rows = cut(sample, hyper, jax.random.key(1))
    weight = jnp.ones(8)
    (loss, means), gradient = compiled_loss(name, env, static)(
        state.params, state, rows, hyper, progress_now(), weight
    )
    update = jax.jit(make_algorithm(name, env, config).update)
    metrics = update(state, hyper, {"main": sample}, progress_now(), jax.random.key(1))[1]
    np.testing.assert_allclose(metrics["loss"], loss, rtol=1e-5)
    for column, each in (("td_error", means.error), ("q_taken", means.value)):
        expected = np.average(each, weights=means.rows) / hyper.reward_scale
        np.testing.assert_allclose(metrics[column], expected, rtol=1e-5)
    np.testing.assert_allclose(metrics["grad_norm"], optax.tree.norm(gradient), rtol=1e-5)
    assert metrics["td_error"] > 0 and metrics["q_taken"] != 0
