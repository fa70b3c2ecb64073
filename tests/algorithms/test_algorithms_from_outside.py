"""An algorithm from outside with no settings but the common ones, and the registry of algorithms."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest
from support.probes import Additive
from support.registries import registered_only_here

import jaxmac
from jaxmac.algorithms import ALGORITHMS, Algorithm, AlgorithmSpec, Collection, CommonConfig
from jaxmac.record import Policy
from jaxmac.record.replay import fresh_episodes

ENV = Additive()


@pytest.fixture(autouse=True)
def forgotten():
    with registered_only_here():
        yield


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


def test_an_algorithm_needs_no_settings_but_the_common_ones(monkeypatch):
    preset = {"tuned": lambda env: {"num_envs": 4, "eval_every": 8, "eval_episodes": 2}}
    jaxmac.register_algorithm("bare", AlgorithmSpec(Bare, make_bare, preset))
    assert jaxmac.train("bare", ENV, seeds=2, episodes=8, progress=False).status == "finished"
    monkeypatch.setattr("jaxmac.training.memory.available_bytes", lambda: 10)
    with pytest.raises(MemoryError, match="what would fit: a smaller batch_size"):
        jaxmac.train("bare", ENV, seeds=2, episodes=8, progress=False)


def test_a_derived_algorithm_is_removed_by_its_mixer():
    assert ALGORITHMS.get("nope") is None
    with pytest.raises(ValueError, match="'avf-vdn' is derived from the mixer 'vdn': unregister the mixer"):
        ALGORITHMS.unregister("avf-vdn")
    with pytest.raises(ValueError, match="unknown algorithm 'nope'"):
        ALGORITHMS.unregister("nope")
