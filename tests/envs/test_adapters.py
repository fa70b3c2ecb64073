"""JaxMARL's environments in, ours out as JaxMARL's and PettingZoo's."""

import sys
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.line import Line

import jaxmac
from jaxmac import envs
from jaxmac.envs import Option, WithOptions
from jaxmac.envs.adapters import from_jaxmarl, to_jaxmarl, to_pettingzoo

jaxmarl = pytest.importorskip("jaxmarl")
spaces = pytest.importorskip("jaxmarl.environments.spaces")
from jaxmarl.environments.multi_agent_env import MultiAgentEnv, State  # noqa: E402


class Foreign(MultiAgentEnv):
    """A JaxMARL environment with unequal agents: `red` has 2 actions and 3 numbers, `blue` 3 actions and 2x2."""

    def __init__(self):
        super().__init__(2)
        self.agents = ["red", "blue"]
        self.action_spaces = {"red": spaces.Discrete(2), "blue": spaces.Discrete(3)}
        self.observation_spaces = {"red": spaces.Box(0, 9, (3,)), "blue": spaces.Box(0, 9, (2, 2))}

    def get_obs(self, state):
        step = jnp.uint8(state.step)
        return {"red": jnp.full(3, step + 1), "blue": jnp.full((2, 2), step + 2)}

    def reset(self, key):
        state = State(done=jnp.bool_(False), step=0)
        return self.get_obs(state), state

    def step_env(self, key, state, actions):
        step = state.step + 1
        state = State(done=step >= 4, step=step)
        rewards = {"red": 1.0 * actions["red"], "blue": 3.0 * actions["blue"]}
        dones = {"red": state.done, "blue": jnp.bool_(False), "__all__": state.done}
        return self.get_obs(state), state, rewards, dones, {"bonus": jnp.float32(step)}

    def get_avail_actions(self, state):
        return {"red": jnp.array([1, state.step % 2]), "blue": jnp.array([1.0, 1.0, 0.0])}


def played(env, choices, steps):
    step = jax.jit(env.step)
    state, ts = jax.jit(env.reset)(jax.random.key(0))
    out = [ts]
    for t in range(steps):
        state, ts = step(jax.random.key(t), state, np.array(choices))
        out.append(ts)
    return jax.tree.map(lambda *leaves: np.stack(leaves), *out)


def test_a_foreign_environment_keeps_the_contract_and_says_the_same():
    env = from_jaxmarl(Foreign(), horizon=9)
    envs.check_environment(env)
    assert (env.num_actions, env.obs_sizes, env.state_size, env.obs_dtype) == (
        (2, 3),
        (3, 4),
        7,
        np.dtype(np.uint8),
    )
    ts = played(env, [1, 1], 6)
    assert ts.obs[1].tolist() == [[2, 2, 2, 0], [3, 3, 3, 3]] and ts.state[1].tolist() == [2] * 3 + [3] * 4
    assert ts.avail[0].tolist() == [[True, False, False], [True, True, False]]
    assert ts.avail[1].tolist() == [[True, True, False], [True, True, False]]
    assert ts.reward.tolist() == [0, 2, 2, 2, 2, 0, 0]  # the mean of 1 and 3
    assert ts.terminal.tolist() == [False] * 4 + [True] * 3 and not ts.truncated.any()
    assert ts.ended.all() and not ts.elapsed.any()
    assert played(from_jaxmarl(Foreign(), horizon=3), [1, 1], 4).truncated.tolist() == [False] * 3 + [True] * 2


@pytest.mark.parametrize(
    ("reward", "paid"),
    [("sum", [4, 4]), (lambda rewards, info: rewards["red"] + info["bonus"], [2, 3])],
)
def test_the_team_reward_is_an_option(reward, paid):
    assert played(from_jaxmarl(Foreign(), horizon=9, reward=reward), [1, 1], 2).reward[1:].tolist() == paid


def test_a_state_of_its_own_and_tables_of_actions():
    class Continuous(Foreign):
        def __init__(self):
            super().__init__()
            self.action_spaces["blue"] = spaces.Box(-1, 1, (2,))
            self.max_steps = 5

        def step_env(self, key, state, actions):
            return super().step_env(key, state, {"red": actions["red"], "blue": actions["blue"].sum()})

        def get_avail_actions(self, state):
            raise NotImplementedError

        def get_world_state(self, state):
            return jnp.full((2, 1), state.step)

    tables = {"red": [0, 1], "blue": [[0.0, 0.0], [0.5, 0.5], [1.0, 1.0], [2.0, 0.0]]}
    env = from_jaxmarl(Continuous(), actions=tables)
    ts = played(env, [1, 2], 2)
    assert (env.num_actions, env.horizon, env.state_size) == ((2, 4), 5, 2)
    assert ts.reward.tolist() == [0, 3.5, 3.5] and ts.state.tolist() == [[0, 0], [1, 1], [2, 2]]
    assert ts.avail[0].tolist() == [[True, True, False, False], [True] * 4]
    counted = from_jaxmarl(Continuous(), actions=tables, state=lambda state: jnp.float32(state.step))
    assert counted.state_size == 1
    with pytest.raises(ValueError, match=r"actions of blue are Box\[2\], not Discrete: pass actions="):
        from_jaxmarl(Continuous())
    with pytest.raises(ValueError, match=r"actions of blue has shape \[2\], but must have \[actions, \*\[2\]\]"):
        from_jaxmarl(Continuous(), actions={"red": [0, 1], "blue": [0.0, 1.0]})
    with pytest.raises(ValueError, match=r"actions is for \['red'\], but must be for the agents \['blue', 'red'\]"):
        from_jaxmarl(Continuous(), actions={"red": [0, 1]})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "Foreign has no max_steps: pass horizon="),
        ({"horizon": 0}, "horizon is 0, but must be an integer of at least 1"),
        ({"horizon": 9, "reward": "max"}, "reward is 'max', but must be 'mean' or 'sum' or a function"),
        ({"horizon": 9, "reward": ["mean"]}, "reward is ['mean'], but must be 'mean' or 'sum' or a function"),
        ({"horizon": 9, "reward": lambda r, info: jnp.zeros(2)}, "reward gives (2,), but must give a scalar"),
        ({"horizon": 9, "action_names": ["one", "two"]}, "action_names has 2 names, but an agent has 3 actions"),
        ({"horizon": 9, "state": lambda state: (1, 2)}, "state gives tuple, but must give an array"),
        ({"actions": {"red": [0, 5], "blue": [0]}}, "actions of red has 5, but its space has the actions 0 to 1"),
        (
            {"actions": {"red": [0, 0.5], "blue": [0]}},
            "actions of red has 0.5, but its space has the",
        ),
        ({"actions": {"red": [0, -1], "blue": [0]}}, "actions of red has -1, but its space has the actions 0 to 1"),
        ({"actions": ["left"]}, "actions of red is ['left'], but must be an array of finite numbers"),
        ({"actions": [[0], [1, 2]]}, "actions of red is [[0], [1, 2]], but must be an array of finite numbers"),
        ({"actions": [float("nan")]}, "actions of red is [nan], but must be an array of finite numbers"),
    ],
)
def test_wrong_options_are_one_line(options, words):
    with pytest.raises(ValueError) as error:
        from_jaxmarl(Foreign(), **options)
    assert words in str(error.value) and "\n" not in str(error.value)


def test_wrong_environments_are_one_line():
    from jaxmarl.wrappers.baselines import LogWrapper

    with pytest.raises(
        ValueError, match="env is a LogWrapper, but must be a jaxmarl MultiAgentEnv, without its wra"
    ):
        from_jaxmarl(LogWrapper(Foreign()))
    for adapter in (to_jaxmarl, to_pettingzoo):
        with pytest.raises(ValueError, match="env is 'BoxPushing-4', but must be an Environment"):
            adapter("BoxPushing-4")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "size"), [("MPE_simple_spread_v3", 18), ("overcooked", 520)])
def test_jaxmarl_s_own_environments_step_for_step(name, size):
    """The same keys and actions through JaxMARL itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it recommends its newer version
        theirs = jaxmarl.make(name)
    env = from_jaxmarl(theirs)
    envs.check_environment(env, episodes=2)
    assert env.obs_size == size and env.horizon == theirs.max_steps
    steps = jax.jit(env.step)
    (_, below), (state, ts) = theirs.reset(jax.random.key(1)), env.reset(jax.random.key(1))
    for t in range(10):
        key, choices = jax.random.split(jax.random.key(t))[0], [(t + 2 * i) % 5 for i in range(env.num_agents)]
        obs, below, rewards, _, _ = theirs.step_env(key, below, dict(zip(theirs.agents, choices, strict=True)))
        state, ts = steps(key, state, jnp.array(choices))
        flat = [np.ravel(obs[agent]) for agent in theirs.agents]
        np.testing.assert_allclose(ts.obs, np.stack(flat), atol=1e-5)
        np.testing.assert_allclose(ts.state, np.concatenate(flat), atol=1e-5)
        np.testing.assert_allclose(ts.reward, np.mean([*rewards.values()]), rtol=1e-5)


@pytest.mark.slow
def test_smax_its_world_state_and_available_actions():
    theirs = jaxmarl.make("HeuristicEnemySMAX")
    env = from_jaxmarl(theirs, horizon=20)
    envs.check_environment(env, episodes=2)
    state, ts = env.reset(jax.random.key(0))
    np.testing.assert_allclose(ts.state, theirs.get_world_state(state.physics.world), atol=1e-5)
    assert not ts.avail.all()


@pytest.fixture(scope="module")
def macro_line():
    """The line of `test_options` with options, unequal agents."""
    to = lambda cell: Option(  # noqa: E731
        f"to {cell}", lambda view: jnp.where(view.obs[0] < cell, 1, 0), lambda view: view.obs[0] == cell
    )
    return WithOptions(Line(), [[to(4), to(6), to(3)], [to(7), to(9)]])


def test_as_jaxmarl_the_same_episode_and_who_may_choose(macro_line):
    theirs = to_jaxmarl(macro_line)
    assert {a: s.n for a, s in theirs.action_spaces.items()} == {"agent_0": 3, "agent_1": 2}
    assert {a: s.shape for a, s in theirs.observation_spaces.items()} == {"agent_0": (1,), "agent_1": (2,)}
    assert theirs.agent_classes == {"agents": theirs.agents} and theirs.name == macro_line.name
    step, step_env = jax.jit(macro_line.step), jax.jit(theirs.step_env)
    (obs, state), (own, ts) = (jax.jit(env.reset)(jax.random.key(0)) for env in (theirs, macro_line))
    for t in range(3):
        shown = {agent: x.tolist() for agent, x in obs.items()}
        assert shown["agent_0"] == ts.macro_obs[0, :1].tolist() and shown["agent_1"] == ts.macro_obs[1].tolist()
        assert shown["world_state"] == ts.state.tolist() == theirs.get_world_state(state).tolist()
        assert {a: x.tolist() for a, x in theirs.get_obs(state).items()} == shown
        allowed = {agent: x.tolist() for agent, x in theirs.get_avail_actions(state).items()}
        started = t == 0
        assert allowed["agent_0"] == [True, started or t == 2, started or t == 2]
        assert allowed["agent_1"] == [True, started or t == 2, False]
        own, ts = step(jax.random.key(t), own, np.array([0, 0]))
        obs, state, rewards, dones, info = step_env(
            jax.random.key(t), state, {"agent_0": 0 if t != 1 else 2, "agent_1": 0}
        )
        assert rewards == {"agent_0": ts.reward, "agent_1": ts.reward} and not any(dones.values())
        for name in ("ended", "elapsed", "macro_action"):
            np.testing.assert_array_equal(info[name], getattr(ts, name))
        assert (state.step, state.done) == (ts.time, False)
    fresh = to_jaxmarl(macro_line, fresh=True)
    obs, state, *_ = fresh.step_env(
        jax.random.key(0), fresh.reset(jax.random.key(0))[1], {"agent_0": 0, "agent_1": 0}
    )
    assert obs["agent_0"].tolist() == [3] and fresh.get_obs(state)["agent_0"].tolist() == [3]


def test_as_jaxmarl_an_episode_ends_and_starts_anew(macro_line):
    theirs = to_jaxmarl(WithOptions(macro_line.env, macro_line.agent_options, horizon=2))
    _, state = theirs.reset(jax.random.key(0))
    actions = {"agent_0": 1, "agent_1": 1}
    _, state, _, dones, _ = theirs.step(jax.random.key(0), state, actions)
    assert not dones["__all__"] and state.step == 1
    _, state, _, dones, info = theirs.step(jax.random.key(0), state, actions)
    assert all(dones.values()) and info["truncated"].all() and not info["terminal"].any() and state.step == 0


def test_jaxmarl_s_rollout_manager_and_logger_run_box_pushing():
    """Random macro-actions over whole episodes; returns and lengths that JaxMARL logs are ours."""
    from jaxmarl.wrappers.baselines import CTRolloutManager, LogWrapper

    env = jaxmac.make("BoxPushing-4", horizon=12)
    theirs = LogWrapper(to_jaxmarl(env))
    manager = CTRolloutManager(theirs, batch_size=5)
    assert (manager.max_action_space, manager.max_obs_length) == (env.max_actions, env.obs_size)

    @jax.jit
    def run(key):
        def step(carry, key):
            _, state = carry
            of_step, *of_agents = jax.random.split(key, 1 + env.num_agents)
            chosen = {a: manager.batch_sample(k, a) for a, k in zip(manager.agents, of_agents, strict=True)}
            obs, after, rewards, dones, info = manager.batch_step(of_step, state, chosen)
            return (obs, after), (rewards["__all__"], dones["__all__"], info, state.env_state.env_state, obs)

        first = manager.batch_reset(key)
        return jax.lax.scan(step, first, jax.random.split(key, 12))[1]

    rewards, dones, info, before, obs = jax.device_get(run(jax.random.key(3)))
    assert dones.any(axis=0).all()  # the time limit at the latest
    last = dones.argmax(axis=0)
    for b, t in enumerate(last):
        total = rewards[: t + 1, b].sum() / env.num_agents  # the manager adds up the agents' rewards
        np.testing.assert_allclose(info["returned_episode_returns"][t, b], [total] * env.num_agents, rtol=1e-4)
        assert info["returned_episode_lengths"][t, b].tolist() == [t + 1] * env.num_agents
    assert (before.time[last, np.arange(5)] == last).all()
    assert obs["__all__"].shape == (12, 5, env.num_agents * env.obs_size)
    assert info["elapsed"].max() > 1 and not info["ended"].all()


def test_pettingzoo_s_own_tests(macro_line):
    from pettingzoo.test import parallel_api_test, parallel_seed_test

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parallel_api_test(to_pettingzoo(jaxmac.make("BoxPushing-4", horizon=15)), num_cycles=60)
        parallel_api_test(to_pettingzoo(macro_line), num_cycles=40)
    parallel_seed_test(lambda: to_pettingzoo(macro_line, seed=0), num_cycles=20)


def test_as_pettingzoo_the_same_episode(macro_line):
    theirs = to_pettingzoo(macro_line, seed=5)
    _, ts = macro_line.reset(jax.random.key(0))
    obs, infos = theirs.reset()
    assert obs["agent_1"]["observation"].tolist() == ts.macro_obs[1].tolist()
    assert obs["agent_0"]["action_mask"].tolist() == [1, 1, 1] and infos["agent_0"]["ended"]
    obs, rewards, terminated, truncated, infos = theirs.step({"agent_0": 1, "agent_1": 0})
    assert rewards == {"agent_0": 3.0, "agent_1": 3.0} and not any((*terminated.values(), *truncated.values()))
    assert obs["agent_0"]["observation"].tolist() == [2] and obs["agent_0"]["action_mask"].tolist() == [0, 1, 0]
    assert infos["agent_0"] == {"ended": False, "elapsed": 1, "macro_action": 1}
    theirs.step({})  # nobody has to choose
    assert theirs.state().tolist() == [4, 7, 2]
    with pytest.raises(ValueError, match="agent_1 must choose now, but actions has only"):
        theirs.step({})
    with pytest.raises(ValueError, match="actions is None, but must be a dict, agent -> macro-action"):
        theirs.step(None)
    with pytest.raises(ValueError, match=r"agent_1 must choose now, but actions has only \['3', 'x'\]"):
        theirs.step({3: 1, "x": 0})
    with pytest.raises(ValueError, match=r"agent_1 chose \[\[1\], \[2, 3\]\], but may start one of"):
        theirs.step({"agent_1": [[1], [2, 3]]})
    with pytest.raises(ValueError, match=r"agent_1 chose 2, but may start one of \[0, 1\]"):
        theirs.step({"agent_1": 2})
    while theirs.agents:
        obs, _, terminated, truncated, _ = theirs.step({"agent_0": 1, "agent_1": 1})
    assert all(terminated.values()) and not any(truncated.values()) and len(obs) == 2
    with pytest.raises(ValueError, match="no episode is running, call reset first"):
        theirs.step({"agent_0": 1, "agent_1": 1})


def test_as_pettingzoo_episodes_follow_from_the_seed_and_are_drawn():
    env = jaxmac.make("CaptureTarget-2", horizon=4)
    theirs, others = to_pettingzoo(env, 1, fresh=True, render_mode="rgb_array"), to_pettingzoo(env, 2, fresh=True)

    def first(view, **seed):
        return view.reset(**seed)[0]["agent_0"]["observation"].tolist()

    starts = [first(theirs), first(theirs), first(others)]
    assert len(set(map(tuple, starts))) == 3
    assert [first(others, seed=1), first(others), first(theirs, seed=1)] == [*starts[:2], starts[0]]
    image = theirs.render()
    assert image.dtype == np.uint8 and image.std() > 5 and others.render() is None
    with pytest.raises(ValueError, match="render_mode is 'human', but must be None or 'rgb_array'"):
        to_pettingzoo(env, render_mode="human")


@pytest.mark.parametrize(("adapter", "package"), [(from_jaxmarl, "jaxmarl"), (to_pettingzoo, "pettingzoo")])
def test_what_to_install_is_one_line(monkeypatch, adapter, package):
    for name in [name for name in sys.modules if name.startswith(("jaxmac.envs.adapters.", package))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError) as error:
        adapter(jaxmac.make("BoxPushing-4"))
    assert "pip install 'jaxmac[adapters]'" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.slow
def test_a_run_on_options_goes_on_and_is_judged(tmp_path, macro_line):
    small = {"num_envs": 4, "batch_size": 4, "learning_starts": 4, "hidden_size": 4, "replay_episodes": 16}
    small |= {"train_freq": 12, "eval_every": 8, "eval_episodes": 4, "sampling": "uniform", "max_rows": 4}
    run = tmp_path / "run"
    jaxmac.train("avf-vdn", macro_line, seeds=2, episodes=16, out=run, progress=False, **small)
    again = jaxmac.resume(run, env=macro_line, episodes=24, progress=False)
    assert again.metrics["episodes"][:, 0].tolist() == [0, 8, 16, 24]
    assert jaxmac.evaluate(jaxmac.load(run, env=macro_line), episodes=2, member=0)[0]["length"] > 0
