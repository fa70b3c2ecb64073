"""The run directory: config.json, metrics.csv (tidy, appended after every evaluation), checkpoints/, curve.png."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import platform
import shutil
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

COLUMNS = (
    "member",
    "seed",
    "episodes",
    "env_steps",
    "updates",
    "wall_seconds",
    "eval_return",
    "eval_discounted_return",
    "eval_length",
    "train_return",
    "loss",
    "epsilon",
)
FORMAT = 2  # version of the format of run directories
VERSIONED_PACKAGES = ("jaxmac", "jax", "jaxlib", "flax", "optax", "flashbax", "numpy")


class RunDirectoryError(OSError):
    """A run directory cannot be read or written; the message is one line and says what to do."""


def csv_cell(value: Any) -> Any:
    """A value as it is written to metrics.csv: NaN as an empty cell, other floats with seven significant digits."""
    if isinstance(value, (float, np.floating)):
        return "" if np.isnan(value) else f"{float(value):.7g}"
    return value


class RunDirectory:
    """Writes the files of one run.

    With `path=None` or `writes=False` nothing is written; of several processes only process 0 writes.
    """

    def __init__(self, path: str | os.PathLike | None, writes: bool = True):
        self.path = None if path is None else Path(path)
        self.writes = writes and path is not None

    @property
    def _folder(self) -> Path:
        """The directory, where something is read or written."""
        assert self.path is not None
        return self.path

    def create(self, config: dict[str, Any], swept: list[str], overwrite: bool, needed_bytes: int) -> None:
        """Make the directory, with config.json and the header of metrics.csv.

        Args:
            config: the content of config.json.
            swept: names of the swept hyperparameters, which become the last columns of metrics.csv.
            overwrite: replace a run that the directory holds.
            needed_bytes: the free space that the run needs.

        Raises:
            RunDirectoryError: the directory already holds a run (without `overwrite`) or other files, cannot be
                written, or lies on a disk with less than `needed_bytes` free.
        """
        if not self.writes:
            return
        try:
            self._prepare(overwrite)
            free = shutil.disk_usage(self._folder).free
            if free < needed_bytes:
                raise OSError(errno.ENOSPC, f"{free / 1e6:.0f} MB free, {needed_bytes / 1e6:.0f} MB needed")
            self.columns = [*COLUMNS, *swept]
            self.write_config(config)
            self._append_lines([self.columns], mode="w")
        except RunDirectoryError:
            raise
        except OSError as error:
            raise RunDirectoryError(f"cannot write the run directory {self.path}: {_reason(error)}") from error

    def _prepare(self, overwrite: bool) -> None:
        """Make an empty directory, or remove the files of the run that is replaced."""
        path = self._folder
        if path.exists() and not path.is_dir():
            raise RunDirectoryError(f"{path} is a file, not a directory: choose another --out")
        if (path / "config.json").exists() or (path / "metrics.csv").exists():
            if not overwrite:
                raise RunDirectoryError(
                    f"{path} already holds a run: choose another --out, replace it with --overwrite, "
                    f"or continue it with `jaxmac resume {path}`"
                )
            for name in ("config.json", "metrics.csv", "curve.png", "episode.gif"):
                (path / name).unlink(missing_ok=True)
            for name in ("checkpoints", "tensorboard", "wandb"):
                shutil.rmtree(path / name, ignore_errors=True)
        elif path.is_dir() and any(path.iterdir()):
            raise RunDirectoryError(f"{path} is not empty and holds no run: choose another --out")
        path.mkdir(parents=True, exist_ok=True)

    def reopen(self, config: dict[str, Any], swept: list[str], reached: dict[int, int]) -> list[dict[str, Any]]:
        """Open the directory of a run that is continued and return the rows of metrics.csv that are kept.

        Args:
            config: the new content of config.json.
            swept: names of the swept hyperparameters.
            reached: member -> training episodes at its last evaluation before the checkpoint. Later rows, rows of
                members that are not in `reached`, and an incomplete last line are removed in one atomic move.

        Raises:
            RunDirectoryError: metrics.csv is missing, or the directory cannot be written.
        """
        self.columns = [*COLUMNS, *swept]
        kept = []
        for row in read_rows(self._folder / "metrics.csv"):
            complete = None not in row.values() and None not in row
            if complete and int(row["episodes"]) <= reached.get(int(row["member"]), -1):
                kept.append(row)
        if not self.writes:
            return kept
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(
            [self.columns, *([row[column] for column in self.columns] for row in kept)]
        )
        try:
            _replace(self._folder / "metrics.csv", text.getvalue())
            self.write_config(config)
        except OSError as error:
            raise RunDirectoryError(f"cannot write the run directory {self.path}: {_reason(error)}") from error
        return kept

    def write_config(self, config: dict[str, Any]) -> None:
        """Write config.json in one atomic move."""
        if not self.writes:
            return
        _replace(self._folder / "config.json", json.dumps(config, indent=2, default=str) + "\n")

    def append(self, rows: list[dict[str, Any]]) -> None:
        """Append rows to metrics.csv in one write that has reached the disk when this method returns."""
        if self.writes:
            self._append_lines([[csv_cell(row[column]) for column in self.columns] for row in rows], mode="a")

    def _append_lines(self, lines: list[list[Any]], mode: str) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(lines)
        try:
            with (self._folder / "metrics.csv").open(mode) as file:
                file.write(text.getvalue())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise RunDirectoryError(f"cannot write {self._folder / 'metrics.csv'}: {_reason(error)}") from error


def _replace(file: Path, text: str) -> None:
    """Replace a file in one atomic move, after the new content has reached the disk."""
    draft = file.with_name(file.name + ".part")
    with draft.open("w") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(file)


def _reason(error: OSError) -> str:
    """The message of an OSError without its number and path."""
    return error.args[1] if len(error.args) > 1 else str(error)


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that determine the numbers of a run."""
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in VERSIONED_PACKAGES}}


def read_config(path: str | os.PathLike) -> dict[str, Any]:
    """The content of config.json.

    Raises RunDirectoryError if it is missing or damaged, or if its format is newer than this jaxmac.
    """
    file = Path(path) / "config.json"
    try:
        config = json.loads(file.read_text())
    except FileNotFoundError:
        raise RunDirectoryError(f"{path} is no run directory: it has no config.json") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise RunDirectoryError(f"{file} is damaged: {error}") from None
    if config.get("format", 0) > FORMAT:
        raise RunDirectoryError(
            f"{file} has format {config['format']}, this jaxmac reads up to {FORMAT}: upgrade it"
        )
    return config


def read_rows(file: Path) -> list[dict[str, str]]:
    """The rows of a metrics.csv, column -> text. Raises RunDirectoryError if the file is missing."""
    try:
        with file.open() as stream:
            return list(csv.DictReader(stream))
    except FileNotFoundError:
        raise RunDirectoryError(f"{file.parent} is no run directory: it has no metrics.csv") from None


def tabulate(rows: Sequence[dict[str, Any]], swept: Sequence[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Rows of metrics.csv as arrays `[evaluations, members]`, one for each column from `episodes` on.

    Only evaluations that every member with rows has reached are kept; a member without any rows is NaN throughout.

    Args:
        rows: dicts of column -> number, or text as read from the file, where an empty cell is NaN.
        swept: the swept values of each member, which become columns with the type of the values.
    """
    rows_of: list[list[dict[str, Any]]] = [[] for _ in swept]
    for row in rows:
        rows_of[int(row["member"])].append(row)
    evaluations = min((len(own) for own in rows_of if own), default=0)
    empty = dict.fromkeys(COLUMNS, "")
    table = {
        name: np.array(
            [[to_number((own[e] if own else empty)[name]) for own in rows_of] for e in range(evaluations)]
        )
        for name in COLUMNS[2:]
    }
    names = list(swept[0]) if swept else []
    columns = {name: np.array([values[name] for values in swept]) for name in names}
    return table | {name: np.tile(values, (evaluations, 1)) for name, values in columns.items()}


def to_number(cell: Any) -> float:
    """A cell of metrics.csv as a number; an empty cell is NaN."""
    return float("nan") if cell == "" else float(cell)
