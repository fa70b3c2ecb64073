"""What all members under a `vmap` have in common."""

from __future__ import annotations

import jax.numpy as jnp
from jax.custom_batching import custom_vmap
from jaxtyping import Array, Bool, Int


@custom_vmap
def largest_under_vmap(x: Bool[Array, ""] | Int[Array, ""]) -> Array:
    """`x`; under `vmap` the largest `x` of all members, one value for all of them.

    A loop or a branch that depends on it stays one for all members, where `vmap` would otherwise run every branch,
    or select between old and new values of everything that a loop carries.
    """
    return x


@largest_under_vmap.def_vmap
def _of_all_members(size: int, batched: list[bool], x: Array) -> tuple[Array, bool]:
    del size
    return largest_under_vmap(jnp.max(x, axis=0) if batched[0] else x), False
