"""ToMacVF: temporal utilities on fresh observations, attention-conditioned mixing, micro- and macro-TD.

Without Mac-SJERT it is AVF on joint rows, without ATPG the mixer sees the state alone, and without both it is
AVF-QMIX (QPLEX, QTRAN) with the state at the row's start (ToMacVF specification, sections 2 to 8).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from jaxmac.algorithms import avf
from jaxmac.algorithms.avf import AVFConfig, AVFState, auxiliary_loss, dueling_of, init_mixer, mixer_of
from jaxmac.algorithms.base import Algorithm, Hyper, Progress
from jaxmac.algorithms.optimiser import optimiser
from jaxmac.algorithms.value_based import (
    collection,
    epsilon_greedy,
    hysteretic,
    masked_mean_square,
    scheduled_rate,
    updated_target,
)
from jaxmac.config import setting
from jaxmac.envs.environment import Environment, TimeStep
from jaxmac.networks.agent import ActingNets, AgentNetworks, Utilities, make_agent_networks
from jaxmac.networks.attention import AgentContext
from jaxmac.networks.choice import bootstrapped_target, conditional_argmax, feasible_set
from jaxmac.networks.temporal import temporal_encoding
from jaxmac.record.episode import Episode
from jaxmac.record.joint_steps import JointSteps, mac_sjert
from jaxmac.record.rollout import Policy

ABLATIONS = ("none", "atpg", "mac-sjert", "both")


@dataclass(frozen=True)
class ToMacVFConfig(AVFConfig):
    """Hyperparameters of ToMacVF: those of AVF, of which trajectories and macro-states serve an ablation only."""

    ablation: str = setting("none", "what is left out", choices=ABLATIONS)
    n_step: int = setting(1, "primitive steps of a micro-transition", low=1)
    micro_weight: float = setting(1.0, "weight of the micro-TD loss", low=0.0, traced=True)
    macro_weight: float = setting(1.0, "weight of the macro-TD loss", low=0.0, traced=True)
    encoding_size: int = setting(8, "size of a temporal encoding, even", low=2)
    attention_width: int = setting(32, "width of encoders and attention", low=1)
    attention_heads: int = setting(1, "heads; they divide the width evenly", low=1)
    attention_threshold: float = setting(0.1, "attention to another agent below it is cut", low=0.0)
    attention_renormalise: bool = setting(False, "attention that is left sums to one")
    attention_residual: bool = setting(False, "an agent's own encoding is added")
    b1_abs: bool = setting(True, "QMIX: a non-negative first bias (with ATPG only)")
    stale_obs_at_execution: bool = setting(False, "agents act on macro-observations held since their decision")
    hypernet_embed: int = setting(64, "hidden width of the hypernetworks", low=1)
    macro_state: str = setting(
        "start", "without Mac-SJERT: what the mixer sees", choices=("joint", "real", "terminated", "start")
    )
    trajectory_unit: str = setting("episode", "without Mac-SJERT: as in AVF", choices=("steps", "rows", "episode"))


def check(env: Environment, config: ToMacVFConfig) -> None:
    """Raise a one-line ValueError for settings that do not fit each other or the environment."""
    if config.attention_width % config.attention_heads:
        raise ValueError(
            f"attention_width={config.attention_width} is not divisible by attention_heads={config.attention_heads}"
        )
    if config.encoding_size % 2:
        raise ValueError(f"encoding_size={config.encoding_size} is out of range; allowed: even numbers")
    if config.n_step > env.horizon:
        raise ValueError(f"n_step={config.n_step} is longer than the horizon; allowed: <= {env.horizon}")
    if config.ablation in ("none", "atpg") and not env.fresh_observations:
        raise ValueError(
            f"{env.name} has no fresh observations at every step, which ToMacVF learns from; "
            "allowed: ablation='mac-sjert' or 'both'"
        )


class Parts(NamedTuple):
    """What the closures of one algorithm share."""

    env: Environment
    config: ToMacVFConfig
    networks: AgentNetworks
    mixer: Any
    context: AgentContext | None


def make_parts(env: Environment, config: ToMacVFConfig, mixer_name: str) -> Parts:
    """Networks, mixer and context of a config; raises ValueError as `check` does."""
    check(env, config)
    attends, on_steps = config.ablation in ("none", "mac-sjert"), config.ablation in ("none", "atpg")
    given = {"b1_abs": attends and config.b1_abs} if mixer_name == "qmix" else {}
    if attends and mixer_name == "qmix":
        given["value_state"] = env.state_size * (1 if on_steps or config.macro_state != "joint" else env.num_agents)
    clocks = 2 * config.encoding_size if on_steps else 0
    networks = make_agent_networks(
        [size + clocks for size in env.obs_sizes],
        env.num_actions,
        hidden_size=config.hidden_size,
        layer_size=config.layer_size,
        decode_size=config.decode_size,
        hidden_layers=config.hidden_layers,
        dueling=dueling_of(config, mixer_name),
        share_parameters=config.share_parameters,
        obs_last_action=True,
    )
    context = AgentContext(
        tuple(size + clocks + env.max_actions for size in env.obs_sizes),
        config.attention_width,
        config.attention_heads,
        config.attention_threshold,
        config.attention_renormalise,
        config.attention_residual,
    )
    return Parts(env, config, networks, mixer_of(mixer_name, config, **given), context if attends else None)


def make(env: Environment, config: ToMacVFConfig, mixer_name: str) -> Algorithm:
    """Build ToMacVF with the mixer `mixer_name` for `env`; raises ValueError as `check` does."""
    parts = make_parts(env, config, mixer_name)
    if config.ablation in ("mac-sjert", "both"):
        return avf.make(env, config, mixer_name, parts.mixer, parts.context)

    def behaviour(state: AVFState, hyper: Hyper, stream: str) -> Policy:
        del hyper, stream
        return temporal_policy(parts, state.params["agents"])

    def update(
        state: AVFState, hyper: Hyper, batches: dict[str, Episode], progress: Progress, key: Array
    ) -> tuple[AVFState, dict[str, Array]]:
        del key
        steps = jax.vmap(lambda episode: _steps(config, hyper, episode), out_axes=1)(batches["main"])
        value, gradient = jax.value_and_grad(loss, argnums=1)(parts, state.params, state, steps, hyper, progress)
        adam = optimiser(hyper, scheduled_rate(config, hyper, progress))
        moves, opt_state = adam.update(gradient, state.optimiser, state.params)
        params = optax.apply_updates(state.params, moves)
        target = updated_target(params, state.target, config, hyper, progress, env.horizon)
        return AVFState(params, target, opt_state), {"loss": value}

    return Algorithm(
        ("main",),
        lambda key, hyper: init(parts, key, hyper),
        behaviour,
        lambda state, hyper: behaviour(state, hyper, "main"),
        update,
        collection(config, env),
    )


def _steps(config: ToMacVFConfig, hyper: Hyper, episode: Episode) -> JointSteps:
    return mac_sjert(
        episode,
        discount=hyper["gamma"],
        n_step=config.n_step,
        close_on_terminal=config.close_on_terminal,
        timeout_is_terminal=config.timeout_is_terminal,
    )


def init(parts: Parts, key: Array, hyper: Hyper) -> AVFState:
    """Draw all parameters; targets start as copies."""
    env, config, agents = parts.env, parts.config, parts.env.num_agents
    agents_key, mixer_key, context_key = jax.random.split(key, 3)
    attended = agents * config.attention_width if parts.context else 0
    params = {
        "agents": parts.networks.init(agents_key),
        "mixer": init_mixer(parts.mixer, mixer_key, env, config.hidden_size, env.state_size + attended),
    }
    if parts.context is not None:
        tokens = jnp.zeros((1, 1, agents, max(parts.context.fan_in)))
        params["context"] = parts.context.init(context_key, tokens)
    return AVFState(params, jax.tree.map(jnp.copy, params), optimiser(hyper).init(params))


def with_clocks(obs: Array, clock: Array, elapsed: Array, size: int) -> Array:
    """Observations with the encodings of the episode's time and of each macro-action's progress appended.

    `obs` is `[..., agents, obs]`, `clock` `[...]`, `elapsed` `[..., agents]`.
    """
    time = jnp.broadcast_to(temporal_encoding(clock, size)[..., None, :], (*elapsed.shape, size))
    return jnp.concatenate([obs, time, temporal_encoding(elapsed, size)], axis=-1)


def temporal_policy(parts: Parts, params: Any) -> Policy:
    """Decentralised epsilon-greedy; hidden states move at every primitive step, on what is perceived now."""
    stale, size = parts.config.stale_obs_at_execution, parts.config.encoding_size

    def act(key: Array, hidden: Array, ts: TimeStep, epsilon: Array) -> tuple[Array, Array]:
        perceived = ts.macro_obs if stale else ts.obs
        clock, elapsed = ts.time.astype(jnp.float32), ts.elapsed.astype(jnp.float32)
        inputs = with_clocks(perceived, clock, elapsed, size)
        hidden, said = parts.networks.apply(
            params, hidden, inputs[None], ts.macro_action[None], jnp.ones_like(ts.ended[None])
        )
        return hidden, epsilon_greedy(key, said.q[0], ts, epsilon)

    nets = ActingNets(parts.networks, params, encoding_size=size, perceives="held" if stale else "fresh")
    return Policy(parts.networks.initial_hidden, act, nets=nets)


def outputs(parts: Parts, params: Any, steps: JointSteps) -> tuple[Utilities, Array]:
    """Utilities `[time+1, batch, agents, actions]` and what the mixer sees `[time+1, batch, mixer]`."""
    inputs = with_clocks(steps.obs, steps.clock, steps.elapsed, parts.config.encoding_size)
    hidden = parts.networks.initial_hidden(steps.mask.shape[1])
    said = parts.networks.apply(params["agents"], hidden, inputs, steps.running, jnp.ones_like(steps.choosing))[1]
    if parts.context is None:
        return said, steps.state
    tokens = jnp.concatenate([inputs, jax.nn.one_hot(steps.running, parts.env.max_actions)], axis=-1)
    encoded = parts.context.apply(params["context"], tokens)
    return said, jnp.concatenate([steps.state, encoded.reshape(*steps.clock.shape, -1)], axis=-1)


def loss(parts: Parts, params: Any, state: AVFState, steps: JointSteps, hyper: Hyper, progress: Progress) -> Array:
    """Weighted micro- and macro-TD losses on the same values, and what the mixer adds (section 5)."""
    said, seen = outputs(parts, params, steps)
    future = target_values(parts, state, said, steps)
    now = jax.tree.map(lambda x: x[:-1], said)
    feasible = feasible_set(steps.avail[:-1], steps.choosing[:-1], steps.macro_action)
    arguments = (now.q, steps.macro_action, feasible, now.hidden, seen[:-1])
    value = parts.mixer.apply(params["mixer"], *arguments, steps.avail[:-1])

    def mean_square(error: Array, mask: Array) -> Array:
        return masked_mean_square(hysteretic(error, parts.config, hyper, progress), mask)

    micro, macro = errors(steps, value, future, hyper)
    return (
        hyper["micro_weight"] * mean_square(micro, steps.mask)
        + hyper["macro_weight"] * mean_square(macro, steps.ended)
        + auxiliary_loss(parts.mixer, params["mixer"], steps.mask, *arguments)
    )


def errors(steps: JointSteps, value: Array, future: Array, hyper: Hyper) -> tuple[Array, Array]:
    """Micro errors `[time, batch]` and macro errors `[time, batch, agents]`, target minus value.

    `value` `[time, batch]` is that of the macro-actions running, `future` `[time+1, batch]` the target networks'.
    """
    gamma, scale = hyper["gamma"], hyper["reward_scale"]
    after_micro = jnp.take_along_axis(future, steps.micro_next, axis=0)
    micro = bootstrapped_target(
        scale * steps.micro_reward, gamma**steps.micro_steps, steps.micro_terminal, after_micro
    )
    at_choice = jnp.take_along_axis(value[..., None], steps.started, axis=0)
    terminal, after_macro = steps.terminal[..., None], future[1:, :, None]
    macro = bootstrapped_target(scale * steps.own_reward, gamma**steps.duration, terminal, after_macro)
    return micro - value, macro - at_choice


def target_values(parts: Parts, state: AVFState, online: Utilities, steps: JointSteps) -> Array:
    """Value of the conditional greedy choice at every entry by the target networks, `[time+1, batch]`."""
    said, seen = outputs(parts, state.target, steps)
    chooser = online.q if parts.config.double_q else said.q
    greedy = conditional_argmax(chooser, steps.avail, steps.choosing, steps.running)
    feasible = feasible_set(steps.avail, steps.choosing, steps.running)
    value = parts.mixer.apply(state.target["mixer"], said.q, greedy, feasible, said.hidden, seen, steps.avail)
    return jax.lax.stop_gradient(value)


BOX_PUSHING = {  # grid: learning rate, episodes per iteration, episodes between target copies (Table 2)
    6: (1e-3, 10, 32),
    8: (1e-3, 10, 32),
    10: (1e-3, 14, 48),
    12: (5e-4, 16, 144),
    14: (5e-4, 16, 144),
}
OVERCOOKED = {"A": (64, 32), "B": (128, 32), "C": (128, 64)}  # map: batch, episodes per iteration (Table 3)
WAREHOUSE = {  # variant: learning rate, episodes between target copies, last epsilon (Table 4)
    "D": (5e-4, 32, 0.05),
    "D1": (5e-4, 32, 0.05),
    "T": (3e-4, 32, 0.01),
    "T1": (3e-4, 64, 0.01),
    "Q": (1e-4, 64, 0.01),
}


def paper(env: Environment, mixer_name: str) -> dict[str, Any]:
    """Tables 2 to 4 of the ToMacVF paper with the specification's reading of them (section 7).

    Grids larger than 14x14, Warehouse-S and Capture Target, which the paper does not use, take the nearest row.
    """
    del mixer_name
    family, _, variant = env.name.removesuffix("-primitive").partition("-")
    common = {"hidden_size": 32, "layer_size": 32, "train_freq": 256, "grad_clip": 10.0}
    if family == "Overcooked":
        batch, episodes = OVERCOOKED.get(variant, OVERCOOKED["A"])
        special = {"learning_rate": 3e-4, "batch_size": batch, "num_envs": episodes, "target_episodes": 16}
        return common | special | _schedule(batch, 20_000.0, 0.05) | {"gamma": 0.99, "n_step": 5}
    if family == "BoxPushing":
        rate, episodes, copy = BOX_PUSHING[min(BOX_PUSHING, key=lambda size: abs(size - env.size))]
        special = {"learning_rate": rate, "batch_size": 128, "num_envs": episodes, "target_episodes": copy}
        return common | special | _schedule(128, 4_000.0, 0.1) | {"gamma": 0.98}
    rate, copy, last = WAREHOUSE.get(variant, WAREHOUSE["D"])
    special = {"learning_rate": rate, "batch_size": 32, "num_envs": 8, "target_episodes": copy, "hidden_size": 64}
    gamma = 1.0 if family == "Warehouse" else 0.95
    return common | special | _schedule(32, 10_000.0, last) | {"gamma": gamma, "n_step": min(5, env.horizon)}


def _schedule(batch: int, episodes: float, last: float) -> dict[str, Any]:
    return {"learning_starts": batch, "epsilon_episodes": episodes, "epsilon_end": last}


def tuned(env: Environment, mixer_name: str) -> dict[str, Any]:
    """The exploration, replay and step sizes that AVF learns with; what they change: experiments/README.md."""
    values = {name: value for name, value in avf.tuned(env, mixer_name).items() if name != "max_rows"}
    # A batch of whole episodes has many more transitions than one of windows; larger steps forgot what they solved.
    return values | {"n_step": min(5, env.horizon), "learning_rate": 5e-4, "batch_size": 16}
