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
from jaxmac.algorithms.diagnostics import episode_means, explained_variance, mean_where, of_ratios
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
    assert episode_means(error, value, mask & False).error.tolist() == [0.0, 0.0]


def test_the_distance_of_a_policy_by_hand():
    ratio = np.array([1.0, 1.5, 0.5, 1.1])
    mask = jnp.array([True, True, True, True, False])
    log_ratio = jnp.array([*np.log(ratio), NAN], jnp.float32)
    found = of_ratios(log_ratio, mask, 0.2)
    np.testing.assert_allclose(found["approx_kl"], np.mean(ratio - 1 - np.log(ratio)), rtol=1e-5)
    assert found["clip_fraction"] == 0.5
    assert mean_where(log_ratio, mask & False) == 0.0


def test_explained_variance_by_hand():
    returns = jnp.array([1.0, 2.0, 3.0, NAN])
    mask = jnp.array([True, True, True, False])
    for value, expected in (([1.0, 2.0, 3.0], 1.0), ([5.0, 5.0, 5.0], 0.0), ([3.0, 2.0, 1.0], -3.0)):
        found = explained_variance(returns, jnp.array([*value, NAN]), mask)
        np.testing.assert_allclose(found, expected, atol=1e-6)
    assert explained_variance(jnp.ones(4), returns, mask) == 0.0  # nothing is there to explain


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
    np.testing.assert_allclose(metrics["td_error"], np.mean(means.error), rtol=1e-5)
    np.testing.assert_allclose(metrics["q_taken"], np.mean(means.value), rtol=1e-5)
    np.testing.assert_allclose(metrics["grad_norm"], optax.tree.norm(gradient), rtol=1e-5)
    assert metrics["td_error"] > 0 and metrics["q_taken"] != 0
