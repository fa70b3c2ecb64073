"""An algorithm from outside with no settings but the common ones, and the registry of algorithms."""

import pytest
from support.bare import Bare, make_bare
from support.probes import Additive
from support.registries import registered_only_here

import jaxmac
from jaxmac.algorithms import ALGORITHMS, AlgorithmSpec

ENV = Additive()


@pytest.fixture(autouse=True)
def forgotten():
    with registered_only_here():
        yield


def test_an_algorithm_needs_no_settings_but_the_common_ones(monkeypatch):
    preset = {"tuned": lambda env: {"num_envs": 4, "eval_every": 8, "eval_episodes": 2}}
    jaxmac.register_algorithm("bare", AlgorithmSpec(Bare, make_bare, preset))
    assert jaxmac.train("bare", ENV, seeds=2, episodes=8, progress=False).status == "finished"
    monkeypatch.setattr("jaxmac.training.memory.available_bytes", lambda: 10)
    with pytest.raises(MemoryError, match="what would fit: a smaller num_envs or hidden_size"):
        jaxmac.train("bare", ENV, seeds=2, episodes=8, progress=False)


def test_a_derived_algorithm_is_removed_by_its_mixer():
    assert ALGORITHMS.get("nope") is None
    with pytest.raises(ValueError, match="'avf-vdn' is derived from the mixer 'vdn': unregister the mixer"):
        ALGORITHMS.unregister("avf-vdn")
    with pytest.raises(ValueError, match="unknown algorithm 'nope'"):
        ALGORITHMS.unregister("nope")
