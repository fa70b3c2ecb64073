"""Which settings of an algorithm nothing reads."""

import jax
import jax.numpy as jnp
from support.probes import Additive

from jaxmac.algorithms import make_algorithm
from jaxmac.config import settings_of
from jaxmac.hyper import Hyper, hyper_of, static_view
from jaxmac.training.compiled import training_functions


def unread_settings(algorithm, config):
    """The settings that neither the algorithm nor its replay nor the loop around it reads."""
    read = {"eval_every", "eval_episodes", "num_envs"}  # by the loop
    view = type(static_view(config))
    original = view.__getattribute__

    def watched(self, name):
        read.add(name)
        return original(self, name)

    class WatchedHyper(Hyper):
        def __getattr__(self, name):
            read.add(name)
            return super().__getattr__(name)

    view.__getattribute__ = watched
    try:
        trace_an_iteration(algorithm, config, WatchedHyper(**dict(hyper_of(config))))
    finally:
        del view.__getattribute__
    return sorted(set(settings_of(type(config))) - read)


def trace_an_iteration(algorithm, config, hyper):
    """What one iteration and an evaluation read; nothing is compiled."""
    env = Additive()
    functions = training_functions(env, make_algorithm(algorithm, env, config), static_view(config))

    def iterate(key):
        member = functions.init(key, hyper)
        member = functions.advance(member, key, hyper, jnp.int32(0), jnp.int32(1))
        return functions.evaluate(member, key, hyper, jnp.int32(1))

    jax.eval_shape(iterate, jax.random.key(0))
