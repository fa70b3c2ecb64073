"""How the value-based baselines act and explore, and what they refuse."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.mac_q_recordings import Recorded, drawn_state, small

from jaxmac.algorithms import actor_critic, configure, mac_q
from jaxmac.algorithms.actor_critic_config import ROLES
from jaxmac.algorithms.mac_q_config import NETWORK_ROLES
from jaxmac.algorithms.mac_q_networks import MacQNetworks, best_joint, mixed_policy
from jaxmac.algorithms.stochastic_policy import sampled_policy
from jaxmac.networks.joint import make_joint_space
from jaxmac.record.policy import Policy


def team_step(**changed):
    """A batch of one TimeStep of a team whose agent 0 still runs macro-action 1."""
    fields = {
        "macro_obs": jnp.ones((1, 3, 2)),
        "macro_action": jnp.array([[1, 0, 0]]),
        "ended": jnp.array([[False, True, True]]),
        "avail": jnp.array([[[1, 1, 0], [1, 1, 1], [1, 1, 0]]], bool),
    }
    return SimpleNamespace(**fields | changed)


def act(policy, ts):
    """The new carry and the choice of a policy that does not explore, at its first step."""
    return jax.jit(lambda: policy.act(jax.random.key(0), policy.initial_carry(1), ts, jnp.zeros(1)))()


def test_joint_numbers_are_row_major():
    joint = make_joint_space((2, 3, 2), (1, 2, 1))
    parts = joint.decode(jnp.arange(12))
    assert joint.encode(parts).tolist() == list(range(12))
    assert joint.encode(jnp.array([1, 2, 0])) == 10  # 6 a0 + 2 a1 + a2
    obs = jnp.array([[1.0, 9.0], [2.0, 3.0], [4.0, 9.0]])
    assert joint.observation(obs).tolist() == [1, 2, 3, 4]  # without the padding


def test_allowed_joint_macro_actions_leave_the_running_ones_alone():
    joint = make_joint_space((2, 3, 2), (1, 1, 1))
    avail = jnp.ones((3, 3), bool).at[1, 2].set(False)
    choosing, running = jnp.array([False, True, False]), jnp.array([1, 0, 0])
    allowed = np.flatnonzero(joint.allowed(avail, choosing, running))
    assert [joint.decode(jnp.array(k)).tolist() for k in allowed] == [[1, 0, 0], [1, 1, 0]]


@pytest.mark.parametrize("kind", ["mac-cen-q", "mac-cac"])
def test_a_running_macro_action_that_could_not_start_now_leaves_the_others_their_choice(kind):
    """The arg max was taken over nothing: index 0, whatever the others may choose."""
    joint = make_joint_space((2, 3, 2), (1, 1, 1))
    avail = jnp.array([[1, 0, 0], [0, 0, 1], [0, 1, 0]], bool)
    choosing, running = jnp.array([False, True, True]), jnp.array([1, 0, 0])
    allowed = np.flatnonzero(joint.allowed(avail, choosing, running))
    assert [joint.decode(jnp.array(k)).tolist() for k in allowed] == [[1, 2, 1]]
    ts = team_step(avail=avail[None])
    if kind == "mac-cen-q":
        parts, hyper = small(kind)
        policy = mac_q.behaviour(parts, drawn_state(parts, hyper, seed=3).params, "main")
    else:
        env = Recorded()
        networks = actor_critic.make_networks(env, configure(kind, "reference", env, {}), ROLES[kind])
        params = jax.jit(networks.actors.init)(jax.random.key(0))
        policy = sampled_policy(networks.actors, params, (networks.joint.size,), networks.joint)
    _, chosen = act(policy, ts)
    assert chosen.tolist() == [[1, 2, 1]]


def test_too_many_joint_macro_actions_are_refused_with_advice():
    with pytest.raises(ValueError, match=r"9,765,625 joint macro-actions .*it has 65,536 at most.*mac-dec-q"):
        make_joint_space((5,) * 10, (4,) * 10)
    assert make_joint_space((2,) * 10, (4,) * 10).size == 1024


def test_the_centralised_policy_chooses_for_who_must_and_explores_together():
    parts, hyper = small("mac-cen-q")
    params = drawn_state(parts, hyper, seed=3).params
    policy = mac_q.behaviour(parts, params, "main")
    ts = team_step()
    _, greedy = act(policy, ts)
    assert greedy[0, 0] == 1
    explore = jax.jit(jax.vmap(lambda key: policy.act(key, policy.initial_carry(1), ts, jnp.full(1, 0.5))[1][0]))
    moves = np.asarray(explore(jax.random.split(jax.random.key(1), 3000)))
    same = (moves[:, 1:] == np.asarray(greedy)[0, 1:]).all(1).mean()
    assert same == pytest.approx(0.5 + 0.5 / 6, abs=0.04)  # one coin for both, six joint choices


@pytest.mark.slow
@pytest.mark.parametrize(("recurrent", "moves"), [(False, False), (True, True)])
def test_exploration_without_memory_keeps_the_hidden_state_at_zero(recurrent, moves):
    for kind in ("mac-dec-q", "mac-cen-q"):
        parts, hyper = small(kind, recurrent_exploration=recurrent)
        params = drawn_state(parts, hyper).params
        policy = mac_q.behaviour(parts, params, "main")
        hidden, _ = act(policy, team_step())
        assert bool((hidden != 0).any()) == moves
        judged = mac_q.evaluation(parts, params)  # always recurrent
        hidden, _ = act(judged, team_step())
        assert bool((hidden != 0).any())


@pytest.mark.slow
def test_who_explores_where():
    """Parallel: a stream for each kind of net. With centralised exploration: the joint net, or now and then."""

    def width(kind, stream, **options):
        parts, hyper = small(kind, centralised_hidden_size=7, **options)
        carry = jax.eval_shape(
            lambda: mac_q.behaviour(parts, drawn_state(parts, hyper).params, stream).initial_carry(1)
        )
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
    act = jax.jit(mixed_policy(often, seldom).act)
    for epsilon in (0.0, 0.25, 1.0):
        joint = act(jax.random.key(0), ((), ()), None, jnp.full(2000, epsilon))[1]
        assert (joint == joint[:, :1]).all()  # one coin for all
        assert float(joint.mean()) == pytest.approx(epsilon, abs=0.03)


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
        mac_q.make(Recorded(), config, NETWORK_ROLES["mac-dec-q"])


def test_more_windows_than_can_be_counted_are_refused():
    options = {"sampling": "windows", "trajectory": 10**7, "trajectory_unit": "steps"}
    config = configure("mac-dec-q", "reference", Recorded(), options)
    with pytest.raises(
        ValueError, match=r"draws one of up to [\d,]+ windows .* but can count 2,000,000,000 at most"
    ):
        mac_q.make(Recorded(), config, NETWORK_ROLES["mac-dec-q"])


@pytest.mark.parametrize("conditional", [True, False])
def test_an_agent_that_has_none_available_keeps_what_it_runs(conditional):
    """Of sizes 2 and 3 the second runs macro-action 2; the first chooses, and its second one is better."""
    networks = MacQNetworks(
        None, SimpleNamespace(conditional=conditional), None, None, make_joint_space((2, 3), (1, 1))
    )
    avail = np.array([[[[True, True, False], [False, False, False]]]])
    rows = SimpleNamespace(ended=np.array([[[True, False]]]), next_avail=avail, macro_action=np.array([[[0, 2]]]))
    q = np.arange(6.0, dtype=np.float32)[None, None]
    assert best_joint(networks, q, rows) == 5  # (1, 2)
