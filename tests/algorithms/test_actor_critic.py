"""Mac-IAC, Mac-CAC, Mac-NIACC, Mac-IAICC against the reference's recorded updates and its worked example."""

import json
from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import GOLDEN
from support.actor_critic_recordings import Recorded, recorded_critics, recorded_episodes, small
from support.adam import assert_first_step, first_moment
from support.records import worked_example
from support.samples import sample_of
from support.torch_params import recurrent_net

from jaxmac.algorithms import Progress, actor_critic, configure
from jaxmac.algorithms.actor_critic_config import ROLES
from jaxmac.algorithms.targets import TargetRows, n_step_target

EXAMPLE = json.loads((GOLDEN / "pg_example.json").read_text())
CASES = {  # recording: algorithm, what critics see, their prefixes
    "MacIAC": ("mac-iac", "history", ("critic0.", "critic1.")),
    "MacCAC": ("mac-cac", "history", ("critic0.",)),
    "NaiveMacIACC": ("mac-niacc", "history", ("critic.",)),
    "NaiveMacIASC": ("mac-niacc", "state", ("critic.",)),
    "MacIAICC": ("mac-iaicc", "history", ("critic0.", "critic1.")),
    "MacIAISC": ("mac-iaicc", "state", ("critic0.", "critic1.")),
}


QUICK = [("MacIAC", 0), ("MacIAICC", 2)]
RECORDINGS = [
    pytest.param((name, n), id=f"{name}_n{n}", marks=[] if (name, n) in QUICK else [pytest.mark.slow])
    for name in CASES
    for n in (0, 2)
]


def rows_of(parts, hyper, batch):
    return actor_critic.rows_of(parts, hyper, batch, actor_critic.needed_joint_row(parts))


@pytest.fixture(scope="module", params=RECORDINGS)
def update(request):
    """The recording, and our losses, gradient of the actors, and parameters after one update."""
    name, n_step = request.param
    kind, seen, prefixes = CASES[name]
    with np.load(GOLDEN / "pg" / f"{name}_n{n_step}.npz") as file:
        data = {key: file[key] for key in file.files}
    assert (float(data["gamma"]), int(data["n_step"])) == (pytest.approx(0.9), n_step)
    parts, hyper = small(kind, critic=seen, n_step=n_step)
    actors = [f"actor{i}." for i in range(1 if kind == "mac-cac" else 2)]

    def actor_params(part):
        return recurrent_net(data.__getitem__, [f"{prefix}{part}." for prefix in actors], gru="gru")

    fresh = jax.jit(partial(actor_critic.init, parts))(jax.random.key(0), hyper)
    state = fresh.replace(
        actors=actor_params("init"),
        critics=recorded_critics(data, prefixes, seen, "init"),
        target=recorded_critics(data, prefixes, seen, "target"),
    )
    chex.assert_trees_all_equal_shapes(jax.device_get(fresh.actors), state.actors)
    chex.assert_trees_all_equal_shapes(jax.device_get(fresh.critics), state.critics)
    epsilon = jnp.float32(data["eps"])
    episodes = recorded_episodes(data, garbage=1e3)

    @jax.jit
    def run(state, episodes):
        rows = rows_of(parts, hyper, episodes)
        after, losses = actor_critic.learn(parts, state, rows, hyper, epsilon)
        return after, losses

    after, losses = jax.device_get(run(state, episodes))
    expected = {
        "actor_loss": [data[f"{prefix}loss"] for prefix in actors],
        "critic_loss": [data[f"{prefix}loss"] for prefix in prefixes if f"{prefix}loss" in data],
        "gradient": actor_params("grad"),
        "actors": actor_params("after"),
        "critics": recorded_critics(data, prefixes, seen, "after"),
    }
    return expected, losses, state, after, hyper


def test_losses_are_the_recorded_ones(update):
    expected, losses, *_ = update
    np.testing.assert_allclose(losses["actor_loss"], expected["actor_loss"], atol=3e-5, rtol=1e-6)
    if expected["critic_loss"]:
        np.testing.assert_allclose(losses["critic_loss"], expected["critic_loss"], atol=3e-5, rtol=1e-6)


def test_gradients_of_the_actors_are_the_recorded_ones(update):
    expected, _, _, after, _ = update
    # Adam's first moment is a tenth of the gradient that it was given.
    gradient = jax.tree.map(lambda x: 10.0 * x, first_moment(after.actor_opt_state))
    chex.assert_trees_all_close(gradient, expected["gradient"], atol=2e-6, rtol=2e-6)


def test_parameters_after_a_step_are_the_recorded_ones(update):
    expected, _, before, after, hyper = update
    critics, actors = first_moment(after.critic_opt_state), first_moment(after.actor_opt_state)
    rate = float(hyper.critic_learning_rate)
    assert_first_step(before.critics, after.critics, expected["critics"], critics, rate)
    rate = float(hyper.actor_learning_rate)
    assert_first_step(before.actors, after.actors, expected["actors"], actors, rate)


def example_episode(name):
    """Episode `name` of the worked example; an observation is the number of steps at its last refresh."""
    told = EXAMPLE["episodes"][name]
    obs = np.zeros((told["T"] + 1, 2, 3), np.float32)
    obs[:, :, 0] = np.arange(told["T"] + 1)[:, None]
    return worked_example(told, obs=obs, horizon=8, garbage=50)


def stacked(names):
    return jax.device_put(jax.tree.map(lambda *x: np.stack(x), *[example_episode(name) for name in names]))


@pytest.fixture(scope="module")
def example_rows():
    parts, hyper = small("mac-iaicc")
    batch = stacked(EXAMPLE["order"])
    return jax.device_get(jax.jit(lambda batch: rows_of(parts, hyper, batch))(batch))


def stub_critics(rows):
    """The example's critics: V = o0 + o1 and V' = 2 o0 + o1, over joint rows `[rows+1, batch]`."""
    obs = rows.joint.obs[..., 0]
    return obs.sum(-1), 2 * obs[..., 0] + obs[..., 1]


def check(found, mask, told):
    for e, expected in enumerate(told):
        real = mask[:, e]
        assert real.sum() == np.count_nonzero(real[: len(expected)])
        np.testing.assert_allclose(np.asarray(found)[real, e], expected[: real.sum()], rtol=2e-5, atol=2e-6)


def target_of(rows, bootstrap, n):
    return np.asarray(jax.jit(n_step_target, static_argnums=2)(rows, bootstrap, n))


@pytest.mark.parametrize("agent", [0, 1])
def test_the_worked_example_of_own_rows(example_rows, agent):
    rows, told = example_rows, EXAMPLE["iaicc"][str(agent)]
    own, (online, target) = rows.own, stub_critics(rows)
    mask = own.mask[..., agent]
    assert mask.sum(0).tolist() == told["len"]
    bootstrap = np.take_along_axis(target[1:], own.closing[..., agent], 0)
    value = np.take_along_axis(online[:-1], own.opening[..., agent], 0)
    check(own.reward[..., agent], mask, told["reward"])
    check(own.macro_action[..., agent], mask, told["action"])
    check(0.9 ** own.last_step[..., agent], mask, told["discount_end"])
    check(own.terminal[..., agent], mask, told["terminate"])
    check(bootstrap, mask, told["bootstrap"])
    check(value, mask, told["V_start"])
    for n, expected in told["G"].items():
        rows_of_agent = (own.reward[..., agent], 0.9 ** own.duration[..., agent], own.terminal[..., agent], mask)
        returns = target_of(TargetRows(*rows_of_agent), bootstrap, int(n))
        check(returns, mask, expected)
        check(returns - value, mask, told["adv"][n])


def test_the_worked_example_of_joint_rows(example_rows):
    rows, told = example_rows, EXAMPLE["niacc"]
    joint, (online, target) = rows.joint, stub_critics(rows)
    assert joint.mask.sum(0).tolist() == told["len"]
    check(joint.reward, joint.mask, told["reward"])
    check(target[1:], joint.mask, told["bootstrap"])
    check(online[:-1], joint.mask, told["V"])
    for n, expected in told["G"].items():
        joint_rows = TargetRows(joint.reward, 0.9**joint.duration, joint.terminal, joint.mask)
        returns = target_of(joint_rows, target[1:], int(n))
        check(returns, joint.mask, expected)
        for agent in (0, 1):
            handed = np.take_along_axis(returns - online[:-1], rows.own.closing[..., agent], 0)
            check(handed, rows.own.mask[..., agent], told["adv_agent"][n][agent])


@pytest.mark.slow
def test_a_cap_leaves_out_own_rows_whose_joint_rows_are_gone():
    batch = jax.tree.map(lambda x: x[None], example_episode("A"))

    def cut(cap, critic="history"):
        parts, hyper = small("mac-iaicc", max_rows=cap, critic=critic)
        return jax.device_get(jax.jit(lambda batch: rows_of(parts, hyper, batch))(batch))

    rows, every = cut(2), cut(0)
    assert rows.joint.last_step[:, 0].tolist() == [5, 6]
    # Agent 0's last macro-action is steps 5 and 6; agent 1's, 4 and 5, begins with a joint row that is gone.
    assert rows.own.mask[:, 0].tolist() == [[False, False], [True, False]]
    assert rows.own.dropped[0].tolist() == (every.own.mask.sum(0) - rows.own.mask.sum(0))[0].tolist() == [2, 3]
    assert int(rows.joint.dropped[0]) == 4 and cut(2, "state").own.mask.all()  # that reads no joint rows


def test_with_epsilon_one_the_actors_do_not_move():
    parts, hyper = small("mac-iac")
    batch = stacked("AB")
    state = jax.jit(partial(actor_critic.init, parts))(jax.random.key(0), hyper)

    @jax.jit
    def learn(epsilon):
        return actor_critic.learn(parts, state, rows_of(parts, hyper, batch), hyper, epsilon)[0]

    for epsilon, moves in ((1.0, False), (0.5, True)):
        assert differ(learn(jnp.float32(epsilon)).actors, state.actors) == moves


@pytest.mark.parametrize("weight_at_decision", [False, True])
def test_the_loss_of_the_actors_by_hand(weight_at_decision, example_rows):
    """All choices equally likely: log pi = -log 3 and the entropy is log 3 everywhere (section 6)."""
    parts, hyper = small("mac-iac", weight_at_decision=weight_at_decision, entropy_weight=0.25)
    drawn = jax.jit(partial(actor_critic.init, parts))(jax.random.key(0), hyper).actors
    params = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), drawn)
    advantage = np.random.default_rng(0).normal(size=example_rows.own.mask.shape).astype(np.float32)
    losses = jax.jit(lambda a: actor_critic.actor_losses(parts, params, example_rows, a, hyper, jnp.float32(0.1)))
    found, entropy = losses(advantage)
    np.testing.assert_allclose(entropy, np.log(3), rtol=1e-6)
    expected = []
    for agent in (0, 1):
        gains = []
        for e, name in enumerate(EXAMPLE["order"]):
            ended = [s for s in EXAMPLE["episodes"][name]["segments"][agent] if s[3]]
            for row, (_, first, last, _) in enumerate(ended):
                discount = 0.9 ** (first if weight_at_decision else last)
                gains.append(discount * np.log(3) * (0.25 - advantage[row, e, agent]))
        expected.append(-np.mean(gains))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_entropy_is_that_of_the_available_macro_actions(example_rows):
    """The policy chooses among these only, whether or not its loss is conditional on them."""
    parts, hyper = small("mac-iac")
    drawn = jax.jit(partial(actor_critic.init, parts))(jax.random.key(0), hyper).actors
    params = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), drawn)
    avail = np.zeros_like(example_rows.own.avail)
    avail[..., :2] = True
    rows = example_rows._replace(own=example_rows.own._replace(avail=avail))
    losses = jax.jit(lambda rows, a: actor_critic.actor_losses(parts, params, rows, a, hyper, jnp.float32(0.1)))
    entropy = losses(rows, np.ones_like(rows.own.reward))[1]
    np.testing.assert_allclose(entropy, np.log(2), rtol=1e-5)


@pytest.mark.slow
def test_a_conditional_choice_is_likelier(example_rows):
    advantage = jnp.ones_like(example_rows.own.reward)[..., :1]

    def loss(**options):
        parts, hyper = small("mac-cac", **options)
        params = jax.jit(partial(actor_critic.init, parts))(jax.random.key(1), hyper).actors
        losses = jax.jit(lambda *given: actor_critic.actor_losses(parts, *given, hyper, jnp.float32(0.1)))
        return losses(params, example_rows, advantage)[0][0]

    assert loss(conditional_log_prob=True) < loss()  # among fewer


def test_a_macro_action_that_could_not_be_chosen_has_no_part_in_a_conditional_loss(example_rows):
    parts, hyper = small("mac-iac", conditional_log_prob=True)
    params = jax.jit(partial(actor_critic.init, parts))(jax.random.key(1), hyper).actors
    losses = jax.jit(lambda rows, a: actor_critic.actor_losses(parts, params, rows, a, hyper, jnp.float32(0.1)))
    own = example_rows.own
    avail, mask = own.avail.copy(), own.mask.copy()
    avail[0][np.eye(avail.shape[-1], dtype=bool)[own.macro_action[0]]] = False
    mask[0] = False
    given = [own, own._replace(avail=avail), own._replace(avail=avail, mask=mask)]
    usual, replaced, left_out = (losses(example_rows._replace(own=x), np.ones_like(own.reward))[0] for x in given)
    np.testing.assert_array_equal(replaced, left_out)
    assert (replaced != usual).any()


def test_an_actor_without_a_choice_does_not_move():
    """With `conditional_log_prob`: not even by the momentum of Adam, which an update before has given it."""
    parts, hyper = small("mac-iac", conditional_log_prob=True)
    rows = jax.jit(lambda batch: rows_of(parts, hyper, batch))(stacked("AB"))
    others = ~jax.nn.one_hot(rows.own.macro_action, rows.own.avail.shape[-1], dtype=bool)
    first = (jnp.arange(2) == 0)[:, None]
    avail = jnp.where(first, others, rows.own.avail)  # what agent 0 ran was put in the place of its choice
    learn = jax.jit(lambda state, rows: actor_critic.learn(parts, state, rows, hyper, jnp.float32(0))[0])
    before = learn(jax.jit(partial(actor_critic.init, parts))(jax.random.key(0), hyper), rows)
    after = learn(before, rows._replace(own=rows.own._replace(avail=avail)))
    moved = [bool((x[agent] != y[agent]).any()) for agent in (0, 1) for x, y in leaf_pairs(before, after)]
    half = len(moved) // 2
    assert not any(moved[:half]) and any(moved[half:])


def leaf_pairs(before, after):
    """Each leaf of the actors' parameters, before and after."""
    return zip(jax.tree.leaves(before.actors), jax.tree.leaves(after.actors), strict=True)


@pytest.fixture(scope="module")
def two_updates():
    """States before, between and after updates on the first six training episodes, three by three.

    Exploration falls from 1 to nothing within the first three; targets are copied every six.
    """
    schedule = {"epsilon_start": 1.0, "epsilon_end": 0.0, "epsilon_episodes": 3.0}
    parts, hyper = small("mac-iac", target_episodes=6, **schedule)
    algorithm = actor_critic.make(Recorded(), parts.config, ROLES["mac-iac"])
    batch = stacked("ABC")
    run, states = jax.jit(algorithm.update), [jax.jit(algorithm.init)(jax.random.key(0), hyper)]
    for episodes in (3, 6):
        now = Progress(jnp.int32(0), jnp.int32(episodes), jnp.int32(0))
        state, metrics = run(states[-1], hyper, {"main": sample_of(batch)}, now, jax.random.key(0))
        assert np.isfinite(metrics["loss"])
        states.append(state)
    return states


def differ(one, other):
    one, other = jax.device_get((one, other))
    return any(jax.tree.leaves(jax.tree.map(lambda a, b: bool((a != b).any()), one, other)))


def test_targets_are_copied_once_per_period(two_updates):
    _, between, after = two_updates
    assert differ(between.critics, between.target) and not differ(after.critics, after.target)


def test_actors_learn_under_the_exploration_of_the_episodes_learned_from(two_updates):
    """The first three episodes were played at random, so that no choice of theirs says anything of the actors."""
    before, between, after = two_updates
    assert not differ(before.actors, between.actors) and differ(between.actors, after.actors)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("mac-iac", {"n_step": 9}, "n_step is 9, but must be <= 8, the horizon"),
        ("mac-iac", {"share_parameters": True}, "share_parameters is a setting of .*; mac-iac does not have it"),
        ("mac-niacc", {"critic": "oracle"}, "critic='oracle': unknown critic; known: history, state"),
    ],
)
def test_refusals(kind, options, message):
    with pytest.raises(ValueError, match=message):
        small(kind, **options)


def test_a_state_critic_needs_a_state():
    class Blind(Recorded):
        def __init__(self):
            super().__init__()
            self.state_size = 0

    config = configure("mac-iaicc", "tuned", Blind(), {"critic": "state"})
    with pytest.raises(ValueError, match="critic is 'state', but must be 'history': Blind has no global state"):
        actor_critic.make(Blind(), config, ROLES["mac-iaicc"])
