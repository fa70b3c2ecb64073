"""Sampled policies with a floor of exploration: how actor-critics act, and what they learn the gradient of."""

from __future__ import annotations

import distrax
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from envs.environment import TimeStep
from jaxmac.joint import Joint
from jaxmac.networks.agent import AgentNetworks
from jaxmac.rollout import Policy
from jaxmac.targets import NEGATIVE

SMALLEST = 1e-30  # a probability that is logged


def floored_log_probs(
    logits: Float[Array, "*rows actors actions"], epsilon: Array, counts: tuple[int, ...]
) -> Float[Array, "*rows actors actions"]:
    """log((1 - epsilon) softmax + epsilon / |A|) over each actor's real actions; `NEGATIVE` for padding.

    `counts` are the actors' numbers of real actions; `epsilon` broadcasts against the result (policy-gradient
    specification, section 2).
    """
    sizes = jnp.asarray(counts)[:, None]
    real = jnp.arange(logits.shape[-1]) < sizes
    share = jax.nn.softmax(jnp.where(real, logits, NEGATIVE))
    probs = (1.0 - epsilon) * share + epsilon / sizes
    return jnp.where(real, jnp.log(jnp.maximum(probs, SMALLEST)), NEGATIVE)


def sampled_policy(
    networks: AgentNetworks, params: object, counts: tuple[int, ...], joint: Joint | None = None
) -> Policy:
    """Draw from the floored policy; an actor is asked, and its hidden state moves, where it must choose.

    With `joint` one actor decides for all: whenever anyone must choose it draws among the joint macro-actions that
    agree with those still running (section 7).
    """

    def draw(key: Array, logits: Array, allowed: Bool[Array, "batch actors actions"], epsilon: Array) -> Array:
        log_probs = floored_log_probs(logits, epsilon[:, None, None], counts)
        return distrax.Categorical(logits=jnp.where(allowed, log_probs, -jnp.inf)).sample(seed=key)

    def act_apart(key: Array, hidden: Array, ts: TimeStep, epsilon: Array) -> tuple[Array, Array]:
        hidden, said = networks.apply(params, hidden, ts.macro_obs[None], ts.macro_action[None], ts.ended[None])
        return hidden, draw(key, said.q[0], ts.avail, epsilon).astype(jnp.int32)

    def act_together(key: Array, hidden: Array, ts: TimeStep, epsilon: Array) -> tuple[Array, Array]:
        deciding = jnp.any(ts.ended, axis=-1, keepdims=True)
        obs = joint.observation(ts.macro_obs)[None, :, None]
        none = jnp.zeros_like(deciding[None], jnp.int32)
        hidden, said = networks.apply(params, hidden, obs, none, deciding[None])
        allowed = joint.allowed(ts.avail, ts.ended, ts.macro_action)[:, None]
        return hidden, joint.split(draw(key, said.q[0], allowed, epsilon)[:, 0])

    return Policy(networks.initial_hidden, act_together if joint else act_apart)
