"""An update of every on-policy algorithm from episodes of which a cap (`max_rows`) dropped most joint rows.

A slow agent then has fewer rows than the cap, and its padding points at joint rows far before the first one kept.
"""

import jax
import numpy as np
import pytest
from support.actor_critic_recordings import Recorded
from support.records import make_episode
from support.samples import sample_of

from jaxmac.algorithms import Progress, configure, mac_q, make_algorithm
from jaxmac.hyper import hyper_of

STEPS, CAP = 24, 4
SIZES = {"num_envs": 2, "hidden_size": 6, "layer_size": 8, "critic_hidden_size": 6, "critic_layer_size": 8}
LOST = STEPS - CAP  # of the joint rows, and of agent 0's; agent 1's first row began in one of them and ended later
CASES = [
    ("mac-iac", {}, LOST),
    pytest.param("mac-niacc", {}, 2 * LOST, marks=pytest.mark.slow),
    pytest.param("mac-mappo", {"minibatches": 1}, 2 * LOST + 1, marks=pytest.mark.slow),
    pytest.param("mac-iaicc", {"critic": "history"}, 2 * LOST + 1, marks=pytest.mark.slow),
    pytest.param("mac-mappo", {"minibatches": 1, "critic": "history"}, 2 * LOST + 1, marks=pytest.mark.slow),
    pytest.param("mac-iaicc", {"critic": "state"}, LOST, marks=pytest.mark.slow),
    pytest.param("mac-ippo", {"minibatches": 1}, LOST, marks=pytest.mark.slow),
    pytest.param("mac-cac", {}, LOST, marks=pytest.mark.slow),
]


class Team(Recorded):
    """Two unequal agents, with the state of the made episodes and time for all of their steps."""

    def __init__(self):
        super().__init__()
        self.state_size, self.horizon = 1, STEPS + 4


def episodes_with(garbage, end=STEPS - 3):
    """Agent 0 decides at every step, agent 1 twice in all: its first macro-action ends after step `end`."""
    ended = np.ones((STEPS, 2), bool)
    ended[:, 1] = False
    ended[end, 1] = ended[STEPS - 1, 1] = True
    obs = np.random.default_rng(0).normal(size=(STEPS + 1, 2, 3)).astype(np.float32)
    obs[:, 0, 2] = 0.0  # agent 0 has two entries
    macro_action = np.ones((STEPS, 2), np.int32)
    given = {"obs": obs, "macro_action": macro_action, "horizon": STEPS + 4, "garbage": garbage}
    episode = make_episode(ended, np.arange(STEPS), terminal=True, **given)
    return jax.device_put(jax.tree.map(lambda x: np.stack([x, x]), episode))


@pytest.mark.parametrize(("kind", "options", "lost"), CASES)
def test_an_update_is_finite_and_does_not_depend_on_padding(kind, options, lost):
    env = Team()
    config = configure(kind, "tuned", env, {**SIZES, **options, "max_rows": CAP})
    algorithm, hyper = make_algorithm(kind, env, config), hyper_of(config)
    state = jax.jit(algorithm.init)(jax.random.key(0), hyper)
    update = jax.jit(algorithm.update)

    def after(garbage):
        samples, progress = {"main": sample_of(episodes_with(garbage))}, Progress(*np.int32([0, 16, 0]))
        return jax.device_get(update(state, hyper, samples, progress, jax.random.key(1)))

    (learned, metrics), (other, _) = after(0), after(50)
    assert metrics["dropped_rows"] == 2 * lost and np.isfinite(metrics["loss"])
    for new, same in zip(jax.tree.leaves(learned), jax.tree.leaves(other), strict=True):
        assert np.isfinite(new).all()
        np.testing.assert_array_equal(new, same)
    assert any(map(np.any, jax.tree.leaves(jax.tree.map(np.not_equal, learned, jax.device_get(state)))))


@pytest.mark.slow
def test_rows_of_agents_without_their_joint_row_are_counted_and_not_learned_from():
    env = Team()
    sizes = {name: SIZES[name] for name in ("num_envs", "hidden_size", "layer_size")} | {"batch_size": 2}
    window = {"trajectory_unit": "steps", "trajectory": 4 * STEPS, "max_rows": CAP}
    config = configure("mac-dec-ddrqn", "tuned", env, {**sizes, **window})
    algorithm, hyper = make_algorithm("mac-dec-ddrqn", env, config), hyper_of(config)
    sample, key = sample_of(episodes_with(0, end=2)), jax.random.key(0)
    state = jax.jit(algorithm.init)(key, hyper)
    own, joint = jax.jit(lambda sample, hyper: mac_q.rows_of(config, sample, hyper, key))(sample, hyper)
    lost = (own.mask & (own.closing < 0)).sum()
    update = jax.jit(algorithm.update)
    _, metrics = update(state, hyper, {"main": sample}, Progress(*np.int32([0, 16, 0])), key)
    assert lost == 2 and metrics["dropped_rows"] == joint.dropped.sum() + own.dropped.sum() + lost


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mac-dec-ddrqn", "parallel-mac-dec-ddrqn"])
def test_a_sampler_is_given_the_errors_of_the_networks_that_act(kind):
    """Both episodes of the batch are the same, and so are their errors."""
    env = Team()
    sizes = {name: SIZES[name] for name in ("num_envs", "hidden_size", "layer_size")} | {"batch_size": 2}
    config = configure(kind, "tuned", env, sizes)
    algorithm, hyper = make_algorithm(kind, env, config), hyper_of(config)
    samples = dict.fromkeys(algorithm.streams, sample_of(episodes_with(0)))

    @jax.jit
    def updated(key):
        state = algorithm.init(key, hyper)
        return algorithm.update(state, hyper, samples, Progress(*np.int32([0, 16, 0])), key)[1]

    metrics = updated(jax.random.key(0))
    assert tuple(metrics["errors"]) == tuple(algorithm.streams)
    acting = metrics["errors"][algorithm.streams[-1]] / config.reward_scale
    np.testing.assert_allclose(acting, metrics["td_error"], rtol=1e-5)
    if len(samples) == 2:
        assert abs(metrics["errors"]["centralised"] / config.reward_scale - metrics["td_error"]).min() > 1e-4
