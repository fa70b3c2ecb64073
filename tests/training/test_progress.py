"""What a run says of its progress."""

import io

import pytest
from rich.console import Console

from jaxmac.training import progress
from jaxmac.training.progress import Reporter


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "perf_counter", lambda: now[0])
    return now


def test_notes_are_printed_as_they_are(capsys):
    """Paths and messages may have brackets, which rich would take for its markup."""
    progress.progress_console(True).print("note: [small] closed [/b] socket")
    assert capsys.readouterr().err == "note: [small] closed [/b] socket\n"


def test_without_a_stderr_nothing_is_shown(monkeypatch):
    monkeypatch.setattr("sys.stderr", None)
    progress.progress_console(True).print("note")


def row(wall, env_steps, updates):
    return {"wall_seconds": wall, "env_steps": env_steps, "updates": updates, "eval_return": 1.0}


def test_a_resumed_run_counts_its_own_time_and_rates_over_the_whole_run(clock):
    said = io.StringIO()
    reporter = Reporter(Console(file=said, width=200), iterations=100, episodes_per_iteration=2, start=60)
    clock[0] += 30.0  # of which it compiled for 20
    reporter.update(70, [row(50.0, 3000, 100), row(50.0, 4000, 150)])
    clock[0] += 10.0
    reporter.update(71, [row(60.0, 3000, 100)])  # a tenth of the run a line
    assert said.getvalue().splitlines() == [
        "140 episodes (70%), 30 s, 90 s left: return 1.0 [1.0, 1.0]  140 steps/s  5 updates/s"
    ]


def test_before_anything_is_done_no_time_is_predicted(clock):
    said = io.StringIO()
    reporter = Reporter(Console(file=said, width=200), iterations=10, episodes_per_iteration=4)
    reporter.update(0, [row(0.0, 0, 0)])
    clock[0] += 5.0
    reporter.update(1, [row(4.0, 100, 8)])
    assert said.getvalue().splitlines() == [
        "0 episodes (0%), 0 s: return 1.0 [1.0, 1.0]  0 steps/s  0 updates/s",
        "4 episodes (10%), 5 s, 45 s left: return 1.0 [1.0, 1.0]  25 steps/s  2 updates/s",
    ]
