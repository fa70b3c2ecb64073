"""Compiled programs are kept in the user's cache directory, so that the next process need not compile them.

JAX keeps a program under a key of its code, the XLA flags, the versions and the devices: one that has changed is
compiled anew. Here are the folder, its size, and what is done about entries that cannot be read or written.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import os
import platform
import re
import tempfile
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import platformdirs
from jax.experimental.compilation_cache import compilation_cache

from jaxmac.errors import RunNote

LARGEST = 2**30  # bytes kept; the programs that have not been read for longest go first
TROUBLE = re.compile(r"Error (reading|writing) persistent compilation cache entry for '(\w+)': (.*)", re.DOTALL)


def use_compilation_cache() -> Path | None:
    """Keep compiled programs in the user's cache directory from now on; returns the folder.

    Nothing changes where JAX's own options say what to do: `jax_compilation_cache_dir`,
    or `jax_enable_compilation_cache=False`. Returns None then, and with a note where the folder cannot be written.
    """
    if jax.config.jax_compilation_cache_dir or not jax.config.jax_enable_compilation_cache:  # type: ignore[attr-defined]
        return None
    folder = Path("the user's cache directory")
    try:
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (OSError, RuntimeError) as error:  # RuntimeError: the user has no home directory
        reason = getattr(error, "strerror", None) or error
        warnings.warn(f"compiled programs are not kept: {folder}: {reason}", RunNote, stacklevel=2)
        jax.config.update("jax_enable_compilation_cache", False)  # one note is enough
        return None
    with contextlib.suppress(OSError):  # entries of another user, say: the folder grows
        prune(folder)
    jax.config.update("jax_compilation_cache_dir", str(folder))
    compilation_cache.reset_cache()  # JAX asks for the folder once, when it compiles for the first time
    return folder


@contextlib.contextmanager
def without_compilation_cache() -> Iterator[None]:
    """Inside, every program is compiled anew, whatever JAX's options say, and none is kept."""
    before = jax.config.jax_enable_compilation_cache  # type: ignore[attr-defined]
    jax.config.update("jax_enable_compilation_cache", False)
    compilation_cache.reset_cache()
    try:
        yield
    finally:
        jax.config.update("jax_enable_compilation_cache", before)
        compilation_cache.reset_cache()


def cache_folder() -> Path:
    """The folder of compiled programs, one for each kind of processor.

    Code compiled for another kind may hold instructions that this one lacks. Raises RuntimeError for a user without
    a home directory.
    """
    kind = hashlib.sha256(_processor().encode()).hexdigest()[:12]
    caches = platformdirs.user_cache_path("jaxmac", appauthor=False)
    if not caches.is_absolute():
        raise RuntimeError(f"{caches} is not an absolute path")
    return caches / "compiled" / kind


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return "\n".join(sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))}))


def prune(folder: Path, largest: int = LARGEST) -> None:
    """Remove the programs that have not been read for longest, until those left fit into `largest` bytes."""
    total = 0
    for _, size, path in sorted(_entries(folder), reverse=True):
        total += size
        if total > largest:
            path.unlink(missing_ok=True)


def _entries(folder: Path) -> Iterator[tuple[float, int, Path]]:
    for path in folder.glob("*-cache"):
        try:
            found = path.stat()
        except FileNotFoundError:  # another process has just removed it
            continue
        yield max(found.st_atime, found.st_mtime), found.st_size, path


@contextlib.contextmanager
def trouble_in_a_line() -> Iterator[None]:
    """Inside, what JAX warns of entries that it cannot read or write becomes one note; damaged entries are removed.

    JAX would read a damaged entry again in every process, and never mend it. Inside another one nothing is added.
    """
    if hasattr(warnings.showwarning, "mends_entries"):
        yield
        return
    noted = False
    with warnings.catch_warnings():
        warnings.filterwarnings("always", "Error (reading|writing) persistent compilation cache entry")
        usual = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
            nonlocal noted
            found = TROUBLE.fullmatch(str(message))
            if found is None:
                usual(message, category, *place, **more)
                return
            if found[1] == "reading":
                forget(Path(jax.config.jax_compilation_cache_dir or os.devnull), found[2])  # type: ignore[attr-defined]
            if not noted:
                noted = True
                verb, reason = {"reading": "read", "writing": "written"}[found[1]], found[3].partition("\n")[0]
                text = f"a program was compiled anew: the cache of compiled programs could not be {verb} ({reason})"
                warnings.warn(text, RunNote, stacklevel=2)

        show.mends_entries = True  # type: ignore[attr-defined]
        warnings.showwarning = show
        yield


def forget(folder: Path, program: str) -> None:
    """Remove the damaged entries of a program; the name is the same for the iterations of every run.

    An entry that another process was still writing, or has removed, is not damaged.
    """
    for path in folder.glob(f"{program}-*-cache"):
        with contextlib.suppress(OSError):
            if not _can_be_unpacked(path.read_bytes()):
                path.unlink()


def _can_be_unpacked(entry: bytes) -> bool:
    """Whether one of the libraries with which JAX packs entries, those that are installed, can unpack this one."""
    unpackers: list[Callable[[bytes], bytes]] = [zlib.decompress]
    with contextlib.suppress(ImportError):
        unpackers.append(importlib.import_module("zstandard").ZstdDecompressor().decompress)
    with contextlib.suppress(ImportError):
        unpackers.append(importlib.import_module("compression.zstd").decompress)
    for unpack in unpackers:
        with contextlib.suppress(Exception):
            return len(unpack(entry)) > 0
    return False
