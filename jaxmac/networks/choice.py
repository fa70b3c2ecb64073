"""Masks of macro-actions, and the conditional arg max over them.

The feasible set F_i of an agent holds the macro-actions that it may run next: every available one where it chooses,
only the running one where it does not (docs/specifications/mixers.md, section 5). It is empty only where an agent
chooses among nothing. The arg max over it is index 0 and the maximum 0; no target reads them, because the cuts of
the record end the value there (`jaxmac.record.episode.ends_value`).
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

NEGATIVE = -1e9
"""The value of masked entries in a maximum: finite, so that no NaN can arise from it."""


def is_action(index: Int[Array, "*rows"], num_actions: int) -> Bool[Array, "*rows actions"]:
    """One-hot mask of `index`; all False where it is outside 0 to num_actions - 1 (for example -1)."""
    return jax.nn.one_hot(index, num_actions, dtype=bool)


def feasible_set(
    available: Bool[Array, "*rows actions"], choosing: Bool[Array, "*rows"], running: Int[Array, "*rows"]
) -> Bool[Array, "*rows actions"]:
    """F_i: `available` where the agent chooses, else its running macro-action whatever `available` says."""
    return jnp.where(choosing[..., None], available, is_action(running, available.shape[-1]))


def masked_argmax(
    values: Float[Array, "*rows actions"], allowed: Bool[Array, "*rows actions"]
) -> Int[Array, "*rows"]:
    """Index of the largest allowed value (int32, ties to the lowest index); 0 where nothing is allowed."""
    lowest = jnp.finfo(values.dtype).min  # below all that is allowed, whatever that is
    kept = jnp.maximum(values, np.nextafter(lowest, np.zeros((), values.dtype)))
    return jnp.argmax(jnp.where(allowed, kept, lowest), axis=-1).astype(jnp.int32)


def conditional_argmax(
    q_all: Float[Array, "*rows actions"],
    available: Bool[Array, "*rows actions"],
    choosing: Bool[Array, "*rows"],
    running: Int[Array, "*rows"],
) -> Int[Array, "*rows"]:
    """The conditional arg max: the greedy available macro-action where the agent chooses, `running` elsewhere.

    int32, ties to the lowest index (docs/specifications/mixers.md, section 5).
    """
    return jnp.where(choosing, masked_argmax(q_all, available), running).astype(jnp.int32)


def take_chosen(q_all: Float[Array, "*rows actions"], chosen: Int[Array, "*rows"]) -> Float[Array, "*rows"]:
    """The utility Q_i(h_i, m_i) of each chosen macro-action; 0 where `chosen` is negative (no macro-action)."""
    # A gather, not a one-hot sum: measured 2.5 times as fast on CPU, gradient included.
    taken = jnp.take_along_axis(q_all, chosen[..., None], axis=-1, mode="clip")[..., 0]
    return jnp.where(chosen >= 0, taken, 0.0)


def feasible_max(
    q_all: Float[Array, "*rows actions"], feasible: Bool[Array, "*rows actions"]
) -> Float[Array, "*rows"]:
    """The largest utility over the feasible set; 0 where the set is empty, as of no macro-action."""
    largest = jnp.max(jnp.where(feasible, q_all, NEGATIVE), axis=-1)
    return jnp.where(jnp.any(feasible, axis=-1), largest, 0.0)
