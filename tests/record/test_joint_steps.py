"""Mac-SJERT: every primitive step, each agent's own segments, micro- and macro-transitions."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.records import make_episode, worked_example

from jaxmac import envs
from jaxmac.record import joint_steps
from jaxmac.record.policy import random_policy
from jaxmac.record.rollout import rollout
from jaxmac.record.windows import accumulate_reward

mac_sjert = jax.jit(joint_steps.mac_sjert, static_argnames=("n_step", "close_on_terminal", "timeout_is_terminal"))
EXAMPLE = json.loads((Path(__file__).parents[1] / "golden" / "pg_example.json").read_text())
GAMMA = EXAMPLE["gamma"]


def recorded(name, **padding):
    """Episode `name` of the worked example, and what is told of it."""
    told = EXAMPLE["episodes"][name]
    return worked_example(told, **padding), told


@pytest.mark.parametrize("name", ["A", "B", "C"])
def test_segments_of_the_worked_example(name):
    episode, told = recorded(name, horizon=10)
    cut = jax.device_get(mac_sjert(episode, discount=GAMMA))
    raw = EXAMPLE["raw"][EXAMPLE["order"].index(name)]
    found = set()
    for t, agent in zip(*np.nonzero(cut.ended), strict=True):
        found.add((agent, int(cut.started[t, agent]), int(t)))
        assert cut.duration[t, agent] == t - cut.started[t, agent] + 1
        assert cut.own_reward[t, agent] == pytest.approx(raw[t]["r_ind"][agent], rel=1e-5)
        assert cut.elapsed[cut.started[t, agent], agent] == 0
        assert cut.choosing[cut.started[t, agent], agent]
    # One that the environment's end cut short is there, one that the time limit cut is not.
    everything = {
        (agent, first, last)
        for agent, segments in enumerate(told["segments"])
        for _, first, last, done in segments
        if done or told["terminal"]
    }
    assert found == everything
    assert cut.terminal.sum() == told["terminal"] and cut.mask.sum() == told["T"]


def test_unfinished_segments_can_be_left_out_at_a_termination():
    episode, _ = recorded("C")
    kept = mac_sjert(episode, discount=GAMMA)
    dropped = mac_sjert(episode, discount=GAMMA, close_on_terminal=False)
    assert kept.ended[-1].tolist() == [True, True]
    assert dropped.ended[-1].tolist() == [False, False]


def test_micro_transitions_by_hand():
    """Six steps, n = 4: the last three see fewer rewards, and what they reach is the end."""
    reward = [2, -1, 1, 0.5, -4, 3]
    for ends in ({"terminal": True}, {"truncated": True}):
        episode = make_episode(np.ones((6, 2), bool), reward, horizon=9, garbage=np.nan, **ends)
        cut = jax.device_get(mac_sjert(episode, discount=0.5, n_step=4))
        for t in range(6):
            count = min(4, 6 - t)
            by_hand = sum(0.5**u * reward[t + u] for u in range(count))
            assert cut.micro_reward[t] == pytest.approx(by_hand)
            assert (cut.micro_steps[t], cut.micro_next[t]) == (count, t + count)
            assert cut.micro_terminal[t] == (t + count == 6 and "terminal" in ends)
        limited = mac_sjert(episode, discount=0.5, n_step=4, timeout_is_terminal=True)
        assert limited.micro_terminal.tolist() == [False, False, True, True, True, True, *[False] * 3]


def test_clocks_and_running_macro_actions_of_a_played_episode():
    env = envs.make("BoxPushing-4", horizon=25)
    play = jax.jit(lambda key: rollout(env, random_policy(), key, jnp.ones(6)))
    batch = jax.device_get(play(jax.random.key(0)))
    for index in range(6):
        episode = jax.tree.map(lambda x, i=index: jax.device_put(x[i]), batch)
        cut, length = jax.device_get(mac_sjert(episode, discount=0.9)), int(episode.length)
        assert cut.clock[: length + 1].tolist() == list(range(length + 1))
        assert (cut.running[0] == -1).all()
        for t in range(length):
            fresh = cut.choosing[t]
            np.testing.assert_array_equal(cut.elapsed[t + 1], np.where(cut.choosing[t + 1], 0, cut.elapsed[t] + 1))
            np.testing.assert_array_equal(cut.running[t + 1], cut.macro_action[t])
            np.testing.assert_array_equal(cut.macro_action[t][~fresh], cut.running[t][~fresh])
        for t, agent in zip(*np.nonzero(cut.ended), strict=True):
            assert cut.choosing[cut.started[t, agent], agent]


def test_padding_leaves_no_trace():
    told = EXAMPLE["episodes"]["A"]
    clean, _ = recorded("A", horizon=12)
    dirty, _ = recorded("A", horizon=12, garbage=np.nan)
    assert np.isnan(np.asarray(dirty.reward[told["T"] :])).all()
    cuts = [mac_sjert(episode, discount=GAMMA, n_step=3) for episode in (clean, dirty)]
    for name, one, other in zip(cuts[0]._fields, *cuts, strict=True):
        np.testing.assert_array_equal(one, other, err_msg=name)
        assert np.isfinite(np.asarray(other, float)).all(), name


def test_rewards_of_segments_come_from_the_one_home():
    episode, _ = recorded("B")
    cut = mac_sjert(episode, discount=GAMMA)
    last = jnp.arange(len(cut.mask))
    for agent in range(2):
        own = jax.jit(accumulate_reward)(episode.reward, cut.started[:, agent], last, GAMMA)
        np.testing.assert_array_equal(own, cut.own_reward[:, agent])
