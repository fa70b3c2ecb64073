"""Temporal-difference targets over joint or own rows. All take the same rows, and their gradient is stopped.

R_k is the reward of row k, discounted inside the row, and tau_k its duration in primitive steps. The rows of a
sequence follow each other without a gap; masked rows are in front of them (history, or dropped by a cap) or behind
them (padding). V'_k is the target network's
value after row k.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxmac.hyper import Hyper


class TargetRows(NamedTuple):
    """The fields of rows that a target needs; the leading axis is rows, other axes (batch, agents) follow it."""

    reward: Float[Array, "rows *batch"]  # R_k
    discount: Float[Array, "rows *batch"]  # gamma^tau_k
    terminal: Bool[Array, "rows *batch"]  # no value after this row
    mask: Bool[Array, "rows *batch"]  # a real row; padding is False


def target_rows(hyper: Hyper, reward: Array, duration: Array, terminal: Array, mask: Array) -> TargetRows:
    """Rows with scaled rewards and with durations turned into discounts.

    Args:
        hyper: the traced hyperparameters; `reward_scale` and `gamma` are read.
        reward: unscaled, summed and discounted inside the row, `[rows, *batch]`.
        duration: primitive steps of the row, `[rows, *batch]`.
        terminal: whether the episode has terminated with the row, `[rows, *batch]`.
        mask: whether the row is a real one, `[rows, *batch]`.
    """
    return TargetRows(hyper.reward_scale * reward, hyper.gamma**duration, terminal, mask)


def one_step_target(rows: TargetRows, next_value: Float[Array, "rows *#batch"]) -> Float[Array, "rows *#batch"]:
    """y_k = R_k + gamma^tau_k (1 - terminal_k) V'_k (docs/specifications/avf.md, section 4)."""
    bootstrap = jnp.where(rows.terminal, 0.0, rows.discount * next_value)
    return jax.lax.stop_gradient(rows.reward + bootstrap)


def lambda_target(
    rows: TargetRows,
    next_value: Float[Array, "rows *batch"],
    td_lambda: Float[Array, ""] | float,
) -> Float[Array, "rows *batch"]:
    """The lambda-return over rows, from the last real one backwards (docs/specifications/avf.md, section 4).

    y_k = R_k + gamma^tau_k (1 - terminal_k) [(1 - lambda) V'_k + lambda y_{k+1}], and the one-step target where no
    real row follows: at the end of the episode, of the window or of the rows that a cap keeps. With lambda = 0 it
    is the one-step target, with 1 the discounted return of an episode that terminates. There is no correction for
    macro-actions that the policy would not choose: Jing Peng and Ronald J. Williams, "Incremental Multi-Step
    Q-Learning", 1996, with a discount for each row's duration.
    """
    follows = jnp.concatenate([rows.mask[1:], jnp.zeros_like(rows.mask[:1])]) & rows.mask
    share = jnp.where(follows, jnp.asarray(td_lambda, jnp.float32), 0.0)

    def compose(later: tuple[Array, Array], earlier: tuple[Array, Array]) -> tuple[Array, Array]:
        return earlier[0] * later[0], earlier[1] + earlier[0] * later[1]

    return jax.lax.stop_gradient(
        jax.lax.associative_scan(compose, _affine(rows, share, next_value), reverse=True)[1]
    )


def _affine(rows: TargetRows, share: Array, next_value: Array) -> tuple[Array, Array]:
    """Factor and constant of y_k = factor_k y_next + constant_k, where y_next has a share; 0 in padding."""
    constant = rows.reward + jnp.where(rows.terminal, 0.0, rows.discount * (1.0 - share) * next_value)
    factor = jnp.where(rows.terminal, 0.0, rows.discount * share)
    return jnp.where(rows.mask, factor, 0.0), jnp.where(rows.mask, constant, 0.0)


def linked_lambda_target(
    rows: TargetRows,
    next_value: Float[Array, "rows *batch"],
    next_row: Int[Array, "rows *batch"],
    share: Float[Array, "rows *batch"],
) -> Float[Array, "rows *batch"]:
    """The lambda-return over rows that overlap: y_k refers to row `next_row[k]` > k, not to row k + 1.

    y_k = R_k + gamma^tau_k (1 - terminal_k) [(1 - share_k) V'_k + share_k y_next] where row `next_row[k]` is real,
    and the one-step target elsewhere (docs/specifications/tomacvf.md, section 5).
    """
    count = rows.mask.shape[0]
    following = jnp.minimum(next_row, count - 1)
    follows = rows.mask & (next_row < count) & jnp.take_along_axis(rows.mask, following, axis=0)
    chain = *_affine(rows, jnp.where(follows, share, 0.0), next_value), following
    return jax.lax.stop_gradient(jax.lax.platform_dependent(*chain, cpu=_row_by_row, default=_by_doubling))


def _row_by_row(factor: Array, constant: Array, following: Array) -> Array:
    """y_k = factor_k y_next + constant_k, where the next row is `following[k]`, from the last row backwards."""
    count = len(factor)

    def step(number: Array, found: Array) -> Array:
        k = count - 1 - number
        after = jnp.take_along_axis(found, following[k][None], axis=0)[0]
        return found.at[k].set(constant[k] + factor[k] * after)

    return jax.lax.fori_loop(0, count, step, jnp.zeros_like(constant))


def _by_doubling(factor: Array, constant: Array, following: Array) -> Array:
    """The same in few wide operations: each round doubles the number of rows that y_k takes together."""
    for _ in range((len(factor) - 1).bit_length()):
        constant = constant + factor * jnp.take_along_axis(constant, following, axis=0)
        factor = factor * jnp.take_along_axis(factor, following, axis=0)
        following = jnp.take_along_axis(following, following, axis=0)
    return constant


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
