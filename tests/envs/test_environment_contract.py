"""What every environment promises, tested on every family of ids, and the base class on a small probe."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.selection import representative_ids

from jaxmac import envs
from jaxmac.envs import ContractError, Environment, Outcome, check_environment, testing
from jaxmac.envs.multiples import Multiples

HORIZON = 30


@functools.cache
def played(env_id):
    env = envs.make(env_id, horizon=HORIZON)
    return env, testing.play_at_random(env)


every_id = pytest.mark.parametrize("env_id", representative_ids())


@every_id
def test_functions(env_id):
    testing.check_functions(envs.make(env_id, horizon=HORIZON))


@pytest.mark.parametrize("check", testing.CHECKS, ids=lambda check: check.__name__)
@every_id
def test_random_episodes(env_id, check):
    check(*played(env_id))


@every_id
def test_macro_actions_last_and_primitive_actions_do_not(env_id):
    assert (played(env_id)[1].ts.elapsed > 0).any() != env_id.endswith("-primitive")


def test_some_environments_have_unequal_agents():
    made = [envs.make(env_id) for env_id in envs.list_ids()]
    assert any(len(set(env.num_actions)) > 1 for env in made)
    assert any(len(set(env.obs_sizes)) > 1 for env in made)


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
    step = jax.jit(env.step)
    state, ts = jax.jit(env.reset)(jax.random.key(0))
    out = [ts]
    for t in range(steps):
        state, ts = step(jax.random.key(t + 1), state, jnp.array(macro_actions))
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


def raising(error):
    def function(env, *arguments):
        raise error

    return function


def after_step(change):
    """A `step` whose TimeStep is changed by `change(ts, macro_actions)`."""

    def step(env, key, state, macro_actions):
        state, ts = Environment.step(env, key, state, macro_actions)
        return state, ts.replace(**change(ts, macro_actions))

    return step


def reset_to(**fields):
    def reset(env, key):
        state, ts = Environment.reset(env, key)
        return state, ts.replace(**fields)

    return reset


def growing(env, key, state, macro_actions):
    """A `step` whose physics has an entry more than at reset."""
    state, ts = Environment.step(env, key, state, macro_actions)
    return state.replace(physics={**state.physics, "more": jnp.int32(0)}), ts


def overpaid(env, key, state, macro_actions):
    """A `step` that adds 1 to the return wherever something is paid."""
    state, ts = Environment.step(env, key, state, macro_actions)
    return state.replace(episode_return=state.episode_return + (ts.reward != 0)), ts


def paid_as(outcome):
    return lambda env, physics, actions, started, noise: (physics, outcome(actions, started))


BREAKS = [  # what a subclass may get wrong and what is said then
    ({"observe": lambda env, p: jnp.zeros(2)}, "observe gives float32[2], but must be [2, 2]"),
    ({"observe": raising(TypeError("no\nmore lines"))}, "observe raised TypeError: no"),
    ({"global_state": lambda env, p: jnp.zeros(3)}, "global_state gives float32[3], but must be [1]"),
    ({"available": lambda env, p: jnp.ones((2, 3))}, "available gives float32[2, 3], but must be bool [2, 3]"),
    ({"available": lambda env, p: jnp.ones((2, 3), bool)}, "agent 0 has 1 macro-actions, but more are available"),
    (
        {"available": lambda env, p: jnp.zeros((2, 3), bool)},
        "one must be chosen, but no macro-action is available at step 0, agent 0",
    ),
    ({"observe": lambda env, p: jnp.ones((2, 2))}, "obs of agent 0 is not zero beyond its 1 entries"),
    ({"observe": lambda env, p: jnp.full((2, 2), jnp.nan)}, "obs is not finite at step 0, agent 0"),
    ({"obs_dtype": np.dtype(np.int8)}, "obs_dtype int8 does not hold the observation"),
    ({"transition": lambda env, p, *rest: p}, "transition must give the pair (physics, Outcome)"),
    (
        {"transition": lambda env, p, a, s, noise: ({"count": 0.5, "draw": 0.5}, Outcome(s, a, 0.0, False))},
        "transition gives the physics {count: float32[], draw: float32[]}, but initial_physics {count: int32[], "
        "draw: float32[]}",
    ),
    (
        {"transition": paid_as(lambda actions, started: Outcome(actions * 1.0, actions, 0.0, False))},
        "transition gives the ended float32[2], but must be bool [2]",
    ),
    (
        {"transition": paid_as(lambda actions, started: Outcome(started, actions, jnp.zeros(2), False))},
        "transition gives the reward float32[2], but must be []",
    ),
    (
        {"transition": paid_as(lambda actions, started: Outcome(started, actions, 1j, False))},
        "transition gives the reward complex64[], but must give a real number",
    ),
    (
        {"obs_dtype": np.dtype(np.uint8), "observe_initial": lambda env, p: jnp.array([[0.0, 0.0], [0.5, 1.0]])},
        "obs_dtype uint8 does not hold the observation at step 0, agent 1",
    ),
    (
        {"obs_dtype": np.dtype(np.int32), "observe": lambda env, p: jnp.array([[2**24 + 1, 0], [0, 0]])},
        "obs_dtype int32 does not hold the observation at step 0, agent 0",
    ),
    ({"script": lambda env: ((0,),)}, "script has 1 plans for 2 agents"),
    ({"script": lambda env: ((1,), (0,))}, "script of agent 0 is (1,), but must name macro-actions 0 to 0"),
    ({"reset": reset_to(ended=jnp.array([True, False]))}, "after reset every agent must choose"),
    ({"reset": reset_to(time=jnp.int32(1))}, "after reset time must be 0"),
    (
        {"step": after_step(lambda ts, a: {"macro_obs": ts.obs})},
        "macro_obs must be obs where `ended`, else as before",
    ),
    ({"step": after_step(lambda ts, a: {"elapsed": ts.elapsed * 0})}, "elapsed must count"),
    (
        {"step": after_step(lambda ts, a: {"reward": ts.reward + 0.1 * a[0]})},
        "the input of agents that are running",
    ),
    ({"step": after_step(lambda ts, a: {"reward": jnp.float32(1)})}, "something changes after the end"),
    ({"step": after_step(lambda ts, a: {"truncated": ts.time > 3})}, "truncated must be the time limit"),
    ({"num_actions": (0, 3)}, "every agent needs at least one macro-action"),
    ({"obs_sizes": (1, 2.5)}, "obs_sizes (1, 2.5) must be positive integers"),
    ({"state_size": -1}, "state_size -1 must be an integer, 0 without a global state"),
    ({"obs_sizes": (1,)}, "obs_sizes has 1 entries for 2 agents"),
    (
        {"transition": paid_as(lambda actions, started: Outcome(started, actions * 1.0, 0.0, False))},
        "transition gives the macro_action float32[2], but must be integer [2]",
    ),
    (
        {"transition": paid_as(lambda actions, started: Outcome(started, actions, 0.0, 0))},
        "transition gives the terminal int32[], but must be bool []",
    ),
    ({"success": lambda env, p: jnp.zeros(2)}, "success gives float32[2], but must be bool []"),
    ({"success": raising(KeyError("cell"))}, "success raised KeyError: 'cell'"),
    ({"step": lambda env, key, state, actions: (state, 3)}, "step must give the pair (state, TimeStep)"),
    ({"step": growing}, "more: int32[]}"),
    ({"state_multiples": Multiples((0.5,), 9)}, "state_multiples do not give the state back at step 0"),
    (
        {"step": after_step(lambda ts, a: {"macro_action": ts.macro_action + jnp.array([1, 0])})},
        "macro_action of agent 0 is 1, it has 1",
    ),
    (
        {"step": after_step(lambda ts, a: {"macro_action": ts.macro_action - jnp.array([7, 0])})},
        "macro_action of agent 0 is -7, it has 1",
    ),
    ({"reset": reset_to(macro_action=jnp.zeros(2, jnp.int32))}, "after reset macro_action must be -1"),
    ({"reset": reset_to(macro_obs=jnp.diag(jnp.array([5.0, 0.0])))}, "after reset macro_obs must be obs"),
    (
        {"step": after_step(lambda ts, a: {"macro_action": jnp.where(ts.time == 2, -1, ts.macro_action)})},
        "macro_action changed although it had not ended",
    ),
    ({"step": after_step(lambda ts, a: {"terminal": ts.truncated})}, "an end is both terminal and truncated"),
    (
        {"step": after_step(lambda ts, a: {"truncated": jnp.bool_(False)})},
        "an episode goes on after the horizon of 5 steps",
    ),
    (
        {"step": after_step(lambda ts, a: {"time": jnp.where(ts.time == 2, 3, ts.time)})},
        "time must count the steps taken",
    ),
    ({"step": overpaid}, "episode_return must be the sum of rewards"),
    (
        {"step": after_step(lambda ts, a: {"reward": ts.reward.astype(int)})},
        "step gives a TimeStep with reward int32[], but must give float32[]",
    ),
]


@pytest.mark.parametrize(("attributes", "message"), BREAKS, ids=[message[:40] for _, message in BREAKS])
def test_the_test_kit_names_what_is_broken_in_one_line(attributes, message):
    methods = {name: value for name, value in attributes.items() if callable(value)}
    broken = type("Broken", (Probe,), methods)()
    for name in set(attributes) - set(methods):
        setattr(broken, name, attributes[name])
    with pytest.raises(ContractError) as error:
        check_environment(broken)
    assert message in str(error.value) and str(error.value).startswith("Broken: ")
    assert "\n" not in str(error.value)


def test_the_test_kit_is_silent_about_a_good_environment_and_takes_an_id():
    check_environment(Probe())
    with pytest.raises(ContractError, match=r"env is 3, but must be an envs\.Environment"):
        check_environment(3)
    for wrong in ({"episodes": 0}, {"episodes": "3"}, {"seed": -1}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))} is .*, but must be an integer of"):
            check_environment(Probe(), **wrong)
    with pytest.raises(ValueError, match="unknown environment 'Nonsense'"):
        check_environment("Nonsense")


@pytest.mark.parametrize("horizon", [0, -3, 2.5, True, None])
def test_horizon_is_validated(horizon):
    with pytest.raises(ValueError, match=r"horizon is .*, but must be an integer of at least 1"):
        Probe(horizon=horizon)


@pytest.mark.parametrize(
    ("lists", "words"),
    [
        (
            {"action_names": ["left", "right"]},
            "action_names is ['left', 'right'], but must have a list of names for",
        ),
        ({"action_names": []}, "action_names is [], but must have a list of names for each agent"),
        ({"action_names": [["left", 1]]}, "action_names is [['left', 1]], but must have a list of names"),
        ({"action_names": 3}, "action_names is 3, but must have a list of names for each agent"),
        ({"obs_sizes": 4}, "obs_sizes is 4, but must have the number of observation entries of each agent"),
        ({"obs_sizes": []}, "obs_sizes is [], but must have the number of observation entries of each agent"),
    ],
)
def test_lists_of_agents_are_validated(lists, words):
    whole = {"action_names": [["left", "right"]], "obs_sizes": [4], "state_size": 1, "horizon": 3}
    with pytest.raises(ValueError) as error:
        Environment(**whole | lists)
    assert str(error.value).startswith(words)


def test_an_environment_without_a_drawing_says_so_also_below_options():
    from jaxmac.envs.rendering import frame

    env = Probe()
    for one in (env, envs.WithOptions(env, [[envs.Option("on", lambda view: 0, lambda view: True)]] * 2)):
        with pytest.raises(ValueError, match="has no drawing: Probe does not define draw"):
            frame(one, one.reset(jax.random.key(0))[0])
