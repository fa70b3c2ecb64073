"""The optimiser of every algorithm and its step, for all parameters together or for each network separately.

Adam: Diederik P. Kingma and Jimmy Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float

from jaxmac.hyper import Hyper


def optimiser(hyper: Hyper, rate: Array | float) -> optax.GradientTransformation:
    """Clipping by global norm (`grad_clip`), Adam, then scaling by the learning rate, which may be traced."""
    norm = hyper.grad_clip
    return optax.chain(
        optax.clip_by_global_norm(jnp.where(norm > 0, norm, jnp.inf)),
        optax.scale_by_adam(),
        optax.scale(-rate),
    )


def init_optimiser(hyper: Hyper, params: Any, separate: bool = False) -> Any:
    """Optimiser state of `params`; with `separate`, one for each of the networks stacked along the leading axis."""
    init = optimiser(hyper, 0.0).init  # the state does not depend on the learning rate
    return jax.vmap(init)(params) if separate else init(params)


Extra = TypeVar("Extra")


def gradient_of_sum(
    losses: Callable[[Any], tuple[Float[Array, "networks"], Extra]], params: Any
) -> tuple[Any, Float[Array, "networks"], Extra]:
    """The gradient of the sum of several networks' losses, each loss, and what `losses` returns beside them."""

    def summed(params: Any) -> tuple[Array, tuple[Array, Extra]]:
        each, extra = losses(params)
        return jnp.sum(each), (each, extra)

    gradient, (each, extra) = jax.grad(summed, has_aux=True)(params)
    return gradient, each, extra


def gradient_step(
    hyper: Hyper,
    rate: Array | float,
    gradient: Any,
    opt_state: Any,
    params: Any,
    has_rows: Bool[Array, "*networks"] | None = None,
) -> tuple[Any, Any]:
    """One step of Adam on `params`; returns the new parameters and optimiser state.

    With `has_rows` every leaf has a leading axis of networks that learn separately: the gradient of each is clipped
    by its own norm, and a network without rows is left unchanged, although Adam's momentum would move it on a
    gradient of zero. A scalar `has_rows` does the same for parameters that are updated together.
    """
    adam = optimiser(hyper, rate)

    def step(gradient: Any, opt_state: Any, params: Any) -> tuple[Any, Any]:
        moves, opt_state = adam.update(gradient, opt_state, params)
        return optax.apply_updates(params, moves), opt_state

    def step_if(learns: Array, gradient: Any, opt_state: Any, params: Any) -> tuple[Any, Any]:
        stepped = step(gradient, opt_state, params)
        return jax.tree.map(lambda new, old: jnp.where(learns, new, old), stepped, (params, opt_state))

    if has_rows is None:
        return step(gradient, opt_state, params)
    if has_rows.ndim == 0:
        return step_if(has_rows, gradient, opt_state, params)
    return jax.vmap(step_if)(has_rows, gradient, opt_state, params)
