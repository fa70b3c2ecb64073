"""Actors and critics of a team: their networks, the rows that they learn from, and their outputs over these.

docs/specifications/policy_gradient.md, whose sections are cited below.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxmac.algorithms.base import Progress, linear_schedule, network_options
from jaxmac.algorithms.targets import TargetRows, target_rows
from jaxmac.envs.environment import Environment
from jaxmac.hyper import Hyper
from jaxmac.networks.agent import AgentNetworks, make_agent_networks
from jaxmac.networks.critic import Critics, make_state_critics
from jaxmac.networks.joint import JointSpace
from jaxmac.record.episode import Episode
from jaxmac.record.joint_rows import TIME_MAJOR, JointRows, joint_rows
from jaxmac.record.own_rows import OWN_TIME_MAJOR, OwnRows, at_joint_rows, own_rows
from jaxmac.record.windows import trajectory_of


class Roles(NamedTuple):
    """Which actors and critics an algorithm has."""

    joint_actor: bool = False  # one actor chooses for the team and learns from joint rows; else one for each agent
    critic_per_agent: bool = True  # each learns from its agent's own rows; else there is one, on joint rows
    critics_see_team: bool = True  # critics get the history of all agents; else each that of its own agent


class ActorsAndCritics(NamedTuple):
    """The networks of one algorithm, with the environment and the (static) config that they are built for."""

    env: Environment
    config: Any
    roles: Roles
    actors: AgentNetworks
    critics: Any  # AgentNetworks for histories, Critics for global states
    joint: JointSpace | None  # the joint macro-actions of a joint actor
    sizes: JointSpace  # sizes of the team, for joint observations


class Rows(NamedTuple):
    """A batch of episodes cut into own and into joint rows, each `[rows, batch, ...]`."""

    own: OwnRows
    joint: JointRows


def check_critic(env: Environment, config: Any) -> None:
    """Raise a one-line ValueError for a state critic on an environment without a global state."""
    if config.critic == "state" and not env.state_size:
        raise ValueError(f"critic is 'state', but must be 'history': {env.name} has no global state")


def make_critics(
    env: Environment, config: Any, roles: Roles, state_size: int, share_parameters: bool = False
) -> AgentNetworks | Critics:
    """The critics of a team, of histories or of states of `state_size` entries, as `config.critic` says.

    With `share_parameters` they are one network, which gets the agent's one-hot id as well.
    """
    count = env.num_agents if roles.critic_per_agent else 1
    if config.critic == "state":
        inputs = state_size + (count if share_parameters else 0)
        widths = {"layer_size": config.critic_layer_size, "middle_size": config.critic_hidden_size}
        return make_state_critics(1 if share_parameters else count, inputs, **widths)
    sizes = [sum(env.obs_sizes)] * count if roles.critics_see_team else env.obs_sizes
    options = network_options(config) | {"hidden_size": config.critic_hidden_size}
    options |= {"layer_size": config.critic_layer_size, "decode_size": config.critic_decode_size}
    return make_agent_networks(sizes, [1] * len(sizes), share_parameters=share_parameters, **options)


def epsilon_at(hyper: Hyper, progress: Progress) -> Array:
    """The exploration rate epsilon after `progress.episodes` training episodes."""
    return linear_schedule(progress, 0, hyper.epsilon_start, hyper.epsilon_end, hyper.epsilon_episodes)


def rows_of(
    networks: ActorsAndCritics, hyper: Hyper, episodes: Episode, needs: str, macro_state: str = "start"
) -> Rows:
    """Own and joint rows of whole episodes (section 4).

    Args:
        networks: the actors and critics, whose config has the options of the cuts.
        hyper: has the discount.
        episodes: a batch `[batch, time, ...]`.
        needs: the joint row that is read with an own one, "opening" or "closing", or "" for none. An own row whose
            joint row was dropped by a cap (`max_rows`) is masked.
        macro_state: of the joint rows, as in `mac_jert`.
    """
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
        kept = getattr(own, needs) >= 0 if needs else jnp.ones_like(own.mask)
        lost = jnp.sum(own.mask & ~kept, axis=0, dtype=jnp.int32)
        whole = own._replace(mask=own.mask & kept, dropped=own.dropped + lost)
        return Rows(whole, joint_rows(chosen, hyper.gamma, macro_state=macro_state))

    return jax.vmap(cut, out_axes=Rows(OWN_TIME_MAJOR, TIME_MAJOR))(episodes)


def dropped_rows(networks: ActorsAndCritics, rows: Rows, needs: str) -> Int[Array, ""]:
    """Number of rows that a cap left out, of those that are learned from or read; `needs` as in `rows_of`."""
    own, joint = jnp.sum(rows.own.dropped), jnp.sum(rows.joint.dropped)
    if networks.roles.joint_actor:
        return joint
    return own + joint if needs else own


def critic_rows(networks: ActorsAndCritics, rows: Rows, hyper: Hyper) -> TargetRows:
    """The rows that critics learn from, `[rows, batch, critics]`: own rows with a critic per agent."""
    if networks.roles.critic_per_agent:
        own = rows.own
        return target_rows(hyper, own.reward, own.duration, own.terminal, own.mask)
    joint = rows.joint
    each = (x[..., None] for x in (joint.reward, joint.duration, joint.terminal, joint.mask))
    return target_rows(hyper, *each)


def values(networks: ActorsAndCritics, params: Any, rows: Rows) -> tuple[Array, Array]:
    """The critics' values at the start of every row and after it, each `[rows, batch, critics]` (section 5)."""
    own, joint = rows
    per_agent = networks.roles.critic_per_agent
    if networks.config.critic == "state":
        if per_agent:
            return networks.critics.apply(params, own.state), networks.critics.apply(params, own.next_state)
        at, after = joint.mixer_state[..., None, :], joint.next_mixer_state[..., None, :]
        return networks.critics.apply(params, at), networks.critics.apply(params, after)
    if not networks.roles.critics_see_team:
        outputs = outputs_over(networks.critics, params, own.obs)[..., 0]
        return outputs[:-1], outputs[1:]
    obs = networks.sizes.observation(joint.obs)[..., None, :]
    obs = jnp.broadcast_to(obs, (*obs.shape[:2], networks.env.num_agents if per_agent else 1, obs.shape[-1]))
    outputs = outputs_over(networks.critics, params, obs)[..., 0]
    if not per_agent:
        return outputs[:-1], outputs[1:]
    # Agent i's critic runs over joint rows; its value is read where an own row of the agent starts and ends.
    return at_joint_rows(outputs[:-1], own.opening), at_joint_rows(outputs[1:], own.closing)


def outputs_over(networks: AgentNetworks, params: Any, obs: Array, last_action: Array | None = None) -> Array:
    """Outputs of recurrent networks that advance at every entry, `[rows, batch, networks, outputs]`."""
    advance = jnp.ones(obs.shape[:-1], bool)
    last_action = advance.astype(jnp.int32) if last_action is None else last_action
    return networks.apply(params, networks.initial_hidden(obs.shape[1]), obs, last_action, advance)[1].q


class Decisions(NamedTuple):
    """The decisions that actors learn from, `[rows, batch, actors, ...]`."""

    obs: Float[Array, "rows batch actors obs"]  # macro-observations
    last_action: Array  # the macro-action that ended before, int32 [rows, batch, actors]
    choice: Array  # the chosen (joint) macro-action, int32 [rows, batch, actors]
    allowed: Bool[Array, "rows batch actors actions"]  # the (joint) macro-actions that could be chosen
    closing_time: Array  # primitive step on which the row closes
    duration: Array  # primitive steps of the row
    mask: Bool[Array, "rows batch actors"]


def decisions_of(networks: ActorsAndCritics, rows: Rows) -> Decisions:
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
    choice = networks.joint.encode(joint.macro_action)
    team = Decisions(obs, none, choice, allowed, joint.last_step, joint.duration, joint.mask)
    return jax.tree.map(lambda x: x[:, :, None], team)


def is_choice(decisions: Decisions) -> Bool[Array, "rows batch agents"]:
    """The rows whose macro-action was available; one that an environment put in its place was not chosen."""
    index = jnp.maximum(decisions.choice, 0)[..., None]
    return decisions.mask & jnp.take_along_axis(decisions.allowed, index, axis=-1, mode="clip")[..., 0]


def action_counts(networks: ActorsAndCritics) -> tuple[int, ...]:
    """Number of (joint) macro-actions of each actor, without padding."""
    return (networks.joint.size,) if networks.joint else tuple(networks.env.num_actions)


def with_small_outputs(actors: Any, gain: Array | float) -> Any:
    """Parameters of actors, with the weights of their outputs times `gain` (`gain` of Yu et al., 2022).

    With outputs of any size a first policy may always choose one macro-action and never receive a reward.
    """

    def scaled(path: tuple[Any, ...], leaf: Array) -> Array:
        return leaf * gain if "utilities" in jax.tree_util.keystr(path) else leaf

    return jax.tree_util.tree_map_with_path(scaled, actors)
