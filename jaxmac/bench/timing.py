"""Timing of compiled functions: compile time apart, several repeats, median with its range."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax


class Timing(NamedTuple):
    """Seconds of one call: median, and min and max over the repeats."""

    median: float
    least: float
    most: float

    def rate(self, amount: float) -> dict[str, float]:
        """`amount` per second: median, and min and max over the repeats."""
        return {"median": amount / self.median, "min": amount / self.most, "max": amount / self.least}


def timed(call: Callable[[], Any], repeats: int) -> Timing:
    """Run `call` once untimed, then `repeats` times to the end of its work."""
    jax.block_until_ready(call())
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        jax.block_until_ready(call())
        seconds.append(time.perf_counter() - began)
    return Timing(statistics.median(seconds), min(seconds), max(seconds))


def compiled(function: Callable, *arguments: Any, donate: tuple[int, ...] = ()) -> tuple[Callable, float]:
    """`function` compiled for `arguments` (those in `donate` are given away), and the seconds that took."""
    began = time.perf_counter()
    done = jax.jit(function, donate_argnums=donate).lower(*arguments).compile()
    return done, time.perf_counter() - began
