"""Continue a run that was stopped, from its last complete checkpoint."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from rich.console import Console

from jaxmac.arguments import check_function, check_path, check_positive, check_switch, is_integer
from jaxmac.envs.environment import Environment
from jaxmac.errors import nearest
from jaxmac.processes.collective import is_main_process, raise_on_all, refuse_differences
from jaxmac.runs.checkpoint import (
    check_item,
    checkpoint_path,
    drop_after,
    read_checkpoint,
    read_counters_at,
    saved_iterations,
)
from jaxmac.runs.directory import RunDirectory, RunDirectoryError, read_config, versions
from jaxmac.runs.exact import json_value
from jaxmac.runs.formats import counter_shapes
from jaxmac.runs.members import group_members
from jaxmac.runs.plugins import refuse_missing_plugins, versions_of
from jaxmac.runs.result import Result, load
from jaxmac.runs.sinks import check_sinks
from jaxmac.training.cache import use_compilation_cache
from jaxmac.training.interruption import Interruption
from jaxmac.training.preparation import announce
from jaxmac.training.program import Program
from jaxmac.training.progress import progress_console
from jaxmac.training.session import SavedGroup, Session, StopWhen

BROKEN = "non-finite loss"  # the status of a run that ended with one


def resume(
    path: str | os.PathLike,
    *,
    env: Environment | None = None,
    episodes: int | None = None,
    iteration: int | None = None,
    chunk: int | None = None,
    progress: bool = True,
    compilation_cache: bool = True,
    stop_when: StopWhen | None = None,
) -> Result:
    """Continue a run from its last complete checkpoint, with the same results as if it had never stopped.

    Args:
        path: the run directory.
        env: the Environment, for a run on an instance that config.json cannot rebuild.
        episodes: new total of training episodes, at least as many as before (None: the old total). With more, a
            finished run is trained further.
        iteration: iteration of the checkpoint to continue from (None: the last one); later checkpoints are deleted.
        chunk: iterations per compiled call, as in `train`.
        progress: show progress on stderr.
        compilation_cache: as in `train`.
        stop_when: as in `train`.

    Returns the result, also of a run that is stopped again, as `train` does.

    Raises:
        RunDirectoryError: there is no run or no checkpoint, the checkpoint is damaged or of another config, the
            rows of metrics.csv do not reach it, another process writes the run, or the run is finished or ended
            with a loss that is not finite (without `iteration`). The directory is not changed.
        ValueError: `episodes` is fewer than before, or an argument is out of range.
        TrainingError: a file could not be written while training; the other errors of `train` are raised, too.
    """
    check_path("path", path)
    check_switch("progress", progress)
    check_function("stop_when", stop_when)
    console, folder = progress_console(progress), Path(path).absolute()
    with Interruption(console.print) as stop, RunDirectory(path, is_main_process()) as directory:
        with stop.at_once(), raise_on_all():
            read_config(path)  # before locking, so that a folder without a run gets no lock file
            directory.lock()
            run = load(path, env, need_rows=False)
            total = run.config["episodes"] if episodes is None else episodes
            _check_arguments(path, run.config, total, chunk, iteration)
            if is_main_process():
                refuse_missing_plugins(path, run.config, sinks=True)
                check_sinks(run.config.get("log", ()), path)
            check_switch("compilation_cache", compilation_cache)
            if compilation_cache:
                use_compilation_cache()
            begun = _begun(folder, run, iteration)
            directory.refuse_missing_rows(run.config, begun.reached, _counted(begun))
            _note_other_versions(console, run.config)
            _note_further_groups(console, iteration, begun.iterations)
            replay = run.config["checkpoint_replay"]
            announce(console, run.config["algorithm"], run.env, run.specs, begun.programs, total, replay)
        config = run.config | {"episodes": int(total)}
        refuse_differences(
            json_value("config", config | {"chunk": chunk, "from": iteration, "versions": versions()})
        )
        result = Result({}, run.members, config, run.env, folder, "running", run.specs, {})
        reopen = partial(_reopen, directory, config, begun)
        Session(result, directory, console, stop, chunk, reopen, stop_when).run(begun.programs, begun.saved)
    return result


class Begun(NamedTuple):
    """A run as its checkpoints left it, with an entry for each group; nothing is compiled or written yet."""

    programs: list[Program]
    iterations: list[int | None]  # of the checkpoint that a group continues from; None: it has not begun
    saved: list[SavedGroup | None]
    reached: dict[int, int]  # member -> training episodes at its last evaluation before the checkpoint


def _begun(folder: Path, run: Result, iteration: int | None) -> Begun:
    """The programs of the run in `folder` and the checkpoints that they continue from, all of them checked."""
    config = run.config
    env_id = config["env"] if config["env_rebuildable"] else None
    keys, reported = config.get("key_type", "threefry2x32"), tuple(config.get("diagnostics", ()))
    make = partial(Program, config["algorithm"], run.env, env_id=env_id, key_type=keys)
    programs = [make(group) for group in group_members(run.specs)]
    if reported != tuple(programs[0].algorithm.diagnostics):  # a run of before, or of another version of a plugin
        _refuse_lost_diagnostics(folder, config["algorithm"], reported, programs[0])
        programs = [make(group, diagnostics=reported) for group in group_members(run.specs)]
    iterations = _iterations_to_continue(folder, programs, iteration, config["status"])
    saved = [
        None if start is None else _saved_group(folder, group, program, start)
        for group, (program, start) in enumerate(zip(programs, iterations, strict=True))
    ]
    reached = {
        spec.index: int(start.counters["evaluated"]) * program.config.num_envs
        for program, start in zip(programs, saved, strict=True)
        if start is not None
        for spec in program.specs
    }
    return Begun(programs, iterations, saved, reached)


def _refuse_lost_diagnostics(folder: Path, algorithm: str, reported: tuple[str, ...], program: Program) -> None:
    """Raise RunDirectoryError if the algorithm has not all the diagnostics that the run's metrics.csv has."""
    known = program.algorithm.diagnostics
    if lost := next((name for name in reported if name not in known), None):
        raise RunDirectoryError(
            f"{folder} has the diagnostic {lost!r}, which {algorithm} no longer has ({nearest(lost, known)}): "
            "continue it with the version that it was trained with"
        )


def _reopen(directory: RunDirectory, config: dict[str, Any], begun: Begun) -> list[dict[str, Any]]:
    """Remove what is trained again, and give the rows that are kept.

    Checkpoints go last: whoever is killed in between can continue from those that are left.
    """
    rows = directory.reopen(config | {"status": "running"}, begun.reached)
    for group, start_at in enumerate(begun.iterations):
        if start_at is not None and directory.path is not None and is_main_process():
            drop_after(directory.path, group, start_at)
    return rows


def _counted(begun: Begun) -> dict[int, tuple[int, int]]:
    """Member -> steps and updates at its last evaluation, where the checkpoint is of the same iteration."""
    return {
        spec.index: (int(start.counters["env_steps"][column]), int(start.counters["updates"][column]))
        for program, start in zip(begun.programs, begun.saved, strict=True)
        if start is not None and int(start.counters["done"]) == int(start.counters["evaluated"])
        for column, spec in enumerate(program.specs)
    }


def _note_other_versions(console: Console, config: dict[str, Any]) -> None:
    for name, now in (versions() | versions_of(config["plugins"])).items():
        then = config["versions"].get(name)
        if then != now and not (then is None and name.startswith("plugin ")):  # earlier runs did not say
            console.print(f"note: {name} is {now}, the run began with {then}: its numbers may differ from here on")


def _check_arguments(
    path: str | os.PathLike, config: dict[str, Any], total: int, chunk: int | None, iteration: int | None
) -> None:
    check_positive("episodes", total)
    check_positive("chunk", 1 if chunk is None else chunk)
    if iteration is not None and not is_integer(iteration):
        raise ValueError(f"iteration is {iteration!r}, but must be an integer")
    if total < config["episodes"]:
        raise ValueError(f"episodes is {total}, but must be >= {config['episodes']}, those of {path}")
    if config["status"] == "finished" and total == config["episodes"] and iteration is None:
        raise RunDirectoryError(f"{path} is finished: train it further with more --episodes")


def _iterations_to_continue(
    path: Path, programs: list[Program], iteration: int | None, status: str
) -> list[int | None]:
    """The iteration of the checkpoint that every group continues from; None for a group without checkpoints.

    With `iteration`, groups that have not come so far, and those that no longer have a checkpoint there, continue
    from their last one.
    """
    saved = [saved_iterations(path, group) for group in range(len(programs))]
    if not any(saved):
        raise RunDirectoryError(f"{path} has no checkpoint to continue from: train it again with --overwrite")
    if iteration is not None and not any(iteration in iterations for iterations in saved):
        known = ", ".join(map(str, sorted(set().union(*saved))))
        raise RunDirectoryError(f"{path} has no checkpoint at iteration {iteration}; it has: {known}")
    found = [iteration if iteration in known else max(known, default=None) for known in saved]
    for group, (program, start) in enumerate(zip(programs, found, strict=True)):
        if start is not None and (status == BROKEN or read_counters_at(path, group, start) is None):
            _refuse_broken(path, group, program, start)
    if status == BROKEN and iteration is None:
        finite = max(start for start in found if start is not None)
        raise RunDirectoryError(
            f"{path} ended with a loss that is not finite, and the same settings lead there again: train with "
            f"others, or continue all the same from its last finite checkpoint (--from {finite})"
        )
    return found


def _note_further_groups(console: Console, iteration: int | None, found: list[int | None]) -> None:
    for group, start in enumerate(found):
        if iteration is not None and start is not None and start > iteration:
            there = f"it has no checkpoint at {iteration}"
            console.print(f"note: group {group} continues from iteration {start}: {there}")


def _refuse_broken(path: Path, group: int, program: Program, iteration: int) -> None:
    """Raise RunDirectoryError, with the last healthy checkpoint, if the learners of this one are not finite."""
    shapes = program.shapes()["learners"]

    def is_finite(at: int) -> bool:
        learners = read_checkpoint(path, group, "learners", shapes, at)
        return all(np.isfinite(x).all() for x in jax.tree.leaves(learners) if np.issubdtype(x.dtype, np.floating))

    if is_finite(iteration):
        return
    healthy = [at for at in saved_iterations(path, group) if at < iteration and is_finite(at)]
    offer = f"; the last finite one is at iteration {healthy[-1]} (--from {healthy[-1]})" if healthy else ""
    broken = checkpoint_path(path, group, iteration)
    raise RunDirectoryError(f"the checkpoint {broken} holds a learner that is not finite{offer}")


def _saved_group(path: Path, group: int, program: Program, iteration: int) -> SavedGroup:
    """The checkpoint of a group, all of it checked; its arrays are read when the group starts."""
    shapes = program.shapes()
    counters = read_counters_at(path, group, iteration)
    if counters is None:  # of format 1 or 2: the counters are among the arrays
        shapes["state"] = {**shapes["state"], "counters": counter_shapes(len(program.specs))}
    for item in shapes:
        check_item(path, group, item, shapes[item], iteration)

    def read() -> dict[str, Any]:
        return {item: read_checkpoint(path, group, item, shapes[item], iteration) for item in shapes}

    if counters is None:
        counters = jax.device_get(read_checkpoint(path, group, "state", shapes["state"], iteration)["counters"])
    return SavedGroup(counters, read)
