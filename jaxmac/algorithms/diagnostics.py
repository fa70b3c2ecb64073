"""Diagnostics: what an update tells beside its loss. Their means over updates are columns of metrics.csv."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

VALUE_BASED = ("td_error", "q_taken", "grad_norm")
"""The diagnostics of every value-based algorithm; see `of_values`."""

ACTOR_CRITIC = ("actor_loss", "critic_loss", "entropy", "actor_grad_norm", "critic_grad_norm")
"""Sums of the losses of actors and of critics, the mean entropy of the decisions that actors learn from, and norms
of the gradients before clipping."""

PPO = (*ACTOR_CRITIC, "approx_kl", "clip_fraction", "explained_variance")
"""With them, those of PPO; see `of_ratios` and `explained_variance`."""


EQUAL = 1e-6  # relative differences of returns that may be rounding


class EpisodeMeans(NamedTuple):
    """Means over the rows of each sampled episode."""

    error: Float[Array, "batch"]  # absolute temporal-difference error, which the sampler's `feedback` gets, too
    value: Float[Array, "batch"]  # value of the macro-action, or joint macro-action, of the row
    rows: Int[Array, "batch"]  # their number; an episode without any has means of 0


def episode_means(
    error: Float[Array, "rows batch *rest"],
    value: Float[Array, "rows batch *rest"],
    mask: Bool[Array, "rows batch *rest"],
) -> EpisodeMeans:
    """Means over the rows of each episode that are in `mask`; 0 for an episode without any."""
    axes = (0, *range(2, error.ndim))
    rows = jnp.sum(mask, axis=axes, dtype=jnp.int32)

    def mean(x: Array) -> Array:
        return jax.lax.stop_gradient(jnp.sum(jnp.where(mask, x, 0.0), axis=axes) / jnp.maximum(rows, 1))

    return EpisodeMeans(mean(jnp.abs(error)), mean(value), rows)


def of_values(means: EpisodeMeans, gradient: Any, reward_scale: Array | float) -> dict[str, Float[Array, ""]]:
    """Mean absolute error and mean value over the rows of a batch, and the gradient's norm before clipping.

    Errors and values are divided by `reward_scale`, so that they compare with returns.
    """
    share = means.rows / jnp.maximum(jnp.sum(means.rows) * reward_scale, 1e-30)
    over_rows = (jnp.sum(share * x) for x in (means.error, means.value))
    return dict(zip(VALUE_BASED, (*over_rows, optax.tree.norm(gradient)), strict=True))


def mean_where(x: Float[Array, "*shape"], mask: Bool[Array, "*shape"]) -> Float[Array, ""]:
    """The mean of `x` over all entries in `mask`; 0 if there are none. It has no gradient."""
    return jax.lax.stop_gradient(jnp.sum(jnp.where(mask, x, 0.0)) / jnp.maximum(jnp.sum(mask), 1))


def of_ratios(
    log_ratio: Float[Array, "*rows"], mask: Bool[Array, "*rows"], clip: Float[Array, ""] | float
) -> dict[str, Float[Array, ""]]:
    """How far PPO's policy is from the one that collected the episodes, over the rows in `mask`.

    `approx_kl` is the mean of r - 1 - log r, an estimate of the Kullback-Leibler divergence that is never negative,
    and `clip_fraction` the share of the rows whose ratio r is outside of [1 - clip, 1 + clip].
    """
    log_ratio = jnp.where(mask, log_ratio, 0.0)
    change = jnp.expm1(log_ratio)  # r - 1, also where it is tiny
    far = (jnp.abs(change) > clip).astype(jnp.float32)
    distance = jnp.maximum(change - log_ratio, 0.0)  # rounding aside it is never negative
    return {"approx_kl": mean_where(distance, mask), "clip_fraction": mean_where(far, mask)}


def explained_variance(
    returns: Float[Array, "*rows"], value: Float[Array, "*rows"], mask: Bool[Array, "*rows"]
) -> Float[Array, ""]:
    """1 - Var(returns - value) / Var(returns) over the rows in `mask`; 0 where all returns are equal."""

    def variance(x: Array) -> Array:
        return mean_where((x - mean_where(x, mask)) ** 2, mask)

    total = variance(returns)
    rounding = EQUAL * jnp.max(jnp.where(mask, jnp.abs(returns), 0.0))
    differ = total > rounding**2
    return jnp.where(differ, 1.0 - variance(returns - value) / jnp.where(differ, total, 1.0), 0.0)
