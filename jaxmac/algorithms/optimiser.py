"""The optimiser of every algorithm, and its step for nets that learn apart."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool

from jaxmac.algorithms.base import Hyper


def optimiser(hyper: Hyper, rate: Array | None = None) -> optax.GradientTransformation:
    """Clipping by global norm, Adam, then the (traced) learning rate, `rate` if given."""
    norm = hyper["grad_clip"]
    return optax.chain(
        optax.clip_by_global_norm(jnp.where(norm > 0, norm, jnp.inf)),
        optax.scale_by_adam(),
        optax.scale(-(hyper["learning_rate"] if rate is None else rate)),
    )


def init_each(adam: optax.GradientTransformation, params: Any) -> Any:
    """Optimiser states of nets stacked along the leading axis of `params`, each with its own step count."""
    return jax.vmap(adam.init)(params)


def step_each(
    adam: optax.GradientTransformation, gradient: Any, held: Any, params: Any, learned: Bool[Array, "nets"]
) -> tuple[Any, Any]:
    """One step of each of the nets stacked along the leading axis: (parameters, optimiser states).

    Norms are clipped net by net. A net without a row to learn from (`learned` False) stays as it is: Adam would
    move on a gradient of zero.
    """

    def one(gradient: Any, held: Any, params: Any, learned: Array) -> tuple[Any, Any]:
        moves, moved = adam.update(gradient, held, params)
        new = optax.apply_updates(params, moves), moved
        return jax.tree.map(lambda new, old: jnp.where(learned, new, old), new, (params, held))

    return jax.vmap(one)(gradient, held, params, learned)
