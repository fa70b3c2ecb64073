"""Running moments of returns, by which the outputs of critics are normalised."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float

SMALLEST_VARIANCE = 1e-4  # of returns, so that normalising them never divides by 0


class Moments(struct.PyTreeNode):
    """Running moments of the returns of each critic, `[networks]` (Yu et al., 2022, section 5.1)."""

    mean: Array
    variance: Array  # not the mean of squares: the variance would be lost in its rounding
    weight: Array  # 1 - decay^(iterations so far), by which the share of an iteration is divided

    def mean_and_spread(self) -> tuple[Array, Array]:
        """Mean and standard deviation, each `[networks]`; 0 and 1 before the first iteration."""
        spread = jnp.sqrt(jnp.maximum(self.variance, SMALLEST_VARIANCE))
        return self.mean, jnp.where(self.weight > 0, spread, 1.0)

    def after(
        self,
        mean: Float[Array, "networks"],
        variance: Float[Array, "networks"],
        has_rows: Bool[Array, "networks"],
        decay: Array,
    ) -> Moments:
        """The moments after an iteration with returns of these; those of a critic without rows stay as they are."""
        weight = decay * self.weight + (1.0 - decay)
        step_size, shift = (1.0 - decay) / weight, mean - self.mean
        spread = (1.0 - step_size) * (self.variance + step_size * shift**2) + step_size * variance
        updated = Moments(self.mean + step_size * shift, spread, weight)
        return jax.tree.map(lambda new, old: jnp.where(has_rows, new, old), updated, self)
