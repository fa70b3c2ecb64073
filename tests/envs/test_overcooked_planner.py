"""Overcooked's planner: the plain search against its specification, the fast versions against the plain search."""

import functools
import heapq
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, PartitionSpec
from support.selection import slow_except

from jaxmac.envs.overcooked import build_navigation, heap_search
from jaxmac.envs.overcooked.lanes import one_by_one, side_by_side
from jaxmac.envs.overcooked.layout import AGENT, COUNTER, ROW, SPACE, Layout
from jaxmac.envs.overcooked.planner import TABLES, Planner

NAMES = "RDLU-"
ITEM = 3  # code of any
SPOT_CHECKS = {
    "A": {
        (0, 5): "RRRRU UUUUU UUUUU UUUUU UUUUU",
        (1, 6): "RRRRR UUUUU UUUUU UUUUU UUUUU",
        (2, 6): "DDDDD RRRRR UUUUU UUUUU UUUUU",
        (6, 5): "DDDDD DDDDD DDDDD DDDDD RRRRD",
        (1, 0): "LLLLL UUUUU UUUUU UUUUU UUUUU",
        (3, 0): "DDDDD DDDDD LLLLL UUUUU UUUUU",
    },
    "C": {
        (0, 5): "RD#RU RD#UU RD#UU RD#UU RRRUU",
        (1, 6): "RD#RR RD#UU RD#UU RD#UU RRRUU",
        (2, 6): "DD#DD RD#RR RD#UU RD#UU RRRUU",
        (6, 5): "DD#DD DD#DD DD#DD DD#DD RRRRD",
        (1, 0): "LL#DL UU#DL UU#DL UU#DL UULLL",
        (3, 0): "DD#DD DD#DD LL#DL UU#DL UULLL",
    },
}
TIES = [  # own cell, target, agents, move on map A
    ((3, 3), (1, 6), [(2, 3)], "R"),
    ((3, 3), (1, 6), [(3, 4)], "U"),
    ((3, 3), (1, 6), [(2, 3), (3, 4)], "U"),
    ((5, 5), (1, 0), [(4, 5)], "L"),
    ((5, 5), (1, 0), [(4, 5), (5, 4)], "U"),
    ((1, 1), (5, 6), [(1, 4), (5, 2)], "R"),
]
BLOCKED_IN = ((1, 1), (5, 6), [(1, 2), (2, 1)])  # own cell, target, items


def grid_of(map_type, size, agents=(), items=()):
    grid = Layout(map_type, size, 3).template.copy()
    for cell in items:
        grid[cell] = ITEM
    for cell in agents:
        grid[cell] = AGENT
    return grid


def pack(grids):
    """The maps that `heap_search.search` takes, a word for each row: bit c to walk on column c, 16 + c an agent."""
    bits = 1 << np.arange(grids.shape[-1], dtype=np.int64)
    agents = (grids == AGENT) @ bits
    return ((grids == SPACE) @ bits + agents + (agents << heap_search.AGENTS)).astype(np.int32)


def plain(grid, cell, target):
    size = len(grid)
    row_by_row = np.ravel(grid).tolist()
    return build_navigation.search(row_by_row, int(cell[0] * size + cell[1]), int(target[0] * size + target[1]))[0]


def by_cells(planner):
    size = planner.layout.size

    def first_move(grid, cell, target, others, items):
        here, goal = (ROW * c[0] + c[1] for c in (cell, target))
        return planner.first_move(here, goal, items, ROW * (others // size) + others % size)

    return first_move


@functools.cache
def compiled(map_type, size, num_agents):
    return jax.jit(jax.vmap(by_cells(Planner(map_type, size, num_agents))))


def random_calls(rng, count, map_type, size, num_agents, stale):
    """Calls with up to `stale` items inside the room: maps as believed, own cells, targets, other agents, items.

    Any cell may be the target, the own one and one with an item included.
    """
    layout = Layout(map_type, size, 3)
    floor = np.argwhere(layout.template == SPACE)
    grids = np.empty((count, size, size), np.int8)
    cells, targets = floor[rng.integers(len(floor), size=count)], rng.integers(size, size=(count, 2))
    others, items = np.empty((count, num_agents - 1), np.int32), np.tile(np.int32(layout.items), (count, 1))
    for k in range(count):
        agents = floor[rng.integers(len(floor), size=num_agents - 1)]
        agents[rng.random(num_agents - 1) < 0.2] = cells[k]  # not shown
        lying = [tuple(c) for c in floor[rng.integers(len(floor), size=rng.integers(stale + 1))]]
        if len(lying) < 5 and rng.random() < 0.5 and layout.template[tuple(targets[k])] == SPACE:
            lying.append(tuple(targets[k]))
        items[k, : len(lying)] = [ROW * r + c for r, c in lying]
        grids[k] = grid_of(map_type, size, map(tuple, [*agents, cells[k]]), lying)
        others[k] = agents @ (size, 1)
    return grids, cells.astype(np.int32), targets.astype(np.int32), others, items


@pytest.mark.parametrize(("map_type", "target"), [(m, t) for m in SPOT_CHECKS for t in SPOT_CHECKS[m]])
def test_the_plain_search_passes_the_spot_checks(map_type, target):
    grid = grid_of(map_type, 7)
    moves = [
        [NAMES[plain(grid, (r, c), target)] if grid[r, c] == SPACE else "#" for c in range(1, 6)]
        for r in range(1, 6)
    ]
    assert " ".join("".join(row) for row in moves) == SPOT_CHECKS[map_type][target]


@pytest.mark.parametrize(("cell", "target", "agents", "move"), TIES)
def test_ties_lean_away_from_believed_agents(cell, target, agents, move):
    assert NAMES[plain(grid_of("A", 7, agents), cell, target)] == move
    others = np.array([r * 7 + c for r, c in agents] + [cell[0] * 7 + cell[1]] * (2 - len(agents)), np.int32)
    call = (
        grid_of("A", 7, [*agents, cell]),
        np.array(cell),
        np.array(target),
        others,
        np.array(Layout("A", 7, 3).items),
    )
    assert NAMES[int(compiled("A", 7, 3)(*(x[None] for x in call))[0])] == move


def test_the_heap_is_not_last_in_first_out():
    cell, target, agents, move = TIES[-1]
    grid, count = grid_of("A", 7, agents), itertools.count(0, -1)

    def estimate(c):
        return abs(c[0] - target[0]) + abs(c[1] - target[1])

    queue, seen, first = [(estimate(cell), 0, next(count), cell, 0, None)], {cell}, None
    while first is None:
        _, _, _, here, steps, start = heapq.heappop(queue)
        for name, offset in zip("RLDU", ((0, 1), (0, -1), (1, 0), (-1, 0)), strict=True):
            c = here[0] + offset[0], here[1] + offset[1]
            if c in seen:
                continue
            if grid[c] in (SPACE, AGENT):
                f = steps + 1 + estimate(c)
                heapq.heappush(queue, (f, grid[c] == AGENT, next(count), c, steps + 1, start or name))
                seen.add(c)
            first = (start or name) if c == target and first is None else first
    assert (first, move) == ("D", "R")


@pytest.mark.slow
def test_building_a_table_again_gives_the_shipped_one():
    with np.load(TABLES) as shipped:
        assert set(shipped.files) == {f"{map_type}{size}" for map_type, size in build_navigation.KITCHENS}
        np.testing.assert_array_equal(build_navigation.build("B", 7), shipped["B7"])


@pytest.mark.parametrize(("map_type", "size"), slow_except([("B", 7), ("C", 9)], build_navigation.KITCHENS))
def test_shipped_tables_agree_with_rebuilt_rows(map_type, size):
    rng = np.random.default_rng(size)
    grid = grid_of(map_type, size).ravel().tolist()
    floor = [c for c, code in enumerate(grid) if code == SPACE]
    a, b = np.triu_indices((size - 2) ** 2)
    with np.load(TABLES) as shipped:
        table = shipped[f"{map_type}{size}"]
    for _ in range(12):
        cell, target = rng.choice(floor), rng.integers(size**2)
        row = table[(cell // size - 1) * (size - 2) + cell % size - 1, target]
        np.testing.assert_array_equal(row, build_navigation.moves_for(grid, cell, target)[a, b])


PLANNERS = [*((*kitchen, 3) for kitchen in build_navigation.KITCHENS), ("A", 7, 2), ("C", 9, 2)]
QUICK = [("B", 7, 3)]


@pytest.mark.parametrize(("map_type", "size", "num_agents"), slow_except(QUICK, PLANNERS))
def test_equals_the_plain_search(map_type, size, num_agents):
    rng = np.random.default_rng(1)
    clear = random_calls(rng, 500, map_type, size, num_agents, stale=0)
    cluttered = random_calls(rng, 500, map_type, size, num_agents, stale=5)
    calls = [np.concatenate(both) for both in zip(clear, cluttered, strict=True)]
    expected = [plain(*call) for call in zip(*calls[:3], strict=True)]
    np.testing.assert_array_equal(compiled(map_type, size, num_agents)(*calls), expected)
    # The items matter, so an answer from the table alone would be wrong.
    bare = [plain(np.where(g == ITEM, SPACE, g), c, t) for g, c, t in zip(*calls[:3], strict=True)]
    assert (np.array(bare) != expected).sum() > 5
    assert set(range(5)) == set(expected)


def test_no_way_and_no_distance_are_stay():
    def move(map_type, cell, target, items=()):
        grid = grid_of(map_type, 7, [cell], items)
        lying = np.array([ROW * r + c for r, c in items] + [5] * (5 - len(items)), np.int32)
        call = grid, np.array(cell), np.array(target), np.array([7 * cell[0] + cell[1]] * 2, np.int32), lying
        return NAMES[int(compiled(map_type, 7, 3)(*(x[None] for x in call))[0])]

    corner = [(1, 2), (2, 1)]
    assert move("A", (1, 1), (5, 6), corner) == "-"
    assert move("A", (1, 1), (1, 2), corner) == "R"  # into what blocks it
    assert move("A", (1, 1), (1, 1)) == "-"
    assert move("A", (1, 1), (1, 1), [(3, 3)]) == "-"
    assert move("B", (1, 1), (1, 6)) == "-"
    assert move("B", (1, 1), (1, 3)) == "R"  # a counter of the wall


@pytest.mark.parametrize("share", [0.0, 0.02, 1.0])
def test_only_lanes_in_need_are_searched(share):
    rng = np.random.default_rng(2)
    grids, cells, targets, _, _ = random_calls(rng, 552, "C", 7, 3, stale=3)
    needed, default = rng.random(len(grids)) < share, np.full(len(grids), 9, np.int32)
    args = (
        needed,
        default,
        pack(grids),
        *(ROW * c[:, 0] + c[:, 1] for c in (cells, targets)),
    )
    expected = [plain(*call) if mine else 9 for mine, *call in zip(needed, grids, cells, targets, strict=True)]
    for run in (one_by_one, side_by_side):
        np.testing.assert_array_equal(lane_by_lane(run)(*args), expected)


def test_side_by_side_no_loop_goes_over_lanes():
    lanes = jnp.zeros(552, jnp.int32)
    args = lanes == 0, lanes, jnp.zeros((552, 9), jnp.int32), lanes, lanes
    loops = [jax.jit(f).lower(*args).as_text().count("stablehlo.while") for f in (beside, alone)]
    assert loops[0] == loops[1] > 0


def beside(*args):
    return side_by_side(heap_search.search, *args)


def alone(needed, default, *args):
    return jax.vmap(heap_search.search)(*args)


@pytest.mark.parametrize(
    ("map_type", "size", "agents"), [("A", 7, 3), ("B", 7, 3), ("C", 7, 3), ("A", 9, 2), ("C", 9, 3)]
)
def test_lanes_that_are_not_needed_end_at_once(map_type, size, agents):
    """Their arguments are zeros, for which the search looks around once and has nowhere to go."""
    board = Planner(map_type, size, agents)._board(jnp.zeros(5, jnp.int32), jnp.zeros(agents, jnp.int32))
    expanded, write = [], heap_search.ARRAYS.write

    def counting(words, place, word):
        expanded.extend([0] * (words.dtype == jnp.uint16 and isinstance(place, int) and place == 0))
        return write(words, place, word)

    with jax.disable_jit():
        heap_search.search(board, jnp.int32(0), jnp.int32(0), heap_search.ARRAYS._replace(write=counting))
    assert len(expanded) == 1


@functools.cache
def lane_by_lane(run):
    return jax.jit(functools.partial(run, heap_search.search))


FIRST_MOVE = by_cells(Planner("C", 7, 3))


@functools.cache
def unbatched():
    """Calls as `[members, environments, agents]`, with each answer computed on its own, without `vmap`."""
    calls = random_calls(np.random.default_rng(3), 30, "C", 7, 3, stale=2)
    single = jax.jit(FIRST_MOVE)
    answers = np.array([single(*call) for call in zip(*calls, strict=True)])
    assert answers.tolist() == [plain(*call) for call in zip(*calls[:3], strict=True)]
    return tuple(x.reshape(2, 5, 3, *x.shape[1:]) for x in calls), answers.reshape(2, 5, 3)


def nested(function):
    return jax.vmap(jax.vmap(jax.vmap(function)))


def scanned(function):
    return lambda *calls: jax.lax.scan(lambda carry, call: (carry, jax.vmap(jax.vmap(function))(*call)), 0, calls)[
        1
    ]


def mapped_in_batches(function):
    return lambda *calls: jax.lax.map(lambda call: jax.vmap(jax.vmap(function))(*call), calls, batch_size=2)


def sharded(check):
    def wrap(function):
        mesh, spec = Mesh(np.array(jax.devices()[:1]), ("members",)), PartitionSpec("members")
        return jax.shard_map(nested(function), mesh=mesh, in_specs=spec, out_specs=spec, check_vma=check)

    return wrap


@pytest.mark.parametrize("check", [pytest.param(False, marks=pytest.mark.slow), True])
def test_shards(check):
    calls, answers = unbatched()
    np.testing.assert_array_equal(jax.jit(sharded(check)(FIRST_MOVE))(*calls), answers)


@pytest.mark.slow
@pytest.mark.parametrize("wrap", [scanned, mapped_in_batches])
def test_nests_in(wrap):
    calls, answers = unbatched()
    np.testing.assert_array_equal(jax.jit(wrap(FIRST_MOVE))(*calls), answers)


@pytest.mark.slow
def test_a_scan_can_be_vmapped():
    calls, answers = unbatched()
    function = FIRST_MOVE
    inner = lambda *calls: jax.lax.scan(lambda s, call: (s, jax.vmap(function)(*call)), 0, calls)[1]  # noqa: E731
    np.testing.assert_array_equal(jax.jit(jax.vmap(inner))(*calls), answers)


@pytest.mark.slow
def test_partly_batched_arguments():
    calls, _ = unbatched()
    grids, cells, _, others, items = (x[0, :, 0] for x in calls)
    targets = calls[2].reshape(-1, 2)
    over_targets = jax.vmap(FIRST_MOVE, (None, None, 0, None, None))
    moves = jax.jit(jax.vmap(over_targets, (0, 0, None, 0, 0)))(grids, cells, targets, others, items)
    expected = [[plain(grid, cell, target) for target in targets] for grid, cell in zip(grids, cells, strict=True)]
    np.testing.assert_array_equal(moves, expected)


def test_a_lane_does_not_depend_on_its_neighbours():
    calls, answers = unbatched()
    grids, cells, targets, others, items = (x.copy() for x in calls)
    rng = np.random.default_rng(4)
    mine = rng.random(answers.shape) < 0.5
    grids[~mine] = rng.choice([SPACE, COUNTER, AGENT, 8, -5], size=grids[~mine].shape)  # no map at all
    cells[~mine], targets[~mine], others[~mine] = -3, 99, 77
    items[~mine] = rng.integers(-100, 300, size=items[~mine].shape)
    moves = jax.jit(nested(FIRST_MOVE))(grids, cells, targets, others, items)
    np.testing.assert_array_equal(np.asarray(moves)[mine], answers[mine])


def test_searches_one_lane_at_a_time_on_a_cpu():
    calls, _ = unbatched()
    text = jax.jit(nested(FIRST_MOVE)).lower(*calls).compile().as_text()
    assert "u16[27]" in text  # the heap
    assert "u16[30,27]" not in text
