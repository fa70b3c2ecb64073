"""Progress of a run: a bar on a terminal, lines in a log file."""

from __future__ import annotations

import contextlib
import io
import sys
import time
from typing import Any, TextIO, cast

import numpy as np
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from jaxmac.processes.collective import is_main_process


def progress_console(wanted: bool) -> Console:
    """The console that shows progress on stderr of process 0; silent elsewhere, or without `wanted`."""
    quiet = not (wanted and is_main_process())
    # There is no stderr where it was closed before Python started.
    file = cast(TextIO, Unfailing(sys.stderr or io.StringIO()))
    return Console(file=file, quiet=quiet, highlight=False, soft_wrap=True, markup=False)


class Unfailing:
    """A text stream whose writes never fail: a run goes on when the terminal that shows its progress is closed."""

    def __init__(self, stream: TextIO):
        self.stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        """Write a text if the stream still takes it; RuntimeError is a signal handler within another write."""
        with contextlib.suppress(OSError, ValueError, RuntimeError):
            return self.stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush the stream if it still can be."""
        with contextlib.suppress(OSError, ValueError, RuntimeError):
            self.stream.flush()


class Reporter:
    """Shows the finished episodes, the rates, the remaining time and the latest returns of one group of members.

    Rates are means over the whole run, including its parts before it was resumed; `start` is the number of
    iterations of those parts.
    """

    def __init__(self, console: Console, iterations: int, episodes_per_iteration: int, start: int = 0):
        self.console, self.iterations, self.per_iteration = console, iterations, episodes_per_iteration
        self.start = start
        self.warned = False  # whether dropped rows have been reported
        self.bar = Progress(
            TextColumn("episodes"),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=True),
            TextColumn("{task.fields[news]}"),
            console=console,
            disable=not console.is_terminal,
        )
        total, completed = (n * episodes_per_iteration for n in (iterations, start))
        self.task = self.bar.add_task("", total=total, completed=completed, news="")
        self.began = time.perf_counter()
        self.next_line = start / iterations

    def __enter__(self) -> Reporter:
        self.bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.stop()

    def note(self, text: str) -> None:
        """Print one line above the bar."""
        self.bar.console.print(text)

    def advance(self, done: int) -> None:
        """Update the bar after a chunk, at `done` iterations."""
        self.bar.update(self.task, completed=done * self.per_iteration)

    def update(self, done: int, rows: list[dict[str, Any]]) -> None:
        """Show the metrics rows of an evaluation at `done` iterations."""
        seconds = time.perf_counter() - self.began
        returns = np.array([row["eval_return"] for row in rows])
        trained = max(rows[0]["wall_seconds"], 1e-9)  # without compiling
        rate, updates = (sum(row[name] for row in rows) / trained for name in ("env_steps", "updates"))
        news = (
            f"return {returns.mean():.1f} [{returns.min():.1f}, {returns.max():.1f}]  "
            f"{rate:,.0f} steps/s  {updates:,.0f} updates/s"
        )
        self.bar.update(self.task, completed=done * self.per_iteration, news=news)
        share = done / self.iterations
        if not self.console.is_terminal and share >= self.next_line:
            self.next_line = share + 0.1
            fresh = done - self.start
            remaining = f", {seconds / fresh * (self.iterations - done):.0f} s left" if fresh else ""
            self.console.print(
                f"{done * self.per_iteration} episodes ({share:.0%}), {seconds:.0f} s{remaining}: {news}"
            )
