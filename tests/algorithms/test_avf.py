import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.probes import Asynchronous
from support.records import spoiled_after_the_end
from support.samples import sample_of

from jaxmac import envs
from jaxmac.algorithms import Progress, configure, make_algorithm
from jaxmac.algorithms.value_based import exploration, hysteretic, weighted_mean_square
from jaxmac.hyper import hyper_of
from jaxmac.record.policy import random_policy
from jaxmac.record.rollout import rollout

SMALL = {"batch_size": 8, "hidden_size": 8, "hidden_layers": 1, "max_rows": 0}
NOW = Progress(jnp.int32(0), jnp.int32(100), jnp.int32(0))


def build(name, env, **options):
    config = configure(name, "paper", env, {**SMALL, **options})
    hyper = hyper_of(config)
    algorithm = make_algorithm(name, env, config)
    return algorithm, jax.device_get(jax.jit(algorithm.init)(jax.random.key(0), hyper)), hyper


@pytest.fixture(scope="module")
def env():
    return envs.make("BoxPushing-4", horizon=20)


@pytest.fixture(scope="module")
def batch(env):
    return jax.jit(lambda key: rollout(env, random_policy(), key, jnp.ones(8)))(jax.random.key(1))


def step(algorithm, state, hyper, batch, key=5):
    update = jax.jit(algorithm.update)
    return jax.device_get(update(state, hyper, {"main": sample_of(batch)}, NOW, jax.random.key(key)))


@pytest.mark.parametrize(
    "name", ["avf-qmix", *(pytest.param(name, marks=pytest.mark.slow) for name in ("avf-vdn", "avf-qplex"))]
)
def test_target_moves_by_polyak_and_learns_from_nothing_else(name, env, batch):
    algorithm, state, hyper = build(name, env, polyak=0.75)
    after, metrics = step(algorithm, state, hyper, batch)
    assert np.isfinite(metrics["loss"]) and metrics["loss"] > 0
    jax.tree.map(
        lambda old, new, target: np.testing.assert_allclose(target, 0.75 * old + 0.25 * new, atol=1e-6),
        state.target,
        after.params,
        after.target,
    )
    moved = [np.abs(a - b).max() for a, b in zip(*map(jax.tree.leaves, (state.params, after.params)), strict=True)]
    assert max(moved) == pytest.approx(float(hyper.learning_rate), rel=0.01)  # Adam's first step


@pytest.mark.parametrize("normalise", [pytest.param(False, marks=pytest.mark.slow), True])
def test_garbage_after_the_end_of_an_episode_changes_no_update(env, batch, normalise):
    algorithm, state, hyper = build("avf-qplex", env, normalise_state=normalise)
    dirty = spoiled_after_the_end(batch)
    clean_state, clean = step(algorithm, state, hyper, batch)
    dirty_state, other = step(algorithm, state, hyper, dirty)
    assert clean["loss"] == other["loss"]
    jax.tree.map(np.testing.assert_array_equal, clean_state.params, dirty_state.params)


def test_a_batch_without_rows_moves_nothing(env, batch):
    """Not even by the momentum of Adam."""
    algorithm, state, hyper = build("avf-vdn", env, trajectory_unit="episode")
    learned = step(algorithm, state, hyper, batch)[0]
    after = step(algorithm, learned, hyper, batch.replace(mask=np.zeros_like(batch.mask)))[0]
    jax.tree.map(np.testing.assert_array_equal, after.params, learned.params)


def test_terminal_rows_do_not_bootstrap(env, batch):
    """With gamma 0 or all rows terminal the target network cannot matter; otherwise it does."""
    algorithm, state, hyper = build("avf-vdn", env, trajectory_unit="episode")
    other = state.replace(target=jax.tree.map(lambda x: x + 0.5, state.target))
    one_step = batch.replace(terminal=batch.mask)
    losses = {
        (label, which): float(step(algorithm, s, hyper, b)[1]["loss"])
        for label, b in (("terminal", one_step), ("plain", batch))
        for which, s in (("state", state), ("other", other))
    }
    assert losses["terminal", "state"] == losses["terminal", "other"]
    assert losses["plain", "state"] != losses["plain", "other"]


def test_the_td_loss_by_hand():
    """One agent pair, one row at a time, VDN: the loss equals the formula written out in numpy."""
    env = Asynchronous()
    algorithm, state, hyper = build("avf-vdn", env, trajectory_unit="episode", gamma=0.5)
    played = jax.jit(lambda key: rollout(env, random_policy(), key, jnp.ones(8)))(jax.random.key(3))
    batch = jax.device_get(played)
    from jaxmac.networks.agent import make_agent_networks

    networks = make_agent_networks((2, 2), (2, 2), hidden_size=8, hidden_layers=1)
    apply = jax.jit(networks.apply)
    errors = []
    for episode in range(8):
        e = jax.tree.map(lambda x, i=episode: x[i], batch)
        hidden = networks.initial_hidden(1)
        held = np.ones((1, 1, 2), bool)
        utilities, first = [], 0
        for t in range(4):  # utilities held between decisions
            ended = held if t == 0 else (e.ended[t - 1] | e.terminal[t - 1])[None, None]
            obs = np.asarray(e.obs[t], np.float32)[None, None]
            hidden, said = apply(
                state.params["agents"],
                hidden,
                jnp.asarray(obs),
                jnp.zeros((1, 1, 2), jnp.int32),
                jnp.asarray(ended),
            )
            utilities.append(np.asarray(said.q[0, 0]))
        for t in range(3):
            ended = e.ended[t] | e.terminal[t]
            if not ended.any():
                continue
            reward = sum(0.5 ** (u - first) * e.reward[u] for u in range(first, t + 1))
            running = e.macro_action[t]
            now = sum(utilities[first][i, running[i]] for i in range(2))
            best = [utilities[t + 1][i].max() if ended[i] else utilities[t + 1][i, running[i]] for i in range(2)]
            target = reward + (0 if e.terminal[t] else 0.5 ** (t + 1 - first) * sum(best))
            errors.append(target - now)
            first = t + 1
    loss = step(algorithm, state, hyper, batch)[1]["loss"]
    assert float(loss) == pytest.approx(np.mean(np.square(errors)), rel=1e-4)


WHOLE = {"trajectory_unit": "episode", "max_rows": 15}


@pytest.fixture(scope="module")
def plain(env, batch):
    """The loss without any of the options."""
    return step(*build("avf-qplex", env, **WHOLE), batch)[1]["loss"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"macro_state": "real"},
        {"macro_state": "terminated", "reward_scheme": "mean", "td_lambda": 0.0},
        {"trajectory_unit": "rows", "unroll_episode": True},
        {"share_parameters": True, "obs_last_action": True, "dueling": "none"},
        {"dueling": "raw"},
        {"v_over_feasible": False, "double_q": False},
        {"timeout_is_terminal": True, "close_on_terminal": False, "hysteresis": 0.2},
    ],
)
def test_every_option_reaches_the_loss(options, env, batch, plain):
    changed = step(*build("avf-qplex", env, **WHOLE | options), batch)[1]["loss"]
    assert np.isfinite(changed) and changed != plain


def test_exploration_of_the_parallel_episodes_by_episode(env):
    values = {
        "num_envs": 4,
        "learning_starts": 100,
        "explore_fraction": 0.5,
        "epsilon_start": 0.8,
        "epsilon_end": 0.2,
    }
    config = configure("avf-vdn", "paper", env, {**values, "epsilon_episodes": 1000.0})
    hyper = hyper_of(config)
    for episodes, epsilon in ((0, 1.0), (99, 1.0), (100, 0.8), (600, 0.5), (5000, 0.2)):
        now = NOW._replace(episodes=jnp.int32(episodes))
        np.testing.assert_allclose(exploration(config, hyper, now), [1, 1, epsilon, epsilon], rtol=1e-6)


@pytest.mark.slow
def test_the_learning_rate_follows_its_schedule(env, batch):
    algorithm, state, hyper = build("avf-vdn", env, learning_rate_decay=0.1, learning_rate_episodes=100.0)
    moved = {}
    for episodes in (0, 64 + 50, 10_000):
        now = NOW._replace(episodes=jnp.int32(episodes))
        after, _ = jax.jit(algorithm.update)(state, hyper, {"main": sample_of(batch)}, now, jax.random.key(5))
        change = jax.tree.map(lambda old, new: float(jnp.abs(new - old).max()), state.params, after.params)
        moved[episodes] = max(jax.tree.leaves(change)) / float(hyper.learning_rate)
    np.testing.assert_allclose(list(moved.values()), [1.0, 0.55, 0.1], rtol=0.02)


def test_hysteresis_scales_negative_errors_by_its_schedule(env):
    config = configure("avf-vdn", "paper", env, {"hysteresis": 0.2, "hysteresis_end": 0.6, "learning_starts": 100})
    hyper = hyper_of(config)
    error = jnp.array([-1.0, 2.0])
    for episodes, factor in ((0, 0.2), (100, 0.2), (100 + 4500, 0.4), (100_000, 0.6)):
        now = NOW._replace(episodes=jnp.int32(episodes))
        np.testing.assert_allclose(hysteretic(error, config, hyper, now), [-factor, 2.0], rtol=1e-6)


def test_rows_outside_the_mask_weigh_nothing():
    error, mask = jnp.array([[1.0, jnp.nan, -3.0]]).T, jnp.array([[True, False, True]]).T  # [rows, batch]
    one = jnp.ones(1)
    assert weighted_mean_square(error, mask, one) == 5.0
    assert weighted_mean_square(error, jnp.zeros((3, 1), bool), one) == 0.0
    gradient = jax.grad(lambda e: weighted_mean_square(e, mask, one))(error)
    np.testing.assert_array_equal(gradient[:, 0], [1.0, 0.0, -3.0])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["avf-qtran", "mac-dec-ddrqn"])
def test_weights_multiply_the_losses_of_an_episodes_rows(name, env, batch):
    """Twice the weight of every episode is twice the loss; no weight on all but one is that one's loss."""
    algorithm, state, hyper = build(name, env, trajectory_unit="episode", sampling="uniform")
    sample = sample_of(batch)

    def loss(weight):
        given = {"main": sample._replace(weight=weight)}
        return algorithm.update(state, hyper, given, NOW, jax.random.key(5))[1]["loss"]

    first, others = jnp.arange(8) == 0, jnp.arange(8) > 0
    weights = jnp.stack([jnp.ones(8), jnp.full(8, 2.0), first * 1.0, others * 1.0])
    one, twice, apart, rest = map(float, jax.jit(jax.vmap(loss))(weights))
    assert twice == pytest.approx(2 * one, rel=1e-5) and one > 0
    assert apart + rest == pytest.approx(one, rel=1e-5) and 0 < apart < one


def test_running_agents_keep_their_macro_action_whatever_the_policy_says(env):
    """Execution and training agree: the record never shows a change of macro-action without an end."""
    algorithm, state, hyper = build("avf-qmix", env)
    policy = algorithm.behaviour(state, hyper, "main")
    play = jax.jit(lambda key: rollout(env, policy, key, jnp.full(16, 0.5)))
    played = jax.device_get(play(jax.random.key(2)))
    running = ~played.ended[:, :-1] & played.mask[:, 1:, None]
    same = played.macro_action[:, 1:] == played.macro_action[:, :-1]
    forced = played.macro_action[:, 1:] == 4  # a joint push forces Push
    assert running.any() and (same | forced)[running].all()
