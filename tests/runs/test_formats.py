"""Runs of format 1 (jaxmac 0.1.0) open, go on, and say what of them is dropped."""

import json
import zipfile

import jax
import numpy as np
import pytest
from conftest import GOLDEN
from support.commands import refused
from support.made_runs import made

import jaxmac
from jaxmac.algorithms.mac_ppo import Moments, PPOState
from jaxmac.errors import RunDirectoryError, RunNote
from jaxmac.runs.formats import as_written, from_written, upgraded


@pytest.fixture
def run(tmp_path):
    """A run of AVF-QMIX that 0.1.0 wrote: two seeds, Box Pushing 4x4, 64 episodes."""
    with zipfile.ZipFile(GOLDEN / "run_format_1.zip") as archive:
        archive.extractall(tmp_path / "run")
    return tmp_path / "run"


def test_it_loads_with_a_note_about_settings_that_nothing_reads(run):
    with pytest.warns(RunNote, match="never read .*kernels.*critic_embed") as notes:
        result = jaxmac.load(run)
    assert len(notes) == 1 and "mixing_embed" not in str(notes[0].message)
    config = result.specs[0].config
    assert (config.sampling, config.replay_tournament, config.mixing_embed, config.memory) == (
        "tournament",
        64,
        4,
        "gru",
    )
    assert (config.normalise_state, config.layer_norm, config.td_lambda) == (False, False, 0.0)
    assert not hasattr(config, "kernels")
    assert result.metrics["eval_return"].shape == (3, 2)


@pytest.mark.filterwarnings("ignore::jaxmac.errors.RunNote")
def test_its_learners_are_read_by_todays_names(run):
    learner = jaxmac.load(run).learned(1, best=True).learner
    assert set(learner.params) == {"agents", "mixer"} and all(
        np.isfinite(x).all() for x in jax.tree.leaves(learner)
    )


def test_runs_of_format_2_open_without_what_is_newer_although_the_preset_has_it_today(tmp_path):
    today = made(tmp_path / "run", "avf-qmix", "Warehouse-S").specs[0].config
    assert (today.normalise_state, today.layer_norm, today.td_lambda) == (True, True, 0.7)
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    newer = {"normalise_state", "layer_norm", "td_lambda", "eval_epsilon"}
    config["settings"] = {name: value for name, value in config["settings"].items() if name not in newer}
    (tmp_path / "run" / "config.json").write_text(json.dumps(config | {"format": 2}))
    before = jaxmac.load(tmp_path / "run").specs[0].config
    assert {name: getattr(before, name) for name in newer} == {
        "normalise_state": False,
        "layer_norm": False,
        "td_lambda": 0.0,
        "eval_epsilon": 0.0,
    }
    assert before.memory == today.memory  # format 2 has it


def test_runs_of_format_3_open_without_a_floor_of_the_mixers_weights(tmp_path):
    made(tmp_path / "run", "avf-qmix", "BoxPushing-4")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["settings"].pop("weight_floor") > 0  # the preset has one today
    (tmp_path / "run" / "config.json").write_text(json.dumps(config | {"format": 3}))
    assert jaxmac.load(tmp_path / "run").specs[0].config.weight_floor == 0
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    with pytest.raises(RunDirectoryError, match="settings lacks weight_floor"):
        jaxmac.load(tmp_path / "run")


def test_runs_of_format_4_open_with_the_online_networks_evaluated(tmp_path):
    made(tmp_path / "run", "avf-vdn", "BoxPushing-4")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["settings"].pop("eval_target")  # the preset has it today
    (tmp_path / "run" / "config.json").write_text(json.dumps(config | {"format": 4}))
    assert not jaxmac.load(tmp_path / "run").specs[0].config.eval_target


def test_runs_of_format_5_have_no_success_rate(tmp_path):
    run = tmp_path / "run"
    made(run, "avf-vdn", "BoxPushing-4")
    config = json.loads((run / "config.json").read_text())
    lines = [line.split(",") for line in (run / "metrics.csv").read_text().splitlines()]
    place = lines[0].index("eval_success")
    older = [",".join(cells[:place] + cells[place + 1 :]) for cells in lines]
    (run / "metrics.csv").write_text("\n".join(older) + "\n")
    with pytest.raises(RunDirectoryError, match="lacks the column eval_success"):
        jaxmac.load(run)
    (run / "config.json").write_text(json.dumps(config | {"format": 5}))
    found = jaxmac.load(run).metrics
    assert np.isnan(found["eval_success"]).all() and np.isfinite(found["eval_return"]).all()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::jaxmac.errors.RunNote")
def test_its_learners_play_and_it_goes_on(run):
    best = jaxmac.evaluate(run, episodes=2, best=True)
    assert len(best) == 2 and np.isfinite(best[0]["mean"])
    longer = jaxmac.resume(run, episodes=96, progress=False)
    assert longer.metrics["episodes"][:, 0].tolist() == [0, 32, 64, 96]
    assert np.isfinite(longer.metrics["loss"][-1]).all()
    assert jaxmac.load(run).learned(0).learner.opt_state is not None


def test_a_setting_that_no_part_has_is_refused(run, capsys):
    config = json.loads((run / "config.json").read_text())
    config["settings"]["kernals"] = 3
    (run / "config.json").write_text(json.dumps(config))
    said = refused(capsys, "eval", str(run))
    assert "config.json: unknown hyperparameter 'kernals'" in said


@pytest.mark.parametrize(
    ("settings", "sweep", "expected"),
    [
        ({"sampling": "episodes", "replay_tournament": 0}, {}, "uniform"),
        ({"sampling": "episodes", "replay_tournament": 8}, {}, "tournament"),
        ({"sampling": "episodes", "replay_tournament": 0}, {"replay_tournament": [0, 4]}, "tournament"),
        ({"sampling": "windows", "replay_tournament": 0}, {}, "windows"),
    ],
)
@pytest.mark.filterwarnings("ignore::jaxmac.errors.RunNote")
def test_the_rule_that_samples_has_a_name_of_its_own(settings, sweep, expected):
    config = {"format": 1, "algorithm": "avf-vdn", "settings": settings, "sweep": sweep, "hyperparameters": {}}
    assert upgraded("run", config)["settings"]["sampling"] == expected


def test_names_that_changed_are_translated():
    config = {"format": 1, "algorithm": "mac-iac", "settings": {"rounds": 3}, "sweep": {"rounds": [1, 3]}}
    found = upgraded("run", config)
    assert found["settings"] == {"episodes_per_env": 3} and found["sweep"] == {"episodes_per_env": [1, 3]}


def test_a_run_of_today_with_a_setting_that_nobody_knows_is_refused(run, capsys):
    config = json.loads((run / "config.json").read_text())
    settings = {name: value for name, value in config["settings"].items() if name in ("hidden_size", "gamma")}
    config |= {"format": 2, "plugins": [], "settings": settings | {"kernals": 3}}
    (run / "config.json").write_text(json.dumps(config))
    assert "unknown hyperparameter 'kernals' of avf-qmix in config.json" in refused(capsys, "eval", str(run))


def test_a_run_of_a_plugin_that_is_not_imported_names_it(run, capsys):
    config = json.loads((run / "config.json").read_text()) | {"format": 2, "plugins": ["my_parts", "sys"]}
    (run / "config.json").write_text(json.dumps(config))
    said = refused(capsys, "plot", str(run))
    assert said.endswith(
        "needs parts of my_parts: add --plugin my_parts, or in Python import my_parts before opening it\n"
    )


def test_checkpoints_of_ppo_with_mean_squares_are_read_as_variances():
    """The moments were weighted sums, and the variance a difference of them."""
    now = {"learners": PPOState({"w": np.zeros(3)}, {}, {}, {}, Moments(*np.zeros((3, 2, 1))))}
    weight, mean, variance = np.array([[0.19], [0.0]]), np.array([[7.0], [0.0]]), np.array([[4.0], [0.0]])
    then = {"mean": weight * mean, "square": weight * (variance + mean**2), "weight": weight}
    stored = {"learners": {"actors": {"w": None}, "moments": dict.fromkeys(then)}}
    written = as_written(now, stored)
    assert set(written["learners"].moments) == set(then)
    read = from_written(now, {"learners": written["learners"].replace(moments=then)}, stored)["learners"]
    for found, due in zip(jax.tree.leaves(read.moments), (mean, variance, weight), strict=True):
        np.testing.assert_allclose(found, due, rtol=1e-5)
    assert (read.actors["w"] == 0).all()
    assert as_written(now, {"learners": {"moments": {"variance": None}}}) is now
