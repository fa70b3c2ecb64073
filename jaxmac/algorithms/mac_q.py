"""Value-based baselines: MacDec-Q, MacCen-Q, MacDec-DDRQN, Parallel-MacDec-DDRQN.

Papers: Yuchen Xiao, Joshua Hoffman and Christopher Amato, "Macro-Action-Based Deep Multi-Agent Reinforcement
Learning", CoRL 2019; Yuchen Xiao, Joshua Hoffman, Tian Xia and Christopher Amato, "Learning Multi-Robot
Decentralized Macro-Action-Based Policies via a Centralized Q-Net", ICRA 2020; docs/specifications/value_based.md,
whose sections are cited below.

One learner with two kinds of networks: decentralised ones, which learn from each agent's own rows (Mac-CERT), and a
centralised one over joint macro-actions, which learns from joint rows (Mac-JERT). The four algorithms differ in
which networks they have, in which network chooses the target's macro-actions, and in the policy that collects
experience (`mac_q_networks`).
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxmac.algorithms.base import Algorithm, Progress
from jaxmac.algorithms.diagnostics import VALUE_BASED, EpisodeMeans, episode_means, of_values
from jaxmac.algorithms.mac_q_config import MacQConfig
from jaxmac.algorithms.mac_q_networks import (
    MacQNetworks,
    NetworkRoles,
    behaviour,
    best_joint,
    evaluation,
    make_networks,
)
from jaxmac.algorithms.optimiser import init_optimiser
from jaxmac.algorithms.targets import lambda_target, target_rows
from jaxmac.algorithms.value_based import (
    ValueBasedState,
    collection,
    descend,
    evaluated_params,
    hysteretic,
    update_target,
    weighted_mean_square,
    window_options,
)
from jaxmac.envs.environment import Environment
from jaxmac.hyper import Hyper
from jaxmac.networks.choice import conditional_argmax, take_chosen
from jaxmac.record.episode import Episode
from jaxmac.record.joint_rows import TIME_MAJOR, JointRows, joint_rows
from jaxmac.record.microbatches import summed_over
from jaxmac.record.own_rows import OWN_TIME_MAJOR, OwnRows, at_joint_rows, own_rows
from jaxmac.record.replay import Sample
from jaxmac.record.windows import trajectory_of


def make(env: Environment, config: MacQConfig, roles: NetworkRoles) -> Algorithm:
    """Build the algorithm with these networks; raises ValueError as `make_networks` does."""
    networks = make_networks(env, config, roles)
    streams = ("centralised", "decentralised") if roles.own_episodes else ("main",)

    def update(
        state: ValueBasedState, hyper: Hyper, samples: dict[str, Sample], progress: Progress, key: Array
    ) -> tuple[ValueBasedState, dict[str, Any]]:
        batches = []
        for index, sample in enumerate(samples.values()):
            own_key = jax.random.fold_in(key, index) if index else key
            batches.append(WindowBatch(*rows_of(config, sample, hyper, own_key), sample.weight))
        state, metrics, errors = learn(networks, state, batches[0], batches[-1], hyper, progress)
        loss = sum(metrics[name] for name in ("centralised_loss", "agents_loss") if name in metrics)
        # Of a single stream the errors of the networks that act, as in the diagnostics.
        of_streams = dict(zip(samples, (errors[0], errors[-1])[-len(samples) :], strict=True))
        return state, metrics | {"loss": loss, "errors": of_streams}

    both = networks.agents is not None and networks.centralised is not None

    return Algorithm(
        streams,
        partial(init, networks),
        lambda state, hyper, stream: behaviour(networks, state.params, stream),
        lambda state, hyper: evaluation(networks, evaluated_params(state, config)),
        update,
        collection(config, env),
        networks.joint.size if networks.joint else 0,
        (*VALUE_BASED, "agents_loss", "centralised_loss") if both else VALUE_BASED,
    )


def init(networks: MacQNetworks, key: Array, hyper: Hyper) -> ValueBasedState:
    """Draw all parameters; targets start as copies. Every network has its own optimiser state."""
    params, opt_state = {}, {}
    for index, name in enumerate(("agents", "centralised")):
        part = getattr(networks, name)
        if part is not None:
            params[name] = part.init(jax.random.fold_in(key, index))
            opt_state[name] = init_optimiser(hyper, _stacked(networks, name, params[name]), separate=True)
    return ValueBasedState(params, jax.tree.map(jnp.copy, params), opt_state)


def _is_single(networks: MacQNetworks, name: str) -> bool:
    """Whether the parameters `name` belong to one shared network and have no leading axis of networks."""
    return name == "agents" and networks.agents is not None and networks.config.share_parameters


def _stacked(networks: MacQNetworks, name: str, params: Any) -> Any:
    return jax.tree.map(lambda x: x[None], params) if _is_single(networks, name) else params


class WindowBatch(NamedTuple):
    """A batch of windows cut into own and into joint rows, each `[rows, batch, ...]`."""

    own: OwnRows
    joint: JointRows
    weight: Float[Array, "batch"]  # of each episode


def rows_of(config: MacQConfig, sample: Sample, hyper: Hyper, key: Array) -> tuple[OwnRows, JointRows]:
    """Own and joint rows of the same windows of a batch of episodes, `[rows, batch, ...]`."""

    def cut(key: Array, episode: Episode, window_start: Array | None) -> tuple[OwnRows, JointRows]:
        chosen = trajectory_of(key, episode, window_start, **window_options(config))
        joint = joint_rows(chosen, discount=hyper.gamma, reward_scheme=config.reward_scheme)
        return own_rows(chosen, discount=hyper.gamma), joint

    keys = jax.random.split(key, sample.weight.shape[0])
    axes = OWN_TIME_MAJOR, TIME_MAJOR
    return jax.vmap(cut, out_axes=axes)(keys, sample.episodes, sample.window_start)


def learn(
    networks: MacQNetworks,
    state: ValueBasedState,
    first: WindowBatch,
    second: WindowBatch,
    hyper: Hyper,
    progress: Progress,
) -> tuple[ValueBasedState, dict[str, Array], list[Array]]:
    """One update (section 5): the centralised network learns from `first`, the decentralised ones from `second`.

    Returns the new state; the losses, the diagnostics (with both kinds of networks those of the decentralised
    ones), and the number of rows that a cap left out; and for each of the two the mean absolute error of every
    episode `[batch]`.
    """
    metrics: dict[str, Array] = {"dropped_rows": jnp.zeros((), jnp.int32)}
    errors: list[Array] = []
    if networks.centralised is not None:
        (loss, gradient), means = centralised_gradient(networks, state, first, hyper, progress)
        has_rows = jnp.any(first.joint.mask)[None]
        state = _descend(networks, state, "centralised", gradient, has_rows, hyper, progress)
        metrics |= of_values(means, gradient, hyper.reward_scale) | {"centralised_loss": loss}
        metrics["dropped_rows"] += jnp.sum(first.joint.dropped)
        errors.append(means.error)
    if networks.agents is not None:
        own = second.own
        if networks.centralised is not None:
            kept = own.closing >= 0  # its joint row was not dropped by a cap
            metrics["dropped_rows"] += jnp.sum(own.mask & ~kept, dtype=jnp.int32)
            own = own._replace(mask=own.mask & kept)
        (loss, gradient), means = agents_gradient(networks, state, second._replace(own=own), hyper, progress)
        has_rows = jnp.any(own.mask, axis=(0, 1))
        state = _descend(networks, state, "agents", gradient, has_rows, hyper, progress)
        metrics |= of_values(means, gradient, hyper.reward_scale) | {"agents_loss": loss}
        metrics["dropped_rows"] += jnp.sum(own.dropped)
        errors.append(means.error)
    return update_target(state, networks.config, hyper, progress, networks.env.horizon), metrics, errors


Gradient = tuple[tuple[Array, Any], EpisodeMeans]  # ((loss [], gradient), means of each episode [batch])


def centralised_gradient(
    networks: MacQNetworks, state: ValueBasedState, batch: WindowBatch, hyper: Hyper, progress: Progress
) -> Gradient:
    """Loss and gradient of the centralised network; hysteresis in MacCen-Q only (section 5.3)."""
    alone = networks.agents is None
    differentiate = jax.value_and_grad(joint_loss, argnums=1, has_aux=True)

    def part(joint: JointRows, weight: Array) -> Gradient:
        (loss, means), gradient = differentiate(
            networks, state.params, state.target, joint, hyper, progress, weight, alone, batch.joint
        )
        return (loss, gradient["centralised"]), means

    hidden = networks.config.hidden_size if alone else networks.config.centralised_hidden_size
    width = max(hidden, networks.joint.size)
    size, like = batch.joint.mask.shape[0] * width, (jnp.float32(0), state.params["centralised"])
    return summed_over(part, (batch.joint, batch.weight), size, like)


def agents_gradient(
    networks: MacQNetworks, state: ValueBasedState, batch: WindowBatch, hyper: Hyper, progress: Progress
) -> Gradient:
    """Sum of the losses of the decentralised networks, and its gradient (sections 5.1 and 5.3)."""

    def part(own: OwnRows, weight: Array, *joint: JointRows) -> Gradient:
        choice = None
        if joint:
            best = joint_choice(networks, state.params["centralised"], joint[0])
            choice = at_joint_rows(networks.joint.decode(best), own.closing)

        def total(params: Any) -> tuple[Array, EpisodeMeans]:
            target = state.target["agents"]
            each, means = own_losses(networks, params, target, own, choice, hyper, progress, weight, batch.own)
            return jnp.sum(each), means

        (loss, means), gradient = jax.value_and_grad(total, has_aux=True)(state.params["agents"])
        return (loss, gradient), means

    rows, _, agents = batch.own.mask.shape
    joint = () if networks.centralised is None else (batch.joint,)
    size, like = rows * agents * networks.config.hidden_size, (jnp.float32(0), state.params["agents"])
    return summed_over(part, (batch.own, batch.weight, *joint), size, like)


def _descend(
    networks: MacQNetworks,
    state: ValueBasedState,
    name: str,
    gradient: Any,
    has_rows: Array,
    hyper: Hyper,
    progress: Progress,
) -> ValueBasedState:
    """One Adam step of each of the networks `name` separately; a network without a row is left unchanged."""
    if not _is_single(networks, name):
        return descend(state, gradient, networks.config, hyper, progress, name, has_rows)
    one = state.replace(params=state.params | {name: _stacked(networks, name, state.params[name])})
    gradient = _stacked(networks, name, gradient)
    one = descend(one, gradient, networks.config, hyper, progress, name, jnp.any(has_rows)[None])
    return one.replace(params=one.params | {name: jax.tree.map(lambda x: x[0], one.params[name])})


def own_losses(
    networks: MacQNetworks,
    params: Any,
    target: Any,
    rows: OwnRows,
    choice: Int[Array, "rows batch agents"] | None,
    hyper: Hyper,
    progress: Progress,
    weight: Float[Array, "batch"],
    whole: OwnRows,
) -> tuple[Float[Array, "agents"], EpisodeMeans]:
    """Mean squared (hysteretic) error of each agent over its own rows (sections 5.1 and 5.3).

    `choice` are the macro-actions whose target values are bootstrapped; None: each agent's own greedy ones. `whole`
    are the rows of the whole batch, whose number the mean is over. Returns the loss of each agent and the means of
    each episode.
    """
    online, future = (_own_q(networks, p, rows) for p in (params, target))
    if choice is None:
        chooser = online[1:] if networks.config.double_q else future[1:]
        choice = conditional_argmax(chooser, rows.next_avail, jnp.ones_like(rows.mask), rows.macro_action)
    transitions = target_rows(hyper, rows.reward, rows.duration, rows.terminal, rows.mask)
    taken = take_chosen(online[:-1], rows.macro_action)
    error = lambda_target(transitions, take_chosen(future[1:], choice), hyper.td_lambda) - taken
    square = hysteretic(error, networks.config, hyper, progress)
    loss = weighted_mean_square(square, rows.mask, weight, axis=(0, 1), whole=whole.mask)
    return loss, episode_means(error, taken, rows.mask)


def _own_q(networks: MacQNetworks, params: Any, rows: OwnRows) -> Float[Array, "entries batch agents actions"]:
    hidden = networks.agents.initial_hidden(rows.mask.shape[1])
    advance = jnp.ones(rows.last_action.shape, bool)
    return networks.agents.apply(params, hidden, rows.obs, rows.last_action, advance)[1].q


def joint_loss(
    networks: MacQNetworks,
    params: Any,
    target: Any,
    rows: JointRows,
    hyper: Hyper,
    progress: Progress,
    weight: Float[Array, "batch"],
    is_hysteretic: bool,
    whole: JointRows,
) -> tuple[Float[Array, ""], EpisodeMeans]:
    """Mean squared error of the centralised network over joint rows (section 5.2).

    `whole` are the rows of the whole batch, whose number the mean is over. Returns the loss and the means of each
    episode.
    """
    online, future = (_joint_q(networks, p["centralised"], rows) for p in (params, target))
    chooser = online[1:] if networks.config.double_q else future[1:]
    value = take_chosen(future[1:], best_joint(networks, chooser, rows))
    transitions = target_rows(hyper, rows.reward, rows.duration, rows.terminal, rows.mask)
    taken = take_chosen(online[:-1], networks.joint.encode(rows.macro_action))
    error = lambda_target(transitions, value, hyper.td_lambda) - taken
    scaled = hysteretic(error, networks.config, hyper, progress) if is_hysteretic else error
    loss = weighted_mean_square(scaled, rows.mask, weight, whole=whole.mask)
    return loss, episode_means(error, taken, rows.mask)


def joint_choice(networks: MacQNetworks, params: Any, rows: JointRows) -> Int[Array, "rows batch"]:
    """The centralised network's (conditional) best joint macro-action after every joint row."""
    return best_joint(networks, _joint_q(networks, params, rows)[1:], rows)


def _joint_q(networks: MacQNetworks, params: Any, rows: JointRows) -> Float[Array, "entries batch joint"]:
    hidden = networks.centralised.initial_hidden(rows.mask.shape[1])
    obs = networks.joint.observation(rows.obs)[..., None, :]
    advance = jnp.ones((*obs.shape[:2], 1), bool)
    outputs = networks.centralised.apply(params, hidden, obs, advance.astype(jnp.int32), advance)[1]
    return outputs.q[..., 0, :]
