"""The zoo keeps the best team of a task, and of every algorithm on three tasks; nothing is trained here."""

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest

import jaxmac
from experiments import make_zoo
from jaxmac.algorithms import configure


@pytest.fixture
def add(tmp_path, monkeypatch):
    """Adds a team that earns `earned`; returns the algorithms that the index has then, the best first."""
    monkeypatch.setattr(make_zoo, "ZOO", tmp_path)

    def add(env, algorithm, earned):
        monkeypatch.setattr(make_zoo, "evaluated", lambda *given: earned)
        (tmp_path / "draft").mkdir()
        (tmp_path / "draft/policy.json").write_text("{}")
        config = {"env": env, "env_options": {}, "algorithm": algorithm, "episodes": 10}
        settings = dataclasses.asdict(configure(algorithm, "tuned", jaxmac.make(env), {}))
        config |= {"settings": settings | {"layer_norm": False}, "hyperparameters": {"max_rows": 80}}
        make_zoo.keep(tmp_path / "draft", config, seed=7)
        index = json.loads((tmp_path / "index.json").read_text())
        folders = {tmp_path / team["folder"] for teams in index.values() for team in teams}
        assert {path.parent for path in tmp_path.rglob("policy.json")} == folders, "files and index belong together"
        return [(team["algorithm"], team["return"]) for team in index[env]]

    return add


def test_a_task_keeps_its_best_team(add, tmp_path):
    assert add("Warehouse-S", "avf-vdn", 250.0) == [("avf-vdn", 250.0)]
    assert add("Warehouse-S", "avf-qmix", 240.0) == [("avf-vdn", 250.0)]
    assert add("Warehouse-S", "avf-qmix", 259.0) == [("avf-qmix", 259.0)]
    command = json.loads((tmp_path / "index.json").read_text())["Warehouse-S"][0]["command"]
    assert command.endswith("--preset tuned --layer-norm False --max-rows 80 --seeds 7, --episodes 10")


def test_a_run_of_other_options_is_no_rival(add, monkeypatch):
    add("Warehouse-S", "avf-vdn", 250.0)
    config = {"env": "Warehouse-S", "env_options": {"horizon": 60}, "algorithm": "avf-vdn"}
    monkeypatch.setattr(jaxmac, "load", lambda run: SimpleNamespace(status="finished", config=config))
    with pytest.raises(
        SystemExit, match=r"trained with the options {'horizon': 60}, but the zoo's warehouse_s/avf-vdn"
    ):
        make_zoo.add("runs/short")


def test_the_command_has_the_members_own_swept_values(monkeypatch, tmp_path):
    monkeypatch.setattr(make_zoo, "ZOO", tmp_path)
    configs = [configure("avf-vdn", "tuned", jaxmac.make("Warehouse-S"), {"gamma": gamma}) for gamma in (0.5, 0.6)]
    config = {"env": "Warehouse-S", "env_options": {}, "algorithm": "avf-vdn", "episodes": 10}
    config |= {"settings": dataclasses.asdict(configs[0]), "hyperparameters": {"gamma": 0.5}}
    run = SimpleNamespace(status="finished", config=config, metrics={"eval_return": np.array([[1.0, 2.0]])})
    run.members, run.specs = [{"seed": 7}, {"seed": 8}], [SimpleNamespace(config=one) for one in configs]
    monkeypatch.setattr(jaxmac, "load", lambda path: run)
    monkeypatch.setattr(jaxmac, "export_policy", lambda *given, **options: None)
    monkeypatch.setattr(make_zoo, "keep", lambda draft, config, seed: make_zoo.command(config, seed))
    assert make_zoo.add("runs/swept").endswith("--preset tuned --gamma 0.6 --seeds 8, --episodes 10")


def test_three_tasks_keep_every_algorithm(add):
    add("Warehouse-D", "avf-vdn", 500.0)
    add("Warehouse-D", "mac-ippo", 510.0)
    assert add("Warehouse-D", "avf-vdn", 490.0) == [("mac-ippo", 510.0), ("avf-vdn", 500.0)]
    assert add("Warehouse-D", "avf-vdn", 533.0) == [("avf-vdn", 533.0), ("mac-ippo", 510.0)]


def test_a_folder_without_a_run_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr("sys.argv", ["make_zoo", str(tmp_path / "nowhere")])
    with pytest.raises(SystemExit, match=r"nowhere is not a run directory: it has no config\.json"):
        make_zoo.main()
