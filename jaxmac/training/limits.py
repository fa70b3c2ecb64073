"""The limits that a container, a cluster's job or a shell sets on memory: control groups and resource limits.

Sources: Linux, "Control Group v2", section "Memory Interface Files", and "Memory Resource Controller" (version 1);
getrlimit(2).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import psutil


class _Version(NamedTuple):
    """The files of a version of control groups that say how much memory a group may use and uses."""

    mount: str  # where its folders lie
    limits: tuple[str, ...]
    usage: str
    cache: str  # entry of memory.stat: bytes of cached files, which are given up when memory is short
    parents: str  # entry of memory.stat: the smallest limit of the group and its parents, some of them out of sight


SECOND = _Version("sys/fs/cgroup", ("memory.max", "memory.high"), "memory.current", "inactive_file", "")
FIRST = _Version(
    "sys/fs/cgroup/memory",
    ("memory.limit_in_bytes",),
    "memory.usage_in_bytes",
    "total_inactive_file",
    "hierarchical_memory_limit",
)


def control_group_bytes(root: Path) -> list[int]:
    """Bytes that are free in each control group with a limit to which this process belongs, parents included.

    `root` is the root of the file system. Files that are missing or damaged limit nothing.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    entries = [line.split(":", 2) for line in lines if line.count(":") >= 2]
    found: list[int] = []
    for number, controllers, path in entries:
        if number == "0":
            found += _free_along(root, SECOND, path)
        elif "memory" in controllers.split(","):
            found += _free_along(root, FIRST, path)
    return found


def _free_along(root: Path, version: _Version, path: str) -> Iterator[int]:
    """The free bytes of a group and its parents. A container may show its own group as the root of all."""
    inner = PurePosixPath(path.lstrip("/"))
    for group in (inner, *inner.parents):
        folder = root / version.mount / group
        if ".." in group.parts or not folder.is_dir():
            continue
        stat = _statistics(folder)
        limits = [_number(folder / name) for name in version.limits] + [stat.get(version.parents)]
        known = [limit for limit in limits if limit is not None]
        used = _number(folder / version.usage)
        if known and used is not None:
            yield max(0, min(known) - max(0, used - stat.get(version.cache, 0)))


def _number(file: Path) -> int | None:
    """The number in a file; None where it is missing or says that there is no limit."""
    try:
        text = file.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return None
    return int(text) if text.isdecimal() else None


def _statistics(folder: Path) -> dict[str, int]:
    """The entries of memory.stat."""
    try:
        lines = (folder / "memory.stat").read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return {}
    pairs = [line.split() for line in lines]
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdecimal()}


def process_bytes() -> list[int]:
    """Bytes that this process may still allocate under each resource limit on its memory that is set."""
    try:
        import resource
    except ImportError:  # Windows has none
        return []
    used = psutil.Process().memory_info()
    limited = {resource.RLIMIT_AS: used.vms, resource.RLIMIT_DATA: getattr(used, "data", 0)}
    soft = {limit: resource.getrlimit(limit)[0] for limit in limited}
    return [max(0, soft[limit] - size) for limit, size in limited.items() if soft[limit] != resource.RLIM_INFINITY]
