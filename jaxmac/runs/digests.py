"""`checkpoint.json`: the counters of a checkpoint, the digest of each of its files, and the run that it belongs to.

A checkpoint whose files do not match their digests, or that belongs to another run, is named, never trained on.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from jaxmac.errors import RunDirectoryError
from jaxmac.runs.exact import json_text

SUMMARY = "checkpoint.json"


def run_identity(config: dict[str, Any]) -> str:
    """A digest of what decides the numbers of a run, besides versions: the same run made again has the same one."""
    environment = ("env", "env_settings", "env_sizes", "env_digest")
    names = ("algorithm", *environment, "settings", "seeds", "sweep", "key_type")
    return _digest_of(json_text({name: config[name] for name in names}))


def write_summary(path: Path, counters: dict[str, Any], owner: str = "") -> None:
    """Write `checkpoint.json` for the files of a checkpoint; all of them have reached the disk afterwards.

    Args:
        path: the folder of the checkpoint.
        counters: name -> number or list of numbers.
        owner: the run and group that the checkpoint belongs to, as text; empty where that is not known.
    """
    digests = {}
    for file in sorted(path.rglob("*")):
        if file.is_file():
            digests[file.relative_to(path).as_posix()] = _digest(file, sync=True)
        else:
            sync_folder(file)
    text = json.dumps({"counters": counters, "owner": owner, "digests": digests}, indent=1)
    with (path / SUMMARY).open("w") as stream:
        stream.write(json.dumps({"digest": _digest_of(text), "summary": text}) + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    sync_folder(path)


def read_counters(path: Path) -> dict[str, Any] | None:
    """The counters of a checkpoint; None for one of format 1 or 2. Raises RunDirectoryError if it is damaged."""
    summary = _read_summary(path)
    return None if summary is None else summary["counters"]


def refuse_other_owner(path: Path, owner: str) -> None:
    """Raise RunDirectoryError if a checkpoint belongs to another run or group; earlier versions did not note it."""
    summary = _read_summary(path)
    found = "" if summary is None else summary.get("owner", "")
    if found and owner and found != owner:
        raise RunDirectoryError(
            f"the checkpoint {path} was written by another run or for other members: it cannot stand in for the "
            "one that was here"
        )


def listed_items(path: Path) -> set[str]:
    """The items that a checkpoint consists of, by its `checkpoint.json`."""
    summary = _read_summary(path)
    return set() if summary is None else {name.split("/")[0] for name in summary["digests"] if "/" in name}


def check_digests(path: Path, item: str, required: bool) -> None:
    """Compare the files of an item with their digests.

    Args:
        path: the folder of the checkpoint.
        item: the item that is read next; files of other items are not compared.
        required: whether a checkpoint without digests is damaged.

    Raises RunDirectoryError, which names the file and the checkpoint before this one, if one differs or is missing.
    """
    summary = _read_summary(path)
    if summary is None:
        if required:
            raise damaged(path, f"{SUMMARY} is missing")
        return
    for name, expected in summary["digests"].items():
        if "/" in name and name.split("/")[0] != item:
            continue
        try:
            found = _digest(path / name)
        except FileNotFoundError:
            raise damaged(path, f"{name} is missing") from None
        except OSError as error:
            raise damaged(path, f"{name} cannot be read: {error.strerror}") from None
        if found != expected:
            raise damaged(path, f"{name} does not match its digest")


def damaged(path: Path, why: str) -> RunDirectoryError:
    """The error for a checkpoint that cannot be used; it names the checkpoint before it."""
    saved = (int(folder.name) for folder in path.parent.iterdir() if folder.name.isdecimal())
    before = max((iteration for iteration in saved if iteration < int(path.name)), default=None)
    offer = "" if before is None else f"; the one before is at iteration {before} (--from {before})"
    return RunDirectoryError(f"the checkpoint {path} is damaged: {why}{offer}")


def sync_folder(path: Path) -> None:
    """Wait until the names in a folder have reached the disk."""
    if os.name == "posix":
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _read_summary(path: Path) -> dict[str, Any] | None:
    """The content of `checkpoint.json`; None if there is no such file."""
    try:
        outer = json.loads((path / SUMMARY).read_bytes())
        if outer["digest"] != _digest_of(outer["summary"]):
            raise ValueError
        return json.loads(outer["summary"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError, AttributeError):
        raise damaged(path, f"{SUMMARY} does not match its digest") from None


def _digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _digest(file: Path, sync: bool = False) -> str:
    """The SHA-256 digest of a file; with `sync` the file has reached the disk afterwards."""
    with file.open("rb") as stream:
        if sync and os.name == "posix":
            os.fsync(stream.fileno())
        return hashlib.file_digest(stream, "sha256").hexdigest()
