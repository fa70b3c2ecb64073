"""The sinusoidal encoding of the episode's time and of a macro-action's elapsed steps."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def temporal_encoding(steps: Float[Array, "*rows"], size: int) -> Float[Array, "*rows size"]:
    """sin and cos of `steps` / 10000^(2j/size), interleaved: `[...]` steps -> `[..., size]`.

    Source: docs/specifications/tomacvf.md, section 2, after Vaswani et al., "Attention Is All You Need", 2017,
    section 3.5. Raises ValueError unless `size` is even and at least 2.
    """
    if size < 2 or size % 2:
        raise ValueError(f"encoding_size is {size}, but must be even and at least 2")
    frequency = 10000.0 ** (-jnp.arange(0, size, 2, dtype=jnp.float32) / size)
    angle = steps[..., None] * jax.lax.broadcast_to_rank(frequency, steps.ndim + 1)
    return jnp.stack([jnp.sin(angle), jnp.cos(angle)], axis=-1).reshape(*steps.shape, size)
