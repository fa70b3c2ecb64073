"""Timing of compiled functions: compile time apart, several repeats, median with its range."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax


class Timing(NamedTuple):
    """Seconds of one call over several repeats, and the seconds its compilation took."""

    median: float
    least: float
    most: float
    compile: float

    def rate(self, amount: float) -> dict[str, float]:
        """`amount` per second: median, and min and max over the repeats."""
        return {"median": amount / self.median, "min": amount / self.most, "max": amount / self.least}


def timed(call: Callable[[], Any], repeats: int, compile_seconds: float = 0.0) -> Timing:
    """Run `call` once untimed, then `repeats` times to the end of its work."""
    jax.block_until_ready(call())
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        jax.block_until_ready(call())
        seconds.append(time.perf_counter() - began)
    return Timing(statistics.median(seconds), min(seconds), max(seconds), compile_seconds)


def compiled(function: Callable, *arguments: Any) -> tuple[Callable, float]:
    """`function` (jitted here unless it is already) compiled for `arguments`, and the seconds that took."""
    began = time.perf_counter()
    jitted = function if hasattr(function, "lower") else jax.jit(function)
    done = jitted.lower(*arguments).compile()
    return done, time.perf_counter() - began


def time_function(function: Callable, arguments: tuple, repeats: int) -> Timing:
    """Compile and time `function(*arguments)`."""
    run, seconds = compiled(function, *arguments)
    return timed(lambda: run(*arguments), repeats, seconds)
