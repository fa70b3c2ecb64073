"""Environments of JaxMARL that come in: each trains for a moment, and nobody does what its mask forbids."""

import pickle
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmac
from jaxmac.envs.adapters import from_jaxmarl

jaxmarl = pytest.importorskip("jaxmarl")
from jaxmac.envs.adapters.incoming_jaxmarl import FromJaxMARL  # noqa: E402

FINE = -1e6  # paid by `Watched` for an action that is not available
SMALL = {"episodes": 8, "num_envs": 4, "batch_size": 4, "learning_starts": 4, "sampling": "uniform"}
SMALL |= {"hidden_size": 4, "replay_episodes": 8, "eval_every": 4, "eval_episodes": 2, "train_freq": 8}


class Watched(FromJaxMARL):
    """Pays a fine where an agent does what is not available."""

    def transition(self, physics, macro_actions, started, noise):
        allowed = self.available(physics)[jnp.arange(self.num_agents), macro_actions]
        physics, outcome = super().transition(physics, macro_actions, started, noise)
        return physics, outcome._replace(reward=outcome.reward + jnp.where(allowed.all(), 0.0, FINE))


def theirs(id, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some recommend a newer version of themselves
        return jaxmarl.make(id, **options)


SMALL_HANABI = {"num_colors": 2, "num_ranks": 2, "hand_size": 2, "num_cards_of_rank": np.array([2, 1])}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("id", "options", "masked"),
    [
        ("MPE_simple_spread_v3", {}, False),
        ("MPE_simple_speaker_listener_v4", {}, False),  # unequal agents
        ("HeuristicEnemySMAX", {}, True),
        ("overcooked", {}, False),
        ("hanabi", SMALL_HANABI, True),
        ("switch_riddle", {}, False),
    ],
)
def test_each_trains_for_a_moment_within_its_masks(tmp_path, id, options, masked):
    env = Watched(theirs(id, **options), horizon=6)
    _, ts = env.reset(jax.random.key(0))
    real = np.arange(env.max_actions) < np.array(env.num_actions)[:, None]
    assert masked == (ts.avail != real).any()
    result = jaxmac.train("avf-vdn", env, seeds=1, out=tmp_path / "run", progress=False, **SMALL)
    rows = result.metrics
    assert rows["episodes"][:, 0].tolist() == [0, 4, 8] and np.isfinite(rows["loss"][-1]).all()
    for column in ("train_return", "eval_return"):
        assert np.nanmin(rows[column]) > FINE / 2, column


@pytest.mark.slow
def test_a_fine_is_paid_for_what_is_not_available():
    env = Watched(theirs("hanabi", **SMALL_HANABI), horizon=6)
    state, ts = env.reset(jax.random.key(0))
    assert ts.avail.sum(axis=-1).tolist()[1] == 1  # it is the other's turn: it can only wait
    forbidden = jnp.argmin(ts.avail, axis=-1)
    assert env.step(jax.random.key(1), state, forbidden)[1].reward < FINE / 2


class Chooser(jaxmarl.environments.multi_agent_env.MultiAgentEnv):
    """One agent of 3 actions, of which the second is never available."""

    def __init__(self, masks=3, keys=("agent_0",), space=None):
        super().__init__(1)
        self.masks, self.keys = masks, keys
        self.action_spaces = {"agent_0": space or jaxmarl.environments.spaces.Discrete(3)}

    def reset(self, key):
        return dict.fromkeys(self.keys, jnp.zeros(2)), jnp.int32(0)

    def step_env(self, key, state, actions):
        done = {"agent_0": jnp.bool_(False), "__all__": jnp.bool_(False)}
        return {"agent_0": jnp.zeros(2)}, state + 1, {"agent_0": 1.0 * jnp.sum(actions["agent_0"])}, done, {}

    def get_avail_actions(self, state):
        return {"agent_0": (jnp.arange(self.masks) != 1).astype(jnp.uint8)}


def test_masks_hold_for_actions_that_are_chosen_among():
    chosen = from_jaxmarl(Chooser(), horizon=3, actions=[2, 1])
    state, ts = chosen.reset(jax.random.key(0))
    assert ts.avail.tolist() == [[True, False]]
    assert chosen.step(jax.random.key(0), state, [0])[1].reward == 2
    box = jaxmarl.environments.spaces.Box(-1, 1, (2,))
    of_box = from_jaxmarl(Chooser(space=box), horizon=3, actions=[[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    assert of_box.reset(jax.random.key(0))[1].avail.tolist() == [[True] * 4]


@pytest.mark.parametrize(
    ("env", "words"),
    [
        (Chooser(masks=2), "get_avail_actions gives 2 entries for agent_0, which has 3 actions"),
        (Chooser(keys=("0",)), "reset of Chooser gives ['0'], but must give a dict with ['agent_0']"),
    ],
)
def test_an_environment_that_does_not_fit_is_one_line(env, words):
    with pytest.raises(ValueError) as error:
        from_jaxmarl(env, horizon=3)
    assert str(error.value) == words


class Broken(Chooser):
    """Its step gives no observation for its agent, or no state, or a reward with two entries."""

    def __init__(self, how):
        super().__init__()
        self.how = how

    def step_env(self, key, state, actions):
        observations, state, rewards, done, info = super().step_env(key, state, actions)
        if self.how == "observation":
            return {}, state, rewards, done, info
        if self.how == "two rewards":
            return observations, state, {"agent_0": jnp.ones(2)}, done, info
        return observations, rewards, done, info


@pytest.mark.parametrize(
    ("env", "options", "words"),
    [
        (Broken("observation"), {}, "step_env of Broken gives [], but must give a dict with ['agent_0']"),
        (Broken("state"), {}, "step_env of Broken raised ValueError: not enough values to unpack"),
        (Broken("two rewards"), {}, "reward gives (2,), but must give a scalar"),
        (
            Chooser(),
            {"reward": lambda rewards, info: rewards["b"]},
            "step_env of Chooser, or reward, raised KeyError",
        ),
        (Chooser(), {"reward": lambda rewards: 0.0}, "step_env of Chooser, or reward, raised TypeError"),
        (Chooser(), {"state": lambda state: state.cells}, "state raised AttributeError"),
        (Chooser(), {"state": 3}, "state is 3, but must be a function"),
        (Chooser(), {"draw": 3}, "draw is 3, but must be a function"),
        (Chooser(), {"name": 3}, "name is 3, but must be a string"),
        (Chooser(), {"action_names": "abc"}, "action_names is 'abc', but must be a list of names"),
        (Chooser(), {"action_names": 3}, "action_names is 3, but must be a list of names"),
        (Chooser(), {"horizn": 3}, "unknown option 'horizn' of from_jaxmarl; known: horizon, reward,"),
    ],
)
def test_what_does_not_fit_is_named_in_one_line(env, options, words):
    with pytest.raises(ValueError) as error:
        from_jaxmarl(env, **({"horizon": 3} | options))
    assert str(error.value).startswith(words) and "\n" not in str(error.value)


class Burner(Chooser):
    """Integers at reset: `fuel` has a fraction from the first step on, `before` from the second, `time` never."""

    def __init__(self, fuel):
        super().__init__()
        self.fuel = fuel

    def reset(self, key):
        return {"agent_0": jnp.arange(2)}, {"fuel": self.fuel, "before": 2, "time": 0}

    def step_env(self, key, state, actions):
        state = {"fuel": state["fuel"] * 0.9, "before": state["fuel"], "time": state["time"] + 1}
        observations = {"agent_0": jnp.stack([state["fuel"], state["before"]])}
        return observations, state, *super().step_env(key, 0, actions)[2:]


@pytest.mark.parametrize("fuel", [1, np.uint8(1), np.float32(1)])
def test_what_is_an_integer_at_reset_alone_is_not_cut(fuel):
    env = from_jaxmarl(Burner(fuel), horizon=9)
    step, (state, ts) = jax.jit(env.step), jax.jit(env.reset)(jax.random.key(0))
    assert ts.obs.tolist() == [[0, 1]] and env.obs_dtype == np.float32
    for t, obs in enumerate(([0.9, 1], [0.81, 0.9], [0.729, 0.81])):
        state, ts = step(jax.random.key(0), state, np.array([0]))
        np.testing.assert_allclose(ts.obs[0], obs, rtol=1e-6)
        assert state.physics.world["time"] == t + 1 and state.physics.world["time"].dtype == np.int32


def test_it_pickles():
    env = pickle.loads(pickle.dumps(from_jaxmarl(Chooser(), horizon=3, actions=[2, 1, 0])))
    assert env.tables["agent_0"].tolist() == [2, 1, 0] and env.num_actions == (3,)
