"""The smallest algorithm from outside: no settings but the common ones, and nothing is learned."""

import dataclasses

import jax
import jax.numpy as jnp

from jaxmac.algorithms import Algorithm, Collection, CommonConfig
from jaxmac.record import Policy
from jaxmac.record.replay import fresh_episodes


@dataclasses.dataclass(frozen=True)
class Bare(CommonConfig):
    """Without a replay, batches or any other setting that algorithms of the library have."""


def make_bare(env, config):
    """Values of macro-actions that nothing changes."""

    def policy(state, hyper, stream="main"):
        def act(key, carry, timestep, epsilon):
            return carry, jnp.where(timestep.avail, state["value"], -1e9).argmax(axis=-1).astype(jnp.int32)

        return Policy(lambda batch: (), act)

    def epsilons(hyper, progress):
        return jnp.zeros(config.num_envs)

    return Algorithm(
        ("main",),
        lambda key, hyper: {"value": jax.random.normal(key, (env.num_agents, env.max_actions))},
        policy,
        policy,
        lambda state, *rest: (state, {"loss": jnp.float32(0.0)}),
        Collection(epsilons, fresh_episodes(config.num_envs), 1, 0),
    )
