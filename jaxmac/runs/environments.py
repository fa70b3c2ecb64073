"""The environment of a run: what config.json says of it, and whether the one at hand is the same."""

from __future__ import annotations

import os
import warnings
from typing import Any

from jaxmac import envs
from jaxmac.arguments import check_environment_made
from jaxmac.envs.environment import Environment
from jaxmac.errors import RunDirectoryError, RunNote
from jaxmac.runs.contents import plain_digest
from jaxmac.runs.exact import json_description


def environment_sizes(env: Environment) -> dict[str, Any]:
    """The sizes of an environment that determine the shapes of a learner, as they are stored in config.json."""
    lists = {"num_actions": env.num_actions, "obs_sizes": env.obs_sizes}
    return {name: [int(n) for n in sizes] for name, sizes in lists.items()} | {"state_size": int(env.state_size)}


def environment_of_run(path: str | os.PathLike, config: dict[str, Any], env: Environment | None) -> Environment:
    """The environment that a run was trained on: `env` if it is given, else a new one with the id of config.json.

    Warns with a `RunNote` if `env` has other attributes than the run's had. Raises ValueError, in one line, if
    `env` is missing for a run on an instance, is no Environment, or has other sizes, another name or other options;
    RunDirectoryError if the id builds another environment now.
    """
    if env is None:
        return _rebuilt(path, config)
    check_environment_made(env)
    if environment_sizes(env) != config["env_sizes"]:
        both = f"{config['env']} with {config['env_sizes']}, but env= is {env.name} with {environment_sizes(env)}"
        raise ValueError(f"{path} was trained on {both}")
    if env.name != config["env"]:
        raise ValueError(f"{path} was trained on {config['env']}, but env= is {env.name}")
    _refuse_other_instance(path, config, json_description(env.options))
    _note_changed_instance(path, config, env)
    return env


def _rebuilt(path: str | os.PathLike, config: dict[str, Any]) -> Environment:
    """The environment that a run was trained on."""
    if not config["env_rebuildable"]:
        raise ValueError(
            f"{path} was trained on an environment instance: pass it as env=, or register an id for the next run"
        )
    try:
        env = envs.make(config["env"], **config["env_options"])
    except ValueError as error:
        raise RunDirectoryError(f"{path}/config.json: {error}") from None
    if environment_sizes(env) != config["env_sizes"]:
        both = f"env_sizes are {config['env_sizes']}, but those of {config['env']} are {environment_sizes(env)}"
        raise RunDirectoryError(f"{path}/config.json: {both}")
    _refuse_other_options(path, config, json_description(env.options))
    return env


def _refuse_other_instance(path: str | os.PathLike, config: dict[str, Any], given: dict[str, Any]) -> None:
    """Raise ValueError unless an environment that is passed has the options of the run, as far as both have any."""
    saved = config.get("env_settings", {})
    for name in given.keys() & saved.keys():
        if given[name] != saved[name]:
            raise ValueError(f"{path} was trained with {name}={saved[name]!r}, but env= has {given[name]!r}")


def _note_changed_instance(path: str | os.PathLike, config: dict[str, Any], env: Environment) -> None:
    """Warn with a `RunNote` if an environment that is passed has other attributes than that of the run had."""
    then = config.get("env_digest", "")
    if then and then != plain_digest(env):
        note = f"{path}: env= has other attributes than the environment that the run was trained on"
        warnings.warn(f"{note}: its rewards and observations may differ", RunNote, stacklevel=4)


def _refuse_other_options(path: str | os.PathLike, config: dict[str, Any], built: dict[str, Any]) -> None:
    """Raise RunDirectoryError, in one line, unless the environment was built with all the options of the run."""
    saved = config.get("env_settings", built)
    for name in built | saved:
        if name not in saved:
            raise RunDirectoryError(f"{path}/config.json: env_settings lacks {name}, an option of {config['env']}")
        if name not in built or built[name] != saved[name]:
            found = f"has {built[name]!r}" if name in built else "has no such option"
            problem = f"env_settings.{name} is {saved[name]!r}, but {config['env']} with these env_options {found}"
            raise RunDirectoryError(f"{path}/config.json: {problem}")
