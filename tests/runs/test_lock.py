"""One process writes a run directory at a time, and the second is told which one does."""

import json
import os
import subprocess
import sys
import threading

import pytest
from support.probes import Asynchronous
from support.runs import as_if_killed, tiny

import jaxmac
from jaxmac.errors import RunDirectoryError
from jaxmac.runs.lock import RunLock

HOLD = """
import sys
from pathlib import Path
from jaxmac.runs.lock import RunLock
lock = RunLock(Path(sys.argv[1]))
lock.acquire()
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "locked\n"
    yield process
    process.kill()
    process.communicate()


def test_the_second_writer_is_told_who_the_first_one_is(holder, tmp_path):
    with pytest.raises(RunDirectoryError) as error:
        RunLock(tmp_path).acquire()
    host, message = os.uname().nodename, str(error.value)
    assert f"is being written by process {holder.pid} on {host} since 20" in message and "\n" not in message


def test_a_lock_of_a_dead_process_is_taken_over(holder, tmp_path):
    holder.kill()
    holder.wait()
    assert json.loads((tmp_path / "run.lock").read_text())["process"] == holder.pid
    lock = RunLock(tmp_path)
    lock.acquire()
    assert json.loads((tmp_path / "run.lock").read_text())["process"] == os.getpid()
    lock.release()
    assert not (tmp_path / "run.lock").exists()


def test_of_many_writers_one_at_a_time_gets_the_lock(tmp_path):
    """Also while the lock's file is removed and made again under the others."""
    inside, most, taken = 0, 0, 0

    def compete():
        nonlocal inside, most, taken
        for _ in range(300):
            lock = RunLock(tmp_path)
            try:
                lock.acquire()
            except RunDirectoryError:
                continue
            inside += 1
            most, taken = max(most, inside), taken + 1
            inside -= 1
            lock.release()

    threads = [threading.Thread(target=compete) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1 and taken > 20


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("lock") / "run"
    tiny(out)
    return out


@pytest.mark.slow
def test_a_run_that_is_being_written_is_neither_continued_nor_replaced(finished):
    as_if_killed(finished, 9)
    before = {file: file.read_bytes() for file in finished.rglob("*") if file.is_file()}
    writer = RunLock(finished)
    writer.acquire()
    try:
        with pytest.raises(RunDirectoryError, match=f"is being written by process {os.getpid()} on"):
            jaxmac.resume(finished, env=Asynchronous(), progress=False)
        with pytest.raises(RunDirectoryError, match=f"is being written by process {os.getpid()} on"):
            tiny(finished, overwrite=True)
        assert len(jaxmac.load(finished, Asynchronous()).metrics["episodes"])  # reading needs no lock
    finally:
        writer.release()
    assert before == {file: file.read_bytes() for file in finished.rglob("*") if file.is_file()}


def test_a_finished_run_leaves_no_lock(finished):
    assert not (finished / "run.lock").exists()


def test_what_is_no_run_gets_no_lock(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunDirectoryError, match=r"no config\.json"):
        jaxmac.resume(tmp_path, progress=False)
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]
