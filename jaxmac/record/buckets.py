"""Batches of rows are cut to one of a few lengths, the shortest that holds every real row.

How many rows a batch has is known only when it is drawn, and mostly far fewer than an episode could have.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from jaxmac.record.under_vmap import largest_under_vmap

SHARES = (0.3, 0.6)  # of the full length; every length is one more copy of the update to compile
FEWEST = 16  # below that many rows a copy is not worth its compilation


def bucket_lengths(rows: int) -> list[int]:
    """The lengths that a batch of at most `rows` rows can be cut to, in rising order; the last one is `rows`."""
    shorter = [int(share * rows) for share in SHARES]
    return [length for length in shorter if length >= FEWEST] + [rows]


def rows_of_each(mask: Bool[Array, "rows batch *rest"]) -> Int[Array, "batch"]:
    """How many rows each episode has up to its last real one."""
    real = jnp.any(mask, axis=tuple(range(2, mask.ndim)))
    return jnp.max(jnp.where(real, jnp.arange(1, mask.shape[0] + 1, dtype=jnp.int32)[:, None], 0), axis=0)


def rows_needed(mask: Bool[Array, "rows batch *rest"]) -> Int[Array, ""]:
    """How many rows there are up to the last real one of all episodes."""
    return jnp.max(rows_of_each(mask))


def first_rows(rows: Any, length: int) -> Any:
    """The first `length` of time-major `rows`, a NamedTuple with `mask [rows, ...]`.

    Fields with `rows + 1` entries keep `length + 1` of them. `dropped` has no rows and stays.
    """
    beyond = rows.mask.shape[0] - length
    fields = {name: x[: x.shape[0] - beyond] for name, x in rows._asdict().items() if name != "dropped"}
    return rows._replace(**fields)


def at_needed_length(function: Callable[..., Any], *batches: Any) -> Any:
    """`function(*batches)` for time-major rows of one length, computed without the padding that all of them have.

    Arrays among `batches` are passed on as they are; the first of `batches` has rows. `function` returns the same
    shapes for every length, and padding does not change its results. On an accelerator there is a single length: it
    runs wide operations fast, and every further length is slow to compile.
    """
    lengths = bucket_lengths(batches[0].mask.shape[0])
    if len(lengths) == 1 or jax.default_backend() != "cpu":
        return function(*batches)
    counts = [rows_needed(batch.mask) for batch in batches if hasattr(batch, "mask")]
    needed = largest_under_vmap(jnp.max(jnp.stack(counts)))
    index = jnp.searchsorted(jnp.asarray(lengths, jnp.int32), needed).astype(jnp.int32)

    def cut(length: int, batches: tuple[Any, ...]) -> Any:
        shorter = (first_rows(batch, length) if hasattr(batch, "mask") else batch for batch in batches)
        return function(*shorter)

    return jax.lax.switch(index, [partial(cut, length) for length in lengths], batches)
