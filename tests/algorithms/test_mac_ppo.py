"""Mac-IPPO and Mac-MAPPO: advantages by hand, padding, sharing, refusals."""

from functools import partial
from types import SimpleNamespace

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.actor_critic_recordings import Recorded
from support.probes import Asynchronous
from support.records import make_episode
from support.runs import FAMILIES
from support.samples import sample_of

import jaxmac
from jaxmac import envs
from jaxmac.algorithms import Progress, configure, mac_ppo, make_algorithm
from jaxmac.algorithms.mac_ppo_config import ROLES
from jaxmac.algorithms.moments import Moments
from jaxmac.hyper import hyper_of
from jaxmac.networks.critic import Critics
from jaxmac.training.compiled import Evaluation, Member, Tally, training_functions

SIZES = {"hidden_size": 6, "layer_size": 8, "critic_hidden_size": 6, "critic_layer_size": 8, "memory": "gru"}
PLAIN = {**SIZES, "layer_norm": False, "reward_scale": 1.0, "num_envs": 2, "minibatches": 1, "epochs": 2}


class Team(Recorded):
    """Two unequal agents, with the state of the made episodes: the time."""

    def __init__(self, state_size=1):
        super().__init__()
        self.state_size = state_size


def small(kind, **overrides):
    config = configure(kind, "tuned", Team(), {**PLAIN, **overrides})
    return mac_ppo.make_networks(Team(), config, ROLES[kind]), hyper_of(config)


def episodes_with(garbage):
    """Agent 0's macro-actions are steps 0-1 and 2-4, agent 1's are 0, 1-3 and 4; the second episode is cut short.

    There the time limit comes after step 4, at which agent 0's macro-action is still running.
    """
    ended = np.array([[0, 1], [1, 0], [0, 0], [0, 1], [1, 1]], bool)
    unfinished = ended.copy()
    unfinished[4, 0] = False
    obs = np.random.default_rng(0).normal(size=(6, 2, 3)).astype(np.float32)
    obs[:, 0, 2] = 0.0  # agent 0 has two entries
    macro_action = [[1, 0], [1, 2], [2, 2], [2, 2], [2, 1]]
    given = {"obs": obs, "macro_action": macro_action, "horizon": 8, "garbage": garbage}
    whole = make_episode(ended, [1, 2, 3, 4, 5], terminal=True, **given)
    cut = make_episode(unfinished, [1, 2, 3, 4, 5], truncated=True, **given)
    return jax.device_put(jax.tree.map(lambda *x: np.stack(x), whole, cut))


def test_advantages_of_an_asynchronous_example_by_hand():
    """gamma = lambda = 1/2; the critic of a decision gives 10 (agent 0's last start) + (agent 1's last start).

    Agent 0: R = 1 + 2/2 = 2 over 2 steps, then 3 + 4/2 + 5/4 = 6.25 over 3; V = 0, then 21 (started at 2 and 1).
    A_1 = 6.25 - 21 and A_0 = (2 + 21/4 - 0) + A_1 / 8; without the second row A_0 = 2 + 21/4.
    Agent 1: R = 1, then 2 + 3/2 + 4/4 = 4.5 over 3 steps, then 5; V = 0, 1, 24 and, after the time limit, 25.
    """
    options = {"gamma": 0.5, "gae_lambda": 0.5, "normalise_value": False, "normalise_advantage": False}
    networks, hyper = small("mac-mappo", **options)
    state = jax.jit(partial(mac_ppo.init, networks))(jax.random.key(0), hyper)
    by_starts = Critics(networks.critics.init, lambda params, macro: 10 * macro[..., 0] + macro[..., 1])
    networks = networks._replace(critics=by_starts)

    @jax.jit
    def run(episodes):
        rows = mac_ppo.rows_of(networks, hyper, episodes, "opening", macro_state="joint")
        rates = mac_ppo.ScheduledValues(jnp.float32(1), jnp.float32(0), jnp.float32(0))
        return mac_ppo.estimate(networks, state, rows, hyper, rates)[0]

    batch = jax.device_get(run(episodes_with(garbage=50)))
    expected = {
        (0, 0): ([5.40625, -14.75], [0, 21]),
        (0, 1): ([2.828125, 5.3125, -19.0], [0, 1, 24]),
        (1, 0): ([7.25], [0]),
        (1, 1): ([3.0234375, 6.09375, -6.5], [0, 1, 24]),
    }
    for (episode, agent), (advantage, value) in expected.items():
        real = batch.rows.own.mask[:, episode, agent]
        np.testing.assert_allclose(batch.advantage[real, episode, agent], advantage, rtol=1e-6)
        np.testing.assert_allclose(batch.output[real, episode, agent], value, rtol=1e-6)
        np.testing.assert_allclose(batch.target[real, episode, agent], np.add(advantage, value), rtol=1e-6)


def test_normalised_critics_bootstrap_with_returns(monkeypatch):
    """A critic that outputs (V - mean) / spread gives the advantages of one that outputs V."""
    mean, variance = jnp.array([3.0, -1.0]), jnp.array([4.0, 0.25])

    def advantages(normalise, scaled):
        options = {"gamma": 0.5, "normalise_value": normalise, "normalise_advantage": False}
        networks, hyper = small("mac-mappo", **options)
        state = jax.jit(partial(mac_ppo.init, networks))(jax.random.key(0), hyper)
        state = state.replace(moments=Moments(mean, variance, jnp.ones(2)))

        @jax.jit
        def run(episodes):
            rows = mac_ppo.rows_of(networks, hyper, episodes, "opening", macro_state="joint")
            number = jnp.cumsum(jnp.ones(rows.own.mask.shape), axis=0)  # of a row: 1, 2, 3, ...
            monkeypatch.setattr(mac_ppo, "outputs", lambda *_: (scaled(5 * number), scaled(5 * number + 5)))
            rates = mac_ppo.ScheduledValues(jnp.float32(1), jnp.float32(0), jnp.float32(0))
            batch, _, explained = mac_ppo.estimate(networks, state, rows, hyper, rates)
            return jnp.where(batch.rows.own.mask, batch.advantage, 0.0), explained

        return run(episodes_with(garbage=50))

    plain = advantages(False, lambda value: value)
    chex.assert_trees_all_close(
        advantages(True, lambda value: (value - mean) / jnp.sqrt(variance)), plain, rtol=1e-5
    )
    assert jnp.abs(plain[0]).max() > 1


def updated(kind, episodes, **overrides):
    config = configure(kind, "tuned", Team(), {**PLAIN, **overrides})
    algorithm, hyper = make_algorithm(kind, Team(), config), hyper_of(config)
    state = jax.jit(algorithm.init)(jax.random.key(0), hyper)
    now = Progress(jnp.int32(0), jnp.int32(2), jnp.int32(0))
    update = jax.jit(lambda e: algorithm.update(state, hyper, {"main": sample_of(e)}, now, jax.random.key(1)))
    return state, [update(e) for e in episodes]


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("mac-mappo", {"share_parameters": True}),
        pytest.param("mac-mappo", {}, marks=pytest.mark.slow),
        pytest.param("mac-mappo", {"critic": "history"}, marks=pytest.mark.slow),
        pytest.param("mac-ippo", {"obs_last_action": True}, marks=pytest.mark.slow),
    ],
)
def test_padding_changes_nothing(kind, options):
    before, (plain, garbage) = updated(kind, [episodes_with(0), episodes_with(1e3)], **options)
    jax.tree.map(np.testing.assert_array_equal, plain, garbage)
    moved = jax.tree.map(lambda x, y: bool((np.asarray(x) != y).any()), before.actors, plain[0].actors)
    assert any(jax.tree.leaves(moved)) and np.isfinite(plain[1]["loss"])


def test_moments_are_weighted_means_over_the_iterations_without_padding():
    """A share of .9 stays of what was before; the weights of all iterations sum to 1, from the first one on."""
    networks = SimpleNamespace(config=SimpleNamespace(share_parameters=False))
    returns = np.random.default_rng(0).normal(3.0, 2.0, (2, 4, 1, 2)).astype(np.float32)
    mask = np.ones((2, 4, 1, 2), bool)
    mask[0, 2:, :, 0] = mask[1, :, :, 1] = False  # padding, and an iteration without rows of agent 1
    returns[~mask] = 1e6
    moments = mac_ppo.Moments(*jnp.zeros((3, 2)))
    assert [x.tolist() for x in moments.mean_and_spread()] == [[0, 0], [1, 1]]
    for iteration in range(2):
        moments = mac_ppo.moments_with(networks, moments, returns[iteration], mask[iteration], 0.9)
    first, second = returns[0, :2, 0, 0], returns[1, :, 0, 0]
    shares = np.array([0.09, 0.1]) / 0.19
    mean = shares @ [first.mean(), second.mean()]
    variance = shares @ [(first**2).mean(), (second**2).mean()] - mean**2
    alone = returns[0, :, 0, 1]
    expected = [mean, alone.mean()], [np.sqrt(variance), alone.std()]
    for found, due in zip(moments.mean_and_spread(), expected, strict=True):
        np.testing.assert_allclose(found, due, rtol=1e-4)


def test_a_spread_that_is_small_beside_the_returns_is_found():
    """A mean of squares less the square of the mean would leave rounding errors of its own size."""
    networks = SimpleNamespace(config=SimpleNamespace(share_parameters=True))
    returns = np.random.default_rng(0).normal(1000.0, 1.0, (300, 8, 16, 2)).astype(np.float32)
    mask = np.ones(returns.shape[1:], bool)

    @jax.jit
    def spreads(returns):
        def iteration(moments, x):
            moments = mac_ppo.moments_with(networks, moments, x, mask, jnp.float32(0.99))
            return moments, moments.mean_and_spread()[1][0]

        return jax.lax.scan(iteration, mac_ppo.Moments(*jnp.zeros((3, 1))), returns)[1]

    np.testing.assert_allclose(spreads(returns)[50:], 1.0, atol=0.05)


@pytest.mark.slow
def test_agents_without_rows_do_not_move():
    """Not even by the momentum of Adam; the others learn."""
    episodes = episodes_with(0)
    never = episodes.replace(
        ended=episodes.ended.at[..., 0].set(False),
        terminal=jnp.zeros_like(episodes.terminal),
        elapsed=episodes.elapsed.at[..., 0].set(jnp.arange(9, dtype=jnp.int16)[None]),
    )
    before, ((after, _),) = updated("mac-ippo", [never])
    for old, new in ((before.actors, after.actors), (before.critics, after.critics)):
        changed = jax.tree.map(lambda x, y: (np.asarray(x) != y).reshape(2, -1).any(-1), old, new)
        assert not any(agent[0] for agent in jax.tree.leaves(changed))
        assert any(agent[1] for agent in jax.tree.leaves(changed))


def test_a_macro_action_that_was_not_available_is_no_choice():
    networks, hyper = small("mac-ippo")
    episodes = episodes_with(0)
    avail = np.array(episodes.avail)
    avail[:, 2:, 0, 2] = False  # agent 0's second choice
    episodes = episodes.replace(avail=jax.device_put(avail))

    @jax.jit
    def choices(episodes):
        decisions = mac_ppo.decisions_of(networks, mac_ppo.rows_of(networks, hyper, episodes, ""))
        return decisions.mask, mac_ppo.is_choice(decisions)

    mask, is_choice = jax.device_get(choices(episodes))
    assert mask[:2, 0, 0].tolist() == [True, True]
    assert is_choice[:2, 0, 0].tolist() == [True, False]


@pytest.mark.slow
def test_swept_settings_share_a_program_and_change_what_is_learned():
    settings = {**FAMILIES["mac-mappo"], "episodes": 16, "seeds": 1, "progress": False}
    settings |= {"actor_learning_rate": 0.05}  # ratios leave the narrower of both ranges
    sweep = {"clip": [0.01, 0.5], "gae_lambda": [0.0, 1.0]}
    loss = jaxmac.train("mac-mappo", Asynchronous(), sweep=sweep, **settings).metrics["loss"][-1]
    assert np.isfinite(loss).all() and len(set(loss.tolist())) == 4


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("mac-ippo", {"minibatches": 3}, "num_envs is 2, but must be a multiple of minibatches=3"),
        ("mac-ippo", {"epochs": 0}, "epochs is 0, but must be >= 1"),
        ("mac-ippo", {"gae_lambda": 1.5}, "gae_lambda is 1.5, but must be >= 0 and <= 1"),
        ("mac-mappo", {"gae_lambda": -0.1}, "gae_lambda is -0.1, but must be"),
        ("mac-mappo", {"clip": 0.0}, "clip is 0.0, but must be > 0"),
        ("mac-ippo", {"critic": "state"}, "critic is a setting of .*; mac-ippo does not have it"),
    ],
)
def test_refusals(kind, options, message):
    with pytest.raises(ValueError, match=message):
        small(kind, **options)


def test_a_state_critic_needs_a_state():
    config = configure("mac-mappo", "tuned", Team(0), PLAIN)
    with pytest.raises(ValueError, match="critic is 'state', but must be 'history': Team has no global state"):
        mac_ppo.make(Team(0), config, ROLES["mac-mappo"])


@pytest.mark.slow
@pytest.mark.parametrize("share", [False, True])
def test_the_first_policy_is_almost_uniform_with_a_small_gain(share):
    """Whatever is observed: outputs of `actor_gain=0.01` are a hundredth of those of 1, other weights are equal."""
    env = envs.make("CaptureTarget-10")
    outputs = {}
    for gain in (1.0, 0.01):
        config = configure("mac-ippo", "tuned", env, {"share_parameters": share, "actor_gain": gain, **SIZES})
        networks = mac_ppo.make_networks(env, config, ROLES["mac-ippo"])
        actors = jax.jit(partial(mac_ppo.init, networks))(jax.random.key(3), hyper_of(config)).actors
        obs = jax.random.normal(jax.random.key(4), (4, 2, env.num_agents, max(env.obs_sizes)))
        outputs[gain] = jax.jit(partial(mac_ppo.outputs_over, networks.actors))(actors, obs)
    chex.assert_trees_all_close(outputs[0.01], 0.01 * outputs[1.0], atol=1e-6)
    assert float(jnp.abs(outputs[1.0]).max()) > 0.1


def test_the_exploration_rate_before_the_first_episode_is_that_of_the_first_one():
    config = configure("mac-ippo", "tuned", Team(), {**PLAIN, "epsilon_start": 0.25, "epsilon_end": 0.0})
    functions = training_functions(Team(), make_algorithm("mac-ippo", Team(), config), config)
    example = jax.tree.map(lambda x: x[0], episodes_with(0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jaxmac.training.compiled.example_episode", lambda *_: example)  # this team is never stepped
        member = jax.jit(functions.init)(jax.random.key(0), hyper_of(config))
    assert member.tally.epsilon == 0.25


@pytest.mark.parametrize(("found", "best"), [(np.nan, 3.0), (2.0, 3.0), (4.0, 4.0)])
def test_an_evaluation_that_is_no_number_is_not_the_best(found, best, monkeypatch):
    config = configure("mac-ippo", "tuned", Team(), PLAIN)
    functions = training_functions(Team(), make_algorithm("mac-ippo", Team(), config), config)
    means = Evaluation(jnp.float32(found), jnp.float32(0), jnp.float32(0))
    monkeypatch.setattr("jaxmac.training.compiled.evaluate_episodes", lambda *_: means)
    learner = jax.jit(partial(mac_ppo.init, small("mac-ippo")[0]))(jax.random.key(0), hyper_of(config))
    member = Member(learner, {}, Tally.empty(), learner, jnp.float32(3))
    after = functions.evaluate(member, jax.random.key(0), hyper_of(config), jnp.int32(1))[2]
    assert after.best_return == best
