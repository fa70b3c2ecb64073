"""Macro-action actor-critics: Mac-IAC, Mac-CAC, Mac-NIACC, Mac-IAICC (policy-gradient specification).

One learner: actors on own rows (CAC: one joint actor on joint rows), critics on own or joint rows that see a
history or the global state. What an algorithm is, is which of them it has and how their rows meet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float

from jaxmac.algorithms.base import Algorithm, Collection, CommonConfig, Hyper, Progress, linear_schedule
from jaxmac.algorithms.optimiser import init_each, optimiser, step_each
from jaxmac.algorithms.stochastic_policy import floored_log_probs, sampled_policy
from jaxmac.config import setting
from jaxmac.envs.environment import Environment
from jaxmac.networks.agent import AgentNetworks, make_agent_networks
from jaxmac.networks.choice import NEGATIVE, n_step_target, take_chosen
from jaxmac.networks.critic import Critics, make_state_critics
from jaxmac.networks.joint import Joint, joint_of
from jaxmac.record.episode import Episode
from jaxmac.record.joint_rows import (
    OWN_TIME_MAJOR,
    TIME_MAJOR,
    JointRows,
    OwnRows,
    joint_rows,
    own_rows,
    trajectory_of,
)
from jaxmac.record.replay import fresh_episodes
from jaxmac.record.rollout import Policy

KINDS = ("mac-iac", "mac-cac", "mac-niacc", "mac-iaicc")


@dataclass(frozen=True)
class ActorCriticConfig(CommonConfig):
    """Hyperparameters of the actor-critics; the defaults are the reference's."""

    actor_learning_rate: float = setting(3e-4, "Adam's step size of the actors", above=0.0, high=1.0, traced=True)
    critic_learning_rate: float = setting(3e-3, "that of the critics", above=0.0, high=1.0, traced=True)
    epsilon_end: float = setting(0.01, "exploration after the decay", low=0.0, high=1.0, traced=True)
    grad_clip: float = setting(0.0, "largest global norm of a net's gradient (0: any)", low=0.0, traced=True)
    entropy_weight: float = setting(0.0, "weight of the policy's entropy", low=0.0, traced=True)
    num_envs: int = setting(8, "episodes per iteration and update", low=1)
    target_episodes: int = setting(32, "training episodes between copies of the critics to their targets", low=1)
    rounds: int = setting(
        1,
        "episodes each environment plays in a row; the num_envs that finish first are learned from",
        low=1,
        high=16,
    )
    n_step: int = setting(0, "rows summed before the bootstrap (0 or 1: one)", low=0)
    critic: str = setting("history", "what critics see", choices=("history", "state"))
    close_on_terminal: bool = setting(False, "an environment termination ends every running macro-action")
    weight_at_decision: bool = setting(False, "policy gradient weighted by the discount at the choice, not the end")
    conditional_log_prob: bool = setting(False, "mac-cac: probability among the choices that were open")
    hidden_size: int = setting(32, "width of the actors' recurrent layer", low=1)
    layer_size: int = setting(32, "width of their layers before it (0: as the recurrent one)", low=0)
    critic_hidden_size: int = setting(32, "width of the critics' recurrent (state: third) layer", low=1)
    critic_layer_size: int = setting(32, "width of their layers before it", low=1)
    critic_decode_size: int = setting(0, "history critics: width of their layer after it (0: as before)", low=0)

    # An iteration's fresh episodes are the batch.
    @property
    def batch_size(self) -> int:
        """Episodes in a batch."""
        return self.num_envs

    @property
    def replay_episodes(self) -> int:
        """Episodes held."""
        return self.num_envs


@struct.dataclass
class ActorCriticState:
    """Everything an actor-critic learns, arrays only; every net has a leading axis of nets."""

    actors: Any
    critics: Any
    target: Any  # of the critics
    actor_optimiser: Any
    critic_optimiser: Any


class Parts(NamedTuple):
    """What the closures of one algorithm share."""

    env: Environment
    config: ActorCriticConfig
    kind: str
    actors: AgentNetworks
    critics: AgentNetworks | Critics
    joint: Joint | None  # of mac-cac
    sizes: Joint


class Rows(NamedTuple):
    """A batch cut both ways, `[rows, batch, ...]`."""

    own: OwnRows
    joint: JointRows


class Stream(NamedTuple):
    """What the critics learn from, one entry per critic: `[rows, batch, critics]`."""

    reward: Float[Array, "rows batch critics"]
    duration: Float[Array, "rows batch critics"]
    terminal: Bool[Array, "rows batch critics"]
    mask: Bool[Array, "rows batch critics"]


def make_parts(env: Environment, config: ActorCriticConfig, kind: str) -> Parts:
    """Actors and critics of `kind`; raises a one-line ValueError for settings that do not fit."""
    if config.n_step > env.horizon:
        raise ValueError(f"n_step={config.n_step} is longer than the horizon; allowed: <= {env.horizon}")
    if config.share_parameters:
        raise ValueError(f"share_parameters=True: {kind} has actors and critics of their own only")
    if config.critic == "state" and not env.state_size:
        raise ValueError(f"critic='state': {env.name} has no global state; allowed: history")
    sizes = Joint(tuple(env.num_actions), tuple(env.obs_sizes))
    joint = joint_of(env.num_actions, env.obs_sizes) if kind == "mac-cac" else None
    layers = {"hidden_layers": config.hidden_layers, "layer_size": config.layer_size}
    layers |= {"hidden_size": config.hidden_size, "decode_size": config.decode_size}
    observed, actions = ([sum(env.obs_sizes)], [joint.size]) if joint else (env.obs_sizes, env.num_actions)
    actors = make_agent_networks(observed, actions, obs_last_action=config.obs_last_action and not joint, **layers)
    return Parts(env, config, kind, actors, _critics(env, config, kind), joint, sizes)


def _critics(env: Environment, config: ActorCriticConfig, kind: str) -> AgentNetworks | Critics:
    count = env.num_agents if kind in ("mac-iac", "mac-iaicc") else 1
    if config.critic == "state":
        widths = {"layer_size": config.critic_layer_size, "middle_size": config.critic_hidden_size}
        return make_state_critics(count, env.state_size, **widths)
    return make_agent_networks(
        env.obs_sizes if kind == "mac-iac" else [sum(env.obs_sizes)] * count,
        [1] * count,
        hidden_size=config.critic_hidden_size,
        layer_size=config.critic_layer_size,
        decode_size=config.critic_decode_size,
        hidden_layers=config.hidden_layers,
    )


def make(env: Environment, config: ActorCriticConfig, kind: str) -> Algorithm:
    """Build the algorithm `kind` (one of KINDS) for `env`; raises ValueError as `make_parts` does."""
    parts = make_parts(env, config, kind)

    def update(
        state: ActorCriticState, hyper: Hyper, batches: dict[str, Episode], progress: Progress, key: Array
    ) -> tuple[ActorCriticState, dict[str, Array]]:
        del key
        before = progress.episodes - config.num_envs  # exploration is that of the episodes learned from
        epsilon = epsilon_at(hyper, progress._replace(episodes=before))
        rows = rows_of(parts, hyper, batches["main"])
        state, losses = learn(parts, state, rows, hyper, epsilon)
        due = progress.episodes // config.target_episodes > before // config.target_episodes
        target = jax.lax.cond(due, lambda: state.critics, lambda: state.target)
        dropped = jnp.sum(rows.own.dropped) + jnp.sum(rows.joint.dropped)
        total = jnp.sum(losses["critic_loss"]) + jnp.sum(losses["actor_loss"])
        return state.replace(target=target), {"loss": total, "dropped_rows": dropped}

    def epsilons(hyper: Hyper, progress: Progress) -> Array:
        return jnp.full(config.num_envs, epsilon_at(hyper, progress))

    def policy(state: ActorCriticState, hyper: Hyper, stream: str = "main") -> Policy:
        del hyper, stream
        return sampled_policy(parts.actors, state.actors, _counts(parts), parts.joint)

    outputs = parts.joint.size if parts.joint else 0
    collection = Collection(epsilons, fresh_episodes(config.num_envs), 1, 0, config.rounds)
    return Algorithm(
        ("main",), lambda key, hyper: init(parts, key, hyper), policy, policy, update, collection, outputs
    )


def epsilon_at(hyper: Hyper, progress: Progress) -> Array:
    """Exploration after so many episodes."""
    return linear_schedule(progress, 0, hyper["epsilon_start"], hyper["epsilon_end"], hyper["epsilon_episodes"])


def init(parts: Parts, key: Array, hyper: Hyper) -> ActorCriticState:
    """Draw all parameters; targets start as copies."""
    actor_key, critic_key = jax.random.split(key)
    actors, critics = parts.actors.init(actor_key), parts.critics.init(critic_key)
    states = (init_each(optimiser(hyper, 0.0), params) for params in (actors, critics))
    return ActorCriticState(actors, critics, jax.tree.map(jnp.copy, critics), *states)


def rows_of(parts: Parts, hyper: Hyper, episodes: Episode) -> Rows:
    """Own and joint rows of whole episodes (section 4)."""
    config = parts.config

    def cut(episode: Episode) -> Rows:
        chosen = trajectory_of(
            jax.random.key(0),  # nothing is drawn: the window is the episode
            episode.replace(window_start=jnp.int32(0)),
            trajectory=parts.env.horizon,
            max_rows=config.max_rows,
            close_on_terminal=config.close_on_terminal,
            timeout_is_terminal=config.timeout_is_terminal,
        )
        own = own_rows(chosen, hyper["gamma"])
        whole = own._replace(mask=own.mask & (own.opening >= 0))  # its joint rows are all there
        return Rows(whole, joint_rows(chosen, hyper["gamma"], macro_state="start"))

    return jax.vmap(cut, out_axes=Rows(OWN_TIME_MAJOR, TIME_MAJOR))(episodes)


def stream_of(parts: Parts, rows: Rows, hyper: Hyper) -> Stream:
    """The rows whose returns the critics learn: own (IAC, IAICC) or joint (CAC, NIACC)."""
    if parts.kind in ("mac-iac", "mac-iaicc"):
        own = rows.own
        return Stream(hyper["reward_scale"] * own.reward, own.duration, own.terminal, own.mask)
    joint = rows.joint
    reward = hyper["reward_scale"] * joint.reward
    return Stream(*(x[..., None] for x in (reward, joint.duration, joint.terminal, joint.mask)))


def values(parts: Parts, params: Any, rows: Rows) -> tuple[Array, Array]:
    """Values of every row of the stream and after it, each `[rows, batch, critics]` (section 5)."""
    own, joint = rows
    alone = parts.kind == "mac-iac"
    per_agent = alone or parts.kind == "mac-iaicc"
    if parts.config.critic == "state":
        if per_agent:
            return parts.critics.apply(params, own.state), parts.critics.apply(params, own.next_state)
        at, after = joint.mixer_state[..., None, :], joint.next_mixer_state[..., None, :]
        return parts.critics.apply(params, at), parts.critics.apply(params, after)
    if alone:
        said = _over(parts.critics, params, own.obs)[..., 0]
        return said[:-1], said[1:]
    obs = parts.sizes.observation(joint.obs)[..., None, :]
    obs = jnp.broadcast_to(obs, (*obs.shape[:2], parts.env.num_agents if per_agent else 1, obs.shape[-1]))
    said = _over(parts.critics, params, obs)[..., 0]
    if not per_agent:
        return said[:-1], said[1:]
    # Where agent i began, and where it ended: an entry of the joint rows for each of its own.
    return jnp.take_along_axis(said[:-1], own.opening, 0), jnp.take_along_axis(said[1:], own.closing, 0)


def _over(networks: AgentNetworks, params: Any, obs: Array, last_action: Array | None = None) -> Array:
    """Outputs of recurrent nets that move at every entry, `[rows, batch, nets, outputs]`."""
    advance = jnp.ones(obs.shape[:-1], bool)
    last_action = advance.astype(jnp.int32) if last_action is None else last_action
    return networks.apply(params, networks.initial_hidden(obs.shape[1]), obs, last_action, advance)[1].q


def learn(
    parts: Parts, state: ActorCriticState, rows: Rows, hyper: Hyper, epsilon: Array
) -> tuple[ActorCriticState, dict[str, Array]]:
    """One step of every critic, then one of every actor on the new critics' advantages (sections 5 and 6).

    Returns the new state and the losses of each critic and actor.
    """
    stream = stream_of(parts, rows, hyper)
    bootstrap = values(parts, state.target, rows)[1]
    returns = n_step_target(
        stream.reward,
        stream.duration,
        stream.terminal,
        bootstrap,
        stream.mask,
        hyper["gamma"],
        parts.config.n_step,
    )

    def total(losses: Any) -> Any:
        def summed(params: Any) -> tuple[Array, Array]:
            each = losses(params)
            return jnp.sum(each), each

        return jax.grad(summed, has_aux=True)

    gradient, critic_loss = total(lambda p: critic_losses(parts, p, rows, stream, returns))(state.critics)
    adam = optimiser(hyper, hyper["critic_learning_rate"])
    critics, critic_held = step_each(
        adam, gradient, state.critic_optimiser, state.critics, jnp.any(stream.mask, axis=(0, 1))
    )
    advantage = returns - values(parts, critics, rows)[0]
    gradient, actor_loss = total(lambda p: actor_losses(parts, p, rows, advantage, hyper, epsilon))(state.actors)
    adam = optimiser(hyper, hyper["actor_learning_rate"])
    learned = jnp.any(taken_by(parts, rows).mask, axis=(0, 1))
    actors, actor_held = step_each(adam, gradient, state.actor_optimiser, state.actors, learned)
    new = ActorCriticState(actors, critics, state.target, actor_held, critic_held)
    return new, {"critic_loss": critic_loss, "actor_loss": actor_loss}


def critic_losses(parts: Parts, params: Any, rows: Rows, stream: Stream, returns: Array) -> Float[Array, "critics"]:
    """Mean squared error of each critic over its rows."""
    error = jnp.where(stream.mask, returns - values(parts, params, rows)[0], 0.0)
    return jnp.sum(error**2, axis=(0, 1)) / jnp.maximum(jnp.sum(stream.mask, axis=(0, 1)), 1)


class Taken(NamedTuple):
    """The decisions that actors learn from, `[rows, batch, actors, ...]`."""

    obs: Float[Array, "rows batch actors obs"]
    last_action: Array  # what ended before
    choice: Array  # i32
    open: Bool[Array, "rows batch actors actions"]  # what could have been chosen
    closing_time: Array  # primitive step on which the row closes
    duration: Array
    mask: Bool[Array, "rows batch actors"]


def taken_by(parts: Parts, rows: Rows) -> Taken:
    """Own decisions of every agent, or those of the team where one joint actor decides."""
    own, joint = rows
    if parts.joint is None:
        return Taken(
            own.obs[:-1],
            own.last_action[:-1],
            own.macro_action,
            own.avail,
            own.last_step,
            own.duration,
            own.mask,
        )
    allowed = parts.joint.allowed(joint.avail, joint.start, joint.macro_action)
    team = parts.joint.observation(joint.obs[:-1]), jnp.zeros_like(joint.last_step)
    choice = parts.joint.index(joint.macro_action)
    team = Taken(*team, choice, allowed, joint.last_step, joint.duration, joint.mask)
    return jax.tree.map(lambda x: x[:, :, None], team)


def actor_losses(
    parts: Parts, params: Any, rows: Rows, advantage: Array, hyper: Hyper, epsilon: Array
) -> Float[Array, "actors"]:
    """Policy-gradient loss of each actor: minus the mean of gamma^t log pi(m | h) A over its rows (section 6)."""
    taken = taken_by(parts, rows)
    if parts.kind == "mac-niacc":  # the advantage of the joint segment in which the macro-action ended
        advantage = jnp.take_along_axis(advantage, rows.own.closing, axis=0)
    logits = _over(parts.actors, params, taken.obs, taken.last_action)
    log_probs = floored_log_probs(logits, epsilon, _counts(parts))
    if parts.config.conditional_log_prob:
        log_probs = jax.nn.log_softmax(jnp.where(taken.open, log_probs, NEGATIVE))
    time = taken.closing_time
    if parts.config.weight_at_decision:
        time = time + 1 - taken.duration
    entropy = -jnp.sum(jnp.where(log_probs > NEGATIVE / 2, jnp.exp(log_probs) * log_probs, 0.0), axis=-1)
    gain = (
        take_chosen(log_probs, taken.choice) * jax.lax.stop_gradient(advantage) + hyper["entropy_weight"] * entropy
    )
    gain = jnp.where(taken.mask, hyper["gamma"] ** time * gain, 0.0)
    return -jnp.sum(gain, axis=(0, 1)) / jnp.maximum(jnp.sum(taken.mask, axis=(0, 1)), 1)


def _counts(parts: Parts) -> tuple[int, ...]:
    """Number of real choices of each actor."""
    return (parts.joint.size,) if parts.joint else tuple(parts.env.num_actions)
