"""Lambda-returns of MacDec-Q (each agent's own rows) and MacCen-Q (joint rows), against a loop over real rows."""

import jax
import numpy as np
import pytest
from support.mac_q_recordings import NOW, recorded_rows, recorded_state, small

from jaxmac.algorithms import mac_q


def chained(reward, discount, terminal, value, td_lambda):
    """The targets of one chain of real rows, from the last one backwards."""
    targets = []
    for k in reversed(range(len(reward))):
        after = (1 - td_lambda) * value[k] + td_lambda * targets[-1] if targets else value[k]
        targets.append(reward[k] + discount[k] * (not terminal[k]) * after)
    return np.array(targets[::-1])


def errors_by_hand(rows, value, taken, gamma, td_lambda):
    """Mean absolute error of each episode; all arrays `[rows, batch, chains]`."""
    reward, duration, terminal, mask = rows
    means = []
    for episode in range(mask.shape[1]):
        errors = []
        for chain in range(mask.shape[2]):
            real = mask[:, episode, chain], episode, chain
            target = chained(reward[real], gamma ** duration[real], terminal[real], value[real], td_lambda)
            errors.extend(abs(target - taken[real]))
        means.append(np.mean(errors))
    return means


def taken_by(values, index):
    """Of `[..., actions]` those of an index, which may be anything where a row is padding."""
    index = np.clip(np.asarray(index), 0, values.shape[-1] - 1)
    return np.take_along_axis(values, index[..., None], -1)[..., 0]


def numbers(rows):
    return [np.asarray(getattr(rows, name)) for name in ("reward", "duration", "terminal", "mask")]


@pytest.mark.parametrize("td_lambda", [0.7, pytest.param(1.0, marks=pytest.mark.slow)])
def test_each_agent_chains_its_own_rows(td_lambda):
    parts, hyper = small("mac-dec-q", td_lambda=td_lambda, double_q=False)
    state, _ = recorded_state(parts, hyper, "decq")
    own, _, weight = recorded_rows(parts, hyper, garbage=1e6, horizon=11)
    params, target = state.params["agents"], state.target["agents"]

    @jax.jit
    def computed(params, target):
        errors = mac_q.own_losses(parts, params, target, own, None, hyper, NOW, weight, own)[1].error
        return errors, *(mac_q._own_q(parts, each, own) for each in (params, target))

    found, online, future = map(np.asarray, computed(params, target))
    value = np.where(own.next_avail, future[1:], -np.inf).max(-1)
    expected = errors_by_hand(numbers(own), value, taken_by(online[:-1], own.macro_action), 0.9, td_lambda)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("td_lambda", [0.7, 1.0])
def test_the_central_network_chains_joint_rows(td_lambda):
    parts, hyper = small("mac-cen-q", td_lambda=td_lambda, double_q=False)
    state, _ = recorded_state(parts, hyper, "cenq")
    _, joint, weight = recorded_rows(parts, hyper, garbage=1e6, horizon=11)

    @jax.jit
    def computed(params, target):
        errors = mac_q.joint_loss(parts, params, target, joint, hyper, NOW, weight, False, joint)[1].error
        both = (mac_q._joint_q(parts, each["centralised"], joint) for each in (params, target))
        return errors, mac_q.joint_choice(parts, target["centralised"], joint), *both

    found, best, online, future = map(np.asarray, computed(state.params, state.target))
    value = taken_by(future[1:], best)
    taken = taken_by(online[:-1], parts.joint.encode(joint.macro_action))
    rows = [array[..., None] for array in (*numbers(joint), value, taken)]
    np.testing.assert_allclose(found, errors_by_hand(rows[:4], *rows[4:], 0.9, td_lambda), rtol=1e-5)
