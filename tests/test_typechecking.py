"""Annotated shapes and dtypes are checked while the tests run, also in jaxmac.envs, which is another folder."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Bool, Int, TypeCheckError, jaxtyped
from support.typechecking import checked

import jaxmac
from jaxmac.envs.environment import Environment, Outcome
from jaxmac.networks.choice import feasible_max
from jaxmac.record.episode import Episode
from jaxmac.record.policy import random_policy

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
    env = jaxmac.make("BoxPushing-6")
    state, _ = env.reset(jax.random.key(0))
    env.advance(state, np.array([2, 3]), ())
    for macro_actions in (jnp.zeros(3, int), jnp.zeros(2), jnp.int32(0)):
        with pytest.raises(TypeCheckError):
            env.advance(state, macro_actions, ())


@pytest.mark.parametrize(
    "change",
    (
        {"elapsed": jnp.zeros(3, jnp.int32)},  # of another number of agents
        {"ended": jnp.zeros(2, jnp.int32)},  # not bool
        {"macro_obs": jnp.zeros(2, jnp.uint8)},  # an axis is missing
    ),
)
def test_fields_are_checked_where_a_function_takes_them(change):
    env = jaxmac.make("BoxPushing-6")
    state, _ = env.reset(jax.random.key(0))
    with pytest.raises(TypeCheckError):
        env.advance(state.replace(**change), jnp.array([2, 3]), ())


def test_fields_are_checked_where_a_function_returns_them():
    @jaxtyped(typechecker=checked)
    def outcome_of(ended: Bool[Array, "..."], macro_action: Int[Array, "..."]) -> tuple[int, Outcome]:
        return 0, Outcome(ended, macro_action, jnp.float32(0), jnp.bool_(False))

    outcome_of(jnp.ones(2, bool), jnp.zeros(2, int))
    for ended in (jnp.ones(3, bool), jnp.bool_(True)):
        with pytest.raises(TypeCheckError):
            outcome_of(ended, jnp.zeros(2, int))


def test_fields_of_a_batch_have_axes_in_front():
    states, ts = jax.vmap(jaxmac.make("BoxPushing-6").reset)(jax.random.split(jax.random.key(0), 3))
    random_policy().act(jax.random.key(0), (), ts, jnp.zeros(3))
    assert states.ended.shape == (3, 2)


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
