"""A whole update of Mac-IPPO and Mac-MAPPO on primitive actions, against PPO as textbooks have it."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import textbook_ppo
from support.samples import sample_of

from jaxmac import envs
from jaxmac.algorithms import Progress, configure, mac_ppo, make_algorithm
from jaxmac.algorithms.mac_ppo_config import ROLES
from jaxmac.hyper import hyper_of
from jaxmac.record.rollout import rollout

SIZES = {"hidden_size": 6, "layer_size": 8, "critic_hidden_size": 6, "critic_layer_size": 8, "memory": "gru"}
PLAIN = {**SIZES, "layer_norm": False, "reward_scale": 1.0, "num_envs": 4, "minibatches": 2, "epochs": 2}
TEXTBOOK = {"gamma": 0.9, "gae_lambda": 0.8, "clip": 0.05, "value_clip": 0.1, "grad_clip": 0.5}
TEXTBOOK |= {"entropy_weight": 0.03, "entropy_weight_end": 0.03}


def run(agents, params, obs, last):
    """Outputs of networks that advance at every primitive step."""
    advance = jnp.ones(last.shape, bool)
    return agents.apply(params, agents.initial_hidden(obs.shape[1]), obs, last, advance)[1].q


def logits_of(networks, params, episodes):
    """`[batch, time, agents, actions]`"""
    obs = jnp.moveaxis(episodes.obs.astype(jnp.float32), 0, 1)[:-1]
    return jnp.moveaxis(run(networks.actors, params, obs, jnp.zeros(obs.shape[:-1], jnp.int32)), 0, 1)


def values_of(networks, params, episodes, kind):
    """`[batch, time + 1, agents]`"""
    if kind == "mac-mappo":  # everybody decides at every step, so the macro-state repeats the state
        inputs = jnp.stack([jnp.concatenate([episodes.state] * 2, -1)] * 2, -2)
        if not networks.config.share_parameters:
            return networks.critics.apply(params, inputs)
        ids = jnp.broadcast_to(jnp.eye(2), (*inputs.shape[:-1], 2))
        return networks.critics.apply(params, jnp.concatenate([inputs, ids], -1)[..., None, :])[..., 0]
    obs = jnp.moveaxis(episodes.obs.astype(jnp.float32), 0, 1)
    found = run(networks.critics, params, obs, jnp.zeros(obs.shape[:-1], jnp.int32))
    return jnp.moveaxis(found[..., 0], 0, 1)


def own_agents(networks, state, kind):
    """The textbook's agents, each with its own part of our parameters."""

    def alone(params, like, agent):
        """Parameters of the team in which only this agent's may vary."""
        return jax.tree.map(lambda one, all_of: all_of.at[agent].set(one), params, like)

    def agent_of(i):
        def logits(params, episodes):
            return logits_of(networks, alone(params, state.actors, i), episodes)[:, :, i]

        def value(params, episodes):
            return values_of(networks, alone(params, state.critics, i), episodes, kind)[..., i]

        actor, critic = (jax.tree.map(lambda x: x[i], params) for params in (state.actors, state.critics))
        return textbook_ppo.Agent(jax.jit(logits), jax.jit(value), actor, critic)

    return [agent_of(i) for i in range(2)]


def pooled_agent(networks, state, kind):
    """One agent of the textbook with the shared parameters, which has the episodes as agent 0 and as agent 1."""

    def each_half(outputs, episodes):
        found = outputs(jax.tree.map(lambda x: x[: len(x) // 2], episodes))
        return jnp.concatenate([found[:, :, 0], found[:, :, 1]])

    def logits(params, episodes):
        return each_half(lambda once: logits_of(networks, params, once), episodes)

    def value(params, episodes):
        return each_half(lambda once: values_of(networks, params, once, kind), episodes)

    return textbook_ppo.Agent(jax.jit(logits), jax.jit(value), state.actors, state.critics)


def data_of(episodes, i):
    """What agent i learns from."""
    data = {"reward": episodes.reward, "terminal": episodes.terminal, "avail": episodes.avail[:, :-1, i]}
    return data | {"action": episodes.macro_action[..., i].astype(jnp.int32), "episodes": episodes}


@pytest.mark.slow
@pytest.mark.parametrize("share", [False, True])
@pytest.mark.parametrize("kind", ["mac-mappo", "mac-ippo"])
def test_a_whole_update_is_that_of_textbook_ppo(kind, share):
    env = envs.make("BoxPushing-4-primitive", horizon=8)
    rates = {"actor_learning_rate": 1e-2, "critic_learning_rate": 1e-2}
    config = configure(kind, "tuned", env, {**PLAIN, **rates, **TEXTBOOK, "share_parameters": share})
    algorithm, hyper = make_algorithm(kind, env, config), hyper_of(config)
    state = jax.jit(algorithm.init)(jax.random.key(0), hyper)
    policy = algorithm.behaviour(state, hyper, "main")
    episodes = jax.jit(lambda key: rollout(env, policy, key, jnp.zeros(4)))(jax.random.key(1))
    assert not episodes.mask.all() and episodes.terminal.any()  # and others go on until the time limit
    now, key = Progress(jnp.int32(0), jnp.int32(4), jnp.int32(0)), jax.random.key(2)
    after, metrics = jax.jit(algorithm.update)(state, hyper, {"main": sample_of(episodes)}, now, key)
    assert np.isfinite(metrics["loss"])
    orders = np.concatenate([jax.random.permutation(k, 4).reshape(2, 2) for k in jax.random.split(key, 2)])
    networks, settings = mac_ppo.make_networks(env, config, ROLES[kind]), {**TEXTBOOK, "learning_rate": 1e-2}
    if share:
        agent = pooled_agent(networks, state, kind)
        twice = jax.tree.map(lambda x, y: jnp.concatenate([x, y]), *(data_of(episodes, i) for i in range(2)))
        agent.learn(twice, settings, np.concatenate([orders, orders + 4], axis=-1))
        compare(after, agent, state, lambda x: x)
    else:
        for i, agent in enumerate(own_agents(networks, state, kind)):
            agent.learn(data_of(episodes, i), settings, orders)
            compare(after, agent, state, lambda x, i=i: x[i])


def compare(after, agent, before, part):
    """Our parameters after the update, of which `part` are the agent's, against the textbook's."""
    for ours, theirs in ((after.actors, agent.actor), (after.critics, agent.critic)):
        chex.assert_trees_all_close(jax.tree.map(part, ours), theirs, atol=1e-4)
    moved = jax.tree.map(lambda x, y: float(jnp.abs(part(x) - part(y)).max()), after.actors, before.actors)
    assert max(jax.tree.leaves(moved)) > 1e-2
