"""Box Pushing against the recordings of the reference, and the quirks of its specification one by one."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.selection import slow_except

from jaxmac import envs
from jaxmac.envs.box_pushing.layout import DOWN, LEFT, PUSH, RIGHT, UP
from jaxmac.envs.box_pushing.state import Physics, Robots

STAY, TURN_LEFT, TURN_RIGHT = 7, 5, 6
RECORDINGS = ["4", "6", "8", "10", "14", "20", "30", "10_n3", "corl19_10", "prim_10"]
QUICK = ["10_n3", "corl19_10", "prim_10"]  # three robots, Euclidean go-to, primitive; the others differ in size
ROOMS = [(size, n, version) for size in (4, 6, 10, 30) for n in (2, 3) for version in ("", "-primitive")]
FEW_ROOMS = [(4, 3, ""), (6, 2, "-primitive"), (10, 3, "")]


def recorded(name, meta):
    """The environment a recording was made with."""
    kwargs, options = meta["kwargs"], {"horizon": meta["time_limit"]}
    if "corl19" in name:
        options["preset"] = "corl19"
    else:
        options |= {k: kwargs[k] for k in ("big_box_reward", "small_box_reward", "penalty", "random_init")}
        options["num_agents"] = kwargs["n_agent"]
    return envs.make(f"BoxPushing-{kwargs['grid_dim'][0]}" + "-primitive" * ("prim" in name), **options)


@pytest.mark.parametrize("name", slow_except(QUICK, RECORDINGS))
def test_replays_the_reference(name, golden):
    data, meta = golden(f"box_pushing_{name}")
    env = recorded(name, meta)

    def episode(actions):
        def body(carry, joint):
            carry = env.advance(carry[0], joint, ())
            return carry, carry

        first = env.reset(jax.random.key(0))
        _, rest = jax.lax.scan(body, first, actions)
        return jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), first, rest)

    run = jax.jit(jax.vmap(episode))
    states, ts = jax.device_get(run(jnp.array(data["actions"])))
    steps = data["mask"]
    rows = np.concatenate([np.ones_like(steps[:, :1]), steps], axis=1)
    assert steps.sum() > 100
    robots = states.physics.robots
    cells = np.stack([robots.x, robots.y, robots.heading], axis=-1)
    np.testing.assert_array_equal(ts.macro_obs[rows], data["obs"][rows])
    np.testing.assert_array_equal(ts.ended[:, 1:][steps], data["mac_done"][steps])
    np.testing.assert_array_equal(ts.terminal[:, 1:][steps], data["done"][steps])
    np.testing.assert_array_equal(cells[rows], data["agent_cell"][rows])
    np.testing.assert_array_equal(states.physics.rows[rows], data["box_row"][rows])
    np.testing.assert_allclose(ts.reward[:, 1:][steps], data["reward"][steps], atol=1e-4)
    if "corl19" in name:
        assert not ts.truncated.any()
    else:
        np.testing.assert_array_equal(ts.truncated[:, 1:][steps], data["truncated"][steps])
        np.testing.assert_allclose(ts.state[rows], data["state"][rows], atol=1e-6)


@functools.cache
def jitted(env_id, **options):
    env = envs.make(env_id, **options)
    env.reset, env.begin = jax.jit(env.reset), jax.jit(env.begin)
    return env, jax.jit(lambda *args: env.advance(*args, ()))


def place(env, robots, rows=None, waypoints=None, ended=None):
    """State with robots given as (column, row, heading), all free to choose unless `ended` says otherwise."""
    x, y, heading = np.array(robots, np.int32).T
    half = env.size // 2
    waypoints = np.array(waypoints or [-1] * len(robots), np.int32)
    joint, rows = np.zeros(len(robots), bool), np.array(rows or [half] * 3, np.int32)
    physics = jax.device_put(Physics(Robots(x, y, heading, waypoints, joint), rows))
    state, _ = env.begin(physics)
    return state if ended is None else state.replace(ended=jnp.array(ended))


def poses(state):
    robots = state.physics.robots
    return [tuple(map(int, pose)) for pose in zip(robots.x, robots.y, robots.heading, strict=True)]


AWAY = (9, 0, UP)  # a robot that stays out of the way on the 10-grid


def one(robot, action, rows=None, env_id="BoxPushing-10", other=AWAY, stay=STAY, **options):
    """One step of robot 0: its pose, whether its macro-action ended, penalties, and the box rows."""
    env, advance = jitted(env_id, **options)
    state, ts = advance(place(env, [robot, other], rows), jnp.array([action, stay]))
    fines = round((float(ts.reward) - env.step_reward) / env.penalty, 3) if not ts.terminal else None
    return poses(state)[0], bool(ts.ended[0]), fines, state.physics.rows.tolist()


def test_go_to_prefers_its_heading_then_the_lowest_direction():
    # Waypoint 2 of the 10-grid is (4, 4). From (2, 2) up and right are equally near: the heading decides.
    assert one((2, 2, UP), 2)[0] == (2, 3, UP)
    assert one((2, 2, RIGHT), 2)[0] == (3, 2, RIGHT)
    # Facing down, right is a quarter turn and up an opposite one: turn right.
    assert one((2, 2, DOWN), 2)[0] == (2, 2, RIGHT)
    # Facing left (waypoint to the upper right): up needs a quarter turn, right an opposite one.
    assert one((2, 2, LEFT), 2)[0] == (2, 2, UP)
    # Tie of distance and turn: facing down above the box row at (4, 8), where down is free, then at (4, 6), where
    # down is blocked, right and left are equal quarter turns: the lower index, right, wins.
    assert one((4, 8, DOWN), 2)[0] == (4, 7, DOWN)
    assert one((4, 6, DOWN), 2)[0] == (4, 6, RIGHT)
    # An opposite turn goes clockwise through (heading + 1).
    assert one((4, 2, DOWN), 2)[0] == (4, 2, LEFT)


def test_q5_go_to_on_its_waypoint_snaps_up_and_sideways_arrival_costs_a_step():
    assert one((4, 4, DOWN), 2) == ((4, 4, UP), True, 0, [5, 5, 5])
    assert one((3, 4, RIGHT), 2)[:2] == ((4, 4, RIGHT), False)
    assert one((4, 3, UP), 2)[:2] == ((4, 4, UP), True)


def test_euclidean_distance_changes_the_path():
    # From (1, 1) to (4, 4) facing right both distances go right; from (2, 1) the Euclidean one turns up.
    assert one((2, 1, RIGHT), 2)[0] == (3, 1, RIGHT)
    assert one((2, 1, RIGHT), 2, distance="euclidean")[0] == (2, 1, UP)


def test_q3_obstacles_follow_small_box_0():
    # Robot at (4, 8) facing down, going to (4, 4): the big box at row 5 blocks only while small box 0 is there.
    assert one((4, 6, DOWN), 2, rows=[5, 5, 5])[0] == (4, 6, RIGHT)
    assert one((4, 6, DOWN), 2, rows=[7, 5, 5])[0] == (4, 5, DOWN)
    assert one((4, 8, DOWN), 2, rows=[7, 5, 5])[0] == (4, 8, RIGHT)
    # Small box 1 or the big box elsewhere makes no difference.
    assert one((4, 6, DOWN), 2, rows=[5, 7, 7])[0] == (4, 6, RIGHT)


def test_q2_go_to_may_leave_the_grid():
    # 6-grid, robot in the column of small box 0 just above it, facing the border: down is blocked, and of the two
    # ways around, straight on and out is cheaper than turning.
    pose = one((0, 4, LEFT), 0, env_id="BoxPushing-6", other=(3, 0, UP))[0]
    assert pose == (-1, 4, LEFT)


def test_solo_push():
    assert one((3, 9, UP), PUSH) == ((3, 9, UP), True, 1, [5, 5, 5])  # at the border already: penalty
    assert one((3, 8, UP), PUSH) == ((3, 9, UP), True, 0, [5, 5, 5])  # reaching it is free
    assert one((3, 7, UP), PUSH) == ((3, 8, UP), False, 0, [5, 5, 5])
    assert one((1, 4, UP), PUSH) == ((1, 5, UP), False, 0, [6, 5, 5])  # a small box moves along
    assert one((0, 5, RIGHT), PUSH) == ((0, 5, RIGHT), True, 1, [5, 5, 5])  # sideways
    assert one((1, 6, DOWN), PUSH) == ((1, 6, DOWN), True, 1, [5, 5, 5])  # from above
    assert one((4, 4, UP), PUSH) == ((4, 4, UP), True, 1, [5, 5, 5])  # the big box alone
    assert one((5, 12, UP), PUSH) == ((5, 13, UP), False, 0, [5, 5, 5])  # outside there is no border
    assert one((1, 7, UP), PUSH, rows=[8, 5, 5])[1:] == (True, None, [9, 5, 5])  # home


def test_two_offenders_pay_twice():
    env, advance = jitted("BoxPushing-10")
    _, ts = advance(place(env, [(3, 9, UP), (6, 9, UP)]), jnp.array([PUSH, PUSH]))
    assert float(ts.reward) == pytest.approx(-20.1)


def test_both_small_boxes_pay_together():
    env, advance = jitted("BoxPushing-10")
    _, ts = advance(place(env, [(1, 7, UP), (8, 7, UP)], [8, 8, 5]), jnp.array([PUSH, PUSH]))
    assert ts.terminal and float(ts.reward) == pytest.approx(19.9)


def test_q4_thrown_back_twice():
    # 4-grid: a robot inside the big box's left half pushes right, enters the right half: thrown back once by the
    # big box only. Inside small box 1's neighbour: entering (1, 2) leftwards from (2, 2) likewise.
    kwargs = {"env_id": "BoxPushing-4", "other": (3, 0, UP)}
    assert one((1, 2, RIGHT), PUSH, **kwargs) == ((1, 2, RIGHT), True, 1, [2, 2, 2])
    # Inside the big box, pushing left into small box 0: thrown back onto the big box, and back once more.
    assert one((1, 2, LEFT), PUSH, **kwargs) == ((2, 2, LEFT), True, 2, [2, 2, 2])
    # The mirror image: small box 1 comes before the big box in the order too.
    assert one((2, 2, RIGHT), PUSH, **kwargs) == ((1, 2, RIGHT), True, 2, [2, 2, 2])


def joint(waypoints, actions=(PUSH, PUSH), robots=((4, 4, UP), (5, 4, UP)), ended=None, env_id="BoxPushing-10"):
    env, advance = jitted(env_id, num_agents=len(robots))
    state, _ = advance(place(env, list(robots), waypoints=waypoints, ended=ended), jnp.array(actions))
    return state


def test_joint_push_needs_both_spots_both_headings_and_the_same_start():
    assert joint([2, 3]).physics.rows.tolist() == [5, 5, 6]
    assert joint([3, 2]).physics.rows.tolist() == [5, 5, 6]
    for waypoints in ([2, 2], [2, -1], [0, 3]):
        assert joint(waypoints).physics.rows.tolist() == [5, 5, 5]
    assert joint([2, 3], actions=(PUSH, STAY)).physics.rows.tolist() == [5, 5, 5]
    assert joint([2, 3], robots=((4, 4, UP), (6, 4, LEFT))).physics.rows.tolist() == [5, 5, 5]
    state = place(jitted("BoxPushing-10")[0], [(4, 1, UP), (5, 4, UP)], waypoints=[2, 3], ended=[False, True])
    state = state.replace(macro_action=jnp.array([PUSH, STAY], jnp.int32))
    state, _ = jitted("BoxPushing-10")[1](state, jnp.array([PUSH, PUSH]))  # robot 0 has been pushing already
    assert state.physics.rows.tolist() == [5, 5, 5] and not state.physics.robots.joint.any()


def test_q1_joint_push_by_memory_and_q2_leaving_the_grid():
    env, advance = jitted("BoxPushing-10")
    state = place(env, [(0, 8, UP), (7, 2, UP)], waypoints=[2, 3])
    for step in range(1, 5):
        state, ts = advance(state, jnp.array([PUSH, PUSH] if step == 1 else [STAY, TURN_LEFT]))
        assert poses(state) == [(0, 8 + step, UP), (7, 2 + step, UP)]
        assert state.physics.rows.tolist() == [5, 5, 5 + step]
        assert ts.macro_action.tolist() == [PUSH, PUSH]
        assert ts.ended.tolist() == [step == 4] * 2
    assert ts.terminal and float(ts.reward) == pytest.approx(99.9)
    assert float(ts.state[1]) == pytest.approx(1.25)


def test_q7_three_joint_pushers_lift_the_box_by_one():
    state = joint([2, 3, 2], actions=(PUSH,) * 3, robots=((4, 4, UP), (5, 4, UP), (4, 4, UP)))
    assert state.physics.robots.joint.all() and state.physics.rows.tolist() == [5, 5, 6]


@pytest.mark.parametrize(("num_agents", "size"), [(2, 4), (3, 4), (3, 10)])
def test_q8_reset_observation_is_empty(num_agents, size):
    env = envs.make(f"BoxPushing-{size}", num_agents=num_agents)
    _, ts = env.initial([[0, 0]] * num_agents, [LEFT] * num_agents)  # facing the wall
    expected = np.tile([0, 0, 1, 0, 0], (num_agents, 1))
    if (num_agents, size) == (3, 4):
        expected[0] = [0, 0, 0, 0, 1]
    np.testing.assert_array_equal(ts.macro_obs, expected)


def test_observation_bits():
    env, _ = jitted("BoxPushing-10")

    def bits(robot, other, rows=None):
        return env.observe(place(env, [robot, other], rows).physics)[0].astype(int).tolist()

    assert bits((1, 4, UP), AWAY) == [1, 0, 0, 0, 0]
    assert bits((5, 4, UP), AWAY) == [0, 1, 0, 0, 0]
    assert bits((5, 4, DOWN), AWAY) == [0, 0, 1, 0, 0]
    assert bits((0, 4, LEFT), AWAY) == [0, 0, 0, 1, 0]
    assert bits((3, 3, RIGHT), (4, 3, UP)) == [0, 0, 0, 0, 1]
    assert bits((8, 4, UP), (8, 5, UP)) == [1, 0, 0, 0, 1]
    assert bits((3, 3, RIGHT), (3, 3, UP)) == [0, 0, 1, 0, 0]  # robots in one cell do not see each other


# -- primitive actions


@pytest.mark.parametrize("sticky", [True, False])
def test_p1_sticky_joint_push(sticky):
    env, advance = jitted("BoxPushing-10-primitive", sticky_joint=sticky)
    state = place(env, [(4, 4, UP), (5, 4, UP)])
    state, _ = advance(state, jnp.array([0, 0]))
    assert poses(state) == [(4, 5, UP), (5, 5, UP)] and state.physics.rows.tolist() == [5, 5, 6]
    state, ts = advance(state, jnp.array([3, 1]))
    assert ts.macro_action.tolist() == [3, 1] and state.physics.rows.tolist() == [5, 5, 6]
    assert poses(state) == ([(4, 6, UP), (5, 6, UP)] if sticky else [(4, 5, UP), (5, 5, LEFT)])


def test_p2_bumping_the_wall_inside_a_box_pays_twice():
    primitive = {"env_id": "BoxPushing-6-primitive", "other": (3, 0, UP), "stay": 3}
    assert one((0, 2, LEFT), 0, **primitive)[::2] == ((0, 2, LEFT), 1)
    assert one((0, 3, LEFT), 0, **primitive)[::2] == ((1, 3, LEFT), 2)


def test_primitive_joint_push_needs_the_real_places():
    env, advance = jitted("BoxPushing-10-primitive")
    for robots, lifted in (([(5, 4, UP), (4, 4, UP)], 1), ([(4, 3, UP), (5, 4, UP)], 0), ([(4, 4, UP)] * 2, 0)):
        state, _ = advance(place(env, robots), jnp.array([0, 0]))
        assert state.physics.rows.tolist() == [5, 5, 5 + lifted]


def test_primitive_reset_observation_is_real():
    _, ts = envs.make("BoxPushing-10-primitive").initial([[0, 0], [5, 4]], [LEFT, UP])
    assert ts.macro_obs.tolist() == [[0, 0, 0, 1, 0], [0, 1, 0, 0, 0]]


# -- options, presets, optimum


def plan_return(env, plan):
    """Undiscounted return of fixed macro-action sequences, one per robot; each entry runs until it ends."""
    advance = jax.jit(lambda *args: env.advance(*args, ()))
    state, ts = env.reset(jax.random.key(0))
    left = [list(sequence) for sequence in plan]
    while not (ts.terminal | ts.truncated):
        joint_action = [left[i].pop(0) if ts.ended[i] else 0 for i in range(env.num_agents)]
        state, ts = advance(state, jnp.array(joint_action))
    return float(state.episode_return), int(state.time)


@pytest.mark.parametrize(("size", "best", "steps"), [(4, 99.6, 4), (6, 99.4, 6), (8, 99.2, 8), (10, 98.9, 11)])
def test_optimum_is_attained(size, best, steps):
    env = envs.make(f"BoxPushing-{size}")
    assert env.optimal_return == pytest.approx(best)
    assert plan_return(env, [(2, PUSH), (3, PUSH)]) == (pytest.approx(best, abs=1e-4), steps)


@pytest.mark.parametrize(("size", "num_agents", "version"), slow_except(FEW_ROOMS, ROOMS))
def test_where_two_small_boxes_earn_more_the_script_pushes_them(size, num_agents, version):
    env = envs.make(f"BoxPushing-{size}{version}", big_box_reward=5.0, num_agents=num_agents)
    earned, steps = plan_return(env, [list(plan) + [plan[-1]] * env.horizon for plan in env.script()])
    assert earned == pytest.approx(env.optimal_return, abs=1e-4) and steps == (3 if size == 4 else size - 2)


def test_optimum_of_presets():
    assert envs.make("BoxPushing-10", preset="neurips22", num_agents=3).optimal_return == pytest.approx(318.9)
    assert envs.make("BoxPushing-20").optimal_return == pytest.approx(97.4)
    corl19 = envs.make("BoxPushing-14", preset="corl19")
    assert corl19.optimal_return == pytest.approx(98.1)
    assert plan_return(corl19, [(0, 2, PUSH), (1, 3, PUSH)])[0] == pytest.approx(98.1, abs=1e-4)
    assert envs.make("BoxPushing-10", random_init=True).optimal_return is None
    assert envs.make("BoxPushing-30", horizon=40).optimal_return is None


def test_presets_and_what_overrides_them():
    env = envs.make("BoxPushing-10", preset="neurips22")
    assert [env.options[k] for k in ("big_box_reward", "small_box_reward", "penalty")] == [300, 20, -10]
    env = envs.make("BoxPushing-10", preset="corl19", penalty=-7, horizon=50)
    assert (env.options["penalty"], env.options["distance"], env.horizon) == (-7, "euclidean", 50)
    assert env.horizon_is_terminal
    env = envs.make("BoxPushing-10-primitive", preset="corl19")
    assert (env.horizon, env.options["sticky_joint"], env.options["penalty"]) == (100, False, -5)


def test_rewards_are_options():
    env = envs.make("BoxPushing-4", big_box_reward=7.0, step_reward=-1.0, penalty=-3.0)
    assert plan_return(env, [(2, PUSH), (3, PUSH)])[0] == pytest.approx(3.0)
    _, ts = env.advance(place(env, [(3, 3, UP), (0, 0, UP)]), jnp.array([PUSH, STAY]), ())
    assert float(ts.reward) == -4.0


def test_every_even_size_exists_and_starts_as_specified():
    for size in range(4, 31, 2):
        env = envs.make(f"BoxPushing-{size}", num_agents=3)
        margin, row = int(size >= 8), int(size > 4)
        start = env.initial_physics(jax.random.key(0)).robots
        cells = [(margin, row, RIGHT), (size - 1 - margin, row, LEFT), (size // 2 - 1, row, UP)]
        assert list(zip(start.x.tolist(), start.y.tolist(), start.heading.tolist(), strict=True)) == cells


def test_random_init_is_uniform_below_the_waypoints():
    env = envs.make("BoxPushing-6", num_agents=3, random_init=True)
    keys = jax.random.split(jax.random.key(1), 4096)
    robots = jax.device_get(jax.jit(jax.vmap(env.initial_physics))(keys)).robots
    for i in (0, 1):
        for values, n in ((robots.x, 6), (robots.y, 2), (robots.heading, 4)):
            counts = np.bincount(values[:, i], minlength=n)
            assert len(counts) == n
            np.testing.assert_allclose(counts / 4096, 1 / n, atol=0.035)
    for a, b in ((robots.x, robots.y), (robots.x, robots.heading)):
        assert abs(np.corrcoef(a[:, 0], b[:, 0])[0, 1]) < 0.07
    assert abs(np.corrcoef(robots.x[:, 0], robots.x[:, 1])[0, 1]) < 0.07
    assert (robots.x[:, 2] == 2).all() and (robots.y[:, 2] == 1).all() and (robots.heading[:, 2] == UP).all()
