"""Where commands may write: checked before anything is drawn, and never over the files that a run owns."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Collection, Sequence
from pathlib import Path

from jaxmac.arguments import check_path
from jaxmac.runs.rows import COLUMNS

PICTURES = ("curve.png", "episode.gif", "timeline.png")  # that commands draw into the folder of a run
OWN_FILES = ("config.json", "metrics.csv", "run.lock", *PICTURES)
OWN_FOLDERS = ("checkpoints", "tensorboard", "wandb")
FEWEST_COLUMNS = COLUMNS.index("eval_success")  # of a run of any format
DRAFT = ".part"  # a file that is being written, before it takes its name in one move


def output_file(out: str | os.PathLike, suffixes: Sequence[str] = (), writes: Collection[str] = ()) -> Path:
    """`out` as a path that can be written; its folder is made if it is missing.

    Args:
        out: the file to write.
        suffixes: what its name may end with; empty: anything.
        writes: files of a run that the caller itself may replace, such as "curve.png".

    Raises ValueError, in one line, for no path or another suffix, OSError for a folder, a place that cannot be
    written, or a file that a run owns.
    """
    check_path("path", out)
    path = Path(out)
    if suffixes and path.suffix.lower() not in suffixes:
        raise ValueError(f"{path} must end with one of {', '.join(suffixes)}: its suffix selects the format")
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: give the name of a file")
    refuse_owned(path, writes)
    _make_folder(path)
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise PermissionError(f"cannot write {path}: permission denied")
    return path


def refuse_owned(out: str | os.PathLike, writes: Collection[str] = ()) -> None:
    """Raise OSError, in one line, for a path inside a run that is, or lies in, something that the run owns."""
    path = Path(out).resolve()
    for run in filter(_is_run, path.parents):
        name = path.relative_to(run).parts[0]
        if name in writes and path.parent == run:
            continue
        if name.casefold() in (*OWN_FILES, *OWN_FOLDERS) or path.name.casefold().endswith(DRAFT):
            raise OSError(f"{out}: {name} belongs to the run {run}; choose another name")


def _is_run(folder: Path) -> bool:
    """Whether a folder is that of a run, also a damaged one; other projects have files of such names, too."""
    if (folder / "run.lock").is_file():
        return True
    with contextlib.suppress(OSError, ValueError):
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if isinstance(config, dict) and {"format", "algorithm"} <= config.keys():
            return True
    with contextlib.suppress(OSError), (folder / "metrics.csv").open("rb") as file:
        return file.readline().startswith(",".join(COLUMNS[:FEWEST_COLUMNS]).encode())
    return False


def _make_folder(path: Path) -> None:
    """Make the folder of a file; OSError, in one line, if that cannot be."""
    for parent in path.parents:
        if parent.exists() and not parent.is_dir():
            raise NotADirectoryError(f"cannot write {path}: {parent} is a file, not a folder")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"cannot write {path}: {error.strerror}") from None
