"""Where an agent that must choose has no macro-action available, nothing is bootstrapped."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.records import make_episode

from jaxmac.record.joint_rows import joint_trajectory
from jaxmac.record.joint_steps import mac_sjert
from jaxmac.record.own_rows import own_rows
from jaxmac.record.windows import trajectory_of

ENDED = [[1, 0], [0, 1], [1, 0]]  # at the time limit agent 0 must choose and agent 1 runs on


def episode(nothing_for, end="truncated", at=3):
    """Three steps; the agents `nothing_for` have no macro-action available at entry `at`."""
    avail = np.ones((4, 2, 3), bool)
    avail[at, nothing_for] = False
    return make_episode(ENDED, [1.0, 2.0, 4.0], avail=avail, horizon=5, garbage=3, **{end: True})


@jax.jit
def rows_of(made):
    options = {"trajectory": 5, "trajectory_unit": "episode"}
    joint = joint_trajectory(jax.random.key(0), made, discount=0.9, **options)
    own = own_rows(trajectory_of(jax.random.key(0), made, **options), 0.9)
    return joint, own, mac_sjert(made, discount=0.9, n_step=2)


def cuts(made):
    """The flags `terminal` of the joint rows, of the own rows and of the steps."""
    joint, own, steps = jax.device_get(rows_of(made))
    return (
        joint.terminal[joint.mask].tolist(),
        own.terminal[:, 0][own.mask[:, 0]].tolist(),
        steps.terminal[steps.mask].tolist(),
        steps.micro_terminal[steps.mask].tolist(),
    )


def test_a_time_limit_with_nothing_to_choose_is_bootstrapped_from_nothing():
    last = [False, False, True], [False, True], [False, False, True], [False, True, True]
    assert cuts(episode([0])) == cuts(episode([0, 1])) == last


@pytest.mark.parametrize("nothing_for", [[], [1]])
def test_a_time_limit_is_bootstrapped_where_those_who_must_choose_can(nothing_for):
    """Agent 1 runs on: it keeps its macro-action whatever is available."""
    never = [False] * 3, [False] * 2, [False] * 3, [False] * 3
    assert cuts(episode(nothing_for)) == never


def test_nothing_to_choose_at_a_termination_changes_nothing():
    assert cuts(episode([0, 1], end="terminal")) == cuts(episode([], end="terminal"))


def test_a_choice_among_nothing_in_mid_episode_ends_what_can_be_valued():
    """The contract forbids it; a learner that is given it stays sound."""
    joint, own, steps, micro = cuts(episode([0], at=1))
    assert joint == steps == [True, False, False] and own == [True, False] and micro == [False, False, False]


def test_rewards_durations_and_the_rows_themselves_stay_as_they_are():
    one, other = (rows_of(episode(agents))[0] for agents in ([0, 1], []))
    for name in set(one._fields) - {"terminal", "next_avail"}:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    assert jnp.sum(one.mask) == 3
