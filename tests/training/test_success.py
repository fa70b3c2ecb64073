"""The success rate of every evaluation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.probes import Asynchronous
from support.runs import TINY

import jaxmac

SETTINGS = {**TINY, "episodes": 8}


class Lucky(Asynchronous):
    """Half of the episodes succeed: those whose coin shows 1."""

    def success(self, physics):
        return physics.coin == 1


class Winning(Asynchronous):
    def success(self, physics):
        return jnp.bool_(True)


@pytest.mark.slow
def test_it_is_the_share_of_the_evaluation_episodes():
    found = jaxmac.train("avf-vdn", Lucky(), seeds=1, progress=False, **{**SETTINGS, "eval_episodes": 400})
    assert (abs(found.metrics["eval_success"] - 0.5) < 0.15).all()
    found = jaxmac.train("avf-vdn", Winning(), seeds=1, progress=False, **SETTINGS)
    assert (found.metrics["eval_success"] == 1).all()


@pytest.mark.parametrize("kind", [Winning, pytest.param(Asynchronous, marks=pytest.mark.slow)])
def test_the_pure_function_has_the_column_also_where_success_is_not_defined(kind):
    _, metrics = jax.jit(jaxmac.make_train("avf-vdn", kind(), **SETTINGS))(jax.random.key(0))
    np.testing.assert_array_equal(metrics["eval_success"], 1.0 if kind is Winning else np.nan)
