"""Overcooked against the recordings of the reference, and the rules and quirks of its specification one by one."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from envs.overcooked import layout
from envs.overcooked.belief import Belief
from envs.overcooked.environment import Physics
from envs.overcooked.kitchen import HAND, ON_PLATE, Kitchen, item_cells
from envs.overcooked.layout import ROW, Layout, cell

QUICK_COMPILE = {"xla_backend_optimization_level": 0}
BATCH = 12
USUAL = {"num_agents": 3, "size": 7, "task": 6, "view_radius": 2, "horizon": 200}
SLOW = ["B", "A_2", "B_2", "C_2", "A_9x9", "B_9x9", "C_9x9"]
RECORDINGS = ["A", "C", "primitive_A", "primitive_C_fuzz"]
RIGHT, DOWN, LEFT, UP, STAY = range(5)
TOMATO, LETTUCE, ONION, PLATE1, PLATE2 = range(5)
GET, KNIFE1, KNIFE2, DELIVER, CHOP, COUNTER = 1, 6, 7, 8, 9, 10
REWARDS = [-0.1 + 10 * chopped - 5 * wrong for chopped in range(4) for wrong in range(2)]
REWARDS += [r + 200 for r in REWARDS[::2]]


@functools.cache
def stepper(env_id, **options):
    """The environment, its start, and its step on a batch: compiled once for all tests of that environment."""
    env = envs.make(env_id, **options)

    def step(state, joint):
        primitive = joint
        if not env_id.endswith("-primitive"):
            running = jnp.where(state.ended, joint, state.macro_action)
            primitive, _, _ = env.primitive_actions(state.physics, running)
        return *env.advance(state, joint, ()), primitive

    start = jax.device_get(env.reset(jax.random.key(0)))
    return env, start, jax.jit(jax.vmap(step), compiler_options=QUICK_COMPILE)


def spread(tree):
    """Leaves `[BATCH, ...]`, all alike."""
    return jax.tree.map(lambda leaf: np.broadcast_to(leaf, (BATCH, *np.shape(leaf))), tree)


def jitted(env_id, **options):
    """The environment, and its step on one state."""
    env, _, step = stepper(env_id, **options)

    def one(state, joint):
        batch = step(spread(state), spread(np.int32(joint)))
        return jax.tree.map(lambda leaf: leaf[0], jax.device_get(batch[:2]))

    return env, one


def run_batched(choices, env_id, **options):
    """Environment, states and TimeSteps `[BATCH, time + 1, ...]`, primitive actions; choices `[BATCH, time, N]`."""
    env, start, step = stepper(env_id, **options)
    state, ts = spread(start)
    course, primitive = [(state, ts)], []
    for t in range(choices.shape[1]):
        state, ts, actions = step(state, np.int32(choices[:, t]))
        course.append((state, ts))
        primitive.append(actions)
    course, primitive = jax.device_get((course, primitive))
    states, ts = jax.tree.map(lambda *leaves: np.stack(leaves, axis=1), *course)
    return env, states, ts, np.stack(primitive, axis=1)


@pytest.mark.parametrize("name", RECORDINGS + [pytest.param(name, marks=pytest.mark.slow) for name in SLOW])
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
    believed = jax.vmap(jax.vmap(env.believed))(states.physics)
    np.testing.assert_allclose(believed[rows], data["belief"][rows], atol=1e-6)
    check_invariants(env, states, ts, rows)


def check_invariants(env, states, ts, rows):
    """What no course of events can change, on the rows given."""
    room, kitchen = env.layout, jax.tree.map(lambda leaf: leaf[rows], states.physics.kitchen)
    floor = [cell(*at) for at in zip(*np.nonzero(room.template == 0), strict=True)]
    counters = [cell(*at) for at in zip(*np.nonzero(room.template != 0), strict=True)]
    assert np.isin(kitchen.agents, floor).all()
    assert all(len(set(agents)) == env.num_agents for agents in kitchen.agents.tolist())
    hands, plates = range(HAND, HAND + env.num_agents), range(ON_PLATE, ON_PLATE + 2)
    foods, dishes = kitchen.place[:, :3], kitchen.place[:, 3:]
    assert np.isin(foods, [*counters, *hands, *plates]).all() and np.isin(dishes, [*counters, *hands]).all()
    for single in (*hands, *room.knives):
        assert ((kitchen.place == single).sum(1) <= 1).all()
    assert not (kitchen.hidden & ~np.isin(kitchen.place, counters)).any()
    assert (kitchen.chops[np.isin(foods, plates)] == 3).all()  # only chopped foods are on plates
    assert kitchen.chops.min() >= 0 and kitchen.chops.max() <= 3
    part = np.isin(kitchen.chops, (1, 2))  # what is half chopped stays on its board
    assert np.isin(foods[part], room.knives).all()
    for codes in np.where(kitchen.hidden, -np.arange(1, 6), kitchen.place).tolist():  # one kind shows on a cell
        shown = [(at, min(k, 3)) for k, at in enumerate(codes)]
        assert len({at for at, _ in shown if 0 <= at < HAND}) == len({s for s in shown if 0 <= s[0] < HAND})
    for obs in (ts.obs[rows], ts.macro_obs[rows], ts.state[rows]):
        assert obs.min() >= 0 and obs.max() <= 1
    rewards = ts.reward[rows]
    assert (np.isclose(rewards[:, None], [*REWARDS, 0.0], atol=1e-4)).any(1).all()


def place(env, agents, items=None, chops=(0, 0, 0), hidden=(), belief=None):
    """A state with agents at (row, column), items moved as told, and correct beliefs unless told."""
    start = stepper(env.name, **{k: v for k, v in env.options.items() if v != USUAL[k]})[1]
    at = list(env.layout.items)
    for item, where in (items or {}).items():
        at[item] = cell(*where) if isinstance(where, tuple) else where
    cells = [cell(*agent) for agent in agents]
    hides = np.array([k in hidden for k in range(5)])
    kitchen = Kitchen(np.int32(cells), np.int32(at), hides, np.int32(chops))
    items_of = np.array([item_cells(kitchen)] * len(cells), np.int32)
    for agent, item, spot in belief or ():
        items_of[agent, item] = cell(*spot)
    (state, _), count = start, np.zeros(len(cells), np.int32)
    memory = Belief(items_of, np.int32([cells] * len(cells)), np.float32([chops] * len(cells)))
    return state.replace(physics=Physics(kitchen, memory, count))


def cells_of(state):
    return [divmod(c, ROW) for c in state.physics.kitchen.agents.tolist()]


def where(state, item):
    at = int(state.physics.kitchen.place[item])
    return divmod(at, ROW) if at < HAND else at


AWAY = [(4, 3), (4, 4)]


def act(action, start, items=None, chops=(0, 0, 0), hidden=(), others=AWAY, also=(STAY, STAY), kitchen="A", task=6):
    """Agent 0 acts once in the primitive version: state, TimeStep."""
    env, advance = jitted(f"Overcooked-{kitchen}-primitive", **({} if task == 6 else {"task": task}))
    return advance(place(env, [start, *others], items, chops, hidden), [action, *also])


# -- walking (section 5)


@pytest.mark.parametrize(
    ("agents", "actions", "expected"),
    [
        ([(2, 2), (4, 4), (5, 5)], (RIGHT, DOWN, STAY), [(2, 3), (5, 4), (5, 5)]),
        ([(2, 2), (2, 3), (2, 4)], (RIGHT, RIGHT, RIGHT), [(2, 3), (2, 4), (2, 5)]),  # a convoy, leader last
        ([(2, 4), (2, 3), (2, 2)], (RIGHT, RIGHT, RIGHT), [(2, 5), (2, 4), (2, 3)]),
        ([(2, 2), (2, 3), (5, 5)], (RIGHT, LEFT, STAY), [(2, 3), (2, 2), (5, 5)]),  # swap
        ([(2, 2), (2, 4), (3, 3)], (RIGHT, LEFT, UP), [(2, 3), (2, 4), (3, 3)]),  # the first gets the cell
        ([(2, 2), (2, 3), (5, 5)], (RIGHT, STAY, STAY), [(2, 2), (2, 3), (5, 5)]),
        ([(1, 4), (1, 5), (5, 5)], (RIGHT, RIGHT, STAY), [(1, 4), (1, 5), (5, 5)]),  # faces one who handles things
        ([(2, 2), (2, 3), (2, 4)], (RIGHT, RIGHT, STAY), [(2, 2), (2, 3), (2, 4)]),
        ([(2, 2), (2, 3), (2, 4)], (RIGHT, RIGHT, LEFT), [(2, 2), (2, 4), (2, 3)]),  # no room after a swap
        ([(2, 3), (2, 4), (2, 2)], (RIGHT, LEFT, RIGHT), [(2, 4), (2, 3), (2, 2)]),
        ([(2, 2), (2, 3), (2, 4)], (RIGHT, LEFT, LEFT), [(2, 3), (2, 2), (2, 4)]),
        ([(1, 1), (1, 2), (2, 2)], (RIGHT, DOWN, LEFT), [(1, 2), (2, 2), (2, 1)]),  # 0 waits for 1, who waits for 2
    ],
)
def test_walking(agents, actions, expected):
    env, advance = jitted("Overcooked-A-primitive")
    assert cells_of(advance(place(env, agents), actions)[0]) == expected


# -- handling items (section 5)

HELD = HAND  # by agent 0
BESIDE_KNIFE, BESIDE_HATCH, BESIDE_COUNTER = (1, 1), (3, 1), (4, 1)  # facing left
KNIFE, HATCH, EMPTY_COUNTER = (1, 0), (3, 0), (4, 0)


@pytest.mark.parametrize(
    ("start", "items", "chops", "expected"),
    [
        # an empty counter
        (BESIDE_COUNTER, {TOMATO: HELD}, (0, 0, 0), {TOMATO: EMPTY_COUNTER}),
        (BESIDE_COUNTER, {PLATE1: HELD, TOMATO: ON_PLATE}, (3, 0, 0), {PLATE1: EMPTY_COUNTER, TOMATO: ON_PLATE}),
        # food on a counter
        (BESIDE_COUNTER, {TOMATO: EMPTY_COUNTER}, (0, 0, 0), {TOMATO: HELD}),
        (BESIDE_COUNTER, {TOMATO: EMPTY_COUNTER}, (3, 0, 0), {TOMATO: HELD}),
        (BESIDE_COUNTER, {TOMATO: EMPTY_COUNTER, ONION: HELD}, (3, 0, 3), {TOMATO: EMPTY_COUNTER, ONION: HELD}),
        (BESIDE_COUNTER, {TOMATO: EMPTY_COUNTER, PLATE2: HELD}, (3, 0, 0), {TOMATO: ON_PLATE + 1, PLATE2: HELD}),
        (BESIDE_COUNTER, {TOMATO: EMPTY_COUNTER, PLATE2: HELD}, (0, 0, 0), {TOMATO: EMPTY_COUNTER, PLATE2: HELD}),
        # a plate on a counter
        (BESIDE_COUNTER, {PLATE1: EMPTY_COUNTER}, (0, 0, 0), {PLATE1: HELD}),
        (BESIDE_COUNTER, {PLATE1: EMPTY_COUNTER, ONION: HELD}, (0, 0, 3), {PLATE1: EMPTY_COUNTER, ONION: ON_PLATE}),
        (BESIDE_COUNTER, {PLATE1: EMPTY_COUNTER, ONION: HELD}, (0, 0, 0), {PLATE1: EMPTY_COUNTER, ONION: HELD}),
        (BESIDE_COUNTER, {PLATE1: EMPTY_COUNTER, PLATE2: HELD}, (0, 0, 0), {PLATE1: EMPTY_COUNTER, PLATE2: HELD}),
        # an empty knife
        (BESIDE_KNIFE, {}, (0, 0, 0), {}),
        (BESIDE_KNIFE, {TOMATO: HELD}, (0, 0, 0), {TOMATO: KNIFE}),
        (BESIDE_KNIFE, {TOMATO: HELD}, (3, 0, 0), {TOMATO: KNIFE}),
        (BESIDE_KNIFE, {PLATE2: HELD}, (0, 0, 0), {PLATE2: KNIFE}),
        # a knife with food
        (BESIDE_KNIFE, {TOMATO: KNIFE}, (3, 0, 0), {TOMATO: HELD}),
        (BESIDE_KNIFE, {TOMATO: KNIFE, ONION: HELD}, (0, 0, 0), {TOMATO: KNIFE, ONION: HELD}),
        (BESIDE_KNIFE, {TOMATO: KNIFE, PLATE1: HELD}, (3, 0, 0), {TOMATO: ON_PLATE, PLATE1: HELD}),
        (BESIDE_KNIFE, {TOMATO: KNIFE, PLATE1: HELD}, (0, 0, 0), {TOMATO: KNIFE, PLATE1: HELD}),
        # a knife with a plate
        (BESIDE_KNIFE, {PLATE2: KNIFE}, (0, 0, 0), {PLATE2: HELD}),
        (BESIDE_KNIFE, {PLATE2: KNIFE, TOMATO: HELD}, (3, 0, 0), {PLATE2: HELD, TOMATO: ON_PLATE + 1}),
        (BESIDE_KNIFE, {PLATE2: KNIFE, TOMATO: HELD}, (0, 0, 0), {PLATE2: KNIFE, TOMATO: HELD}),
        (BESIDE_KNIFE, {PLATE2: KNIFE, PLATE1: HELD}, (0, 0, 0), {PLATE2: KNIFE, PLATE1: HELD}),
        # the hatch with an empty hand
        (BESIDE_HATCH, {}, (0, 0, 0), {}),
    ],
)
def test_interactions(start, items, chops, expected):
    state, ts = act(LEFT, start, items, chops)
    initial = Layout("A", 7, 3).items
    for item in range(5):
        assert where(state, item) == expected.get(item, divmod(initial[item], ROW)), item
    assert state.physics.kitchen.chops.tolist() == list(chops)
    assert float(ts.reward) == pytest.approx(-0.1) and not state.physics.kitchen.hidden.any()
    assert cells_of(state)[0] == start


@pytest.mark.parametrize(("task", "food", "reward"), [(6, ONION, 9.9), (0, TOMATO, 9.9), (0, ONION, -0.1)])
def test_only_the_third_chop_of_a_food_of_the_recipe_pays(task, food, reward):
    for chops in range(3):
        before = [0, 0, 0]
        before[food] = chops
        state, ts = act(LEFT, BESIDE_KNIFE, {food: KNIFE}, before, task=task)
        assert int(state.physics.kitchen.chops[food]) == chops + 1 and where(state, food) == KNIFE
        assert float(ts.reward) == pytest.approx(reward if chops == 2 else -0.1)


def test_two_foods_chopped_in_one_step_pay_together():
    items = {TOMATO: KNIFE, ONION: (2, 0)}
    _, ts = act(LEFT, (1, 1), items, (2, 0, 2), others=[(2, 1), (5, 5)], also=(LEFT, STAY))
    assert float(ts.reward) == pytest.approx(19.9)


RECIPES = [{TOMATO}, {LETTUCE}, {ONION}, {LETTUCE, TOMATO}, {ONION, TOMATO}, {LETTUCE, ONION}]
RECIPES += [{LETTUCE, ONION, TOMATO}]


def test_recipes():
    assert [set(recipe) for recipe in layout.RECIPES.values()] == RECIPES
    assert envs.make("Overcooked-A", task=4).recipe == (TOMATO, ONION)


@pytest.mark.parametrize("task", [0, 4, 6])
def test_the_recipe_is_served_and_nothing_else(task):
    env, advance = jitted("Overcooked-A-primitive", task=task)
    for bits in range(8):
        foods = {f for f in range(3) if bits >> f & 1}
        items = {PLATE2: HELD} | dict.fromkeys(foods, ON_PLATE + 1)
        chops = [3 * (f in foods) for f in range(3)]
        state, ts = advance(place(env, [(3, 1), *AWAY], items, chops), [LEFT, STAY, STAY])
        right = foods == RECIPES[task]
        assert bool(ts.terminal) == right and not ts.truncated
        assert float(ts.reward) == pytest.approx(199.9 if right else -5.1)
        if right:
            assert where(state, PLATE2) == HATCH and all(where(state, f) == ON_PLATE + 1 for f in foods)
        else:  # everything is back where it started, raw
            assert state.physics.kitchen.place.tolist() == list(env.layout.items)
            assert not state.physics.kitchen.chops.any()


@pytest.mark.parametrize("chops", [0, 3])
def test_wrong_delivery_of_a_food(chops):
    state, ts = act(LEFT, BESIDE_HATCH, {ONION: HELD}, (0, 0, chops))
    assert float(ts.reward) == pytest.approx(-5.1) and not ts.terminal
    assert where(state, ONION) == (2, 6) and not state.physics.kitchen.chops.any()


def test_delivery_does_not_cut_the_step_short():
    items = {PLATE1: HELD, TOMATO: ON_PLATE, LETTUCE: KNIFE}
    state, ts = act(LEFT, (3, 1), items, (3, 2, 0), others=[(1, 1), (4, 4)], also=(LEFT, UP), task=0)
    assert float(ts.reward) == pytest.approx(199.9) and ts.terminal  # lettuce is not in this recipe
    assert int(state.physics.kitchen.chops[LETTUCE]) == 3 and cells_of(state)[2] == (3, 4)


def test_q6_race_put_down():
    # Agent 0 takes the lettuce; agent 1, holding the onion, finds a plain counter and leaves the onion there.
    items = {LETTUCE: (2, 3), ONION: HAND + 1}
    state, _ = act(RIGHT, (2, 2), items, others=[(2, 4), (5, 5)], also=(LEFT, STAY), kitchen="C")
    assert where(state, LETTUCE) == HAND and where(state, ONION) == (2, 3)
    # The other way round the onion finds the lettuce in its way.
    items = {LETTUCE: (2, 3), ONION: HAND}
    state, _ = act(RIGHT, (2, 2), items, others=[(2, 4), (5, 5)], also=(LEFT, STAY), kitchen="C")
    assert where(state, LETTUCE) == HAND + 1 and where(state, ONION) == HAND


def test_an_item_put_down_can_be_taken_in_the_same_step():
    state, _ = act(RIGHT, (2, 2), {ONION: HAND}, others=[(2, 4), (5, 5)], also=(LEFT, STAY), kitchen="C")
    assert where(state, ONION) == HAND + 1


def test_q7_overlap():
    # The onion lies where the lettuce starts, and the lettuce comes back on top of it.
    state, ts = act(LEFT, BESIDE_HATCH, {LETTUCE: HELD, ONION: (1, 6)})
    assert float(ts.reward) == pytest.approx(-5.1)
    assert where(state, LETTUCE) == where(state, ONION) == (1, 6)
    assert state.physics.kitchen.hidden.tolist() == [False, False, True, False, False]
    np.testing.assert_allclose(ts.state[3:5], ts.state[6:8])  # still observable
    # Taking the lettuce leaves a plain counter: the onion stays out of reach, and something can be put on it.
    overlap = {LETTUCE: (1, 6), ONION: (1, 6)}
    state, _ = act(RIGHT, (1, 5), overlap, hidden=(ONION,))
    assert where(state, LETTUCE) == HAND and bool(state.physics.kitchen.hidden[ONION])
    state, _ = act(RIGHT, (1, 5), {ONION: (1, 6), LETTUCE: (4, 0)}, hidden=(ONION,))
    assert where(state, ONION) == (1, 6)
    state, _ = act(RIGHT, (1, 5), {ONION: (1, 6), PLATE1: HELD, LETTUCE: (4, 0)}, hidden=(ONION,))
    assert where(state, PLATE1) == (1, 6) and bool(state.physics.kitchen.hidden[ONION])
    # A plate that comes back to where the other one lies does not hide it.
    state, _ = act(LEFT, BESIDE_HATCH, {PLATE1: HELD, PLATE2: (5, 6)})
    assert where(state, PLATE1) == where(state, PLATE2) == (5, 6) and not state.physics.kitchen.hidden.any()
    # A hidden plate is found again when a plate is put on it, and the lower number comes first.
    state, _ = act(RIGHT, (1, 5), {LETTUCE: (4, 0), PLATE1: (1, 6), PLATE2: HELD}, hidden=(PLATE1,))
    assert not state.physics.kitchen.hidden.any() and where(state, PLATE2) == (1, 6)
    state, _ = act(RIGHT, (1, 5), {LETTUCE: (4, 0), PLATE1: (1, 6), PLATE2: (1, 6)})
    assert where(state, PLATE1) == HAND and bool(state.physics.kitchen.hidden[PLATE2])


# -- observations and beliefs (sections 6 and 7)


def test_reset_observations():
    ts = envs.make("Overcooked-A").reset(jax.random.key(0))[1]
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
    ts = env.reset(jax.random.key(0))[1]
    assert env.obs_sizes == (30, 30) and env.state_size == 30 and env.num_agents == 2
    assert ts.state[23:].tolist() == [0, 0, 0, 1, 0, 0, 0]
    assert ts.state[21].item() == pytest.approx(1 / 9) and ts.state[22].item() == pytest.approx(6 / 9)


def test_with_radius_0_everything_is_seen():
    ts = envs.make("Overcooked-C", view_radius=0).reset(jax.random.key(0))[1]
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


# -- macro-actions (section 8)


def start_macro(env_id, macro, agents, items=None, chops=(0, 0, 0), belief=None, also=(0, 0), **options):
    """One step with agent 0 choosing `macro`: its cell, whether it ended, state, TimeStep."""
    env, advance = jitted(f"Overcooked-{env_id}", **options)
    state = place(env, agents, items, chops, belief=belief)
    state, ts = advance(state, [macro, *also])
    return cells_of(state)[0], bool(ts.ended[0]), state, ts


def test_chopping_takes_three_steps_even_in_vain():
    env, advance = jitted("Overcooked-A")
    for items in ({TOMATO: KNIFE}, {TOMATO: KNIFE, PLATE1: HELD}):  # with something in hand nothing is chopped
        state = place(env, [(1, 1), *AWAY], items)
        for step in range(1, 4):
            state, ts = advance(state, [CHOP, 0, 0])
            assert ts.ended.tolist() == [step == 3, True, True]
        assert int(state.physics.kitchen.chops[TOMATO]) == (0 if PLATE1 in items else 3)
        assert int(state.physics.chop_count[0]) == 0
    assert start_macro("A", CHOP, [(1, 1), *AWAY], {TOMATO: KNIFE}, (3, 0, 0))[1]
    assert start_macro("A", CHOP, [(1, 1), *AWAY])[1]


def test_get_and_go_to_knife_end_with_the_handling():
    _, ended, state, _ = start_macro("A", GET + LETTUCE, [(1, 4), *AWAY])
    assert not ended and cells_of(state)[0] == (1, 5)
    _, ended, state, _ = start_macro("A", GET + LETTUCE, [(1, 5), *AWAY])
    assert ended and where(state, LETTUCE) == HAND
    assert start_macro("A", KNIFE1, [(1, 2), *AWAY])[:2] == ((1, 1), True)  # empty hand: arriving is enough
    at, ended, state, _ = start_macro("A", KNIFE1, [(1, 2), *AWAY], {ONION: HELD})
    assert (at, ended) == ((1, 1), False)
    at, ended, state, _ = start_macro("A", KNIFE1, [(1, 1), *AWAY], {ONION: HELD})
    assert ended and where(state, ONION) == KNIFE


def test_get_raw_food_from_a_knife_only_arrives():
    at, ended, *_ = start_macro("A", GET + TOMATO, [(1, 2), *AWAY], {TOMATO: KNIFE})
    assert (at, ended) == ((1, 1), True)
    at, ended, state, _ = start_macro("A", GET + TOMATO, [(1, 1), *AWAY], {TOMATO: KNIFE}, (1, 0, 0))
    assert ended and state.physics.kitchen.chops.tolist() == [1, 0, 0]


def test_get_plate_with_a_food_in_hand():
    _, ended, state, _ = start_macro("A", GET + PLATE1, [(5, 5), *AWAY], {ONION: HELD}, (0, 0, 3))
    assert not ended and where(state, ONION) == ON_PLATE  # first the food goes onto the plate, then it is taken
    _, ended, state, _ = start_macro("A", GET + PLATE1, [(5, 5), *AWAY], {ONION: HELD})
    assert ended and where(state, ONION) == HAND and where(state, PLATE1) == (5, 6)


def test_q1_q3_wrong_beliefs():
    # Agent 0 believes that the onion is where it started; agent 1 holds it elsewhere: one step at a time.
    wrong = [(0, ONION, (2, 6))]
    at, ended, state, _ = start_macro("A", GET + ONION, [(1, 2), (5, 2), (5, 3)], {ONION: HAND + 1}, belief=wrong)
    assert (at, ended) == ((2, 2), True)
    # Right beside that cell it stays, again and again.
    at, ended, state, _ = start_macro("A", GET + ONION, [(2, 5), (5, 2), (5, 3)], {ONION: HAND + 1}, belief=wrong)
    assert (at, ended) == ((2, 5), True) and divmod(int(state.physics.belief.items[0, ONION]), ROW) == (2, 6)
    # What another agent in view holds is not there to be got.
    at, ended, *_ = start_macro("A", GET + ONION, [(2, 2), (2, 3), (5, 3)], {ONION: HAND + 1})
    assert (at, ended) == ((2, 2), True)
    at, ended, *_ = start_macro("A", GET + ONION, [(2, 2), (2, 5), (5, 3)], {ONION: HAND + 1})  # too far to see it
    assert (at, ended) == ((2, 3), False)


def test_q3_unreachable_ends_at_once():
    at, ended, *_ = start_macro("B", GET + TOMATO, [(1, 2), (1, 4), (5, 2)])
    assert (at, ended) == ((1, 2), True)


def test_q5_go_to_counter():
    left = [(3, 2), (1, 4), (5, 2)]
    at, ended, state, _ = start_macro("B", COUNTER, left)
    assert (at, ended) == ((3, 2), True) and (state.physics.kitchen.place < HAND).all()
    _, ended, state, _ = start_macro("B", COUNTER, left, {ONION: HELD})
    assert ended and where(state, ONION) == (3, 3)
    # The middle first, then up and down in turn; with no counter free it ends.
    at, ended, *_ = start_macro("B", COUNTER, left, {LETTUCE: HELD, ONION: (3, 3)})
    assert (at, ended) == ((2, 2), False)
    at, ended, *_ = start_macro("B", COUNTER, left, {LETTUCE: HELD, ONION: (3, 3), TOMATO: (2, 3)})
    assert (at, ended) == ((4, 2), False)
    full = {TOMATO: (1, 3), LETTUCE: (2, 3), ONION: (3, 3), PLATE1: (4, 3), PLATE2: (5, 3)}
    assert start_macro("B", COUNTER, left, full)[:2] == ((3, 2), True)
    full.pop(PLATE2)  # the last counter of map C is a gap
    assert start_macro("C", COUNTER, left, full)[:2] == ((3, 2), True)


def test_q5_go_to_counter_without_a_way_goes_on():
    # Agent 0 believes that items lie around it.
    walls = [(0, TOMATO, (4, 2)), (0, LETTUCE, (4, 1)), (0, ONION, (5, 3)), (0, PLATE1, (4, 3))]
    at, ended, *_ = start_macro("C", COUNTER, [(5, 1), (1, 5), (2, 5)], belief=[*walls, (0, PLATE2, (5, 2))])
    assert (at, ended) == ((5, 1), False)


def test_side_steps():
    at, ended, *_ = start_macro("A", DELIVER, [(1, 1), (2, 1), (5, 5)], {ONION: HELD})
    assert (at, ended) == ((1, 2), False)
    at, ended, *_ = start_macro("A", DELIVER, [(1, 1), (2, 2), (5, 5)], {ONION: HELD})
    assert (at, ended) == ((2, 1), False)
    at, ended, *_ = start_macro("A", KNIFE1, [(3, 1), (2, 1), (5, 5)], {ONION: HELD})
    assert (at, ended) == ((3, 2), False)
    at, ended, *_ = start_macro("A", GET + TOMATO, [(3, 1), (2, 1), (5, 5)], {TOMATO: KNIFE}, (3, 0, 0))
    assert (at, ended) == ((3, 2), False)  # whatever is believed to be on knife 1
    at, ended, *_ = start_macro("A", KNIFE2, [(3, 1), (2, 1), (5, 5)], {ONION: HELD})
    assert (at, ended) == ((3, 1), False)


def test_q9_food_on_a_plate_is_not_got():
    on_plate = {PLATE1: (2, 6), ONION: ON_PLATE}
    assert start_macro("A", GET + ONION, [(2, 4), *AWAY], on_plate, (0, 0, 3))[:2] == ((2, 4), True)
    at, ended, *_ = start_macro("A", GET + ONION, [(2, 3), *AWAY], on_plate, (0, 0, 3))  # too far to see it
    assert (at, ended) == ((2, 4), False)


def test_q2_steps_are_blocked_by_what_is_believed_to_be_there():
    right = 10  # map A
    assert start_macro("A", right, [(2, 2), *AWAY])[:2] == ((2, 3), True)
    assert start_macro("A", right, [(2, 2), (2, 3), (5, 5)], also=(right, 0))[:2] == ((2, 2), True)
    assert start_macro("A", right, [(2, 2), *AWAY], belief=[(0, TOMATO, (2, 3))])[:2] == ((2, 2), True)
    _, _, state, _ = start_macro("A", right, [(1, 5), *AWAY])  # never takes anything
    assert where(state, LETTUCE) == (1, 6)


def test_q10_serving_does_not_end_the_others_macro_actions():
    items = {PLATE1: HELD, TOMATO: ON_PLATE, LETTUCE: ON_PLATE, ONION: ON_PLATE}
    _, ended, _, ts = start_macro("A", DELIVER, [(3, 1), (1, 4), (5, 5)], items, (3, 3, 3), also=(KNIFE1, 0))
    assert ended and ts.terminal and ts.ended.tolist() == [True, False, True]
    assert float(ts.reward) == pytest.approx(199.9)


# -- plans and options

BEST = {"A": (227.3, 27), "B": (226.3, 37), "C": (226.5, 35)}


@pytest.mark.parametrize("env_id", [f"Overcooked-{m}{p}" for m in "ABC" for p in ("", "-primitive")])
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
    from envs.rendering import frame

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
