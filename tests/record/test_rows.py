import json
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import GOLDEN
from support.records import make_episode, recorded_squeeze

from jaxmac.record.episode import discounted_return, mark
from jaxmac.record.joint_rows import MACRO_STATES, REWARD_SCHEMES, TIME_MAJOR, joint_trajectory, mac_jert
from jaxmac.record.joint_steps import mac_sjert
from jaxmac.record.own_rows import at_joint_rows
from jaxmac.record.windows import accumulate_reward, joint_row_steps, pack, window

FIG2 = json.loads((GOLDEN / "avf_fig2.json").read_text())
SQUEEZE = json.loads((GOLDEN / "value_based_squeeze.json").read_text())


def figure2(horizon=None, garbage=0):
    ended = np.zeros((10, 2), bool)
    ended[[3, 6, 9], 0] = True
    ended[[0, 5], 1] = True
    return make_episode(ended, np.arange(1, 11), horizon=horizon, garbage=garbage)


@partial(jax.jit, static_argnames=("size", "close_on_terminal", "macro_state", "reward_scheme"))
def compiled_cut(episode, size=None, close_on_terminal=True, discount=0.9, **options):
    marks = mark(episode, close_on_terminal=close_on_terminal)
    rows = joint_row_steps(marks)
    return mac_jert(episode, marks, rows, rows, size or len(rows), discount=discount, **options)


def cut(episode, **options):
    return jax.device_get(compiled_cut(episode, **options))


def test_avf_figure_2():
    rows = cut(figure2())
    count = len(FIG2)
    assert rows.mask.tolist() == [True] * count + [False] * (10 - count)
    real = cut(figure2(), macro_state="real")
    for k, row in enumerate(FIG2):
        assert rows.last_step[k] == row["t"]
        assert rows.obs[k, :, 0].tolist() == row["o"]
        assert rows.obs[k + 1, :, 0].tolist() == row["o_next"]
        assert rows.ended[k].tolist() == [bool(x) for x in row["done"]]
        assert rows.reward[k] == pytest.approx(row["joint_r"], rel=1e-6)
        assert rows.duration[k] == row["tau"]
        assert 0.9 ** rows.duration[k] == pytest.approx(row["gamma_tau"], rel=1e-6)
        assert rows.mixer_state[k].tolist() == row["s"]
        assert rows.next_mixer_state[k].tolist() == row["s_next"]
        assert [real.mixer_state[k, 0], real.next_mixer_state[k, 0]] == row["real"]
    assert rows.obs[:count, :, 1].tolist() == [[0, 1]] * count  # each agent its own observation


def test_an_own_row_whose_joint_row_is_gone_reads_the_first_one():
    index = np.array([-3, -1, 0, 4, 9])[:, None, None]
    found = at_joint_rows(jnp.arange(5.0)[:, None, None], jnp.asarray(index))
    assert found[:, 0, 0].tolist() == [0, 0, 0, 4, 4]


def test_joint_durations_sum_to_the_steps_covered():
    rows = cut(figure2())
    covered = np.cumsum(rows.duration[rows.mask])
    assert covered.tolist() == (rows.last_step[rows.mask] + 1).tolist()


def golden_episode(index, horizon=None, garbage=0):
    return recorded_squeeze(SQUEEZE["episodes"][index], horizon=horizon, garbage=garbage)


def joined(obs):
    return np.concatenate([obs[0, :1], obs[1], obs[2, :1]])


@pytest.mark.parametrize("index", range(len(SQUEEZE["episodes"])))
def test_mac_jert_of_the_recorded_squeeze(index):
    rows = cut(golden_episode(index, horizon=12, garbage=7), close_on_terminal=False)
    expected = SQUEEZE["mac_jert"][index]
    assert rows.mask.sum() == len(expected)
    for k, row in enumerate(expected):
        assert rows.last_step[k] == row["t"]
        np.testing.assert_array_equal(joined(rows.obs[k]), np.float32(row["o"]))
        np.testing.assert_array_equal(joined(rows.obs[k + 1]), np.float32(row["o_next"]))
        assert rows.macro_action[k].tolist() == row["id_a"]
        assert rows.ended[k].tolist() == [bool(x) for x in row["id_done"]]
        assert rows.reward[k] == pytest.approx(row["R"], rel=1e-6)
        assert 0.9 ** (rows.duration[k] - 1) == pytest.approx(row["gpow"], rel=1e-6)
        assert rows.terminal[k] == bool(row["term"])
        joint = np.ones(())
        for agent, count in enumerate((2, 3, 2)):
            joint = np.multiply.outer(joint, rows.next_avail[k, agent, :count])
        np.testing.assert_array_equal(joint.ravel(), row["avail_next_joint"])


def test_a_termination_closes_the_unfinished_macro_action():
    episode = golden_episode(0)  # agent 1 runs on at the end
    assert not cut(episode, close_on_terminal=False).ended[4, 1]
    assert cut(episode).ended[4].tolist() == [True, True, True]


def test_an_unfinished_macro_action_at_the_time_limit_yields_no_row():
    episode = make_episode([[1, 0], [0, 0], [0, 0]], [1, 2, 4], truncated=True)
    rows = cut(episode)
    assert rows.mask.tolist() == [True, False, False]
    closing = make_episode([[1, 0], [0, 0], [0, 0]], [1, 2, 4], terminal=True)
    assert cut(closing).mask.tolist() == [True, True, False]
    assert cut(closing).reward[1] == pytest.approx(2 + 0.9 * 4)


def test_last_action_is_the_one_that_ended_before():
    episode = make_episode([[0, 1], [1, 0], [1, 1]], [0, 0, 0], macro_action=[[1, 2], [1, 0], [2, 0]])
    rows = cut(episode)
    assert rows.last_action[:4].tolist() == [[-1, -1], [-1, 2], [1, 2], [2, 0]]


def test_start_flags_belong_to_the_first_step_of_a_row():
    assert cut(figure2()).start[:5].tolist() == [
        [True, True],
        [False, True],
        [True, False],
        [False, True],
        [True, False],
    ]


@pytest.mark.parametrize(
    ("scheme", "expected"),
    [
        ("own", [1, 1 + 0.9 * 2 + 0.81 * 3]),
        ("max", [1, 1 + 0.9 * 2 + 0.81 * 3]),
        ("min", [1, 2 + 0.9 * 3]),
        ("mean", [1, (1 + 0.9 * 2 + 0.81 * 3 + 2 + 0.9 * 3) / 2]),
        ("joint", [1, 2 + 0.9 * 3]),
    ],
)
def test_reward_schemes(scheme, expected):
    # agent 0 runs steps 0..2, agent 1 step 0 and steps 1..2, both are cut by the time limit after that
    ended = [[0, 1], [0, 0], [1, 1], [0, 0]]
    episode = make_episode(ended, [1, 2, 3, 4], truncated=True)
    rows = cut(episode, reward_scheme=scheme)
    assert rows.mask.tolist() == [True, True, False, False]
    assert rows.reward[:2].tolist() == pytest.approx(expected, rel=1e-6)


def test_own_scheme_takes_the_longest_and_max_its_own_duration():
    episode = make_episode([[0, 1], [0, 0], [1, 1]], [1, -2, 3])
    assert cut(episode, reward_scheme="own").duration[:2].tolist() == [1, 3]
    best = cut(episode, reward_scheme="max", discount=1.0)
    assert (best.reward[1], best.duration[1]) == (2.0, 3.0)
    worst = cut(episode, reward_scheme="min", discount=1.0)
    assert (worst.reward[1], worst.duration[1]) == (1.0, 2.0)
    assert cut(episode, reward_scheme="mean").duration[1] == 2.5


def test_terminated_macro_state_takes_the_latest_start_then_the_lowest_index():
    episode = make_episode([[0, 0, 1], [1, 0, 1], [1, 1, 1]], [0, 0, 0])
    rows = cut(episode, macro_state="terminated")
    assert rows.mixer_state[:3, 0].tolist() == [0, 1, 2]  # row 1: agents 0 (from 0) and 2 (from 1)
    assert rows.next_mixer_state[:3, 0].tolist() == [1, 2, 3]


def test_real_and_joint_agree_when_every_macro_action_lasts_one_step():
    episode = make_episode(np.ones((4, 2)), [1, 2, 3, 4])
    joint, real = cut(episode), cut(episode, macro_state="real")
    np.testing.assert_array_equal(joint.mixer_state, np.tile(real.mixer_state, 2))
    np.testing.assert_array_equal(joint.next_mixer_state, np.tile(real.next_mixer_state, 2))
    np.testing.assert_array_equal(joint.reward, [1.0, 2, 3, 4])


@pytest.mark.parametrize("mode", MACRO_STATES)
@pytest.mark.parametrize("scheme", REWARD_SCHEMES)
def test_garbage_in_the_padding_changes_nothing(mode, scheme):
    options = {"macro_state": mode, "reward_scheme": scheme}
    clean = cut(golden_episode(0, horizon=12), size=6, **options)
    for garbage in (np.nan, 1e9, -3):
        with np.errstate(invalid="ignore"):
            dirty = cut(golden_episode(0, horizon=12, garbage=garbage), size=6, **options)
        for name in ("ended", "start", "reward", "duration", "terminal", "mixer_state", "next_mixer_state"):
            keep = clean.mask
            np.testing.assert_array_equal(
                getattr(clean, name)[keep], getattr(dirty, name)[keep], err_msg=f"{name}, {garbage}"
            )
        np.testing.assert_array_equal(clean.mask, dirty.mask)
        np.testing.assert_array_equal(clean.obs[:6], dirty.obs[:6])
        assert np.isfinite(dirty.reward).all()


def test_returns_ignore_padding():
    clean, dirty = figure2(horizon=14), figure2(horizon=14, garbage=np.nan)
    assert dirty.undiscounted_return == clean.undiscounted_return == 55
    assert discounted_return(dirty, 0.5) == discounted_return(clean, 0.5) == pytest.approx(4 - 12 * 0.5**9)
    assert dirty.length == 10


def test_pack_keeps_the_last_entries_and_counts_the_dropped():
    packed = jax.jit(pack, static_argnums=1)
    keep = np.array([1, 0, 1, 1, 0, 1], bool)
    index, valid, dropped = jax.device_get(packed(keep, 2))
    assert (index.tolist(), valid.tolist(), int(dropped)) == ([3, 5], [True, True], 2)
    index, valid, dropped = jax.device_get(packed(keep, 5))
    assert (index[:4].tolist(), valid.tolist(), int(dropped)) == ([0, 2, 3, 5], [True] * 4 + [False], 0)
    assert packed(np.zeros(4, bool), 3)[1].tolist() == [False] * 3


def test_a_row_cap_is_the_same_as_a_window_that_starts_later():
    capped, full = cut(figure2(), size=3), cut(figure2())
    assert capped.last_step.tolist() == [5, 6, 9]
    for name in ("reward", "duration", "mixer_state", "next_mixer_state", "start", "macro_action"):
        np.testing.assert_array_equal(getattr(capped, name), getattr(full, name)[2:5])
    assert capped.advance[0].all()
    assert int(capped.dropped) == 2


def test_accumulate_reward_by_hand():
    reward = np.array([1.0, -1, 2, 0, 3], np.float32)
    started, last = np.array([0, 0, 0, 3, 3]), np.array([2, 4, 3])
    sums = jax.jit(accumulate_reward)
    np.testing.assert_allclose(sums(reward, started, last, 0.9), [1 - 0.9 + 1.62, 2.7, 0], rtol=1e-6)
    np.testing.assert_allclose(sums(reward, started, last, 0.0), [1, 0, 0])


def test_windows_of_the_recorded_window_replay():
    """Every window of 4 raw steps keeps the joint rows the reference's replay keeps."""
    episode = golden_episode(0)
    rows = jax.jit(lambda e: joint_row_steps(mark(e, close_on_terminal=False)))(episode)
    expected = {tuple(sorted({t for agent in kept for t in agent})) for kept in SQUEEZE["windows_A_trace4"]["kept"]}
    keys = jax.random.split(jax.random.key(0), 300)
    windows = jax.jit(jax.vmap(lambda key: rows & window(key, rows, episode.length, 4, "steps")))
    masks = np.asarray(windows(keys))
    assert {tuple(np.flatnonzero(mask)) for mask in masks} == expected


def test_window_starts_are_uniform_and_respect_the_real_length():
    rows = jnp.arange(40) < 10  # ten steps taken, every one closes a row
    keys = jax.random.split(jax.random.key(1), 8000)
    masks = np.asarray(jax.jit(jax.vmap(lambda key: rows & window(key, rows, 10, 4, "steps")))(keys))
    assert masks.any(1).all()  # none lies outside the episode
    share = masks.mean(0)[:10]
    np.testing.assert_allclose(share, 4 / 13, atol=0.03)  # every step is in 4 of the 13 windows


def test_windows_of_joint_rows_count_rows_not_steps():
    rows = jax.jit(lambda e: joint_row_steps(mark(e, close_on_terminal=True)))(figure2())
    keys = jax.random.split(jax.random.key(2), 200)
    masks = np.asarray(jax.jit(jax.vmap(lambda key: rows & window(key, rows, 10, 2, "rows")))(keys))
    assert {tuple(np.flatnonzero(mask)) for mask in masks} == {(0,), (0, 3), (3, 5), (5, 6), (6, 9), (9,)}


def trajectory(**options):
    episode = figure2(horizon=12)
    keys = jax.random.split(jax.random.key(3), 64)
    cut_one = lambda key: joint_trajectory(key, episode, discount=0.9, **options)  # noqa: E731
    return jax.jit(jax.vmap(cut_one, out_axes=TIME_MAJOR))(keys)


def test_a_window_keeps_the_full_reward_of_its_first_row():
    rows = jax.device_get(trajectory(trajectory=4))
    assert rows.mask.shape == (4, 64)
    reward = {row["t"]: row["joint_r"] for row in FIG2}
    first = rows.mask[0]
    for step, value in zip(rows.last_step[0][first], rows.reward[0][first], strict=True):
        assert value == pytest.approx(reward[step], rel=1e-6)
    assert rows.advance[0].all()


def test_unrolling_the_episode_masks_the_loss_only():
    rows = jax.device_get(trajectory(trajectory=4, unroll_episode=True))
    ends = [0, 3, 5, 6, 9]
    for steps, mask in zip(rows.last_step.T, rows.mask.T, strict=True):
        count = np.flatnonzero(mask).max(initial=-1) + 1
        assert steps[:count].tolist() == ends[:count]  # everything up to the window's end is there
    assert 0 < rows.mask.sum() < 5 * 64


def test_a_cap_with_unrolling_keeps_the_rows_up_to_the_windows_end():
    episode = make_episode(np.ones((40, 2)), np.arange(40))
    keys = jax.random.split(jax.random.key(4), 400)
    for options in ({"trajectory": 10, "unroll_episode": True}, {"trajectory": 1, "trajectory_unit": "episode"}):
        cut_one = lambda key, o=options: joint_trajectory(key, episode, discount=0.9, max_rows=12, **o)  # noqa: E731
        rows = jax.device_get(jax.jit(jax.vmap(cut_one, out_axes=TIME_MAJOR))(keys))
        assert rows.mask.any(0).all()  # no window is empty
        assert set(rows.last_step[rows.mask]) == set(range(40))  # and every step is in some


def test_timeout_is_terminal_marks_the_last_row_and_closes_nothing():
    episode = make_episode([[1, 0], [1, 0]], [1, 1], truncated=True)
    options = {"discount": 0.9, "trajectory": 5, "trajectory_unit": "episode"}
    key = jax.random.key(0)
    plain = jax.jit(partial(joint_trajectory, **options))(key, episode)
    ending = jax.jit(partial(joint_trajectory, timeout_is_terminal=True, **options))(key, episode)
    assert plain.terminal.tolist() == [False, False]
    assert ending.terminal.tolist() == [False, True]
    assert not ending.ended[:, 1].any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"macro_state": "joints"}, "macro_state is 'joints', but must be one of joint, real, terminated, start"),
        ({"reward_scheme": "sum"}, "reward_scheme is 'sum', but must be one of joint, own, max, min, mean"),
        ({"trajectory_unit": "episodes"}, "trajectory_unit is 'episodes', but must be one of steps, rows, episode"),
    ],
)
def test_unknown_modes_of_a_cut_are_refused(options, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        joint_trajectory(jax.random.key(0), figure2(), discount=0.9, trajectory=5, **options)


def test_a_batch_of_episodes_is_refused():
    batch = jax.tree.map(lambda x: np.stack([x, x]), figure2())
    with pytest.raises(
        ValueError, match=r"^episode.mask has the shape \(2, 10\), but a cut takes a single episode"
    ):
        joint_trajectory(jax.random.key(0), batch, discount=0.9, trajectory=5)
    with pytest.raises(
        ValueError, match=r"^episode.mask has the shape \(2, 10\), but a cut takes a single episode"
    ):
        mac_sjert(batch, discount=0.9)
