"""Macro-action actor-critics: Mac-IAC, Mac-CAC, Mac-NIACC, Mac-IAICC.

Paper: Yuchen Xiao, Weihao Tan and Christopher Amato, "Asynchronous Actor-Critic for Multi-Agent Reinforcement
Learning", NeurIPS 2022; docs/specifications/policy_gradient.md, whose sections are cited below.

One learner for all of them: actors learn from own rows (Mac-CAC: one joint actor from joint rows), critics from own
or joint rows, with a history of observations or the global state as input. The algorithms differ in which actors
and critics they have, and in which critic row gives the advantage of an actor row.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float

from jaxmac.algorithms.actor_critic_config import JointActorCriticConfig
from jaxmac.algorithms.base import (
    Algorithm,
    Collection,
    Progress,
    linear_schedule,
    network_options,
)
from jaxmac.algorithms.optimiser import gradient_step, init_optimiser
from jaxmac.algorithms.stochastic_policy import floored_log_probs, sampled_policy
from jaxmac.algorithms.targets import TargetRows, n_step_target, target_rows
from jaxmac.envs.environment import Environment
from jaxmac.hyper import Hyper
from jaxmac.networks.agent import AgentNetworks, make_agent_networks
from jaxmac.networks.choice import NEGATIVE, take_chosen
from jaxmac.networks.critic import Critics, make_state_critics
from jaxmac.networks.joint import Joint, joint_of
from jaxmac.record.buckets import at_needed_length
from jaxmac.record.episode import Episode
from jaxmac.record.joint_rows import TIME_MAJOR, JointRows, joint_rows
from jaxmac.record.own_rows import OWN_TIME_MAJOR, OwnRows, own_rows
from jaxmac.record.policy import Policy
from jaxmac.record.replay import Sample, fresh_episodes
from jaxmac.record.windows import trajectory_of


class ActorCriticState(struct.PyTreeNode):
    """Everything that an actor-critic learns, arrays only; every leaf has a leading axis of networks."""

    actors: Any  # parameters
    critics: Any  # parameters
    target: Any  # parameters of the target critics
    actor_opt_state: Any
    critic_opt_state: Any


class Networks(NamedTuple):
    """The networks of one algorithm, with the environment and the (static) config that they are built for."""

    env: Environment
    config: Any
    kind: str
    actors: AgentNetworks
    critics: Any  # AgentNetworks for histories, Critics for global states
    joint: Joint | None  # the joint macro-actions of mac-cac's actor
    sizes: Joint  # sizes of the team, for joint observations


class Rows(NamedTuple):
    """A batch of episodes cut into own and into joint rows, each `[rows, batch, ...]`."""

    own: OwnRows
    joint: JointRows


def make_networks(env: Environment, config: Any, kind: str) -> Networks:
    """Actors and critics of the algorithm `kind`.

    Raises ValueError, in one line, for an `n_step` longer than the horizon, a state critic without a global state,
    or too many joint macro-actions.
    """
    if config.n_step > env.horizon:
        raise ValueError(f"n_step={config.n_step} is longer than the horizon; allowed: <= {env.horizon}")
    if config.critic == "state" and not env.state_size:
        raise ValueError(f"critic='state': {env.name} has no global state; allowed: history")
    sizes = Joint(tuple(env.num_actions), tuple(env.obs_sizes))
    joint = joint_of(env.num_actions, env.obs_sizes) if kind == "mac-cac" else None
    observed, actions = ([sum(env.obs_sizes)], [joint.size]) if joint else (env.obs_sizes, env.num_actions)
    actors = make_agent_networks(
        observed, actions, obs_last_action=not joint and config.obs_last_action, **network_options(config)
    )
    return Networks(env, config, kind, actors, _critics(env, config, kind), joint, sizes)


def _critics(env: Environment, config: Any, kind: str) -> AgentNetworks | Critics:
    count = env.num_agents if kind in ("mac-iac", "mac-iaicc") else 1
    if config.critic == "state":
        widths = {"layer_size": config.critic_layer_size, "middle_size": config.critic_hidden_size}
        return make_state_critics(count, env.state_size, **widths)
    options = network_options(config) | {"hidden_size": config.critic_hidden_size}
    options |= {"layer_size": config.critic_layer_size, "decode_size": config.critic_decode_size}
    return make_agent_networks(
        env.obs_sizes if kind == "mac-iac" else [sum(env.obs_sizes)] * count, [1] * count, **options
    )


def make(env: Environment, config: JointActorCriticConfig, kind: str) -> Algorithm:
    """Build the algorithm `kind` (one of CONFIGS) for `env`; raises ValueError as `make_networks` does."""
    networks = make_networks(env, config, kind)

    def update(
        state: ActorCriticState, hyper: Hyper, samples: dict[str, Sample], progress: Progress, key: Array
    ) -> tuple[ActorCriticState, dict[str, Any]]:
        del key
        before = progress.episodes - config.num_envs  # epsilon with which these episodes were collected
        epsilon = epsilon_at(hyper, progress._replace(episodes=before))
        rows = rows_of(networks, hyper, samples["main"].episodes)
        state, losses = at_needed_length(
            lambda own, joint: learn(networks, state, Rows(own, joint), hyper, epsilon), rows.own, rows.joint
        )
        due = progress.episodes // config.target_episodes > before // config.target_episodes
        target = jax.lax.cond(due, lambda: state.critics, lambda: state.target)
        dropped = jnp.sum(rows.own.dropped) + jnp.sum(rows.joint.dropped)
        total = jnp.sum(losses["critic_loss"]) + jnp.sum(losses["actor_loss"])
        return state.replace(target=target), {"loss": total, "dropped_rows": dropped}

    def epsilons(hyper: Hyper, progress: Progress) -> Array:
        return jnp.full(config.num_envs, epsilon_at(hyper, progress))

    def policy(state: ActorCriticState, hyper: Hyper, stream: str = "main") -> Policy:
        del hyper, stream
        return sampled_policy(networks.actors, state.actors, _counts(networks), networks.joint)

    outputs = networks.joint.size if networks.joint else 0
    collection = Collection(epsilons, fresh_episodes(config.num_envs), 1, 0, config.episodes_per_env)
    return Algorithm(("main",), partial(init, networks), policy, policy, update, collection, outputs)


def epsilon_at(hyper: Hyper, progress: Progress) -> Array:
    """The exploration rate epsilon after `progress.episodes` training episodes."""
    return linear_schedule(progress, 0, hyper.epsilon_start, hyper.epsilon_end, hyper.epsilon_episodes)


def init(networks: Networks, key: Array, hyper: Hyper) -> ActorCriticState:
    """Draw all parameters; the target critics start as copies of the critics."""
    actor_key, critic_key = jax.random.split(key)
    actors, critics = networks.actors.init(actor_key), networks.critics.init(critic_key)
    states = (init_optimiser(hyper, params, apart=True) for params in (actors, critics))
    return ActorCriticState(actors, critics, jax.tree.map(jnp.copy, critics), *states)


def rows_of(networks: Networks, hyper: Hyper, episodes: Episode) -> Rows:
    """Own and joint rows of whole episodes (section 4)."""
    config = networks.config

    def cut(episode: Episode) -> Rows:
        chosen = trajectory_of(
            jax.random.key(0),  # nothing is drawn: the window is the episode
            episode,
            jnp.int32(0),
            trajectory=networks.env.horizon,
            max_rows=config.max_rows,
            close_on_terminal=config.close_on_terminal,
            timeout_is_terminal=config.timeout_is_terminal,
        )
        own = own_rows(chosen, hyper.gamma)
        whole = own._replace(mask=own.mask & (own.opening >= 0))  # none of its joint rows was dropped by a cap
        return Rows(whole, joint_rows(chosen, hyper.gamma, macro_state="start"))

    return jax.vmap(cut, out_axes=Rows(OWN_TIME_MAJOR, TIME_MAJOR))(episodes)


def critic_rows(networks: Networks, rows: Rows, hyper: Hyper) -> TargetRows:
    """The rows that critics learn from, `[rows, batch, critics]`: own (IAC, IAICC) or joint (CAC, NIACC) rows."""
    if networks.kind in ("mac-iac", "mac-iaicc"):
        own = rows.own
        return target_rows(hyper, own.reward, own.duration, own.terminal, own.mask)
    joint = rows.joint
    each = (x[..., None] for x in (joint.reward, joint.duration, joint.terminal, joint.mask))
    return target_rows(hyper, *each)


def values(networks: Networks, params: Any, rows: Rows) -> tuple[Array, Array]:
    """The critics' values at the start of every row and after it, each `[rows, batch, critics]` (section 5)."""
    own, joint = rows
    alone = networks.kind == "mac-iac"
    per_agent = alone or networks.kind == "mac-iaicc"
    if networks.config.critic == "state":
        if per_agent:
            return networks.critics.apply(params, own.state), networks.critics.apply(params, own.next_state)
        at, after = joint.mixer_state[..., None, :], joint.next_mixer_state[..., None, :]
        return networks.critics.apply(params, at), networks.critics.apply(params, after)
    if alone:
        outputs = _over(networks.critics, params, own.obs)[..., 0]
        return outputs[:-1], outputs[1:]
    obs = networks.sizes.observation(joint.obs)[..., None, :]
    obs = jnp.broadcast_to(obs, (*obs.shape[:2], networks.env.num_agents if per_agent else 1, obs.shape[-1]))
    outputs = _over(networks.critics, params, obs)[..., 0]
    if not per_agent:
        return outputs[:-1], outputs[1:]
    # Agent i's critic runs over joint rows; its value is read where an own row of the agent starts and ends.
    return jnp.take_along_axis(outputs[:-1], own.opening, 0), jnp.take_along_axis(outputs[1:], own.closing, 0)


def _over(networks: AgentNetworks, params: Any, obs: Array, last_action: Array | None = None) -> Array:
    """Outputs of recurrent networks that advance at every entry, `[rows, batch, networks, outputs]`."""
    advance = jnp.ones(obs.shape[:-1], bool)
    last_action = advance.astype(jnp.int32) if last_action is None else last_action
    return networks.apply(params, networks.initial_hidden(obs.shape[1]), obs, last_action, advance)[1].q


def learn(
    networks: Networks, state: ActorCriticState, rows: Rows, hyper: Hyper, epsilon: Float[Array, ""]
) -> tuple[ActorCriticState, dict[str, Array]]:
    """One Adam step of every critic, then one of every actor with the new critics' advantages (sections 5 and 6).

    Returns the new state, and `critic_loss [critics]` and `actor_loss [actors]`. The targets are not updated here.
    """
    stream = critic_rows(networks, rows, hyper)
    returns = n_step_target(stream, values(networks, state.target, rows)[1], networks.config.n_step)

    def gradient_of(losses: Callable[[Any], Array], params: Any) -> tuple[Any, Array]:
        def summed(params: Any) -> tuple[Array, Array]:
            each = losses(params)
            return jnp.sum(each), each

        return jax.grad(summed, has_aux=True)(params)

    gradient, critic_loss = gradient_of(lambda p: critic_losses(networks, p, rows, stream, returns), state.critics)
    given = gradient, state.critic_opt_state, state.critics, jnp.any(stream.mask, axis=(0, 1))
    critics, critic_opt_state = gradient_step(hyper, hyper.critic_learning_rate, *given)
    advantage = returns - values(networks, critics, rows)[0]
    losses = partial(actor_losses, networks, rows=rows, advantage=advantage, hyper=hyper, epsilon=epsilon)
    gradient, actor_loss = gradient_of(losses, state.actors)
    has_rows = jnp.any(decisions_of(networks, rows).mask, axis=(0, 1))
    given = gradient, state.actor_opt_state, state.actors, has_rows
    actors, actor_opt_state = gradient_step(hyper, hyper.actor_learning_rate, *given)
    new = ActorCriticState(actors, critics, state.target, actor_opt_state, critic_opt_state)
    return new, {"critic_loss": critic_loss, "actor_loss": actor_loss}


def critic_losses(
    networks: Networks, params: Any, rows: Rows, stream: TargetRows, returns: Float[Array, "rows batch critics"]
) -> Float[Array, "critics"]:
    """Mean squared error between the returns and the values of each critic over its rows (section 5)."""
    error = jnp.where(stream.mask, returns - values(networks, params, rows)[0], 0.0)
    return jnp.sum(error**2, axis=(0, 1)) / jnp.maximum(jnp.sum(stream.mask, axis=(0, 1)), 1)


class Decisions(NamedTuple):
    """The decisions that actors learn from, `[rows, batch, actors, ...]`."""

    obs: Float[Array, "rows batch actors obs"]  # macro-observations
    last_action: Array  # the macro-action that ended before, int32 [rows, batch, actors]
    choice: Array  # the chosen (joint) macro-action, int32 [rows, batch, actors]
    allowed: Bool[Array, "rows batch actors actions"]  # the (joint) macro-actions that could be chosen
    closing_time: Array  # primitive step on which the row closes
    duration: Array  # primitive steps of the row
    mask: Bool[Array, "rows batch actors"]


def decisions_of(networks: Networks, rows: Rows) -> Decisions:
    """The decisions of every agent, or those of the team where one joint actor decides."""
    own, joint = rows
    if networks.joint is None:
        return Decisions(
            own.obs[:-1],
            own.last_action[:-1],
            own.macro_action,
            own.avail,
            own.last_step,
            own.duration,
            own.mask,
        )
    allowed = networks.joint.allowed(joint.avail, joint.start, joint.macro_action)
    obs, none = networks.joint.observation(joint.obs[:-1]), jnp.zeros_like(joint.last_step)
    choice = networks.joint.index(joint.macro_action)
    team = Decisions(obs, none, choice, allowed, joint.last_step, joint.duration, joint.mask)
    return jax.tree.map(lambda x: x[:, :, None], team)


def actor_losses(
    networks: Networks, params: Any, rows: Rows, advantage: Array, hyper: Hyper, epsilon: Array
) -> Float[Array, "actors"]:
    """Loss of each actor: minus the mean of gamma^t (log pi(m | h) A + entropy bonus) over its rows (section 6).

    t is the primitive step on which the row closes, or with `weight_at_decision` that of the decision; the
    advantage A carries no gradient.
    """
    decisions = decisions_of(networks, rows)
    if networks.kind == "mac-niacc":  # the advantage of the joint segment in which the macro-action ended
        advantage = jnp.take_along_axis(advantage, rows.own.closing, axis=0)
    logits = _over(networks.actors, params, decisions.obs, decisions.last_action)
    log_probs = floored_log_probs(logits, epsilon, _counts(networks))
    if networks.config.conditional_log_prob:
        log_probs = jax.nn.log_softmax(jnp.where(decisions.allowed, log_probs, NEGATIVE))
    time = decisions.closing_time
    if networks.config.weight_at_decision:
        time = time + 1 - decisions.duration
    entropy = -jnp.sum(jnp.where(log_probs > NEGATIVE / 2, jnp.exp(log_probs) * log_probs, 0.0), axis=-1)
    gain = (
        take_chosen(log_probs, decisions.choice) * jax.lax.stop_gradient(advantage) + hyper.entropy_weight * entropy
    )
    gain = jnp.where(decisions.mask, hyper.gamma**time * gain, 0.0)
    return -jnp.sum(gain, axis=(0, 1)) / jnp.maximum(jnp.sum(decisions.mask, axis=(0, 1)), 1)


def _counts(networks: Networks) -> tuple[int, ...]:
    """Number of (joint) macro-actions of each actor, without padding."""
    return (networks.joint.size,) if networks.joint else tuple(networks.env.num_actions)
