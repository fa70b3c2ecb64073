"""Continue a run that was stopped, from its last complete checkpoint."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from jaxmac.envs.environment import Environment
from jaxmac.processes.collective import is_main_process, raise_on_all, refuse_differences
from jaxmac.runs.checkpoint import drop_after, read_checkpoint, saved_iterations
from jaxmac.runs.directory import RunDirectory, RunDirectoryError, versions
from jaxmac.runs.members import group_members
from jaxmac.runs.result import Result, load
from jaxmac.runs.sinks import check_sinks
from jaxmac.training.checks import check_positive
from jaxmac.training.loop import announce
from jaxmac.training.program import Program
from jaxmac.training.progress import progress_console
from jaxmac.training.session import Session


def resume(
    path: str | os.PathLike,
    *,
    env: Environment | None = None,
    episodes: int | None = None,
    iteration: int | None = None,
    chunk: int | None = None,
    progress: bool = True,
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

    Raises:
        RunDirectoryError: there is no run or no checkpoint, or the checkpoint is damaged or of another config. The
            directory is not changed.
        ValueError: `episodes` is fewer than before, or an argument is out of range.
        Others as in `train`.
    """
    console = progress_console(progress)
    with raise_on_all():
        run = load(path, env, need_rows=False)
        config, total = run.config, run.config["episodes"] if episodes is None else episodes
        _check_arguments(path, config, total, chunk)
        if is_main_process():
            check_sinks(config.get("log", ()), path)
        env_id = config["env"] if config["env_rebuildable"] else None
        groups = group_members(run.specs)
        programs = [Program(config["algorithm"], run.env, group, env_id=env_id) for group in groups]
        found = _checkpoints_to_continue(Path(path), programs, iteration)
        for name, now in versions().items():
            then = config["versions"].get(name)
            if then != now:
                console.print(
                    f"note: {name} is {now}, the run began with {then}: its numbers may differ from here on"
                )
        announce(console, config["algorithm"], run.env, run.specs, programs, total, config["checkpoint_replay"])
    config = config | {"episodes": int(total)}
    refuse_differences(config | {"chunk": chunk, "from": iteration, "versions": versions()})
    result = Result({}, run.members, config, run.env, Path(path), "running", run.specs, {})
    directory = RunDirectory(path, is_main_process())
    starts = [items["state"]["counters"] if items else None for items in found]
    reached = {
        spec.index: int(start["evaluated"]) * program.config.num_envs
        for program, start in zip(programs, starts, strict=True)
        if start is not None
        for spec in program.specs
    }
    with raise_on_all():
        for group in range(len(programs)) if iteration is not None and is_main_process() else ():
            if iteration in saved_iterations(Path(path), group):
                drop_after(Path(path), group, iteration)
        rows = directory.reopen(config | {"status": "running"}, list(config["sweep"]), reached)
    Session(result, directory, console, chunk, rows).run(programs, found)
    return result


def _check_arguments(path: str | os.PathLike, config: dict[str, Any], total: int, chunk: int | None) -> None:
    check_positive("episodes", total)
    check_positive("chunk", 1 if chunk is None else chunk)
    if total < config["episodes"]:
        raise ValueError(f"episodes={total} is fewer than the {config['episodes']} of {path}")
    if config["status"] == "finished" and total == config["episodes"]:
        raise RunDirectoryError(f"{path} is finished: train it further with more --episodes")


def _checkpoints_to_continue(path: Path, programs: list[Program], iteration: int | None) -> list[Any]:
    """The items of the checkpoint of every group; None for groups without any checkpoint.

    A group without a checkpoint at `iteration` continues from its last one.
    """
    found: list[Any] = []
    saved = [saved_iterations(path, group) for group in range(len(programs))]
    nowhere = iteration is not None and not any(iteration in iterations for iterations in saved)
    for group, program in enumerate(programs):
        if saved[group]:
            shapes = program.shapes()
            last = iteration if iteration in saved[group] or nowhere else None
            found.append({name: read_checkpoint(path, group, name, shapes[name], last) for name in shapes})
        else:
            found.append(None)
    if not any(found):
        raise RunDirectoryError(f"{path} has no checkpoint to continue from: train it again with --overwrite")
    return found
