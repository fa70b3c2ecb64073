"""Trained teams that come with the repository, and policies by name: random, scripted, zoo or a folder."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

from jaxmac.envs.environment import Environment
from jaxmac.errors import RunNote, first_line, nearest
from jaxmac.export.loading import load_policy, other_options, read_team, team_policy
from jaxmac.record.policy import BASELINES, Policy, baseline_policy

ZOO = Path(__file__).parents[2] / "experiments" / "zoo"  # of a checkout; a wheel does not hold it
ENTRY = ("env", "env_options", "algorithm", "seed", "return", "folder")  # what is read of a team in the index
NAMES = (*BASELINES, "zoo", "zoo:ALGORITHM")


def policy_by_name(name: str, env: Environment) -> Policy:
    """A policy for `env` by the name that `--policy` takes.

    Args:
        name: "random", "scripted", "zoo" (the best trained team for `env`), "zoo:ALGORITHM" (that algorithm's), or
            a folder that `export_policy` wrote.
        env: the environment to act in.

    A team of the zoo that was trained with other options of the environment comes with a `RunNote` that names them.

    Raises:
        ValueError: the name is unknown, there is no such team, or it was trained for other agents.
    """
    if name in BASELINES:
        return baseline_policy(name, env)
    kind, colon, algorithm = name.partition(":")
    if kind == "zoo":
        entry = zoo_entry(env, algorithm if colon else None)
        networks = read_team(ZOO / entry["folder"], env)
        _note_other_options(env, entry, other_options(networks, env))
        return team_policy(networks, env)
    if Path(name).is_dir():
        return load_policy(name, env)
    raise ValueError(f"unknown policy {name!r}; {nearest(name, NAMES)}")


def _note_other_options(env: Environment, entry: dict[str, Any], others: list[str]) -> None:
    if others:
        flags = "".join(f" --env-options.{name} {value}" for name, value in entry["env_options"].items())
        given = f":{flags} gives its task" if flags else ""
        note = f"the zoo's team for {env.name} was trained with {', '.join(others)}{given}"
        warnings.warn(note, RunNote, stacklevel=3)


def policy_title(name: str, env: Environment) -> str:
    """What `policy_by_name` returns for a name, in words for a figure."""
    kind, colon, algorithm = name.partition(":")
    if kind != "zoo":
        return Path(name).name
    entry = zoo_entry(env, algorithm if colon else None)
    return f"{entry['algorithm']}, seed {entry['seed']}"


def zoo_index() -> dict[str, list[dict[str, Any]]]:
    """Environment id -> its trained teams, the best first: algorithm, folder, seed, return, episodes and command.

    Raises ValueError where the repository is not at hand.
    """
    path = ZOO / "index.json"
    if not path.exists():
        raise ValueError(
            "the zoo is in the repository (experiments/zoo), not in the package; give a policy's folder"
        )
    try:
        index: dict[str, list[dict[str, Any]]] = json.loads(path.read_text(encoding="utf-8"))
        for teams in index.values():
            for entry in (teams[0], *teams):
                lacking = [name for name in ENTRY if name not in entry]
                if lacking:
                    raise ValueError(f"a team lacks {', '.join(lacking)}")
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is damaged: {first_line(error)}") from None
    return index


def zoo_entry(env: Environment, algorithm: str | None = None) -> dict[str, Any]:
    """The best team for `env`, or that of `algorithm`; raises ValueError if there is none."""
    index = zoo_index()
    if env.name not in index:
        raise ValueError(f"the zoo has no team for {env.name}; {nearest(env.name, index)}")
    teams = {entry["algorithm"]: entry for entry in reversed(index[env.name])}
    if algorithm is None:
        return index[env.name][0]
    if algorithm not in teams:
        raise ValueError(f"the zoo has no {algorithm!r} for {env.name}; {nearest(algorithm, teams)}")
    return teams[algorithm]
