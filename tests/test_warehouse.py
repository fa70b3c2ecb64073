"""Warehouse against the recordings of the reference, and the quirks of its specification one by one."""

import functools
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from envs.rendering import frame
from envs.warehouse import LAYOUTS, Layout, PrimitiveWarehouse, Warehouse
from envs.warehouse.optimum import driving_steps, upper_bound

QUICK_COMPILE = {"xla_backend_optimization_level": 0}
RECORDINGS = ["S", "S_v06", "D", "D1", "T", "T1", "Q", "S_prim"]


def recorded(name, meta):
    """The environment a recording was made with."""
    options = {"horizon": meta["horizon"], "horizon_is_terminal": name == "Q"}
    if "kwargs" in meta:
        options["mobile_speed"] = meta["kwargs"]["TB_move_speed"]
        options["human_speeds"] = meta["kwargs"]["human_speed_per_step"]
        options["late_penalty"] = meta["kwargs"]["delay_delivery_penalty"]
    return envs.make(f"Warehouse-{name.split('_')[0]}" + "-primitive" * name.endswith("prim"), **options)


def player(env, keep=lambda state, ts: (state, ts)):
    """Compiled: macro-actions `[E, T, N]` -> what `keep` keeps of whole episodes, leaves `[E, T + 1, ...]`."""

    def episode(actions):
        def body(state, joint):
            state, ts = env.advance(state, joint, ())
            return state, keep(state, ts)

        state, ts = env.reset(jax.random.key(0))
        _, rest = jax.lax.scan(body, state, actions)
        return jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), keep(state, ts), rest)

    run = jax.jit(jax.vmap(episode), compiler_options=QUICK_COMPILE)
    return lambda actions: jax.device_get(run(jnp.array(actions)))


@pytest.mark.parametrize("name", RECORDINGS)
def test_replays_the_reference(name, golden):
    data, meta = golden(f"warehouse_{name}")
    env = recorded(name, meta)
    states, ts = player(env)(data["actions"])
    steps = data["mask"]
    rows = np.concatenate([np.ones_like(steps[:, :1]), steps], axis=1)
    assert steps.sum() > 1000
    state = data["state"] if "state" in data else data["state_ext"]
    np.testing.assert_array_equal(ts.macro_obs[rows], data["obs"][rows])
    np.testing.assert_array_equal(ts.ended[:, 1:][steps], data["mac_done"][steps])
    np.testing.assert_array_equal(ts.macro_action[:, 1:][steps], data["actions"][steps])
    np.testing.assert_array_equal(ts.terminal[:, 1:][steps], data["done"][steps])
    np.testing.assert_allclose(ts.reward[:, 1:][steps], data["reward"][steps], atol=1e-4)
    np.testing.assert_allclose(ts.state[rows], state[rows], atol=1e-6)
    if "kwargs" not in meta:
        return
    mobiles, manipulator, humans = states.physics.mobiles, states.physics.manipulator, states.physics.humans
    driving = data["dbg_timer"][..., :-1] > 0  # here the timer only knows that, and the place is forgotten
    internals = {
        "timer": np.concatenate([mobiles.timer, manipulator.left[..., None]], axis=-1),
        "loc": mobiles.place,
        "basket": mobiles.basket,
        "staging": manipulator.staged,
        "found": manipulator.found,
        "passfail": manipulator.failed,
        "phase": humans.phase,
        "hleft": humans.left,
        "got": humans.got,
        "fin": humans.finished,
    }
    data["dbg_timer"][..., :-1][driving] = 1
    data["dbg_loc"][driving] = -1
    for what, mine in internals.items():
        np.testing.assert_array_equal(mine[rows], data[f"dbg_{what}"][rows], err_msg=what)
    np.testing.assert_allclose(np.stack([mobiles.x, mobiles.y], -1)[rows], data["dbg_xy"][rows], atol=1e-5)
    staged = (manipulator.staged[rows] >= 0).sum(-1)
    np.testing.assert_array_equal(np.stack([staged == 1, staged == 2], -1), data["dbg_ready"][rows])


@pytest.mark.parametrize("name", [name for name in RECORDINGS if name != "S_prim"])
def test_primitive_invariant(name, golden):
    """The running macro-actions of a recording, chosen anew at each step, bring the same (section 13)."""
    data, meta = golden(f"warehouse_{name}")
    env = envs.make(f"Warehouse-{name.split('_')[0]}-primitive", **recorded(name, meta).options)

    def keep(state, ts):
        mobiles, humans = state.physics.mobiles, state.physics.humans
        return jnp.stack([mobiles.x, mobiles.y], -1), humans.phase, ts.reward, ts.terminal, ts.ended

    xy, phase, reward, terminal, ended = player(env, keep)(data["actions"])
    steps = data["mask"]
    rows = np.concatenate([np.ones_like(steps[:, :1]), steps], axis=1)
    np.testing.assert_allclose(reward[:, 1:][steps], data["reward"][steps], atol=1e-4)
    np.testing.assert_allclose(xy[rows], data["dbg_xy"][rows], atol=1e-5)
    np.testing.assert_array_equal(phase[rows], data["dbg_phase"][rows])
    np.testing.assert_array_equal(terminal[:, 1:][steps], data["done"][steps])
    assert ended.all()


# -- single steps from made-up situations


@functools.cache
def jitted(env_id, **options):
    """As `compiled`, by id."""
    return compiled(envs.make(env_id, **options))


def compiled(env):
    """The environment and its `advance`; its `begin` is compiled too."""
    env.begin = jax.jit(env.begin, compiler_options=QUICK_COMPILE)
    return env, jax.jit(lambda *args: env.advance(*args, ()), compiler_options=QUICK_COMPILE)


def situation(env, at, timer=None, basket=None, staged=(), running=None, **humans):
    """Robots at waypoints `at` (None: on the way, at the waiting spot); `basket` has each robot's tools.

    `running` maps agents to macro-actions that have not ended; `humans` are fields of `Humans`.
    """
    physics, layout = env.initial_physics(jax.random.key(0)), env.layout
    spots = [(*layout.work_areas, layout.tool_room, layout.table_points[i]) for i in range(env.num_mobiles)]
    x, y = np.array([spots[i][env.tool_room if a is None else a] for i, a in enumerate(at)], np.float32).T
    counts = [[list(tools).count(k) for k in range(env.num_tools)] for tools in basket or [()] * len(at)]
    mobiles = physics.mobiles.replace(
        x=jnp.array(x),
        y=jnp.array(y),
        place=jnp.array([-1 if a is None else a for a in at]),
        timer=jnp.array(timer or [0] * len(at)),
        basket=jnp.array(counts),
    )
    staging = jnp.array([*staged, -1, -1][:2])
    found = jnp.array(
        [sum(counts[i][k] for i in range(len(at))) + list(staged).count(k) for k in range(env.num_tools)]
    )
    manipulator = physics.manipulator.replace(staged=staging, found=found)
    people = physics.humans.replace(**{name: jnp.array(value) for name, value in humans.items()})
    state, _ = env.begin(physics.replace(mobiles=mobiles, manipulator=manipulator, humans=people))
    for agent, action in (running or {}).items():
        state = state.replace(
            ended=state.ended.at[agent].set(False), macro_action=state.macro_action.at[agent].set(action)
        )
    return state


def steps(advance, state, *joints):
    """State, last TimeStep and all rewards after these joint choices."""
    rewards = []
    for joint in joints:
        state, ts = advance(state, jnp.array(joint))
        rewards.append(float(ts.reward))
    return state, ts, rewards


def duration(advance, state, agent, action, others, until=lambda state, ts, agent: bool(ts.ended[agent])):
    """Steps until the macro-action ends (or `until`), all other agents choosing from `others`."""
    for step in range(1, 60):
        joint = list(others)
        joint[agent] = action
        state, ts = advance(state, jnp.array(joint))
        if until(state, ts, agent):
            return step
    raise AssertionError("it never ended")


def arrives(state, ts, agent):
    return int(state.physics.mobiles.place[agent]) >= 0


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
    assert duration(advance, situation(env, [0, 0, 0]), 0, env.tool_room, away) == 4 + 1
    assert duration(advance, situation(env, [env.tool_room, 0, 0]), 0, env.tool_room, away) == 1
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
    assert duration(advance, situation(env, [0, 0]), 0, env.tool_room, [0, 0, 0]) == 4


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
    state = situation(env, [0, env.tool_room], basket=[(0,), ()], left=[left, *others])
    state, ts, rewards = steps(advance, state, (0, env.tool_room, 0))
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
    for at, action in ((0, 1), (env.tool_room, 0), (0, env.get_tool)):
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
    assert steps(advance, state, *[(env.tool_room, 0, 1)] * 4)[2][-1] == -11


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
    seen_at = {env.tool_room: True, env.get_tool: True, 0: False, None: bool(suffix)}  # None: on the way, inside
    for staged, bits in (((), (0, 0)), ((1,), (1, 0)), ((1, 2), (0, 1))):
        for place, seen in seen_at.items():
            obs = env.observe(situation(env, [place, 0], staged=staged).physics)[0, -2:]
            assert obs.tolist() == list(bits if seen else (0, 0))
    outside = situation(env, [None, 0], staged=(1,)).physics
    outside = outside.replace(mobiles=outside.mobiles.replace(x=jnp.array([3.6, 6.0])))
    assert env.observe(outside)[0, -2:].tolist() == [0, 0]


def test_q8_state_is_scaled_by_7_and_5():
    env, _ = jitted("Warehouse-T")
    state = env.global_state(situation(env, [1, env.tool_room]).physics)
    np.testing.assert_allclose(state[:6], [8 / 7, 3 / 5, 3 / 7, 0.5, 0.9 / 7, 0.5], atol=1e-6)


# -- properties of random episodes


@functools.cache
def random_episodes(env_id, episodes=48, length=150):
    env = envs.make(env_id)
    rng = np.random.default_rng(5)
    draws = rng.random((episodes, length, env.num_agents))
    actions = (draws * np.array(env.num_actions)).astype(np.int32)
    # Half of the robots' choices follow a useful round, so that tools do get delivered.
    useful = np.where(rng.random(draws.shape) < 0.5, env.get_tool, rng.integers(0, env.num_humans, draws.shape))
    useful[..., -1] = actions[..., -1]
    actions = np.where(rng.random((episodes, 1, 1)) < 0.5, useful, actions)
    run = player(env)
    return run, actions, *run(actions)


@pytest.mark.parametrize("env_id", ["Warehouse-D", "Warehouse-Q", "Warehouse-T1-primitive"])
def test_random_episodes(env_id):
    env = envs.make(env_id)
    _, _, states, ts = random_episodes(env_id)
    mobiles, manipulator, humans = states.physics.mobiles, states.physics.manipulator, states.physics.humans
    in_baskets = mobiles.basket.sum(axis=-2)
    staged = (manipulator.staged[..., None] == np.arange(env.num_tools)).sum(axis=-2)
    # A human in phase p has had the tools 0 to p - 1, and tool p if it has got it.
    had = humans.phase + (humans.got & (humans.phase < 3))
    delivered = (had[..., None] > np.arange(env.num_tools)).sum(axis=-2)
    assert delivered.any() or "primitive" in env_id
    np.testing.assert_array_equal(manipulator.found, in_baskets + staged + delivered)
    assert (manipulator.found <= np.array(env.layout.stock)).all() and (mobiles.basket >= 0).all()
    assert (manipulator.staged[..., 0] >= 0)[manipulator.staged[..., 1] >= 0].all()  # no gap in the queue
    places, phases = ts.obs[..., :-1, : env.num_humans + 3], ts.obs[..., :-1, env.num_humans + 3 :]
    phases = phases[..., : 4 * env.num_humans]
    on_the_way = (mobiles.place < 0) & (ts.time[..., None] > 0) & ("primitive" not in env_id)
    assert (places.sum(-1) == ~on_the_way).all() and (phases.sum(-1) == places[..., : env.num_humans].sum(-1)).all()
    assert ts.obs.min() >= 0 and ts.obs.max() <= env.num_humans and set(np.unique(phases)) <= {0, 1}
    assert ts.state.min() >= -1 and ts.state[..., : 2 * env.num_agents].max() <= 8 / 7 + 1e-6
    sums = {
        -1 - 10 * f + 100 * d - 20 * n for f in (0, 1) for d in range(env.num_mobiles + 1) for n in range(d + 1)
    }
    assert set(np.unique(ts.reward[:, 1:])) <= sums and {-1, -11} <= set(np.unique(ts.reward))
    np.testing.assert_allclose(
        (ts.reward > 50).sum(1), (np.diff(delivered.sum(-1), axis=1) > 0).sum(1)
    )  # paid in the steps of the deliveries


def test_parallel_environments_do_not_mix():
    run, actions, states, ts = random_episodes("Warehouse-D")
    order = np.random.default_rng(0).permutation(len(actions))
    permuted = run(actions[order])
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[order], b), (states, ts), permuted)


# -- plans and what they prove


def play(env_id, **options):
    """Return and length of an episode under the environment's script."""
    env, advance = jitted(env_id, **options)
    script, made = env.script(), [0] * env.num_agents
    state, ts = env.reset(jax.random.key(0))
    while not (ts.terminal | ts.truncated):
        assert not env.success(state.physics)
        for i in np.flatnonzero(ts.ended):
            made[i] += 1
        joint = [row[min(max(k - 1, 0), len(row) - 1)] for row, k in zip(script, made, strict=True)]
        state, ts = advance(state, jnp.array(joint))
    assert env.success(state.physics)
    return float(state.episode_return), int(state.time)


BEST = {"S": (259, 41), "D": (533, 67), "D1": (533, 67), "T": (803, 97), "T1": (803, 97), "Q": (1053, 127)}


@pytest.mark.parametrize("variant", BEST)
def test_scripts_attain_the_upper_bound(variant):
    env, _ = jitted(f"Warehouse-{variant}")
    assert play(env.name) == BEST[variant]
    assert env.best_known_return == env.optimal_return == BEST[variant][0]


def test_primitive_script():
    assert play("Warehouse-S-primitive") == BEST["S"]
    assert jitted("Warehouse-S-primitive")[0].optimal_return == 259


@pytest.mark.parametrize(
    ("variant", "options"),
    [
        ("S", {"mobile_speed": 0.6}),
        ("D", {"late_penalty": -10.0}),
        ("D1", {"human_speeds": [[20] * 4] * 2}),
        ("Q", {"horizon": 126}),
        ("S-primitive", {"primitive": "collapsed"}),
    ],
)
def test_no_script_for_other_options(variant, options):
    env = envs.make(f"Warehouse-{variant}", **options)
    assert env.script() is env.best_known_return is env.optimal_return is None


def test_upper_bound():
    def bound(speeds=None, name="D", late=-20.0, horizon=150):
        layout = LAYOUTS[name]
        return upper_bound(layout, np.array(speeds or layout.phase_times), 0.8, late, horizon)

    assert bound() == 600 - 67  # six tools in ten steps each, seven steps to the humans
    assert bound([[30, 40, 20, 20], [20, 20, 20, 20]]) == 600 - 71  # a human's first two phases
    assert bound([[17, 17, 9, 9], [27, 9, 9, 9]]) == 600 - 67
    assert bound([[26, 9, 9, 9], [26, 9, 9, 9]]) == 600 - 20 - 67  # passes at 10 and 20, deliveries at 17 and 27
    assert bound([[16, 9, 9, 9], [16, 9, 9, 9]], late=-30) == 600 - 60 - 67
    assert bound([[16, 9, 9, 9], [16, 9, 9, 9]], late=-300) == 500 - 150  # better to give up a delivery
    # In S, where a delivery is late one step later: pass at 10, delivery at 16.
    assert bound([[15, 9, 9, 9]], name="S") == 300 - 36
    assert bound([[14, 9, 9, 9]], name="S") == 300 - 20 - 36


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


def test_pictures_show_what_changes():
    env, _ = jitted("Warehouse-D")
    plain = {"at": [env.tool_room, 0], "basket": [(1,), ()], "staged": (2,), "left": [9, 9], "got": [False, False]}
    changes = {
        "a robot": {"at": [env.get_tool, 0]},
        "a basket": {"basket": [(1, 1), ()]},
        "the staging area": {"staged": (2, 0)},
        "a phase": {"phase": [1, 0]},
        "its progress": {"left": [4, 9]},
        "a late tool": {"left": [-2, 9]},
        "a delivered tool": {"got": [True, False]},
    }
    image = frame(env, situation(env, **plain))
    assert np.array_equal(frame(env, situation(env, **plain)), image)
    for what, change in changes.items():
        assert (frame(env, situation(env, **{**plain, **change})) != image).any(), what
    state = situation(env, **plain)
    arm = state.physics.manipulator.replace(left=jnp.int32(3), macro=jnp.int32(3))
    assert (frame(env, state.replace(physics=state.physics.replace(manipulator=arm))) != image).any()


# -- options and warehouses as data


def test_presets():
    limits = {"S": 150, "D": 200, "D1": 200, "T": 250, "T1": 250, "Q": 300}
    for variant, horizon in limits.items():
        env = envs.make(f"Warehouse-{variant}", preset="neurips22")
        assert (env.horizon, env.horizon_is_terminal) == (horizon, variant == "Q")
        assert envs.make(f"Warehouse-{variant}").horizon == 150


def test_penalty_and_speeds_are_options():
    speeds = ((9, 8, 7, 6), (5, 4, 3, 2))
    env, advance = jitted("Warehouse-D", late_penalty=-50.0, human_speeds=speeds, mobile_speed=1.0)
    state, _ = env.begin(env.initial_physics(None))
    assert state.physics.humans.left.tolist() == [9, 5]
    assert duration(advance, state, 0, 0, [0, 0, 0]) == 4  # 3.04 m
    state, _, rewards = steps(advance, situation(env, [0, 1], basket=[(0,), (0,)], left=[0, 1]), (0, 1, 0))
    assert rewards == [-1 + 50 + 100] and state.physics.humans.left.tolist() == [8, 4]


def layout(**changes):
    parts = {
        "work_areas": [(6.0, 3.0), (6.0, 1.0)],
        "phase_times": [(20, 20, 20)] * 2,
        "tool_room": (3.0, 2.5),
        "table_points": [(1.0, 3.0)],
        "robots": [(3.0, 1.0)],
        "manipulator": (1.0, 2.0),
        "room_border": 4.0,
        "tools": ("hammer", "saw"),
    }
    return Layout(**{**parts, **changes})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"phase_times": [(20, 20, 20)] * 3}, ["phase_times", "3 rows", "2 humans", "work_areas"]),
        ({"work_areas": [(6.0, 3.0), None]}, ["work_areas", "None", "(x, y)"]),
        ({"work_areas": []}, ["work_areas", "human"]),
        ({"work_areas": "near"}, ["work_areas", "'near'", "sequence"]),
        ({"robots": []}, ["robots", "mobile robot"]),
        ({"table_points": [(1.0, 3.0)] * 2}, ["table_points", "2 places", "1 robots"]),
        ({"tool_room": (3.0,)}, ["tool_room", "(3.0,)", "two finite numbers"]),
        ({"manipulator": (float("inf"), 0)}, ["manipulator", "inf", "finite"]),
        ({"room_border": None}, ["room_border", "None", "number"]),
        ({"tools": ("hammer", "saw", "drill")}, ["tools", "'drill'", "no human needs"]),
        ({"tools": ("hammer",)}, ["needs", "1", "0 to 0"]),
        ({"tools": ()}, ["tools", "one name or more"]),
        ({"needs": [(0, 1)]}, ["needs", "1 rows", "each human"]),
        ({"needs": [(0, 1), (1,)]}, ["needs", "(1,)", "human 1", "2 tools"]),
        ({"needs": [(0, 1), (0, 2)]}, ["needs", "2", "tool", "0 to 1"]),
        ({"phase_times": [(20, 20, 20), (20, 0, 20)]}, ["phase_times", "0", "from 1"]),
        ({"phase_times": [(20, 20, 20), (20, -5, 20)]}, ["phase_times", "-5", "from 1"]),
        ({"phase_times": [(20, 20, 20), (20, 20)]}, ["phase_times", "[20, 20]", "3 phase times"]),
        ({"phase_times": [20, 20]}, ["phase_times", "20", "sequence"]),
        ({"get_tool_wait": 0}, ["get_tool_wait", "0", "from 1"]),
        ({"early_pass": (1,)}, ["early_pass", "1", "mobile robot"]),
    ],
)
def test_layouts_that_do_not_fit(changes, words):
    with pytest.raises(ValueError) as error:
        layout(**changes)
    assert "\n" not in str(error.value)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("env_id", "options", "words"),
    [
        ("Warehouse-E", {}, ["Warehouse-E", "Warehouse-"]),
        ("Warehouse-D", {"preset": "corl19"}, ["preset", "corl19", "neurips22"]),
        ("Warehouse-D", {"mobile_speed": 0.0}, ["mobile_speed", "0.0", "0.01"]),
        ("Warehouse-D", {"mobile_speed": -1.0}, ["mobile_speed", "-1.0"]),
        ("Warehouse-D", {"human_speeds": [[20] * 4]}, ["human_speeds", "1 rows", "2 humans"]),
        ("Warehouse-D", {"human_speeds": [[20] * 4, [20] * 3]}, ["human_speeds", "4 phase times"]),
        ("Warehouse-D", {"human_speeds": [[20] * 4, [20, 20, 20, -1]]}, ["human_speeds", "-1", "from 1"]),
        ("Warehouse-D", {"human_speeds": 20}, ["human_speeds", "20", "sequence"]),
        ("Warehouse-D", {"primitive": "collapsed"}, ["primitive", "horizon"]),
        ("Warehouse-D-primitive", {"primitive": "fast"}, ["primitive", "'fast'", "'interruptible', 'collapsed'"]),
    ],
)
def test_bad_options(env_id, options, words):
    with pytest.raises(ValueError) as error:
        envs.make(env_id, **options)
    assert "\n" not in str(error.value)
    for word in words:
        assert word in str(error.value)


def test_warehouse_wants_a_layout():
    for build in (Warehouse, PrimitiveWarehouse):
        with pytest.raises(ValueError, match="layout is 'D', but must be a Layout"):
            build("D")


def test_humans_may_need_other_tools_in_another_order():
    env, advance = compiled(Warehouse(layout(needs=[(1, 0), (1, 1)])))
    assert env.layout.stock == (1, 3) and env.script() is None
    state = situation(env, [0], basket=[(0,)])
    assert steps(advance, state, (0, 0))[2] == [-1]
    assert steps(advance, situation(env, [0], basket=[(1,)]), (0, 0))[2] == [99]
    assert steps(advance, situation(env, [0], basket=[(0,)], phase=[1, 0]), (0, 0))[2] == [99]
    last = situation(env, [1], basket=[(1,)], phase=[2, 1], got=[True, False], served=[True, False])
    _, ts, rewards = steps(advance, last, (1, 0))
    assert rewards == [99] and ts.terminal


def test_the_example_of_the_docs_runs():
    text = (Path(__file__).parents[1] / "docs" / "environments" / "warehouse.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert len(blocks) == 1
    scope = {}
    exec(compile(blocks[0], "warehouse.md", "exec"), scope)
    assert isinstance(scope["env"].layout, Layout) and scope["env"].layout.name == "workshop"
    assert float(scope["state"].episode_return) == 80


def test_a_fresh_observation_names_no_place_between_waypoints():
    """Macro-actions: nothing on the way, "nowhere" at reset only. Primitive actions: "nowhere" on the way."""
    for suffix, nowhere in (("", 0), ("-primitive", 1)):
        env = envs.make(f"Warehouse-S{suffix}")
        state, ts = env.reset(jax.random.key(0))
        assert ts.obs[:2, :4].tolist() == [[0, 0, 0, 1]] * 2
        state, ts = env.advance(state, jnp.array([0, 1, 3]), ())  # five steps to the work area, two to the room
        assert ts.obs[:2, :4].tolist() == [[0, 0, 0, nowhere]] * 2
        state, ts = env.advance(state, jnp.array([0, 1, 3]), ())
        assert ts.obs[:2, :4].tolist() == [[0, 0, 0, nowhere], [0, 1, 0, 0]]
