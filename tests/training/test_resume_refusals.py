"""Runs that must not simply go on: those that ended with a broken learner, and sweeps whose groups differ."""

import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console
from support.probes import Additive
from support.runs import TINY, as_if_killed, tiny

import jaxmac
from jaxmac.errors import RunDirectoryError
from jaxmac.runs import checkpoint
from jaxmac.training import resume as resuming
from jaxmac.training.program import Program
from jaxmac.training.session import NonFiniteLossError, Session


class Poisoned(Additive):
    """Pays no number where both agents choose their second macro-action; nothing is learned before episode 16."""

    def outcome(self, physics, actions, started):
        return jnp.where((actions[0] == 1) & (actions[1] == 1), jnp.nan, 0.0), jnp.bool_(True)


ENV = Poisoned()


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    out = tmp_path_factory.mktemp("broken") / "run"
    values = {"episodes": 60, "progress": False, "checkpoint_every": 1, **TINY, "eval_every": 4}
    with pytest.raises(NonFiniteLossError, match=r"loss is not finite at update"):
        jaxmac.train("avf-vdn", ENV, seeds=[4], out=out, **values)
    return out


@pytest.mark.slow
def test_the_last_finite_learner_is_kept_and_offered(broken):
    last = checkpoint.saved_iterations(broken, 0)[-1]
    assert last == 3  # 12 episodes; the first update comes after 16
    learner = jaxmac.load(broken, ENV).learned(0).learner
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(learner) if np.issubdtype(x.dtype, np.floating))
    before = {file: file.read_bytes() for file in broken.rglob("*") if file.is_file()}
    with pytest.raises(RunDirectoryError, match=rf"not finite, .* last finite checkpoint \(--from {last}\)"):
        jaxmac.resume(broken, env=ENV, progress=False)
    assert before == {file: file.read_bytes() for file in broken.rglob("*") if file.is_file()}
    with pytest.raises(NonFiniteLossError):  # as it says, the same settings lead there again
        jaxmac.resume(broken, env=ENV, iteration=last, progress=False)
    assert checkpoint.saved_iterations(broken, 0)[-1] == last


@pytest.mark.slow
def test_a_broken_learner_in_a_checkpoint_is_not_trained_on(broken, tmp_path):
    """As earlier versions wrote it."""
    run = tmp_path / "run"
    shutil.copytree(broken, run)
    program = Program("avf-vdn", ENV, jaxmac.load(run, ENV).specs)
    shapes = program.shapes()
    items = {name: checkpoint.read_checkpoint(run, 0, name, shapes[name], 3) for name in shapes}
    spoiled = jax.tree.map(lambda x: x * jnp.nan if x.dtype == jnp.float32 else x, items["learners"])
    counters = checkpoint.read_counters_at(run, 0, 3)
    checkpoint.save_checkpoint(run, 0, 5, {**items, "learners": spoiled}, {**counters, "done": 5})
    with pytest.raises(RunDirectoryError, match=r"group_0/5 holds a learner that is not finite; .* \(--from 3\)"):
        jaxmac.resume(run, env=ENV, progress=False)


@pytest.fixture
def saved(monkeypatch):
    """Makes the checkpoints of two groups: `saved([4, 8], [3])`; all of them are sound."""

    def saved(*iterations):
        monkeypatch.setattr(resuming, "saved_iterations", lambda path, group: list(iterations[group]))
        monkeypatch.setattr(resuming, "read_counters_at", lambda *place: {})
        monkeypatch.setattr(resuming, "_refuse_broken", lambda *place: None)

    return saved


@pytest.mark.parametrize(
    ("first", "second", "chosen", "expected"),
    [
        ([4, 8], [4, 8], None, [8, 8]),
        ([4, 8], [4, 8], 4, [4, 4]),
        ([4, 8], [], 8, [8, None]),
        ([9, 12], [3, 6], 3, [12, 3]),  # the first has passed 3 long since
        ([9, 12], [3, 6], 9, [9, 6]),
    ],
)
def test_the_checkpoints_that_groups_continue_from(saved, first, second, chosen, expected):
    saved(first, second)
    assert resuming._iterations_to_continue("run", [None, None], chosen, "interrupted") == expected


def test_a_group_that_goes_on_from_another_checkpoint_is_named(capsys):
    resuming._note_further_groups(Console(), 3, [12, 3, None])
    assert "note: group 0 continues from iteration 12: it has no checkpoint at 3\n" in capsys.readouterr().out


@pytest.mark.parametrize("iterations", [[0], [0, 4]])
def test_a_broken_run_offers_its_last_finite_checkpoint(saved, iterations):
    saved(iterations)
    with pytest.raises(RunDirectoryError, match=rf"last finite checkpoint \(--from {iterations[-1]}\)"):
        resuming._iterations_to_continue("run", [None], None, resuming.BROKEN)


@pytest.mark.slow
def test_groups_are_read_one_at_a_time_and_from_the_chosen_checkpoint(tmp_path, monkeypatch):
    out = tmp_path / "run"
    result = tiny(out, sweep={"hidden_size": [4, 6]})
    events, read, train = [], resuming.read_checkpoint, Session._train

    def reading(path, group, item, *arguments):
        events.append(("read", group, arguments[-1]))
        return read(path, group, item, *arguments)

    def training(session, group, program):
        events.append(("train", group, program.done))
        train(session, group, program)

    as_if_killed(out, 12)
    monkeypatch.setattr(resuming, "read_checkpoint", reading)
    monkeypatch.setattr(Session, "_train", training)
    again = jaxmac.resume(out, env=result.env, iteration=9, progress=False)
    assert list(dict.fromkeys(events)) == [("read", 0, 9), ("train", 0, 9), ("read", 1, 9), ("train", 1, 9)]
    np.testing.assert_array_equal(again.metrics["eval_return"], result.metrics["eval_return"])
    assert json.loads((out / "config.json").read_text())["status"] == "finished"
