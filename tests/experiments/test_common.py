"""Jobs of experiments: one that was stopped goes on, if it is the one asked for."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.runs import ENV, TINY, env_with_an_id

import jaxmac
from experiments import common
from experiments.common import Job, train_or_go_on

JOB, SEEDS = Job("small", "avf-vdn", "Asynchronous", 48, settings=TINY), [0, 1]  # the program of other files
OTHER_DISCOUNT = replace(JOB, settings=TINY | {"gamma": 0.5})
OTHER_TASK, NO_ID = replace(JOB, env="BoxPushing-8"), replace(JOB, env=ENV)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The run directory of a finished job."""
    out = tmp_path_factory.mktemp("jobs") / "small"
    with env_with_an_id():
        train_or_go_on(JOB, SEEDS, 48, out)
        yield out


@pytest.fixture
def calls(monkeypatch):
    """What jaxmac is asked for."""
    made = []
    done = SimpleNamespace(status="finished")
    monkeypatch.setattr(jaxmac, "train", lambda *_, **options: made.append("train") or done)
    monkeypatch.setattr(jaxmac, "resume", lambda out: made.append("resume") or done)
    return made


@pytest.mark.parametrize(
    ("status", "job", "seeds", "episodes", "expected"),
    [
        ("interrupted", JOB, SEEDS, 48, "resume"),
        ("running", JOB, SEEDS, 48, "resume"),  # killed
        ("finished", JOB, SEEDS, 48, "train"),
        ("non-finite loss", JOB, SEEDS, 48, "train"),
        ("interrupted", JOB, [0, 2], 48, "train"),
        ("interrupted", JOB, SEEDS, 96, "train"),
        ("interrupted", OTHER_DISCOUNT, SEEDS, 48, "train"),
        ("interrupted", OTHER_TASK, SEEDS, 48, "train"),
        ("interrupted", NO_ID, SEEDS, 48, "train"),
    ],
)
def test_the_same_job_goes_on_where_it_was_stopped(finished, calls, status, job, seeds, episodes, expected):
    file = finished / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"status": status}))
    train_or_go_on(job, seeds, episodes, finished)
    assert calls == [expected]


def test_a_summary_has_what_the_metrics_say(finished, tmp_path, monkeypatch):
    monkeypatch.setattr(common, "RESULTS", tmp_path)
    monkeypatch.setattr(common, "learning_curves", lambda *given, labels: None)
    result = jaxmac.load(finished)
    for name in ("metrics.csv", "config.json"):
        (tmp_path / "mine").mkdir(exist_ok=True)
        (tmp_path / "mine" / f"small{Path(name).suffix}").write_text((finished / name).read_text())
    common.run("mine", "Mine", [JOB], SimpleNamespace(only=[], seeds=SEEDS, episodes=None), -1000.0)
    (row,) = json.loads((tmp_path / "mine" / "summary.json").read_text())["rows"]
    returns, discounted = (result.metrics[f"eval_{name}"] for name in ("return", "discounted_return"))
    assert row["mean"] == pytest.approx(returns[-10:].mean()) != pytest.approx(row["discounted"])
    assert row["discounted"] == pytest.approx(discounted[-10:].mean())
    assert (row["solved"], row["episodes"], row["seeds"]) == (2, 48, SEEDS)


def test_a_damaged_run_is_trained_anew(finished, tmp_path, calls):
    shutil.copytree(finished, tmp_path / "run")
    (tmp_path / "run" / "config.json").write_text("{")
    train_or_go_on(JOB, SEEDS, 48, tmp_path / "run")
    assert calls == ["train"]


def test_an_experiment_without_results_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(common, "RESULTS", tmp_path)
    given = SimpleNamespace(only=[], seeds=SEEDS, episodes=None)
    with pytest.raises(SystemExit, match="mine has no results yet: run the experiment without --only"):
        common.run("mine", "Mine", [JOB], given, 0.0)


def test_a_finished_run_of_the_same_job_can_be_kept(finished, calls):
    file = finished / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"status": "finished"}))
    assert train_or_go_on(JOB, SEEDS, 48, finished, keep_finished=True).config["seeds"] == SEEDS and calls == []
    train_or_go_on(OTHER_DISCOUNT, SEEDS, 48, finished, keep_finished=True)
    assert calls == ["train"]


@pytest.mark.parametrize("status", ["running", "finished"])  # resumed, trained
def test_a_run_that_is_stopped_from_the_keyboard_is_no_result(finished, monkeypatch, status):
    file = finished / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"status": status}))
    for name in ("train", "resume"):
        monkeypatch.setattr(jaxmac, name, lambda *_, **options: SimpleNamespace(status="interrupted"))
    with pytest.raises(KeyboardInterrupt):
        train_or_go_on(JOB, SEEDS, 48, finished)


def test_a_label_that_is_no_job_is_named_and_nothing_is_written(tmp_path, monkeypatch, capsys, calls):
    monkeypatch.setattr(common, "RESULTS", tmp_path)
    common.run("mine", "title", [JOB], SimpleNamespace(only=["smal"]), threshold=0.0)
    assert "--only 'smal' is not a job of mine; did you mean small" in capsys.readouterr().err
    assert not calls and not any(tmp_path.iterdir())
