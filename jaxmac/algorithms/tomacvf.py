"""ToMacVF: temporal utilities on fresh observations, attention-conditioned mixing, micro- and macro-TD.

Paper: Wenjing Zhang and Wei Zhang, "ToMacVF: Temporal Macro-action Value Factorization for Asynchronous Multi-Agent
Reinforcement Learning", arXiv:2507.10251, 2025; docs/specifications/tomacvf.md, sections 2 to 8. Without Mac-SJERT
it is AVF on joint rows, without ATPG the mixer is conditioned on the state alone, and without both it is AVF with
the state at the row's start as macro-state.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxmac.algorithms import avf
from jaxmac.algorithms.base import Algorithm, LastActionConfig, Progress, network_options
from jaxmac.algorithms.diagnostics import EpisodeMeans, episode_means
from jaxmac.algorithms.factorised import (
    FactorisedConfig,
    FactorisedNetworks,
    auxiliary_loss,
    dueling_of,
    init,
    joint_value,
    make_algorithm,
    mixer_for,
    mixer_inputs,
    mixer_state_of,
)
from jaxmac.algorithms.targets import linked_lambda_target, one_step_target, target_rows
from jaxmac.algorithms.value_based import (
    ValueBasedState,
    WindowsConfig,
    agent_networks,
    epsilon_greedy,
    hysteretic,
    weighted_mean_square,
)
from jaxmac.config import setting, settings_of
from jaxmac.envs.environment import Environment, TimeStep
from jaxmac.hyper import Hyper
from jaxmac.networks.agent import PolicyNetworks, Utilities, make_agent_networks
from jaxmac.networks.attention import AgentContext
from jaxmac.networks.choice import conditional_argmax
from jaxmac.networks.temporal import temporal_encoding
from jaxmac.record.joint_rows import MACRO_STATES
from jaxmac.record.joint_steps import JointSteps, mac_sjert
from jaxmac.record.policy import Policy
from jaxmac.record.replay import Sample
from jaxmac.record.windows import TRAJECTORY_UNITS


@dataclass(frozen=True)
class OnSteps:
    """With Mac-SJERT the algorithm learns from whole episodes step by step and has no settings for rows."""


@dataclass(frozen=True)
class OnJointRows(WindowsConfig, LastActionConfig):
    """Hyperparameters of the ablations without Mac-SJERT, which learn from joint rows as AVF does."""

    obs_last_action: bool = setting(
        False, "the agent's last macro-action (one-hot) is part of its input, as it always is with Mac-SJERT"
    )
    macro_state: str = setting("start", "macro-state that conditions the mixer", choices=MACRO_STATES)
    trajectory_unit: str = setting(
        "episode",
        "unit of a trajectory: primitive steps, joint rows or the whole episode",
        choices=TRAJECTORY_UNITS,
    )


ABLATIONS = {"none": OnSteps, "atpg": OnSteps, "mac-sjert": OnJointRows, "both": OnJointRows}
ON_STEPS = [name for name, part in ABLATIONS.items() if part is OnSteps]  # with Mac-SJERT's micro-transitions
WITH_ATTENTION = ("none", "mac-sjert")


@dataclass(frozen=True)
class ToMacVFConfig(FactorisedConfig):
    """Hyperparameters of ToMacVF; those of its mixer, memory and sampler join them."""

    ablation: str = setting(
        "none",
        "parts of ToMacVF that are left out (mac-sjert: agents and attention see less of the macro-actions, too)",
        choices=ABLATIONS,
        chooses="ablation",
    )
    n_step: int = setting(1, "primitive steps of a micro-transition (n of its n-step target)", low=1)
    micro_weight: float = setting(1.0, "weight of the micro-TD loss", low=0.0, traced=True)
    macro_weight: float = setting(1.0, "weight of the macro-TD loss", low=0.0, traced=True)
    encoding_size: int = setting(8, "size of each temporal encoding, an even number", low=2)
    attention_width: int = setting(32, "width of the history encoders and of attention", low=1)
    attention_heads: int = setting(1, "number of attention heads; must divide attention_width", low=1)
    attention_threshold: float = setting(0.1, "attention weights to other agents below this are set to 0", low=0.0)
    attention_renormalise: bool = setting(False, "rescale the remaining attention weights to sum to one")
    attention_residual: bool = setting(False, "add each agent's own encoded history to the attention's output")
    stale_obs_at_execution: bool = setting(
        False, "agents act on macro-observations, not on current observations, which are learned from in any case"
    )

    def without_effect(self) -> dict[str, str]:
        """See `jaxmac.config.without_effect`."""
        of_steps = "n_step", "micro_weight", "macro_weight", "encoding_size", "stale_obs_at_execution"
        of_attention = [name for name in settings_of(type(self)) if name.startswith("attention_")]
        why, found = f"with ablation={self.ablation}", dict[str, str]()
        if self.ablation not in ON_STEPS:
            found |= dict.fromkeys(of_steps, f"{why} the algorithm learns from joint rows")
        if self.ablation not in WITH_ATTENTION:
            found |= dict.fromkeys(of_attention, f"{why} there is no attention")
        return found

    def check_together(self) -> None:
        """Raise ValueError for a width that the heads do not divide, or temporal encodings of an odd size."""
        super().check_together()
        if self.ablation in WITH_ATTENTION and self.attention_width % self.attention_heads:
            multiple = f"a multiple of attention_heads={self.attention_heads}"
            raise ValueError(f"attention_width is {self.attention_width}, but must be {multiple}")
        if self.ablation in ON_STEPS and self.encoding_size % 2:
            raise ValueError(f"encoding_size is {self.encoding_size}, but must be even")


def check_settings_fit(env: Environment, config: ToMacVFConfig) -> None:
    """Raise a one-line ValueError for settings that do not fit the environment."""
    if config.ablation not in ON_STEPS:
        return
    if config.n_step > env.horizon:
        raise ValueError(f"n_step is {config.n_step}, but must be <= {env.horizon}, the horizon")
    if not env.fresh_observations:
        raise ValueError(
            f"{env.name} has no fresh observations at every step, which ToMacVF learns from: "
            "set ablation='mac-sjert' or 'both'"
        )


def make_networks(env: Environment, config: ToMacVFConfig, mixer_name: str) -> FactorisedNetworks:
    """The networks of ToMacVF; raises ValueError as `check_settings_fit` does."""
    check_settings_fit(env, config)
    attends, on_steps = config.ablation in WITH_ATTENTION, config.ablation in ON_STEPS
    clocks = 2 * config.encoding_size if on_steps else 0
    dueling = dueling_of(config, mixer_name)
    agents = make_agent_networks(
        [size + clocks for size in env.obs_sizes],
        env.num_actions,
        dueling=dueling,
        share_parameters=config.share_parameters,
        obs_last_action=True,
        **network_options(config),
    )
    fan_in = tuple(size + clocks + actions for size, actions in zip(env.obs_sizes, env.num_actions, strict=True))
    context = _context(config, fan_in) if attends else None
    state_size = env.state_size if on_steps else avf.macro_state_size(env, config)
    # Only W1 and b1 read the encoded histories that follow the state; without attention QMIX is the usual one
    # (docs/specifications/tomacvf.md, section 4).
    mixer = mixer_for(mixer_name, config, **{"value_state": state_size} if attends else {"b1_abs": False})
    return FactorisedNetworks(
        env, config, agents, mixer, context, dueling, state_size, env.obs_size + clocks + env.max_actions
    )


def _context(config: ToMacVFConfig, fan_in: tuple[int, ...]) -> AgentContext:
    return AgentContext(
        fan_in,
        config.attention_width,
        config.attention_heads,
        config.attention_threshold,
        config.attention_renormalise,
        config.attention_residual,
    )


def make(env: Environment, config: ToMacVFConfig, mixer_name: str) -> Algorithm:
    """Build ToMacVF with the mixer `mixer_name` for `env`; raises ValueError as `make_networks` does."""
    networks = make_networks(env, config, mixer_name)
    if config.ablation not in ON_STEPS:
        return avf.from_networks(networks._replace(agents=agent_networks(env, config, networks.dueling)))

    def init_of(key: Array, hyper: Hyper) -> ValueBasedState:
        agents_key, mixer_key, context_key = jax.random.split(key, 3)
        return init(networks, agents_key, mixer_key, context_key, hyper)

    cut = partial(steps_of, config)
    return make_algorithm(networks, init_of, cut, partial(loss, networks), partial(temporal_policy, networks))


def steps_of(config: ToMacVFConfig, sample: Sample, hyper: Hyper, key: Array) -> JointSteps:
    """Micro- and macro-transitions of a batch of whole episodes, `[time, batch, ...]`."""
    del key
    cut = partial(
        mac_sjert,
        discount=hyper.gamma,
        n_step=config.n_step,
        close_on_terminal=config.close_on_terminal,
        timeout_is_terminal=config.timeout_is_terminal,
    )
    return jax.vmap(cut, out_axes=1)(sample.episodes)


def with_clocks(
    obs: Float[Array, "*rows agents obs"],
    clock: Float[Array, "*rows"],
    elapsed: Float[Array, "*rows agents"],
    size: int,
) -> Float[Array, "*rows agents inputs"]:
    """Observations followed by the temporal encodings of the episode's time and of each agent's elapsed steps.

    Source: docs/specifications/tomacvf.md, section 2.
    """
    time = jnp.broadcast_to(temporal_encoding(clock, size)[..., None, :], (*elapsed.shape, size))
    return jnp.concatenate([obs, time, temporal_encoding(elapsed, size)], axis=-1)


def temporal_policy(networks: FactorisedNetworks, params: Any) -> Policy:
    """Decentralised epsilon-greedy policy whose hidden states advance at every primitive step."""
    stale, size = networks.config.stale_obs_at_execution, networks.config.encoding_size

    def act(key: Array, hidden: Array, ts: TimeStep, epsilon: Array) -> tuple[Array, Array]:
        perceived = ts.macro_obs if stale else ts.obs
        clock, elapsed = ts.time.astype(jnp.float32), ts.elapsed.astype(jnp.float32)
        inputs = with_clocks(perceived, clock, elapsed, size)
        advance = jnp.ones_like(ts.ended[None])
        hidden, outputs = networks.agents.apply(params, hidden, inputs[None], ts.macro_action[None], advance)
        return hidden, epsilon_greedy(key, outputs.q[0], ts, epsilon)

    policy_networks = PolicyNetworks(
        networks.agents, params, encoding_size=size, observes="last_decision" if stale else "now"
    )
    return Policy(networks.agents.initial_hidden, act, networks=policy_networks)


def outputs_of(
    networks: FactorisedNetworks, params: Any, steps: JointSteps
) -> tuple[Utilities, Float[Array, "entries batch mixer"]]:
    """Utilities `[time+1, batch, agents, actions]` and the mixer state at every entry."""
    inputs = with_clocks(steps.obs, steps.clock, steps.elapsed, networks.config.encoding_size)
    hidden = networks.agents.initial_hidden(steps.mask.shape[1])
    advance = jnp.ones_like(steps.choosing)
    utilities = networks.agents.apply(params["agents"], hidden, inputs, steps.running, advance)[1]
    if networks.context is None:
        return utilities, mixer_state_of(networks, steps.state)
    last_action = jax.nn.one_hot(steps.running, networks.env.max_actions, dtype=jnp.float32)
    encoded: Any = networks.context.apply(params["context"], jnp.concatenate([inputs, last_action], axis=-1))
    return utilities, mixer_state_of(networks, steps.state, encoded.reshape(*steps.clock.shape, -1))


def loss(
    networks: FactorisedNetworks,
    params: Any,
    state: ValueBasedState,
    steps: JointSteps,
    hyper: Hyper,
    progress: Progress,
    weight: Float[Array, "batch"],
    whole: JointSteps | None = None,
) -> tuple[Float[Array, ""], EpisodeMeans]:
    """The weighted sum of micro- and macro-TD loss, plus the mixer's auxiliary loss.

    Source: equations 13 and 14 of the paper; docs/specifications/tomacvf.md, section 5. Returns the loss and the
    means of each episode, whose errors are the micro-TD errors. If `steps` are a microbatch of the steps `whole`,
    the loss is their share of it.
    """
    counted = steps if whole is None else whole
    utilities, mixer_state = outputs_of(networks, params, steps)
    future = target_values(networks, state, utilities, steps, hyper)
    now = jax.tree.map(lambda x: x[:-1], utilities)
    inputs = mixer_inputs(
        networks,
        now,
        steps.macro_action,
        avail=steps.avail[:-1],
        choosing=steps.choosing[:-1],
        running=steps.macro_action,
        mixer_state=mixer_state[:-1],
    )
    value = joint_value(networks, params, hyper, inputs)
    micro, macro = errors(steps, value, future, hyper)

    def mean_square(error: Array, mask: Array, counted: Array) -> Array:
        scaled = hysteretic(error, networks.config, hyper, progress)
        return weighted_mean_square(scaled, mask, weight, whole=counted)

    total = hyper.micro_weight * mean_square(micro, steps.mask, counted.mask)
    total = total + hyper.macro_weight * mean_square(macro, steps.ended, counted.ended)
    total = total + auxiliary_loss(networks, params, hyper, inputs, steps.mask, weight, counted.mask)
    return total, episode_means(micro, value, steps.mask)


def errors(
    steps: JointSteps, value: Float[Array, "time batch"], future: Float[Array, "time+1 batch"], hyper: Hyper
) -> tuple[Float[Array, "time batch"], Float[Array, "time batch agents"]]:
    """Micro- and macro-TD errors, each target minus value (docs/specifications/tomacvf.md, section 5).

    `value` is the joint value of the running macro-actions, `future` the target networks' value at every entry.
    With `td_lambda`, a share lambda^m of the value m steps ahead is replaced by the micro-TD target there.
    """
    after_micro = jnp.take_along_axis(future, steps.micro_next, axis=0)
    micro_rows = target_rows(hyper, steps.micro_reward, steps.micro_steps, steps.micro_terminal, steps.mask)
    share = hyper.td_lambda**steps.micro_steps
    micro_target = linked_lambda_target(micro_rows, after_micro, steps.micro_next, share)
    at_choice = jnp.take_along_axis(value[..., None], steps.started, axis=0)
    after_macro = _after_macro(steps, micro_target, future, hyper)
    macro_rows = target_rows(hyper, steps.own_reward, steps.duration, steps.terminal[..., None], steps.ended)
    return micro_target - value, one_step_target(macro_rows, after_macro) - at_choice


def _after_macro(
    steps: JointSteps, micro_target: Float[Array, "time batch"], future: Float[Array, "time+1 batch"], hyper: Hyper
) -> Float[Array, "time batch agents"]:
    """The value after each macro-transition: (1 - lambda^tau) V' + lambda^tau y, or V' at the end of the episode.

    tau is the macro-action's duration in primitive steps, and y the micro-TD target of the step that follows.
    """
    ahead = jnp.concatenate([micro_target[1:], jnp.zeros_like(micro_target[:1])])
    follows = jnp.concatenate([steps.mask[1:], jnp.zeros_like(steps.mask[:1])])
    share = jnp.where(follows[..., None], hyper.td_lambda**steps.duration, 0.0)
    return (1.0 - share) * future[1:, :, None] + share * ahead[..., None]


def target_values(
    networks: FactorisedNetworks, state: ValueBasedState, online: Utilities, steps: JointSteps, hyper: Hyper
) -> Float[Array, "entries batch"]:
    """The target networks' value of the conditional greedy joint macro-action at every entry."""
    utilities, mixer_state = outputs_of(networks, state.target, steps)
    chooser = online.q if networks.config.double_q else utilities.q
    greedy = conditional_argmax(chooser, steps.avail, steps.choosing, steps.running)
    inputs = mixer_inputs(
        networks,
        utilities,
        greedy,
        avail=steps.avail,
        choosing=steps.choosing,
        running=steps.running,
        mixer_state=mixer_state,
    )
    return jax.lax.stop_gradient(joint_value(networks, state.target, hyper, inputs))
