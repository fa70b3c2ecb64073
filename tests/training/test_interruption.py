"""Signals, also two of them, at any line of a run: what is on disk goes on as if the run had never been stopped."""

import contextlib
import csv
import json
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from support.runs import ENV, TINY, as_if_killed

import jaxmac
from jaxmac.runs import checkpoint
from jaxmac.runs.result import Result
from jaxmac.training.interruption import Interruption
from jaxmac.training.program import Program
from jaxmac.training.session import TrainingError

# A stop between the opening of a file and its `with` leaves it to the garbage collector, which warns.
pytestmark = pytest.mark.filterwarnings("ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning")
TRACED = {"session.py", "program.py", "directory.py", "checkpoint.py", "digests.py", "interruption.py", "lock.py"}


def tiny(out, **options):
    values = {"episodes": 48, "progress": False, "checkpoint_every": 1, **TINY, **options}
    return jaxmac.train("avf-vdn", ENV, seeds=2, out=out, **values)


def table(run):
    """Rows of a metrics.csv without the wall time."""
    with (run / "metrics.csv").open() as file:
        return [{k: v for k, v in row.items() if k != "wall_seconds"} for row in csv.DictReader(file)]


def learners(run):
    shapes = Program("avf-vdn", ENV, jaxmac.load(run, ENV).specs).shapes()
    iteration = checkpoint.saved_iterations(run, 0)[-1]
    return {name: checkpoint.read_checkpoint(run, 0, name, shapes[name], iteration) for name in shapes}


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """A run that was never stopped, and the number of traced lines that it took."""
    out = tmp_path_factory.mktemp("straight") / "run"
    with AtLines() as counter:
        tiny(out)
    return out, counter.count


def untraced(function):
    def call(*arguments):
        trace = sys.gettrace()
        sys.settrace(None)
        try:
            return function(*arguments)
        finally:
            sys.settrace(trace)

    return call


class AtLines:
    """A context that calls `action` at the given numbers of the lines that run in the traced files."""

    def __init__(self, action=lambda: None, lines=()):
        self.action, self.lines, self.count = action, set(lines), 0

    def __enter__(self):
        self.patch = pytest.MonkeyPatch()
        for owner, name in ((Program, "compile"), (checkpoint, "_write_items"), (Result, "plot")):
            self.patch.setattr(owner, name, untraced(getattr(owner, name)))  # libraries, slow with a trace
        sys.settrace(self._called)
        return self

    def __exit__(self, *error):
        sys.settrace(None)
        self.patch.undo()

    def _called(self, frame, event, argument):
        code = Path(frame.f_code.co_filename)
        return self._line if code.name in TRACED and "jaxmac" in code.parts else None

    def _line(self, frame, event, argument):
        if event == "line":
            self.count += 1
            if self.count in self.lines:
                self.action()
        return self._line


def interrupt():
    raise KeyboardInterrupt


def stop(signal_number):
    return lambda: signal.raise_signal(signal_number)


def interrupted_and_resumed(out, action, at):
    """Train with `action` at the lines `at`, then go on (or start anew where nothing was saved) until the end."""
    try:
        with AtLines(action, at):
            tiny(out)
    except (KeyboardInterrupt, SystemExit, TrainingError):
        pass
    if not (out / "config.json").exists() or not checkpoint.saved_iterations(out, 0):
        tiny(out, overwrite=True)
        return False
    if json.loads((out / "config.json").read_text())["status"] != "finished":
        jaxmac.resume(out, env=ENV, progress=False)
    return True


def assert_same_run(out, straight):
    assert table(out) == table(straight)
    assert json.loads((out / "config.json").read_text())["status"] == "finished"
    jax.tree.map(np.testing.assert_array_equal, learners(out), learners(straight))
    assert not (out / "run.lock").exists()


def check_interruptions(straight, tmp_path, seed, count):
    (whole, lines), draw, resumed = straight, random.Random(seed), 0
    for trial in range(count):
        first = draw.randrange(1, lines)
        at = [first, *(draw.choice([[], [first + 1], [first + draw.randrange(2, 200)]]))]
        action = draw.choice([stop(signal.SIGINT), stop(signal.SIGTERM), stop(signal.SIGHUP), interrupt])
        out = tmp_path / str(trial)
        resumed += interrupted_and_resumed(out, action, at)
        assert_same_run(out, whole)
    return resumed


@pytest.mark.slow
def test_a_stop_at_any_line_changes_nothing_of_what_follows(straight, tmp_path):
    assert check_interruptions(straight, tmp_path, seed=0, count=2) >= 1


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_a_stop_at_any_of_many_lines_changes_nothing(straight, tmp_path):
    assert check_interruptions(straight, tmp_path, seed=1, count=150) >= 100


def test_rows_that_could_not_be_written_are_made_again(straight, tmp_path, monkeypatch):
    """The append fails after the evaluation; no checkpoint may say that it was made."""
    from jaxmac.runs.directory import RunDirectory

    append, out = RunDirectory.append, tmp_path / "run"

    def full(directory, rows):
        if rows[0]["episodes"] == 36:
            raise OSError(28, "No space left on device")
        append(directory, rows)

    with monkeypatch.context() as patch:
        patch.setattr(RunDirectory, "append", full)
        with pytest.raises(TrainingError, match="No space left"):
            tiny(out)
    assert json.loads((out / "config.json").read_text())["status"] == "failed"
    jaxmac.resume(out, env=ENV, progress=False)
    assert_same_run(out, straight[0])


def interrupted():
    signal.raise_signal(signal.SIGINT)


def out_of_memory():
    raise MemoryError("the compiled program does not fit")


@pytest.mark.parametrize("stopped_by", [interrupted, out_of_memory])
def test_a_resumed_run_that_is_stopped_while_it_compiles_is_as_it_was(straight, tmp_path, monkeypatch, stopped_by):
    out = tmp_path / "run"
    shutil.copytree(straight[0], out)
    as_if_killed(out, 12)
    first = checkpoint.saved_iterations(out, 0)[0]
    before = {file: file.read_bytes() for file in out.rglob("*") if file.is_file()}
    monkeypatch.setattr(Program, "compile", lambda program: stopped_by())
    with contextlib.suppress(MemoryError):
        assert jaxmac.resume(out, env=ENV, iteration=first, progress=False).status == "interrupted"
        assert stopped_by is interrupted
    assert {file: file.read_bytes() for file in out.rglob("*") if file.is_file()} == before


def test_what_a_stop_leaves_is_said(tmp_path, monkeypatch, capsys):
    """While it compiles there is nothing yet; later it says where what was learned is."""
    monkeypatch.setattr(Program, "compile", lambda self: interrupt())
    tiny(tmp_path / "run", progress=True)
    assert "interrupted: nothing was learned or written yet" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "run").exists()
    monkeypatch.undo()
    tiny(tmp_path / "run", progress=True, stop_when=lambda rows: True)
    kept = "interrupted: what was learned and the metrics up to the last evaluation are kept in"
    assert kept in " ".join(capsys.readouterr().err.split())
    monkeypatch.setattr(Program, "compile", lambda self: interrupt())
    jaxmac.resume(tmp_path / "run", env=ENV)
    assert "interrupted: the run is as it was" in " ".join(capsys.readouterr().err.split())


def test_all_signals_wait_for_the_next_check():
    told = []
    with Interruption(told.append) as stopping:
        for number in (signal.SIGINT, signal.SIGINT):
            signal.raise_signal(number)
        with pytest.raises(KeyboardInterrupt):
            stopping.check()
    assert told == ["stopping after this chunk ...", "already stopping: the checkpoint is written first"]


def test_while_compiling_a_signal_takes_effect_at_once():
    with Interruption(lambda text: None) as stopping, pytest.raises(KeyboardInterrupt), stopping.at_once():
        signal.raise_signal(signal.SIGINT)
        pytest.fail("went on")


def test_a_signal_that_python_loses_takes_effect_at_the_next_check(monkeypatch):
    """Python ignores what is raised in a finaliser, or in a callback of its garbage collector."""

    class Finalised:
        def __del__(self):
            signal.raise_signal(signal.SIGINT)

    lost = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: lost.append(unraisable.exc_type))
    with Interruption(lambda text: None) as stopping:
        with stopping.at_once():
            Finalised()
        assert not lost  # nothing is printed of an exception that was ignored
        with pytest.raises(KeyboardInterrupt):
            stopping.check()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_after_a_stop_by_the_cluster_the_process_ends(number):
    before = signal.getsignal(number)
    with pytest.raises(SystemExit) as end, Interruption(lambda text: None):
        signal.raise_signal(number)
    assert end.value.code == 128 + number
    assert signal.getsignal(number) is before


def test_a_handler_of_the_user_s_own_is_called_at_the_end():
    calls = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: calls.append(number))
    try:
        with Interruption(lambda text: None):
            signal.raise_signal(signal.SIGTERM)
            assert not calls
        assert calls == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_an_ignored_signal_is_still_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as under nohup
    try:
        with Interruption(lambda text: pytest.fail("noted")) as stopping:
            signal.raise_signal(signal.SIGHUP)
            stopping.check()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_in_another_thread_nothing_is_caught():
    before, found = signal.getsignal(signal.SIGINT), []

    def inside():
        with Interruption(lambda text: None):
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert found == [before]


@pytest.mark.slow
def test_sigterm_ends_a_command_with_a_checkpoint_although_nobody_reads_its_progress(tmp_path):
    """As when a terminal is closed: the stream that shows the progress is broken, too."""
    out = tmp_path / "run"
    small = [f"--{name.replace('_', '-')}={value}" for name, value in TINY.items()]
    command = [sys.executable, "-m", "jaxmac", "train", "--algorithm=avf-vdn", "--env=BoxPushing-4", *small]
    command += ["--env-options.horizon=12", "--seeds=1", "--episodes=1000000", f"--out={out}"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    deadline = time.time() + 120
    while not (out / "metrics.csv").exists() or len(table(out)) < 3:
        assert process.poll() is None and time.time() < deadline, process.stderr.read()
        time.sleep(0.1)
    process.stderr.close()
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 128 + signal.SIGTERM
    assert json.loads((out / "config.json").read_text())["status"] == "interrupted"
    saved = checkpoint.checkpoint_path(out, 0)
    assert int(saved.name) >= 3 and not (out / "run.lock").exists()
