"""Products with a constant that are rounded once, so that recorded numbers come out to the last digit."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float32, Int

LARGEST_COUNT = 4096  # 12 bits: beyond, its product with 12 bits of the factor needs more than a float32 has


def exact_product(count: Int[Array, "*rows"], factor: float | np.ndarray) -> Float32[Array, "*rows"]:
    """`count * factor` in float32, rounded once as a division by hand would be.

    `count` is an integer up to `LARGEST_COUNT`, `factor` a fraction 1/n or 2/n with n up to 1024.

    A `factor` for each entry of the last axis is an array of float64.

    XLA turns a division by a constant into a product with its rounded inverse, which is off in the last digit. So
    `factor` is split into 12 bits, whose product with `count` is exact, and a rest.
    """
    mantissa, exponent = np.frexp(factor)
    coarse = np.ldexp(np.round(np.ldexp(mantissa, 12)), exponent - 12)
    k = count.astype(jnp.float32)
    high, low = (jnp.broadcast_to(np.asarray(part, np.float32), k.shape) for part in (coarse, factor - coarse))
    return k * high + k * low
