"""Probabilities of policies that sample."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxmac.algorithms.stochastic_policy import conditional_log_probs, floored_log_probs


def test_policies_have_a_floor_and_ignore_padding():
    logits = jnp.array([[[5.0, -50.0, 99.0], [0.0, 1.0, 2.0]]])
    probs = np.exp(floored_log_probs(logits, jnp.float32(0.2), (2, 3)))[0]
    np.testing.assert_allclose(probs[0], [0.9, 0.1, 0.0], atol=1e-6)
    np.testing.assert_allclose(probs[1], 0.8 * np.exp([0, 1, 2]) / np.exp([0, 1, 2]).sum() + 0.2 / 3, rtol=1e-6)


def test_a_choice_that_is_all_but_certain_leaves_the_others_their_probabilities():
    """Without a floor; where the likeliest macro-action is not available, the next one counts."""
    logits, allowed = jnp.array([[[100.0, 0.0, 3.0]]]), jnp.array([[[False, True, True]]])

    def conditional(logits):
        floored = floored_log_probs(logits, jnp.float32(0), (3,))
        return conditional_log_probs(floored, allowed)[0, 0]

    odds = np.exp(3.0)
    np.testing.assert_allclose(np.exp(conditional(logits)), [0, 1 / (1 + odds), odds / (1 + odds)], rtol=1e-5)
    slope = jax.grad(lambda x: conditional(x)[2])(logits)[0, 0]
    np.testing.assert_allclose(slope, [0, -1 / (1 + odds), 1 / (1 + odds)], atol=1e-5)
