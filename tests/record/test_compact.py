"""Replays store observations and states in the smallest types that are exact, and nothing else changes."""

import copy
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.probes import Asynchronous
from support.runs import TINY, as_if_killed
from support.selection import slow_except

import jaxmac
from jaxmac import envs
from jaxmac.envs import Environment, Outcome
from jaxmac.envs.multiples import Multiples
from jaxmac.record import random_policy
from jaxmac.record.compact import compact_replay, packed
from jaxmac.record.rollout import rollout
from jaxmac.record.samplers import tournament_replay
from jaxmac.runs.checkpoint import read_checkpoint
from jaxmac.runs.members import make_members
from jaxmac.training.compiled import example_episode
from jaxmac.training.memory import tree_bytes
from jaxmac.training.program import Program

MOST_BYTES = 300  # for each stored primitive step
SETTINGS = TINY | {"replay_episodes": 16, "hidden_size": 4}


def plain(env):
    """The environment, whose replays store observations and states as they are."""
    env = copy.copy(env)
    env.obs_multiples = env.state_multiples = None
    return env


def in_bits(tree):
    """The arrays of a tree as bytes. -0.0 counts as 0.0, its equal: XLA makes either of 0 times a constant."""
    arrays = map(np.asarray, jax.tree.leaves(jax.device_get(tree)))
    return [(x + np.zeros_like(x) if x.dtype.kind == "f" else x).tobytes() for x in arrays]


@pytest.mark.parametrize("env_id", envs.list_ids())
def test_a_stored_step_is_small(env_id, monkeypatch):
    env = envs.make(env_id)

    def nothing_happens(physics, macro_actions, started, noise):
        return physics, Outcome(started, macro_actions, jnp.float32(0), jnp.bool_(False))

    monkeypatch.setattr(env, "transition", nothing_happens)  # the sizes do not depend on it
    replay = compact_replay(tournament_replay(8, 4), env)
    storage = jax.eval_shape(lambda: replay.init(example_episode(env, random_policy())))
    assert tree_bytes(storage) / (8 * env.horizon) <= MOST_BYTES
    stored, _, _ = storage.experience
    units = env.state_multiples.unit
    rising = env_id.startswith("BoxPushing") and env_id.endswith("-primitive")  # robots leave the grid
    assert stored.state[0].dtype == (np.int16 if rising else np.int8)
    assert sum(x.shape[-1] for x in stored.state) == len(units)
    assert len(stored.state) == 1 + (0 in units)
    assert {leaf.dtype for leaf in jax.tree.leaves(stored.obs)} <= {np.dtype(t) for t in (np.int8, np.uint8, "f4")}


# The contract test, with `check_numbers`, plays the others.
FAMILIES = ("BoxPushing-4", "CaptureTarget-2", "Overcooked-A-primitive", "Warehouse-S")


@pytest.mark.parametrize("env_id", FAMILIES)
def test_packing_keeps_to_strict_ranks(env_id):
    env = envs.make(env_id)
    for multiples, size in ((env.obs_multiples, env.obs_size), (env.state_multiples, env.state_size)):
        if multiples is not None:
            with jax.numpy_rank_promotion("raise"):
                jax.eval_shape(lambda x, m=multiples: m.unpack(m.pack(x)), jax.ShapeDtypeStruct((3, 2, size), "f4"))


@pytest.mark.parametrize("env_id", slow_except(("BoxPushing-4", "Warehouse-S"), envs.list_ids()))
def test_what_was_added_is_sampled_to_the_bit(env_id):
    env = envs.make(env_id, horizon=40)
    replay = compact_replay(tournament_replay(8, 8), env)
    episodes = jax.jit(lambda key: rollout(env, random_policy(), key, jnp.ones(8)))(jax.random.key(3))

    @jax.jit
    def there_and_back(episodes):
        storage = replay.add(replay.init(jax.tree.map(lambda x: x[0], episodes)), episodes)
        return replay.sample(jax.random.key(0), storage)

    sample = there_and_back(episodes)
    assert sorted(sample.index.tolist()) == list(range(8))
    assert in_bits(sample.episodes) == in_bits(jax.tree.map(lambda x: np.asarray(x)[sample.index], episodes))
    assert type(sample.episodes) is type(episodes)


@pytest.mark.parametrize("size", [3, 9, 10, 63, 64, 1000, 1024])
@pytest.mark.parametrize("version", ["", "-primitive"])
def test_tori_of_any_size_are_exact(size, version):
    env = envs.make(f"CaptureTarget-2{version}", grid=size)
    cells = np.stack([np.arange(size)] * 2, -1)

    @jax.jit
    def there_and_back(cells):
        _, ts = jax.vmap(lambda cell: env.initial(cell[None].repeat(2, 0), cell, jnp.array([True, False])))(cells)
        given = (ts.obs, env.obs_multiples), (ts.state, env.state_multiples)
        return [(values, multiples.unpack(multiples.pack(values))) for values, multiples in given]

    for values, back in there_and_back(cells):
        assert in_bits(back) == in_bits(values)
    assert env.obs_multiples.dtype == (np.int8 if size <= 63 else np.int16)


@pytest.mark.parametrize("size", range(4, 31, 2))
def test_box_pushing_of_any_size_is_exact(size):
    env = envs.make(f"BoxPushing-{size}")
    cells = np.stack(np.meshgrid(np.arange(size), np.arange(size)), -1).reshape(-1, 1, 2).repeat(2, 1)

    @jax.jit
    def there_and_back(cells):
        states = jax.vmap(lambda cell: env.initial(cell, jnp.array([0, 3]))[1].state)(cells)
        return states, env.state_multiples.unpack(env.state_multiples.pack(states))

    states, back = there_and_back(cells)
    assert in_bits(back) == in_bits(states)


@pytest.mark.parametrize("horizon", [100, 2000])
@pytest.mark.parametrize("size", [4, 10, 30])
def test_robots_that_rise_out_of_the_grid_are_stored_as_they_are(size, horizon):
    """As they do for the rest of an episode after a joint push (bug P1), whatever they choose."""
    env = envs.make(f"BoxPushing-{size}-primitive", horizon=horizon)
    robots = envs.make(f"BoxPushing-{size}").initial_physics(jax.random.key(0)).robots
    state = jax.jit(
        lambda y: env.global_state(env.initial_physics(jax.random.key(0)).replace(robots=robots.replace(y=y)))
    )(jnp.array([size // 2, horizon + size // 2 - 2]))
    assert state[1] == np.float32((size // 2 + 0.5) / size) and state[7] > 3
    if env.state_multiples is None:
        assert horizon > 1000
    else:
        assert in_bits(env.state_multiples.unpack(env.state_multiples.pack(state))) == in_bits(state)


@pytest.mark.parametrize(("size", "horizon"), [(6, 110), (10, 100)])
def test_a_joint_push_and_a_deviation_are_exact_until_the_time_limit(size, horizon):
    env = envs.make(f"BoxPushing-{size}-primitive", horizon=horizon)
    state, _ = env.initial([[size // 2 - 1, size // 2 - 1], [size // 2, size // 2 - 1]], [0, 0])
    step = lambda state, joint: (lambda state, ts: (state, ts.state))(*env.advance(state, joint, ()))  # noqa: E731
    choices = jnp.array([[0, 0]] + [[3, 3]] * (horizon - 1))
    states = jax.jit(lambda state: jax.lax.scan(step, state, choices)[1])(state)
    rows = size // 2 + np.arange(horizon)
    np.testing.assert_array_equal(states[:, 1], ((rows + 0.5) / size).astype(np.float32))
    back = jax.jit(lambda x: env.state_multiples.unpack(env.state_multiples.pack(x)))(states)
    assert in_bits(back) == in_bits(states)


def test_options_with_longer_episodes_than_below_store_numbers_as_they_are():
    env, wait = envs.make("BoxPushing-10-primitive"), envs.options.Option("wait", lambda view: 3, lambda view: True)
    assert envs.options.WithOptions(env, [wait]).state_multiples == env.state_multiples
    assert envs.options.WithOptions(env, [wait], horizon=300).state_multiples is None


@pytest.mark.slow
@pytest.mark.parametrize("env_id", ["CaptureTarget-2", "Warehouse-S", "BoxPushing-4"])
def test_a_run_is_the_same_with_and_without(env_id):
    ends = []
    for env in (envs.make(env_id, horizon=12), plain(envs.make(env_id, horizon=12))):
        program = Program("avf-vdn", env, make_members("avf-vdn", env, "tuned", SETTINGS, 2, None))
        program.compile()
        program.advance(0, 6, 6)
        assert program.evaluate(6)[0]["updates"] > 0
        ends.append((program.members.learner, program.members.tally, program.members.best))
    assert in_bits(ends[0]) == in_bits(ends[1])


def test_garbage_after_the_end_stays_garbage_there():
    env = envs.make("Warehouse-S", horizon=6)
    replay = compact_replay(tournament_replay(2, 2), env)
    episodes = jax.jit(lambda key: rollout(env, random_policy(), key, jnp.ones(2)))(jax.random.key(3))
    state, mask = np.array(episodes.state), np.array(episodes.mask)
    state[:, 4:], mask[:, 4:] = np.nan, False
    dirty = episodes.replace(state=jax.device_put(state), mask=jax.device_put(mask))

    @jax.jit
    def there_and_back(dirty):
        storage = replay.add(replay.init(jax.tree.map(lambda x: x[0], dirty)), dirty)
        return replay.sample(jax.random.key(0), storage)

    sample, episodes = jax.device_get((there_and_back(dirty), episodes))
    assert in_bits(sample.episodes.state[:, :4]) == in_bits(episodes.state[sample.index, :4])
    assert sample.episodes.length.tolist() == [4, 4]


@pytest.mark.slow  # `tests/runs/test_formats.py` resumes one of format 1
def test_a_checkpoint_of_plain_arrays_goes_on_as_if_it_had_been_compact(tmp_path, monkeypatch):
    """Runs that were written before replays were compact: their arrays are packed as they are read."""
    values = {"episodes": 40, "checkpoint_every": 1, "progress": False, "env_options": {"horizon": 12}}
    run, whole = tmp_path / "run", tmp_path / "whole"
    with monkeypatch.context() as patched:
        patched.setattr(Environment, "_check_multiples", forget_multiples)
        jaxmac.train("avf-vdn", "Warehouse-S", out=run, **values, **SETTINGS)
    as_if_killed(run, 9)
    before = jaxmac.load(run)
    shapes = Program("avf-vdn", before.env, before.specs).shapes()["state"]
    state = read_checkpoint(run, 0, "state", shapes)
    assert jax.tree.structure(state) == jax.tree.structure(shapes)
    jaxmac.resume(run, progress=False)
    jaxmac.train("avf-vdn", "Warehouse-S", out=whole, **values, **SETTINGS)
    ends = [read_checkpoint(path, 0, "learners", shapes_of(path)) for path in (run, whole)]
    assert in_bits(ends[0]) == in_bits(ends[1])
    assert json.loads((run / "config.json").read_text())["status"] == "finished"


def forget_multiples(env):
    env.obs_multiples = env.state_multiples = None


def shapes_of(run):
    result = jaxmac.load(run)
    return Program("avf-vdn", result.env, result.specs).shapes()["learners"]


def test_an_environment_that_says_nothing_keeps_its_replay():
    env, replay = Asynchronous(), tournament_replay(8, 4)
    assert compact_replay(replay, env) is replay


def test_either_array_alone_can_be_packed():
    env = envs.make("CaptureTarget-2", horizon=5)
    episodes = jax.jit(lambda key: rollout(env, random_policy(), key, jnp.ones(2)))(jax.random.key(0))
    for obs, state in ((env.obs_multiples, None), (None, env.state_multiples)):
        back = jax.jit(lambda e, o=obs, s=state: packed(e, o, s).unpacked())(episodes)
        assert in_bits(back) == in_bits(episodes)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"state_multiples": Multiples((1.0,), 1)}, "state_multiples has the units"),
        ({"state_multiples": Multiples((0.0, 0.0), 1)}, "not only zeros"),
        ({"obs_multiples": Multiples((1.0,), 1), "obs_dtype": np.int8}, "obs_dtype is int8"),
    ],
)
def test_multiples_that_do_not_fit_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        Environment(action_names=[["go"]], obs_sizes=[1], state_size=2, horizon=3, **given)


def test_the_contract_finds_multiples_that_are_none():
    env = envs.make("CaptureTarget-2", horizon=5)
    env.state_multiples = Multiples((1.0,) * 6, 10)
    with pytest.raises(envs.ContractError, match="state_multiples do not give the state back at step 0"):
        envs.check_environment(env)
