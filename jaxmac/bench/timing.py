"""Timing of compiled functions: several repeats after a warm-up, and compile time apart."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax


class Timing(NamedTuple):
    """Seconds of one call: median, minimum and maximum over the repeats."""

    median: float
    fastest: float
    slowest: float

    def rate(self, amount: float) -> dict[str, float]:
        """`amount` per second: median, minimum and maximum over the repeats."""
        return {"median": amount / self.median, "min": amount / self.slowest, "max": amount / self.fastest}


def timed(call: Callable[[], Any], repeats: int) -> Timing:
    """Time `call` until its results are ready, `repeats` times after one call that is not timed."""
    jax.block_until_ready(call())
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(call())
        seconds.append(time.perf_counter() - start)
    return Timing(statistics.median(seconds), min(seconds), max(seconds))


def compiled(function: Callable, *arguments: Any, donate: tuple[int, ...] = ()) -> tuple[Callable, float]:
    """`function` compiled for `arguments`, whose positions in `donate` are donated, and the seconds it took."""
    start = time.perf_counter()
    executable = jax.jit(function, donate_argnums=donate).lower(*arguments).compile()
    return executable, time.perf_counter() - start
