"""The run directory: config.json, metrics.csv (tidy, appended after every evaluation), checkpoints/, curve.png."""

from __future__ import annotations

import contextlib
import csv
import errno
import io
import os
import platform
import shutil
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from jaxmac.arguments import check_path
from jaxmac.errors import RunDirectoryError, bytes_in_words
from jaxmac.runs.exact import json_text
from jaxmac.runs.lock import LOCK_NAME, RunLock
from jaxmac.runs.outputs import DRAFT, DRAFTS
from jaxmac.runs.replacing import Parts, bytes_of_run, parts_of_run, remove_run
from jaxmac.runs.rows import COLUMNS, columns_of, csv_cells, tabulate, to_number
from jaxmac.runs.schema import FORMAT, config_from
from jaxmac.runs.table import read_rows

__all__ = [
    "COLUMNS",
    "FORMAT",
    "RunDirectory",
    "RunDirectoryError",
    "read_config",
    "read_rows",
    "tabulate",
    "to_number",
    "versions",
]

VERSIONED_PACKAGES = ("jaxmac", "jax", "jaxlib", "flax", "optax", "flashbax", "numpy")


class RunDirectory:
    """Writes the files of one run, and keeps other writers out until `close`.

    With `path=None` or `writes=False` nothing is written; of several processes only process 0 writes. As a context
    it is closed at the end.
    """

    def __init__(self, path: str | os.PathLike | None, writes: bool = True):
        self.path = None if path is None else Path(path).absolute()  # the current directory may change
        self.writes = writes and path is not None
        self._lock: RunLock | None = None
        self._made = False  # whether `claim` has made the directory
        self._replaced: Parts | None = None  # the run that is there and that `begin` removes
        self._updates: dict[Any, int] = {}  # member -> updates at its last row
        self._config: dict[str, Any] = {}  # of the run that is written

    def __enter__(self) -> RunDirectory:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Let other processes write the directory; one that was claimed and never written is removed again."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None
        if self._made:
            with contextlib.suppress(OSError):  # it is not empty, as it should be
                self._folder.rmdir()
            self._made = False

    @property
    def _folder(self) -> Path:
        """The directory, where something is read or written."""
        assert self.path is not None
        return self.path

    def claim(self, overwrite: bool, needed_bytes: int) -> None:
        """Make sure that a new run can be written here, and lock the directory. No run is touched before `begin`.

        Args:
            overwrite: a run that the directory holds may be replaced.
            needed_bytes: the free space that the run needs.

        Raises:
            RunDirectoryError: the directory already holds a run (without `overwrite`), something that is not a run,
                or other files; another process writes it; it cannot be written, or lies on a disk with less than
                `needed_bytes` free.
        """
        if not self.writes:
            return
        path = self._folder
        with self._one_line_errors():
            self._refuse_path()
            self._made = not path.exists()
            path.mkdir(parents=True, exist_ok=True)
            self.lock()
            if self._holds_a_run(overwrite):
                self._replaced = parts_of_run(path, read_config(path).get("log") or ())
            self._refuse_full_disk(needed_bytes, self.replaces)

    @property
    def replaces(self) -> bool:
        """Whether `begin` removes a run that is there."""
        return self._replaced is not None

    def check(self, overwrite: bool, needed_bytes: int = 0) -> None:
        """Raise what `claim` would raise, but for another writer; nothing is made, locked or written."""
        if self.writes:
            with self._one_line_errors():
                self._refuse_path()
                replaces = self._folder.is_dir() and self._holds_a_run(overwrite)
                self._refuse_full_disk(needed_bytes, replaces)

    def _refuse_full_disk(self, needed_bytes: int, replaces: bool) -> None:
        """Raise OSError unless so much is free where the directory is or will be made."""
        folder = self._folder.absolute()
        there = next(path for path in (folder, *folder.parents) if path.exists())
        free = shutil.disk_usage(there).free + (bytes_of_run(folder) if replaces else 0)
        if free < needed_bytes:
            raise OSError(errno.ENOSPC, f"{bytes_in_words(free)} free, {bytes_in_words(needed_bytes)} needed")

    def _refuse_path(self) -> None:
        name = str(self._folder.absolute())
        if ("\\" in name and os.sep == "/") or name != name.encode(errors="replace").decode():
            raise RunDirectoryError(
                f"{name!r} cannot hold checkpoints: choose another --out, without a backslash and in UTF-8"
            )
        if self._folder.exists() and not self._folder.is_dir():
            raise RunDirectoryError(f"{self.path} is a file, not a directory: choose another --out")
        folder = self._folder.absolute()  # if it is there, its own folder above may be closed
        above = next(path for path in (folder, *folder.parents) if path.exists())
        if not above.is_dir() or not os.access(above, os.W_OK):
            problem = "cannot be written to" if above.is_dir() else "is a file"
            raise RunDirectoryError(f"{self.path} cannot be made, {above} {problem}: choose another --out")

    def lock(self) -> None:
        """Keep other writers out until `close`; raises RunDirectoryError, with the writer, if there is one."""
        if self.writes:
            lock = RunLock(self._folder)
            with self._one_line_errors():
                lock.acquire()
            self._lock = lock

    def _holds_a_run(self, overwrite: bool) -> bool:
        """Whether there is a run, which `overwrite` allows to replace. A draft of a killed process is nothing."""
        path = self._folder
        if (path / "config.json").exists() or (path / "metrics.csv").exists():
            if not overwrite:
                raise RunDirectoryError(
                    f"{path} already holds a run: choose another --out, replace it with --overwrite, "
                    f"or continue it with `jaxmac resume {path}`"
                )
            self._refuse_unless_a_run()
            return True
        if any(entry.name not in (LOCK_NAME, *DRAFTS) for entry in path.iterdir()):
            raise RunDirectoryError(f"{path} is not empty and holds no run: choose another --out")
        return False

    def _refuse_unless_a_run(self) -> None:
        """Raise RunDirectoryError unless the files that would be replaced are those of a run of jaxmac."""
        try:
            read_config(self._folder)
        except RunDirectoryError as error:
            raise RunDirectoryError(
                f"{self.path} holds no run of jaxmac that could be replaced: {error}; choose another --out"
            ) from None

    def begin(self, config: dict[str, Any]) -> None:
        """Write config.json, with this content, and the header of metrics.csv, in place of a run that is replaced.

        Raises:
            RunDirectoryError: the directory cannot be written.
        """
        if not self.writes:
            return
        with self._one_line_errors():
            if self._replaced is not None:
                remove_run(self._folder, self._replaced)
                self._replaced = None
            self._config = config
            self.write_config(config)
            _replace(self._folder / "metrics.csv", _csv_text([columns_of(config)]))
            self._made = False

    @contextlib.contextmanager
    def _one_line_errors(self) -> Iterator[None]:
        """Turn an OSError into a RunDirectoryError of one line."""
        try:
            yield
        except RunDirectoryError:
            raise
        except OSError as error:
            raise RunDirectoryError(f"cannot write the run directory {self.path}: {_reason(error)}") from error

    def reopen(self, config: dict[str, Any], reached: dict[int, int]) -> list[dict[str, Any]]:
        """Open the directory of a run that is continued and return the rows of metrics.csv that are kept.

        Args:
            config: the new content of config.json. It is written first: from then on the run is not finished.
            reached: as for `kept_rows`. Other rows are removed in one atomic move.

        Raises:
            RunDirectoryError: metrics.csv is missing, or the directory cannot be written.
        """
        self._config = config
        kept = self.kept_rows(config, reached)
        self._updates = {int(row["member"]): int(row["updates"]) for row in kept}
        if not self.writes:
            return kept
        columns = columns_of(config)
        lines = [columns, *([row[column] for column in columns] for row in kept)]
        with self._one_line_errors():
            self.write_config(config)
            _replace(self._folder / "metrics.csv", _csv_text(lines))
        return kept

    def kept_rows(self, config: dict[str, Any], reached: dict[int, int]) -> list[dict[str, Any]]:
        """The rows of metrics.csv that a run of this config keeps when it is continued.

        `reached` has for each member the training episodes at its last evaluation before the checkpoint. Later
        rows, rows of members that are not in it, and an incomplete last line are left out. Raises
        RunDirectoryError, in one line, if the file is missing or damaged.
        """
        file = self._folder / "metrics.csv"
        before = read_config(self._folder)  # what the rows were written under; `config` has today's names
        config_of_rows = config | {name: before[name] for name in ("status", "episodes")}
        rows = read_rows(file, config_of_rows)
        return [row for row in rows if int(row["episodes"]) <= reached.get(int(row["member"]), -1)]

    def refuse_missing_rows(
        self, config: dict[str, Any], reached: dict[int, int], counted: dict[int, tuple[int, int]]
    ) -> None:
        """Raise RunDirectoryError, in one line, unless metrics.csv has the rows up to a checkpoint.

        Arguments as in `kept_rows`, and the steps and updates of members whose last row must have them. A run that
        goes on without its rows could not be opened again, and one with another run's would mix both.
        """
        rows = self.kept_rows(config, reached)
        last = {int(row["member"]): int(row["episodes"]) for row in rows}
        totals = {int(row["member"]): (int(row["env_steps"]), int(row["updates"])) for row in rows}
        file = self._folder / "metrics.csv"
        for member, found in totals.items():
            if counted.get(member, found) != found and last[member] == reached[member]:
                steps, there = f"{found[0]} steps and {found[1]} updates", "{} and {}".format(*counted[member])
                raise RunDirectoryError(
                    f"{file} is of another run: member {member} has {steps} at {last[member]} episodes, its "
                    f"checkpoint {there}"
                )
        for member, episodes in reached.items():
            if last.get(member) != episodes:
                ends = "has no rows" if member not in last else f"ends at {last[member]} episodes"
                there = f"its checkpoint is of {episodes}: continue from an earlier one (--from), or train it again"
                raise RunDirectoryError(f"{file} is damaged: member {member} {ends}, {there}")

    def write_config(self, config: dict[str, Any]) -> None:
        """Write config.json in one atomic move; raises RunDirectoryError, in one line, if it cannot be written."""
        if not self.writes:
            return
        with self._one_line_errors():
            _replace(self._folder / "config.json", json_text(config) + "\n")

    def append(self, rows: list[dict[str, Any]]) -> None:
        """Append rows to metrics.csv, all of them or none; they have reached the disk when this method returns.

        Raises RunDirectoryError if they cannot be written, or if the file is not there any more.
        """
        if not self.writes:
            return
        file = self._folder / "metrics.csv"
        learned = [row["updates"] > self._updates.get(row["member"], 0) for row in rows]
        lines = [csv_cells(row, self._config, one) for row, one in zip(rows, learned, strict=True)]
        try:
            with file.open("r+b", buffering=0) as stream:  # never makes a file without a header
                size = stream.seek(0, os.SEEK_END)
                try:
                    _write_all(stream, _csv_text(lines))
                    os.fsync(stream.fileno())
                except BaseException:
                    stream.truncate(size)
                    raise
        except FileNotFoundError:
            raise RunDirectoryError(f"cannot write {file}: it was deleted while the run was going on") from None
        except OSError as error:
            raise RunDirectoryError(f"cannot write {file}: {_reason(error)}") from error
        self._updates |= {row["member"]: row["updates"] for row in rows}


def _csv_text(lines: list[list[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()


def _write_all(stream: Any, text: str) -> None:
    """Write a text to an unbuffered file, which may take a part of it at a time."""
    data = memoryview(text.encode())
    while data:
        data = data[stream.write(data) :]


def _replace(file: Path, text: str) -> None:
    """Replace a file in one atomic move, after the new content has reached the disk."""
    draft = file.with_name(file.name + DRAFT)
    try:
        with draft.open("w") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(file)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _reason(error: OSError) -> str:
    """The message of an OSError without its number and path."""
    return error.args[1] if len(error.args) > 1 else str(error)


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that determine the numbers of a run."""
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in VERSIONED_PACKAGES}}


def read_config(path: str | os.PathLike) -> dict[str, Any]:
    """The content of the config.json of a run, which has been checked against its schema.

    Raises RunDirectoryError, in one line, if it is missing or damaged, or its format is newer than this jaxmac, and
    ValueError if `path` is none.
    """
    check_path("path", path)
    return config_from(Path(path) / "config.json")
