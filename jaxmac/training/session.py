"""A session of training: the result, directory, sinks, console and rows of a run, and the loop over chunks."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from jaxmac.errors import first_line
from jaxmac.processes.collective import any_process, is_main_process, is_shared, mark_shared, raise_on_all
from jaxmac.runs.checkpoint import read_counters_at, save_checkpoint, saved_iterations
from jaxmac.runs.directory import RunDirectory, tabulate
from jaxmac.runs.members import group_members
from jaxmac.runs.result import Result, last_checkpoints
from jaxmac.runs.rows import as_values
from jaxmac.runs.sinks import Sink, open_sinks
from jaxmac.training.interruption import Interruption
from jaxmac.training.program import Program
from jaxmac.training.progress import Reporter

# Where to look when a loss is not finite.
FIRST_UPDATE = "the networks are new there: look at rewards, observations and the sampler's weights"
LATER_UPDATE = "a smaller learning rate, or normalise_state with a mixer, may help"
UPDATES_PER_CHUNK = 64  # per member; it bounds how long Ctrl-C and the progress bar wait


StopWhen = Callable[[list[dict[str, Any]]], bool]  # rows of an evaluation -> whether the run ends there


class TrainingError(RuntimeError):
    """Training failed after it had started; the message is one line, and files written so far are kept."""


class NonFiniteLossError(TrainingError):
    """A loss is not finite; the message names the member and the update."""


class SavedGroup(NamedTuple):
    """A checkpoint that a group continues from. It is read when the group starts: one replay is held at a time."""

    counters: dict[str, Any]
    read: Callable[[], dict[str, Any]]  # gives the items


class Session:
    """The state of training one run, besides the compiled programs.

    Attributes:
        result: the result, which is filled in as the run goes on.
        directory: the run directory, which may write nothing.
        console: the console that shows progress.
        stop: the context that notes signals.
        rows: the rows of metrics so far.
        chunk: iterations per compiled call; None: about `UPDATES_PER_CHUNK` updates.
        reopen: opens the directory of a run that is continued and gives the rows that are kept; None: a new run.
        stop_when: ends the run after an evaluation; None: nothing but signals does.
        sinks: the sinks that get the rows besides metrics.csv, once `run` has opened them.
    """

    def __init__(
        self,
        result: Result,
        directory: RunDirectory,
        console: Console,
        stop: Interruption,
        chunk: int | None = None,
        reopen: Callable[[], list[dict[str, Any]]] | None = None,
        stop_when: StopWhen | None = None,
    ):
        self.result, self.directory, self.console, self.chunk = result, directory, console, chunk
        self.stop, self.reopen, self.stop_when = stop, reopen, stop_when
        self.rows: list[dict[str, Any]] = []
        self.sinks: list[Sink] = []
        self.begun = False  # whether the directory is this run's
        self.groups = len(group_members(result.specs))

    def run(self, programs: list[Program], saved: list[SavedGroup | None] | None = None) -> None:
        """Train the groups one after the other and fill in the result, also if training is interrupted or fails.

        Args:
            programs: the groups.
            saved: the checkpoint that each group continues from, None for a group that starts anew.

        The directory is written, or reopened, once the first group has been compiled.
        """
        status = "failed"
        try:
            for group, program in enumerate(programs):
                label = f"group {group + 1}/{len(programs)}, " if len(programs) > 1 else ""
                self._run_group(group, program, label, saved)
            status = "finished"
        except KeyboardInterrupt as error:
            status = "interrupted"
            if not is_shared(error):
                raise
            self.console.print(f"interrupted: {self._what_is_kept()}")
        except NonFiniteLossError:
            status = "non-finite loss"
            raise
        except OSError as error:
            raise TrainingError(str(error)) from error
        finally:
            try:
                self._finish(status)
            finally:
                self._close_sinks()

    def _what_is_kept(self) -> str:
        """What is left of a run that ends before its time, in words."""
        if not self.begun:
            return "nothing was learned or written yet" if self.reopen is None else "the run is as it was"
        where = f" in {self.directory.path}" if self.directory.path is not None else ""
        return f"what was learned and the metrics up to the last evaluation are kept{where}"

    def _run_group(self, group: int, program: Program, label: str, saved: list[SavedGroup | None] | None) -> None:
        """Compile and train one group, and store its learners in the result."""
        ended_by: BaseException | None = None  # sys.exception() may be one that the caller is handling
        try:
            self.stop.check()
            self.console.print(f"{label}compiling ... ", end="")
            with self.stop.at_once():
                seconds = program.compile()
            self.console.print(f"{seconds:.1f} s")
            if group == 0:
                self._begin()
            start = saved[group] if saved else None
            if start is not None:
                program.restore(start.read, start.counters)
            self._train(group, program)
        except BaseException as error:
            ended_by = error
            raise
        finally:
            if is_shared(ended_by):
                self._checkpoint(group, program)
                learners = program.finish()
                if learners is not None:
                    self.result.learners[group] = learners

    def _begin(self) -> None:
        """Write or reopen the directory, and open the sinks, which get the rows of a run that is continued.

        A run that is replaced is removed once they are open: it is not lost to a sink that cannot be opened.
        """
        steps = self._write_directory, self._open_sinks
        with raise_on_all():
            for step in reversed(steps) if self.directory.replaces else steps:
                step()
            self.rows = [as_values(row, self.result.members) for row in self.rows]
            self._log(self.rows)

    def _write_directory(self) -> None:
        if self.reopen is None:
            self.directory.begin(self.result.config)
        else:
            self.rows = self.reopen()
        self.begun = True  # from now on the directory says how the run ended

    def _open_sinks(self) -> None:
        path = self.directory.path if self.directory.writes else None
        for sink in open_sinks(path, self.result.config, self.result.members):
            self.sinks.append(sink)  # one by one, so that those before one that fails are closed

    def _close_sinks(self) -> None:
        """Close every sink; one that fails costs neither the others nor what was learned."""
        for sink in self.sinks:
            try:
                sink.close()
            except OSError as error:
                self.console.print(f"note: {first_line(error)}")

    def _train(self, group: int, program: Program) -> None:
        per_iteration = program.config.num_envs
        interval, total = self._interval_and_total(program)
        chunk = self.chunk or max(1, UPDATES_PER_CHUNK // program.algorithm.collection.updates)
        with Reporter(self.console, total, per_iteration, program.done) as reporter:

            def after_chunk(iterations: int) -> None:
                reporter.advance(iterations)
                if not self._is_due(program):  # an evaluation belongs to its iteration: they are saved together
                    self.stop.check()

            while True:
                done = program.done
                if self._is_due(program):
                    fresh = self._evaluate(program, reporter)
                    self._ask_whether_to_stop(fresh, is_last=done >= total and group == self.groups - 1)
                    if done and done // interval % self.result.config["checkpoint_every"] == 0:
                        self._checkpoint(group, program)
                    self.stop.check()
                if done >= total:
                    return
                program.advance(done, min(done - done % interval + interval, total), chunk, after_chunk)

    def _interval_and_total(self, program: Program) -> tuple[int, int]:
        """Iterations between two evaluations, and iterations of the whole run."""
        per_iteration = program.config.num_envs
        return -(-program.config.eval_every // per_iteration), -(-self.result.config["episodes"] // per_iteration)

    def _is_due(self, program: Program) -> bool:
        """Whether the members must be evaluated before they train on."""
        interval, total = self._interval_and_total(program)
        done = program.done
        return program.reached.evaluated < done and (done % interval == 0 or done == total)

    def _evaluate(self, program: Program, reporter: Reporter) -> list[dict[str, Any]]:
        """Evaluate a group now, and write its rows to metrics.csv, the result, the sinks and the console.

        Returns copies of the rows.
        """
        fresh = program.evaluate(program.done)
        with raise_on_all():
            self.directory.append(fresh)
            self.rows.extend(fresh)
            self._log(fresh)
        program.mark_written()  # on all processes or on none
        self._refuse_non_finite(program)
        if program.dropped and not reporter.warned:
            reporter.warned = True
            reporter.note(
                f"note: max_rows={getattr(program.config, 'max_rows', 'none')} leaves out rows of some episodes "
                f"({program.dropped} rows so far)"
            )
        reporter.update(program.done, fresh)
        return [dict(row) for row in fresh]

    def _ask_whether_to_stop(self, rows: list[dict[str, Any]], is_last: bool) -> None:
        """End the run at the next `check` if the caller's function says so; after the last evaluation it has ended.

        Of several processes the first one asks; `check` tells the others.
        """
        if self.stop_when is not None and is_main_process() and self.stop_when(rows) and not is_last:
            self.stop.ended = True

    def _log(self, rows: list[dict[str, Any]]) -> None:
        for sink in self.sinks:
            for row in rows:
                sink.write(row)

    def _checkpoint(self, group: int, program: Program) -> None:
        """Write a checkpoint of a group, unless there is one of this iteration already.

        None is written of members that are not healthy or that must be evaluated first: the one before stays the
        last, and resuming makes the iterations since then again.
        """
        path = self.result.path
        if path is None or not self.begun or self._is_due(program) or not program.is_healthy():
            return
        with raise_on_all():
            is_written = is_main_process() and _is_saved(path, group, program)
        if any_process(is_written):
            return
        items = program.snapshot(self.result.config["checkpoint_replay"])
        with raise_on_all():
            if items is not None and is_main_process():
                identity = self.result.config.get("identity", "")
                save_checkpoint(path, group, program.done, items, program.counters(), identity)

    def _refuse_non_finite(self, program: Program) -> None:
        for spec, update in zip(program.specs, program.reached.broken, strict=True):
            if update >= 0:
                kept = f"; what was written stays in {self.directory.path}" if self.directory.path else ""
                values = "".join(f", {name}={value}" for name, value in spec.swept.items())
                member = f"member {spec.index} (seed {spec.seed}{values})"
                cause = FIRST_UPDATE if update <= 1 else LATER_UPDATE
                text = f"{member}: loss is not finite at update {update} ({cause}){kept}"
                raise mark_shared(NonFiniteLossError(text))

    def _finish(self, status: str) -> None:
        result = self.result
        result.status = status
        swept, diagnostics = [spec.swept for spec in result.specs], result.config.get("diagnostics", ())
        result.metrics = tabulate(self.rows, swept, diagnostics)
        result.config |= {"status": status, "finished": time.strftime("%Y-%m-%dT%H:%M:%S")}
        if not self.begun:
            return
        if result.path is not None:
            result.checkpoints = last_checkpoints(result.path, len(group_members(result.specs)))
        try:
            with raise_on_all() if status == "finished" else contextlib.nullcontext():
                self.directory.write_config(result.config)
        except OSError as error:
            if status == "finished":
                raise TrainingError(str(error)) from error
            self.console.print(f"note: {first_line(error)}")  # the error that ended the run takes precedence
        if self.directory.writes and result.path is not None and self.rows:
            try:
                result.plot(result.path / "curve.png")
            except Exception as error:  # whatever it is: what was learned is worth more than its picture
                self.console.print(f"note: curve.png was not drawn: {first_line(error)}")


def _is_saved(path: Path, group: int, program: Program) -> bool:
    """Whether the last checkpoint of a group is of this moment."""
    if saved_iterations(path, group)[-1:] != [program.done]:
        return False
    counters = read_counters_at(path, group, program.done)
    return counters is not None and counters["evaluated"] == program.reached.evaluated
