"""Compiled programs are kept for an environment as it is: one whose attributes were changed is another one."""

import jax.numpy as jnp
import numpy as np
import pytest
from support.line import Line
from support.probes import Asynchronous
from support.runs import TINY

import jaxmac
from jaxmac import envs
from jaxmac.runs.contents import attributes_of
from jaxmac.training.member_functions import _environment_key


@pytest.mark.slow
def test_a_reward_that_is_changed_in_a_notebook_is_trained_with(tmp_path):
    env = jaxmac.make("BoxPushing-4")
    before = jaxmac.train("avf-vdn", env, seeds=1, episodes=16, progress=False, **TINY)
    env.penalty = -1000.0
    after = jaxmac.train("avf-vdn", env, seeds=1, episodes=16, progress=False, **TINY)
    assert before.metrics["train_return"][-1] != after.metrics["train_return"][-1]


def test_attributes_count_also_those_of_environments_within():
    env = envs.WithOptions(Line(), [envs.Option("wait", lambda view: 0, lambda view: True)])
    key = _environment_key(env, None)
    assert _environment_key(env, None) == key
    env.env.horizon = 99
    assert _environment_key(env, None) != key


@pytest.mark.parametrize("kind", [np.asarray, jnp.asarray])
def test_every_entry_of_an_array_counts(kind):
    env, walls = Asynchronous(), np.zeros((100, 100))
    env.walls = kind(walls)
    before = attributes_of(env)
    walls = walls.copy()
    walls[50, 50] = 1e-12
    env.walls = kind(walls)
    assert attributes_of(env) != before and hash(before) != hash(attributes_of(env))


def test_what_is_computed_on_first_use_does_not_count():
    env = envs.make("Overcooked-A")
    before = attributes_of(env)
    assert env.planner is env.planner and attributes_of(env) == before
