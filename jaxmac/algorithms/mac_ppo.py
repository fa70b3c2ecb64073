"""Recurrent PPO on each agent's own macro-decisions: Mac-IPPO and Mac-MAPPO.

John Schulman et al., "Proximal Policy Optimization Algorithms", 2017 (equation 7); John Schulman et al.,
"High-Dimensional Continuous Control Using Generalized Advantage Estimation", ICLR 2016 (equation 16); Christian
Schroeder de Witt et al., "Is Independent Learning All You Need in the StarCraft Multi-Agent Challenge?", 2020
(IPPO); Chao Yu et al., "The Surprising Effectiveness of PPO in Cooperative Multi-Agent Games", NeurIPS 2022 (MAPPO:
value clipping, value normalisation). docs/algorithms.md says what they become on macro-actions.

Actors and critics learn from own rows. A critic of Mac-IPPO gets the history of its agent; one of Mac-MAPPO the
joint macro-state at the decision, or the history of all agents' macro-observations.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jaxtyping import Array, Float

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
    with_small_outputs,
)
from jaxmac.algorithms.base import Algorithm, Collection, Progress, linear_schedule, network_options
from jaxmac.algorithms.diagnostics import PPO, explained_variance, mean_where, of_ratios
from jaxmac.algorithms.mac_ppo_config import PPOConfig
from jaxmac.algorithms.moments import Moments
from jaxmac.algorithms.optimiser import gradient_of_sum, gradient_step, init_optimiser
from jaxmac.algorithms.stochastic_policy import (
    conditional_log_probs,
    entropy_of,
    floored_log_probs,
    sampled_policy,
)
from jaxmac.algorithms.targets import lambda_target
from jaxmac.envs.environment import Environment
from jaxmac.hyper import Hyper
from jaxmac.networks.agent import make_agent_networks
from jaxmac.networks.choice import take_chosen
from jaxmac.networks.joint import JointSpace
from jaxmac.record.buckets import at_needed_length
from jaxmac.record.joint_rows import TIME_MAJOR
from jaxmac.record.own_rows import OWN_TIME_MAJOR, at_joint_rows
from jaxmac.record.policy import Policy
from jaxmac.record.replay import Sample, fresh_episodes

ADVANTAGE_EPSILON = 1e-8


class PPOState(struct.PyTreeNode):
    """Everything that PPO learns, arrays only; without shared parameters leaves have a leading axis of agents."""

    actors: Any  # parameters
    critics: Any  # parameters
    actor_opt_state: Any
    critic_opt_state: Any
    moments: Moments


class ScheduledValues(NamedTuple):
    """The scheduled values with which an iteration learns, each a scalar."""

    learning_rate: Array  # factor on both learning rates
    entropy_weight: Array
    epsilon: Array  # share of uniform choices in the policy that collected the episodes


class PPOBatch(NamedTuple):
    """The rows of episodes with what stays fixed while an iteration learns from them, `[rows, batch, agents]`."""

    rows: Rows
    log_prob: Array  # of the chosen macro-action, by the policy that chose it
    advantage: Array
    output: Array  # of the critic before the iteration
    target: Array  # of the critic's output


EPISODE_AXES = PPOBatch(Rows(OWN_TIME_MAJOR, TIME_MAJOR), 1, 1, 1, 1)  # type: ignore[arg-type]
"""The axis of episodes of every field of a `PPOBatch`."""


def make_networks(env: Environment, config: PPOConfig, roles: Roles) -> ActorsAndCritics:
    """Actors and critics with these roles.

    Raises ValueError, in one line, for a state critic without a global state.
    """
    check_critic(env, config)
    actors = make_agent_networks(
        env.obs_sizes,
        env.num_actions,
        share_parameters=config.share_parameters,
        obs_last_action=config.obs_last_action,
        **network_options(config),
    )
    sizes = JointSpace(tuple(env.num_actions), tuple(env.obs_sizes))
    critics = make_critics(env, config, roles, env.num_agents * env.state_size, config.share_parameters)
    return ActorsAndCritics(env, config, roles, actors, critics, None, sizes)


def make(env: Environment, config: PPOConfig, roles: Roles) -> Algorithm:
    """Build the algorithm whose critics have these roles; raises ValueError as `make_networks` does."""
    networks = make_networks(env, config, roles)
    needs = "opening" if roles.critics_see_team else ""  # the joint row with the team's macro-state or history

    def update(
        state: PPOState, hyper: Hyper, samples: dict[str, Sample], progress: Progress, key: Array
    ) -> tuple[PPOState, dict[str, Any]]:
        before = progress._replace(episodes=progress.episodes - config.num_envs)  # when they were collected
        rates = rates_at(hyper, before)
        rows = rows_of(networks, hyper, samples["main"].episodes, needs, macro_state="joint")
        state, metrics = at_needed_length(
            lambda own, joint: learn(networks, state, Rows(own, joint), hyper, rates, key), rows.own, rows.joint
        )
        return state, metrics | {"dropped_rows": dropped_rows(networks, rows, needs)}

    def epsilons(hyper: Hyper, progress: Progress) -> Array:
        return jnp.full(config.num_envs, epsilon_at(hyper, progress))

    def policy(state: PPOState, hyper: Hyper, stream: str = "main") -> Policy:
        del hyper, stream
        return sampled_policy(networks.actors, state.actors, action_counts(networks))

    collection = Collection(epsilons, fresh_episodes(config.num_envs), 1, 0)
    return Algorithm(("main",), partial(init, networks), policy, policy, update, collection, diagnostics=PPO)


def init(networks: ActorsAndCritics, key: Array, hyper: Hyper) -> PPOState:
    """Draw all parameters."""
    actor_key, critic_key = jax.random.split(key)
    critics = networks.critics.init(critic_key)
    actors = with_small_outputs(networks.actors.init(actor_key), hyper.actor_gain)
    share = networks.config.share_parameters
    none = jnp.zeros(1 if share else networks.env.num_agents, jnp.float32)
    actor_opt_state, critic_opt_state = (init_optimiser(hyper, x, separate=not share) for x in (actors, critics))
    return PPOState(actors, critics, actor_opt_state, critic_opt_state, Moments(none, none, none))


def rates_at(hyper: Hyper, progress: Progress) -> ScheduledValues:
    """The scheduled values after `progress.episodes` training episodes."""
    schedule = partial(linear_schedule, progress, 0)
    learning_rate = schedule(1.0, hyper.learning_rate_decay, hyper.learning_rate_episodes)
    entropy = schedule(hyper.entropy_weight, hyper.entropy_weight_end, hyper.entropy_episodes)
    return ScheduledValues(learning_rate, entropy, epsilon_at(hyper, progress))


def learn(
    networks: ActorsAndCritics, state: PPOState, rows: Rows, hyper: Hyper, rates: ScheduledValues, key: Array
) -> tuple[PPOState, dict[str, Float[Array, ""]]]:
    """`epochs` times a step of Adam on each of `minibatches` random shares of the episodes.

    Returns the new state and the metrics, means over these steps but for `explained_variance`, which is that of the
    critics before them; `loss` is the sum of all networks' losses.
    """
    config = networks.config
    batch, moments, explained = estimate(networks, state, rows, hyper, rates)
    orders = jax.vmap(lambda key: jax.random.permutation(key, config.num_envs))(
        jax.random.split(key, config.epochs)
    )
    shares = orders.reshape(config.epochs * config.minibatches, -1)

    def on_share(state: PPOState, share: Array) -> tuple[PPOState, dict[str, Array]]:
        part = jax.tree.map(lambda x, axis: jnp.take(x, share, axis), batch, EPISODE_AXES)
        return step(networks, state, part, hyper, rates)

    state, metrics = jax.lax.scan(on_share, state.replace(moments=moments), shares)
    return state, jax.tree.map(jnp.mean, metrics) | {"explained_variance": explained}


def estimate(
    networks: ActorsAndCritics, state: PPOState, rows: Rows, hyper: Hyper, rates: ScheduledValues
) -> tuple[PPOBatch, Moments, Float[Array, ""]]:
    """Advantages, targets and old probabilities of a batch of rows, moments with its returns, explained variance.

    A_k = delta_k + gamma^tau_k lambda A_{k+1} with delta_k = R_k + gamma^tau_k V_{k+1} - V_k, where tau_k is the
    duration of the agent's k-th macro-action; nothing follows a terminal row, and a last row that is not terminal
    has A = delta. That is the lambda-return minus V_k (Schulman et al., 2016, equation 16 and section 3).
    """
    output, after = outputs(networks, state.critics, rows)
    value, next_value = (x if not networks.config.normalise_value else _scaled(state, x) for x in (output, after))
    returns = lambda_target(critic_rows(networks, rows, hyper), next_value, hyper.gae_lambda)
    decisions = decisions_of(networks, rows)
    log_probs = log_probs_of(networks, state.actors, decisions, rates.epsilon)
    mask, advantage = is_choice(decisions), returns - value
    if networks.config.normalise_advantage:
        centred = advantage - over_rows(mean_of(networks, advantage, mask))
        spread = over_rows(jnp.sqrt(mean_of(networks, centred**2, mask)))
        advantage = centred / (spread + ADVANTAGE_EPSILON)
    moments, target = state.moments, returns
    if networks.config.normalise_value:
        moments = moments_with(networks, moments, returns, decisions.mask, hyper.value_moments_decay)
        mean, spread = map(over_rows, moments.mean_and_spread())
        target = (returns - mean) / spread
    log_prob = take_chosen(log_probs, decisions.choice)
    explained = explained_variance(returns, value, decisions.mask)
    return PPOBatch(rows, *map(jax.lax.stop_gradient, (log_prob, advantage, output, target))), moments, explained


def _scaled(state: PPOState, output: Array) -> Array:
    """Outputs of critics as returns."""
    mean, spread = map(over_rows, state.moments.mean_and_spread())
    return mean + spread * output


def moments_with(
    networks: ActorsAndCritics, moments: Moments, returns: Array, mask: Array, decay: Array
) -> Moments:
    """The moments after an iteration with these returns; those of a critic without rows stay as they are."""
    mean = mean_of(networks, returns, mask)
    variance = mean_of(networks, (returns - over_rows(mean)) ** 2, mask)
    return moments.after(mean, variance, total_of(networks, mask) > 0, decay)


def step(
    networks: ActorsAndCritics, state: PPOState, batch: PPOBatch, hyper: Hyper, rates: ScheduledValues
) -> tuple[PPOState, dict[str, Float[Array, ""]]]:
    """One step of Adam of every critic and actor; returns the new state and the metrics of this step."""
    actor_loss = partial(actor_losses, networks, batch=batch, hyper=hyper, rates=rates)
    actor_gradient, actor_loss_now, metrics = gradient_of_sum(actor_loss, state.actors)
    critic_gradient, critic_loss_now, _ = gradient_of_sum(
        lambda params: (critic_losses(networks, params, batch, hyper), None), state.critics
    )
    decisions = decisions_of(networks, batch.rows)

    def stepped(rate: Array, gradient: Any, opt_state: Any, params: Any, mask: Array) -> tuple[Any, Any]:
        has_rows = total_of(networks, mask) > 0
        has_rows = has_rows[0] if networks.config.share_parameters else has_rows
        return gradient_step(hyper, rates.learning_rate * rate, gradient, opt_state, params, has_rows)

    actor = actor_gradient, state.actor_opt_state, state.actors, is_choice(decisions)
    actors, actor_opt_state = stepped(hyper.actor_learning_rate, *actor)
    critic = critic_gradient, state.critic_opt_state, state.critics, decisions.mask
    critics, critic_opt_state = stepped(hyper.critic_learning_rate, *critic)
    new = PPOState(actors, critics, actor_opt_state, critic_opt_state, state.moments)
    losses = jnp.sum(actor_loss_now), jnp.sum(critic_loss_now)
    metrics |= {"actor_loss": losses[0], "critic_loss": losses[1], "loss": losses[0] + losses[1]}
    norms = {"actor_grad_norm": actor_gradient, "critic_grad_norm": critic_gradient}
    return new, metrics | {name: optax.tree.norm(gradient) for name, gradient in norms.items()}


def actor_losses(
    networks: ActorsAndCritics, params: Any, batch: PPOBatch, hyper: Hyper, rates: ScheduledValues
) -> tuple[Float[Array, "networks"], dict[str, Float[Array, ""]]]:
    """Loss of each actor: minus the mean over its choices of min(r A, clip(r, 1 - c, 1 + c) A) + entropy_weight H.

    r = pi(m | h) / pi_old(m | h) among the available macro-actions (Schulman et al., 2017, equations 7 and 9);
    H is the entropy of pi. Returns the losses and the diagnostics of the policy.
    """
    decisions = decisions_of(networks, batch.rows)
    log_probs, mask = log_probs_of(networks, params, decisions, rates.epsilon), is_choice(decisions)
    log_ratio = take_chosen(log_probs, decisions.choice) - batch.log_prob
    ratio = jnp.exp(jnp.where(mask, log_ratio, 0.0))
    clipped = jnp.clip(ratio, 1.0 - hyper.clip, 1.0 + hyper.clip)
    gain = jnp.minimum(ratio * batch.advantage, clipped * batch.advantage)
    entropy = entropy_of(log_probs)
    metrics = of_ratios(log_ratio, mask, hyper.clip) | {"entropy": mean_where(entropy, mask)}
    return -mean_of(networks, gain + rates.entropy_weight * entropy, mask), metrics


def critic_losses(
    networks: ActorsAndCritics, params: Any, batch: PPOBatch, hyper: Hyper
) -> Float[Array, "networks"]:
    """Mean over the rows of each critic of max((V - y)^2, (V_clipped - y)^2) (Yu et al., 2022, appendix A).

    V_clipped is V, but no further than `value_clip` from the output before the iteration.
    """
    output = outputs(networks, params, batch.rows)[0]
    limit = jnp.where(hyper.value_clip > 0, hyper.value_clip, jnp.inf)
    near = batch.output + jnp.clip(output - batch.output, -limit, limit)
    error = jnp.maximum((output - batch.target) ** 2, (near - batch.target) ** 2)
    return mean_of(networks, error, batch.rows.own.mask)


def outputs(networks: ActorsAndCritics, params: Any, rows: Rows) -> tuple[Array, Array]:
    """The critics' outputs at the start of every own row and after it, each `[rows, batch, agents]`."""
    if networks.config.critic == "history":
        return values(networks, params, rows)
    own, joint = rows

    def at(macro_state: Array, index: Array) -> Array:
        inputs = at_joint_rows(macro_state[:, :, None], index)
        if not networks.config.share_parameters:
            return networks.critics.apply(params, inputs)
        agents = networks.env.num_agents
        ids = jnp.broadcast_to(jnp.eye(agents, dtype=jnp.float32), (*inputs.shape[:-1], agents))
        return networks.critics.apply(params, jnp.concatenate([inputs, ids], axis=-1)[..., None, :])[..., 0]

    return at(joint.mixer_state, own.opening), at(joint.next_mixer_state, own.closing)


def log_probs_of(
    networks: ActorsAndCritics, params: Any, decisions: Decisions, epsilon: Array
) -> Float[Array, "rows batch agents actions"]:
    """Log-probabilities of all macro-actions, given that one of the available ones is chosen."""
    logits = outputs_over(networks.actors, params, decisions.obs, decisions.last_action)
    return conditional_log_probs(floored_log_probs(logits, epsilon, action_counts(networks)), decisions.allowed)


def over_rows(x: Float[Array, "networks"]) -> Float[Array, "1 1 networks"]:
    """One value per network, to broadcast over rows and batch."""
    return x[None, None]


def total_of(networks: ActorsAndCritics, x: Array) -> Array:
    """The sum of `x [rows, batch, agents]` over what each network learns from, `[networks]`."""
    if networks.config.share_parameters:
        return jnp.sum(x)[None]
    return jnp.sum(x, axis=(0, 1))


def mean_of(networks: ActorsAndCritics, x: Array, mask: Array) -> Float[Array, "networks"]:
    """The mean of `x [rows, batch, agents]` over the rows in `mask` that each network learns from."""
    return total_of(networks, jnp.where(mask, x, 0.0)) / jnp.maximum(total_of(networks, mask), 1)
