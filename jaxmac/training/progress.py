"""Progress of a run: a bar on a terminal, lines in a log file."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from typing import Any

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

from jaxmac.processes.collective import any_process, is_main_process, mark_shared


def progress_console(wanted: bool) -> Console:
    """The console that shows progress on stderr of process 0; silent elsewhere, or without `wanted`."""
    return Console(stderr=True, quiet=not (wanted and is_main_process()), highlight=False, soft_wrap=True)


class CtrlC:
    """A context in which Ctrl-C takes effect at the next `check`; a second Ctrl-C takes effect at once.

    Within a chunk the state of the members is donated to the compiled function and cannot be saved.
    """

    def __init__(self, say: Callable[[str], None]):
        self.say, self.asked = say, False

    def __enter__(self) -> CtrlC:
        self.main = threading.current_thread() is threading.main_thread()  # signals can be caught only there
        if self.main:
            self.before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *error: object) -> None:
        if self.main:
            signal.signal(signal.SIGINT, self.before)

    def _note(self, *_: object) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        self.say("stopping after this chunk ...")

    def check(self) -> None:
        """Raise KeyboardInterrupt if Ctrl-C was pressed, in this process or another one of the run."""
        if any_process(self.asked):
            raise mark_shared(KeyboardInterrupt())


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
