"""Every update learns from a minibatch of its own, drawn with a key of its own."""

import jax
import jax.numpy as jnp
import numpy as np
from support.probes import Additive

from jaxmac.algorithms import Algorithm, configure, make_algorithm
from jaxmac.hyper import hyper_arrays
from jaxmac.record.policy import random_policy
from jaxmac.training.compiled import MEMBERS, training_functions

SETTINGS = {"num_envs": 8, "batch_size": 6, "replay_episodes": 32, "learning_starts": 16, "train_freq": 2}
MEMBER_SEEDS, ITERATIONS, UPDATES = (0, 1), 4, 4  # updates an iteration: 8 environments x 1 step / train_freq
LEARNING = ITERATIONS - 1  # the first iteration fills the replay


def note_taker(algorithm):
    """An algorithm that acts at random, learns nothing and notes what each update is given."""

    def init(key, hyper):
        notes = jnp.zeros((LEARNING * UPDATES, SETTINGS["batch_size"]), jnp.int32)
        return {"episodes": notes, "draw": jnp.zeros(LEARNING * UPDATES)}

    def update(state, hyper, samples, progress, key):
        episodes = state["episodes"].at[progress.updates].set(samples["main"].index)
        draw = state["draw"].at[progress.updates].set(jax.random.uniform(key))
        return {"episodes": episodes, "draw": draw}, {"loss": jnp.zeros(())}

    def policy(state, hyper, stream="main"):
        return random_policy()

    return Algorithm(("main",), init, policy, policy, update, algorithm.collection)


def test_updates_of_an_iteration_learn_from_different_minibatches():
    env = Additive()
    config = configure("avf-vdn", "paper", env, SETTINGS)
    algorithm = note_taker(make_algorithm("avf-vdn", env, config))
    functions = training_functions(env, algorithm, config, MEMBERS)
    keys, hyper = jax.vmap(jax.random.key)(jnp.array(MEMBER_SEEDS)), hyper_arrays([config] * len(MEMBER_SEEDS))
    members = jax.jit(jax.vmap(functions.init))(keys, hyper)
    members = jax.jit(functions.advance)(members, keys, hyper, jnp.int32(0), jnp.int32(ITERATIONS))
    notes = jax.device_get(members.learner)
    minibatches = np.sort(notes["episodes"], axis=-1)
    assert (np.diff(minibatches) > 0).all()  # distinct episodes in each
    for learner in minibatches.reshape(len(MEMBER_SEEDS), LEARNING, UPDATES, -1):
        for iteration in learner:
            assert len(np.unique(iteration, axis=0)) == UPDATES
    assert len(np.unique(notes["draw"])) == notes["draw"].size
