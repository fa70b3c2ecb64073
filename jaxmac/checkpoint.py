"""Learner states on disk, through orbax: arrays only, written atomically."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax

from jaxmac.rundir import RunDirectoryError


def save_learners(run: Path, learners: list[Any]) -> None:
    """Write the learner states of every group of members (leading axis) to `run/checkpoints/final`."""
    import orbax.checkpoint as ocp

    with ocp.StandardCheckpointer() as checkpointer:
        tree = {f"group_{index}": jax.device_get(learner) for index, learner in enumerate(learners)}
        checkpointer.save((run / "checkpoints" / "final").absolute(), tree, force=True)


def load_learners(run: Path, shapes: list[Any]) -> list[Any]:
    """Read them back into trees of the given shapes; RunDirectoryError if there are none or they differ."""
    import orbax.checkpoint as ocp

    folder = (run / "checkpoints" / "final").absolute()
    if not folder.is_dir():
        raise RunDirectoryError(f"{run} holds no checkpoint: the run did not get as far as its end")
    sharding = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    tree = {
        f"group_{index}": jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), shape)
        for index, shape in enumerate(shapes)
    }
    try:
        with ocp.StandardCheckpointer() as checkpointer:
            restored = checkpointer.restore(folder, tree)
    except (ValueError, KeyError, OSError) as error:
        raise RunDirectoryError(f"the checkpoint in {run} cannot be read: {str(error).splitlines()[0]}") from error
    return [restored[f"group_{index}"] for index in range(len(shapes))]
