"""The parts shared by AVF and ToMacVF: utilities mixed into one joint value, and the update of all networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxmac.algorithms.base import Algorithm, Progress, SharedAgentsConfig
from jaxmac.algorithms.diagnostics import VALUE_BASED, EpisodeMeans, of_values
from jaxmac.algorithms.value_based import (
    ValueBasedConfig,
    ValueBasedState,
    collection,
    descend,
    evaluated_params,
    initial_state,
    update_target,
)
from jaxmac.config import setting
from jaxmac.envs.environment import Environment
from jaxmac.hyper import Hyper
from jaxmac.mixers import MIXERS
from jaxmac.mixers.base import DUELING, Mixer, MixerInputs, auxiliary_losses, init_mixer, mixer_of, with_traced
from jaxmac.networks.agent import AgentNetworks, Utilities
from jaxmac.networks.attention import AgentContext
from jaxmac.networks.choice import feasible_set
from jaxmac.record.microbatches import summed_over
from jaxmac.record.policy import Policy
from jaxmac.record.replay import Sample

STATE_EPSILON = 1e-2  # added to the spread of a state's entries, so that a state of equal entries becomes zeros


@dataclass(frozen=True)
class FactorisedConfig(SharedAgentsConfig, ValueBasedConfig):
    """Hyperparameters of algorithms with a mixer, without those of the mixer itself."""

    dueling: str = setting(
        "auto",
        "dueling head of the utilities (auto: the mixer's own, centred for QPLEX; raw: QPLEX gets the head's V)",
        choices=("auto", *DUELING),
    )
    normalise_state: bool = setting(
        False,
        "the mixer sees its state with mean 0 and variance 1 over its entries; a single one becomes 0",
    )

    def without_effect(self) -> dict[str, str]:
        """See `jaxmac.config.without_effect`."""
        parts = [label.removeprefix("mixer ") for label in getattr(type(self), "__parts__", {})]
        blind = [name for name in parts if name in MIXERS and not MIXERS[name].reads_state]
        return (
            dict.fromkeys(("normalise_state", "macro_state"), f"mixer {blind[0]} reads no state") if blind else {}
        )


class FactorisedNetworks(NamedTuple):
    """The networks of one algorithm, with the environment and the (static) config that they are built for."""

    env: Environment
    config: Any
    agents: AgentNetworks
    mixer: Mixer
    context: AgentContext | None  # encodes the agents' histories for the mixer
    dueling: str
    state_size: int  # size of the global state or macro-state in the mixer state
    tokens: int  # width of the context's inputs


def dueling_of(config: FactorisedConfig, mixer_name: str) -> str:
    """The dueling head of a config, where "auto" means the one that is registered with the mixer."""
    return MIXERS[mixer_name].dueling if config.dueling == "auto" else config.dueling


def mixer_for(mixer_name: str, config: Any, **fields: Any) -> Mixer:
    """The mixer of a config; values in `fields` replace those of the config where the mixer has such a field."""
    known = MIXERS[mixer_name].module.__dataclass_fields__
    return mixer_of(mixer_name, config, **{name: value for name, value in fields.items() if name in known})


def init(
    networks: FactorisedNetworks, agents_key: Array, mixer_key: Array, context_key: Array, hyper: Hyper
) -> ValueBasedState:
    """Draw the parameters of agents, mixer and context; targets start as copies."""
    env, context = networks.env, networks.context
    size = networks.state_size + (env.num_agents * context.width if context is not None else 0)
    mixer = with_traced(networks.mixer, hyper)
    reads_state = any(spec.reads_state for spec in MIXERS.values() if spec.module is type(mixer))
    leading = getattr(mixer, "value_state", None)  # what it must have of the state, beside encoded histories
    if reads_state and not (size if leading is None else leading):
        without = ", ".join(name for name, spec in MIXERS.items() if not spec.reads_state)
        raise ValueError(f"{env.name} has no global state, which the mixer reads; mixers that read none: {without}")
    params = {
        "agents": networks.agents.init(agents_key),
        "mixer": init_mixer(mixer, mixer_key, env.num_agents, env.max_actions, networks.config.hidden_size, size),
    }
    if context is not None:
        params["context"] = context.init(
            context_key, jnp.zeros((1, 1, env.num_agents, networks.tokens), jnp.float32)
        )
    return initial_state(hyper, params)


def mixer_inputs(
    networks: FactorisedNetworks,
    utilities: Utilities,
    chosen: Int[Array, "rows batch agents"],
    avail: Bool[Array, "rows batch agents actions"],
    choosing: Bool[Array, "rows batch agents"],
    running: Int[Array, "rows batch agents"],
    mixer_state: Float[Array, "rows batch state"],
) -> MixerInputs:
    """The mixer's inputs where `choosing` agents choose among `avail` and the others keep running `running`."""
    feasible = feasible_set(avail, choosing, running)
    value = utilities.value if networks.dueling == "raw" else None
    return MixerInputs(utilities.q, chosen, feasible, utilities.hidden, mixer_state, avail, value)


def mixer_state_of(
    networks: FactorisedNetworks,
    state: Float[Array, "rows batch state"],
    encoded: Float[Array, "rows batch code"] | None = None,
) -> Float[Array, "rows batch mixer"]:
    """The mixer state: the global state or macro-state, normalised if the config says so, then encoded histories.

    The weights that hypernetworks produce grow with the entries of the state. With QMIX on a state of positions
    that are not bounded, values and policies diverged without it (docs/specifications/avf.md, section 3).
    """
    if networks.config.normalise_state and state.shape[-1]:
        mean, spread = jnp.mean(state, axis=-1, keepdims=True), jnp.std(state, axis=-1, keepdims=True)
        state = (state - mean) / (spread + STATE_EPSILON)
    return state if encoded is None else jnp.concatenate([state, encoded], axis=-1)


def joint_value(
    networks: FactorisedNetworks, params: Any, hyper: Hyper, inputs: MixerInputs
) -> Float[Array, "rows batch"]:
    """The mixer's value Q_tot of each row."""
    value: Any = with_traced(networks.mixer, hyper).apply(params["mixer"], inputs)
    return value


def auxiliary_loss(
    networks: FactorisedNetworks,
    params: Any,
    hyper: Hyper,
    inputs: MixerInputs,
    mask: Bool[Array, "rows batch"],
    weight: Float[Array, "batch"],
    whole: Bool[Array, "all_rows episodes"],
) -> Float[Array, ""] | float:
    """The mixer's auxiliary loss, a mean over the rows in `mask` weighted by episode; 0 if the mixer has none.

    The rows in `whole` are counted, the mask of the whole batch.
    """
    mixer = with_traced(networks.mixer, hyper)
    if not hasattr(mixer, "auxiliary"):
        return 0.0
    rows = auxiliary_losses(mixer, params["mixer"], inputs)
    return jnp.sum(weight[None] * jnp.where(mask, rows, 0.0)) / jnp.maximum(jnp.sum(whole), 1)


Loss = Callable[..., tuple[Array, EpisodeMeans]]
"""(params, state, rows, hyper, progress, weight [batch], whole) -> (loss, EpisodeMeans).

`rows` may be a microbatch of the rows `whole`: then the losses of all microbatches add up to that of the batch.
"""


def make_algorithm(
    networks: FactorisedNetworks,
    init_of: Callable[[Array, Hyper], ValueBasedState],
    rows_of: Callable[[Sample, Hyper, Array], Any],
    loss: Loss,
    policy: Callable[[Any], Policy],
) -> Algorithm:
    """The algorithm that cuts samples with `rows_of`, minimises `loss` and acts with `policy(agent parameters)`."""
    config, env = networks.config, networks.env

    def update(
        state: ValueBasedState, hyper: Hyper, samples: dict[str, Sample], progress: Progress, key: Array
    ) -> tuple[ValueBasedState, dict[str, Any]]:
        sample = samples["main"]
        rows = rows_of(sample, hyper, key)
        differentiate = jax.value_and_grad(loss, has_aux=True)

        def part(some: Any, weight: Array) -> tuple[Any, EpisodeMeans]:
            (value, means), gradient = differentiate(state.params, state, some, hyper, progress, weight, rows)
            return (value, gradient), means

        size = rows.mask.shape[0] * env.num_agents * config.hidden_size
        like = jnp.float32(0), state.params
        (value, gradient), means = summed_over(part, (rows, sample.weight), size, like)
        state = descend(state, gradient, config, hyper, progress, has_rows=jnp.any(rows.mask))
        state = update_target(state, config, hyper, progress, env.horizon)
        dropped = jnp.sum(rows.dropped) if hasattr(rows, "dropped") else 0
        metrics = {"loss": value, "dropped_rows": dropped, "errors": {"main": means.error}}
        return state, metrics | of_values(means, gradient, hyper.reward_scale)

    def behaviour(state: ValueBasedState, hyper: Hyper, stream: str) -> Policy:
        del hyper, stream
        return policy(state.params["agents"])

    def evaluation(state: ValueBasedState, hyper: Hyper) -> Policy:
        del hyper
        return policy(evaluated_params(state, config)["agents"])

    return Algorithm(
        ("main",), init_of, behaviour, evaluation, update, collection(config, env), diagnostics=VALUE_BASED
    )
