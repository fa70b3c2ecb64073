"""How programs are compiled for a CPU, and traced without the garbage collector."""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Iterator

import jax
from jax.stages import Compiled, Lowered

LEVEL = "xla_backend_optimization_level"
ONCE = 0  # a program that runs once: its many random draws are slow to compile
OFTEN = 1  # measured on AMD EPYC: less to compile than with XLA's own level, and training is no slower


def compiled(lowered: Lowered, once: bool = False) -> Compiled:
    """Compile `lowered` for a CPU at a low level of optimisation, the lowest if it runs `once` only.

    Most time of training on a CPU goes to matrix products, which are library functions. Other devices keep XLA's
    level, and for programs that run often a level in the environment variable `XLA_FLAGS` takes precedence.
    """
    if jax.default_backend() != "cpu":
        return lowered.compile()
    if once:
        return lowered.compile({LEVEL: ONCE})  # type: ignore[dict-item]
    if LEVEL in os.environ.get("XLA_FLAGS", ""):
        return lowered.compile()
    return lowered.compile({LEVEL: OFTEN})  # type: ignore[dict-item]


@contextlib.contextmanager
def collection_paused() -> Iterator[None]:
    """Python's garbage collector pauses inside; it would take a quarter of the time that tracing takes."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
