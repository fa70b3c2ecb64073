"""Overcooked for its tests: compiled steps, made-up situations, what no course of events can change."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxmac import envs
from jaxmac.envs.overcooked.belief import Belief
from jaxmac.envs.overcooked.kitchen import HAND, ON_PLATE, Kitchen, item_cells
from jaxmac.envs.overcooked.layout import ROW, cell
from jaxmac.envs.overcooked.state import Physics

BATCH = 12
USUAL = {"num_agents": 3, "size": 7, "task": 6, "view_radius": 2, "horizon": 200}
RECORDINGS = ["A", "B", "C", "A_2", "B_2", "C_2", "A_9x9", "B_9x9", "C_9x9", "primitive_A", "primitive_C_fuzz"]
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

    env.reset, env.success = jax.jit(env.reset), jax.jit(env.success)
    start = jax.device_get(env.reset(jax.random.key(0)))
    return env, start, jax.jit(jax.vmap(step))


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
HELD = HAND  # by agent 0
BESIDE_KNIFE, BESIDE_HATCH, BESIDE_COUNTER = (1, 1), (3, 1), (4, 1)  # facing left
KNIFE, HATCH, EMPTY_COUNTER = (1, 0), (3, 0), (4, 0)


def act(action, start, items=None, chops=(0, 0, 0), hidden=(), others=AWAY, also=(STAY, STAY), kitchen="A", task=6):
    """Agent 0 acts once in the primitive version: state, TimeStep."""
    env, advance = jitted(f"Overcooked-{kitchen}-primitive", **({} if task == 6 else {"task": task}))
    return advance(place(env, [start, *others], items, chops, hidden), [action, *also])
