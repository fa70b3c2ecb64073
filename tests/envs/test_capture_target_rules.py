"""The quirks of the Capture Target specification one by one, from made-up situations."""

import jax
import jax.numpy as jnp
import numpy as np
from support.capture_target_play import jitted, situation

from jaxmac import envs
from jaxmac.envs.capture_target.environment import MOVE_TO_TARGET, STAY
from jaxmac.envs.capture_target.noise import LEFT, RIGHT, Noise
from jaxmac.envs.capture_target.torus import EAST, NORTH, SOUTH, STILL, WEST
from jaxmac.envs.exact import LARGEST_COUNT, exact_product

# -- one step from a given situation, two agents on a 10-grid


FAR = (9, 9)  # an agent that stays out of the way


def draws(**given):
    """Noise of two agents: no slip, all see a target that stands still, unless `given` says otherwise."""
    fields = {
        "direction_priority": np.zeros((2, 5)),
        "slip": [1, 1],
        "target_direction": STILL,
        "visible": [True] * 2,
    }
    types = {"direction_priority": jnp.float32, "slip": jnp.int32, "target_direction": jnp.int32, "visible": bool}
    return Noise(**{name: jnp.array(given.get(name, value), types[name]) for name, value in fields.items()})


def step(
    agents, target, actions, visible=(True, True), last_seen=((-1, -1), (-1, -1)), env_id="CaptureTarget-2", **given
):
    env, advance = jitted(env_id)
    return advance(situation(env, agents, target, visible, last_seen), jnp.array(actions), draws(**given))


def cells(of):
    return np.stack([of.x, of.y], axis=-1).tolist()


def move(agent, target, slip=1, **kwargs):
    """Agent 0 does one step of Move-to-T: its cell, and whether it ended."""
    state, ts = step([agent, FAR], target, (MOVE_TO_TARGET, STAY), slip=[slip, LEFT], **kwargs)
    assert cells(state.physics.agents)[1] == list(FAR) and ts.ended[1]  # Stay: one step, never slips
    return tuple(cells(state.physics.agents)[0]), bool(ts.ended[0])


def test_move_to_target_reduces_the_larger_difference_first():
    assert move((2, 2), (5, 3)) == ((3, 2), False)
    assert move((2, 2), (1, 5)) == ((2, 3), False)
    assert move((5, 5), (3, 4)) == ((4, 5), False)
    assert move((5, 5), (4, 1)) == ((5, 4), False)
    assert move((4, 5), (5, 5)) == ((5, 5), True)


def test_tied_directions_go_to_the_highest_priority():
    for priority, cell in (([1, 9, 9, 2, 9], (3, 2)), ([2, 9, 9, 1, 9], (2, 3)), ([-7, 0, 0, -8, 0], (2, 3))):
        assert move((2, 2), (5, 5), direction_priority=[priority] * 2)[0] == cell
    # Untied directions never win, whatever their priority.
    assert move((2, 2), (5, 4), direction_priority=[[5, 4, 3, 1, 2]] * 2)[0] == (3, 2)


def test_the_wrap_is_used_on_the_border_only():
    assert move((0, 5), (9, 5)) == ((9, 5), True)
    assert move((9, 9), (9, 2)) == ((9, 0), False)
    assert move((1, 5), (9, 5)) == ((2, 5), False)  # two steps on the torus, but nothing is seen across the border
    assert move((0, 5), (6, 5))[0] == (9, 5)  # 3 left from there, against 5
    assert move((0, 5), (4, 5))[0] == (1, 5)
    for best, cell in ((EAST, (1, 0)), (WEST, (9, 0)), (NORTH, (0, 1)), (SOUTH, (0, 9))):  # all four are tied
        assert move((0, 0), (5, 5), direction_priority=[np.eye(5)[best]] * 2)[0] == cell


def test_slip_turns_left_or_right_and_spoils_the_arrival():
    for target, left, right in (
        ((5, 6), (4, 5), (6, 5)),
        ((5, 4), (6, 5), (4, 5)),
        ((4, 5), (5, 4), (5, 6)),
        ((6, 5), (5, 6), (5, 4)),
    ):
        assert move((5, 5), target, slip=LEFT) == (left, False)
        assert move((5, 5), target, slip=RIGHT) == (right, False)
        assert move((5, 5), target) == (target, True)
        assert move((5, 5), target, slip=-1) == (target, True)  # no draw recorded
    assert move((0, 9), (0, 2), slip=LEFT)[0] == (9, 9)  # it would wrap northwards, and wraps to the west instead
    assert move((5, 5), (5, 5), slip=LEFT) == ((5, 5), True)  # on its goal it stands still


def test_blind_move_ends_at_once():
    assert move((5, 5), (5, 8), slip=LEFT, visible=(False, True)) == ((5, 5), True)


def test_hidden_target_is_sought_where_it_was_last_seen():
    old = {"visible": (False, True), "last_seen": ((5, 8), (-1, -1))}
    assert move((5, 5), (0, 0), **old) == ((5, 6), False)
    assert move((5, 7), (0, 0), **old) == ((5, 8), True)  # the target has left
    assert move((5, 8), (0, 0), slip=LEFT, **old) == ((5, 8), True)  # the memory outlasts the arrival


def test_only_move_to_target_remembers():
    state, _ = step([(2, 2), (3, 3)], (7, 2), (MOVE_TO_TARGET, STAY), target_direction=NORTH)
    assert cells(state.physics.last_seen) == [[7, 2], [-1, -1]]  # where it was seen, not where it went
    last_seen = ((1, 1), (2, 2))
    state, _ = step([(2, 2), (3, 3)], (7, 2), (STAY, MOVE_TO_TARGET), (True, False), last_seen)
    assert cells(state.physics.last_seen) == [[1, 1], [2, 2]]  # Stay forgets nothing, a blind move keeps


def test_tracks_while_visible_and_judges_the_arrival_by_this_steps_goal():
    env, advance = jitted("CaptureTarget-2")
    state = situation(env, [(2, 5), FAR], (4, 5))
    state, ts = advance(state, jnp.array([MOVE_TO_TARGET, STAY]), draws(target_direction=SOUTH))
    assert cells(state.physics.agents)[0] == [3, 5] and not ts.ended[0]
    state, ts = advance(state, jnp.array([STAY, STAY]), draws(direction_priority=[[0, 1, 0, 0, 0]] * 2))
    assert ts.macro_action.tolist() == [MOVE_TO_TARGET, STAY]  # still running
    assert cells(state.physics.agents)[0] == [3, 4] and cells(state.physics.last_seen)[0] == [4, 4]
    state, ts = advance(state, jnp.array([STAY, STAY]), draws(target_direction=EAST, visible=[False, True]))
    assert cells(state.physics.agents)[0] == [4, 4] and ts.ended[0] and cells(state.physics.target) == [5, 4]
    np.testing.assert_array_equal(ts.macro_obs[0], np.float32([0.4, 0.4, -1, -1]))


def test_the_target_walks_on_the_torus():
    for direction, cell in ((NORTH, [0, 0]), (SOUTH, [0, 8]), (WEST, [9, 9]), (EAST, [1, 9]), (STILL, [0, 9])):
        state, ts = step([(5, 5), (5, 5)], (0, 9), (STAY, STAY), target_direction=direction)
        assert cells(state.physics.target) == cell
        assert ts.reward == 0 and not ts.terminal


def test_the_target_is_frozen_when_all_stand_on_it():
    for env_id, stay in (("CaptureTarget-2", STAY), ("CaptureTarget-2-primitive", STILL)):
        state, ts = step([(5, 5), (5, 5)], (5, 5), (stay, stay), target_direction=NORTH, env_id=env_id)
        assert cells(state.physics.target) == [5, 5] and ts.reward == 1 and ts.terminal
        state, ts = step([(5, 5), (5, 6)], (5, 5), (stay, stay), target_direction=WEST, env_id=env_id)
        assert cells(state.physics.target) == [4, 5] and ts.reward == 0 and not ts.terminal


def test_the_target_may_step_onto_the_gathered_agents():
    _, ts = step([(5, 6), (5, 6)], (5, 5), (STAY, STAY), target_direction=NORTH)
    assert ts.reward == 1 and ts.terminal


def test_capture_does_not_end_macro_actions():
    # Agent 0 passes over the target on its way to where it saw it before.
    _, ts = step([(5, 4), (5, 5)], (5, 5), (MOVE_TO_TARGET, STAY), (False, True), ((5, 8), (-1, -1)))
    assert ts.terminal and ts.reward == 1 and ts.ended.tolist() == [False, True]


def test_no_capture_at_reset_and_capture_on_the_last_step():
    for env_id, stay in (("CaptureTarget-2", STAY), ("CaptureTarget-2-primitive", STILL)):
        env, advance = jitted(env_id, horizon=1)
        state, ts = env.initial([(3, 3), (3, 3)], (3, 3), [False, True])
        assert ts.reward == 0 and not ts.terminal and ts.ended.all()
        _, ts = advance(state, jnp.array([stay, stay]), draws())
        assert ts.reward == 1 and ts.terminal and not ts.truncated
        state, _ = env.initial([(3, 3), (3, 4)], (3, 3), [False, True])
        _, ts = advance(state, jnp.array([stay, stay]), draws())
        assert ts.reward == 0 and ts.truncated and not ts.terminal


def test_observations_and_state():
    agents, target = [(1, 2), (9, 0)], (7, 3)
    _, ts = envs.make("CaptureTarget-2").initial(agents, target, [True, False])
    np.testing.assert_array_equal(ts.obs, np.float32([[0.1, 0.2, 0.7, 0.3], [0.9, 0, -1, -1]]))
    np.testing.assert_array_equal(ts.state, np.float32([0.1, 0.2, 0.9, 0, 0.7, 0.3]))
    _, primitive = envs.make("CaptureTarget-2-primitive").initial(agents, target, [True, False])
    expected = [[1 / 4.5, 2 / 4.5, 7 / 4.5, 3 / 4.5], [2, 0, -1, -1]]
    np.testing.assert_array_equal(primitive.obs, np.float32(expected))
    np.testing.assert_array_equal(primitive.state, ts.state)


def test_division_is_exact_for_all_grids():
    """Up to `LARGEST_COUNT`: Box Pushing has counts far above its size."""
    grids = (3, 7, 9, 10, 11, 22, 23, 35, 47, 100, 255, 1000, 1024)
    scaled = jax.jit(lambda k: [(exact_product(k, 1 / size), exact_product(k, 2 / (size - 1))) for size in grids])
    k = np.arange(LARGEST_COUNT + 1, dtype=np.int32)
    for size, (by_grid, by_half) in zip(grids, scaled(k), strict=True):
        np.testing.assert_array_equal(by_grid, (k / size).astype(np.float32))
        np.testing.assert_array_equal(by_half, (k / ((size - 1) / 2)).astype(np.float32))


def test_primitive_actions():
    for action, cell, left, right in (
        (NORTH, (5, 0), (4, 9), (6, 9)),
        (SOUTH, (5, 8), (6, 9), (4, 9)),
        (WEST, (4, 9), (5, 8), (5, 0)),
        (EAST, (6, 9), (5, 0), (5, 8)),
        (STILL, (5, 9), (5, 9), (5, 9)),
    ):
        for slip, expected in ((1, cell), (LEFT, left), (RIGHT, right)):
            state, ts = step(
                [(5, 9), FAR], (2, 2), (action, STILL), slip=[slip, 0], env_id="CaptureTarget-2-primitive"
            )
            assert cells(state.physics.agents) == [list(expected), list(FAR)] and ts.ended.all()
