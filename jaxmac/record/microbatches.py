"""Gradients of a large batch as sums over microbatches, whose activations stay in a core's cache.

The layers of an update are wide and shallow: where the activations of a batch exceed the cache, every elementwise
operation waits for memory. The results differ from those of the whole batch by rounding only. Sizes are those of
one member: where members share a core under `vmap`, all of them are in the cache at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from jaxmac.record.buckets import at_needed_length, rows_of_each

CACHED = 80_000  # numbers of one layer's activations that are still in the cache when the next layer reads them
FEWEST = 4  # episodes: below that an operation costs more than its numbers do


def microbatches(episodes: int, size: int) -> int:
    """How many equal parts a batch of `episodes` is divided into, if a layer has `size` numbers per episode.

    On an accelerator it is 1, because wide operations use it best.
    """
    if jax.default_backend() != "cpu":
        return 1
    divisors = [parts for parts in range(1, episodes // FEWEST + 1) if episodes % parts == 0]
    fitting = [parts for parts in divisors if episodes // parts * size <= CACHED]
    return min(fitting, default=max(divisors, default=1))


def divided(rows: Any, parts: int) -> Any:
    """Time-major `rows` `[rows, batch, ...]`, a NamedTuple, as `[parts, rows, batch / parts, ...]`.

    `dropped` and a bare array have no rows: `[batch, ...]` becomes `[parts, batch / parts, ...]`.
    """
    if not hasattr(rows, "_fields"):
        return rows.reshape(parts, rows.shape[0] // parts, *rows.shape[1:])

    def split(x: Any) -> Any:
        return jnp.moveaxis(x.reshape(x.shape[0], parts, x.shape[1] // parts, *x.shape[2:]), 1, 0)

    fields = {name: divided(x, parts) if name == "dropped" else split(x) for name, x in rows._asdict().items()}
    return type(rows)(**fields)


def reordered(rows: Any, order: Int[Array, "batch"]) -> Any:
    """The episodes of time-major `rows` `[rows, batch, ...]`, or of a bare array `[batch, ...]`, in this order."""
    if not hasattr(rows, "_fields"):
        return rows[order]
    fields = {name: x[order] if name == "dropped" else x[:, order] for name, x in rows._asdict().items()}
    return type(rows)(**fields)


def summed_over(
    function: Callable[..., tuple[Any, Any]], batches: tuple[Any, ...], size: int, like: Any
) -> tuple[Any, Any]:
    """`function(*batches)`, from microbatches if a layer has `size` numbers per episode.

    Short episodes share a microbatch, and each microbatch is computed at the length that it needs (`buckets`).

    Args:
        function: returns `(total, each)`: what is a sum over the episodes, such as a gradient, and what each
            episode has `[batch, ...]`. Both are trees of arrays. Padded rows change neither.
        batches: time-major rows, or arrays with an entry for each episode, all of as many episodes; see `divided`.
            The first one has rows.
        size: numbers of a hidden layer's activations per episode.
        like: arrays of the shapes and types of `total`.
    """
    episodes = batches[0].mask.shape[1]
    parts = microbatches(episodes, size)
    if parts == 1:
        return at_needed_length(function, *batches)
    counts = [rows_of_each(batch.mask) for batch in batches if hasattr(batch, "mask")]
    order = jnp.argsort(jnp.max(jnp.stack(counts), axis=0))
    stacked = tuple(divided(reordered(batch, order), parts) for batch in batches)

    def add(total: Any, part: tuple[Any, ...]) -> tuple[Any, Any]:
        more, each = at_needed_length(function, *part)
        return jax.tree.map(lambda x, y: x + y.astype(x.dtype), total, more), each

    total, each = jax.lax.scan(add, jax.tree.map(jnp.zeros_like, like), stacked)
    place = jnp.argsort(order)
    return total, jax.tree.map(lambda x: x.reshape(episodes, *x.shape[2:])[place], each)
