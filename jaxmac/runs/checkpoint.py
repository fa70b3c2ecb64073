"""Checkpoints through orbax: arrays only, each written whole or not at all, the last few kept.

A checkpoint of a group of members is `checkpoints/group_N/ITERATION/` with the items `learners` (as they are),
`best` (as they were at their best evaluation) and, unless it was left out, `state`: replay and counters, with which
a run continues bit for bit.
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

KEPT_CHECKPOINTS = 2  # checkpoints of a group


def folder_of(run: Path, group: int) -> Path:
    """Where the checkpoints of a group are."""
    return (run / "checkpoints" / f"group_{group}").absolute()


def _alone() -> Any:
    """Orbax options for a process that reads or writes arrays of its own host and waits for no other process."""
    import orbax.checkpoint as ocp

    if not is_distributed():
        return ocp.options.MultiprocessingOptions()
    own = jax.process_index()
    return ocp.options.MultiprocessingOptions(own, {own})


@contextlib.contextmanager
def _manager(folder: Path, keep: int | None = None) -> Iterator[Any]:
    import orbax.checkpoint as ocp

    logging.getLogger("absl").setLevel(logging.ERROR)
    writes = keep is not None
    if writes:
        folder.mkdir(parents=True, exist_ok=True)
    options = ocp.CheckpointManagerOptions(
        max_to_keep=keep,
        create=False,
        cleanup_tmp_directories=writes,  # what a kill left half written
        enable_async_checkpointing=False,
        read_only=not writes,
        multiprocessing_options=_alone(),
    )
    manager = ocp.CheckpointManager(folder, options=options)
    try:
        yield manager
    finally:
        manager.close()


def save_checkpoint(run: Path, group: int, iteration: int, items: dict[str, Any]) -> None:
    """Write a checkpoint after `iteration` iterations and drop the oldest ones."""
    import orbax.checkpoint as ocp

    folder = folder_of(run, group)
    kinds = {name: ocp.args.StandardSave(tree) for name, tree in items.items()}
    try:
        with _manager(folder, KEPT_CHECKPOINTS) as manager:
            manager.save(iteration, args=ocp.args.Composite(**kinds))
    except Exception as error:  # orbax and tensorstore raise many kinds
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
    """Forget the checkpoints after `iteration`: a run that goes on from there comes past them again."""
    for later in saved_iterations(run, group):
        if later > iteration:
            shutil.rmtree(folder_of(run, group) / str(later))


def read_checkpoint(run: Path, group: int, item: str, shapes: Any, iteration: int | None = None) -> Any:
    """One item of a checkpoint (of the last one) as a tree of arrays with these shapes.

    Raises RunDirectoryError where there is none, where it is damaged (naming the one before), or where it does not
    fit (naming what differs).
    """
    import orbax.checkpoint as ocp

    found = saved_iterations(run, group)
    if iteration is None and not found:
        raise RunDirectoryError(f"{run} holds no checkpoint of this member: its run did not get that far")
    chosen = found[-1] if iteration is None else iteration
    path = folder_of(run, group) / str(chosen)
    if chosen not in found:
        known = ", ".join(map(str, found)) or "none"
        raise RunDirectoryError(f"{run} has no checkpoint at iteration {chosen}; it has: {known}")
    if not (path / item).is_dir():
        raise RunDirectoryError(f"{path} holds no {item}: the run was told to leave the replay out")
    stored = _stored_tree(path / item)
    old = is_old(stored)
    written = old_names(shapes) if old else shapes
    _refuse_other_shapes(path / item, stored, written)
    sharding = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    target = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), written)
    try:
        with _manager(folder_of(run, group)) as manager:
            wanted = ocp.args.Composite(**{item: ocp.args.StandardRestore(target)})
            restored = manager.restore(chosen, args=wanted)[item]
    except Exception as error:  # orbax and tensorstore raise many kinds
        raise damaged(path, found, error) from error
    return from_old_names(shapes, restored) if old else restored


def damaged(path: Path, found: list[int], error: Exception) -> RunDirectoryError:
    """What to say of a checkpoint that cannot be read."""
    before = [i for i in found if i < int(path.name)]
    offer = f"; the one before is at iteration {before[-1]} (--from {before[-1]})" if before else ""
    return RunDirectoryError(f"the checkpoint {path} is damaged{offer}: {first_line(error)}")


def _stored_tree(path: Path) -> Any:
    """The tree of an item on disk, shapes and dtypes for arrays."""
    import orbax.checkpoint as ocp

    try:
        with ocp.StandardCheckpointer(multiprocessing_options=_alone()) as checkpointer:
            return checkpointer.metadata(path).item_metadata.tree
    except Exception as error:
        found = [int(p.name) for p in path.parent.parent.iterdir() if p.name.isdigit()]
        raise damaged(path.parent, sorted(found), error) from error


def _refuse_other_shapes(path: Path, tree: Any, shapes: Any) -> None:
    """Compare the shapes on disk with those wanted; the first differences are named."""
    stored, wanted = _by_name(tree), _by_name(shapes)
    differing = [
        f"{name}: {stored.get(name, 'none')} there, {wanted.get(name, 'none')} here"
        for name in sorted(stored.keys() | wanted.keys())
        if stored.get(name) != wanted.get(name)
    ]
    if differing:
        more = f" and {len(differing) - 2} more" if len(differing) > 2 else ""
        raise RunDirectoryError(f"the checkpoint {path} is of another config: {'; '.join(differing[:2])}{more}")


def _by_name(tree: Any) -> dict[str, str]:
    """Path of every leaf -> its dtype and shape in words; names only, whatever kind of node holds them."""
    leaves = jax.tree_util.tree_leaves_with_path(tree, is_leaf=lambda x: hasattr(x, "shape"))
    return {"/".join(path_of(keys)): _words(leaf) for keys, leaf in leaves if hasattr(leaf, "shape")}


def _words(leaf: Any) -> str:
    return f"{jax.numpy.dtype(leaf.dtype).name}{list(leaf.shape)}"
