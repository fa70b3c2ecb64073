"""What every environment promises, tested on every family of ids, and the base class on a small probe."""

import functools
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from envs import Environment, Outcome, TimeStep
from jaxmac.rollout import uniform_available

QUICK_COMPILE = {"xla_backend_optimization_level": 0}
BATCH, STEPS, HORIZON = 3, 36, 30  # the last steps are after the end


def representatives():
    """Of ids that differ in a number or a variant alone, only the first and the last; the others are slow."""
    alike = {}
    for env_id in envs.list_ids():
        alike.setdefault(re.sub(r"-.*?(-primitive)?$", r"\1", env_id), []).append(env_id)
    quick = {env_id for ids in alike.values() for env_id in (ids[0], ids[-1])}
    return [
        env_id if env_id in quick else pytest.param(env_id, marks=pytest.mark.slow) for env_id in envs.list_ids()
    ]


@functools.cache
def rollouts(env_id):
    """Two batched rollouts, equal choices, different input for running agents; leaves [time, batch, ...].

    The second one was computed in the opposite order of episodes.
    """
    env = envs.make(env_id, horizon=HORIZON)

    def episode(key, decoy):
        def body(carry, key):
            state, ts = carry
            of_choice, of_step = jax.random.split(key)
            choices = uniform_available(of_choice, ts.avail)
            inputs = jnp.where(ts.ended & ~(ts.terminal | ts.truncated), choices, decoy)
            carry = env.step(of_step, state, inputs)
            return carry, carry

        first = env.reset(key)
        _, rest = jax.lax.scan(body, first, jax.random.split(key, STEPS))
        return jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), first, rest)

    keys, decoys = jax.random.split(jax.random.key(7), BATCH), jnp.repeat(jnp.array([0, -1]), BATCH)
    run = jax.jit(jax.vmap(episode, out_axes=1), compiler_options=QUICK_COMPILE)
    states, ts = jax.device_get(run(jnp.concatenate([keys, keys[::-1]]), decoys))
    half = functools.partial(jax.tree.map, lambda leaf: leaf[:, :BATCH])
    other = functools.partial(jax.tree.map, lambda leaf: leaf[:, : BATCH - 1 : -1])
    return env, (half(states), half(ts)), (other(states), other(ts))


every_id = pytest.mark.parametrize("env_id", representatives())


@every_id
def test_shapes_and_dtypes(env_id):
    env, (_, ts), _ = rollouts(env_id)
    n, shape = env.num_agents, (STEPS + 1, BATCH)
    expected = {
        "obs": ((n, env.obs_size), np.float32),
        "macro_obs": ((n, env.obs_size), np.float32),
        "state": ((env.state_size,), np.float32),
        "avail": ((n, env.max_actions), bool),
        "macro_action": ((n,), np.int32),
        "elapsed": ((n,), np.int32),
        "time": ((), np.int32),
        "ended": ((n,), bool),
        "reward": ((), np.float32),
        "terminal": ((), bool),
        "truncated": ((), bool),
    }
    assert list(TimeStep.__dataclass_fields__) == list(expected)
    for name, (tail, dtype) in expected.items():
        field = getattr(ts, name)
        assert (field.shape, field.dtype) == (shape + tail, dtype), name
    assert len(env.num_actions) == len(env.obs_sizes) == len(env.action_names) == n
    assert tuple(map(len, env.action_names)) == env.num_actions
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(ts))
    assert np.array_equal(ts.obs.astype(env.obs_dtype).astype(np.float32), ts.obs)


@every_id
def test_padding_and_choice(env_id):
    env, (_, ts), _ = rollouts(env_id)
    for i in range(env.num_agents):
        assert not ts.avail[..., i, env.num_actions[i] :].any()
        assert not ts.obs[..., i, env.obs_sizes[i] :].any()
        assert not ts.macro_obs[..., i, env.obs_sizes[i] :].any()
        assert (ts.macro_action[..., i] < env.num_actions[i]).all()
    assert ts.avail.any(axis=-1)[ts.ended].all()  # who must choose can


def test_some_environments_have_unequal_agents():
    made = [envs.make(env_id) for env_id in envs.list_ids()]
    assert any(len(set(env.num_actions)) > 1 for env in made)
    assert any(len(set(env.obs_sizes)) > 1 for env in made)


@every_id
def test_script_names_real_macro_actions(env_id):
    env = envs.make(env_id)
    script = env.script()
    if script is not None:
        assert len(script) == env.num_agents
        for plan, count in zip(script, env.num_actions, strict=True):
            assert len(plan) > 0 and set(plan) <= set(range(count))


@every_id
def test_reset(env_id):
    _, (_, ts), _ = rollouts(env_id)
    first = jax.tree.map(lambda leaf: leaf[0], ts)
    assert first.ended.all() and (first.macro_action == -1).all() and not first.elapsed.any()
    assert not (first.time.any() or first.reward.any() or first.terminal.any() or first.truncated.any())
    assert np.array_equal(first.macro_obs, first.obs)


@every_id
def test_holding_and_elapsed(env_id):
    _, (_, ts), _ = rollouts(env_id)
    ended = ts.ended[1:, ..., None]
    assert np.array_equal(ts.macro_obs[1:], np.where(ended, ts.obs[1:], ts.macro_obs[:-1]))
    finished = (ts.terminal | ts.truncated)[:-1, :, None]
    counted = np.where(finished, ts.elapsed[:-1], ts.elapsed[:-1] + 1)
    assert np.array_equal(ts.elapsed[1:], np.where(ts.ended[1:], 0, counted))
    running = ~ts.ended[:-1]
    assert np.array_equal(ts.macro_action[1:][running], ts.macro_action[:-1][running])
    assert (ts.elapsed > 0).any() != env_id.endswith("-primitive")


@every_id
def test_input_of_running_agents_and_order_of_episodes_do_not_matter(env_id):
    _, one, other = rollouts(env_id)
    jax.tree.map(np.testing.assert_array_equal, one, other)


@every_id
def test_end(env_id):
    _, (states, ts), _ = rollouts(env_id)
    assert not (ts.terminal & ts.truncated).any()
    finished = ts.terminal | ts.truncated
    assert finished[HORIZON:].all() and not finished[0].any()
    assert np.array_equal(ts.truncated, (ts.time == HORIZON) & ~ts.terminal)
    assert np.array_equal(ts.time[1:], ts.time[:-1] + ~finished[:-1])
    for t, b in zip(*np.nonzero(finished[:-1]), strict=True):
        now, later = (jax.tree.map(lambda leaf, k=k: leaf[k, b], (states, ts)) for k in (t, t + 1))  # noqa: B023
        jax.tree.map(np.testing.assert_array_equal, now[0], later[0])
        jax.tree.map(np.testing.assert_array_equal, now[1].replace(reward=np.float32(0)), later[1])
    np.testing.assert_allclose(states.episode_return, np.cumsum(ts.reward, axis=0), atol=1e-3)


@every_id
def test_options_build_the_same_environment(env_id):
    env = envs.make(env_id, horizon=HORIZON)
    assert env.name == env_id and env.horizon == env.options["horizon"] == HORIZON
    again = envs.make(env_id, **json.loads(json.dumps(env.options)))
    assert again.options == env.options
    assert set(env.options) | {"preset"} == set(envs.env_options(env_id)) | {"preset"}


class Probe(Environment):
    """Two unequal agents: agent 0 counts to 3; agent 1 is forced to action 1 and draws a number each step."""

    def __init__(self, horizon=5, horizon_is_terminal=False, goal=99):
        super().__init__(
            action_names=[("count",), ("left", "right", "up")],
            obs_sizes=[1, 2],
            state_size=1,
            horizon=horizon,
            horizon_is_terminal=horizon_is_terminal,
        )
        self.goal = goal

    def initial_physics(self, key):
        return {"count": jnp.int32(0), "draw": jax.random.uniform(key)}

    def sample_noise(self, key):
        return jax.random.uniform(key)

    def transition(self, physics, macro_actions, started, noise):
        count = jnp.where(started[0], 1, physics["count"] + 1)
        outcome = Outcome(
            jnp.stack([count == 3, True]), macro_actions.at[1].set(1), noise, physics["count"] + 1 == self.goal
        )
        return {"count": count, "draw": noise}, outcome

    def observe(self, physics):
        return jnp.stack([jnp.stack([physics["count"], 0.0]), jnp.stack([physics["draw"], 1.0])])

    def global_state(self, physics):
        return physics["draw"][None]


def play(env, steps, macro_actions=(0, 2)):
    state, ts = env.reset(jax.random.key(0))
    out = [ts]
    for t in range(steps):
        state, ts = env.step(jax.random.key(t + 1), state, jnp.array(macro_actions))
        out.append(ts)
    return state, jax.tree.map(lambda *leaves: np.stack(leaves), *out)


def test_base_class_on_a_padded_stochastic_overriding_environment():
    env = Probe()
    _, ts = play(env, 7)
    assert (env.num_actions, env.max_actions, env.obs_sizes, env.obs_size) == ((1, 3), 3, (1, 2), 2)
    assert ts.avail[0].tolist() == [[True, False, False], [True, True, True]]
    assert ts.ended[:, 0].tolist() == [True, False, False, True, False, False, False, False]
    assert ts.elapsed[:, 0].tolist() == [0, 1, 2, 0, 1, 2, 2, 2]
    assert ts.macro_obs[:, 0, 0].tolist() == [0, 0, 0, 3, 3, 3, 3, 3]
    assert ts.macro_action[1:].tolist() == [[0, 1]] * 7  # the physics overrode agent 1's choice
    assert len(set(ts.state[:6, 0].tolist())) == 6 and len(set(ts.state[5:, 0].tolist())) == 1
    assert ts.truncated.tolist() == [False] * 5 + [True] * 3 and not ts.terminal.any()
    assert (ts.reward[1:6] > 0).all() and not ts.reward[6:].any()


def test_terminal_wins_at_the_horizon():
    _, ts = play(Probe(horizon=3, goal=3), 3)
    assert ts.terminal.tolist() == [False, False, False, True] and not ts.truncated.any()


def test_horizon_is_terminal():
    _, ts = play(Probe(horizon_is_terminal=True), 7)
    assert ts.terminal.tolist() == [False] * 5 + [True] * 3 and not ts.truncated.any()


def test_advance_replays_step():
    env = Probe()
    state, _ = env.reset(jax.random.key(3))
    key = jax.random.key(4)
    stepped = env.step(key, state, jnp.array([0, 0]))
    jax.tree.map(np.testing.assert_array_equal, stepped, env.advance(state, [0, 0], env.sample_noise(key)))


@pytest.mark.parametrize("horizon", [0, -3, 2.5, True, None])
def test_horizon_is_validated(horizon):
    with pytest.raises(ValueError, match=r"horizon is .*, but must be an integer of at least 1"):
        Probe(horizon=horizon)


@pytest.mark.parametrize(
    ("env_id", "options", "words"),
    [
        ("BoxPushing-11", {}, ["BoxPushing-11", "even", "4 to 30", "11"]),
        ("BoxPushing-32-primitive", {}, ["even", "4 to 30", "32"]),
        ("boxpushing-12", {}, ["boxpushing-12", "BoxPushing-12", "list_ids"]),
        ("Nonsense", {}, ["Nonsense", "list_ids"]),
        ("BoxPushing-10", {"penaltie": 1.0}, ["penaltie", "did you mean penalty", "small_box_reward"]),
        ("BoxPushing-10", {"sticky_joint": True}, ["sticky_joint", "random_init"]),
        ("BoxPushing-10", {"preset": "icra"}, ["icra", "neurips22", "corl19"]),
        ("BoxPushing-10", {"horizon": 0}, ["horizon", "0", "at least 1"]),
        ("BoxPushing-10", {"horizon": 10.5}, ["horizon", "10.5", "integer"]),
        ("BoxPushing-10", {"num_agents": 4}, ["num_agents", "4", "2 or 3"]),
        ("BoxPushing-10", {"penalty": "low"}, ["penalty", "'low'", "number"]),
        ("BoxPushing-10", {"step_reward": float("nan")}, ["step_reward", "nan", "finite"]),
        ("BoxPushing-10", {"random_init": 1}, ["random_init", "1", "True or False"]),
        ("BoxPushing-10", {"distance": "far"}, ["distance", "'far'", "'manhattan', 'euclidean'"]),
    ],
)
def test_errors_are_one_helpful_line(env_id, options, words):
    with pytest.raises(ValueError) as error:
        envs.make(env_id, **options)
    message = str(error.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_register_adds_an_id_and_refuses_a_taken_one(monkeypatch):
    monkeypatch.setattr("envs.registry._TABLE", dict(envs.registry._TABLE))
    envs.register("Probe-1", Probe)
    assert "Probe-1" in envs.list_ids() and envs.make("Probe-1").name == "Probe-1"
    with pytest.raises(ValueError, match="Probe-1"):
        envs.register("Probe-1", Probe)


def test_env_options_are_typed():
    options = envs.env_options("BoxPushing-10-primitive")
    assert options["horizon"] == (int, 100) and options["big_box_reward"] == (float, 100.0)
    assert options["sticky_joint"] == (bool, True) and options["preset"][1] is None
    assert envs.make("BoxPushing-10", big_box_reward=np.int64(7)).options["big_box_reward"] == 7.0
