"""Removal of a run that another one replaces: the files that jaxmac wrote, and nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

FILES = ("metrics.csv", "curve.png", "episode.gif", "config.json", "metrics.csv.part", "config.json.part")
SINK_FOLDERS = ("tensorboard", "wandb")


def remove_run(run: Path, sinks: Sequence[str]) -> None:
    """Remove the files of a run and the folders that are empty then; other files stay.

    Args:
        run: the run directory.
        sinks: the sinks that the run wrote to; a folder with such a name is of somebody else otherwise.

    Raises OSError if something cannot be removed.
    """
    for path in _owned(run, sinks):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    for folder in (*sorted((run / "checkpoints").glob("group_*")), run / "checkpoints"):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def bytes_of_run(run: Path) -> int:
    """The bytes on disk of the checkpoints that `remove_run` removes, the only large files of a run."""
    files = (file for path in _checkpoints(run) for file in path.rglob("*"))
    return sum(file.lstat().st_size for file in files if file.is_file())


def _owned(run: Path, sinks: Sequence[str]) -> Iterator[Path]:
    """What a run consists of; config.json, by which it is known as a run, comes last but for drafts."""
    yield from _checkpoints(run)
    yield from (run / name for name in SINK_FOLDERS if name in sinks and (run / name).is_dir())
    yield from (run / name for name in FILES)


def _checkpoints(run: Path) -> list[Path]:
    """The folders of the checkpoints of all groups, those included that were never finished."""
    found = sorted((run / "checkpoints").glob("group_*/*"))
    return [path for path in found if path.is_dir() and path.name.split(".")[0].isdigit()]
