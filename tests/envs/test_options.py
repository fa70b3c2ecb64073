"""Options over primitive actions: what they are shown, how long they last, and what is said about wrong ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.line import LEFT, NOOP, RIGHT, Line

from jaxmac import envs
from jaxmac.envs import Option, WithOptions


def go_to(cell, **rest):
    """Walk to a cell and stop there."""

    def policy(view):
        return jnp.where(view.obs[0] < cell, RIGHT, jnp.where(view.obs[0] > cell, LEFT, NOOP))

    return Option(f"to {cell}", policy, lambda view: view.obs[0] == cell, **rest)


WAIT = Option("wait", lambda view: NOOP, lambda view: True)


def play(env, steps, choices):
    """TimeSteps `[steps + 1, ...]`; `choices(t, ts)` are the macro-actions given."""
    step = jax.jit(env.step)
    state, ts = jax.jit(env.reset)(jax.random.key(0))
    out = [ts]
    for t in range(steps):
        state, ts = step(jax.random.key(t + 1), state, jnp.array(choices(t, ts)))
        out.append(ts)
    return state, jax.tree.map(lambda *leaves: np.stack(leaves), *out)


def test_options_last_until_they_are_over_each_on_its_own_clock():
    env = WithOptions(Line(), [[go_to(6), go_to(0)], [WAIT, go_to(7), go_to(9)]])
    _, ts = play(env, 7, lambda t, ts: ([0, 1][t > 3], 1 if t < 2 else 0))
    assert ts.obs[:, 0, 0].tolist() == [
        2,
        3,
        4,
        5,
        6,
        5,
        4,
        3,
    ]  # to 6, then to 0; what is given between is not read
    assert ts.ended[:, 0].tolist() == [True, False, False, False, True, False, False, False]
    assert ts.elapsed[:, 0].tolist() == [0, 1, 2, 3, 0, 1, 2, 3]
    assert ts.obs[:, 1, 0].tolist() == [5, 6, 7, 7, 7, 7, 7, 7]
    assert ts.ended[:, 1].tolist() == [True, False, True, True, True, True, True, True]
    assert ts.macro_action[1:].tolist() == [[0, 1]] * 2 + [[0, 0]] * 2 + [[1, 0]] * 3
    assert ts.macro_obs[:, 0, 0].tolist() == [2, 2, 2, 2, 6, 6, 6, 6]
    assert ts.reward.tolist() == [0, 3, 4, 5, 6, 5, 4, 3]
    assert (env.num_actions, env.obs_sizes, env.obs_dtype) == ((2, 3), (1, 2), np.dtype(np.int8))
    assert env.action_names == (("to 6", "to 0"), ("wait", "to 7", "to 9"))


def test_the_contract_with_unequal_sets_and_random_options():
    def stagger(view):
        return jnp.where(jax.random.bernoulli(view.key), RIGHT, NOOP)

    stray = Option("stray", stagger, lambda view: jax.random.bernoulli(view.key, 0.3), max_duration=4)
    env = WithOptions(Line(), [[WAIT, go_to(8), stray], [WAIT, stray]])
    envs.check_environment(env)
    ts = envs.testing.play_at_random(env).ts
    strayed = (ts.macro_action[..., 0] == 2) & ~ts.terminal & ~ts.truncated
    assert ts.elapsed[..., 0][strayed].max() == 3  # four steps at most
    assert set(np.diff(ts.obs[:, :, 1, 0], axis=0).ravel()) == {0, 1}


def test_the_end_is_the_world_s_and_the_horizon_may_differ():
    env = WithOptions(Line(), [[WAIT], [go_to(9)]])
    _, ts = play(env, 6, lambda t, ts: (0, 0))
    assert ts.terminal.tolist() == [False] * 4 + [True] * 3 and not ts.truncated.any()
    _, ts = play(WithOptions(Line(), [[WAIT], [WAIT]], horizon=3), 4, lambda t, ts: (0, 0))
    assert ts.truncated.tolist() == [False] * 3 + [True] * 2 and not ts.terminal.any()
    _, ts = play(WithOptions(Line(horizon=3, horizon_is_terminal=True), [[WAIT], [WAIT]]), 3, lambda t, ts: (0, 0))
    assert ts.terminal[-1] and not ts.truncated.any()


def test_initiation_sets_see_the_present_and_the_available_actions():
    near = go_to(0, can_start=lambda view: view.obs[0] < 4)
    back = Option("back", lambda view: LEFT, lambda view: True, can_start=lambda view: view.avail[LEFT])
    env = WithOptions(Line(), [[go_to(9), near, back], [WAIT]])
    _, ts = play(env, 4, lambda t, ts: (0, 0))
    assert ts.avail[:, 0].tolist() == [[True, True, True]] * 2 + [[True, False, True]] * 3
    assert ts.avail[:, 1].tolist() == [[True, False, False]] * 5
    _, ts = play(WithOptions(Line(), [[near, back], [WAIT]]), 2, lambda t, ts: (0, 0))
    assert ts.avail[:, 0].tolist() == [[True, True], [True, True], [True, False]]  # on cell 0 no step left is open


def test_an_option_remembers_only_what_its_own_agent_sees_and_begins_anew():
    """There and back again: walk right until three cells from where it began; a second start counts afresh."""

    def remember(view):
        return jnp.where(view.elapsed == 0, view.obs[0], view.memory)

    stride = Option(
        "stride",
        lambda view: jnp.where(view.obs[0] - view.memory < 3, RIGHT, NOOP),
        lambda view: view.obs[0] - view.memory >= 3,
        memory=jnp.float32(-1),
        remember=remember,
    )
    env = WithOptions(Line(), [[WAIT, stride], [stride, WAIT]])
    assert len(env.teams) == 2
    _, ts = play(env, 7, lambda t, ts: (1 if t != 3 else 0, 1))
    assert ts.obs[:, 0, 0].tolist() == [2, 3, 4, 5, 5, 6, 7, 8]
    assert ts.ended[:, 0].tolist() == [True, False, False, True, True, False, False, True]
    same = WithOptions(Line(), [[stride], [stride]])
    assert len(same.teams) == 2  # unequal sizes below
    _, ts = play(same, 3, lambda t, ts: (0, 0))
    assert ts.obs[-1, :, 0].tolist() == [5, 8]


def test_what_is_remembered_and_what_is_done_are_drawn_apart():
    def draw(view):
        return jax.random.uniform(view.key)

    option = Option(
        "twice",
        lambda view: jnp.where(draw(view) == view.memory, RIGHT, NOOP),
        lambda view: draw(view) == view.memory,
        memory=jnp.float32(-1),
        remember=draw,
    )
    _, ts = play(WithOptions(Line(), [option]), 5, lambda t, ts: (0, 0))
    assert ts.obs[:, :, 0].tolist() == [[2, 5]] * 6 and not ts.ended[1:].any()


def test_what_is_done_and_whether_it_ends_are_drawn_apart():
    """The end is drawn with the key that the policy would have if both had been split from the same one."""
    option = Option(
        "chance",
        lambda view: jnp.where(jax.random.bernoulli(view.key), RIGHT, NOOP),
        lambda view: jax.random.bernoulli(jax.random.split(view.key)[1]),
    )
    _, ts = play(WithOptions(Line(horizon=40), [option]), 20, lambda t, ts: (0, 0))
    moved = np.diff(ts.obs[:8, 0, 0]) > 0
    assert (moved != ts.ended[1:8, 0]).any() and (moved == ts.ended[1:8, 0]).any()


def test_an_option_that_is_over_ends_with_the_macro_action_that_is_running_below():
    env = envs.make("BoxPushing-10")
    early = Option("fetch", lambda view: 0, lambda view: view.elapsed == 2)  # over before robots have arrived
    _, below = play(env, 20, lambda t, ts: (0, 0))
    arrives = int(np.argmax(below.ended[1:, 0])) + 1
    assert arrives > 3
    _, ts = play(WithOptions(env, [early]), 20, lambda t, ts: (0, 0))
    assert not ts.ended[1:arrives, 0].any() and ts.ended[arrives, 0]
    assert ts.elapsed[arrives - 1, 0] == arrives - 1
    later = ts.ended[arrives + 1 : arrives + 3, 0]  # a new choice begins afresh: over after two steps of its own
    assert later.tolist() == [False, True]


def test_memory_may_be_of_numpy():
    option = Option("where", lambda view: NOOP, lambda view: True, lambda view: view.memory.at[0].get() == 0)
    env = WithOptions(Line(), [Option(**{**vars(option), "memory": np.zeros(2, np.float32)}), WAIT])
    envs.check_environment(env)
    assert env.reset(jax.random.key(0))[1].avail.all()


def test_agents_see_nothing_of_each_other():
    seen = []

    def policy(view):
        seen.append(jax.tree.map(jnp.shape, view._replace(key=())))
        return NOOP

    option = Option("look", policy, lambda view: True)
    env = WithOptions(Line(), [option])
    env.step(jax.random.key(0), env.reset(jax.random.key(0))[0], jnp.array([0, 0]))
    assert {(view.obs, view.avail) for view in seen} == {((1,), (3,)), ((2,), (2,))}


def test_equal_agents_are_one_team_and_act_by_their_own_choice():
    env = envs.make("BoxPushing-4-primitive", horizon=6)
    turn = Option("turn about", lambda view: 1, lambda view: view.elapsed == 2)
    ahead = Option("ahead", lambda view: 0, lambda view: False, max_duration=3)
    macro = WithOptions(env, [turn, ahead])
    assert [team.members.tolist() for team in macro.teams] == [[0, 1]]
    envs.check_environment(macro)
    _, ts = play(macro, 5, lambda t, ts: (0, 1))
    assert ts.ended.tolist() == [[True, True], [False, False], [True, False], [False, True], [True, False],
                                 [False, False]]  # fmt: skip
    _, after = play(env, 5, lambda t, ts: (1, 0))
    np.testing.assert_array_equal(after.state, ts.state)
    np.testing.assert_allclose(after.reward, ts.reward)


def test_options_over_macro_actions_wait_for_them():
    """Go to a small box below, then push it: an option made of macro-actions."""
    env = envs.make("BoxPushing-6")
    fetch = Option(
        "fetch",
        lambda view: jnp.where(view.memory == 0, 0, 4),
        lambda view: False,
        memory=jnp.int32(0),
        remember=lambda view: (view.obs[0] > 0).astype(jnp.int32),  # a small box in front
    )
    wait = Option("wait", lambda view: 7, lambda view: True)
    _, ts = play(WithOptions(env, [[fetch], [wait]]), 20, lambda t, ts: (0, 0))
    _, after = play(env, 20, lambda t, ts: (jnp.where(ts.macro_obs[0, 0] > 0, 4, 0), 7))
    assert after.terminal[-1] and after.reward.max() > 5
    np.testing.assert_array_equal(after.state, ts.state)
    np.testing.assert_array_equal(after.reward, ts.reward)


def test_the_caption_names_options():
    from jaxmac.envs.rendering import frame

    env = WithOptions(envs.make("BoxPushing-4-primitive"), [Option("ahead", lambda view: 0, lambda view: True)])
    other = WithOptions(env.env, [Option("another name", lambda view: 0, lambda view: True)])
    state, _ = play(env, 1, lambda t, ts: (0, 0))
    assert (frame(env, state) != frame(other, state)).any()


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (
            {"policy": lambda view: view.obs},
            "policy gives float32[1], but must give an integer scalar, the action 0",
        ),
        (
            {"policy": lambda view: 1.0},
            "policy gives float32[], but must give an integer scalar, the action 0 to 2",
        ),
        ({"policy": lambda view: (1, 2)}, "policy gives (int32[], int32[]), but must give an integer scalar"),
        ({"policy": lambda view: 3}, "policy gives 3, but must give an action from 0 to 2"),
        ({"policy": lambda view: view.obs[7, 1]}, "policy raised IndexError: "),
        ({"policy": lambda view: None}, "policy gives None, but must give an integer scalar"),
        ({"policy": 2}, "policy is 2, but must be a function of a View"),
        ({"terminates": lambda view: 1}, "terminates gives int32[], but must give a bool scalar"),
        ({"terminates": lambda view: view.obs > 3}, "terminates gives bool[1], but must give a bool scalar"),
        ({"can_start": lambda view: view.avail}, "can_start gives bool[3], but must give a bool scalar"),
        ({"max_duration": 0}, "max_duration is 0, but must be None or an integer of at least 1"),
        ({"max_duration": 2.5}, "max_duration is 2.5, but must be None or an integer of at least 1"),
        ({"memory": "much"}, "memory is 'much', but must be a pytree of arrays"),
        (
            {"memory": {"at": jnp.int32(0)}, "remember": lambda view: {"at": view.obs}},
            "remember gives {at: float32[1]}, but must give what `memory` is, {at: int32[]}",
        ),
    ],
)
def test_a_wrong_option_is_named_in_one_line(option, words):
    whole = {"name": "wrong", "policy": lambda view: 0, "terminates": lambda view: True} | option
    with pytest.raises(ValueError) as error:
        WithOptions(Line(), [[WAIT, Option(**whole)], [WAIT]])
    assert str(error.value).startswith("agent 0, option 'wrong'") and words in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([[WAIT]], "options has lists for 1 agents, but the environment has 2"),
        ([[WAIT], []], "agent 1 has no option"),
        ([], "options has lists for 0 agents"),
        ([WAIT, [WAIT]], "options holds Option(name='wait'"),
        ([[WAIT], "wait"], "options holds 'wait', but must be a list of Option"),
        ([[WAIT], [3]], "agent 1 has 3 among its options"),
        ([[WAIT, WAIT], [WAIT]], "agent 0 has two options named 'wait'"),
        (
            [[WAIT], [Option("left", lambda view: LEFT, lambda view: True)]],
            "agent 1, option 'left': policy gives 2, ",
        ),
    ],
)
def test_wrong_lists_of_options_are_one_line(options, words):
    with pytest.raises(ValueError) as error:
        WithOptions(Line(), options)
    assert words in str(error.value) and "\n" not in str(error.value)


def test_only_environments_get_options():
    with pytest.raises(ValueError, match="env is 'BoxPushing-4', but must be an Environment"):
        WithOptions("BoxPushing-4", [WAIT])
