import json
from types import SimpleNamespace

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import GOLDEN
from support.records import recorded_squeeze
from support.samples import sample_of
from support.torch_params import recurrent_net

from jaxmac.algorithms import Progress, configure, mac_q
from jaxmac.algorithms.mac_q import Batch
from jaxmac.algorithms.value_based import LearnerState
from jaxmac.envs.environment import Environment
from jaxmac.hyper import hyper_of
from jaxmac.networks.joint import joint_of
from jaxmac.record.own_rows import own_rows
from jaxmac.record.policy import Policy
from jaxmac.record.windows import trajectory_of

SQUEEZE = json.loads((GOLDEN / "value_based_squeeze.json").read_text())
SIZES, ACTIONS = SQUEEZE["obs_size"], SQUEEZE["n_action"]
AGENTS = range(len(SIZES))


class Recorded(Environment):
    """The sizes of the recorded team; it is never stepped."""

    def __init__(self):
        names = tuple(tuple(f"m{k}" for k in range(count)) for count in ACTIONS)
        super().__init__(obs_sizes=tuple(SIZES), state_size=1, horizon=8, action_names=names)


def recorded_episode(index, horizon=8, garbage=0):
    return recorded_squeeze(SQUEEZE["episodes"][index], horizon=horizon, garbage=garbage)


def small(kind, **overrides):
    """Networks and hyperparameters with the recording's sizes, rate, hysteresis and whole episodes."""
    values = {"layer_size": 8, "hidden_size": 6, "gamma": 0.9, "learning_rate": 1e-3}
    values |= {"centralised_hidden_size": 6} if kind.endswith("ddrqn") else {}
    values |= {"hysteresis": 0.3, "hysteresis_end": 0.3, "sampling": "uniform", "trajectory_unit": "episode"}
    config = configure(kind, "tuned", Recorded(), values | NEUTRAL | overrides)
    hyper = hyper_of(config)
    return mac_q.make_networks(Recorded(), config, kind), hyper


NEUTRAL = {"reward_scale": 1.0, "grad_clip": 0.0, "max_rows": 0, "close_on_terminal": False, "target_steps": 5000}
NOW = Progress(jnp.int32(0), jnp.int32(0), jnp.int32(1))


def recorded_state(parts, hyper, net):
    with np.load(GOLDEN / "value_based_losses.npz") as file:

        def read(kind):
            nets = {}
            if parts.agents is not None:
                nets["agents"] = recurrent_net(file.__getitem__, [f"{net}/{i}/{kind}/" for i in AGENTS])
            if parts.centralised is not None:
                name = "cenq" if parts.agents is None else f"{net}/cen"
                nets["centralised"] = recurrent_net(file.__getitem__, [f"{name}/{kind}/"])
            return nets

        drawn = mac_q.init(parts, jax.random.key(0), hyper)
        found = {kind: read(kind) for kind in ("policy", "target", "grad", "after")}
    chex.assert_trees_all_equal_shapes_and_dtypes(jax.device_get(drawn.params), found["policy"])
    return LearnerState(found["policy"], found["target"], drawn.opt_state), found


def recorded_rows(parts, hyper, garbage=0, horizon=8):
    episodes = [recorded_episode(i, horizon, garbage) for i in range(len(SQUEEZE["episodes"]))]
    batch = jax.tree.map(lambda *leaves: jnp.stack(leaves), *episodes)
    return batch_of(parts, hyper, batch)


def batch_of(parts, hyper, episodes):
    sample = sample_of(episodes)
    return Batch(*mac_q.rows_of(parts.config, sample, hyper, jax.random.key(0)), sample.weight)


CASES = {"mac-dec-q": ("decq", "macdecq"), "mac-cen-q": ("cenq", "maccenq"), "mac-dec-ddrqn": ("dd", "macdecddrqn")}


@pytest.fixture(scope="module", params=CASES)
def update(request):
    """Networks, the recorded numbers, our losses and the state after one update."""
    parts, hyper = small(request.param)
    net, name = CASES[request.param]
    state, found = recorded_state(parts, hyper, net)
    cuts = recorded_rows(parts, hyper, garbage=1e6, horizon=11)

    @jax.jit
    def run(state, cuts):
        return mac_q.learn(parts, state, cuts, cuts, hyper, NOW)[:2]

    after, losses = run(state, cuts)
    return parts, hyper, SQUEEZE[name], found, state, after, losses, cuts


def own_part(update):
    parts, hyper, _recorded, _found, state, after, _losses, (own, joint, weight) = update
    choice = None
    if parts.centralised is not None:
        best = mac_q.joint_choice(parts, after.params["centralised"], joint)
        choice = jnp.take_along_axis(parts.joint.split(best), own.closing, axis=0)

    def each(params):
        return mac_q.own_losses(parts, params, state.target["agents"], own, choice, hyper, NOW, weight)[0]

    return each


def test_losses_are_the_recorded_ones(update):
    parts, _, recorded, _, state, _, losses, _ = update
    if parts.centralised is not None:
        expected = recorded.get("cen_loss", recorded.get("loss"))
        assert losses["centralised_loss"] == pytest.approx(expected, rel=1e-6)
    if parts.agents is not None:
        expected = recorded.get("dec_loss", recorded.get("loss"))
        np.testing.assert_allclose(own_part(update)(state.params["agents"]), expected, rtol=1e-6)
        assert losses["agent_losses"] == pytest.approx(sum(expected), rel=1e-6)


def test_gradients_are_the_recorded_ones(update):
    parts, hyper, _, found, state, _, _, (_, joint, weight) = update
    if parts.agents is not None:
        each = own_part(update)
        gradient = jax.jit(jax.grad(lambda params: each(params).sum()))(state.params["agents"])
        chex.assert_trees_all_close(gradient, found["grad"]["agents"], atol=2e-6, rtol=0)
    if parts.centralised is not None:
        beta = parts.agents is None
        gradient = jax.jit(
            jax.grad(lambda p: mac_q.joint_loss(parts, p, state.target, joint, hyper, NOW, weight, beta)[0])
        )(state.params)["centralised"]
        chex.assert_trees_all_close(gradient, found["grad"]["centralised"], atol=2e-6, rtol=0)


def test_parameters_after_a_step_are_the_recorded_ones(update):
    _, _, _, found, state, after, _, _ = update
    chex.assert_trees_all_close(after.params, found["after"], atol=1e-6, rtol=0)
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
            best = mac_q.joint_choice(parts, params["centralised"], joint)
            packed = np.asarray(best).T[np.asarray(joint.mask).T]
            assert packed.tolist() == recorded[key]
    fixed = np.where(np.asarray(joint.ended), -1, np.asarray(joint.macro_action))
    assert fixed.transpose(1, 0, 2)[np.asarray(joint.mask).T].tolist() == recorded["m_minus"]


@pytest.mark.parametrize("index", range(len(SQUEEZE["episodes"])))
def test_mac_cert_of_the_recorded_squeeze(index):
    chosen = trajectory_of(
        jax.random.key(0),
        recorded_episode(index, horizon=12, garbage=7),
        trajectory=1,
        trajectory_unit="episode",
        close_on_terminal=False,
    )
    rows = jax.device_get(own_rows(chosen, 0.9))
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


def test_joint_numbers_are_row_major():
    joint = joint_of((2, 3, 2), (1, 2, 1))
    parts = joint.split(jnp.arange(12))
    assert joint.index(parts).tolist() == list(range(12))
    assert joint.index(jnp.array([1, 2, 0])) == 10  # 6 a0 + 2 a1 + a2
    obs = jnp.array([[1.0, 9.0], [2.0, 3.0], [4.0, 9.0]])
    assert joint.observation(obs).tolist() == [1, 2, 3, 4]  # without the padding


def test_allowed_joint_macro_actions_leave_the_running_ones_alone():
    joint = joint_of((2, 3, 2), (1, 1, 1))
    avail = jnp.ones((3, 3), bool).at[1, 2].set(False)
    choosing, running = jnp.array([False, True, False]), jnp.array([1, 0, 0])
    allowed = np.flatnonzero(joint.allowed(avail, choosing, running))
    assert [joint.split(jnp.array(k)).tolist() for k in allowed] == [[1, 0, 0], [1, 1, 0]]


def test_too_many_joint_macro_actions_are_refused_with_advice():
    with pytest.raises(ValueError, match=r"9,765,625 joint macro-actions .*allowed: <= 65,536.*mac-dec-q"):
        joint_of((5,) * 10, (4,) * 10)
    assert joint_of((2,) * 10, (4,) * 10).size == 1024


def team_step(**changed):
    """A batch of one TimeStep of a team whose agent 0 still runs macro-action 1."""
    return SimpleNamespace(
        macro_obs=jnp.ones((1, 3, 2)),
        macro_action=jnp.array([[1, 0, 0]]),
        ended=jnp.array([[False, True, True]]),
        avail=jnp.array([[[1, 1, 0], [1, 1, 1], [1, 1, 0]]], bool),
        **changed,
    )


def test_the_centralised_policy_chooses_for_who_must_and_explores_together():
    parts, hyper = small("mac-cen-q")
    params = mac_q.init(parts, jax.random.key(3), hyper).params
    policy = mac_q.behaviour(parts, params, "main")
    ts = team_step()
    _, greedy = policy.act(jax.random.key(0), policy.initial_carry(1), ts, jnp.zeros(1))
    assert greedy[0, 0] == 1
    act = jax.jit(jax.vmap(lambda key: policy.act(key, policy.initial_carry(1), ts, jnp.full(1, 0.5))[1][0]))
    moves = np.asarray(act(jax.random.split(jax.random.key(1), 3000)))
    same = (moves[:, 1:] == np.asarray(greedy)[0, 1:]).all(1).mean()
    assert same == pytest.approx(0.5 + 0.5 / 6, abs=0.04)  # one coin for both, six joint choices


@pytest.mark.parametrize(("recurrent", "moves"), [(False, False), (True, True)])
def test_exploration_without_memory_keeps_the_hidden_state_at_zero(recurrent, moves):
    for kind in ("mac-dec-q", "mac-cen-q"):
        parts, hyper = small(kind, recurrent_exploration=recurrent)
        params = mac_q.init(parts, jax.random.key(0), hyper).params
        policy = mac_q.behaviour(parts, params, "main")
        hidden, _ = policy.act(jax.random.key(0), policy.initial_carry(1), team_step(), jnp.zeros(1))
        assert bool((hidden != 0).any()) == moves
        judged = mac_q.evaluation(parts, params)  # always recurrent
        hidden, _ = judged.act(jax.random.key(0), judged.initial_carry(1), team_step(), jnp.zeros(1))
        assert bool((hidden != 0).any())


def test_who_explores_where():
    """Parallel: a stream for each kind of net. With centralised exploration: the joint net, or now and then."""

    def width(kind, stream, **options):
        parts, hyper = small(kind, centralised_hidden_size=7, **options)
        carry = mac_q.behaviour(parts, mac_q.init(parts, jax.random.key(0), hyper).params, stream).initial_carry(1)
        return [leaf.shape[-1] for leaf in jax.tree.leaves(carry)]

    assert width("parallel-mac-dec-ddrqn", "centralised") == [7]
    assert width("parallel-mac-dec-ddrqn", "decentralised") == [6]
    assert width("mac-dec-ddrqn", "main", centralised_exploration=False) == [6]
    assert width("mac-dec-ddrqn", "main", centralised_exploration=True) == [7]
    assert width("mac-dec-ddrqn", "main", centralised_exploration=True, exploration_switch=True) == [6, 7]


def test_the_switch_takes_the_joint_net_with_probability_epsilon():
    seldom, often = (
        Policy(lambda batch: (), lambda key, carry, ts, epsilon, c=c: (carry, jnp.full((*epsilon.shape, 3), c)))
        for c in (1, 0)
    )
    act = jax.jit(mac_q.switched(often, seldom).act)
    for epsilon in (0.0, 0.25, 1.0):
        joint = act(jax.random.key(0), ((), ()), None, jnp.full(2000, epsilon))[1]
        assert (joint == joint[:, :1]).all()  # one coin for all
        assert float(joint.mean()) == pytest.approx(epsilon, abs=0.03)


@pytest.mark.slow
def test_each_kind_of_net_learns_from_its_own_stream():
    """Parallel: the decentralised stream without rows stops the decentralised nets alone."""
    parts, hyper = small("parallel-mac-dec-ddrqn")
    algorithm = mac_q.make(Recorded(), parts.config, "parallel-mac-dec-ddrqn")
    full = jax.tree.map(lambda x: x[None], recorded_episode(0))
    empty = full.replace(mask=jnp.zeros_like(full.mask))
    batches = {"centralised": sample_of(full), "decentralised": sample_of(empty)}
    state = algorithm.init(jax.random.key(0), hyper)
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
        lambda own: mac_q.learn(parts, state, *[batch._replace(own=own)] * 2, hyper, NOW)[1]["agent_losses"]
    )
    capped = learn(own._replace(closing=jnp.where(first, -1, own.closing)))
    assert capped == learn(own._replace(mask=own.mask & ~first)) != learn(own)


def test_a_net_without_rows_stays_as_it_is():
    """Episode 1 alone: agent 1 never ends a macro-action there, so its net takes no step."""
    parts, hyper = small("mac-dec-q")
    state = mac_q.init(parts, jax.random.key(0), hyper)
    batch = jax.tree.map(lambda x: x[None], recorded_episode(1))

    @jax.jit
    def learn(state):
        cuts = batch_of(parts, hyper, batch)
        return mac_q.learn(parts, state, cuts, cuts, hyper, NOW)

    after, losses, _ = learn(state)
    moved = jax.tree.map(
        lambda a, b: np.asarray((a != b).any(axis=tuple(range(1, a.ndim)))), after.params, state.params
    )
    assert np.any(jax.tree.leaves(moved), axis=0).tolist() == [True, False, True]
    assert np.isfinite(losses["agent_losses"])
    steps = jax.tree.leaves(after.opt_state["agents"], is_leaf=lambda x: getattr(x, "dtype", None) == jnp.int32)
    assert [x.tolist() for x in steps if x.dtype == jnp.int32] == [[1, 0, 1]]


@pytest.mark.slow
def test_targets_are_copied_every_so_many_primitive_steps():
    parts, hyper = small("mac-dec-q", target_steps=30, train_freq=10)
    state = mac_q.init(parts, jax.random.key(0), hyper)
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


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("mac-dec-q", {"centralised_exploration": True}, "a setting of mac-dec-ddrqn; mac-dec-q does not have it"),
        ("mac-dec-ddrqn", {"exploration_switch": True}, "needs centralised_exploration=True"),
    ],
)
def test_refusals(kind, options, message):
    with pytest.raises(ValueError, match=message):
        small(kind, **options)


def test_windows_need_primitive_steps():
    config = configure("mac-dec-q", "tuned", Recorded(), {"sampling": "windows", "trajectory_unit": "episode"})
    with pytest.raises(ValueError, match="sampling='windows' needs trajectory_unit='steps'"):
        mac_q.make(Recorded(), config, "mac-dec-q")
