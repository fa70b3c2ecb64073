"""All that the tests against the reference losses know of the code under test."""

from functools import cache
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from support.adam import first_moment
from support.samples import sample_of

from jaxmac.algorithms import ALGORITHMS, Progress, avf, configure, make_algorithm, tomacvf
from jaxmac.hyper import Hyper, hyper_of, static_view

EPISODES = 150  # played so far, where schedules are asked


@cache
def pieces_of(algorithm_id, team, static):
    """(networks, init, cut, loss, policy) that an algorithm is made of, ablations included."""

    def unmade(*pieces):
        return pieces

    with mock.patch.object(avf, "make_algorithm", unmade), mock.patch.object(tomacvf, "make_algorithm", unmade):
        return ALGORITHMS[algorithm_id].make(team, static)


@cache
def compiled_loss(algorithm_id, team, static):
    """(params, state, rows, hyper, progress, weight) -> ((loss, errors), gradient), compiled once per config."""
    loss = pieces_of(algorithm_id, team, static)[3]
    return jax.jit(jax.value_and_grad(loss, has_aux=True))


def progress_now():
    return Progress(jnp.int32(0), jnp.int32(EPISODES), jnp.int32(0))


def weighted_sample(episodes, window_start, weight):
    """A minibatch as a replay gives it."""
    sample = sample_of(episodes, jnp.asarray(window_start, jnp.int32))
    return sample._replace(weight=jnp.asarray(weight, jnp.float32))


@cache
def shape_of_state(algorithm_id, team, static, hyper_names):
    """A learner's state with shapes in place of arrays."""
    init = pieces_of(algorithm_id, team, static)[1]
    return jax.eval_shape(init, jax.random.key(0), Hyper(**dict.fromkeys(hyper_names, jnp.float32(0))))


def random_state(algorithm_id, team, options, seed):
    """A learner's state with random parameters, and other ones in its target networks."""
    config = configure(algorithm_id, "paper", team, options)
    state = shape_of_state(algorithm_id, team, static_view(config), tuple(hyper_of(config)))
    rng = np.random.default_rng(seed)

    def draw(path, leaf):
        # Large weights of the agents make their inputs decide what is best; mixers stay well-conditioned.
        scale = 1.2 if path[0].key == "agents" and "bias" not in path[-1].key else 0.5
        return jax.device_put(rng.normal(scale=scale, size=leaf.shape).astype(leaf.dtype))

    params, target = (jax.tree_util.tree_map_with_path(draw, state.params) for _ in range(2))
    zeros = jax.device_put(jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), state.opt_state))
    return state.replace(params=params, target=target, opt_state=zeros)


def cuts_of(cases, team, sample):
    """The rows that each of `cases`, pairs of an algorithm and its options, learns from.

    All are cut in one program: compiled one by one they would take five times as long.
    """
    cuts, hypers = [], []
    for algorithm_id, options in cases:
        config = configure(algorithm_id, "paper", team, options)
        cuts.append(pieces_of(algorithm_id, team, static_view(config))[2])
        hypers.append(hyper_of(config))

    def cut_all(sample, hypers):
        key = jax.random.key(0)  # windows begin where the sample says
        return [padded(cut(sample, hyper, key), team.horizon) for cut, hyper in zip(cuts, hypers, strict=True)]

    return jax.jit(cut_all)(sample, hypers)


def loss_and_gradient(algorithm_id, team, options, state, rows, weight):
    """The loss of rows and its gradient; cases with the same options share a program."""
    config = configure(algorithm_id, "paper", team, options)
    compiled, hyper = compiled_loss(algorithm_id, team, static_view(config)), hyper_of(config)
    (loss, _), gradient = compiled(state.params, state, rows, hyper, progress_now(), jnp.asarray(weight))
    return loss, gradient


def padded(rows, size):
    """Time-major rows with more of them that are masked out: cases with windows of any length share a program."""
    missing = size - rows.mask.shape[0]
    if not missing:
        return rows
    padding = {
        name: jnp.pad(value, [(0, missing), *[(0, 0)] * (value.ndim - 1)])
        for name, value in rows._asdict().items()
        if name != "dropped"
    }
    return rows._replace(**padding)


def loss_and_gradient_of_an_update(algorithm_id, team, options, state, sample):
    """What `Algorithm.update` reports and descends: Adam's first moment is a tenth of the first gradient."""
    config = configure(algorithm_id, "paper", team, options | {"grad_clip": 0.0})
    algorithm = make_algorithm(algorithm_id, team, config)
    update = jax.jit(algorithm.update)
    after, metrics = update(state, hyper_of(config), {"main": sample}, progress_now(), jax.random.key(0))
    return metrics["loss"], jax.tree.map(lambda x: 10.0 * x, first_moment(after.opt_state))
