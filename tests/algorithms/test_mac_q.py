from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.adam import assert_first_step, first_moment
from support.mac_q_recordings import (
    ACTIONS,
    AGENTS,
    NOW,
    SIZES,
    SQUEEZE,
    Recorded,
    batch_of,
    drawn_state,
    recorded_episode,
    recorded_rows,
    recorded_state,
    small,
)
from support.samples import sample_of
from support.selection import slow_except

from jaxmac.algorithms import mac_q
from jaxmac.algorithms.mac_q_config import NETWORK_ROLES
from jaxmac.record.own_rows import own_rows
from jaxmac.record.windows import trajectory_of

CASES = {"mac-dec-q": ("decq", "macdecq"), "mac-cen-q": ("cenq", "maccenq"), "mac-dec-ddrqn": ("dd", "macdecddrqn")}


@pytest.fixture(scope="module", params=slow_except(["mac-dec-q", "mac-cen-q"], CASES))
def update(request):
    """Networks, the recorded numbers, our losses and the state after one update."""
    parts, hyper = small(request.param)
    net, name = CASES[request.param]
    state, found = recorded_state(parts, hyper, net)
    cuts = recorded_rows(parts, hyper, garbage=1e6, horizon=11)

    @jax.jit
    def run(state, cuts):
        return mac_q.learn(parts, state, cuts, cuts, hyper, NOW)[:2]

    state, (after, losses) = jax.device_get((state, run(state, cuts)))
    return parts, hyper, SQUEEZE[name], found, state, after, losses, cuts


def best_joint(parts, params, joint):
    return jax.jit(partial(mac_q.joint_choice, parts))(params, joint)


def own_part(update):
    parts, hyper, _recorded, _found, state, after, _losses, (own, joint, weight) = update
    choice = None
    if parts.centralised is not None:
        best = best_joint(parts, after.params["centralised"], joint)
        choice = jnp.take_along_axis(parts.joint.decode(best), own.closing, axis=0)

    @jax.jit
    def each(params):
        return mac_q.own_losses(parts, params, state.target["agents"], own, choice, hyper, NOW, weight, own)[0]

    return each


def test_losses_are_the_recorded_ones(update):
    parts, _, recorded, _, state, _, losses, _ = update
    if parts.centralised is not None:
        expected = recorded.get("cen_loss", recorded.get("loss"))
        assert losses["centralised_loss"] == pytest.approx(expected, rel=1e-6)
    if parts.agents is not None:
        expected = recorded.get("dec_loss", recorded.get("loss"))
        np.testing.assert_allclose(own_part(update)(state.params["agents"]), expected, rtol=1e-6)
        assert losses["agents_loss"] == pytest.approx(sum(expected), rel=1e-6)


def test_gradients_are_the_recorded_ones(update):
    parts, hyper, _, found, state, _, _, (_, joint, weight) = update
    if parts.agents is not None:
        each = own_part(update)
        gradient = jax.jit(jax.grad(lambda params: each(params).sum()))(state.params["agents"])
        chex.assert_trees_all_close(gradient, found["grad"]["agents"], atol=2e-6, rtol=0)
    if parts.centralised is not None:
        beta = parts.agents is None
        gradient = jax.jit(
            jax.grad(lambda p: mac_q.joint_loss(parts, p, state.target, joint, hyper, NOW, weight, beta, joint)[0])
        )(state.params)["centralised"]
        chex.assert_trees_all_close(gradient, found["grad"]["centralised"], atol=2e-6, rtol=0)


def test_parameters_after_a_step_are_the_recorded_ones(update):
    _, hyper, _, found, state, after, _, _ = update
    for name, opt_state in after.opt_state.items():
        step = state.params[name], after.params[name], found["after"][name]
        assert_first_step(*step, first_moment(opt_state), float(hyper.learning_rate))
    moved = jax.tree.map(lambda a, b: float(abs(a - b).max()), after.params, state.params)
    assert max(jax.tree.leaves(moved)) > 1e-4
    chex.assert_trees_all_equal(after.target, state.target)  # one update is not 5,000 steps


def test_conditional_arg_max_is_the_recorded_one(update):
    parts, _, recorded, _, state, after, _, (_, joint, _) = update
    if parts.centralised is None:
        pytest.skip("it has no centralised net")
    keys = ("cond_argmax", None) if parts.agents is None else ("argmax_before", "argmax_after_cen_update")
    for key, params in zip(keys, (state.params, after.params), strict=True):
        if key:
            best = best_joint(parts, params["centralised"], joint)
            packed = np.asarray(best).T[np.asarray(joint.mask).T]
            assert packed.tolist() == recorded[key]
    fixed = np.where(np.asarray(joint.ended), -1, np.asarray(joint.macro_action))
    assert fixed.transpose(1, 0, 2)[np.asarray(joint.mask).T].tolist() == recorded["m_minus"]


@pytest.mark.parametrize("index", range(len(SQUEEZE["episodes"])))
def test_mac_cert_of_the_recorded_squeeze(index):

    @jax.jit
    def cut(episode):
        whole = {"trajectory": 1, "trajectory_unit": "episode", "close_on_terminal": False}
        return own_rows(trajectory_of(jax.random.key(0), episode, **whole), 0.9)

    rows = jax.device_get(cut(recorded_episode(index, horizon=12, garbage=7)))
    for i in AGENTS:
        expected = SQUEEZE["mac_cert"][i][index]
        assert rows.mask[:, i].tolist() == [True] * len(expected) + [False] * (12 - len(expected))
        for k, row in enumerate(expected):
            assert (rows.last_step[k, i], rows.macro_action[k, i]) == (row["t"], row["a"])
            np.testing.assert_array_equal(rows.obs[k, i, : SIZES[i]], np.float32(row["o"]))
            np.testing.assert_array_equal(rows.obs[k + 1, i, : SIZES[i]], np.float32(row["o_next"]))
            np.testing.assert_array_equal(rows.next_avail[k, i, : ACTIONS[i]], row["avail_next"])
            assert rows.reward[k, i] == pytest.approx(row["R"], rel=1e-6)
            assert 0.9 ** (rows.duration[k, i] - 1) == pytest.approx(row["gpow"], rel=1e-6)
            assert rows.terminal[k, i] == bool(row["term"])


def test_windows_keep_the_recorded_rows():
    episode, recorded = recorded_episode(0), SQUEEZE["windows_A_trace4"]

    @jax.jit
    def kept(start):
        chosen = trajectory_of(jax.random.key(0), episode, start, trajectory=4, close_on_terminal=False)
        rows = own_rows(chosen, 0.9)
        return rows.last_step, rows.mask, rows.reward, rows.obs

    for raw, expected in zip(recorded["raw"], recorded["kept"], strict=True):
        start = next(step - place for place, step in enumerate(raw) if step >= 0)
        last, mask, reward, obs = jax.device_get(kept(start))
        assert [last[mask[:, i], i].tolist() for i in AGENTS] == expected
    # The window [6 7 - -]: agent 0's macro-action began before it and keeps its reward and observation.
    last, mask, reward, obs = jax.device_get(kept(6))
    assert reward[0, 0] == pytest.approx(6.8, rel=1e-6) and obs[0, 0, 0] == np.float32(0.2)


@pytest.mark.slow
def test_each_kind_of_net_learns_from_its_own_stream():
    """Parallel: the decentralised stream without rows stops the decentralised nets alone."""
    parts, hyper = small("parallel-mac-dec-ddrqn")
    algorithm = mac_q.make(Recorded(), parts.config, NETWORK_ROLES["parallel-mac-dec-ddrqn"])
    full = jax.tree.map(lambda x: x[None], recorded_episode(0))
    empty = full.replace(mask=jnp.zeros_like(full.mask))
    batches = {"centralised": sample_of(full), "decentralised": sample_of(empty)}
    state = jax.jit(algorithm.init)(jax.random.key(0), hyper)
    after = jax.jit(algorithm.update)(state, hyper, batches, NOW, jax.random.key(0))[0]
    moved = jax.tree.map(lambda a, b: bool((a != b).any()), after.params, state.params)
    assert any(jax.tree.leaves(moved["centralised"])) and not any(jax.tree.leaves(moved["agents"]))


@pytest.mark.slow
def test_an_own_row_whose_joint_row_was_capped_away_teaches_nothing():
    """The centralised net has no choice for it."""
    parts, hyper = small("mac-dec-ddrqn")
    state = recorded_state(parts, hyper, "dd")[0]
    batch = recorded_rows(parts, hyper)
    own = batch.own
    first = jnp.zeros_like(own.mask).at[0].set(True)
    learn = jax.jit(
        lambda own: mac_q.learn(parts, state, *[batch._replace(own=own)] * 2, hyper, NOW)[1]["agents_loss"]
    )
    capped = learn(own._replace(closing=jnp.where(first, -1, own.closing)))
    assert capped == learn(own._replace(mask=own.mask & ~first)) != learn(own)


def test_a_net_without_rows_stays_as_it_is():
    """Episode 1 alone: agent 1 never ends a macro-action there, so its net takes no step."""
    parts, hyper = small("mac-dec-q")
    state = drawn_state(parts, hyper)
    batch = jax.tree.map(lambda x: x[None], recorded_episode(1))

    @jax.jit
    def learn(state):
        cuts = batch_of(parts, hyper, batch)
        return mac_q.learn(parts, state, cuts, cuts, hyper, NOW)

    state, (after, losses, _) = jax.device_get((state, learn(state)))
    moved = jax.tree.map(
        lambda a, b: np.asarray((a != b).any(axis=tuple(range(1, a.ndim)))), after.params, state.params
    )
    assert np.any(jax.tree.leaves(moved), axis=0).tolist() == [True, False, True]
    assert np.isfinite(losses["agents_loss"])
    steps = jax.tree.leaves(after.opt_state["agents"], is_leaf=lambda x: getattr(x, "dtype", None) == jnp.int32)
    assert [x.tolist() for x in steps if x.dtype == jnp.int32] == [[1, 0, 1]]


@pytest.mark.slow
def test_targets_are_copied_every_so_many_primitive_steps():
    parts, hyper = small("mac-dec-q", target_steps=30, train_freq=10)
    state = drawn_state(parts, hyper)
    batch = jax.tree.map(lambda x: x[None], recorded_episode(0))
    cuts = batch_of(parts, hyper, batch)
    copied = []

    @jax.jit
    def learn(state, updates):
        return mac_q.learn(parts, state, cuts, cuts, hyper, NOW._replace(updates=updates))[0]

    for updates in range(6):
        state = learn(state, jnp.int32(updates))
        same = jax.tree.map(lambda a, b: bool((a == b).all()), state.params, state.target)
        copied.append(all(jax.tree.leaves(same)))
    assert copied == [False, False, True, False, False, True]
