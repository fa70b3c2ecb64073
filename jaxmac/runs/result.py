"""The result of a run: metrics, learned policies, learning curves and animations."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmac import envs
from jaxmac.algorithms import Algorithm, make_algorithm
from jaxmac.algorithms.value_based import episodes_before_learning
from jaxmac.analysis.animation import Animation, animate
from jaxmac.analysis.curves import SMOOTHED, Panel, check_axis, learning_curves
from jaxmac.analysis.returns import Curve, check_window
from jaxmac.analysis.timelines import timeline
from jaxmac.arguments import FIGURES, check_switches, is_integer
from jaxmac.envs.environment import Environment
from jaxmac.envs.shapes import one_line
from jaxmac.hyper import Hyper, hyper_of
from jaxmac.record.policy import Policy
from jaxmac.runs.checkpoint import read_checkpoint, saved_iterations
from jaxmac.runs.directory import RunDirectoryError, read_config
from jaxmac.runs.environments import environment_of_run
from jaxmac.runs.formats import upgraded
from jaxmac.runs.members import MemberSpec, group_members, restore_members
from jaxmac.runs.outputs import output_file
from jaxmac.runs.plugins import note_changed_plugins, refuse_missing_plugins
from jaxmac.runs.rows import tabulate, whole_evaluations
from jaxmac.runs.schema import identity_from
from jaxmac.runs.table import read_rows


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
        metrics: column of metrics.csv (from `episodes` on) -> NumPy array `[evaluations, members]`; NaN after the
            last evaluation of a member that was trained less far than others.
        members: one dict per member with its seed and swept values.
        config: the content of config.json.
        env: the environment.
        path: the run directory, or None if nothing was written.
        status: "running", "finished", "interrupted", "failed" or "non-finite loss".
        specs: the members with their configs.
        learners: learner states by group, or by (group, "best"); those that are missing are read from disk.
        players: compiled evaluation functions, kept by `jaxmac.evaluate`.
        checkpoints: the iteration of each group's last checkpoint when the run was read or ended; learners are read
            from there.
        label: what comparisons and figures call the run; "": its algorithm.
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
    checkpoints: dict[int, int] = field(default_factory=dict, repr=False)
    label: str = ""

    def __repr__(self) -> str:
        """One line, for notebooks and messages."""
        episodes = self.metrics.get("episodes", np.empty((0, 0)))
        reached = f"{np.nanmax(episodes):.0f} episodes" if episodes.size else "no evaluation"
        where = f", {self.path}" if self.path is not None else ""
        what = f"{self.config['algorithm']} on {self.config['env']}"
        return f"Result({what}, {len(self.members)} members, {reached}, {self.status}{where})"

    def __getstate__(self) -> dict[str, Any]:
        """Everything but compiled functions, which belong to this process."""
        return self.__dict__ | {"players": {}}

    def learned(self, member: int = 0, best: bool = False) -> Learned:
        """The learner of a member; with `best`, the one of its best evaluation.

        Raises ValueError for a member out of range, RunDirectoryError if no checkpoint was written, or if the run
        was replaced or trained further since this result was made.
        """
        check_switches(best=best)
        if not is_integer(member) or not 0 <= member < len(self.specs):
            raise ValueError(f"member is {one_line(member)}, but must be from 0 to {len(self.specs) - 1}")
        group, members = next(
            (number, found) for number, found in enumerate(group_members(self.specs)) if self.specs[member] in found
        )
        algorithm = make_algorithm(self.config["algorithm"], self.env, members[0].config)
        name = (group, "best") if best else group
        if name not in self.learners:
            if self.path is None:
                why = "best learners are kept on disk only" if best else "the run ended before it was trained"
                raise RunDirectoryError(f"member {member} has no learner: {why}")
            note_changed_plugins(self.path, self.config)
            shapes = _learner_shapes(algorithm, members)
            iteration = self.checkpoints.get(group)
            _refuse_other_run(self.path, self.config, self.status, iteration, group)
            item = "best" if best else "learners"
            self.learners[name] = read_checkpoint(self.path, group, item, shapes, iteration)
        row = members.index(self.specs[member])
        learner = jax.tree.map(lambda x: _uncommitted(x[row]), self.learners[name])
        return Learned(group, algorithm, learner, hyper_of(self.specs[member].config))

    def policy(self, member: int = 0, best: bool = False) -> Policy:
        """The evaluation policy of a member; arguments and errors as in `learned`.

        The caller sets its exploration rate: `jaxmac.evaluate` takes the member's `eval_epsilon`,
        `jaxmac.evaluate_policy` its own argument; pictures have none.
        """
        found = self.learned(member, best)
        return found.algorithm.evaluation(found.learner, found.hyper)

    def plot(
        self,
        path: str | os.PathLike | None = None,
        x: str = "episodes",
        smooth: int = SMOOTHED,
        y: str = "eval_return",
    ) -> Any:
        """A matplotlib Figure of a column of metrics against training: mean over seeds and its 95 % interval.

        Args:
            path: the file to write, whose suffix selects the format. None writes no file.
            x: the horizontal axis, "episodes" or "steps" (primitive steps of the environment).
            smooth: evaluations that a point is the mean of; 1: no smoothing.
            y: the column: "eval_return", "eval_success" and the others that have a value for each evaluation, or a
                diagnostic of the algorithm, such as "grad_norm".

        Raises:
            ValueError: `x` or `y` is another word, the column has no number, `smooth` is below 1, or the suffix of
                `path` is no picture's.
            OSError: `path` cannot be written, holds something that is not a picture, or belongs to a run and is no
                `curve.png`.
        """
        drawn = [Panel.on(self.env, self.title, curves(self, x, y), y)]
        if path is not None:
            path = output_file(path, FIGURES, writes=("curve.png",))
        return learning_curves(drawn, path, check_window(smooth, "smooth"), x)

    @property
    def title(self) -> str:
        """Algorithm and task."""
        return f"{self.config['algorithm']} on {task_of(self)}"

    def render(
        self, member: int = 0, path: str | os.PathLike | None = None, seed: int = 0, best: bool = False
    ) -> Path | Animation:
        """Animate one episode of a member, without exploration (actor-critics sample), as a GIF.

        With `best` the learner of the member's best evaluation plays. With `path` the GIF is written there; without
        one an `Animation` is returned that a notebook shows inline. Raises ValueError or OSError, before the
        episode is played, for a path that is no `.gif`, cannot be written, holds something that is not a GIF, or
        belongs to a run and is no `episode.gif`.
        """
        if path is not None:
            path = output_file(path, (".gif",), writes=("episode.gif",))
        return animate(self.env, self.policy(member, best), seed, path)

    def timeline(
        self, member: int = 0, path: str | os.PathLike | None = None, seed: int = 0, best: bool = False
    ) -> Any:
        """A matplotlib Figure of who runs which macro-action when, in the episode that `render` shows.

        With `path` it is also written there. Raises ValueError or OSError as `render` does; allowed are .png, .svg
        and .pdf, and of a run's own files `timeline.png`.
        """
        if path is not None:
            path = output_file(path, FIGURES, writes=("timeline.png",))
        policy = self.policy(member, best)
        title = f"{self.config['algorithm']} on {self.config['env']}, seed {self.members[member]['seed']}"
        return timeline(self.env, policy, seed, path, title)


def members_alike(result: Result) -> dict[str, list[int]]:
    """Label -> numbers of the members that differ in their seed only.

    The label consists of the swept values, or is the algorithm if nothing is swept. Members without any metrics are
    left out.
    """
    found: dict[str, list[int]] = {}
    for column, member in enumerate(result.members):
        swept = ", ".join(f"{k}={v}" for k, v in member.items() if k != "seed")
        if evaluations_of(result, [column]):
            found.setdefault(swept or result.config["algorithm"], []).append(column)
    return found


def evaluations_of(result: Result, members: Sequence[int]) -> int:
    """The number of evaluations that all of these members have reached."""
    return int((~np.isnan(result.metrics["episodes"][:, members])).all(axis=1).sum())


def task_of(result: Result) -> str:
    """The environment with those of its options that differ from their default."""
    env_id, defaults = result.config["env"], {}
    if result.config["env_rebuildable"]:
        defaults = {name: default for name, (_, default) in envs.env_options(env_id).items()}
    changed = {k: v for k, v in result.env.options.items() if k not in defaults or v != defaults[k]}
    return f"{env_id} ({', '.join(f'{k}={v}' for k, v in changed.items())})" if changed else env_id


def curves(result: Result, x: str = "episodes", y: str = "eval_return") -> dict[str, Curve]:
    """Label -> the column `y` against training episodes or environment steps, one entry per swept combination.

    Each is as long as its members were trained, so the lengths differ in a run that was stopped between two groups.
    Raises ValueError, in one line, for another `x` or `y`.
    """
    check_axis(x, y, result.config.get("diagnostics", ()))
    found = {}
    for label, members in members_alike(result).items():
        count = evaluations_of(result, members)
        episodes, steps, returns = (result.metrics[name][:count, members] for name in ("episodes", "env_steps", y))
        start = float(episodes_before_learning(vars(result.specs[members[0]].config)))
        if x == "episodes":
            found[label] = Curve(episodes[:, 0], returns, start)
        else:  # of which seeds need different numbers for the same episodes
            start = float(np.interp(start, episodes[:, 0], steps.mean(axis=1), right=np.inf))
            found[label] = Curve(steps, returns, start)
    return found


def _uncommitted(x: Any) -> jax.Array:
    """`x` as a new array; one that orbax has committed to a device would compile anew whatever uses it."""
    return jnp.asarray(x if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else np.asarray(x))


def _learner_shapes(algorithm: Algorithm, members: list[MemberSpec]) -> Any:
    one = jax.eval_shape(algorithm.init, jax.random.key(0), hyper_of(members[0].config))
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct((len(members), *x.shape), x.dtype), one)


def load(path: str | os.PathLike, env: Environment | None = None, *, need_rows: bool = True) -> Result:
    """Read a run directory into the same Result that `train` returned.

    Args:
        path: the run directory.
        env: the environment, for a run on an Environment instance, which config.json cannot rebuild.
        need_rows: whether a run without any evaluation is an error.

    Raises:
        RunDirectoryError: it is not a run directory, is damaged (the message names the file and the field or line),
            was written in a newer format, needs a plugin that is not imported, or (with `need_rows`) has no
            evaluation.
        ValueError: the run used an environment instance and `env` is missing, or `env` has other sizes, another
            name or other options.
    """
    config = opened_config(path)
    env = environment_of_run(path, config, env)
    try:
        specs = restore_members(config)
    except ValueError as error:
        raise RunDirectoryError(f"{path}/config.json: {error}") from None
    file = Path(path) / "metrics.csv"
    groups = [[spec.index for spec in group] for group in group_members(specs)]
    rows = whole_evaluations(file, read_rows(file, config), groups)
    metrics = tabulate(rows, [spec.swept for spec in specs], config.get("diagnostics", ()))
    if need_rows and not len(metrics["episodes"]):
        raise RunDirectoryError(f"{path} has no evaluation yet")
    members = [{"seed": spec.seed, **spec.swept} for spec in specs]
    folder = Path(path).absolute()
    running = config["status"] == "running"  # its checkpoints move on: the last one there is
    checkpoints = {} if running else last_checkpoints(folder, len(groups))
    return Result(metrics, members, config, env, folder, config["status"], specs, {}, checkpoints=checkpoints)


def last_checkpoints(path: Path, groups: int) -> dict[int, int]:
    """Group -> the iteration of its last checkpoint, for those that have one."""
    saved = {group: saved_iterations(path, group) for group in range(groups)}
    return {group: iterations[-1] for group, iterations in saved.items() if iterations}


def _refuse_other_run(path: Path, config: dict[str, Any], status: str, iteration: int | None, group: int) -> None:
    """Raise RunDirectoryError unless a run directory still holds the run, as far as it was trained then.

    The checkpoints of a run that was "running" then have moved on since.
    """
    if identity_from(path / "config.json") != config.get("identity", ""):
        raise RunDirectoryError(f"{path} was replaced by another run since it was read: load it again")
    saved = saved_iterations(path, group)
    if status != "running" and saved and iteration not in saved:
        raise RunDirectoryError(f"{path} was trained further since it was read: load it again")


def opened_config(path: str | os.PathLike) -> dict[str, Any]:
    """The content of a run's config.json in today's format, once the plugins that it needs are imported.

    Raises RunDirectoryError, in one line, as `load` does.
    """
    config = read_config(path)
    refuse_missing_plugins(path, config)
    try:
        return upgraded(path, config)
    except ValueError as error:
        raise RunDirectoryError(f"{path}/config.json: {error}") from None
