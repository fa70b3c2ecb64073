"""Two runs of one process, in two threads, write and read their checkpoints one at a time."""

import logging
from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np
import pytest

from jaxmac.errors import RunDirectoryError
from jaxmac.runs import checkpoint


def test_threads_write_checkpoints_of_their_own(tmp_path):
    def write(run):
        run.mkdir()
        for iteration in range(4):
            checkpoint.save_checkpoint(run, 0, iteration, {"learners": {"w": np.full(5, iteration)}}, {"done": 1})
        return checkpoint.saved_iterations(run, 0)

    with ThreadPoolExecutor(4) as pool:
        written = list(pool.map(write, [tmp_path / str(number) for number in range(4)]))
    assert written == [[2, 3]] * 4


def test_a_folder_that_was_moved_while_its_run_goes_on_is_not_made_again(tmp_path):
    with pytest.raises(RunDirectoryError, match="the run was moved or deleted while it was going on"):
        checkpoint.save_checkpoint(tmp_path / "moved", 0, 1, {"learners": {"w": np.zeros(2)}})
    assert not list(tmp_path.iterdir())


def test_loggers_are_left_as_they_were(tmp_path):
    """An application may have chosen their levels."""
    logger = logging.getLogger("asyncio")
    before, level = logger.level, logging.INFO
    logger.setLevel(level)
    checkpoint.save_checkpoint(tmp_path, 0, 1, {"learners": {"w": np.zeros(2)}})
    after = logger.level
    logger.setLevel(before)
    assert after == level


def test_nobody_else_uses_orbax_meanwhile(tmp_path, monkeypatch):
    import orbax.checkpoint as ocp

    free = []

    def save(self, path, args):
        with ThreadPoolExecutor(1) as pool:
            free.append(pool.submit(checkpoint.ORBAX.acquire, blocking=False).result())
        path.mkdir(parents=True)

    monkeypatch.setattr(ocp.Checkpointer, "save", save)
    checkpoint.save_checkpoint(tmp_path, 0, 1, {"learners": {"w": jax.numpy.zeros(2)}})
    assert free == [False]
