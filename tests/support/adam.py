"""Recorded first steps of Adam, compared where they say something."""

import jax
import numpy as np

EPSILON = 1e-8  # Adam's
CLEAR = 1e-5  # gradients from here on are a thousand times as large
ROUNDING = 6e-8  # of two float32 parameters below 1


def first_moment(opt_state):
    """Adam's first moment in the state of the library's optimiser."""
    _, adam, _ = opt_state
    return adam.mu


def assert_first_step(before, after, recorded, moment, rate):
    """Parameters after Adam's first step are the recorded ones.

    That step is rate * g / (|g| + epsilon). Where g is as small as epsilon it magnifies the last digits of g, and
    these differ between processors. There the gradient itself, ten times the first moment, must be the one that the
    recorded step is made of; elsewhere the parameters must be the recorded ones.
    """

    def compare(path, before, after, recorded, moment):
        name, gradient = jax.tree_util.keystr(path), 10.0 * np.asarray(moment, np.float64)
        clear = np.abs(gradient) > CLEAR
        np.testing.assert_allclose(after[clear], recorded[clear], atol=1e-6, rtol=0, err_msg=name)
        gradient = gradient[~clear]
        step = (np.asarray(before, np.float64) - np.asarray(recorded, np.float64))[~clear] / rate
        recorded_gradient = EPSILON * step / np.maximum(1.0 - np.abs(step), 1e-6)
        blurred = ROUNDING / rate * (np.abs(gradient) + EPSILON) ** 2 / EPSILON
        off = np.abs(gradient - recorded_gradient)
        assert (off <= 1e-7 + blurred).all(), f"{name}: {gradient} instead of {recorded_gradient}"

    jax.tree_util.tree_map_with_path(compare, *map(jax.device_get, (before, after, recorded, moment)))
