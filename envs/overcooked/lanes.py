"""A function that only a few lanes (elements of a batch) need: computed for those alone where that is faster."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.custom_batching import custom_vmap
from jax.extend.backend import backends

GPUS = ("cuda", "rocm")


def only_where(
    function: Callable[..., Array], kernel: Callable[[], Callable[..., Array] | None] = lambda: None
) -> Callable[..., Array]:
    """`(needed, default, *args) -> function(*args) if needed else default`, for one lane and under any `vmap`s.

    Under `vmap` both sides of a condition are computed for every lane, and a loop runs until its last lane is done.
    Here all mapped axes become one axis of lanes, and on a CPU a loop goes through those that are needed, mostly
    few. `needed` is a bool scalar, `default` an array like the function's result, the arguments are arrays. Where
    a lane is not needed, the function may be computed for arguments of zeros, which should not take it long.

    `kernel` returns what replaces `side_by_side` on GPUs (it takes the same arguments but the function), or None.
    It is called only where there is a GPU, since tracing a kernel takes time.
    """

    @custom_vmap
    def over_lanes(*args: Array) -> Array:
        on_gpus = kernel() if has_gpu() else None
        return lax.platform_dependent(
            *args,
            cpu=partial(one_by_one, function),
            default=partial(side_by_side, function),
            **(dict.fromkeys(GPUS, on_gpus) if on_gpus else {}),
        )

    @over_lanes.def_vmap
    def _(axis_size: int, batched: list[bool], *args: Array) -> tuple[Array, bool]:
        lanes = [
            arg if is_batched else jnp.broadcast_to(arg, (axis_size, *arg.shape))
            for arg, is_batched in zip(args, batched, strict=True)
        ]
        results = over_lanes(*(arg.reshape(-1, *arg.shape[2:]) for arg in lanes))
        return results.reshape(lanes[1].shape), True

    return lambda *args: over_lanes(*(jnp.asarray(arg)[None] for arg in args))[0]


def has_gpu() -> bool:
    """Whether JAX has found a GPU, be it the default device or not."""
    return any(platform in backends() for platform in GPUS)


def one_by_one(function: Callable[..., Array], needed: Array, results: Array, *args: Array) -> Array:
    """`only_where` for CPUs, where XLA compiles small loops to machine code; arguments are `[lanes, ...]`."""
    lanes = needed.shape[0]

    def next_from(lane: Array) -> Array:
        return lax.while_loop(lambda k: (k < lanes) & ~needed[k], lambda k: k + 1, lane)

    def replace(carry: tuple[Array, Array]) -> tuple[Array, Array]:
        lane, results = carry
        return next_from(lane + 1), results.at[lane].set(function(*(arg[lane] for arg in args)))

    return lax.while_loop(lambda carry: carry[0] < lanes, replace, (next_from(jnp.int32(0)), results))[1]


def side_by_side(function: Callable[..., Array], needed: Array, results: Array, *args: Array) -> Array:
    """`only_where` for accelerators, where only wide operations are fast; arguments are `[lanes, ...]`.

    Nothing is counted or gathered while it runs: the loops are those of the function, each as long as its longest
    lane that is needed.
    """

    def where_needed(these: Array, others: Array | int) -> Array:
        return jnp.where(needed.reshape(-1, *(1,) * (these.ndim - 1)), these, others)

    return where_needed(jax.vmap(function)(*(where_needed(arg, 0) for arg in args)), results)
