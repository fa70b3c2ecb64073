"""A checkpoint whose files have changed since they were written is named, and never read."""

import random
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmac.errors import RunDirectoryError
from jaxmac.runs import checkpoint
from jaxmac.runs.digests import read_counters

ITEMS = {
    "learners": {"kernel": jnp.linspace(0.0, 1.0, 600).reshape(2, 300)},
    "state": {"replay": jnp.zeros((2, 4, 50), jnp.int16)},  # one chunk of zeros
}
COUNTERS = {"done": 6, "env_steps": [3_000_000_000, 2**53 + 1], "seconds": 0.1}
SHAPES = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), ITEMS)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    run = tmp_path_factory.mktemp("digests") / "run"
    run.mkdir()
    (run / "config.json").write_text('{"format": 3}')
    for iteration in (3, 6):
        checkpoint.save_checkpoint(run, 0, iteration, ITEMS, COUNTERS)
    return run


@pytest.fixture
def run(written, tmp_path):
    shutil.copytree(written, tmp_path / "run")
    return tmp_path / "run"


def read(run, item="learners"):
    return checkpoint.read_checkpoint(run, 0, item, SHAPES[item])


def test_what_is_written_is_read_again(run):
    for item in ITEMS:
        jax.tree.map(np.testing.assert_array_equal, read(run, item), ITEMS[item])
    assert checkpoint.read_counters_at(run, 0, 6) == COUNTERS


def test_every_flipped_bit_is_noticed(run):
    """Of every file, one bit at a random place; the message names the file and the checkpoint before."""
    draw, last = random.Random(0), run / "checkpoints" / "group_0" / "6"
    files = [file for file in sorted(last.rglob("*")) if file.is_file() and file.stat().st_size]
    assert len(files) > 8
    for file in files:
        whole = file.read_bytes()
        spoiled = bytearray(whole)
        spoiled[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        file.write_bytes(spoiled)
        name = file.relative_to(last).as_posix()
        with pytest.raises(RunDirectoryError, match=r"group_0/6 is damaged: .*before is at iteration 3") as error:
            for item in ITEMS:
                read(run, item)
        assert f"{name} does not match its digest" in str(error.value) and "\n" not in str(error.value)
        file.write_bytes(whole)
    read(run)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"null", b"{", b"\xff", b'{"digest": 1, "summary": 2}'])
def test_a_damaged_summary_is_noticed(run, content):
    summary = run / "checkpoints" / "group_0" / "6" / "checkpoint.json"
    summary.write_bytes(content)
    with pytest.raises(RunDirectoryError, match=r"checkpoint\.json does not match its digest"):
        read(run)
    summary.unlink()
    with pytest.raises(RunDirectoryError, match=r"checkpoint\.json is missing"):
        read(run)


def test_a_run_of_an_earlier_format_has_no_digests(run):
    (run / "config.json").write_text('{"format": 2}')
    last = run / "checkpoints" / "group_0" / "6"
    (last / "checkpoint.json").unlink()
    jax.tree.map(np.testing.assert_array_equal, read(run), ITEMS["learners"])
    assert read_counters(last) is None


def test_a_checkpoint_of_another_run_or_group_is_refused(run):
    def written(identity, group=0):
        checkpoint.save_checkpoint(run, group, 9, ITEMS, COUNTERS, identity)

    (run / "config.json").write_text('{"format": 5, "identity": "ours"}')
    read(run)  # of a version that did not note whose it is
    written("ours")
    read(run)
    written("theirs")
    with pytest.raises(
        RunDirectoryError, match=r"group_0/9 was written by another run or for other members"
    ) as error:
        read(run)
    assert "\n" not in str(error.value)
    written("ours", group=1)
    shutil.rmtree(run / "checkpoints" / "group_0" / "9")
    shutil.copytree(run / "checkpoints" / "group_1" / "9", run / "checkpoints" / "group_0" / "9")
    with pytest.raises(RunDirectoryError, match="written by another run or for other members"):
        read(run)


def test_a_missing_file_is_named(run):
    file = next(iter((run / "checkpoints" / "group_0" / "6" / "learners" / "d").iterdir()))
    file.unlink()
    with pytest.raises(RunDirectoryError, match=f"learners/d/{file.name} is missing"):
        read(run)
    read(run, "state")  # the other item is whole


def test_a_checkpoint_that_cannot_be_written_leaves_the_others(run, monkeypatch):
    def full(path, *rest):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "write_summary", full)
    with pytest.raises(RunDirectoryError, match=r"cannot write the checkpoint .*group_0/9: .*No space left"):
        checkpoint.save_checkpoint(run, 0, 9, ITEMS, COUNTERS)
    assert sorted(path.name for path in (run / "checkpoints" / "group_0").iterdir()) == ["3", "6"]
    read(run)


def test_what_a_kill_left_half_written_or_half_deleted_is_nothing(run):
    folder = run / "checkpoints" / "group_0"
    for draft in ("9.part", "2.part", "9.part.orbax-checkpoint-tmp"):
        shutil.copytree(folder / "3", folder / draft)
    assert checkpoint.saved_iterations(run, 0) == [3, 6]
    checkpoint.save_checkpoint(run, 0, 9, ITEMS, COUNTERS)
    assert sorted(path.name for path in folder.iterdir()) == ["6", "9"]
