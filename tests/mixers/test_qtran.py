"""QTRAN: recorded values, and losses that tie the utilities to the joint value."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.mixer_recordings import GOLDEN, close, golden_inputs, mlp

from jaxmac.mixers import QTRAN
from jaxmac.mixers.testing import quick_jit
from jaxmac.networks.choice import feasible_set

MIXER = QTRAN(critic_embed=8)


def apply(params, inputs, method=None):
    return jax.device_get(quick_jit(partial(MIXER.apply, method=method))(params, inputs))


@pytest.fixture(scope="module")
def params():
    layers = {"encoder": ("action_encoding", 2), "joint": ("Q", 3), "value": ("V", 3)}
    return {"params": {ours: mlp(f"qtran.{theirs}", count) for ours, (theirs, count) in layers.items()}}


def test_recording(params):
    inputs = golden_inputs()
    q_all, chosen, _, hidden, state, *_ = inputs
    values = quick_jit(lambda *arguments: MIXER.apply(params, *arguments, 4, method="values"))
    (taken, best), value = values((chosen, np.asarray(q_all).argmax(-1)), hidden, state)
    close(taken, GOLDEN["qtran.Qjt"])
    close(best, GOLDEN["qtran.Qjt_greedy"])
    close(value, GOLDEN["qtran.V"])
    close(apply(params, inputs), GOLDEN["qtran.Qjt"])
    opt, nopt = apply(params, inputs, method="losses")
    close(opt.mean(), GOLDEN["qtran.L_opt"])
    close(nopt.mean(), GOLDEN["qtran.L_nopt"])
    close(apply(params, inputs, method="auxiliary"), opt + 0.1 * nopt)


def test_initial_parameters_have_the_recorded_shapes(params):
    drawn = jax.eval_shape(MIXER.init, jax.random.key(0), golden_inputs())
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a.shape, b.shape), drawn, params)


def test_which_loss_moves_what(params):
    inputs = golden_inputs()

    def gradient(method, argument):
        def total(p, q):
            out = MIXER.apply(p, inputs._replace(q_all=q), method=method)
            return jnp.sum(out)

        return jax.device_get(quick_jit(jax.grad(total, argnums=argument))(params, inputs[0]))

    auxiliary = gradient("auxiliary", 0)["params"]
    assert all((leaf == 0).all() for name in ("joint", "encoder") for leaf in jax.tree.leaves(auxiliary[name]))
    assert any((leaf != 0).any() for leaf in jax.tree.leaves(auxiliary["value"]))
    assert (gradient("auxiliary", 1) != 0).any()
    joint = gradient("__call__", 0)["params"]
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(joint["value"]))
    assert (gradient("__call__", 1) == 0).all()


def test_the_greedy_choice_is_conditional(params):
    """A running agent's utility counts as it is, whatever else it could have chosen."""
    inputs = golden_inputs()
    q_all, chosen = inputs.q_all, inputs.chosen
    choosing = np.broadcast_to(np.arange(3) != 1, chosen.shape)
    feasible = np.asarray(quick_jit(feasible_set)(np.ones(q_all.shape, bool), choosing, chosen))
    losses = partial(apply, params, method="losses")
    spoiled = np.where(feasible, q_all, 1e6)
    for clean, other in zip(
        losses(inputs._replace(feasible=feasible)),
        losses(inputs._replace(q_all=spoiled, feasible=feasible)),
        strict=True,
    ):
        np.testing.assert_array_equal(clean, other)
    everything = np.ones_like(feasible)
    assert not np.allclose(
        losses(inputs._replace(feasible=everything))[0], losses(inputs._replace(feasible=feasible))[0]
    )


def test_consistent_utilities_cost_nothing_and_only_underestimates_do(params, monkeypatch):
    inputs = golden_inputs()
    q_all, chosen = np.asarray(inputs.q_all), np.asarray(inputs.chosen)
    value = GOLDEN["qtran.V"]
    sums = {"best": q_all.max(-1).sum(-1), "taken": np.take_along_axis(q_all, chosen[..., None], -1).sum((-1, -2))}

    def losses(shift):
        """With Q_jt := sum of utilities + V + shift at the choice taken, 0 at the best."""
        made = ([sums["taken"] + value + shift, sums["best"] + value], value)
        monkeypatch.setattr(QTRAN, "values", lambda *arguments: made)
        return apply(params, inputs, method="losses")

    for shift, expected in ((0.0, 0.0), (-1.0, 0.0), (2.0, 4.0)):
        opt, nopt = losses(shift)
        np.testing.assert_allclose(opt, 0, atol=1e-6)
        np.testing.assert_allclose(nopt, expected, atol=1e-5)
