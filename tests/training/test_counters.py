"""Counters of a run do not wrap: 64 bits on the host and on disk, and what the device counts is bounded."""

import json

import jax
import numpy as np
import pytest
from support.runs import ENV, TINY

import jaxmac
from jaxmac.runs.checkpoint import save_checkpoint
from jaxmac.runs.members import make_members
from jaxmac.training.program import Program
from jaxmac.training.resume import _saved_group

MANY = 3_000_000_000  # more than 32 bits can count


def a_program(seeds=(0, 1)):
    return Program("avf-vdn", ENV, make_members("avf-vdn", ENV, "tuned", TINY, list(seeds), None))


@pytest.fixture(scope="module")
def program():
    """A compiled program after an evaluation, whose members have made more steps than 32 bits can count."""
    made = a_program()
    made.compile()
    made.evaluate(0)
    made.mark_written()
    made.reached = made.reached._replace(env_steps=made.reached.env_steps + MANY)
    return made


def run_with(items, counters, run):
    """A run directory that holds a checkpoint, of format 2 if its counters are among the arrays."""
    run.mkdir(exist_ok=True)
    (run / "config.json").write_text(json.dumps({"format": 3 if counters else 2}))
    save_checkpoint(run, 0, 0, items, counters)
    if not counters:
        (run / "checkpoints" / "group_0" / "0" / "checkpoint.json").unlink()


def continued(program, run):
    other = a_program()
    other.compile()
    saved = _saved_group(run, 0, program, 0)
    other.restore(saved.read, saved.counters)
    return other


def test_counters_beyond_32_bits_survive_saving_and_restoring(program, tmp_path):
    run_with(program.snapshot(replay=True), program.counters(), tmp_path)
    other = continued(program, tmp_path)
    assert other.reached.env_steps.tolist() == [MANY, MANY]
    assert [row["env_steps"] for row in other.evaluate(1)] == [MANY, MANY]


def test_checkpoints_with_counters_of_32_bits_are_read(program, tmp_path):
    """jaxmac wrote them among the arrays before."""
    items = program.snapshot(replay=True)
    whole = program.counters() | {"env_steps": [70, 2**31 - 1]}
    narrow = {name: np.asarray(x, np.float32 if name == "seconds" else np.int32) for name, x in whole.items()}
    run_with(items | {"state": items["state"] | {"counters": narrow}}, None, tmp_path)
    other = continued(program, tmp_path)
    assert (other.reached.env_steps + 1).tolist() == [71, 2**31]
    assert other.reached.evaluated == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"episodes": 2_000_000_001}, "episodes is 2000000001, but must be <= 2000000000"),
        ({"episodes": 10**30}, "episodes is 10{30}, but must be <= 2000000000"),
        (
            {"episodes": 1_900_000_000, "train_freq": 1},
            r"episodes=1900000000 makes 5,7\d\d,\d{3},\d{3} updates; at most 2,000,000,000 can .*train_freq",
        ),
        (
            {"episodes": 1_000_000_000, "eval_every": 900_000_000},
            r"eval_every=900000000 counts up to 2,700,000,000 primitive steps.*; at most 2,000,000,000 can",
        ),
    ],
)
def test_counts_that_the_device_cannot_hold_are_refused(options, message, monkeypatch):
    monkeypatch.setattr(Program, "compile", lambda self: pytest.fail("compiled"))
    with pytest.raises(ValueError, match=message):
        jaxmac.train("avf-vdn", ENV, seeds=1, progress=False, **{**TINY, **options})


def test_a_resumed_run_is_refused_counts_that_the_device_cannot_hold(tmp_path):
    run = tmp_path / "run"
    jaxmac.train("avf-vdn", ENV, seeds=2, episodes=4, progress=False, out=run, **TINY)
    with pytest.raises(ValueError, match="episodes is 3000000000, but must be <= 2000000000"):
        jaxmac.resume(run, env=ENV, episodes=3_000_000_000, progress=False)


def test_the_pure_function_refuses_counts_that_it_cannot_hold():
    with pytest.raises(ValueError, match=r"episodes is 1000000000, which counts up to 3,000,000,000 prim"):
        jaxmac.make_train("avf-vdn", ENV, episodes=1_000_000_000, **TINY)
    made = jaxmac.make_train("avf-vdn", ENV, episodes=4, **TINY)
    shapes = jax.eval_shape(made, jax.random.key(0))[1]
    assert shapes["env_steps"].dtype == np.int32
