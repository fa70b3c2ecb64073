"""Programs of JaxMARL on our environments: what their loops ask of one, in the shape in which they ask it.

The loops are those of `baselines/QLearning/qmix_rnn.py` (also `vdn_rnn.py`, `iql_rnn.py`) and of
`baselines/IPPO/ippo_rnn.py`, with random choices in place of networks.
"""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmac
from jaxmac.envs.adapters import rollout_manager, to_jaxmarl

pytest.importorskip("jaxmarl")
from jaxmarl.wrappers.baselines import CTRolloutManager, LogWrapper

ENVIRONMENTS = ["BoxPushing-4", "Warehouse-S"]  # equal agents; 3, 3 and 6 actions, observations of 13, 13 and 5
NUM_ENVS, STEPS = 3, 10


@pytest.fixture(scope="module", params=ENVIRONMENTS)
def env(request):
    return jaxmac.make(request.param, horizon=6)


def recipe(env, batch_size):
    """The lines of docs/macro_actions_on_your_environment.md that give a manager of JaxMARL's its masks."""
    manager = CTRolloutManager(env, batch_size=batch_size)
    manager.get_valid_actions = jax.vmap(env.get_avail_actions)
    return manager


def test_every_entry_of_an_info_and_every_mask_is_stacked_by_agents(env):
    view = to_jaxmarl(env)
    state = jax.eval_shape(view.reset, jax.random.key(0))[1]
    actions = dict.fromkeys(view.agents, jnp.int32(0))
    info = jax.eval_shape(view.step, jax.random.key(0), state, actions)[-1]
    assert {name: leaf.shape for name, leaf in info.items()} == dict.fromkeys(info, (env.num_agents,))
    assert {"ended", "elapsed", "macro_action", "terminal", "truncated"} == info.keys()
    masks = jax.eval_shape(view.get_avail_actions, state)
    assert {a: (x.shape, x.dtype) for a, x in masks.items()} == dict.fromkeys(
        view.agents, ((env.max_actions,), np.dtype(bool))
    )


def test_a_view_pickles(env):
    view = pickle.loads(pickle.dumps(to_jaxmarl(env, fresh=True)))
    assert (view.name, view.fresh) == (env.name, True)


def q_learning(env, manager, key):
    """The rollout of JaxMARL's Q-learning programs; `env` is what `manager` manages."""

    def batchify(x):
        return jnp.stack([x[agent] for agent in env.agents], axis=0)

    def unbatchify(x):
        return {agent: x[i] for i, agent in enumerate(env.agents)}

    def choose(key, q_values, valid_actions):
        unavailable = 1 - valid_actions
        greedy = jnp.argmax(q_values - unavailable * 1e10, axis=-1)
        of_envs = jax.random.split(key, valid_actions.shape[0])
        at_random = jax.vmap(
            lambda key, valid: jax.random.choice(
                key, jnp.arange(valid.shape[-1]), p=valid * 1.0 / jnp.sum(valid, axis=-1)
            )
        )(of_envs, valid_actions)
        return jnp.where(jax.random.uniform(key, greedy.shape) < 0.5, at_random, greedy)

    def step(carry, key):
        obs, done, state = carry
        of_choice, of_q, of_step = jax.random.split(key, 3)
        inputs = batchify(obs)[:, np.newaxis], batchify(done)[:, np.newaxis]
        q_values = jax.random.normal(of_q, (*inputs[0].shape[:-1], manager.max_action_space)).squeeze(axis=1)
        valid = manager.get_valid_actions(state.env_state)
        chosen = jax.vmap(choose)(jax.random.split(of_choice, env.num_agents), q_values, batchify(valid))
        actions = unbatchify(chosen)
        obs, state, rewards, done, info = manager.batch_step(of_step, state, actions)
        return (obs, done, state), {
            "inputs": inputs, "valid": valid, "chosen": chosen, "rewards": rewards, "done": done, "info": info,
            "state": obs["__all__"],
        }  # fmt: skip

    obs, state = manager.batch_reset(key)
    done = {agent: jnp.zeros(manager.batch_size, bool) for agent in [*env.agents, "__all__"]}
    _, seen = jax.lax.scan(step, (obs, done, state), jax.random.split(key, STEPS))
    finished = seen["info"]["returned_episode"]
    metrics = jax.tree.map(lambda x: jnp.nanmean(jnp.where(finished, x, jnp.nan)), seen["info"])
    return seen, metrics


@pytest.mark.slow
@pytest.mark.parametrize("manage", [recipe, rollout_manager, CTRolloutManager])
def test_the_loop_of_q_learning(env, manage):
    theirs = LogWrapper(to_jaxmarl(env))
    manager = manage(theirs, batch_size=NUM_ENVS)
    seen, metrics = jax.jit(lambda key: q_learning(theirs, manager, key))(jax.random.key(0))
    assert all(jnp.isfinite(value) for value in metrics.values())
    info, chosen = seen["info"], np.moveaxis(seen["chosen"], 1, 2)  # [time, environments, agents]
    if manage is not CTRolloutManager:  # with masks, what is chosen is what the agent does
        np.testing.assert_array_equal(info["macro_action"], chosen)
        assert not info["ended"].all()
    agents = np.stack([seen["rewards"][agent] for agent in theirs.agents])
    once = manage is rollout_manager
    total = agents[0] if once else agents.sum(axis=0)
    np.testing.assert_allclose(seen["rewards"]["__all__"], total, rtol=1e-6)
    assert seen["state"].shape[-1] == (env.state_size if once else sum(env.obs_sizes))
    assert seen["done"]["__all__"].any()


@pytest.mark.slow
def test_the_loop_of_policy_gradients():
    """With a network's logits for all actors at once: JaxMARL's program is for equal agents."""
    theirs = LogWrapper(to_jaxmarl(jaxmac.make("BoxPushing-4", horizon=6)))
    actors = theirs.num_agents * NUM_ENVS

    def batchify(x):
        return jnp.stack([x[agent] for agent in theirs.agents]).reshape((actors, -1))

    def unbatchify(x):
        x = x.reshape((theirs.num_agents, NUM_ENVS, -1))
        return {agent: x[i].squeeze() for i, agent in enumerate(theirs.agents)}

    def step(carry, key):
        obs, state = carry
        of_choice, of_step = jax.random.split(key)
        inputs = batchify(obs)
        action = jax.random.categorical(of_choice, jnp.zeros((actors, theirs.action_space(theirs.agents[0]).n)))
        obs, state, reward, done, info = jax.vmap(theirs.step)(
            jax.random.split(of_step, NUM_ENVS), state, unbatchify(action)
        )
        info = jax.tree.map(lambda x: x.reshape(actors), info)
        return (obs, state), (inputs, batchify(reward).squeeze(), batchify(done).squeeze(), info)

    first = jax.vmap(theirs.reset)(jax.random.split(jax.random.key(0), NUM_ENVS))
    _, (_, reward, done, info) = jax.jit(lambda c, k: jax.lax.scan(step, c, k))(
        first, jax.random.split(jax.random.key(1), STEPS)
    )
    info = jax.tree.map(lambda x: x.reshape((STEPS, NUM_ENVS, theirs.num_agents)), info)
    assert info["returned_episode"].sum() == done.sum() > 0 and reward.shape == (STEPS, actors)
    assert (info["terminal"] | info["truncated"])[info["returned_episode"]].all()


@pytest.mark.parametrize("env", ["BoxPushing-4", object()])
def test_a_manager_of_something_else_is_one_line(env):
    with pytest.raises(ValueError, match=r"^env is .*, but must be from to_jaxmarl, or a wrapper around that$"):
        rollout_manager(env, 2)
