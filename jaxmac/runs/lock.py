"""The lock of a run directory: one process writes at a time, and the second is told which one it is."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import time
from pathlib import Path
from typing import Any

from jaxmac.errors import RunDirectoryError

try:
    import fcntl
except ImportError:  # Windows: two writers are not kept apart there
    fcntl = None  # type: ignore[assignment]

LOCK_NAME = "run.lock"
# Errors of file systems without locks, where two writers are not kept apart.
WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)


class RunLock:
    """A lock on a run directory, for the time that this process writes it.

    The operating system releases it when the process ends, however it ends, so a lock never outlives its writer.
    The file names the writer: host, process, and since when.
    """

    def __init__(self, folder: Path):
        self.file = folder / LOCK_NAME
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            RunDirectoryError: another process, or another call in this one, holds it; the message says which.
            OSError: the file cannot be written.
        """
        if fcntl is None:
            return
        while self._descriptor is None:
            descriptor = os.open(self.file, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                _lock(descriptor)
                if _is_file(descriptor, self.file):  # else the writer before has just removed it
                    _describe_writer(descriptor)
                    self._descriptor = descriptor
            except BlockingIOError:
                raise RunDirectoryError(
                    f"{self.file.parent} is being written by {_writer(self.file)}: wait for it, or stop it"
                ) from None
            finally:
                if self._descriptor is None:
                    os.close(descriptor)

    def release(self) -> None:
        """Give the lock back and remove its file; nothing happens without a lock."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with contextlib.suppress(OSError):
                if _is_file(descriptor, self.file):
                    self.file.unlink()
            os.close(descriptor)


def _lock(descriptor: int) -> None:
    """Lock an open file, where its file system can; raises BlockingIOError if it is locked already."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in WITHOUT_LOCKS:
            raise


def _is_file(descriptor: int, file: Path) -> bool:
    """Whether an open file is the one that has this name now."""
    try:
        return os.path.samestat(os.fstat(descriptor), file.stat())
    except FileNotFoundError:
        return False


def _describe_writer(descriptor: int) -> None:
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    text = json.dumps({"host": socket.gethostname(), "process": os.getpid(), "since": since}) + "\n"
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, text.encode(), 0)


def _writer(file: Path) -> str:
    """The writer that a lock file names, in words."""
    try:
        found: dict[str, Any] = json.loads(file.read_text())
        return f"process {found['process']} on {found['host']} since {found['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
