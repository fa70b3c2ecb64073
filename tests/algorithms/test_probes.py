"""Learning on probe environments: each mixer learns what it can represent."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import probes
from support.runs import without

import jaxmac.algorithms.avf as avf
import jaxmac.algorithms.factorised as factorised
import jaxmac.networks.choice as targets
from jaxmac import train
from jaxmac.record.rollout import rollout

SMALL = {
    "learning_rate": 1e-2,
    "gamma": 0.9,
    "polyak": 0.9,
    "num_envs": 16,
    "batch_size": 32,
    "replay_episodes": 512,
    "sampling": "uniform",
    "learning_starts": 64,
    "explore_fraction": 1.0,
    "reward_scale": 0.2,
    "trajectory_unit": "episode",
    "max_rows": 0,
    "hidden_size": 16,
    "train_freq": 1,
    "eval_every": 640,
}


def learn(algorithm, env, episodes=640, seeds=3, **options):
    values = {**SMALL, "train_freq": env.horizon, **options}
    if algorithm.startswith("tomacvf"):
        values = without(values, "trajectory_unit", "max_rows")
    return train(algorithm, env, seeds=seeds, episodes=episodes, progress=False, **values)


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["avf-vdn", "avf-qmix", "avf-qplex"])
def test_every_mixer_learns_the_additive_game(algorithm):
    result = learn(algorithm, probes.Additive())
    assert result.metrics["eval_return"][-1].tolist() == [3.0] * 3


@pytest.mark.slow
def test_qmix_learns_the_value_of_a_monotonic_game():
    result = learn("avf-qmix", probes.Monotonic())
    assert result.metrics["eval_return"][-1].tolist() == [4.0] * 3
    assert (result.metrics["loss"][-1] < 0.25).all()  # a sum cannot get below 0.04 * 16 * 9/64 of variance


@pytest.mark.slow
def test_only_qplex_learns_the_values_of_a_game_that_is_not_monotonic():
    loss = {}
    for algorithm in ("avf-qmix", "avf-qplex"):
        result = learn(algorithm, probes.Crossed(), episodes=1600, epsilon_end=1.0)
        assert result.metrics["eval_return"][-1].tolist() == [8.0] * 3
        loss[algorithm] = result.metrics["loss"][-1].max(), result.metrics["loss"][-1].min()
    # the best monotonic fit is 8 and three times -8/3: its mean square error is 16.7, scaled by 0.2^2 0.67
    assert loss["avf-qmix"][1] > 0.6
    assert loss["avf-qplex"][0] < 0.35


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["avf-vdn", "avf-qmix", "avf-qplex"])
def test_every_mixer_learns_the_asynchronous_probe(algorithm):
    result = learn(algorithm, probes.Asynchronous(), episodes=2560, learning_rate=5e-3, epsilon_end=1.0)
    returns = result.metrics["eval_return"][-1]
    assert returns.max() == probes.Asynchronous.best  # nothing is better
    assert (returns == probes.Asynchronous.best).sum() >= 2


def worst_gap(result, env):
    """Smallest return over greedy episodes with coin 1, where the optimum is 2, and with coin 0, where it is 10."""
    worst = []
    for member in range(len(result.members)):
        played = rollout(env, result.policy(member), jax.random.key(9), jnp.zeros(32))
        coin = np.asarray(played.state[:, 0, 0])
        returns = np.asarray(played.undiscounted_return)
        worst.append((returns[coin == 0].min(), returns[coin == 1].min()))
    return worst


@pytest.mark.slow
def test_only_the_conditional_arg_max_solves_a_running_teammate(monkeypatch):
    env = probes.RunningOn()
    assert worst_gap(learn("avf-vdn", env, episodes=1600), env) == [(10.0, 2.0)] * 3

    def unconditional(q_all, available, choosing, running):
        return targets.conditional_argmax(q_all, available, jnp.ones_like(choosing), running)

    def everything(available, choosing, running):
        return targets.feasible_set(available, jnp.ones_like(choosing), running)

    monkeypatch.setattr(avf, "conditional_argmax", unconditional)
    monkeypatch.setattr(factorised, "feasible_set", everything)
    env = probes.RunningOn()  # another object: programs of the same one are kept
    assert worst_gap(learn("avf-vdn", env, episodes=1600), env) == [(10.0, 1.0)] * 3


@pytest.mark.slow
def test_only_the_joint_macro_state_explains_a_faded_coin():
    solved = {}
    for mode in ("joint", "real", "terminated"):
        options = {
            "macro_state": mode,
            "reward_scale": 0.1,
            "epsilon_end": 1.0,
            "eval_every": 1280,
            "train_freq": 6,
        }
        result = learn("avf-qmix", probes.FadedCoin(), episodes=1280, seeds=4, **options)
        # the coins of 32 episodes add a multiple of 2 * 100 / 32; what is left is what agent 0 earned
        earned = result.metrics["eval_return"][-1] % (2 * probes.FadedCoin.stake / 32)
        assert (np.isclose(earned, 0, atol=1e-3) | np.isclose(earned, 1, atol=1e-3)).all()
        solved[mode] = int(np.isclose(earned, 1, atol=1e-3).sum())
    assert solved["joint"] == 4
    assert solved["real"] < 4 and solved["terminated"] < 4


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["tomacvf-qmix", "tomacvf-qplex"])
def test_tomacvf_learns_the_asynchronous_probe(algorithm):
    result = learn(algorithm, probes.Asynchronous(), episodes=2560, learning_rate=5e-3, epsilon_end=1.0, n_step=1)
    returns = result.metrics["eval_return"][-1]
    assert returns.max() == probes.Asynchronous.best  # nothing is better
    assert (returns == probes.Asynchronous.best).sum() >= 2


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["mac-dec-q", "mac-cen-q", "mac-dec-ddrqn", "parallel-mac-dec-ddrqn"])
def test_value_based_baselines_learn_the_asynchronous_probe(algorithm):
    options = {"episodes": 1280, "learning_rate": 5e-3, "epsilon_end": 1.0}
    returns = learn(algorithm, probes.Asynchronous(), target_steps=0, **options).metrics["eval_return"][-1]
    assert returns.max() == probes.Asynchronous.best  # nothing is better
    assert (returns == probes.Asynchronous.best).sum() >= 2


@pytest.mark.slow
@pytest.mark.parametrize("critic", ["history", "state"])
@pytest.mark.parametrize("algorithm", ["mac-iaicc", "mac-cac", "mac-iac", "mac-niacc"])
def test_actor_critics_learn_the_additive_game(algorithm, critic):
    small = {"num_envs": 32, "hidden_size": 8, "layer_size": 16, "critic_hidden_size": 8, "critic_layer_size": 16}
    rates = {"actor_learning_rate": 1e-2, "critic_learning_rate": 1e-2, "epsilon_episodes": 1000.0}
    given = {"critic": critic, "eval_every": 3200, "target_episodes": 32, **small, **rates}
    result = train(algorithm, probes.Additive(), seeds=2, episodes=3200, progress=False, **given)
    assert (result.metrics["eval_return"][-1] > 2.9).all()  # sampled, so not exactly the optimum


@pytest.mark.slow
@pytest.mark.parametrize("env", [probes.Additive, probes.Asynchronous])
@pytest.mark.parametrize("algorithm", ["mac-mappo", "mac-ippo"])
def test_ppo_learns_the_additive_game_and_the_asynchronous_probe(algorithm, env):
    small = {"num_envs": 32, "hidden_size": 8, "layer_size": 16, "critic_hidden_size": 8, "critic_layer_size": 16}
    rates = {"actor_learning_rate": 1e-2, "critic_learning_rate": 1e-2}
    result = train(algorithm, env(), seeds=2, episodes=1600, progress=False, eval_every=1600, **small, **rates)
    assert (result.metrics["eval_return"][-1] > env.best - 0.1).all()  # sampled, so not exactly the optimum
