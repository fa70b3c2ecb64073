"""Overcooked against the recordings of the reference; what is observed and believed; plans and options."""

import jax
import numpy as np
import pytest
from support.overcooked_play import (
    BATCH,
    KNIFE,
    ONION,
    PLATE1,
    RECORDINGS,
    TOMATO,
    USUAL,
    check_invariants,
    jitted,
    place,
    run_batched,
)
from support.selection import slow_except

from jaxmac import envs
from jaxmac.envs.overcooked.kitchen import HAND, ON_PLATE


# One room, two rooms with a counter between them, primitive actions; the others differ in numbers.
@pytest.mark.parametrize("name", slow_except(["C", "primitive_C_fuzz"], RECORDINGS))
def test_replays_the_reference(name, golden):
    data, meta = golden(f"overcooked_{name}")
    made = meta["constructor"]
    env_id = f"Overcooked-{made['map_type']}" + "-primitive" * ("primitive" in name)
    options = {"num_agents": made["n_agent"], "size": made["grid_dim"][0], "view_radius": made["obs_radius"]}
    options = {key: value for key, value in options.items() if value != USUAL[key]}
    assert meta["episode_limit"] == 200 and len(data["actions"]) == BATCH
    env, states, ts, primitive = run_batched(data["actions"], env_id, **options)
    steps = data["mask"]
    rows = np.arange(steps.shape[1] + 1) <= steps.sum(1, keepdims=True)  # the last one is after the last step
    assert steps.sum() > 1800
    np.testing.assert_array_equal(ts.ended[:, 1:][steps], data["mac_done"][steps])
    np.testing.assert_array_equal(ts.terminal[:, 1:][steps], data["done"][steps])
    np.testing.assert_array_equal(primitive[steps], data["prim_actions"][steps])
    np.testing.assert_array_equal(states.physics.chop_count[rows], data["chop_count"][rows])
    np.testing.assert_array_equal(ts.state[rows], data["state"][rows])
    np.testing.assert_allclose(ts.reward[:, 1:][steps], data["reward"][steps], atol=1e-5)
    np.testing.assert_allclose(ts.macro_obs[rows], data["obs"][rows], atol=1e-6)
    believed = np.asarray(jax.jit(jax.vmap(jax.vmap(env.believed)))(states.physics))
    np.testing.assert_allclose(believed[rows], data["belief"][rows], atol=1e-6)
    check_invariants(env, states, ts, rows)


# -- observations and beliefs (sections 6 and 7)


def test_reset_observations():
    ts = jax.jit(envs.make("Overcooked-A").reset)(jax.random.key(0))[1]
    common = {19: 1, 20: 2, 21: 1, 22: 4}
    expected = [{13: 1, 15: 2, 17: 3, **common}, {1: 5, 3: 1, 4: 6, 6: 2, 7: 6, **common}, {17: 3, 23: 5, 24: 2}]
    for i, entries in enumerate(expected):
        vector = np.zeros(32, np.float32)
        for index, sevenths in entries.items():
            vector[index] = np.float32(sevenths) / np.float32(7)
        vector[31] = 1
        np.testing.assert_array_equal(ts.macro_obs[i], vector)


def test_sizes():
    for map_type, actions in (("A", 14), ("B", 15), ("C", 15)):
        env, primitive = envs.make(f"Overcooked-{map_type}"), envs.make(f"Overcooked-{map_type}-primitive")
        assert env.num_actions == (actions,) * 3 and primitive.num_actions == (5,) * 3
        assert env.state_size == env.obs_size == primitive.obs_size == 32
    env = envs.make("Overcooked-B", num_agents=2, size=9, task=3)
    ts = jax.jit(env.reset)(jax.random.key(0))[1]
    assert env.obs_sizes == (30, 30) and env.state_size == 30 and env.num_agents == 2
    assert ts.state[23:].tolist() == [0, 0, 0, 1, 0, 0, 0]
    assert ts.state[21].item() == pytest.approx(1 / 9) and ts.state[22].item() == pytest.approx(6 / 9)


def test_with_radius_0_everything_is_seen():
    ts = jax.jit(envs.make("Overcooked-C", view_radius=0).reset)(jax.random.key(0))[1]
    np.testing.assert_array_equal(ts.macro_obs, [ts.state] * 3)
    assert (ts.state == 0).sum() == 1 + 3 + 3 + 6  # the tomato's row, chops, knives' and hatch's columns, tasks


def entity_columns(num_agents):
    """Entries of each entity in the vector."""
    foods = [list(range(3 * f, 3 * f + 3)) for f in range(3)]
    return foods + [[9 + 2 * k, 10 + 2 * k] for k in range(5 + num_agents)]


def near(vectors, agent, cells, radius, size):
    """Chebyshev distance at most `radius` from an agent, on cells given in rows and columns over size."""
    own = vectors[..., 19 + 2 * agent : 21 + 2 * agent]
    return (radius == 0) | (np.rint(abs(cells - own) * size).max(-1) <= radius)


def random_choices(env_id, steps, seed, repeat=0.7, num_agents=3, **_):
    """Sticky random choices `[BATCH, steps, N]`."""
    rng = np.random.default_rng(seed)
    choices = rng.integers(0, envs.make(env_id).max_actions, (BATCH, steps, num_agents))
    for t in range(1, steps):
        choices[:, t] = np.where(rng.random(choices[:, t].shape) < repeat, choices[:, t - 1], choices[:, t])
    return choices


@pytest.mark.slow
def test_random_play_with_other_options():
    env_id, options = "Overcooked-C", {"view_radius": 1, "task": 4}
    choices = random_choices(env_id, 200, seed=1, **options)
    env, states, ts, _ = run_batched(choices, env_id, **options)
    rows = np.ones(ts.time.shape, bool)
    rows[:, 1:] = ~(ts.terminal | ts.truncated)[:, :-1]
    check_invariants(env, states, ts, rows)
    for i in range(env.num_agents):
        expected = np.zeros_like(ts.obs[:, :, i])
        expected[..., -7:] = ts.state[..., -7:]
        for columns in entity_columns(env.num_agents):
            seen = near(ts.state, i, ts.state[..., columns[:2]], env.view_radius, env.layout.size)
            expected[..., columns] = np.where(seen[..., None], ts.state[..., columns], 0)
        np.testing.assert_array_equal(ts.obs[:, :, i], expected)
    order = np.random.default_rng(0).permutation(BATCH)  # parallel environments do not touch each other
    _, *shuffled = run_batched(choices[order], env_id, **options)
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[order], b), [states, ts], shuffled[:2])


@pytest.mark.parametrize("options", [{"view_radius": 0, "num_agents": 2}, {"view_radius": 3, "size": 9}])
def test_belief_follows_section_6(options):
    env_id = "Overcooked-C-primitive"
    env, _, ts, _ = run_batched(random_choices(env_id, 60, seed=3, repeat=0.4, **options), env_id, **options)
    truth, size, radius = ts.state, env.layout.size, env.view_radius
    for i in range(env.num_agents):
        memory = truth[:, 0].copy()
        for t in range(1, truth.shape[1]):
            now, new = truth[:, t], memory.copy()
            for columns in entity_columns(env.num_agents):
                seen = near(now, i, now[:, columns[:2]], radius, size)
                missed = ~seen & near(now, i, memory[:, columns[:2]], radius, size)
                new[missed[:, None] & np.isin(np.arange(memory.shape[1]), columns[:2])] = np.tile(
                    truth[0, 0, columns[:2]], missed.sum()
                )
                new[:, columns[2:]] = memory[:, columns[2:]] / 3
                new[np.ix_(seen, columns)] = now[np.ix_(seen, columns)]
            memory = new
            np.testing.assert_allclose(ts.obs[:, t, i], memory, atol=1e-6)
    if radius == 0:
        np.testing.assert_array_equal(ts.obs, np.repeat(truth[:, :, None], env.num_agents, 2))


# -- plans and options

BEST = {"A": (227.3, 27), "B": (226.3, 37), "C": (226.5, 35)}


EVERY_ID = [f"Overcooked-{m}{p}" for m in "ABC" for p in ("", "-primitive")]


# Those that other tests of this file compile, too, are quick.
@pytest.mark.parametrize("env_id", slow_except([i for i in EVERY_ID if "-C" in i], EVERY_ID))
def test_script_attains_the_best_known_return(env_id):
    env, advance = jitted(env_id)
    state, ts = env.reset(jax.random.key(0))
    plan, chosen = env.script(), [-1] * 3
    while not (ts.terminal | ts.truncated):
        assert not env.success(state.physics)
        chosen = [k + bool(ended) for k, ended in zip(chosen, ts.ended, strict=True)]
        joint = [entries[min(k, len(entries) - 1)] for entries, k in zip(plan, chosen, strict=True)]
        state, ts = advance(state, joint)
    assert env.success(state.physics)
    known, steps = BEST[env_id[11]]
    assert ts.terminal and int(ts.time) == steps
    assert float(state.episode_return) == pytest.approx(known, abs=1e-3)
    assert env.best_known_return == pytest.approx(known) and env.optimal_return is None


def test_script_only_where_it_means_something():
    for options in ({"num_agents": 2}, {"size": 9}, {"task": 5}, {"horizon": 20}, {"view_radius": 3}):
        env = envs.make("Overcooked-A", **options)
        assert env.script() is None and env.best_known_return is None
    assert envs.make("Overcooked-A", horizon=60).best_known_return == envs.make("Overcooked-A").best_known_return
    assert envs.make("Overcooked-A-primitive", view_radius=3).script() is not None  # nobody looks
    assert envs.make("Overcooked-A-primitive", size=9).script() is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"num_agents": 4}, ["num_agents", "4", "2, 3"]),
        ({"size": 8}, ["size", "8", "7, 9"]),
        ({"task": 7}, ["task", "7", "0, 1, 2, 3, 4, 5, 6"]),
        ({"view_radius": -1}, ["view_radius", "-1", "at least 0"]),
        ({"horizon": 0}, ["horizon", "0"]),
        ({"task": "salad"}, ["task", "salad", "integer"]),
    ],
)
@pytest.mark.parametrize("env_id", ["Overcooked-A", "Overcooked-C-primitive"])
def test_errors_are_one_helpful_line(env_id, options, words):
    with pytest.raises(ValueError) as error:
        envs.make(env_id, **options)
    assert "\n" not in str(error.value) and all(word in str(error.value) for word in words)


def test_drawing_shows_what_is_held_chopped_and_plated():
    from jaxmac.envs.rendering import frame

    env = envs.make("Overcooked-C")
    variants = [
        place(env, [(2, 2), (4, 4), (5, 3)], *rest)
        for rest in (
            ({},),
            ({ONION: HAND + 1},),
            ({ONION: KNIFE},),
            ({ONION: KNIFE}, (0, 0, 1)),
            ({ONION: KNIFE}, (0, 0, 3)),
            ({ONION: ON_PLATE}, (0, 0, 3)),
            ({PLATE1: HAND, ONION: ON_PLATE}, (0, 0, 3)),
            ({PLATE1: HAND, ONION: ON_PLATE, TOMATO: ON_PLATE}, (3, 0, 3)),
        )
    ]
    pictures = [frame(env, state) for state in variants]
    for i, one in enumerate(pictures):
        for j in range(i):
            assert (one != pictures[j]).sum() > 100, (i, j)
