"""Annotated shapes and dtypes are checked while the tests run, also in jaxmac.envs, which is another folder."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import TypeCheckError

from jaxmac.envs.environment import Environment
from jaxmac.networks.choice import feasible_max
from jaxmac.record.episode import Episode

UTILITIES, FEASIBLE = jnp.zeros((5, 2, 3)), jnp.ones((5, 2, 3), bool)


def test_shapes_that_differ_are_found():
    feasible_max(UTILITIES, FEASIBLE)
    with pytest.raises(TypeCheckError):
        feasible_max(UTILITIES, FEASIBLE[..., :2])


def test_dtypes_are_checked():
    with pytest.raises(TypeCheckError):
        feasible_max(UTILITIES, FEASIBLE.astype(jnp.int32))


def test_numpy_arrays_count_as_arrays_of_jax_but_keep_their_shapes():
    feasible_max(np.asarray(UTILITIES), np.asarray(FEASIBLE))
    with pytest.raises(TypeCheckError):
        feasible_max(np.asarray(UTILITIES), np.asarray(FEASIBLE)[:4])


def test_the_environments_are_checked():
    assert hasattr(Environment.step, "__wrapped__")


def test_pytrees_may_hold_anything():
    fields = (
        "obs",
        "state",
        "avail",
        "elapsed",
        "macro_action",
        "ended",
        "reward",
        "terminal",
        "truncated",
        "mask",
    )
    assert jax.tree.leaves(Episode(**dict.fromkeys(fields, "axis"))) == ["axis"] * len(fields)
