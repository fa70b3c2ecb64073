"""The result of a run: metrics, learned policies, learning curves and animations."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmac import envs
from jaxmac.algorithms import Algorithm, make_algorithm
from jaxmac.analysis.animation import Animation, animate
from jaxmac.envs.environment import Environment
from jaxmac.hyper import Hyper, hyper_of
from jaxmac.record.policy import Policy
from jaxmac.runs.checkpoint import read_checkpoint
from jaxmac.runs.directory import RunDirectoryError, read_config, read_rows, tabulate
from jaxmac.runs.formats import upgraded
from jaxmac.runs.members import MemberSpec, group_members, restore_members
from jaxmac.runs.plugins import refuse_missing_plugins


class Learned(NamedTuple):
    """A member's learner, with the algorithm and the traced hyperparameters that make it a policy."""

    group: int  # members of one group share their algorithm
    algorithm: Algorithm
    learner: Any
    hyper: Hyper


@dataclass
class Result:
    """A run in memory.

    Attributes:
        metrics: column of metrics.csv (from `episodes` on) -> NumPy array `[evaluations, members]`.
        members: one dict per member with its seed and swept values.
        config: the content of config.json.
        env: the environment.
        path: the run directory, or None if nothing was written.
        status: "running", "finished", "interrupted", "failed" or "non-finite loss".
        specs: the members with their configs.
        learners: learner states by group, or by (group, "best"); those that are missing are read from disk.
        players: compiled evaluation functions, kept by `jaxmac.evaluate`.
    """

    metrics: dict[str, np.ndarray]
    members: list[dict[str, Any]]
    config: dict[str, Any]
    env: Environment
    path: Path | None
    status: str
    specs: list[MemberSpec] = field(repr=False)
    learners: dict[Any, Any] = field(repr=False)
    players: dict[Any, Any] = field(default_factory=dict, repr=False)

    def learned(self, member: int = 0, best: bool = False) -> Learned:
        """The learner of a member; with `best`, the one of its best evaluation.

        Raises ValueError for a member out of range, RunDirectoryError if no checkpoint was written.
        """
        if not 0 <= member < len(self.specs):
            raise ValueError(f"member={member} is out of range; allowed: 0 to {len(self.specs) - 1}")
        group, members = next(
            (number, found) for number, found in enumerate(group_members(self.specs)) if self.specs[member] in found
        )
        algorithm = make_algorithm(self.config["algorithm"], self.env, members[0].config)
        name = (group, "best") if best else group
        if name not in self.learners:
            if self.path is None:
                why = "best learners are kept on disk only" if best else "the run ended before it was trained"
                raise RunDirectoryError(f"member {member} has no learner: {why}")
            shapes = _learner_shapes(algorithm, members)
            self.learners[name] = read_checkpoint(self.path, group, "best" if best else "learners", shapes)
        row = members.index(self.specs[member])
        learner = jax.tree.map(lambda x: jnp.asarray(x[row]), self.learners[name])
        return Learned(group, algorithm, learner, hyper_of(self.specs[member].config))

    def policy(self, member: int = 0, best: bool = False) -> Policy:
        """The evaluation policy of a member; arguments and errors as in `learned`."""
        found = self.learned(member, best)
        return found.algorithm.evaluation(found.learner, found.hyper)

    def plot(self, path: str | os.PathLike | None = None) -> Any:
        """A matplotlib Figure of the evaluation return against training episodes: mean and confidence band.

        With `path` it is also written there; the suffix selects the format.
        """
        from jaxmac.analysis.curves import learning_curve

        return learning_curve(curves(self), path=path, optimum=self.env.optimal_return, title=self.title)

    @property
    def title(self) -> str:
        """Algorithm, environment and number of members."""
        return f"{self.config['algorithm']} on {self.config['env']} ({len(self.members)} members)"

    def render(self, member: int = 0, path: str | os.PathLike | None = None, seed: int = 0) -> Path | Animation:
        """Animate one episode of a member as a GIF.

        With `path` the GIF is written there; without, an `Animation` is returned that a notebook shows inline.
        """
        return animate(self.env, self.policy(member), seed, path)


def members_alike(result: Result) -> dict[str, list[int]]:
    """Label -> numbers of the members that differ in their seed only.

    The label consists of the swept values, or is the algorithm if nothing is swept. Members without any metrics are
    left out.
    """
    found: dict[str, list[int]] = {}
    for column, member in enumerate(result.members):
        swept = ", ".join(f"{k}={v}" for k, v in member.items() if k != "seed")
        if not np.isnan(result.metrics["eval_return"][:, column]).all():
            found.setdefault(swept or result.config["algorithm"], []).append(column)
    return found


def curves(result: Result) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Label -> (episodes `[evaluations]`, returns `[evaluations, members]`), one entry per swept combination."""
    episodes, returns = result.metrics["episodes"], result.metrics["eval_return"]
    return {
        label: (episodes[:, columns[0]], returns[:, columns]) for label, columns in members_alike(result).items()
    }


def _learner_shapes(algorithm: Algorithm, members: list[MemberSpec]) -> Any:
    one = jax.eval_shape(algorithm.init, jax.random.key(0), hyper_of(members[0].config))
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct((len(members), *x.shape), x.dtype), one)


def environment_sizes(env: Environment) -> dict[str, Any]:
    """The sizes of an environment that determine the shapes of a learner, as they are stored in config.json."""
    lists = {"num_actions": env.num_actions, "obs_sizes": env.obs_sizes}
    return {name: [int(n) for n in sizes] for name, sizes in lists.items()} | {"state_size": int(env.state_size)}


def load(path: str | os.PathLike, env: Environment | None = None, *, need_rows: bool = True) -> Result:
    """Read a run directory into the same Result that `train` returned.

    Args:
        path: the run directory.
        env: the environment, for a run on an Environment instance, which config.json cannot rebuild.
        need_rows: whether a run without any evaluation is an error.

    Raises:
        RunDirectoryError: it is no run directory, is damaged, was written in a newer format, needs a plugin that is
            not imported, or (with `need_rows`) has no evaluation.
        ValueError: the run used an environment instance and `env` is missing, or `env` has other sizes.
    """
    config = read_config(path)
    refuse_missing_plugins(path, config)
    config = upgraded(path, config)
    if env is None:
        if not config["env_rebuildable"]:
            raise ValueError(f"{path} was trained on an environment instance: pass it as env=")
        env = envs.make(config["env"], **config["env_options"])
    elif environment_sizes(env) != config.get("env_sizes", environment_sizes(env)):
        both = f"{config['env']} with {config['env_sizes']}, but env= is {env.name} with {environment_sizes(env)}"
        raise ValueError(f"{path} was trained on {both}")
    specs = restore_members(config)
    metrics = tabulate(read_rows(Path(path) / "metrics.csv"), [spec.swept for spec in specs])
    if need_rows and not len(metrics["episodes"]):
        raise RunDirectoryError(f"{path} has no evaluation yet")
    members = [{"seed": spec.seed, **spec.swept} for spec in specs]
    return Result(metrics, members, config, env, Path(path), config["status"], specs, {})
