"""Runs that are stopped and go on: bit for bit, after any kind of end, and what is said where they cannot."""

import csv
import json
import random
import shutil
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
from support.probes import Asynchronous
from support.runs import ENV, FAMILIES, TINY, as_if_killed, copied, tiny

import jaxmac
from jaxmac.runs import checkpoint
from jaxmac.runs.directory import RunDirectoryError
from jaxmac.runs.members import make_members
from jaxmac.training.program import Program


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", FAMILIES)
def test_restoring_a_snapshot_changes_no_bit_of_what_follows(algorithm):
    values = {name: value for name, value in FAMILIES[algorithm].items() if name != "max_rows"}
    env = Asynchronous()
    program = Program(algorithm, env, make_members(algorithm, env, "tuned", values, 2, None))
    program.compile()
    program.advance(0, 6, 3)
    program.evaluate(6)
    held = program.snapshot(replay=True)
    counters = program.counters()
    chex_shapes = jax.tree.map(lambda x: (np.shape(x), np.asarray(x).dtype), held)
    assert chex_shapes == jax.tree.map(lambda x: (x.shape, x.dtype), program.shapes())
    ends = []
    for _ in range(2):
        program.advance(6, 10, 4)
        rows = program.evaluate(10)
        ends.append((jax.device_get(program.members), [{**row, "wall_seconds": 0} for row in rows], program.done))
        program.restore(lambda: held, counters)
        assert (program.done, program.reached.evaluated) == (6, 6)
    jax.tree.map(np.testing.assert_array_equal, ends[0][0], ends[1][0])
    assert json.dumps(ends[0][1:]) == json.dumps(ends[1][1:])
    moved = jax.tree.map(lambda a, b: bool((a != b).any()), ends[0][0].learner, held["learners"])
    assert any(jax.tree.leaves(moved))


def table(run):
    """Rows of a metrics.csv without the wall time."""
    with (run / "metrics.csv").open() as file:
        return [{k: v for k, v in row.items() if k != "wall_seconds"} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    out = tmp_path_factory.mktemp("resume") / "whole"
    return tiny(out), out


def assert_same_learners(result, out, run, name):
    shapes = Program("avf-vdn", Asynchronous(), result.specs).shapes()[name]
    jax.tree.map(
        np.testing.assert_array_equal, *(checkpoint.read_checkpoint(path, 0, name, shapes) for path in (out, run))
    )


def test_the_last_two_checkpoints_are_kept(whole):
    _, out = whole
    assert checkpoint.saved_iterations(out, 0) == [9, 12]


def test_a_killed_run_goes_on_and_ends_as_if_it_never_had_been(whole, tmp_path):
    result, out = whole
    run = copied(out, tmp_path)
    as_if_killed(run, 9)
    with (run / "metrics.csv").open("a") as file:
        file.write("0,0,48,99,1")  # a row that was being written
    again = jaxmac.resume(run, env=ENV, progress=False)
    assert again.status == "finished" and table(run) == table(out)
    assert json.loads((run / "config.json").read_text())["status"] == "finished"
    for name in ("learners", "best"):
        assert_same_learners(result, out, run, name)


def test_an_interrupted_run_goes_on_from_where_it_was(whole, tmp_path, monkeypatch):
    """Ctrl-C between two evaluations: the iterations since the last one are not done again."""
    _, out = whole
    advance = Program.advance

    def interrupted(program, first, last, chunk, then=lambda done: None):
        def stop(done):
            if done == 7:
                raise KeyboardInterrupt
            then(done)

        return advance(program, first, last, chunk, stop)

    monkeypatch.setattr(Program, "advance", interrupted)
    run = tmp_path / "run"
    assert tiny(run, chunk=1).status == "interrupted"
    monkeypatch.setattr(Program, "advance", advance)
    assert checkpoint.saved_iterations(run, 0)[-1] == 7
    jaxmac.resume(run, env=ENV, progress=False)
    assert table(run) == table(out)


def test_a_finished_run_can_be_trained_further(whole, tmp_path):
    _, out = whole
    run = copied(out, tmp_path)
    with pytest.raises(RunDirectoryError, match="is finished: train it further with more --episodes"):
        jaxmac.resume(run, env=ENV, progress=False)
    with pytest.raises(ValueError, match="episodes is 12, but must be >= 48, those of"):
        jaxmac.resume(run, env=ENV, episodes=12, progress=False)
    jaxmac.resume(run, env=ENV, episodes=60, progress=False)
    assert table(run)[: len(table(out))] == table(out) and len(table(run)) == len(table(out)) + 2
    assert json.loads((run / "config.json").read_text())["episodes"] == 60


def test_rows_that_do_not_reach_the_checkpoint_are_named(whole, tmp_path):
    """A run that went on without them would be one that nothing can open."""
    _, out = whole
    run = copied(out, tmp_path)
    as_if_killed(run, 12)
    lines = (run / "metrics.csv").read_text().splitlines(keepends=True)
    (run / "metrics.csv").write_text("".join(lines[:-2]))
    before = {file: file.read_bytes() for file in run.rglob("*") if file.is_file() and file.name != "run.lock"}
    with pytest.raises(
        RunDirectoryError, match=r"metrics.csv is damaged: member \d ends at \d+ episodes, its checkp"
    ):
        jaxmac.resume(run, env=ENV, progress=False)
    after = {file: file.read_bytes() for file in run.rglob("*") if file.is_file() and file.name != "run.lock"}
    assert after == before


def test_a_finished_run_goes_on_from_an_earlier_checkpoint(whole, tmp_path):
    """As its own message offers where the last one is damaged."""
    result, out = whole
    run = copied(out, tmp_path)
    spoil(run / "checkpoints" / "group_0" / "12")
    jaxmac.resume(run, env=ENV, iteration=9, progress=False)
    assert table(run) == table(out)
    assert_same_learners(result, out, run, "learners")


def test_a_kill_while_a_run_is_reopened_leaves_one_that_goes_on(whole, tmp_path, monkeypatch):
    _, out = whole
    run = copied(out, tmp_path)

    def killed(*arguments):
        raise KeyError("killed")

    for name in ("jaxmac.runs.directory._csv_text", "jaxmac.training.resume.drop_after"):
        with monkeypatch.context() as patched, pytest.raises(KeyError, match="killed"):
            patched.setattr(name, killed)
            jaxmac.resume(run, env=ENV, iteration=9, episodes=60, progress=False)
        assert json.loads((run / "config.json").read_text())["status"] != "finished"
    with pytest.raises(RunDirectoryError, match="its checkpoint is of 48: continue from an earlier one"):
        jaxmac.resume(run, env=ENV, progress=False)
    jaxmac.resume(run, env=ENV, iteration=9, progress=False)
    assert table(run)[: len(table(out))] == table(out)


def spoil(folder):
    """Cut every file of arrays short."""
    for file in folder.rglob("*"):
        if file.is_file() and file.stat().st_size > 0 and "METADATA" not in file.name.upper():
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def test_a_damaged_checkpoint_is_named_and_the_one_before_offered(whole, tmp_path):
    _, out = whole
    run = copied(out, tmp_path)
    as_if_killed(run, 12)
    spoil(run / "checkpoints" / "group_0" / "12" / "state")
    before = table(run)
    with pytest.raises(
        RunDirectoryError, match=r"group_0/12 is damaged: .*; the one before is at iteration 9 \(--from 9\)"
    ):
        jaxmac.resume(run, env=ENV, progress=False)
    assert table(run) == before  # nothing was touched
    jaxmac.resume(run, env=ENV, iteration=9, progress=False)
    assert table(run) == table(out)


def test_going_on_from_an_earlier_checkpoint_writes_the_later_ones_anew(whole, tmp_path):
    """A damaged last one too, where the run ends at the very iteration that it was of."""
    result, out = whole
    run = copied(out, tmp_path)
    as_if_killed(run, 12)
    spoil(run / "checkpoints" / "group_0" / "12")
    jaxmac.resume(run, env=ENV, iteration=9, progress=False)
    assert_same_learners(result, out, run, "learners")


@pytest.mark.slow
def test_a_damaged_checkpoint_of_one_group_of_several(tmp_path):
    """Groups differ in their shapes and train one after the other; the finished one is left alone."""
    out = tmp_path / "whole"
    tiny(out, sweep={"hidden_size": [4, 6]})
    run = copied(out, tmp_path)
    as_if_killed(run, 12)
    spoil(run / "checkpoints" / "group_1" / "12")
    with pytest.raises(RunDirectoryError, match=r"group_1/12 is damaged: .*; the one before .*--from 9"):
        jaxmac.resume(run, env=ENV, progress=False)
    jaxmac.resume(run, env=ENV, iteration=9, progress=False)
    assert sorted(map(str, table(run))) == sorted(map(str, table(out)))
    with pytest.raises(RunDirectoryError, match="no checkpoint at iteration 5; it has: 9, 12"):
        jaxmac.resume(run, env=ENV, iteration=5, episodes=96, progress=False)


def test_a_checkpoint_of_another_config_says_what_differs(whole, tmp_path):
    _, out = whole
    run = copied(out, tmp_path)
    as_if_killed(run, 12)
    config = json.loads((run / "config.json").read_text())
    config["settings"]["hidden_size"] = 5
    (run / "config.json").write_text(json.dumps(config))
    with pytest.raises(
        RunDirectoryError, match=r"of another config: .*\[2, 2, .*8\] there and .*\[2, 2, .*5\] here"
    ):
        jaxmac.resume(run, env=ENV, progress=False)


def test_other_versions_are_named(whole, tmp_path, capsys):
    _, out = whole
    run = copied(out, tmp_path)
    as_if_killed(run, 9)
    config = json.loads((run / "config.json").read_text())
    config["versions"]["jax"] = "0.0.1"
    (run / "config.json").write_text(json.dumps(config))
    jaxmac.resume(run, env=ENV)
    assert f"note: jax is {jax.__version__}, the run began with 0.0.1" in capsys.readouterr().err


def test_what_cannot_be_continued(whole, tmp_path):
    _, out = whole
    run = copied(out, tmp_path)
    as_if_killed(run, 9)
    with pytest.raises(RunDirectoryError, match="no checkpoint at iteration 5; it has: 9"):
        jaxmac.resume(run, env=ENV, iteration=5, progress=False)
    shutil.rmtree(run / "checkpoints" / "group_0" / "9" / "state")
    with pytest.raises(RunDirectoryError, match=r"9 is damaged: state/.* is missing"):
        jaxmac.resume(run, env=ENV, progress=False)
    shutil.rmtree(run / "checkpoints")
    with pytest.raises(RunDirectoryError, match="no checkpoint to continue from"):
        jaxmac.resume(run, env=ENV, progress=False)
    with pytest.raises(RunDirectoryError, match="is not a run directory"):
        jaxmac.resume(tmp_path, progress=False)


def test_without_the_replay_a_run_can_be_judged_only(tmp_path):
    run = tmp_path / "run"
    tiny(run, episodes=12, checkpoint_replay=False)
    assert jaxmac.load(run, env=Asynchronous()).policy(1, best=True) is not None
    assert not (run / "checkpoints" / "group_0" / "3" / "state").exists()
    with pytest.raises(RunDirectoryError, match="holds no state: the run was trained with checkpoint_replay=False"):
        jaxmac.resume(run, env=ENV, episodes=24, progress=False)


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_kill_9_at_any_moment(tmp_path):
    """Twenty kills at random moments; what is resumed each time ends as a run that was never stopped."""
    small = [f"--{name.replace('_', '-')}={value}" for name, value in TINY.items()]
    train = ["train", "--algorithm=avf-vdn", "--env=BoxPushing-4", "--env-options.horizon=12", *small, "--seeds=2"]
    train += ["--episodes=4000", "--checkpoint-every=1"]
    run, straight = tmp_path / "run", tmp_path / "straight"

    def start(*arguments):
        command = [sys.executable, "-m", "jaxmac", *map(str, arguments)]
        return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)

    process = start(*train, "--out", straight)
    assert process.communicate() and process.returncode == 0
    process, draw, kills = start(*train, "--out", run), random.Random(0), 0
    while kills < 20:
        known = table(run) if (run / "metrics.csv").exists() else []
        deadline = time.time() + 120
        saved = run / "checkpoints" / "group_0"  # before the first of them there is nothing to continue from
        while not list(saved.glob("[0-9]*[0-9]")) or len(table(run)) < len(known) + 4:
            if process.poll() is not None or time.time() > deadline:
                break
            time.sleep(0.05)
        time.sleep(draw.uniform(0.0, 1.0))
        process.kill()
        process.communicate()  # closes the pipe, which wait() leaves open
        kills += 1
        process = start("resume", run)
    said = process.communicate()[1]
    assert process.returncode == 0 or "finished" in said, said  # refused if an earlier kill came after the end
    assert table(run) == table(straight)
