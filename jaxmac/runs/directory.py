"""The run directory: config.json, metrics.csv (tidy, appended as it comes), checkpoints/, curve.png."""

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
FORMAT = 2  # of the run directory
PACKAGES = ("jaxmac", "jax", "jaxlib", "flax", "optax", "flashbax", "numpy")


class RunDirectoryError(OSError):
    """A run directory that cannot be used; the message is one line and says what to do."""


def cell(value: Any) -> Any:
    """A value as written in the CSV: NaN is empty, floats keep seven digits."""
    if isinstance(value, (float, np.floating)):
        return "" if np.isnan(value) else f"{float(value):.7g}"
    return value


class RunDirectory:
    """Writes one run. With `path=None`, or in a process that leaves it to another, nothing is written."""

    def __init__(self, path: str | os.PathLike | None, writes: bool = True):
        self.path = None if path is None else Path(path)
        self.writes = writes and path is not None

    def create(self, config: dict[str, Any], swept: list[str], overwrite: bool, needed_bytes: int) -> None:
        """Make the directory and prove that it can hold the run.

        Raises RunDirectoryError if it already holds a run (without `overwrite`), holds something else, cannot be
        written or lies on a disk without `needed_bytes` of space.
        """
        if not self.writes:
            return
        try:
            self._make_room(overwrite)
            free = shutil.disk_usage(self.path).free
            if free < needed_bytes:
                raise OSError(errno.ENOSPC, f"{free / 1e6:.0f} MB free, {needed_bytes / 1e6:.0f} MB needed")
            self.columns = [*COLUMNS, *swept]
            self.write_config(config)
            self._append_lines([self.columns], mode="w")
        except RunDirectoryError:
            raise
        except OSError as error:
            raise RunDirectoryError(f"cannot write the run directory {self.path}: {_reason(error)}") from error

    def _make_room(self, overwrite: bool) -> None:
        path = self.path
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
        """Go on with a run that is there; returns the metrics rows that stay.

        `reached`: member -> episodes of its last evaluation before the checkpoint; later rows, those of members
        without one, and a torn last line are dropped in one atomic move.
        """
        self.columns = [*COLUMNS, *swept]
        kept = []
        for row in read_rows(self.path / "metrics.csv"):
            whole = None not in row.values() and None not in row
            if whole and int(row["episodes"]) <= reached.get(int(row["member"]), -1):
                kept.append(row)
        if not self.writes:
            return kept
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(
            [self.columns, *([row[column] for column in self.columns] for row in kept)]
        )
        try:
            _replace(self.path / "metrics.csv", text.getvalue())
            self.write_config(config)
        except OSError as error:
            raise RunDirectoryError(f"cannot write the run directory {self.path}: {_reason(error)}") from error
        return kept

    def write_config(self, config: dict[str, Any]) -> None:
        """(Re)write config.json in one atomic move."""
        if not self.writes:
            return
        _replace(self.path / "config.json", json.dumps(config, indent=2, default=str) + "\n")

    def append(self, rows: list[dict[str, Any]]) -> None:
        """Append one row per member to metrics.csv, in one write that reaches the disk before it returns."""
        if self.writes:
            self._append_lines([[cell(row[column]) for column in self.columns] for row in rows], mode="a")

    def _append_lines(self, lines: list[list[Any]], mode: str) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(lines)
        try:
            with (self.path / "metrics.csv").open(mode) as file:
                file.write(text.getvalue())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise RunDirectoryError(f"cannot write {self.path / 'metrics.csv'}: {_reason(error)}") from error


def _replace(file: Path, text: str) -> None:
    """Write a file in one atomic move, its content on disk before its name."""
    draft = file.with_name(file.name + ".part")
    with draft.open("w") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(file)


def _reason(error: OSError) -> str:
    return error.args[1] if len(error.args) > 1 else str(error)


def versions() -> dict[str, str]:
    """Versions of what decides the numbers of a run."""
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in PACKAGES}}


def read_config(path: str | os.PathLike) -> dict[str, Any]:
    """config.json of a run; RunDirectoryError where there is none or its format is newer."""
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
    """The rows of a metrics.csv as text; RunDirectoryError where there is none."""
    try:
        with file.open() as stream:
            return list(csv.DictReader(stream))
    except FileNotFoundError:
        raise RunDirectoryError(f"{file.parent} is no run directory: it has no metrics.csv") from None


def tabulate(rows: Sequence[dict[str, Any]], swept: Sequence[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Metrics rows as arrays `[evaluations, members]`, keyed by the columns from `episodes` on.

    Args:
        rows: as written or as read; an empty cell is NaN.
        swept: for each member its swept values, which become columns of their own type.

    Kept are the evaluations that every member with any row has reached; a member without a row is NaN throughout.
    """
    found: list[list[dict[str, Any]]] = [[] for _ in swept]
    for row in rows:
        found[int(row["member"])].append(row)
    evaluations = min((len(member) for member in found if member), default=0)
    empty = dict.fromkeys(COLUMNS, "")
    table = {
        name: np.array([[number((m[e] if m else empty)[name]) for m in found] for e in range(evaluations)])
        for name in COLUMNS[2:]
    }
    names = list(swept[0]) if swept else []
    columns = {name: np.array([values[name] for values in swept]) for name in names}
    return table | {name: np.tile(values, (evaluations, 1)) for name, values in columns.items()}


def number(cell: Any) -> float:
    """A cell as a number; an empty one is NaN."""
    return float("nan") if cell == "" else float(cell)
