"""Value-based baselines: MacDec-Q, MacCen-Q, MacDec-DDRQN, Parallel-MacDec-DDRQN (value-based specification).

One learner from two parts: decentralised nets on each agent's own rows (Mac-CERT), and a centralised net over
joint macro-actions on joint rows (Mac-JERT). The four algorithms differ in which parts they have, in who chooses
the target's macro-actions, and in where experience comes from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float

from jaxmac.algorithms.base import Algorithm, Hyper, Progress
from jaxmac.algorithms.optimiser import init_each, optimiser, step_each
from jaxmac.algorithms.value_based import (
    ValueBasedConfig,
    agent_networks,
    collection,
    explored,
    hysteretic,
    scheduled_rate,
    updated_target,
    utility_policy,
    window_options,
)
from jaxmac.config import setting
from jaxmac.envs.environment import Environment, TimeStep
from jaxmac.networks.agent import ActingNets, AgentNetworks, make_agent_networks
from jaxmac.networks.choice import bootstrapped_target, conditional_argmax, take_chosen
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
from jaxmac.record.rollout import Policy

KINDS = ("mac-dec-q", "mac-cen-q", "mac-dec-ddrqn", "parallel-mac-dec-ddrqn")


@dataclass(frozen=True)
class MacQConfig(ValueBasedConfig):
    """Hyperparameters of the value-based baselines; the defaults are the reference's."""

    learning_rate: float = setting(1e-3, "Adam's step size", above=0.0, high=1.0, traced=True)
    grad_clip: float = setting(0.0, "largest global norm of a net's gradient (0: any)", low=0.0, traced=True)
    target_steps: int = setting(5000, "nominal primitive steps between copies to the targets (0: not so)", low=0)
    sampling: str = setting("windows", "what of the replay is uniform in a batch", choices=("episodes", "windows"))
    close_on_terminal: bool = setting(False, "an environment termination ends every running macro-action")
    recurrent_exploration: bool = setting(False, "hidden states are carried on while exploring")
    hidden_size: int = setting(32, "width of the nets' recurrent layer", low=1)
    layer_size: int = setting(32, "width of their layers before it (0: as the recurrent one)", low=0)
    centralised_hidden_size: int = setting(
        64, "mac-dec-ddrqn: width of the centralised net's recurrent layer", low=1
    )
    conditional: bool = setting(True, "a centralised target leaves alone who does not choose")
    centralised_exploration: bool = setting(False, "mac-dec-ddrqn: the centralised net explores")
    exploration_switch: bool = setting(
        False, "with it: the decentralised choice with probability 1 - epsilon at every step"
    )


@struct.dataclass
class MacQState:
    """Everything the baselines learn: nets by name ("agents", "centralised"), arrays only."""

    params: dict[str, Any]
    target: dict[str, Any]
    optimiser: dict[str, Any]


class Parts(NamedTuple):
    """What the closures of one algorithm share."""

    env: Environment
    config: MacQConfig
    kind: str
    agents: AgentNetworks | None
    centralised: AgentNetworks | None
    joint: Joint | None


def make_parts(env: Environment, config: MacQConfig, kind: str) -> Parts:
    """The nets of an algorithm; raises a one-line ValueError for settings that do not fit it."""
    if config.centralised_exploration and kind != "mac-dec-ddrqn":
        raise ValueError(f"centralised_exploration=True is for mac-dec-ddrqn; {kind} does not choose between nets")
    if config.exploration_switch and not config.centralised_exploration:
        raise ValueError("exploration_switch=True needs centralised_exploration=True")
    agents = None if kind == "mac-cen-q" else agent_networks(env, config)
    if kind == "mac-dec-q":
        return Parts(env, config, kind, agents, None, None)
    joint = joint_of(env.num_actions, env.obs_sizes)
    centralised = make_agent_networks(
        [sum(env.obs_sizes)],
        [joint.size],
        hidden_size=config.hidden_size if agents is None else config.centralised_hidden_size,
        layer_size=config.layer_size,
        decode_size=config.decode_size,
        hidden_layers=config.hidden_layers,
    )
    return Parts(env, config, kind, agents, centralised, joint)


def make(env: Environment, config: MacQConfig, kind: str) -> Algorithm:
    """Build the algorithm `kind` (one of KINDS) for `env`; raises ValueError as `make_parts` does."""
    parts = make_parts(env, config, kind)
    streams = ("centralised", "decentralised") if kind.startswith("parallel") else ("main",)

    def update(
        state: MacQState, hyper: Hyper, batches: dict[str, Episode], progress: Progress, key: Array
    ) -> tuple[MacQState, dict[str, Array]]:
        cuts = {name: rows_of(config, hyper, episodes, key) for name, episodes in batches.items()}
        state, losses, dropped = learn(parts, state, cuts[streams[0]], cuts[streams[-1]], hyper, progress)
        return state, {"loss": sum(losses.values()), "dropped_rows": dropped} | losses

    return Algorithm(
        streams,
        lambda key, hyper: init(parts, key, hyper),
        lambda state, hyper, stream: behaviour(parts, state.params, stream),
        lambda state, hyper: evaluation(parts, state.params),
        update,
        collection(config, env),
        parts.joint.size if parts.joint else 0,
    )


def init(parts: Parts, key: Array, hyper: Hyper) -> MacQState:
    """Draw all parameters; targets start as copies. Every net has an optimiser of its own."""
    params = {}
    for index, name in enumerate(("agents", "centralised")):
        networks = getattr(parts, name)
        if networks is not None:
            params[name] = networks.init(jax.random.fold_in(key, index))
    each = {
        name: jax.tree.map(lambda x: x[None], net) if _shared(parts, name) else net for name, net in params.items()
    }
    states = {name: init_each(optimiser(hyper), net) for name, net in each.items()}
    return MacQState(params, jax.tree.map(jnp.copy, params), states)


def _shared(parts: Parts, name: str) -> bool:
    """The nets `name` are one net, whose parameters have no leading axis of nets."""
    return name == "agents" and parts.config.share_parameters


def rows_of(config: MacQConfig, hyper: Hyper, episodes: Episode, key: Array) -> tuple[OwnRows, JointRows]:
    """Own and joint rows of the same windows of a batch of episodes, `[rows, batch, ...]`."""

    def cut(key: Array, episode: Episode) -> tuple[OwnRows, JointRows]:
        chosen = trajectory_of(key, episode, **window_options(config))
        joint = joint_rows(chosen, discount=hyper["gamma"], reward_scheme=config.reward_scheme)
        return own_rows(chosen, discount=hyper["gamma"]), joint

    keys = jax.random.split(key, episodes.mask.shape[0])
    return jax.vmap(cut, out_axes=(OWN_TIME_MAJOR, TIME_MAJOR))(keys, episodes)


def learn(
    parts: Parts,
    state: MacQState,
    first: tuple[OwnRows, JointRows],
    second: tuple[OwnRows, JointRows],
    hyper: Hyper,
    progress: Progress,
) -> tuple[MacQState, dict[str, Array], Array]:
    """One update (section 5): the centralised net on the rows `first`, then the decentralised ones on `second`.

    Returns the new state, the loss of each part and the number of rows that a cap left out.
    """
    losses, choice, dropped = {}, None, 0
    if parts.centralised is not None:
        rows, beta = first[1], parts.agents is None  # hysteresis only where the centralised net is alone
        valued = jax.value_and_grad(joint_loss, argnums=1)
        losses["centralised_loss"], gradient = valued(
            parts, state.params, state.target, rows, hyper, progress, beta
        )
        state = step(
            parts, state, "centralised", gradient["centralised"], jnp.any(rows.mask)[None], hyper, progress
        )
        dropped += jnp.sum(rows.dropped)
    if parts.agents is not None:
        own, rows = second
        if parts.centralised is not None:
            own = own._replace(mask=own.mask & (own.closing >= 0))
            best = joint_choice(parts, state.params["centralised"], rows)
            choice = jnp.take_along_axis(parts.joint.split(best), own.closing, axis=0)

        def total(params: Any) -> tuple[Array, Array]:
            each = own_losses(parts, params, state.target["agents"], own, choice, hyper, progress)
            return jnp.sum(each), each

        gradient, losses["agent_losses"] = jax.grad(total, has_aux=True)(state.params["agents"])
        state = step(parts, state, "agents", gradient, jnp.any(own.mask, axis=(0, 1)), hyper, progress)
        losses["agent_losses"] = jnp.sum(losses["agent_losses"])
        dropped += jnp.sum(own.dropped)
    target = updated_target(state.params, state.target, parts.config, hyper, progress, parts.env.horizon)
    return state.replace(target=target), losses, dropped


def step(
    parts: Parts,
    state: MacQState,
    name: str,
    gradient: Any,
    learned: Bool[Array, "nets"],
    hyper: Hyper,
    progress: Progress,
) -> MacQState:
    """One Adam step of the nets `name`, each for itself; one without a row (`learned` False) stays as it is."""
    adam = optimiser(hyper, scheduled_rate(parts.config, hyper, progress))
    held, params = state.optimiser[name], state.params[name]
    if _shared(parts, name):
        gradient, params = jax.tree.map(lambda x: x[None], (gradient, params))
        params, held = step_each(adam, gradient, held, params, jnp.any(learned)[None])
        params = jax.tree.map(lambda x: x[0], params)
    else:
        params, held = step_each(adam, gradient, held, params, learned)
    return MacQState(state.params | {name: params}, state.target, state.optimiser | {name: held})


def own_losses(
    parts: Parts, params: Any, target: Any, rows: OwnRows, choice: Array | None, hyper: Hyper, progress: Progress
) -> Float[Array, "agents"]:
    """Mean squared (hysteretic) error of each agent over its own rows (sections 5.1 and 5.3).

    `choice` `[rows, batch, agents]` are the target's macro-actions; None: each agent's own best.
    """
    online, future = (_own_q(parts, p, rows) for p in (params, target))
    if choice is None:
        chooser = online[1:] if parts.config.double_q else future[1:]
        choice = conditional_argmax(chooser, rows.next_avail, jnp.ones_like(rows.mask), rows.macro_action)
    goal = bootstrapped_target(
        hyper["reward_scale"] * rows.reward,
        hyper["gamma"] ** rows.duration,
        rows.terminal,
        take_chosen(future[1:], choice),
    )
    error = hysteretic(goal - take_chosen(online[:-1], rows.macro_action), parts.config, hyper, progress)
    square = jnp.sum(jnp.where(rows.mask, error, 0.0) ** 2, axis=(0, 1))
    return square / jnp.maximum(jnp.sum(rows.mask, axis=(0, 1)), 1)


def _own_q(parts: Parts, params: Any, rows: OwnRows) -> Float[Array, "rows+1 batch agents actions"]:
    hidden = parts.agents.initial_hidden(rows.mask.shape[1])
    advance = jnp.ones(rows.last_action.shape, bool)
    return parts.agents.apply(params, hidden, rows.obs, rows.last_action, advance)[1].q


def joint_loss(
    parts: Parts, params: Any, target: Any, rows: JointRows, hyper: Hyper, progress: Progress, beta: bool
) -> Float[Array, ""]:
    """Mean squared error of the centralised net over joint rows, hysteretic with `beta` (section 5.2)."""
    online, future = (_joint_q(parts, p["centralised"], rows) for p in (params, target))
    chooser = online[1:] if parts.config.double_q else future[1:]
    goal = bootstrapped_target(
        hyper["reward_scale"] * rows.reward,
        hyper["gamma"] ** rows.duration,
        rows.terminal,
        take_chosen(future[1:], _best_joint(parts, chooser, rows)),
    )
    error = goal - take_chosen(online[:-1], parts.joint.index(rows.macro_action))
    error = hysteretic(error, parts.config, hyper, progress) if beta else error
    return jnp.sum(jnp.where(rows.mask, error, 0.0) ** 2) / jnp.maximum(jnp.sum(rows.mask), 1)


def joint_choice(parts: Parts, params: Any, rows: JointRows) -> Array:
    """The centralised net's (conditional) best joint macro-action after every joint row, int32 `[rows, batch]`."""
    return _best_joint(parts, _joint_q(parts, params, rows)[1:], rows)


def _joint_q(parts: Parts, params: Any, rows: JointRows) -> Float[Array, "rows+1 batch joint"]:
    hidden = parts.centralised.initial_hidden(rows.mask.shape[1])
    obs = parts.joint.observation(rows.obs)[..., None, :]
    advance = jnp.ones((*obs.shape[:2], 1), bool)
    return parts.centralised.apply(params, hidden, obs, advance.astype(jnp.int32), advance)[1].q[..., 0, :]


def _best_joint(parts: Parts, q: Array, rows: JointRows) -> Array:
    choosing = rows.ended if parts.config.conditional else jnp.ones_like(rows.ended)
    allowed = parts.joint.allowed(rows.next_avail, choosing, rows.macro_action)
    return conditional_argmax(q, allowed, jnp.ones(q.shape[:-1], bool), jnp.zeros(q.shape[:-1], jnp.int32))


def joint_policy(parts: Parts, params: Any, recurrent: bool) -> Policy:
    """Centralised epsilon-greedy: when anyone must choose, the best joint macro-action given what still runs.

    One draw decides for all whether they explore (section 4).
    """

    def act(key: Array, hidden: Array, ts: TimeStep, epsilon: Array) -> tuple[Array, Array]:
        deciding = jnp.any(ts.ended, axis=-1, keepdims=True)
        obs = parts.joint.observation(ts.macro_obs)[None, :, None]
        moved, said = parts.centralised.apply(params, hidden, obs, deciding[None].astype(jnp.int32), deciding[None])
        allowed = parts.joint.allowed(ts.avail, ts.ended, ts.macro_action)
        free = jnp.ones(allowed.shape[0], bool)
        best = conditional_argmax(said.q[0, :, 0], allowed, free, jnp.zeros_like(free, jnp.int32))
        choice = explored(key, parts.joint.split(best), ts, epsilon, coins=1)
        return moved if recurrent else hidden, choice

    nets = ActingNets(parts.centralised, params, joint=parts.joint) if recurrent else None
    return Policy(parts.centralised.initial_hidden, act, nets=nets)


def behaviour(parts: Parts, params: dict[str, Any], stream: str) -> Policy:
    """How experience of `stream` is gathered (section 4)."""
    config = parts.config
    recurrent = config.recurrent_exploration
    if parts.agents is None or stream == "centralised":
        return joint_policy(parts, params["centralised"], recurrent)
    own = utility_policy(parts.agents, params["agents"], recurrent)
    if not config.centralised_exploration:
        return own
    joint = joint_policy(parts, params["centralised"], recurrent)
    return switched(own, joint) if config.exploration_switch else joint


def switched(often: Policy, seldom: Policy) -> Policy:
    """`seldom` with probability epsilon at every step, else what `often` does without exploring."""

    def act(key: Array, carry: Any, ts: TimeStep, epsilon: Array) -> tuple[Any, Array]:
        coin_key, first_key, second_key = jax.random.split(key, 3)
        first, usual = often.act(first_key, carry[0], ts, jnp.zeros_like(epsilon))
        second, rare = seldom.act(second_key, carry[1], ts, epsilon)
        coin = jax.random.uniform(coin_key, epsilon.shape) < epsilon
        return (first, second), jnp.where(coin[:, None], rare, usual)

    return Policy(lambda batch: (often.initial_carry(batch), seldom.initial_carry(batch)), act)


def evaluation(parts: Parts, params: dict[str, Any]) -> Policy:
    """Greedy and recurrent: the decentralised nets, the centralised one where there is no other (section 7)."""
    if parts.agents is None:
        return joint_policy(parts, params["centralised"], recurrent=True)
    return utility_policy(parts.agents, params["agents"])
