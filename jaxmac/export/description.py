"""What an exported policy consists of: networks without padding, their weights, description and compiled function.

`policy.json` describes a network as a list of inputs and a list of layers, so that a few lines in any language can
run it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict

from jaxmac.envs.environment import Environment
from jaxmac.export.memories import FROM_OUTSIDE, described_memory
from jaxmac.networks.agent import PolicyNetworks, UtilityNetwork
from jaxmac.networks.choice import masked_argmax
from jaxmac.networks.joint import JointSpace
from jaxmac.networks.layers import LEAK, NORM_EPSILON
from jaxmac.networks.memory import carry_size
from jaxmac.networks.temporal import temporal_encoding

FORMAT = 1  # version of the layout of exported policies
PLATFORMS = ("cpu", "cuda", "tpu")
WHEN = {
    "own_termination": "once at the start of an episode and whenever the agent's own macro-action has ended",
    "every_step": "at every primitive step, also while a macro-action is running, because the hidden state changes "
    "at every step; start the macro-action that it returns if the agent's own has ended, else ignore it",
    "any_termination": "once at the start of an episode and whenever the macro-action of any agent has ended; for "
    "an agent that does not choose it returns the running macro-action",
}
MEANING: dict[str, Any] = {
    "observation": {
        "own_termination": "the agent's macro-observation: what it perceives now",
        "now": "what the agent perceives now",
        "last_decision": "the agent's macro-observation: what it perceived when its macro-action last ended",
        "any_termination": "the macro-observations of all agents (each from when its own macro-action last ended), "
        "concatenated without padding",
    },
    "available": "whether each macro-action may be started now",
    "last_macro_action": "the macro-action that ran in the step just taken, -1 at the start of an episode",
    "time": "primitive steps since the start of the episode",
    "elapsed": "primitive steps since the agent's macro-action began, 0 if it has ended",
    "must_choose": "whether each agent's macro-action has ended; all true at the start of an episode",
}
ENCODINGS = ("none", "one_hot", "sinusoid", "constant")  # of the pieces of a network's input
CHOICE = {
    "utilities": "the available macro-action with the largest output, the first one of several",
    "logits": "trained to sample from the softmax of the outputs over the available macro-actions, as act(rng=...) "
    "does; greedy: the available macro-action with the largest output, the first one of several",
}


class ExportedNetwork(NamedTuple):
    """One network of a policy, without padding."""

    network: UtilityNetwork
    params: dict[str, Any]  # of `network`
    description: dict[str, Any]  # the content of policy.json except for its provenance

    @property
    def runs_with_numpy(self) -> bool:
        """Whether the exported runner implements all of its layers."""
        return all(layer["kind"] != FROM_OUTSIDE for layer in self.description["layers"])


def exported_networks(policy_networks: PolicyNetworks, env: Environment) -> dict[str, ExportedNetwork]:
    """Folder name -> network: one for each agent, or one for a team that decides centrally.

    Raises ValueError, in one line, for a recurrent layer from outside without a name.
    """
    if policy_networks.joint is not None:
        return {"team": _exported_network(policy_networks, env, 0)}
    return {f"agent_{agent}": _exported_network(policy_networks, env, agent) for agent in range(env.num_agents)}


def _exported_network(policy_networks: PolicyNetworks, env: Environment, agent: int) -> ExportedNetwork:
    """The network of one agent (of the team: `agent` is 0) with its description."""
    layout, team = policy_networks.networks.layout, policy_networks.joint is not None
    observed, actions = layout.obs_sizes[agent] - 2 * policy_networks.encoding_size, layout.num_actions[agent]
    when = "any_termination" if team else "every_step" if policy_networks.encoding_size else "own_termination"
    description: dict[str, Any] = {
        "agent": None if team else agent,
        "agents": env.num_agents,
        "team": team,
        "macro_actions": env.action_names if team else env.action_names[agent],
        "num_actions": env.num_actions if team else [actions],
        "when": when,
        "call": WHEN[when],
        "arguments": _arguments(policy_networks, env, agent, observed, when),
        "inputs": _inputs(policy_networks, env, agent, observed),
        "hidden": {
            "shape": [carry_size(layout.network.memory, layout.network.hidden_size)],
            "dtype": "float32",
            "initial": 0.0,
        },
        "dtype": "float32",
        "layers": _layers(layout.network),
        "output": policy_networks.output,
        "choice": CHOICE[policy_networks.output],
        "returns": "for each agent the index of a macro-action" if team else "the index of a macro-action",
    }
    description["jax_export"] = {
        "platforms": PLATFORMS,
        "arguments": ["hidden", *description["arguments"]],
        "returns": ["macro_action", "hidden", "outputs"],
    }
    params = _params_without_padding(policy_networks, agent, observed, actions)
    return ExportedNetwork(layout.network.clone(actions=actions), params, description)


def _params_without_padding(
    policy_networks: PolicyNetworks, agent: int, observed: int, actions: int
) -> dict[str, Any]:
    """The parameters of one agent without the weights of padded inputs and outputs.

    The inputs are in this order: observation, padding, two clocks of `encoding_size`, last macro-action (one-hot,
    padded), agent id (one-hot).
    """
    layout, clocks = policy_networks.networks.layout, 2 * policy_networks.encoding_size
    obs_end = max(layout.obs_sizes)  # end of the padded observation with its clocks
    last_size = max(layout.num_actions) if layout.obs_last_action else 0
    rows = [*range(observed), *range(obs_end - clocks, obs_end), *range(obs_end, obs_end + min(last_size, actions))]
    if layout.share_parameters:
        rows += range(obs_end + last_size, obs_end + last_size + len(layout.obs_sizes))
    params = jax.device_get(policy_networks.params["params"])
    if not layout.share_parameters:
        params = jax.tree.map(lambda x: x[agent], params)
    first = params["encode_0"] | {"kernel": params["encode_0"]["kernel"][np.array(rows)]}
    outputs = {name: x[..., :actions] for name, x in params["utilities"].items()}
    return params | {"encode_0": first, "utilities": outputs}


def _arguments(
    policy_networks: PolicyNetworks, env: Environment, agent: int, observed: int, when: str
) -> dict[str, dict[str, Any]]:
    """The arguments of the policy: name -> shape, dtype and meaning."""
    team, actions = policy_networks.joint is not None, env.num_actions[agent]
    clocks: dict[str, tuple[str, list[int]]] = {}
    if policy_networks.encoding_size:
        clocks = {"time": ("float32", []), "elapsed": ("float32", [])}
    last: dict[str, tuple[str, list[int]]] = {}
    if policy_networks.networks.layout.obs_last_action:
        last = {"last_macro_action": ("int32", [])}
    if team:
        last = {"last_macro_action": ("int32", [env.num_agents]), "must_choose": ("bool", [env.num_agents])}
    arguments = {
        "observation": ("float32", [observed]),
        **last,
        **clocks,
        "available": ("bool", [env.num_agents, env.max_actions] if team else [actions]),
    }
    meaning = MEANING | {
        "observation": MEANING["observation"][policy_networks.observes if policy_networks.encoding_size else when]
    }
    return {
        name: {"shape": shape, "dtype": dtype, "meaning": meaning[name]}
        for name, (dtype, shape) in arguments.items()
    }


def _inputs(policy_networks: PolicyNetworks, env: Environment, agent: int, observed: int) -> list[dict[str, Any]]:
    """The pieces of the vector that the first layer reads, in their order."""
    layout, clock = policy_networks.networks.layout, {"encoding": "sinusoid", "size": policy_networks.encoding_size}
    parts: list[dict[str, Any]] = [{"argument": "observation", "encoding": "none", "size": observed}]
    if policy_networks.encoding_size:
        parts += [{"argument": "time", **clock}, {"argument": "elapsed", **clock}]
    if layout.obs_last_action:
        parts.append({"argument": "last_macro_action", "encoding": "one_hot", "size": layout.num_actions[agent]})
    if layout.share_parameters:
        identity = np.eye(env.num_agents)[agent].tolist()
        parts.append({"argument": None, "encoding": "constant", "value": identity, "meaning": "the agent's id"})
    return parts


def _layers(network: UtilityNetwork) -> list[dict[str, Any]]:
    """The layers in their order, with their names in weights.npz."""
    leaky: dict[str, Any] = {"kind": "dense", "activation": "leaky_relu", "negative_slope": LEAK}
    if network.layer_norm:  # mean 0 and variance 1 before the activation, then NAME_norm.scale and NAME_norm.bias
        leaky |= {"norm": "layer_norm", "norm_epsilon": NORM_EPSILON}
    last: dict[str, Any] = {"name": "utilities", "kind": "dense", "activation": "linear", "negative_slope": 1.0}
    if network.dueling != "none":
        last = {"name": "utilities", "kind": "dueling", "value": "value", "centred": network.dueling == "centred"}
    return [
        *({"name": f"encode_{index}", **leaky} for index in range(network.layers)),
        {"name": "memory", **described_memory(network.memory, network.hidden_size)},
        {"name": "decode", **leaky},
        last,
    ]


def weights_of(exported: ExportedNetwork) -> dict[str, np.ndarray]:
    """The content of weights.npz: `LAYER.NAME` -> float32 array (a layer from outside may have deeper names)."""
    return {name: np.asarray(x, np.float32) for name, x in flatten_dict(exported.params, sep=".").items()}


def act_function(exported: ExportedNetwork) -> Callable[..., tuple[jax.Array, jax.Array, jax.Array]]:
    """The policy as a function `(hidden, *arguments) -> (macro_action, hidden, outputs)`.

    `arguments` are in the order of the description.
    """
    network, params, description = exported
    joint = JointSpace(tuple(description["num_actions"]), ()) if description["team"] else None

    def act(hidden: jax.Array, *arguments: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        by_name = dict(zip(description["arguments"], arguments, strict=True))
        x = jnp.concatenate([_encode(piece, by_name) for piece in description["inputs"]])[None, None]
        advance, real = jnp.ones((1, 1), bool), jnp.ones(network.actions, bool)
        found: Any = network.apply({"params": params}, hidden[None], x, advance, real)
        hidden, outputs, *_ = found
        allowed = by_name["available"]
        if joint is not None:
            allowed = joint.allowed(allowed, by_name["must_choose"], by_name["last_macro_action"])
        choice = masked_argmax(outputs[0, 0], allowed)
        return choice if joint is None else joint.decode(choice), hidden[0], outputs[0, 0]

    return act


def _encode(piece: dict[str, Any], arguments: dict[str, jax.Array]) -> jax.Array:
    """One piece of the inputs."""
    if piece["encoding"] == "constant":
        return jnp.array(piece["value"], jnp.float32)
    value = arguments[piece["argument"]]
    if piece["encoding"] == "one_hot":
        return jax.nn.one_hot(value, piece["size"], dtype=jnp.float32)
    return temporal_encoding(value, piece["size"]) if piece["encoding"] == "sinusoid" else value


def serialise(exported: ExportedNetwork) -> bytes:
    """`act_function` with its weights as StableHLO for all of PLATFORMS, in the format of `jax.export`."""
    arguments = [exported.description["hidden"], *exported.description["arguments"].values()]
    shapes = [jax.ShapeDtypeStruct(tuple(argument["shape"]), argument["dtype"]) for argument in arguments]
    with jax.default_matmul_precision("highest"):  # so that every platform chooses the same macro-actions
        function = jax.export.export(jax.jit(act_function(exported)), platforms=PLATFORMS)(*shapes)
    return bytes(function.serialize())
