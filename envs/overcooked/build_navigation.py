"""Builds `navigation.npz`, the planner's moves in every kitchen without items inside the room.

Run `python -m jaxmac.envs.overcooked.build_navigation` after a change here (three minutes); the result is the same
each time. `search` is the planner of docs/specifications/overcooked.md, section 8.5, in plain Python; the tests
compare the fast versions with it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from jaxmac.envs.overcooked.layout import AGENT, DOWN, LEFT, MAP_TYPES, RIGHT, SPACE, STAY, UP, Layout, MapType
from jaxmac.envs.overcooked.planner import TABLES

KITCHENS = [(map_type, size) for size in (7, 9) for map_type in MAP_TYPES]
Entry = tuple[int, int, int, int]  # 2 * estimated length + 1 where an agent is, cell, steps so far, first move


def search(grid: list[int], cell: int, target: int) -> tuple[int, set[int]]:
    """First move on a map of codes (cells row by row), and the cells whose code could change it."""
    size = round(len(grid) ** 0.5)

    def distance(c: int) -> int:
        return abs(c // size - target // size) + abs(c % size - target % size)

    heap: list[Entry] = [(2 * distance(cell), cell, 0, STAY)]
    reached = {cell}
    while heap:
        _, here, steps, first = _extract(heap)
        for move, offset in ((RIGHT, 1), (LEFT, -1), (DOWN, size), (UP, -size)):
            c = here + offset
            if c in reached:
                continue
            start = move if first == STAY else first
            if grid[c] in (SPACE, AGENT):
                heap.append((2 * (steps + 1 + distance(c)) + (grid[c] == AGENT), c, steps + 1, start))
                _raise(heap, len(heap) - 1)
                reached.add(c)
            if c == target:
                return start, reached - {cell, target}
    return STAY, reached - {cell, target}


def _raise(heap: list[Entry], k: int) -> None:
    """Let entry `k` rise above entries with larger or equal keys."""
    while k > 0 and heap[k][0] <= heap[(k - 1) // 2][0]:
        heap[k], heap[(k - 1) // 2] = heap[(k - 1) // 2], heap[k]
        k = (k - 1) // 2


def _extract(heap: list[Entry]) -> Entry:
    """Take the root out: its hole sinks to the bottom, and the last entry rises from there."""
    root, last = heap[0], heap.pop()
    if not heap:
        return root
    hole = 0
    while (child := 2 * hole + 1) < len(heap):
        if child + 1 < len(heap) and heap[child][0] > heap[child + 1][0]:
            child += 1
        heap[hole] = heap[child]
        hole = child
    heap[hole] = last
    _raise(heap, hole)
    return root


def with_agents(grid: list[int], agents: Iterable[int]) -> list[int]:
    """The same map with agents on these cells."""
    agents = set(agents)
    return [AGENT if c in agents else code for c, code in enumerate(grid)]


def moves_for(grid: list[int], cell: int, target: int) -> np.ndarray:
    """First moves for every pair of believed agents, int8 `[inside, inside]` over the cells inside the border.

    Only pairs that can have an effect are searched: an agent on a cell that the search does not reach has none.
    """
    size = round(len(grid) ** 0.5)
    index = {size * r + c: (size - 2) * (r - 1) + c - 1 for r in range(1, size - 1) for c in range(1, size - 1)}
    move, reached = search(grid, cell, target)
    moves = np.full((len(index), len(index)), move, np.int8)
    alone = {a: search(with_agents(grid, [a]), cell, target) for a in reached}
    for a, (move, _) in alone.items():
        moves[index[a], :] = moves[:, index[a]] = move
    for a, (_, reached) in alone.items():
        for b in reached - {a}:
            if not (b in alone and b < a and a in alone[b][1]):  # done already
                move, _ = search(with_agents(grid, [a, b]), cell, target)
                moves[index[a], index[b]] = moves[index[b], index[a]] = move
    return moves


def build(map_type: MapType, size: int) -> np.ndarray:
    """All first moves of one kitchen, int8 `[inside, size * size, pairs]`; `STAY` for a start on a counter."""
    grid = Layout(map_type, size, 2).template.ravel().tolist()
    inside = [size * r + c for r in range(1, size - 1) for c in range(1, size - 1)]
    a, b = np.triu_indices(len(inside))
    table = np.full((len(inside), size * size, len(a)), STAY, np.int8)
    for s, cell in enumerate(inside):
        if grid[cell] == SPACE:
            for target in range(size * size):
                table[s, target] = moves_for(grid, cell, target)[a, b]
    return table


if __name__ == "__main__":
    tables: dict[str, Any] = {f"{map_type}{size}": build(map_type, size) for map_type, size in KITCHENS}
    np.savez_compressed(TABLES, **tables)
    print(f"{TABLES}: {TABLES.stat().st_size} bytes")
