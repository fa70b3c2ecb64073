"""Where commands may write: checked before anything is drawn, and never over the files that a run owns."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Collection, Sequence
from pathlib import Path

from jaxmac.arguments import check_path, file_to_write, may_be_replaced
from jaxmac.runs.rows import COLUMNS

PICTURES = ("curve.png", "episode.gif", "timeline.png")  # that commands draw into the folder of a run
OWN_FILES = ("config.json", "metrics.csv", "run.lock", *PICTURES)
SINK_FOLDERS = ("tensorboard", "wandb")
OWN_FOLDERS = ("checkpoints", *SINK_FOLDERS)
FEWEST_COLUMNS = COLUMNS.index("eval_success")  # of a run of any format
DRAFT = ".part"  # ends the name of what is being written, before it takes its own in one move, or being deleted
DRAFTS = tuple(f"{name}{DRAFT}" for name in ("config.json", "metrics.csv"))  # of a process that was killed


def output_file(out: str | os.PathLike, suffixes: Sequence[str] = (), writes: Collection[str] = ()) -> Path:
    """`out` as a path that can be written; its folder is made if it is missing.

    Args:
        out: the file to write.
        suffixes: what its name may end with; empty: anything.
        writes: files of a run that the caller itself may replace, such as "curve.png".

    Raises ValueError, in one line, for no path or another suffix, OSError for a folder, a place that cannot be
    written, a file that a run owns, or one that jaxmac does not know as its own.
    """
    check_path("path", out)
    refuse_owned(out, writes)
    path = Path(out)
    if path.name in writes and _is_run(path.resolve().parent) and not may_be_replaced(path):
        path.unlink()  # the run's own picture, half written
    return file_to_write("path", path, suffixes)


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
