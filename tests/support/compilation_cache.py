"""Compiled programs, kept from one run of the suite to the next and shared by its processes and their commands.

Most of the suite's time is compiling. JAX keeps a compiled program under a key of its code, the XLA flags, the
version of XLA and the devices, so that a program that has changed is compiled anew. JAX_COMPILATION_CACHE_DIR
names another folder; removing the folder does no harm.
"""

import hashlib
import os
import platform
import re
from pathlib import Path

LARGEST = 2**30  # bytes kept; the programs that have not been read for longest go first
DAMAGED = re.compile(r"Error reading persistent compilation cache entry for '(\w+)'")


def use():
    """Turn the cache on for this process and those it starts, before JAX is imported; returns its folder."""
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(_folder()))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
    return Path(os.environ["JAX_COMPILATION_CACHE_DIR"])


def _folder():
    """One for each kind of processor: code compiled for another one may hold instructions that this one lacks."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    kind = hashlib.sha256(_processor().encode()).hexdigest()[:12]
    return caches / "jaxmac-tests" / kind


def _processor():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return "\n".join(sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))}))


def prune(folder, largest=LARGEST):
    """Remove the programs that have not been read for longest, until those left fit into `largest` bytes."""
    total = 0
    for _read, size, path in sorted(_entries(folder), reverse=True):
        total += size
        if total > largest:
            path.unlink(missing_ok=True)


def _entries(folder):
    for path in folder.glob("*-cache"):
        try:
            found = path.stat()
        except FileNotFoundError:  # another run of the suite has just removed it
            continue
        yield max(found.st_atime, found.st_mtime), found.st_size, path


def forget_damaged(folder, message):
    """Remove the entries of the program that JAX warns of: it reads them again in every run, and never mends them.

    A run that was killed leaves an entry of which the end is missing.
    """
    for name in DAMAGED.findall(message):
        for path in folder.glob(f"{name}-*-cache"):
            path.unlink(missing_ok=True)
