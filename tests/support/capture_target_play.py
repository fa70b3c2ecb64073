"""Capture Target for its tests: compiled steps, made-up situations."""

import functools

import jax
import jax.numpy as jnp

from jaxmac import envs
from jaxmac.envs.capture_target.state import Cells


@functools.cache
def jitted(env_id, **options):
    """The environment and its `advance`, compiled."""
    env = envs.make(env_id, **options)
    return env, jax.jit(env.advance)


def situation(env, agents, target, visible=(True, True), last_seen=((-1, -1), (-1, -1))):
    """A state from cells, who sees the target, and the cells in which agents last saw it."""
    state, _ = env.initial(agents, target, visible)
    x, y = jnp.array(last_seen, jnp.int32).T
    return state.replace(physics=state.physics.replace(last_seen=Cells(x, y)))
