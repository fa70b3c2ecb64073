"""Policies that sample macro-actions with a floor of exploration, as actor-critics act, and their probabilities."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxmac.envs.environment import TimeStep
from jaxmac.networks.agent import AgentNetworks, PolicyNetworks
from jaxmac.networks.choice import NEGATIVE, masked_argmax
from jaxmac.networks.joint import JointSpace
from jaxmac.record.policy import Policy, explored

SMALLEST = 1e-30  # lower bound of a probability, for its logarithm
Choice = Callable[..., Array]  # (key, logits, allowed, timestep, epsilon) -> macro-actions [batch, agents]


def floored_log_probs(
    logits: Float[Array, "*rows actors actions"], epsilon: Array, counts: tuple[int, ...]
) -> Float[Array, "*rows actors actions"]:
    """log((1 - epsilon) softmax(logits) + epsilon / |A|) over each actor's real actions; `NEGATIVE` for padding.

    `counts` are the numbers of real actions of the actors; `epsilon` is a scalar or has as many axes as the result
    (docs/specifications/policy_gradient.md, section 2).
    """
    sizes = jnp.asarray(counts, jnp.int32)[:, None]
    real = jax.lax.broadcast_to_rank(jnp.arange(logits.shape[-1], dtype=jnp.int32)[None] < sizes, logits.ndim)
    sizes = jax.lax.broadcast_to_rank(sizes, logits.ndim)
    log_share = jax.nn.log_softmax(jnp.where(real, logits, NEGATIVE))
    probs = (1.0 - epsilon) * jnp.exp(log_share) + epsilon / sizes
    floored = jnp.log(jnp.maximum(probs, SMALLEST))
    # Without a floor a probability may be too small for float32, and its logarithm is not.
    return jnp.where(real, jnp.where(epsilon > 0, floored, log_share), NEGATIVE)


def conditional_log_probs(
    log_probs: Float[Array, "*rows actions"], allowed: Bool[Array, "*rows actions"]
) -> Float[Array, "*rows actions"]:
    """Log-probabilities given that one of the `allowed` actions is chosen; about `NEGATIVE` for the others."""
    return jax.nn.log_softmax(jnp.where(allowed, log_probs, NEGATIVE))


def entropy_of(log_probs: Float[Array, "*rows actions"]) -> Float[Array, "*rows"]:
    """The entropy of distributions over actions; `NEGATIVE` entries are none."""
    return -jnp.sum(jnp.where(log_probs > NEGATIVE / 2, jnp.exp(log_probs) * log_probs, 0.0), axis=-1)


def sampled_policy(
    networks: AgentNetworks, params: object, counts: tuple[int, ...], joint: JointSpace | None = None
) -> Policy:
    """The policy that samples from the floored probabilities; `act_greedily` takes the most probable macro-action.

    The hidden state of an actor advances where its agent must choose. With `joint` one actor decides for the team:
    whenever at least one agent must choose, it samples among the joint macro-actions that keep the running ones
    (docs/specifications/policy_gradient.md, section 7).
    """

    def allowed_log_probs(logits: Array, allowed: Bool[Array, "batch actors actions"], epsilon: Array) -> Array:
        return jnp.where(allowed, floored_log_probs(logits, epsilon[:, None, None], counts), NEGATIVE)

    def draw(key: Array, logits: Array, allowed: Array, ts: TimeStep, epsilon: Array) -> Array:
        import distrax  # here, as its import takes as long as all others together

        del ts
        log_probs = allowed_log_probs(logits, allowed, epsilon)
        choice = distrax.Categorical(logits=log_probs).sample(seed=key)
        return split(jnp.where(jnp.any(allowed, axis=-1), choice, 0))  # 0 among nothing, as in `networks.choice`

    def best(key: Array, logits: Array, allowed: Array, ts: TimeStep, epsilon: Array) -> Array:
        choice = split(masked_argmax(allowed_log_probs(logits, allowed, jnp.zeros_like(epsilon)), allowed))
        return explored(key, choice, ts, epsilon, coins=1 if joint else choice.shape[-1])

    def split(choice: Array) -> Array:
        return joint.decode(choice[:, 0]) if joint else choice.astype(jnp.int32)

    def act_separately(
        choose: Choice, key: Array, hidden: Array, ts: TimeStep, epsilon: Array
    ) -> tuple[Array, Array]:
        hidden, outputs = networks.apply(params, hidden, ts.macro_obs[None], ts.macro_action[None], ts.ended[None])
        return hidden, choose(key, outputs.q[0], ts.avail, ts, epsilon)

    def act_jointly(choose: Choice, key: Array, hidden: Array, ts: TimeStep, epsilon: Array) -> tuple[Array, Array]:
        assert joint is not None
        deciding = jnp.any(ts.ended, axis=-1, keepdims=True)
        obs = joint.observation(ts.macro_obs)[None, :, None]
        none = jnp.zeros_like(deciding[None], jnp.int32)
        hidden, outputs = networks.apply(params, hidden, obs, none, deciding[None])
        allowed = joint.allowed(ts.avail, ts.ended, ts.macro_action)[:, None]
        return hidden, choose(key, outputs.q[0], allowed, ts, epsilon)

    act = act_jointly if joint else act_separately
    policy_networks = PolicyNetworks(networks, params, output="logits", joint=joint)
    return Policy(networks.initial_hidden, partial(act, draw), partial(act, best), policy_networks)
