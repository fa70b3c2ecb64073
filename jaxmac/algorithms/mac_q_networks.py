"""Networks of the value-based baselines, and the policies that act with them.

docs/specifications/value_based.md, whose sections are cited below; `jaxmac.algorithms.mac_q` learns them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxmac.algorithms.base import network_options
from jaxmac.algorithms.value_based import agent_networks, utility_policy
from jaxmac.envs.environment import Environment, TimeStep
from jaxmac.networks.agent import PolicyNetworks, make_agent_networks
from jaxmac.networks.choice import masked_argmax
from jaxmac.networks.joint import make_joint_space
from jaxmac.record.joint_rows import JointRows
from jaxmac.record.policy import Policy, explored


class NetworkRoles(NamedTuple):
    """Which networks an algorithm has, and whose episodes each of them learns from."""

    agents: bool = True  # a decentralised network for each agent
    centralised: bool = True  # a network over joint macro-actions, which acts if it is alone
    own_episodes: bool = False  # agents and centralised network learn each from episodes that they have collected


class MacQNetworks(NamedTuple):
    """The networks of one algorithm, with the environment and the (static) config that they are built for."""

    env: Environment
    config: Any
    agents: Any  # AgentNetworks, or None
    centralised: Any  # AgentNetworks; None, as `joint`, without a centralised network
    joint: Any  # JointSpace


def make_networks(env: Environment, config: Any, roles: NetworkRoles) -> MacQNetworks:
    """The networks of an algorithm.

    Raises ValueError, in one line, for too many joint macro-actions.
    """
    agents = agent_networks(env, config) if roles.agents else None
    if not roles.centralised:
        return MacQNetworks(env, config, agents, None, None)
    joint = make_joint_space(env.num_actions, env.obs_sizes)
    options = network_options(config)
    if agents is not None:
        options["hidden_size"] = config.centralised_hidden_size
    centralised = make_agent_networks([sum(env.obs_sizes)], [joint.size], **options)
    return MacQNetworks(env, config, agents, centralised, joint)


def best_joint(
    networks: MacQNetworks, q: Float[Array, "rows batch joint"], rows: JointRows
) -> Int[Array, "rows batch"]:
    """Index of the (conditional) best joint macro-action after every row, by the central network's values `q`.

    An agent that runs a macro-action and has none available keeps it, also without `conditional`.
    """
    choosing = rows.ended if networks.config.conditional else rows.ended | jnp.any(rows.next_avail, axis=-1)
    return masked_argmax(q, networks.joint.allowed(rows.next_avail, choosing, rows.macro_action))


def joint_policy(networks: MacQNetworks, params: Any, recurrent: bool) -> Policy:
    """Centralised epsilon-greedy policy: the best joint macro-action given the macro-actions still running.

    It decides whenever at least one agent must choose, and one random draw decides for all agents whether they
    explore (section 4). Without `recurrent` every decision starts from the initial hidden state.
    """

    def act(key: Array, hidden: Array, ts: TimeStep, epsilon: Array) -> tuple[Array, Array]:
        deciding = jnp.any(ts.ended, axis=-1, keepdims=True)
        obs = networks.joint.observation(ts.macro_obs)[None, :, None]
        last_action = deciding[None].astype(jnp.int32)
        moved, outputs = networks.centralised.apply(params, hidden, obs, last_action, deciding[None])
        allowed = networks.joint.allowed(ts.avail, ts.ended, ts.macro_action)
        best = masked_argmax(outputs.q[0, :, 0], allowed)
        choice = explored(key, networks.joint.decode(best), ts, epsilon, coins=1)
        return moved if recurrent else hidden, choice

    policy_networks = PolicyNetworks(networks.centralised, params, joint=networks.joint) if recurrent else None
    return Policy(networks.centralised.initial_hidden, act, networks=policy_networks)


def behaviour(networks: MacQNetworks, params: dict[str, Any], stream: str) -> Policy:
    """The policy that collects the experience of `stream` (section 4)."""
    config, recurrent = networks.config, networks.config.recurrent_exploration
    if networks.agents is None or stream == "centralised":
        return joint_policy(networks, params["centralised"], recurrent)
    own = utility_policy(networks.agents, params["agents"], recurrent)
    if networks.centralised is None or stream != "main" or not config.centralised_exploration:
        return own
    joint = joint_policy(networks, params["centralised"], recurrent)
    return mixed_policy(own, joint) if config.exploration_switch else joint


def mixed_policy(usual: Policy, exploring: Policy) -> Policy:
    """At every step `exploring` with probability epsilon, else `usual` without exploration."""

    def act(key: Array, carry: Any, ts: TimeStep, epsilon: Array) -> tuple[Any, Array]:
        coin_key, usual_key, exploring_key = jax.random.split(key, 3)
        usual_carry, greedy = usual.act(usual_key, carry[0], ts, jnp.zeros_like(epsilon))
        exploring_carry, random = exploring.act(exploring_key, carry[1], ts, epsilon)
        explores = jax.random.uniform(coin_key, epsilon.shape, jnp.float32) < epsilon
        return (usual_carry, exploring_carry), jnp.where(explores[:, None], random, greedy)

    return Policy(lambda batch: (usual.initial_carry(batch), exploring.initial_carry(batch)), act)


def evaluation(networks: MacQNetworks, params: dict[str, Any]) -> Policy:
    """The recurrent greedy policy of the decentralised networks, or of the centralised one if alone (section 7)."""
    if networks.agents is None:
        return joint_policy(networks, params["centralised"], recurrent=True)
    return utility_policy(networks.agents, params["agents"])
