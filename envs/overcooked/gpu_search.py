"""`heap_search` as one GPU kernel with a program for each lane.

A loop of XLA costs a launch and a wait for the GPU each time around, and a search goes around some 600 times. In a
kernel that is one launch in all. The heap and the map live in the registers of a warp: a word is read by a maximum
over the one place that is not hidden, and written by a choice at each place, so nothing is addressed in memory.

This imports Pallas, so it's imported where a program is made for a GPU only (see `planner.py`).
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton
from jaxtyping import Bool, Int

from jaxmac.envs.overcooked import heap_search

Ref = Any  # what a kernel reads and writes; its type is not a public name of JAX


def search(
    needed: Bool[Array, "lanes"],
    default: Int[Array, "lanes"],
    boards: Int[Array, "lanes rows"],
    here: Int[Array, "lanes"],
    target: Int[Array, "lanes"],
    interpret: bool = False,
) -> Int[Array, "lanes"]:
    """`heap_search.search` in each lane that is `needed`, else its `default`; `interpret` runs it without a GPU."""
    lanes, rows = boards.shape
    words = pl.next_power_of_2(rows)  # the only sizes that Triton has
    boards = jnp.pad(boards, ((0, 0), (0, words - rows)))
    scalar, row = pl.BlockSpec((None,), _lane), pl.BlockSpec((None, words), _lane_and_start)
    call = pl.pallas_call(
        partial(_search_lane, rows),
        grid=(lanes,),
        in_specs=[scalar, scalar, row, scalar, scalar],
        out_specs=scalar,
        out_shape=_shape(default, needed, boards[:, 0], here, target),
        compiler_params=triton.CompilerParams(num_warps=1, num_stages=1),
        interpret=interpret,
        name="overcooked_search",
    )
    return call(needed.astype(jnp.int32), default, boards, here, target)


def _lane(lane: Array) -> tuple[Array]:
    return (lane,)


def _lane_and_start(lane: Array) -> tuple[Array, Array]:
    return lane, jnp.int32(0)  # a plain 0 would have 64 bits where JAX has


def _shape(results: Array, *others: Array) -> jax.ShapeDtypeStruct:
    """The results' shape and type, and the axes of a `shard_map` over which they or the others vary."""
    return jax.eval_shape(lambda: sum((x * 0 for x in others), results).astype(results.dtype))


def _search_lane(rows: int, needed: Ref, default: Ref, board: Ref, here: Ref, target: Ref, move: Ref) -> None:
    """The kernel: its arguments are references to one lane's words."""
    slots = pl.next_power_of_2((rows - 2) ** 2 + 2)
    memory = heap_search.Memory(lambda _: jnp.zeros(slots, jnp.int32), _read, _write)
    move[...] = default[...]

    @pl.when(needed[...] != 0)
    def _() -> None:
        found = heap_search.search(board[...], here[...], target[...], memory)
        move[...] = found.astype(move.dtype)


def _places(words: Array) -> Array:
    return lax.iota(jnp.int32, words.shape[0])


def _read(words: Array, place: Array | int) -> Array:
    """The word at a place; no word is negative."""
    return jnp.max(jnp.where(_places(words) == place, words, 0))


def _write(words: Array, place: Array | int, word: Array) -> Array:
    return jnp.where(_places(words) == place, word.astype(words.dtype), words)
