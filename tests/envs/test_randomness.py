"""Randomness that does not come from the keys becomes a constant of the compiled program: it is refused."""

import random

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmac import envs
from jaxmac.envs import ContractError, Environment, Outcome, check_environment
from jaxmac.envs.randomness import wrong_randomness


class Dice(Environment):
    """One agent throws a die at every step."""

    def __init__(self):
        super().__init__(action_names=[("throw",)], obs_sizes=[1], state_size=1, horizon=4)

    def initial_physics(self, key):
        return jax.random.uniform(key)

    def sample_noise(self, key):
        return jax.random.uniform(key)

    def transition(self, physics, macro_actions, started, noise):
        return noise, Outcome(jnp.ones(1, bool), macro_actions, noise, jnp.bool_(False))

    def observe(self, physics):
        return jnp.full((1, 1), physics)

    def global_state(self, physics):
        return jnp.full(1, physics)


class NumPyStart(Dice):
    def initial_physics(self, key):
        return jnp.float32(np.random.default_rng().random())


class PythonReward(Dice):
    def transition(self, physics, macro_actions, started, noise):
        physics, outcome = super().transition(physics, macro_actions, started, noise)
        return physics, outcome._replace(reward=outcome.reward * random.random())


class OwnKey(Dice):
    def sample_noise(self, key):
        return jax.random.uniform(jax.random.key(3))


class Remembering(Dice):
    def observe(self, physics):
        self.last, before = physics, getattr(self, "last", physics)
        return jnp.full((1, 1), before)


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        (NumPyStart, "reset draws from NumPy or Python while it is traced: draw from its key (jax.random)"),
        (PythonReward, "step draws from NumPy or Python while it is traced: draw from its key (jax.random)"),
        (OwnKey, "sample_noise does not use its key, so every step has the same noise"),
    ],
)
def test_randomness_that_is_not_of_the_key_is_refused(kind, problem):
    check_environment(Dice())
    with pytest.raises(ContractError) as refused:
        check_environment(kind())
    assert str(refused.value) == f"{kind.__name__}: {problem}"


def test_what_is_kept_on_self_from_one_call_to_the_next_is_refused():
    with pytest.raises(ContractError) as refused:
        check_environment(Remembering())
    kept = "keeps a value of one call on self and uses it in another: put it into the physics"
    assert str(refused.value) == f"Remembering: {kept}"


class NoNoise(Dice):
    def sample_noise(self, key):
        return jnp.float32(0.0)


class KeyAsNoise(Dice):
    def sample_noise(self, key):
        return key

    def transition(self, physics, macro_actions, started, noise):
        return super().transition(physics, macro_actions, started, jax.random.uniform(noise))


@pytest.mark.parametrize("kind", [NoNoise, KeyAsNoise])
def test_noise_may_be_constant_or_a_key(kind):
    check_environment(kind())


@pytest.mark.parametrize("env_id", ["BoxPushing-4", "CaptureTarget-2", "Warehouse-S", "Overcooked-A"])
def test_the_librarys_own_draw_from_their_keys(env_id):
    assert wrong_randomness(envs.make(env_id)) == ""
