"""The benchmark: which cells are trained, what is kept of them, and the page; nothing is trained here."""

import dataclasses
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import jaxmac
from experiments import benchmark, benchmark_report
from experiments.benchmark import Cell, is_wanted, thinned, train_cell
from jaxmac.algorithms import configure


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark_report, "FOLDER", tmp_path / "benchmark")
    monkeypatch.setattr(benchmark_report, "PAGE", tmp_path / "benchmark.md")
    monkeypatch.setattr(benchmark_report, "anchors", lambda env: {"random play": -10.0, "scripted play": 0.5})
    monkeypatch.setattr(jaxmac, "use_cpu_devices", lambda count: None)
    return tmp_path


def fake(cell, seeds, episodes):
    """As if trained: the seeds end at 80, 90, ..., and mac-iaicc on Warehouse-D stops half way."""
    if cell == Cell("Warehouse-D", "mac-iaicc"):
        raise RuntimeError("the loss of member 3 is not finite\nlong story")
    returns = np.linspace(0, 1, 250)[:, None] * (80.0 + 10 * np.arange(len(seeds)))
    episodes = np.linspace(0, episodes, 250)[:, None].repeat(len(seeds), 1)
    metrics = {"episodes": episodes, "eval_return": returns, "wall_seconds": np.full_like(returns, 90.0)}
    metrics["eval_discounted_return"] = returns / 2
    config = {"settings": {}, "hyperparameters": {"gamma": 0.98}, "backend": "cpu"}
    return SimpleNamespace(metrics=metrics, config=config)


def run(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["benchmark", *words])
    benchmark.main()


def test_cells_are_trained_once_and_the_page_tells_them(folder, monkeypatch):
    trained = []

    def train(cell, seeds, episodes):
        trained.append(cell)
        return fake(cell, seeds, episodes)

    monkeypatch.setattr(benchmark, "_train_or_go_on", train)
    words = ["--env", "Warehouse-D", "BoxPushing-10", "--algorithm", "avf-qmix", "mac-iaicc", "avf-vdn"]
    run(monkeypatch, *words, "--count", "3")
    assert len(trained) == 6
    page = (folder / "benchmark.md").read_text()
    row = next(line for line in page.splitlines() if line.startswith("| avf-vdn | 8"))
    assert "of 3 |" in row and "| 1.5 | cpu |" in row
    mean, discounted = (float(row.split("|")[i].split()[0]) for i in (2, 6))
    assert discounted == pytest.approx(mean / 2, abs=0.1)
    assert "Warehouse-D, mac-iaicc: the loss of member 3 is not finite\n" in page and "long story" not in page
    assert "- Warehouse-S: avf-qmix" in page, "what was not run is named"
    assert "result: BoxPushing-10." in page, "statistics are over the tasks that all algorithms have"
    assert (folder / "benchmark/curves.png").stat().st_size > 5000
    run(monkeypatch, *words, "--count", "3")
    assert len(trained) == 6, "neither finished nor failed cells are trained again"
    run(monkeypatch, *words, "--count", "3", "--retry")
    assert trained[6:] == [Cell("Warehouse-D", "mac-iaicc")]
    run(monkeypatch, *words, "--report", "--count", "4")
    assert len(trained) == 7


def test_the_page_names_what_tuned_has_changed_since_a_cell_was_trained():
    config = configure("avf-qmix", "tuned", jaxmac.make("Warehouse-D"), {})
    settings = dataclasses.asdict(config)
    assert benchmark_report.changes_since("Warehouse-D", "avf-qmix", settings) == {}
    before = {name: value for name, value in settings.items() if name != "layer_norm"} | {"gamma": 0.5}
    changed = benchmark_report.changes_since("Warehouse-D", "avf-qmix", before)
    assert changed == {"layer_norm": (False, True), "gamma": (0.5, config.gamma)}
    cells = {name: {"settings": settings | {"gamma": 0.5}} for name in ("avf-qmix", "avf-vdn")}
    (_, line) = benchmark_report._earlier("Warehouse-D", cells)
    assert line.endswith(f"avf-qmix, avf-vdn (gamma=0.5, now {config.gamma}).")
    assert benchmark_report._earlier("Warehouse-D", {"avf-qmix": {"settings": settings}}) == []


def test_a_cell_is_trained_anew_for_more_seeds_only():
    assert is_wanted(None, [300], retry=False)
    assert is_wanted({"seeds": [300]}, [300, 301], retry=False)
    assert not is_wanted({"seeds": [300, 301]}, [300], retry=True)


def test_a_joint_action_space_that_is_too_large_is_named(monkeypatch):
    monkeypatch.setattr("jaxmac.networks.joint.LARGEST", 1000)
    cell = train_cell(Cell("CaptureTarget-10", "mac-cen-q"), [300])
    assert "joint macro-actions" in cell["failed"] and "curve" not in cell


def test_a_curve_is_thinned_by_means_that_do_not_reach_across_the_start_of_learning():
    episodes, returns = np.arange(10.0), np.arange(20.0).reshape(10, 2)
    rows = thinned(episodes, returns, start=3, most=5)
    assert rows[:3] == [[1.0, 1.0, 2.0], [2.0, 4.0, 5.0], [4.0, 7.0, 8.0]]  # of rows (0, 1), 2, (3, 4)
    assert rows[-1] == [9.0, 18.0, 19.0]
    assert thinned(episodes, returns, most=5)[0] == [0.0, 0.0, 1.0], "nobody had learned anything yet"
    assert len(thinned(episodes, returns, most=50)) == 10


def test_an_algorithm_with_results_on_few_tasks_does_not_narrow_the_comparison():
    cells = {task: {"avf-qmix": {}, "mac-ippo": {}} for task in ("a", "b", "c")}
    cells["c"]["mac-cen-q"] = {}
    kept, absent = benchmark_report._compared(benchmark_report.Results(cells, {}, [], []))
    assert kept == ["avf-qmix", "mac-ippo"]
    assert absent == "Results on less than half of the tasks, and so not in it: mac-cen-q."
    cells["b"]["mac-cen-q"] = {}
    assert benchmark_report._compared(benchmark_report.Results(cells, {}, [], []))[0][-1] == "mac-cen-q"
