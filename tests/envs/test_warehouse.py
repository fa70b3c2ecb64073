"""Warehouse against the recordings of the reference; properties of random play, plans, options, pictures."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.selection import slow_except
from support.warehouse_play import RECORDINGS, compiled, duration, jitted, player, recorded, situation, steps

from jaxmac import envs
from jaxmac.envs.rendering import frame
from jaxmac.envs.warehouse import LAYOUTS, Layout, PrimitiveWarehouse, Warehouse
from jaxmac.envs.warehouse.optimum import upper_bound

# The quirks of S, those of Q (T1's among them), primitive actions; the others differ in numbers.
QUICK = ["S", "Q", "S_prim"]


@pytest.mark.parametrize("name", slow_except(QUICK, RECORDINGS))
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


@pytest.mark.parametrize("name", slow_except(["T1"], [name for name in RECORDINGS if name != "S_prim"]))
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


@pytest.mark.parametrize(
    "env_id", slow_except(["Warehouse-Q"], [f"Warehouse-{name}" for name in ("D", "Q", "T1-primitive")])
)
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
        state, ts = advance(state, np.array(joint))
    assert env.success(state.physics)
    return float(state.episode_return), int(state.time)


BEST = {"S": (259, 41), "D": (533, 67), "D1": (533, 67), "T": (803, 97), "T1": (803, 97), "Q": (1053, 127)}


@pytest.mark.parametrize("variant", slow_except(["S", "D1", "Q"], BEST))
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


def test_pictures_show_what_changes():
    env, _ = jitted("Warehouse-D")
    plain = {"at": [env.go_to_tool_room, 0], "basket": [(1,), ()], "staged": (2,), "left": [9, 9]}
    plain["got"] = [False, False]
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
    state, _ = env.reset(jax.random.key(0))
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
        ({"phase_times": [(20, 20, 20)] * 3}, ["phase_times", "3 rows", "2 humans"]),
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
        ("Warehouse-D", {"mobile_speed": 1e8}, ["mobile_speed", "100000000.0", "at most 1000000"]),
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


def test_a_fresh_observation_names_no_place_between_waypoints():
    """Macro-actions: nothing on the way, "nowhere" at reset only. Primitive actions: "nowhere" on the way."""
    for suffix, nowhere in (("", 0), ("-primitive", 1)):
        env, advance = jitted(f"Warehouse-S{suffix}")
        state, ts = env.reset(jax.random.key(0))
        assert ts.obs[:2, :4].tolist() == [[0, 0, 0, 1]] * 2
        state, ts = advance(state, jnp.array([0, 1, 3]))  # five steps to the work area, two to the room
        assert ts.obs[:2, :4].tolist() == [[0, 0, 0, nowhere]] * 2
        state, ts = advance(state, jnp.array([0, 1, 3]))
        assert ts.obs[:2, :4].tolist() == [[0, 0, 0, nowhere], [0, 1, 0, 0]]


def test_phase_times_may_be_an_array():
    given = envs.make("Warehouse-D", human_speeds=np.full((2, 4), 25))
    assert given.options == envs.make("Warehouse-D", human_speeds=[[25] * 4] * 2).options
