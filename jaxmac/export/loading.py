"""Exported policies read back: a folder that `export_policy` wrote acts as a `Policy` again, on any device."""

from __future__ import annotations

import json
import math
import os
import warnings
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Array, Float, Int

from jaxmac.arguments import check_environment_made, check_path, is_integer
from jaxmac.envs.environment import Environment, TimeStep
from jaxmac.envs.shapes import kind_and_line
from jaxmac.errors import RunNote, first_line
from jaxmac.export.description import ENCODINGS, FORMAT, MEANING, WHEN, ExportedNetwork, act_function
from jaxmac.export.memories import LARGEST_SIZE, check_registered, memory_from, note_other_memory, recurrent_layer
from jaxmac.networks.agent import UtilityNetwork
from jaxmac.networks.layers import LEAK
from jaxmac.networks.memory import carry_size
from jaxmac.record.policy import Policy, explored
from jaxmac.runs.exact import json_description

DAMAGE = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, EOFError, BadZipFile, zlib.error)
"""What reading a damaged file raises."""
OLDER_MEANINGS = (
    "the agents' macro-observations (each from when its own macro-action last ended), side by side without padding",
)
"""Descriptions of the observation in policies that earlier versions exported."""


def load_policy(folder: str | os.PathLike, env: Environment) -> Policy:
    """The policy in a folder that `export_policy` wrote, for `evaluate_policy`, `animate`, `timeline` and the like.

    It is greedy; with probability `epsilon` an agent that must choose takes a random macro-action instead.

    Args:
        folder: it holds a folder for each agent, or one for the team.
        env: the environment to act in; its agents have the observations and macro-actions of the exported ones.

    A policy that was trained on another environment, or with other options of it, comes with a `RunNote`.

    Raises:
        ValueError: `folder` holds no exported policy, or one for other agents than those of `env`.
    """
    check_path("folder", folder)
    check_environment_made(env)
    networks = read_team(folder, env)
    about, others = networks[0].description["environment"], other_options(networks, env)
    if about["id"] != env.name or others:
        with_options = f" with {', '.join(others)}" if others else ""
        note = f"{folder} was trained on {about['id']}{with_options}; it plays {env.name}"
        warnings.warn(note, RunNote, stacklevel=2)
    return team_policy(networks, env)


def other_options(networks: list[ExportedNetwork], env: Environment) -> list[str]:
    """The options of the environment, as `name=value`, that a team was trained with and `env` has not."""
    options = json.loads(json.dumps(json_description(env.options)))
    trained = networks[0].description["environment"]["options"]
    return [f"{name}={value}" for name, value in trained.items() if options.get(name, value) != value]


def read_team(folder: str | os.PathLike, env: Environment) -> list[ExportedNetwork]:
    """The networks of all agents of `env`, or the one of the team, in `folder`; ValueError as for `load_policy`."""
    networks = [read_network(path) for path in sorted(Path(folder).glob("*/policy.json"))]
    if not networks:
        raise ValueError(f"{folder} holds no exported policy: no folder in it has a policy.json")
    networks.sort(key=lambda network: network.description["agent"] or 0)
    for network in networks:
        _check(Path(folder), network.description, env)
    found = {network.description["agent"] for network in networks}
    if len(networks) > len(found) or (None in found and len(found) > 1):
        agents = [network.description["agent"] for network in networks]
        raise ValueError(f"{folder} has policies of the agents {agents}, but must have one of each, or of the team")
    if found != {None} and found != set(range(env.num_agents)):
        missing = sorted(set(range(env.num_agents)) - found)
        raise ValueError(f"{folder} lacks the policies of agents {missing}")
    note_other_memory(folder, recurrent_layer(networks[0].description["layers"]))
    return networks


def read_network(path: Path) -> ExportedNetwork:
    """The network that policy.json at `path` and weights.npz beside it describe.

    Raises ValueError, in one line, for files that are not an exported policy, or one of another format.
    """
    description = _read(path, lambda: json.loads(path.read_text(encoding="utf-8")))
    found = description.get("format") if isinstance(description, dict) else None
    if found != FORMAT:
        raise ValueError(f"{path} has format {found!r}, but must have {FORMAT}: export the policy again")
    weights_file = path.with_name("weights.npz")
    weights = _read(weights_file, lambda: _arrays_of(weights_file))
    _read(path, lambda: _check_fields(description))
    check_registered(path, recurrent_layer(description["layers"]))
    return _read(path, lambda: _network_of(description, weights))


def _check_fields(description: dict[str, Any]) -> None:
    """Raise ValueError or LookupError unless what the policy says of its agent and task can be used."""
    agent, agents = description["agent"], description["agents"]
    if not is_integer(agents) or not (agent is None or (is_integer(agent) and 0 <= agent < agents)):
        raise ValueError(f"agent {agent!r} of {agents!r} agents")
    if (agent is None) != description["team"]:
        raise ValueError(f"agent {agent!r}, team {description['team']!r}")
    about = description["environment"]
    if not isinstance(about["id"], str) or not isinstance(about["options"], dict):
        raise ValueError(f"environment {about!r}")
    _among("when", description["when"], WHEN)
    _check_inputs(description["arguments"], description["inputs"])
    recurrent_layer(description["layers"])
    for name, sizes in (("hidden", description["hidden"]["shape"]), ("num_actions", description["num_actions"])):
        if not all(is_integer(size) and size > 0 for size in sizes) or math.prod(sizes) > LARGEST_SIZE:
            raise ValueError(f"{name} {sizes!r}")
    for layer in description["layers"]:
        _among("negative_slope", layer.get("negative_slope", LEAK), (LEAK, 1.0))
    for value in (description["arguments"]["observation"]["shape"], description["macro_actions"]):
        if not isinstance(value, list):
            raise ValueError(f"{value!r} is not a list")


def _check_inputs(arguments: dict[str, Any], inputs: list[dict[str, Any]]) -> None:
    """Raise ValueError or LookupError unless the arguments of a policy, and what it makes of them, can be given."""
    for name in arguments:
        _among("argument", name, MEANING)
    _among("meaning", arguments["observation"]["meaning"], (*MEANING["observation"].values(), *OLDER_MEANINGS))
    for piece in inputs:
        _among("encoding", piece["encoding"], ENCODINGS)
        if piece["encoding"] != "constant":
            _among("argument", piece["argument"], arguments)


def _among(name: str, value: Any, allowed: Iterable[Any]) -> None:
    """Raise ValueError unless `value` is one of `allowed`."""
    if value not in list(allowed):
        raise ValueError(f"{name} {value!r}")


def _read(path: Path, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}") from None
    except DAMAGE as error:
        kind = type(error).__name__
        raise ValueError(f"{path} is not an exported policy, or damaged ({kind}: {first_line(error)})") from None


def _arrays_of(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _network_of(description: dict[str, Any], weights: dict[str, Any]) -> ExportedNetwork:
    """The network of a description and its weights, by layer and weight."""
    layers = description["layers"]
    last, recurrent = layers[-1], recurrent_layer(layers)
    memory, size = memory_from(recurrent), recurrent.get("size", description["hidden"]["shape"][0])
    network = UtilityNetwork(
        actions=int(np.prod(description["num_actions"])),
        hidden_size=size,
        layer_size=weights["encode_0.kernel"].shape[1],
        decode_size=weights["decode.kernel"].shape[1],
        layers=sum(layer["name"].startswith("encode_") for layer in layers),
        dueling=("centred" if last["centred"] else "raw") if last["kind"] == "dueling" else "none",
        memory=memory,
        layer_norm=any("norm" in layer for layer in layers),
    )
    _check_weights(network, weights, description)
    return ExportedNetwork(network, unflatten_dict(weights, sep="."), description)


def _check_weights(network: UtilityNetwork, weights: dict[str, Any], description: dict[str, Any]) -> None:
    """Raise ValueError unless there are all the weights of a network, in their shapes, and no others."""
    inputs = sum(len(piece["value"]) if "value" in piece else piece["size"] for piece in description["inputs"])
    try:
        due_hidden = [carry_size(network.memory, network.hidden_size)]
        if description["hidden"]["shape"] != due_hidden:
            raise ValueError(f"hidden has the shape {description['hidden']['shape']}, but must have {due_hidden}")
        shapes_and_types = [
            ((1, *due_hidden), jnp.float32),
            ((1, 1, inputs), jnp.float32),
            ((1, 1), bool),
            ((network.actions,), bool),
        ]
        arguments = [jax.ShapeDtypeStruct(*each) for each in shapes_and_types]
        due = jax.eval_shape(network.init, jax.random.key(0), *arguments)["params"]
    except DAMAGE:
        raise
    except Exception as error:  # a memory from outside may raise anything
        raise ValueError(f"its memory raised {kind_and_line(error)}") from error
    shapes = {name: leaf.shape for name, leaf in flatten_dict(due, sep=".").items()}
    for name in sorted(shapes.keys() | weights.keys()):
        if name not in weights:
            raise ValueError(f"{name} is missing")
        if name not in shapes:
            raise ValueError(f"{name} is not a weight of the network")
        if weights[name].shape != shapes[name]:
            raise ValueError(f"{name} has the shape {weights[name].shape}, but must have {shapes[name]}")
        if weights[name].dtype.kind != "f" or not np.isfinite(weights[name]).all():
            raise ValueError(f"{name} has values that are not finite numbers")


def _check(folder: Path, about: dict[str, Any], env: Environment) -> None:
    """Raise ValueError unless an agent of `env` has the observation and macro-actions of the exported one."""
    trained_on = about["environment"]["id"]
    if about["agents"] != env.num_agents:
        raise ValueError(
            f"{folder} was trained on {trained_on} with agents {about['agents']}; {env.name} has {env.num_agents}"
        )
    sizes = sum(env.obs_sizes) if about["team"] else env.obs_sizes[about["agent"]]
    names = env.action_names if about["team"] else env.action_names[about["agent"]]
    wanted = about["arguments"]["observation"]["shape"], about["macro_actions"]
    found = [sizes], json.loads(json.dumps(names))
    for what, trained, here in zip(("observation", "macro-actions"), wanted, found, strict=True):
        if trained != here:
            raise ValueError(f"{folder} was trained on {trained_on} with {what} {trained}; {env.name} has {here}")


def team_policy(networks: list[ExportedNetwork], env: Environment) -> Policy:
    """The team that consists of these networks, or of the only one, which decides for all."""
    team = networks[0].description["team"]
    acts = [jax.vmap(act_function(network)) for network in networks]

    def initial_carry(batch: int) -> list[Float[Array, "batch h"]]:
        return [jnp.zeros((batch, *network.description["hidden"]["shape"])) for network in networks]

    def act(
        key: Array, carry: list[Array], timestep: TimeStep, epsilon: Float[Array, "batch"]
    ) -> tuple[list[Array], Int[Array, "batch agents"]]:
        chosen, hidden = [], []
        for network, function, before in zip(networks, acts, carry, strict=True):
            agent, every_step = network.description["agent"], network.description["when"] == "every_step"
            advances = jnp.ones_like(timestep.ended) if every_step else timestep.ended
            given = _arguments(timestep, env, network.description)
            choice, after, _ = function(before, *(given[name] for name in network.description["arguments"]))
            asked = advances.any(1) if team else advances[:, agent]
            hidden.append(jnp.where(asked[:, None], after, before))
            chosen.append(choice)
        greedy = chosen[0] if team else jnp.stack(chosen, axis=1)
        return hidden, explored(key, greedy, timestep, epsilon, coins=1 if team else greedy.shape[-1])

    return Policy(initial_carry, act)


def _arguments(timestep: TimeStep, env: Environment, about: dict[str, Any]) -> dict[str, Array]:
    """What an exported policy may ask for, each `[batch, ...]`: that of one agent, or of the whole team."""
    agent = about["agent"]
    # policy.json says in words only which of the two observations its network was trained with.
    observes_now = about["arguments"]["observation"]["meaning"] == MEANING["observation"]["now"]
    obs = (timestep.obs if observes_now else timestep.macro_obs).astype(jnp.float32)
    if agent is None:
        observations = [obs[:, index, :size] for index, size in enumerate(env.obs_sizes)]
        return {
            "observation": jnp.concatenate(observations, axis=-1),
            "available": timestep.avail,
            "last_macro_action": timestep.macro_action,
            "must_choose": timestep.ended,
        }
    return {
        "observation": obs[:, agent, : env.obs_sizes[agent]],
        "available": timestep.avail[:, agent, : env.num_actions[agent]],
        "last_macro_action": timestep.macro_action[:, agent],
        "time": timestep.time.astype(jnp.float32),
        "elapsed": timestep.elapsed[:, agent].astype(jnp.float32),
    }
