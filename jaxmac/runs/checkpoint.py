"""Checkpoints, written with orbax. They contain arrays only, and each is written completely or not at all.

A checkpoint of a group of members (those that share a compiled program) is the folder
`checkpoints/group_N/ITERATION/` with the items

* `learners`: the learner of every member at that iteration,
* `best`: the learner of every member at its best evaluation so far,
* `state`: the replay and all else that makes resuming exact; missing with `checkpoint_replay=False`,

and the file `checkpoint.json` with the counters of the run, the run that it belongs to and a digest of every other
file. It is written under another name and renamed once it is whole. Runs of format 1 and 2 have no such file: their
counters are in `state`.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax

from jaxmac.errors import RunDirectoryError, first_line
from jaxmac.processes.collective import is_distributed
from jaxmac.runs.digests import (
    check_digests,
    damaged,
    listed_items,
    read_counters,
    refuse_other_owner,
    sync_folder,
    write_summary,
)
from jaxmac.runs.formats import as_written, from_written, path_of
from jaxmac.runs.outputs import DRAFT
from jaxmac.runs.schema import format_from, identity_from

KEPT_CHECKPOINTS = 2  # for each group; older ones are deleted
ORBAX = threading.RLock()  # held while orbax works, which threads that train runs of their own cannot do at once


def folder_of(run: Path, group: int) -> Path:
    """The folder of the checkpoints of a group."""
    return (run / "checkpoints" / f"group_{group}").absolute()


def _own_process_only() -> Any:
    """Orbax options with which a process reads and writes alone, without waiting for other processes."""
    import orbax.checkpoint as ocp

    if not is_distributed():
        return ocp.options.MultiprocessingOptions()
    own = jax.process_index()
    return ocp.options.MultiprocessingOptions(own, {own})


def _owner(identity: str, group: int) -> str:
    """The run and group that a checkpoint belongs to, as `checkpoint.json` notes them."""
    return f"{identity}/group_{group}" if identity else ""


def save_checkpoint(
    run: Path,
    group: int,
    iteration: int,
    items: dict[str, Any],
    counters: dict[str, Any] | None = None,
    identity: str = "",
) -> None:
    """Write a checkpoint after `iteration` iterations and delete older ones.

    Args:
        run: the run directory.
        group: the group of members.
        iteration: the iterations that the members have made.
        items: name -> tree of arrays.
        counters: name -> number or list of numbers, kept exactly.
        identity: the identity in the run's config.json; empty for a run of an earlier version.

    Raises RunDirectoryError if it cannot be written; the older ones are kept then.
    """
    folder = folder_of(run, group)
    draft = folder / f"{iteration}{DRAFT}"
    try:
        if not run.is_dir():
            raise FileNotFoundError("the run was moved or deleted while it was going on")
        folder.mkdir(parents=True, exist_ok=True)
        _remove_drafts(folder)
        _write_items(draft, items)
        write_summary(draft, counters or {}, _owner(identity, group))
        if (folder / str(iteration)).exists():  # of the same iteration, before its evaluation
            _remove(folder / str(iteration))
        draft.replace(folder / str(iteration))
        sync_folder(folder)
    except Exception as error:  # orbax and tensorstore raise many types
        _remove_drafts(folder)
        raise RunDirectoryError(
            f"cannot write the checkpoint {folder / str(iteration)}: {first_line(error)}"
        ) from error
    for older in saved_iterations(run, group)[:-KEPT_CHECKPOINTS]:
        _remove(folder / str(older))


def _write_items(path: Path, items: dict[str, Any]) -> None:
    import orbax.checkpoint as ocp

    logging.getLogger("absl").setLevel(logging.ERROR)
    trees = {name: ocp.args.StandardSave(tree) for name, tree in items.items()}
    options = _own_process_only()
    handler = ocp.CompositeCheckpointHandler(
        composite_options=ocp.CompositeOptions(multiprocessing_options=options)
    )
    # An error is raised, in the end; what orbax and its threads write about it before are hundreds of lines.
    with ORBAX, _quiet("absl", "asyncio"), ocp.Checkpointer(handler, multiprocessing_options=options) as writer:
        writer.save(path, args=ocp.args.Composite(**trees))


@contextlib.contextmanager
def _quiet(*loggers: str) -> Iterator[None]:
    """Inside, these loggers write critical errors only; afterwards what they did before."""
    before = {logging.getLogger(name): logging.getLogger(name).level for name in loggers}
    for logger in before:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in before.items():
            logger.setLevel(level)


def _remove_drafts(folder: Path) -> None:
    """Remove what a process left behind that was killed while it wrote or deleted a checkpoint."""
    for pattern in (f"*{DRAFT}*", "*.orbax-checkpoint-tmp*"):
        for path in folder.glob(pattern):
            shutil.rmtree(path, ignore_errors=True)


def _remove(path: Path) -> None:
    """Remove a checkpoint, which is a draft from the first moment on, so that nothing reads a part of it."""
    draft = path.with_name(f"{path.name}.old{DRAFT}")
    path.replace(draft)
    shutil.rmtree(draft)


def saved_iterations(run: Path, group: int) -> list[int]:
    """Iterations of the complete checkpoints of a group, oldest first."""
    folder = folder_of(run, group)
    if not folder.is_dir():
        return []
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdecimal() and path.is_dir())


def drop_after(run: Path, group: int, iteration: int) -> None:
    """Delete the checkpoints after `iteration`; a run that continues from there writes them again."""
    for later in saved_iterations(run, group):
        if later > iteration:
            _remove(folder_of(run, group) / str(later))


def read_checkpoint(run: Path, group: int, item: str, shapes: Any, iteration: int | None = None) -> Any:
    """One item of a checkpoint as a tree of arrays.

    Args:
        run: the run directory.
        group: the group of members.
        item: "learners", "best" or "state".
        shapes: the expected tree; its leaves have a shape and a dtype.
        iteration: the iteration of the checkpoint; None reads the last one.

    Raises:
        RunDirectoryError: there is no such checkpoint or item, it belongs to another run, its arrays have other
            shapes (the message names them), or it is damaged (the message names the file and the checkpoint before
            it).
    """
    import orbax.checkpoint as ocp

    path = check_item(run, group, item, shapes, iteration)
    stored = _stored_tree(path / item)
    written = as_written(shapes, stored)
    sharding = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    target = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), written)
    try:
        with ORBAX, ocp.StandardCheckpointer(multiprocessing_options=_own_process_only()) as checkpointer:
            restored = checkpointer.restore(path / item, target)
    except Exception as error:  # orbax and tensorstore raise many types
        raise damaged(path, first_line(error)) from error
    return from_written(shapes, restored, stored)


def check_item(run: Path, group: int, item: str, shapes: Any, iteration: int | None = None) -> Path:
    """The folder of the checkpoint that `read_checkpoint` reads, once everything but the arrays has been checked.

    Arguments and errors as in `read_checkpoint`.
    """
    logging.getLogger("absl").setLevel(logging.ERROR)
    path = checkpoint_path(run, group, iteration)
    if not (path / item).is_dir() and item not in listed_items(path):
        raise RunDirectoryError(f"{path} holds no {item}: the run was trained with checkpoint_replay=False")
    check_digests(path, item, required=format_from(run / "config.json") >= 3)
    refuse_other_owner(path, _owner(identity_from(run / "config.json"), group))
    stored = _stored_tree(path / item)
    _refuse_other_shapes(path / item, stored, as_written(shapes, stored))
    return path


def checkpoint_path(run: Path, group: int, iteration: int | None = None) -> Path:
    """The folder of a checkpoint; None is the last one. Raises RunDirectoryError if there is no such checkpoint."""
    saved = saved_iterations(run, group)
    if iteration is None and not saved:
        raise RunDirectoryError(f"{run} has no checkpoint of this member: the run ended before its first one")
    chosen = saved[-1] if iteration is None else iteration
    if chosen not in saved:
        known = ", ".join(map(str, saved)) or "none"
        raise RunDirectoryError(f"{run} has no checkpoint at iteration {chosen}; it has: {known}")
    return folder_of(run, group) / str(chosen)


def read_counters_at(run: Path, group: int, iteration: int) -> dict[str, Any] | None:
    """The counters of a checkpoint; None for one of format 1 or 2, whose counters are among its arrays."""
    return read_counters(checkpoint_path(run, group, iteration))


def _stored_tree(path: Path) -> Any:
    """The tree of an item on disk, with shapes and dtypes for its arrays."""
    import orbax.checkpoint as ocp

    try:
        with ORBAX, ocp.StandardCheckpointer(multiprocessing_options=_own_process_only()) as checkpointer:
            return checkpointer.metadata(path).item_metadata.tree
    except Exception as error:
        raise damaged(path.parent, first_line(error)) from error


def _refuse_other_shapes(path: Path, tree: Any, shapes: Any) -> None:
    """Raise RunDirectoryError, with the first differences, unless the arrays on disk have these shapes."""
    stored, expected = _leaves_by_name(tree), _leaves_by_name(shapes)
    differing = [
        f"{name} is {stored.get(name, 'missing')} there and {expected.get(name, 'missing')} here"
        for name in sorted(stored.keys() | expected.keys())
        if stored.get(name) != expected.get(name)
    ]
    if differing:
        more = f" and {len(differing) - 2} more" if len(differing) > 2 else ""
        raise RunDirectoryError(f"the checkpoint {path} is of another config: {'; '.join(differing[:2])}{more}")


def _leaves_by_name(tree: Any) -> dict[str, str]:
    """Path of every leaf -> its dtype and shape as text. The types of the inner nodes do not matter."""
    leaves = jax.tree_util.tree_leaves_with_path(tree, is_leaf=lambda x: hasattr(x, "shape"))
    return {"/".join(path_of(keys)): _dtype_and_shape(leaf) for keys, leaf in leaves if hasattr(leaf, "shape")}


def _dtype_and_shape(leaf: Any) -> str:
    return f"{jax.numpy.dtype(leaf.dtype).name}{list(leaf.shape)}"
