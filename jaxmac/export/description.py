"""What an exported policy consists of: its nets cut to their real sizes, weights, description and function.

`policy.json` describes a net as a list of inputs and layers, so that a few lines in any language play it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmac.envs.environment import Environment
from jaxmac.networks.agent import ActingNets, UtilityNetwork
from jaxmac.networks.choice import conditional_argmax
from jaxmac.networks.joint import Joint
from jaxmac.networks.layers import LEAK
from jaxmac.networks.temporal import temporal_encoding

PLATFORMS = ("cpu", "cuda", "tpu")
WHEN = {
    "own_termination": "once at the start of an episode and whenever the agent's own macro-action has ended",
    "every_step": "at every primitive step, also while a macro-action runs (the hidden state moves then, too); "
    "what it returns is started where the agent's macro-action has ended and ignored elsewhere",
    "any_termination": "once at the start of an episode and whenever the macro-action of any agent has ended; an "
    "agent that does not choose is given what it runs",
}
MEANING = {
    "observation": {
        "own_termination": "the agent's macro-observation: what it perceives now",
        "fresh": "what the agent perceives now",
        "held": "the agent's macro-observation: what it perceived when its macro-action last ended",
        "any_termination": "the agents' macro-observations (each from when its own macro-action last ended), side "
        "by side without padding",
    },
    "available": "macro-actions that may be started now",
    "last_macro_action": "what ran in the step just taken, -1 at the start of an episode",
    "time": "primitive steps since the start of the episode",
    "elapsed": "primitive steps since the agent's macro-action began, 0 where it has ended",
    "must_choose": "whose macro-action has ended; all at the start of an episode",
}
CHOICE = {
    "utilities": "the available macro-action with the largest output, the first of equals",
    "logits": "trained to be drawn from the softmax of the outputs over what is available (act(rng=...) does); "
    "greedy: the available macro-action with the largest output, the first of equals",
}
GRU = (
    "columns of both weights: reset, update, new; r = sigmoid(i_r + h_r), z = sigmoid(i_z + h_z), "
    "n = tanh(i_n + r h_n), hidden = (1 - z) n + z hidden, "
    "with i = x weight_ih + bias_ih and h = hidden weight_hh + bias_hh"
)


class Part(NamedTuple):
    """One of the nets of a policy, cut to its real sizes."""

    network: UtilityNetwork
    params: dict[str, Any]  # of `network`
    description: dict[str, Any]  # of policy.json, without what says where it comes from


def parts_of(nets: ActingNets, env: Environment) -> dict[str, Part]:
    """Folder name -> net, one for each agent or one for the team."""
    if nets.joint is not None:
        return {"team": _part(nets, env, 0)}
    return {f"agent_{agent}": _part(nets, env, agent) for agent in range(env.num_agents)}


def _part(nets: ActingNets, env: Environment, agent: int) -> Part:
    layout, team = nets.networks.layout, nets.joint is not None
    observed, actions = layout.obs_sizes[agent] - 2 * nets.encoding_size, layout.num_actions[agent]
    when = "any_termination" if team else "every_step" if nets.encoding_size else "own_termination"
    description = {
        "agent": None if team else agent,
        "agents": env.num_agents,
        "team": team,
        "macro_actions": env.action_names if team else env.action_names[agent],
        "num_actions": env.num_actions if team else [actions],
        "when": when,
        "call": WHEN[when],
        "arguments": _arguments(nets, env, agent, observed, when),
        "inputs": _inputs(nets, env, agent, observed),
        "hidden": {"shape": [layout.network.hidden_size], "dtype": "float32", "initial": 0.0},
        "dtype": "float32",
        "layers": _layers(layout.network),
        "output": nets.output,
        "choice": CHOICE[nets.output],
        "returns": "for each agent the index of a macro-action" if team else "the index of a macro-action",
    }
    description["jax_export"] = {
        "platforms": PLATFORMS,
        "arguments": ["hidden", *description["arguments"]],
        "returns": ["macro_action", "hidden", "outputs"],
    }
    return Part(layout.network.clone(actions=actions), _cut(nets, agent, observed, actions), description)


def _cut(nets: ActingNets, agent: int, observed: int, actions: int) -> dict[str, Any]:
    """The parameters of one agent without what only padding reads or says."""
    layout, clocks = nets.networks.layout, 2 * nets.encoding_size
    after = max(layout.obs_sizes)  # observation, padded, and clocks
    last = max(layout.num_actions) if layout.obs_last_action else 0
    rows = [*range(observed), *range(after - clocks, after), *range(after, after + min(last, actions))]
    if layout.share_parameters:
        rows += range(after + last, after + last + len(layout.obs_sizes))
    params = jax.device_get(nets.params["params"])
    if not layout.share_parameters:
        params = jax.tree.map(lambda x: x[agent], params)
    first = params["encode_0"] | {"kernel": params["encode_0"]["kernel"][np.array(rows)]}
    said = {name: x[..., :actions] for name, x in params["utilities"].items()}
    return params | {"encode_0": first, "utilities": said}


def _arguments(
    nets: ActingNets, env: Environment, agent: int, observed: int, when: str
) -> dict[str, dict[str, Any]]:
    """What has to be passed: name -> shape, dtype and meaning."""
    team, actions = nets.joint is not None, env.num_actions[agent]
    clocks = {"time": ("float32", []), "elapsed": ("float32", [])} if nets.encoding_size else {}
    last = {"last_macro_action": ("int32", [])} if nets.networks.layout.obs_last_action else {}
    if team:
        last = {"last_macro_action": ("int32", [env.num_agents]), "must_choose": ("bool", [env.num_agents])}
    given = {
        "observation": ("float32", [observed]),
        **last,
        **clocks,
        "available": ("bool", [env.num_agents, env.max_actions] if team else [actions]),
    }
    meaning = MEANING | {"observation": MEANING["observation"][nets.perceives if nets.encoding_size else when]}
    return {
        name: {"shape": shape, "dtype": dtype, "meaning": meaning[name]} for name, (dtype, shape) in given.items()
    }


def _inputs(nets: ActingNets, env: Environment, agent: int, observed: int) -> list[dict[str, Any]]:
    """The parts of the vector that the first layer reads, in order."""
    layout, clock = nets.networks.layout, {"encoding": "sinusoid", "size": nets.encoding_size}
    parts = [{"argument": "observation", "encoding": "none", "size": observed}]
    if nets.encoding_size:
        parts += [{"argument": "time", **clock}, {"argument": "elapsed", **clock}]
    if layout.obs_last_action:
        parts.append({"argument": "last_macro_action", "encoding": "one_hot", "size": layout.num_actions[agent]})
    if layout.share_parameters:
        identity = np.eye(env.num_agents)[agent].tolist()
        parts.append({"argument": None, "encoding": "constant", "value": identity, "meaning": "the agent's id"})
    return parts


def _layers(network: UtilityNetwork) -> list[dict[str, Any]]:
    """What is applied to the inputs, in order; names are those of weights.npz."""
    leaky = {"kind": "dense", "activation": "leaky_relu", "negative_slope": LEAK}
    last = {"name": "utilities", "kind": "dense", "activation": "linear", "negative_slope": 1.0}
    if network.dueling != "none":
        last = {"name": "utilities", "kind": "dueling", "value": "value", "centred": network.dueling == "centred"}
    return [
        *({"name": f"encode_{index}", **leaky} for index in range(network.layers)),
        {"name": "memory", "kind": "gru", "convention": GRU},
        {"name": "decode", **leaky},
        last,
    ]


def weights_of(part: Part) -> dict[str, np.ndarray]:
    """Name -> float32 array."""
    layers = part.params.items()
    return {f"{layer}.{name}": np.asarray(x, np.float32) for layer, found in layers for name, x in found.items()}


def function_of(part: Part) -> Callable[..., tuple[jax.Array, jax.Array, jax.Array]]:
    """`(hidden, *arguments) -> (macro_action, hidden, outputs)` of one net, arguments as in its description."""
    network, params, about = part
    counts = tuple(about["num_actions"])

    def act(hidden: jax.Array, *given: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        named = dict(zip(about["arguments"], given, strict=True))
        x = jnp.concatenate([_encoded(piece, named) for piece in about["inputs"]])[None, None]
        one, real = jnp.ones((1, 1), bool), jnp.ones(network.actions, bool)
        hidden, outputs, *_ = network.apply({"params": params}, hidden[None], x, one, real)
        allowed = named["available"]
        if about["team"]:
            joint = Joint(counts, ())
            allowed = joint.allowed(allowed, named["must_choose"], named["last_macro_action"])
        choice = conditional_argmax(outputs[0, 0], allowed, jnp.bool_(True), jnp.int32(0))
        return joint.split(choice) if about["team"] else choice, hidden[0], outputs[0, 0]

    return act


def _encoded(piece: dict[str, Any], given: dict[str, jax.Array]) -> jax.Array:
    """One part of the inputs."""
    if piece["encoding"] == "constant":
        return jnp.array(piece["value"], jnp.float32)
    value = given[piece["argument"]]
    if piece["encoding"] == "one_hot":
        return jax.nn.one_hot(value, piece["size"])
    return temporal_encoding(value, piece["size"]) if piece["encoding"] == "sinusoid" else value


def serialised(part: Part) -> bytes:
    """`function_of` a net for all of PLATFORMS, its weights inside: StableHLO in the container of `jax.export`."""
    arguments = [part.description["hidden"], *part.description["arguments"].values()]
    shapes = [jax.ShapeDtypeStruct(tuple(found["shape"]), found["dtype"]) for found in arguments]
    with jax.default_matmul_precision("highest"):  # the same choices on every platform
        exported = jax.export.export(jax.jit(function_of(part)), platforms=PLATFORMS)(*shapes)
    return bytes(exported.serialize())
