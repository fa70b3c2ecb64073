import functools

import jax
import jax.numpy as jnp

from jaxmac import envs

QUICK_COMPILE = {"xla_backend_optimization_level": 0}


@functools.cache
def jitted(env_id, **options):
    env = envs.make(env_id, **options)
    return env, jax.jit(env.advance, compiler_options=QUICK_COMPILE)


def situation(env, agents, target, visible=(True, True), goals=((-1, -1), (-1, -1))):
    state, _ = env.initial(agents, target, visible)
    x, y = jnp.array(goals, jnp.int32).T
    return state.replace(physics=state.physics.replace(goals=state.physics.goals.replace(x=x, y=y)))
