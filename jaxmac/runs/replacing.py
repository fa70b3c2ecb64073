"""Removal of a run that another one replaces: the files that jaxmac wrote, and nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from jaxmac.runs.outputs import DRAFTS, PICTURES, SINK_FOLDERS

FILES = ("metrics.csv", *PICTURES, "config.json", *DRAFTS)


class Parts(NamedTuple):
    """What a run consists of at one moment."""

    checkpoints: list[Path]  # folders
    logs: list[Path]  # of sinks: files, links and folders, those inside of others first
    files: list[Path]


def parts_of_run(run: Path, sinks: Sequence[str]) -> Parts:
    """The parts of a run as they are now.

    Args:
        run: the run directory.
        sinks: the sinks that the run wrote to; a folder with such a name is of somebody else otherwise.
    """
    folders = [run / name for name in SINK_FOLDERS if name in sinks]
    logs = [path for folder in folders for path in (folder, *folder.rglob("*"))]
    return Parts(_checkpoints(run), sorted(logs, reverse=True), [run / name for name in FILES])


def remove_run(run: Path, parts: Parts) -> None:
    """Remove the parts of a run and the folders that are empty then; other files stay, later ones included.

    Raises OSError if something cannot be removed.
    """
    for checkpoint in parts.checkpoints:
        shutil.rmtree(checkpoint)
    for log in parts.logs:
        if log.is_symlink():
            if not log.exists():  # else the new run's sink has set it anew
                log.unlink()
        elif log.is_dir():
            _remove_if_empty(log)
        else:
            log.unlink(missing_ok=True)
    for file in parts.files:  # config.json, by which it is known as a run, comes last but for drafts
        file.unlink(missing_ok=True)
    for folder in (*sorted((run / "checkpoints").glob("group_*")), run / "checkpoints"):
        _remove_if_empty(folder)


def _remove_if_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def bytes_of_run(run: Path) -> int:
    """The bytes on disk of the checkpoints that `remove_run` removes, the only large files of a run."""
    files = (file for path in _checkpoints(run) for file in path.rglob("*"))
    return sum(file.lstat().st_size for file in files if file.is_file())


def _checkpoints(run: Path) -> list[Path]:
    """The folders of the checkpoints of all groups, those included that were never finished."""
    found = sorted((run / "checkpoints").glob("group_*/*"))
    return [path for path in found if path.is_dir() and path.name.split(".")[0].isdigit()]
