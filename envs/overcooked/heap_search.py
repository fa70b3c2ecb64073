"""The planner's search in JAX, exact to the ties (docs/specifications/overcooked.md, section 8.5).

Ties between equally good cells are decided by the mechanics of a binary heap in an array, so that heap is emulated
exchange by exchange. Its data are kept small (16 bits for a heap entry, one word for a row of the map): XLA then
compiles these loops to machine code on CPUs instead of interpreting them operation by operation, ten times faster.
`build_navigation.search` is the same search in plain Python; `gpu_search` runs this one as a kernel on GPUs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Int

from jaxmac.envs.overcooked.layout import DOWN, LEFT, RIGHT, STAY, UP

# A heap entry: 2 * estimated length + 1 where an agent is (7 bits) | row - 1, column - 1, first move (3 bits each).
# A path never touches an earlier part of itself, so it has at most 3 of every 4 cells and the first part fits.
KEY, NOTHING = 9, np.uint16(0xFFFF)
AGENTS = 16  # bit c of a row's word: column c can be walked on; bit 16 + c: an agent is there


class Memory(NamedTuple):
    """How the search keeps its data: as arrays, or as what can be read and written inside a kernel."""

    empty_heap: Callable[[int], Array]  # number of entries -> a heap for as many
    read: Callable[[Array, Array | int], Array]  # words, place -> word
    write: Callable[[Array, Array | int, Array], Array]  # words, place, word -> words


ARRAYS = Memory(
    empty_heap=lambda entries: jnp.zeros(entries, jnp.uint16),
    read=lambda words, place: words[place],
    write=lambda words, place, word: words.at[place].set(word),
)


def search(
    board: Int[Array, "rows"], here: Int[Array, ""], target: Int[Array, ""], memory: Memory = ARRAYS
) -> Int[Array, ""]:
    """First move between cells (numbered as in `layout`) on a packed map: `STAY` without a path."""
    read, write = memory.read, memory.write
    start, destination = (here >> 4, here & 15), (target >> 4, target & 15)

    def distance(row: Array, column: Array) -> Array:
        return jnp.abs(row - destination[0]) + jnp.abs(column - destination[1])

    def entry(key: Array, row: Array, column: Array, first: Array | int) -> Array:
        return (key << KEY | row - 1 << 6 | column - 1 << 3 | first).astype(empty.dtype)

    def expand(carry: tuple) -> tuple:
        heap, end, board, _ = carry
        heap, end = _extract(memory, heap, end)
        best = read(heap, 0).astype(jnp.int32)
        row, column, first = (best >> 6 & 7) + 1, (best >> 3 & 7) + 1, best & 7
        steps = (best >> KEY + 1) - distance(row, column) + 1

        def visit_neighbour(carry: tuple) -> tuple:
            k, heap, end, board, _ = carry
            r, c = row + (k == 2) - (k == 3), column + (k == 0) - (k == 1)
            move = jnp.where(first == STAY, _in_order(k), first)
            word = read(board, r) >> c
            new = word & 1  # can be walked on, and was not in the heap before
            key = 2 * (steps + distance(r, c)) + (word >> AGENTS & 1)
            heap = _raise(memory, heap, end, jnp.where(new == 1, entry(key, r, c, move), NOTHING))
            found = (r == destination[0]) & (c == destination[1])
            return k + 1, heap, end + new, _close(memory, board, r, c), jnp.where(found, move, STAY)

        carry = (_constant(0, end), heap, end, board, _constant(STAY, end))
        return lax.while_loop(lambda carry: (carry[0] < 4) & (carry[4] == STAY), visit_neighbour, carry)[1:]

    # Slot 0 is for the entry that was extracted, 1 is the root; one slot more for an entry that is not kept.
    empty = memory.empty_heap((board.shape[0] - 2) ** 2 + 2)
    heap = write(empty, 1, entry(2 * distance(*start), *start, STAY))
    carry = (heap, _constant(2, here), _close(memory, board, *start), _constant(STAY, here))
    move = lax.while_loop(lambda carry: (carry[1] > 1) & (carry[3] == STAY), expand, carry)[3]
    return jnp.where(here == target, STAY, move)


def _constant(value: int, like: Array) -> Array:
    """A constant that varies over the devices of a `shard_map` as `like` does: the start of a loop must."""
    return like * 0 + value


def _in_order(k: Array) -> Array:
    """The order in which neighbours are looked at: right, left, down, up."""
    # Not four plain numbers: Pallas takes a choice between two of those for one between two truth values.
    return jnp.where(k == 0, RIGHT, jnp.where(k == 1, LEFT, jnp.where(k == 2, DOWN, _constant(UP, k))))


def _close(memory: Memory, board: Array, row: Array, column: Array) -> Array:
    """The map without this cell: no path enters it again."""
    return memory.write(board, row, memory.read(board, row) & ~(1 << column))


def _raise(memory: Memory, heap: Array, hole: Array, entry: Array) -> Array:
    """Put an entry into a hole and let it rise above entries with larger or equal keys."""
    read, write = memory.read, memory.write

    def can_rise(carry: tuple[Array, Array]) -> Array:
        heap, hole = carry
        return (hole > 1) & (entry >> KEY <= read(heap, hole >> 1) >> KEY)

    def rise(carry: tuple[Array, Array]) -> tuple[Array, Array]:
        heap, hole = carry
        return write(heap, hole, read(heap, hole >> 1)), hole >> 1

    heap, hole = lax.while_loop(can_rise, rise, (heap, hole))
    return write(heap, hole, entry)


def _extract(memory: Memory, heap: Array, end: Array) -> tuple[Array, Array]:
    """Move the root to slot 0, sink its hole to the bottom and raise the last entry from there: heap, its end."""
    read, write = memory.read, memory.write
    end = end - 1

    def sink(carry: tuple[Array, Array]) -> tuple[Array, Array]:
        heap, hole = carry
        left = 2 * hole
        child = left + ((left + 1 < end) & (read(heap, left) >> KEY > read(heap, left + 1) >> KEY))
        return write(heap, hole, read(heap, child)), child

    heap = write(heap, 0, read(heap, 1))
    heap, hole = lax.while_loop(lambda carry: 2 * carry[1] < end, sink, (heap, _constant(1, end)))
    return _raise(memory, heap, hole, read(heap, end)), end
