"""The quirks of the Warehouse specification one by one, from made-up situations."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.warehouse_play import arrives, duration, jitted, situation, steps

from jaxmac import envs
from jaxmac.envs.warehouse.optimum import driving_steps

# From section 10: start (None: initial place) and the steps to each waypoint in the order of the macro-actions.
DURATIONS = [
    ("S", 0, None, (5, 3, 4)),
    ("S", 0, 0, (1, 5, 7)),
    ("S", 1, 0, (1, 5, 6)),
    ("S", 1, 1, (5, 1, 2)),
    ("S", 1, 2, (6, 2, 1)),
    ("D", 0, None, (4, 5, 2, 3)),
    ("D", 1, None, (5, 4, 2, 3)),
    ("D", 1, 0, (1, 2, 4, 7)),
    ("T1", 0, None, (4, 7, 7, 2, 3)),
    ("T1", 0, 4, (7, 10, 10, 4, 1)),
    ("T1", 1, None, (4, 7, 7, 1, 3)),
    ("T1", 2, None, (5, 7, 7, 2, 3)),
    ("T1", 2, 1, (3, 1, 2, 7, 9)),
    ("Q", 0, 5, (7, 10, 7, 10, 4, 1)),
    ("Q", 1, None, (4, 7, 4, 7, 1, 3)),
    ("Q", 2, 4, (4, 7, 4, 7, 1, 3)),
]


@pytest.mark.parametrize(("variant", "robot", "start", "expected"), DURATIONS)
def test_durations(variant, robot, start, expected):
    env, advance = jitted(f"Warehouse-{variant}")
    first = env.reset(jax.random.key(0))[0]
    if start is not None:
        first = situation(env, [start if i == robot else 0 for i in range(env.num_mobiles)])
    others = [0] * env.num_agents
    assert tuple(duration(advance, first, robot, a, others, arrives) for a in range(env.get_tool + 1)) == expected
    points = (*env.layout.work_areas, env.layout.tool_room, env.layout.table_points[robot])
    origin = env.layout.robots[robot] if start is None else points[start]
    assert tuple(driving_steps(origin, point, 0.8) for point in points) == expected


def test_q1_in_q_the_tool_room_costs_a_step_and_the_table_none():
    env, advance = jitted("Warehouse-Q")
    away = [0, 0, 0, 0]
    assert duration(advance, situation(env, [0, 0, 0]), 0, env.go_to_tool_room, away) == 4 + 1
    assert duration(advance, situation(env, [env.go_to_tool_room, 0, 0]), 0, env.go_to_tool_room, away) == 1
    assert duration(advance, situation(env, [0, 0, 0]), 1, env.get_tool, away) == 7 + 9
    near = env.reset(jax.random.key(0))[0]  # robot 1 reaches the table in step 3
    wait, get, go = 0, env.get_tool, 0
    for first_pass, reward in ((3, -1), (2, -11)):
        joints = [(go, get, go, 1 + 1 if t == first_pass else wait) for t in range(1, first_pass + 4)]
        assert steps(advance, near, *joints)[2][-1] == reward
    env, advance = jitted("Warehouse-D")  # elsewhere a pass in the step of the arrival comes too early
    start = env.reset(jax.random.key(0))[0]
    for first_pass, reward in ((3, -11), (4, -1)):
        joints = [(env.get_tool, 0, 1 if t == first_pass else 0) for t in range(1, first_pass + 4)]
        assert steps(advance, start, *joints)[2][-1] == reward
    assert duration(advance, situation(env, [0, 0]), 0, env.go_to_tool_room, [0, 0, 0]) == 4


@pytest.mark.parametrize(
    ("variant", "fresh", "again", "served"), [("S", 11, 10, 11), ("D", 10, 9, 10), ("Q", 9, 9, 10)]
)
def test_q2_q4_get_tool_gives_up(variant, fresh, again, served):
    env, advance = jitted(f"Warehouse-{variant}")
    start, get = env.reset(jax.random.key(0))[0], env.get_tool
    others = [0] * env.num_agents
    way = duration(advance, start, 0, get, others, arrives)
    assert duration(advance, start, 0, get, others) == way + fresh
    at_table = [get] + [0] * (env.num_mobiles - 1)
    timed_out = situation(env, at_table, timer=[-1] + [0] * (env.num_mobiles - 1))
    assert duration(advance, timed_out, 0, get, others) == again
    assert duration(advance, situation(env, at_table), 0, get, others) == served


def test_q3_a_pass_to_the_third_robot_may_start_before_it_is_there():
    env, advance = jitted("Warehouse-T1")
    for robot, reward in ((2, -1), (1, -11)):
        state = situation(env, [0, None, None], staged=[1])
        joints = [(0, env.get_tool, env.get_tool, 1 + robot)] * 5  # both reach the table in step 3
        state, ts, rewards = steps(advance, state, *joints[:4])
        assert rewards == [-1, -1, -1, reward]
        assert state.physics.mobiles.basket[robot].tolist() == [0, int(robot == 2), 0]
        assert ts.ended.tolist() == [True, False, robot == 2, True]
    # One that is still on its way when the pass ends gets nothing.
    state, ts, rewards = steps(advance, situation(env, [0, 0, 0], staged=[1]), *[(0, 0, env.get_tool, 1 + 2)] * 4)
    assert rewards[-1] == -11 and ts.ended.tolist() == [True, True, False, True]


@pytest.mark.parametrize(
    ("variant", "left", "reward", "phase"),
    [("S", 1, 99, 1), ("S", 0, 99, 1), ("S", -1, 79, 1), ("T", 2, 99, 0), ("T", 1, 99, 1), ("T", 0, 79, 1)],
)
def test_q2_when_a_delivery_is_late(variant, left, reward, phase):
    env, advance = jitted(f"Warehouse-{variant}")
    others = [40] * (env.num_humans - 1)
    state = situation(env, [0, env.go_to_tool_room], basket=[(0,), ()], left=[left, *others])
    state, ts, rewards = steps(advance, state, (0, env.go_to_tool_room, 0))
    humans = state.physics.humans
    assert rewards == [reward]
    assert (int(humans.phase[0]), bool(humans.got[0])) == (phase, phase == 0)
    assert int(humans.left[0]) == (env.phase_times[0, 1] if phase else left - 1)
    at = env.num_humans + 3
    assert ts.macro_obs[0, at : at + 4].tolist() == [1 - phase, phase, 0, 0]  # the phase after this step


def test_two_deliveries_in_one_step_add_up():
    env, advance = jitted("Warehouse-T")
    for left, reward in (((5, 5, 5), 199), ((5, 0, 5), 179), ((0, -4, 5), 159)):
        state = situation(env, [0, 1], basket=[(0,), (0, 0)], left=left)
        state, _, rewards = steps(advance, state, (0, 1, 0))
        assert rewards == [reward]
        assert state.physics.mobiles.basket.tolist() == [[0, 0, 0], [1, 0, 0]]
    state = situation(env, [0, env.get_tool], timer=[0, 1], basket=[(0,), ()], left=[5, 5, 5], running={2: 2})
    failing = state.physics.manipulator.replace(left=jnp.int32(1), failed=jnp.bool_(True), macro=jnp.int32(2))
    state = state.replace(physics=state.physics.replace(manipulator=failing))
    assert steps(advance, state, (0, 0, 0))[2] == [89]  # a delivery while a pass fails


def test_the_first_robot_delivers_where_two_could():
    env, advance = jitted("Warehouse-D")
    state, _, rewards = steps(advance, situation(env, [0, 0], basket=[(0, 1), (0,)]), (0, 0, 0))
    assert rewards == [99] and state.physics.mobiles.basket.tolist() == [[0, 1, 0], [1, 0, 0]]
    state, _, rewards = steps(advance, state, (0, 0, 0))  # the human has its tool: nothing more in this phase
    assert rewards == [-1] and state.physics.mobiles.basket.tolist() == [[0, 1, 0], [1, 0, 0]]
    state, _, rewards = steps(advance, situation(env, [0, 0], basket=[(1,), (0,)]), (0, 0, 0))
    assert rewards == [99] and state.physics.mobiles.basket.tolist() == [[0, 1, 0], [0, 0, 0]]


def test_robots_deliver_only_where_they_go_and_when_they_are_there():
    env, advance = jitted("Warehouse-D")
    for at, action in ((0, 1), (env.go_to_tool_room, 0), (0, env.get_tool)):
        assert steps(advance, situation(env, [at, 1], basket=[(0,), ()]), (action, 1, 0))[2] == [-1]
    last_phase = situation(
        env, [0, 1], basket=[(0, 1, 2), ()], phase=[3, 0], got=[True, False], served=[True, False]
    )
    assert steps(advance, last_phase, (0, 1, 0))[2] == [-1]


@pytest.mark.parametrize(("stays", "reward"), [(True, -1), (False, -11)])
def test_a_pass_that_fails_only_at_its_end(stays, reward):
    env, advance = jitted("Warehouse-S")
    get, give = env.get_tool, 1
    # Robot 0 gives up waiting in the second step of the pass, and then stays or leaves.
    state = situation(env, [get, 0], timer=[-9, 0], staged=[2, 0], running={0: get})
    state, ts, rewards = steps(advance, state, *[(get if stays else 0, 0, give)] * 4)
    assert rewards == [-1, -1, -1, reward]
    assert state.physics.mobiles.basket[0].tolist() == [0, 0, int(stays)]
    assert state.physics.manipulator.staged.tolist() == ([0, -1] if stays else [2, 0])
    assert ts.ended.tolist() == [stays, True, True]


def test_a_pass_on_the_very_step_of_the_time_out_succeeds():
    env, advance = jitted("Warehouse-S")
    state = situation(env, [env.get_tool, 0], timer=[-7, 0], staged=[1], running={0: env.get_tool})
    state, ts, rewards = steps(advance, state, *[(0, 0, 1)] * 4)
    assert rewards[-1] == -1 and ts.ended[0] and int(state.physics.mobiles.timer[0]) == 0


def test_a_robot_that_gave_up_passes_the_start_check_but_must_ask_again():
    env, advance = jitted("Warehouse-D")
    state = situation(env, [env.get_tool, 0], timer=[-1, 0], staged=[1])
    assert steps(advance, state, *[(env.get_tool, 0, 1)] * 4)[2][-1] == -1
    assert steps(advance, state, *[(env.go_to_tool_room, 0, 1)] * 4)[2][-1] == -11


def test_an_empty_pass_is_free_and_frees_the_robot():
    env, advance = jitted("Warehouse-D")
    state = situation(env, [env.get_tool, 0], timer=[-3, 0], running={0: env.get_tool})
    state, ts, rewards = steps(advance, state, *[(0, 0, 1)] * 4)
    assert rewards == [-1] * 4 and ts.ended[0] and not state.physics.mobiles.basket.any()


def test_searching_needs_room_and_stock():
    env, advance = jitted("Warehouse-S")
    search = [(0, 0, 1 + env.num_mobiles + k) for k in range(3)]
    state = situation(env, [0, 0], staged=[1])
    state, ts, _ = steps(advance, state, *[search[2]] * 5)
    assert not ts.ended[2] and state.physics.manipulator.staged.tolist() == [1, -1]
    state, ts, _ = steps(advance, state, search[2])
    assert ts.ended[2] and state.physics.manipulator.staged.tolist() == [1, 2]
    assert ts.macro_obs[2, :5].tolist() == [0, 1, 1, 0, 0]
    full, ts, _ = steps(advance, state, *[search[0]] * 6)
    assert ts.ended[2] and full.physics.manipulator.found.tolist() == [0, 1, 1]
    out = situation(env, [0, 0], basket=[(2,), ()])
    out, ts, _ = steps(advance, out, *[search[2]] * 6)
    assert ts.ended[2] and out.physics.manipulator.staged.tolist() == [-1, -1]


def test_first_observations():
    for variant in ("S", "T1"):
        env, _ = jitted(f"Warehouse-{variant}")
        obs = env.reset(jax.random.key(0))[1].macro_obs
        expected = np.zeros((env.num_agents, env.obs_size))
        expected[: env.num_mobiles, env.num_humans + 2] = 1  # nowhere, also robot 1 of T1 on the tool room
        np.testing.assert_array_equal(obs, expected)


@pytest.mark.parametrize("suffix", ["", "-primitive"])
def test_what_robots_see_of_staged_tools(suffix):
    env, _ = jitted(f"Warehouse-D{suffix}")
    # None: on the way, inside the tool room.
    seen_at = {env.go_to_tool_room: True, env.get_tool: True, 0: False, None: bool(suffix)}
    for staged, bits in (((), (0, 0)), ((1,), (1, 0)), ((1, 2), (0, 1))):
        for place, seen in seen_at.items():
            obs = env.observe(situation(env, [place, 0], staged=staged).physics)[0, -2:]
            assert obs.tolist() == list(bits if seen else (0, 0))
    outside = situation(env, [None, 0], staged=(1,)).physics
    outside = outside.replace(mobiles=outside.mobiles.replace(x=jax.device_put(np.float32([3.6, 6.0]))))
    assert env.observe(outside)[0, -2:].tolist() == [0, 0]


def test_q8_state_is_scaled_by_7_and_5():
    env, _ = jitted("Warehouse-T")
    state = env.global_state(situation(env, [1, env.go_to_tool_room]).physics)
    np.testing.assert_allclose(state[:6], [8 / 7, 3 / 5, 3 / 7, 0.5, 0.9 / 7, 0.5], atol=1e-6)


# -- primitive actions


def test_changing_its_mind_costs_the_manipulator_only_time():
    env, advance = jitted("Warehouse-D-primitive")
    give, search = 1, 1 + env.num_mobiles
    state = situation(env, [0, 0], staged=[1])
    state, ts, rewards = steps(advance, state, *[(0, 0, give)] * 3, *[(0, 0, search)] * 5)
    assert rewards == [-1] * 8 and ts.ended.all() and int(state.physics.manipulator.left) == 1
    assert steps(advance, state, (0, 0, search))[0].physics.manipulator.staged.tolist() == [1, 0]
    dropped, _, _ = steps(advance, state, (0, 0, 0), *[(0, 0, search)] * 5)
    assert dropped.physics.manipulator.staged.tolist() == [1, -1]
    assert steps(advance, situation(env, [0, 0], staged=[1]), *[(0, 0, give)] * 4)[2] == [-1, -1, -1, -11]


def test_a_robot_may_turn_back_and_delivers_only_at_its_goal():
    env, advance = jitted("Warehouse-D-primitive")
    state, ts, rewards = steps(advance, situation(env, [0, 0], basket=[(0,), ()]), (1, 0, 0))
    assert rewards == [-1] and ts.macro_obs[0, : env.num_humans + 3].tolist() == [0, 0, 0, 0, 1]
    assert steps(advance, state, (0, 0, 0))[2] == [99]


def test_collapsed_actions_take_one_step():
    env, advance = jitted("Warehouse-D-primitive", primitive="collapsed")
    get, search, give = env.get_tool, 1 + env.num_mobiles, 1
    _, ts, rewards = steps(advance, env.reset(jax.random.key(0))[0], (get, 0, search), (get, 0, give), (0, 0, 0))
    assert rewards == [-1, -1, 99] and ts.ended.all()
    start = env.reset(jax.random.key(0))[0]
    assert steps(advance, start, (get, 0, give))[2] == [-11]  # it was not there at the start of the step
    assert steps(advance, start, (get, 0, search), (0, 0, give))[2] == [-1, -11]


def test_a_changed_layout_has_no_plan():
    layout = envs.LAYOUTS["D"]
    assert envs.Warehouse(dataclasses.replace(layout), horizon=200).optimal_return == 533
    for changes in ({"tool_room": (3.0, 4.0)}, {"get_tool_wait": 3}, {"name": "mine"}):
        env = envs.Warehouse(dataclasses.replace(layout, **changes), horizon=200)
        assert env.script() is env.best_known_return is env.optimal_return is None
