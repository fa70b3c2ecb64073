"""Checkpoints, written with orbax. They contain arrays only, and each is written completely or not at all.

A checkpoint of a group of members (those that share a compiled program) is the folder
`checkpoints/group_N/ITERATION/` with the items

* `learners`: the learner of every member at that iteration,
* `best`: the learner of every member at its best evaluation so far,
* `state`: replay and counters, which make resuming exact; missing with `checkpoint_replay=False`.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax

from jaxmac.errors import first_line
from jaxmac.processes.collective import is_distributed
from jaxmac.runs.directory import RunDirectoryError
from jaxmac.runs.formats import from_old_names, is_old, old_names, path_of

KEPT_CHECKPOINTS = 2  # for each group; older ones are deleted


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


@contextlib.contextmanager
def _manager(folder: Path, keep: int | None = None) -> Iterator[Any]:
    """The orbax manager of a folder, for reading, or with `keep` for writing and keeping that many checkpoints."""
    import orbax.checkpoint as ocp

    logging.getLogger("absl").setLevel(logging.ERROR)
    writes = keep is not None
    if writes:
        folder.mkdir(parents=True, exist_ok=True)
    options = ocp.CheckpointManagerOptions(
        max_to_keep=keep,
        create=False,
        cleanup_tmp_directories=writes,  # left behind by a process that was killed while writing
        enable_async_checkpointing=False,
        read_only=not writes,
        multiprocessing_options=_own_process_only(),
    )
    manager = ocp.CheckpointManager(folder, options=options)
    try:
        yield manager
    finally:
        manager.close()


def save_checkpoint(run: Path, group: int, iteration: int, items: dict[str, Any]) -> None:
    """Write a checkpoint after `iteration` iterations and delete older ones.

    Raises RunDirectoryError if it cannot be written.
    """
    import orbax.checkpoint as ocp

    folder = folder_of(run, group)
    trees = {name: ocp.args.StandardSave(tree) for name, tree in items.items()}
    try:
        with _manager(folder, KEPT_CHECKPOINTS) as manager:
            manager.save(iteration, args=ocp.args.Composite(**trees))
    except Exception as error:  # orbax and tensorstore raise many types
        raise RunDirectoryError(
            f"cannot write the checkpoint {folder / str(iteration)}: {first_line(error)}"
        ) from error


def saved_iterations(run: Path, group: int) -> list[int]:
    """Iterations of the complete checkpoints of a group, oldest first."""
    folder = folder_of(run, group)
    if not folder.is_dir():
        return []
    with _manager(folder) as manager:
        return sorted(manager.all_steps())


def drop_after(run: Path, group: int, iteration: int) -> None:
    """Delete the checkpoints after `iteration`; a run that continues from there writes them again."""
    for later in saved_iterations(run, group):
        if later > iteration:
            shutil.rmtree(folder_of(run, group) / str(later))


def read_checkpoint(run: Path, group: int, item: str, shapes: Any, iteration: int | None = None) -> Any:
    """One item of a checkpoint as a tree of arrays.

    Args:
        run: the run directory.
        group: the group of members.
        item: "learners", "best" or "state".
        shapes: the expected tree; its leaves have a shape and a dtype.
        iteration: the iteration of the checkpoint; None reads the last one.

    Raises:
        RunDirectoryError: there is no such checkpoint or item, its arrays have other shapes (the message names
            them), or it is damaged (the message names the checkpoint before it).
    """
    import orbax.checkpoint as ocp

    saved = saved_iterations(run, group)
    if iteration is None and not saved:
        raise RunDirectoryError(f"{run} has no checkpoint of this member: the run ended before its first one")
    chosen = saved[-1] if iteration is None else iteration
    path = folder_of(run, group) / str(chosen)
    if chosen not in saved:
        known = ", ".join(map(str, saved)) or "none"
        raise RunDirectoryError(f"{run} has no checkpoint at iteration {chosen}; it has: {known}")
    if not (path / item).is_dir():
        raise RunDirectoryError(f"{path} holds no {item}: the run was trained with checkpoint_replay=False")
    stored = _stored_tree(path / item)
    old = is_old(stored)
    written = old_names(shapes) if old else shapes
    _refuse_other_shapes(path / item, stored, written)
    sharding = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    target = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), written)
    try:
        with _manager(folder_of(run, group)) as manager:
            arguments = ocp.args.Composite(**{item: ocp.args.StandardRestore(target)})
            restored = manager.restore(chosen, args=arguments)[item]
    except Exception as error:  # orbax and tensorstore raise many types
        raise _damaged(path, saved, error) from error
    return from_old_names(shapes, restored) if old else restored


def _damaged(path: Path, saved: list[int], error: Exception) -> RunDirectoryError:
    """The error for a checkpoint that cannot be read; it names the checkpoint before it."""
    before = [iteration for iteration in saved if iteration < int(path.name)]
    offer = f"; the one before is at iteration {before[-1]} (--from {before[-1]})" if before else ""
    return RunDirectoryError(f"the checkpoint {path} is damaged{offer}: {first_line(error)}")


def _stored_tree(path: Path) -> Any:
    """The tree of an item on disk, with shapes and dtypes for its arrays."""
    import orbax.checkpoint as ocp

    try:
        with ocp.StandardCheckpointer(multiprocessing_options=_own_process_only()) as checkpointer:
            return checkpointer.metadata(path).item_metadata.tree
    except Exception as error:
        saved = [int(folder.name) for folder in path.parent.parent.iterdir() if folder.name.isdigit()]
        raise _damaged(path.parent, sorted(saved), error) from error


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
