"""Macro-action actor-critics: Mac-IAC, Mac-CAC, Mac-NIACC, Mac-IAICC.

Paper: Yuchen Xiao, Weihao Tan and Christopher Amato, "Asynchronous Actor-Critic for Multi-Agent Reinforcement
Learning", NeurIPS 2022; docs/specifications/policy_gradient.md, whose sections are cited below.

One learner for all of them: actors learn from own rows (Mac-CAC: one joint actor from joint rows), critics from own
or joint rows, with a history of observations or the global state as input. The algorithms differ in which actors
and critics they have, and in which critic row gives the advantage of an actor row.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jaxtyping import Array, Bool, Float

from jaxmac.algorithms.actor_critic_config import JointActorCriticConfig
from jaxmac.algorithms.actors_and_critics import (
    ActorsAndCritics,
    Decisions,
    Roles,
    Rows,
    action_counts,
    check_critic,
    critic_rows,
    decisions_of,
    dropped_rows,
    epsilon_at,
    is_choice,
    make_critics,
    outputs_over,
    rows_of,
    values,
)
from jaxmac.algorithms.base import Algorithm, Collection, Progress, is_copy_due, network_options
from jaxmac.algorithms.diagnostics import ACTOR_CRITIC, mean_where
from jaxmac.algorithms.optimiser import gradient_of_sum, gradient_step, init_optimiser
from jaxmac.algorithms.stochastic_policy import (
    conditional_log_probs,
    entropy_of,
    floored_log_probs,
    sampled_policy,
)
from jaxmac.algorithms.targets import TargetRows, n_step_target
from jaxmac.envs.environment import Environment
from jaxmac.hyper import Hyper
from jaxmac.networks.agent import make_agent_networks
from jaxmac.networks.choice import take_chosen
from jaxmac.networks.joint import JointSpace, make_joint_space
from jaxmac.record.buckets import at_needed_length
from jaxmac.record.own_rows import at_joint_rows
from jaxmac.record.policy import Policy
from jaxmac.record.replay import Sample, fresh_episodes


class ActorCriticState(struct.PyTreeNode):
    """Everything that an actor-critic learns, arrays only; every leaf has a leading axis of networks."""

    actors: Any  # parameters
    critics: Any  # parameters
    target: Any  # parameters of the target critics
    actor_opt_state: Any
    critic_opt_state: Any


def make_networks(env: Environment, config: Any, roles: Roles) -> ActorsAndCritics:
    """Actors and critics with these roles.

    Raises ValueError, in one line, for an `n_step` longer than the horizon, a state critic without a global state,
    or too many joint macro-actions.
    """
    if config.n_step > env.horizon:
        raise ValueError(f"n_step is {config.n_step}, but must be <= {env.horizon}, the horizon")
    check_critic(env, config)
    sizes = JointSpace(tuple(env.num_actions), tuple(env.obs_sizes))
    joint = make_joint_space(env.num_actions, env.obs_sizes) if roles.joint_actor else None
    observed, actions = ([sum(env.obs_sizes)], [joint.size]) if joint else (env.obs_sizes, env.num_actions)
    actors = make_agent_networks(
        observed, actions, obs_last_action=not joint and config.obs_last_action, **network_options(config)
    )
    critics = make_critics(env, config, roles, env.state_size)
    return ActorsAndCritics(env, config, roles, actors, critics, joint, sizes)


def make(env: Environment, config: JointActorCriticConfig, roles: Roles) -> Algorithm:
    """Build the algorithm whose actors and critics have these roles; raises ValueError as `make_networks` does."""
    networks = make_networks(env, config, roles)
    needs = needed_joint_row(networks)

    def update(
        state: ActorCriticState, hyper: Hyper, samples: dict[str, Sample], progress: Progress, key: Array
    ) -> tuple[ActorCriticState, dict[str, Any]]:
        del key
        before = progress.episodes - config.num_envs  # epsilon with which these episodes were collected
        epsilon = epsilon_at(hyper, progress._replace(episodes=before))
        rows = rows_of(networks, hyper, samples["main"].episodes, needs)
        state, losses = at_needed_length(
            lambda own, joint: learn(networks, state, Rows(own, joint), hyper, epsilon), rows.own, rows.joint
        )
        due = is_copy_due(progress, config)
        target = jax.lax.cond(due, lambda: state.critics, lambda: state.target)
        dropped = dropped_rows(networks, rows, needs)
        metrics = jax.tree.map(jnp.sum, losses)
        total = metrics["critic_loss"] + metrics["actor_loss"]
        return state.replace(target=target), metrics | {"loss": total, "dropped_rows": dropped}

    def epsilons(hyper: Hyper, progress: Progress) -> Array:
        return jnp.full(config.num_envs, epsilon_at(hyper, progress))

    def policy(state: ActorCriticState, hyper: Hyper, stream: str = "main") -> Policy:
        del hyper, stream
        return sampled_policy(networks.actors, state.actors, action_counts(networks), networks.joint)

    outputs = networks.joint.size if networks.joint else 0
    collection = Collection(epsilons, fresh_episodes(config.num_envs), 1, 0, config.episodes_per_env)
    return Algorithm(("main",), partial(init, networks), policy, policy, update, collection, outputs, ACTOR_CRITIC)


def needed_joint_row(networks: ActorsAndCritics) -> str:
    """The joint row that is read with each own row, as in `rows_of`: for its advantage or for a team's history."""
    roles = networks.roles
    if not roles.critic_per_agent:
        return "" if roles.joint_actor else "closing"
    return "opening" if roles.critics_see_team and networks.config.critic == "history" else ""


def init(networks: ActorsAndCritics, key: Array, hyper: Hyper) -> ActorCriticState:
    """Draw all parameters; the target critics start as copies of the critics."""
    actor_key, critic_key = jax.random.split(key)
    actors, critics = networks.actors.init(actor_key), networks.critics.init(critic_key)
    states = (init_optimiser(hyper, params, separate=True) for params in (actors, critics))
    return ActorCriticState(actors, critics, jax.tree.map(jnp.copy, critics), *states)


def learn(
    networks: ActorsAndCritics, state: ActorCriticState, rows: Rows, hyper: Hyper, epsilon: Float[Array, ""]
) -> tuple[ActorCriticState, dict[str, Array]]:
    """One Adam step of every critic, then one of every actor with the new critics' advantages (sections 5 and 6).

    Returns the new state, and its diagnostics, with `critic_loss [critics]` and `actor_loss [actors]` for each of
    them. The targets are not updated here.
    """
    stream = critic_rows(networks, rows, hyper)
    returns = n_step_target(stream, values(networks, state.target, rows)[1], networks.config.n_step)

    critic_gradient, critic_loss, _ = gradient_of_sum(
        lambda p: (critic_losses(networks, p, rows, stream, returns), None), state.critics
    )
    has_rows = jnp.any(stream.mask, axis=(0, 1))
    critics, critic_opt_state = gradient_step(
        hyper, hyper.critic_learning_rate, critic_gradient, state.critic_opt_state, state.critics, has_rows
    )
    advantage = returns - values(networks, critics, rows)[0]
    losses = partial(actor_losses, networks, rows=rows, advantage=advantage, hyper=hyper, epsilon=epsilon)
    gradient, actor_loss, entropy = gradient_of_sum(losses, state.actors)
    has_rows = jnp.any(learned_decisions(networks, decisions_of(networks, rows)), axis=(0, 1))
    actors, actor_opt_state = gradient_step(
        hyper, hyper.actor_learning_rate, gradient, state.actor_opt_state, state.actors, has_rows
    )
    new = ActorCriticState(actors, critics, state.target, actor_opt_state, critic_opt_state)
    norms = optax.tree.norm(gradient), optax.tree.norm(critic_gradient)
    return new, dict(zip(ACTOR_CRITIC, (actor_loss, critic_loss, entropy, *norms), strict=True))


def critic_losses(
    networks: ActorsAndCritics,
    params: Any,
    rows: Rows,
    stream: TargetRows,
    returns: Float[Array, "rows batch critics"],
) -> Float[Array, "critics"]:
    """Mean squared error between the returns and the values of each critic over its rows (section 5)."""
    error = jnp.where(stream.mask, returns - values(networks, params, rows)[0], 0.0)
    return jnp.sum(error**2, axis=(0, 1)) / jnp.maximum(jnp.sum(stream.mask, axis=(0, 1)), 1)


def learned_decisions(networks: ActorsAndCritics, decisions: Decisions) -> Bool[Array, "rows batch actors"]:
    """The decisions that an actor learns from: with `conditional_log_prob` those that were choices."""
    return is_choice(decisions) if networks.config.conditional_log_prob else decisions.mask


def actor_losses(
    networks: ActorsAndCritics, params: Any, rows: Rows, advantage: Array, hyper: Hyper, epsilon: Array
) -> tuple[Float[Array, "actors"], Float[Array, ""]]:
    """Loss of each actor: minus the mean of gamma^t (log pi(m | h) A + entropy bonus) over its rows (section 6).

    t is the primitive step on which the row closes, or with `weight_at_decision` that of the decision; the
    advantage A carries no gradient. Returns the losses, and the mean entropy of the policy that acts, which chooses
    among the available macro-actions, over the decisions that are learned from.
    """
    decisions = decisions_of(networks, rows)
    if not (networks.roles.critic_per_agent or networks.joint):  # that of the joint row in which the own one ended
        advantage = at_joint_rows(advantage, rows.own.closing)
    logits = outputs_over(networks.actors, params, decisions.obs, decisions.last_action)
    log_probs = floored_log_probs(logits, epsilon, action_counts(networks))
    if networks.config.conditional_log_prob:
        log_probs = conditional_log_probs(log_probs, decisions.allowed)
    time = decisions.closing_time
    if networks.config.weight_at_decision:
        time = time + 1 - decisions.duration
    gain = take_chosen(log_probs, decisions.choice) * jax.lax.stop_gradient(advantage)
    gain = gain + hyper.entropy_weight * entropy_of(log_probs)
    mask = learned_decisions(networks, decisions)
    gain = jnp.where(mask, hyper.gamma**time * gain, 0.0)
    losses = -jnp.sum(gain, axis=(0, 1)) / jnp.maximum(jnp.sum(mask, axis=(0, 1)), 1)
    return losses, mean_where(entropy_of(conditional_log_probs(log_probs, decisions.allowed)), mask)
