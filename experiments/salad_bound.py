"""How many steps a salad takes at least: a bound of Overcooked's optimum, by a search over a simpler problem.

    python -m experiments.salad_bound

In the simpler problem nobody is ever in anybody's way, and every item goes the shortest way. What is kept of the
rules (docs/specifications/overcooked.md, section 5) holds for every salad:

1. An agent goes to the cell beside an item and takes it, a step of its own. Whoever takes a second item has put the
   first one down before, which is another step. A carried item moves one cell a step; over a counter of the wall it
   is handed on within one step.
2. Beside a knife there is a single cell, so a knife is used once a step at most. A food is put down, chopped three
   times and taken. Whoever took it has full hands, so a teammate has to step in before the next food is put down.
3. After its last chop a food is taken, or a plate is brought, in one step; in another one it is put into the plate;
   then the plate has to get to the hatch, and is handed in.
4. In kitchen B a single agent brings everything to the wall: all that this agent can do is tried.

All orders of the items are tried. Results: experiments/results/salad_bound/summary.md.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise, permutations, product

from experiments.common import RESULTS
from jaxmac import envs
from jaxmac.envs.overcooked.layout import CHOPPED, FOODS, PLATES, ROW, Layout, MapType
from jaxmac.envs.overcooked.plans import PLAN_STEPS

NEIGHBOURS = (1, ROW, -1, -ROW)
NEXT_FOOD = CHOPPED + 3  # rule 2: steps from putting a food on a knife to putting the next one there
SERVED = 3  # rule 3: steps after the last chop, besides the way to the hatch
PLATE = PLATES[0]  # both plates are beside the same cell, and a salad needs one
NEEDED = (*FOODS, PLATE)
HAND, ON_THE_WALL = -1, -2  # where an item is that is on no other counter
Ways = dict[int, dict[int, int]]  # steps from a cell to a cell
State = tuple[int, tuple[int, ...], tuple[int, ...]]  # where the agent is, where the items are, those on the wall
Arrivals = Mapping[int, Mapping[int, int]]  # by item: cells where it can be first, and after which step


def main() -> None:
    """Write the table."""
    lines = ["# How many steps a salad takes at least", "", "Command: `python -m experiments.salad_bound`", ""]
    lines.append("| id | steps at least | in the best plan known | return at most | best known |")
    lines.append("|---|---|---|---|---|")
    for name, known in PLAN_STEPS.items():
        env, least = envs.make(f"Overcooked-{name}"), steps_at_least(name)
        most = env.best_known_return + 0.1 * (known - least)
        lines.append(f"| {env.name} | {least} | {known} | {most:.1f} | {env.best_known_return:.1f} |")
    lines += ["", "Returns are without the loophole, to chop a food again that was wrongly handed in."]
    folder = RESULTS / "salad_bound"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "summary.md").write_text("\n".join(lines) + "\n")


def steps_at_least(map_type: MapType) -> int:
    """No salad of all three foods, on 7x7 with three agents, takes fewer steps."""
    layout = Layout(map_type, 7, 3)
    ways = ways_of(layout, over_counters=True)
    orders = brought_by_one(layout) if map_type == "B" else picked_up(layout)
    distinct = {repr(arrivals): arrivals for arrivals in orders}  # who takes what often makes no difference
    return min(_served(layout, ways, arrivals) for arrivals in distinct.values())


def _served(layout: Layout, ways: Ways, arrivals: Arrivals) -> int:
    """The step at which the salad is handed in at the earliest, when the items arrive at these steps."""

    def at(item: int, place: int) -> int:
        return min(step + ways[cell][place] for cell, step in arrivals[item].items())

    hatch, boards = layout.delivery + 1, [knife + 1 for knife in layout.knives]
    plate, there = at(PLATE, hatch) + 1, {(food, board): at(food, board) for food in FOODS for board in boards}
    last = []
    for foods, knives in product(permutations(FOODS), product(boards, repeat=len(FOODS))):
        put, served = dict.fromkeys(boards, -NEXT_FOOD), plate
        for food, board in zip(foods, knives, strict=True):
            put[board] = max(there[food, board] + 1, put[board] + NEXT_FOOD)
            served = max(served, put[board] + CHOPPED + SERVED + ways[board][hatch])
        last.append(served)
    return min(last)


def floor_of(layout: Layout) -> frozenset[int]:
    """The cells on which agents can stand."""
    return frozenset(cell for cell in range(ROW * layout.size) if layout.is_floor(cell))


def ways_of(layout: Layout, over_counters: bool = False) -> Ways:
    """The number of steps from each cell of the floor to each that can be reached; for items also over the wall."""
    floor = floor_of(layout)
    beside = {cell: [cell + step for step in NEIGHBOURS if cell + step in floor] for cell in floor}
    if over_counters:
        for counter in layout.wall:
            around = [counter + step for step in NEIGHBOURS if counter + step in floor]
            for cell in around:
                beside[cell] += around
    return {cell: _distances(cell, beside) for cell in floor}


def _distances(start: int, beside: Mapping[int, Iterable[int]]) -> dict[int, int]:
    found, ahead = {start: 0}, deque([start])
    while ahead:
        cell = ahead.popleft()
        for other in beside[cell]:
            if other not in found:
                found[other] = found[cell] + 1
                ahead.append(other)
    return found


def cells_beside(layout: Layout) -> dict[int, int]:
    """The cell beside each item that a salad needs: all of them start in the outer wall."""
    items, floor = {item: layout.items[item] for item in NEEDED}, floor_of(layout)
    found = {item: [cell + step for step in NEIGHBOURS if cell + step in floor] for item, cell in items.items()}
    return {item: only for item, (only,) in found.items()}


def picked_up(layout: Layout) -> Iterator[Arrivals]:
    """Rule 1: when each item is first taken, for every order in which agents can take them."""
    ways, beside = ways_of(layout), cells_beside(layout)
    for order, takers in product(permutations(NEEDED), product(layout.agents, repeat=len(NEEDED))):
        arrivals: dict[int, dict[int, int]] = {}
        for agent in layout.agents:
            taken = [item for item, taker in zip(order, takers, strict=True) if taker == agent]
            step, cells = 0, [agent, *(beside[item] for item in taken)]
            for number, (item, (cell, after)) in enumerate(zip(taken, pairwise(cells), strict=True)):
                step += ways[cell][after] + 1 + (number > 0)
                arrivals[item] = {after: step}
        yield arrivals


def brought_by_one(layout: Layout) -> Iterator[Arrivals]:
    """Rule 4: when each item is first put on each counter of the wall, for every order in which that can happen."""
    found = _first_on_the_wall(layout)
    for order in permutations(NEEDED):
        yield {item: found[order[: number + 1]] for number, item in enumerate(order)}


def _first_on_the_wall(layout: Layout) -> dict[tuple[int, ...], dict[int, int]]:
    """By the items put on the wall so far: cell behind it -> the first step at which the last of them gets there.

    Breadth-first search over where the agent is, where the items are, and the order of those on the wall. A counter
    of the wall is never full.
    """
    floor, wall = floor_of(layout), frozenset(layout.wall)
    start: State = layout.agents[1], tuple(layout.items[item] for item in NEEDED), ()
    steps, ahead = {start: 0}, deque([start])
    found: dict[tuple[int, ...], dict[int, int]] = {}
    while ahead:
        state = ahead.popleft()
        for after in _next_states(floor, wall, state):
            if after not in steps:
                steps[after] = steps[state] + 1
                ahead.append(after)
            if len(after[2]) > len(state[2]):
                rows = found.setdefault(after[2], {})
                rows[after[0] - 2] = min(rows.get(after[0] - 2, steps[after]), steps[state] + 1)
    return found


def _next_states(floor: frozenset[int], wall: frozenset[int], state: State) -> list[State]:
    """What one step of the agent can lead to."""
    cell, places, order = state
    found: list[State] = []
    in_hand = places.index(HAND) if HAND in places else None
    for target in (cell + step for step in NEIGHBOURS):
        if target in floor:
            found.append((target, places, order))
        elif in_hand is None and target in places:
            found.append((cell, _with(places, places.index(target), HAND), order))
        elif in_hand is not None and target in wall:
            found.append((cell, _with(places, in_hand, ON_THE_WALL), (*order, NEEDED[in_hand])))
        elif in_hand is not None and target not in places:
            found.append((cell, _with(places, in_hand, target), order))
    return found


def _with(places: tuple[int, ...], item: int, place: int) -> tuple[int, ...]:
    return (*places[:item], place, *places[item + 1 :])


if __name__ == "__main__":
    main()
