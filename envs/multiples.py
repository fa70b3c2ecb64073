"""Numbers that are integers times a unit: a record of them needs the integers only, in one or two bytes each."""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float32, Shaped

from jaxmac.envs.exact import LARGEST_COUNT, exact_product


@dataclass(frozen=True)
class Multiples:
    """Which entries of an observation or a global state are integers times a unit, rounded once to float32.

    Attributes:
        unit: of each entry, the unit; 0 where an entry can be any number, which is then kept as it is.
        largest: the largest magnitude of the integers: 2^24 at most, up to which float32 holds all integers, and
            4,096 with a unit that is no power of two, as products need not come out exactly beyond.

    Raises ValueError, in one line, for a `largest` that is not such an integer.
    """

    unit: tuple[float, ...]
    largest: int

    def __post_init__(self) -> None:
        """Raise ValueError as the class does."""
        whole = isinstance(self.largest, int | np.integer)
        powers_of_two = all(abs(np.frexp(unit)[0]) in (0, 0.5) for unit in self.unit)
        most = 2**24 if powers_of_two else LARGEST_COUNT
        if not whole or isinstance(self.largest, bool) or not 0 < self.largest <= most:
            raise ValueError(f"largest is {self.largest!r}, but must be an integer from 1 to {most}")

    @property
    def dtype(self) -> np.dtype:
        """The smallest integer type that holds the integers."""
        return np.dtype(next(t for t in (np.int8, np.int16, np.int32) if self.largest <= np.iinfo(t).max))

    def pack(self, values: Float32[Array, "*rows entries"]) -> tuple[Shaped[Array, "*rows _"], ...]:
        """The integers of the entries that have a unit; where there are other entries, a second array has them."""
        unit = np.array(self.unit)
        counted, others = np.flatnonzero(unit), np.flatnonzero(unit == 0)
        per_unit = jnp.broadcast_to((1 / unit[counted]).astype(np.float32), (*values.shape[:-1], len(counted)))
        counts = jnp.round(_columns(values, counted) * per_unit).astype(self.dtype)
        return (counts, values[..., others]) if len(others) else (counts,)

    def unpack(self, packed: tuple[Shaped[Array, "*rows _"], ...]) -> Float32[Array, "*rows entries"]:
        """The inverse of `pack`: the same float32 values, with 0.0 for -0.0."""
        unit = np.array(self.unit)
        order = np.concatenate([np.flatnonzero(unit), np.flatnonzero(unit == 0)])
        values = exact_product(packed[0], unit[unit != 0])
        return _columns(jnp.concatenate([values, *packed[1:]], -1), np.argsort(order))


def _columns(values: Shaped[Array, "*rows entries"], chosen: np.ndarray) -> Shaped[Array, "*rows chosen"]:
    """The chosen columns, in this order."""
    in_order = np.array_equal(chosen, np.arange(values.shape[-1]))
    return values if in_order else values[..., chosen]
