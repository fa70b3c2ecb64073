"""`weight_floor`, a least weight of each utility in the joint value (docs/specifications/mixers.md, section 5)."""

import jax
import numpy as np
import pytest
from support.mixer_recordings import golden_inputs, gradient_of, value_of

from jaxmac.mixers import make_mixer
from jaxmac.mixers.base import init_mixer
from jaxmac.mixers.testing import check_igm, check_monotone, quick_jit, random_instances

FLOOR = 0.4


def params_without_weights(mixer):
    """Parameters under which the hypernetworks put out 0, as where the data ask for negative weights."""
    q_all, _, _, hidden, state, *_ = golden_inputs()
    shape = q_all.shape[-2], q_all.shape[-1], hidden.shape[-1], state.shape[-1]
    shapes = jax.eval_shape(lambda key: init_mixer(mixer, key, *shape), jax.random.key(0))
    return jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)


@pytest.mark.parametrize("name", ["qmix", "qplex"])
def test_a_utility_without_a_weight_learns_with_a_floor_only(name):
    for floor in (0.0, FLOOR):
        mixer = make_mixer(name, weight_floor=floor)
        gradient = gradient_of(mixer, params_without_weights(mixer), golden_inputs())
        np.testing.assert_allclose(gradient, floor, atol=1e-6)


@pytest.mark.parametrize("name", ["qmix", "qplex"])
def test_the_floor_is_added_to_the_weights(name):
    plain, floored = make_mixer(name), make_mixer(name, weight_floor=FLOOR)
    q_all, _, _, hidden, state, *_ = golden_inputs()
    shape = q_all.shape[-2], q_all.shape[-1], hidden.shape[-1], state.shape[-1]
    params = quick_jit(lambda key: init_mixer(plain, key, *shape))(jax.random.key(1))
    inputs = golden_inputs()
    added = gradient_of(floored, params, inputs) - gradient_of(plain, params, inputs)
    np.testing.assert_allclose(added, FLOOR, rtol=1e-4)


@pytest.mark.parametrize("conditional", [False, True])
@pytest.mark.parametrize("name", ["qmix", "qplex"])
def test_with_a_floor_greedy_macro_actions_are_still_greedy_together(name, conditional):
    mixer = make_mixer(name, weight_floor=FLOOR)
    cases = random_instances(mixer, 3, conditional, count=100)
    check_igm(mixer, cases)
    check_monotone(mixer, cases)


def test_qmix_without_learned_weights_is_vdn():
    mixer = make_mixer("qmix", weight_floor=1.0)
    values = value_of(mixer, params_without_weights(mixer), golden_inputs())
    np.testing.assert_allclose(values, value_of(make_mixer("vdn"), {}, golden_inputs()), rtol=1e-6)
