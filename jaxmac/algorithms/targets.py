"""Temporal-difference targets over joint or own rows. All take the same rows, and their gradient is stopped.

R_k is the reward of row k, discounted inside the row, and tau_k its duration in primitive steps. The rows of a
sequence follow each other without a gap, and padding comes after the last real row. V'_k is the target network's
value after row k.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxmac.hyper import Hyper


class TargetRows(NamedTuple):
    """The fields of rows that a target needs; the leading axis is rows, other axes (batch, agents) follow it."""

    reward: Float[Array, "rows *batch"]  # R_k
    discount: Float[Array, "rows *batch"]  # gamma^tau_k
    terminal: Bool[Array, "rows *batch"]  # no value after this row
    mask: Bool[Array, "rows *batch"]  # a real row; padding is False


def target_rows(hyper: Hyper, reward: Array, duration: Array, terminal: Array, mask: Array) -> TargetRows:
    """Rows with scaled rewards and with durations (in primitive steps) turned into discounts."""
    return TargetRows(hyper.reward_scale * reward, hyper.gamma**duration, terminal, mask)


def one_step_target(rows: TargetRows, next_value: Float[Array, "rows *#batch"]) -> Float[Array, "rows *#batch"]:
    """y_k = R_k + gamma^tau_k (1 - terminal_k) V'_k (docs/specifications/avf.md, section 4)."""
    bootstrap = jnp.where(rows.terminal, 0.0, rows.discount * next_value)
    return jax.lax.stop_gradient(rows.reward + bootstrap)


def n_step_target(
    rows: TargetRows, next_value: Float[Array, "rows *batch"], n_step: int
) -> Float[Array, "rows *batch"]:
    """The n-step return over rows (docs/specifications/policy_gradient.md, section 5).

    y_k = sum_{j=0}^{n-1} gamma^(tau_k + ... + tau_{k+j-1}) R_{k+j} + gamma^(tau_k + ... + tau_{k+n-1}) V'_{k+n-1},
    without the bootstrap where row k+n-1 is terminal, and with fewer than n rows at the end of the sequence. n = 0
    is the same as n = 1.
    """

    def ahead(x: Array, steps: int) -> Array:
        return jnp.concatenate([x[steps:], jnp.zeros_like(x[:steps])])

    target, bootstrap, so_far = (jnp.zeros_like(rows.reward) for _ in range(3))
    so_far = so_far + 1.0
    for steps in range(max(n_step, 1)):
        live = ahead(rows.mask, steps)
        target = target + jnp.where(live, so_far * ahead(rows.reward, steps), 0.0)
        so_far = jnp.where(live, so_far * ahead(rows.discount, steps), so_far)
        after = jnp.where(ahead(rows.terminal, steps), 0.0, so_far * ahead(next_value, steps))
        bootstrap = jnp.where(live, after, bootstrap)
    return jax.lax.stop_gradient(target + bootstrap)
