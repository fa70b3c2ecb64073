"""`train --config FILE` and `train --like RUN`: settings from elsewhere, which flags on the line override."""

import json
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from support.commands import refused
from support.line import Line
from support.made_runs import made

from jaxmac import envs
from jaxmac.cli.main import main


@pytest.fixture
def passed(monkeypatch):
    """What the command hands to `jaxmac.train`, which does not run."""
    calls = []
    monkeypatch.setattr("jaxmac.cli.train.use_cpu_devices", lambda count: None)
    monkeypatch.setattr("jaxmac.cli.train.report_result", lambda result, out: None)

    def call(algorithm, env, **options):
        calls.append({"algorithm": algorithm, "env": env, **options})
        return SimpleNamespace(status="finished")

    monkeypatch.setattr("jaxmac.cli.train.train", call)
    return calls


RUN = """
algorithm: avf-qmix
env: BoxPushing-4
env_options:
  horizon: 12
  random_init: true
seeds: [3, 5]
episodes: 40
learning_rate: 1e-3   # YAML reads this as a text
double_q: no
hidden-size: 8
memory: gru
sweep:
  gamma: [0.9, 0.95]
log: [tensorboard]
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(RUN)
    return path


def test_a_file_of_yaml(file, passed):
    assert main(["train", "--config", str(file)]) == 0
    run = passed[0]
    assert (run["algorithm"], run["env"], run["seeds"], run["episodes"]) == ("avf-qmix", "BoxPushing-4", [3, 5], 40)
    assert run["env_options"] == {"horizon": 12, "random_init": True}
    assert (run["double_q"], run["hidden_size"], run["memory"]) == (False, 8, "gru")
    assert run["sweep"] == {"gamma": [0.9, 0.95]} and run["log"] == "tensorboard"
    assert run["preset"] == "tuned" and "learning_rate" not in run  # 1e-3 is the preset's value


def test_json_says_the_same(file, passed):
    as_json = file.with_suffix(".json")
    as_json.write_text(json.dumps(yaml.safe_load(RUN)))
    assert main(["train", "--config", str(file)]) == main(["train", f"--config={as_json}"]) == 0
    assert passed[0] == passed[1]


def test_flags_on_the_line_override_the_file(file, passed):
    flags = ["--episodes", "80", "--env-options.no-random-init", "--double-q", "--seeds", "2", "--gamma", "0.5"]
    assert main(["train", *flags, "--config", str(file), "--hidden_size=16"]) == 0
    run = passed[0]
    assert (run["episodes"], run["seeds"], run["gamma"], run["hidden_size"]) == (80, 2, 0.5, 16)
    assert run["env_options"] == {"horizon": 12, "random_init": False} and "double_q" not in run
    assert run["sweep"] is None  # its only setting is on the line
    assert main(["train", "--config", str(file), "--sweep", "hidden_size=8,16"]) == 0
    assert passed[1]["sweep"] == {"hidden_size": [8, 16]} and "hidden_size" not in passed[1]


def test_whole_numbers_are_numbers_and_swept_parts_are_words(tmp_path, passed):
    """YAML reads 10000000000 as an integer, which no int32 holds; the setting is a float."""
    (tmp_path / "x.yml").write_text(
        "env: BoxPushing-4\ngrad_clip: 10000000000\nsweep: {memory: [gru, mingru], gamma: [1]}"
    )
    assert main(["train", "--config", str(tmp_path / "x.yml")]) == 0
    assert passed[0]["grad_clip"] == 1e10 and passed[0]["sweep"] == {"memory": ["gru", "mingru"], "gamma": [1.0]}


def test_a_value_of_the_preset_for_other_options_is_not_lost(passed):
    """train_freq is 8/3 of the horizon in the preset: 267 of 100 by default, 32 of 12 with that option."""
    horizon = ["--env", "BoxPushing-4", "--env-options.horizon", "12"]
    assert main(["train", *horizon, "--train-freq", "267"]) == main(["train", *horizon, "--train-freq", "32"]) == 0
    assert passed[0]["train_freq"] == 267 and "train_freq" not in passed[1]


def test_one_seed_in_a_list_is_that_seed(tmp_path, passed):
    (tmp_path / "x.json").write_text('{"seeds": [7], "env": "BoxPushing-4"}')
    assert main(["train", "--config", str(tmp_path / "x.json")]) == 0
    assert passed[0]["seeds"] == [7]


def test_tables_and_single_values_in_lists(tmp_path, passed):
    text = (
        "env: Warehouse-D\nenv_options: {human_speeds: [[20, 20, 20, 20], [30, 30, 30, 30]]}\nsweep: {gamma: [0.9]}"
    )
    (tmp_path / "x.yml").write_text(text)
    assert main(["train", "--config", str(tmp_path / "x.yml")]) == 0
    assert passed[0]["env_options"] == {"human_speeds": [[20] * 4, [30] * 4]} and passed[0]["sweep"] == {
        "gamma": [0.9]
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gama: 0.9", "run.yaml: unknown setting 'gama'; did you mean gamma?"),
        ("lr: 0.9", "run.yaml: unknown setting 'lr'; did you mean learning_rate?"),
        ("kernels: 4\nalgorithm: avf-vdn", "run.yaml: kernels is a setting of mixer qplex; avf-vdn has mixer vdn"),
        (
            "env_options: {horizn: 9}",
            "run.yaml: unknown setting 'env_options.horizn'; did you mean env_options.horizon",
        ),
        ("env_options: 9", "run.yaml: env_options is 9, but must map names to values"),
        ("sweep: [1]", "run.yaml: sweep is [1], but must map names to lists of values"),
        ("sweep: {gamma: 0.9}", "run.yaml: sweep.gamma is 0.9, but must be a list of values"),
        ("sweep: {gama: [0.9]}", "run.yaml: unknown setting 'gama'; did you mean gamma?"),
        ("gamma: high", "run.yaml: gamma is 'high', but must be a number"),
        ("gamma: 2e0", "run.yaml: gamma is 2.0, but must be >= 0 and <= 1"),
        ("sweep: {gamma: [0.9, 2]}", "run.yaml: gamma is 2.0, but must be >= 0 and <= 1"),
        ("hidden_size: 0", "run.yaml: hidden_size is 0, but must be >= 1"),
        ("double_q: 3", "run.yaml: double_q is '3', but must be True or False"),
        ("gamma:", "run.yaml: gamma has no value: give it one, or leave it out"),
        ("env_options: false", "run.yaml: env_options is False, but must map names to values"),
        ("env_options: []", "run.yaml: env_options is [], but must map names to values"),
        ("sweep: 0", "run.yaml: sweep is 0, but must map names to lists of values"),
        ("env_options.horizon: 50\nenv_options: {horizon: 60}", "run.yaml has env_options.horizon twice"),
        ("no_double_q: true", "run.yaml: no_double_q: write double_q: false in a file"),
        ("gamma: " + "[" * 3000 + "]" * 3000, "run.yaml is nested too deeply"),
        ("config: other.yaml", "run.yaml: unknown setting 'config'"),
        ("- gamma", "run.yaml holds ['gamma'], but must map settings to values"),
        ("", "run.yaml holds nothing, but must map settings to values"),
        ("gamma: [", "run.yaml is not valid YAML: line "),
        ("gamma: 0.9\ngamma: 0.8", "run.yaml has gamma twice"),
        ("double-q: true\ndouble_q: false", "run.yaml has double_q twice"),
        ("? [gamma]\n: 0.9", "run.yaml is not valid YAML: line 1: a name must be a word, not a list or a map"),
        ("algorithm: avf-qmx", "unknown algorithm 'avf-qmx'; did you mean avf-qmix"),
        ("learning_rate: 1\nsweep: {learning_rate: [0.1, 0.2]}", "--learning-rate is given beside a sweep of it"),
    ],
)
def test_a_wrong_file_is_one_line(text, message, tmp_path, passed, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.yaml").write_text(text)
    assert message in refused(capsys, "train", "--env", "BoxPushing-4", "--config", "run.yaml")
    assert not passed


def test_dashes_are_underscores_within_a_map(tmp_path, passed):
    (tmp_path / "x.yaml").write_text("env_options: {big-box-reward: 60}\nsweep: {learning-rate: [0.1]}")
    assert main(["train", "--env", "BoxPushing-4", "--config", str(tmp_path / "x.yaml")]) == 0
    assert passed[0]["env_options"] == {"big_box_reward": 60} and passed[0]["sweep"] == {"learning_rate": [0.1]}


def test_a_flag_that_is_no_switch_says_so(capsys):
    assert "--no-gamma: gamma is not a switch" in refused(capsys, "train", "--no-gamma")
    assert "--no-mixing-embed: mixing_embed is not a switch" in refused(
        capsys, "train", "--algorithm", "avf-qmix", "--no-mixing-embed"
    )


def test_a_byte_order_mark_is_no_content(tmp_path, passed):
    for name, text in (("run.json", '{"gamma": 0.9}'), ("run.yaml", "gamma: 0.9")):
        (tmp_path / name).write_text(text, encoding="utf-8-sig")
        assert main(["train", "--env", "BoxPushing-4", "--config", str(tmp_path / name)]) == 0
    assert [call["gamma"] for call in passed] == [0.9, 0.9]


def test_a_name_twice_in_a_json_file_is_refused(tmp_path, passed, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.json").write_text('{"gamma": 0.9, "sweep": {"learning-rate": [0.1], "learning_rate": [0.2]}}')
    assert "run.json has learning_rate twice" in refused(capsys, "train", "--config", "run.json")
    assert not passed


def test_a_file_that_cannot_be_read_is_one_line(tmp_path, passed, capsys):
    assert "none.yaml cannot be read: No such file" in refused(capsys, "train", "--config", "none.yaml")
    assert "cannot be read: Is a directory" in refused(capsys, "train", "--config", str(made_folder(tmp_path)))
    assert "run.txt: settings are read from .yaml, .yml or .json" in refused(capsys, "train", "--config", "run.txt")
    (tmp_path / "x.json").write_text("{")
    assert "x.json is not valid JSON: " in refused(capsys, "train", "--config", str(tmp_path / "x.json"))
    assert "--config is given twice" in refused(capsys, "train", "--config", "a.yaml", "--config", "b.yaml")
    assert "--config needs a value" in refused(capsys, "train", "--config")


def made_folder(path):
    (path / "folder.yaml").mkdir()
    return path / "folder.yaml"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("like") / "run"
    options = {"horizon": 12, "random_init": True}
    made(out, "avf-qplex", seeds=2, sweep={"gamma": [0.9, 0.95]}, env_options=options, kernels=6, hidden_size=8)
    return out


def test_like_a_run(run, passed, capsys):
    assert main(["train", "--like", str(run)]) == 0
    again = passed[0]
    assert (again["algorithm"], again["env"], again["preset"]) == ("avf-qplex", "BoxPushing-4", "tuned")
    assert again["seeds"] == [0, 1] and again["env_options"] == {"horizon": 12, "random_init": True}
    assert again["sweep"] == {"gamma": [0.9, 0.95]} and (again["kernels"], again["hidden_size"]) == (6, 8)
    assert capsys.readouterr().err == ""


@pytest.mark.filterwarnings("always::jaxmac.errors.RunNote")
def test_like_a_run_of_the_first_format(tmp_path, passed, capsys):
    with zipfile.ZipFile(Path(__file__).parents[1] / "golden" / "run_format_1.zip") as archive:
        archive.extractall(tmp_path)
    assert main(["train", "--like", str(tmp_path)]) == 0
    assert "was written by jaxmac 0.1.0" in capsys.readouterr().err
    assert (passed[0]["algorithm"], passed[0]["sampling"]) == ("avf-qmix", "tournament")


def test_like_a_run_whose_preset_has_changed_since(run, tmp_path, passed):
    config = json.loads((run / "config.json").read_text())
    config["settings"]["learning_rate"] = 0.25
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert main(["train", "--like", str(tmp_path)]) == 0
    assert passed[0]["learning_rate"] == 0.25  # as it was trained, not as the preset is today
    assert main(["train", "--like", str(tmp_path), "--preset", "paper"]) == 0
    assert passed[1]["preset"] == "paper" and "learning_rate" not in passed[1] and passed[1]["kernels"] == 6


@pytest.mark.parametrize("where", ["line", "file"])
def test_another_algorithm_has_its_own_preset(run, tmp_path, passed, where):
    config = json.loads((run / "config.json").read_text())
    config["settings"]["epsilon_start"] = 0.25
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "x.yaml").write_text("algorithm: mac-ippo")
    other = ["--algorithm", "mac-ippo"] if where == "line" else ["--config", str(tmp_path / "x.yaml")]
    assert main(["train", "--like", str(tmp_path), *other]) == 0
    assert passed[0]["algorithm"] == "mac-ippo" and "epsilon_start" not in passed[0]
    assert (passed[0]["hidden_size"], passed[0]["preset"], passed[0]["seeds"]) == (8, "tuned", [0, 1])
    assert main(["train", "--like", str(tmp_path), "--algorithm", "avf-qplex"]) == 0
    assert passed[1]["epsilon_start"] == 0.25, "the same algorithm is no other one"


def test_flags_override_a_run(run, passed, capsys):
    flags = ["--algorithm", "avf-vdn", "--env", "CaptureTarget-2", "--gamma", "0.5", "--hidden-size", "24"]
    assert main(["train", "--like", str(run), *flags]) == 0
    again = passed[0]
    assert (again["algorithm"], again["env"], again["gamma"]) == ("avf-vdn", "CaptureTarget-2", 0.5)
    assert again["env_options"] == {"horizon": 12} and again["sweep"] is None and again["hidden_size"] == 24
    note = capsys.readouterr().err
    assert note.startswith(f"jaxmac: note: of {run}, avf-vdn on CaptureTarget-2 has no ") and note.count("\n") == 1
    assert "kernels" in note and "env_options.random_init" in note


def test_a_file_goes_before_a_run_and_the_line_before_both(run, tmp_path, passed):
    (tmp_path / "x.yaml").write_text("episodes: 40\nhidden_size: 16\nsweep: {polyak: [0.5, 0.6]}\n")
    both = ["--like", str(run), "--config", str(tmp_path / "x.yaml")]
    assert main(["train", *both, "--hidden-size", "32"]) == 0
    again = passed[0]
    assert (again["algorithm"], again["episodes"], again["kernels"]) == ("avf-qplex", 40, 6)
    assert again["sweep"] == {"polyak": [0.5, 0.6]} and "hidden_size" not in again  # 32 is the preset's


def test_a_run_that_cannot_be_taken_is_one_line(run, tmp_path, passed, capsys):
    assert "is not a run directory" in refused(capsys, "train", "--like", str(tmp_path))
    config = json.loads((run / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"env_rebuildable": False, "env": "Mine"}))
    assert "has no environment id: give --env" in refused(capsys, "train", "--like", str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps(config | {"plugins": ["no_such_parts"]}))
    assert "add --plugin no_such_parts" in refused(capsys, "train", "--like", str(tmp_path))
    assert not passed


def test_options_whose_defaults_are_lists_and_dicts(passed):
    def factory(*, horizon: int = 12, cells=[1, 2], table: dict = {}):  # noqa: B006
        return Line(horizon)

    envs.register_environment("Tables", factory, listed=False)
    try:
        assert main(["train", "--env", "Tables", "--env-options.cells", "[3, 4]"]) == 0
        assert main(["train", "--env", "Tables", "--env-options.table", '{"a": 1}']) == 0
        assert main(["train", "--env", "Tables"]) == 0
    finally:
        envs.registry.unregister("Tables")
    assert [call["env_options"] for call in passed] == [{"cells": [3, 4]}, {"table": {"a": 1}}, {}]
