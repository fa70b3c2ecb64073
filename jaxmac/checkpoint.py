"""Learner states on disk, through orbax: arrays only, written atomically."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax

from jaxmac.rundir import RunDirectoryError


def _folder(run: Path, group: int) -> Path:
    return (run / "checkpoints" / f"group_{group}").absolute()


def save_learners(run: Path, group: int, learners: Any) -> None:
    """Write the learner states of one group of members (leading axis) under `run/checkpoints`."""
    import orbax.checkpoint as ocp

    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(_folder(run, group), learners, force=True)


def load_learners(run: Path, group: int, shapes: Any) -> Any:
    """Read them back into a tree of the given shapes; RunDirectoryError if there are none or they differ."""
    import orbax.checkpoint as ocp

    folder = _folder(run, group)
    if not folder.is_dir():
        raise RunDirectoryError(f"{run} holds no checkpoint of this member: its run did not get that far")
    sharding = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    target = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), shapes)
    try:
        with ocp.StandardCheckpointer() as checkpointer:
            return checkpointer.restore(folder, target)
    except (ValueError, KeyError, OSError) as error:
        raise RunDirectoryError(f"the checkpoint {folder} cannot be read: {str(error).splitlines()[0]}") from error
