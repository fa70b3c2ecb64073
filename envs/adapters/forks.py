"""Whether this process was forked while JAX ran in its parent: its first computation would wait for ever."""

from __future__ import annotations

import os
import sys

_late = False


def _note() -> None:
    """Called in a process that has just been forked."""
    global _late
    # JAX has no public name for the question. Without this one nothing is noted, and JAX's own warning remains.
    bridge = sys.modules.get("jax._src.xla_bridge")
    _late = bool(getattr(bridge, "backends_are_initialized", bool)())


if hasattr(os, "register_at_fork"):  # not on Windows, where no process forks
    os.register_at_fork(after_in_child=_note)


def check(name: str) -> None:
    """Raise RuntimeError where the environment `name` would hang."""
    if _late:
        what = "this process was forked after JAX had started, so it would hang"
        raise RuntimeError(f"{name}: {what}; fork before JAX runs anything, or start processes with 'spawn'")
