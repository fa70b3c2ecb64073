"""The benchmark: which cells are trained, what is kept of them, and the page; nothing is trained here."""

import dataclasses
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import jaxmac
from experiments import benchmark, benchmark_cells, benchmark_report
from experiments.benchmark import MOST_KILLS, Cell, counted_kills, is_wanted, seeds_of, thinned, train_cell
from experiments.sweeps import SWEEPS
from experiments.tasks import TASKS
from jaxmac.algorithms import configure
from jaxmac.errors import RunDirectoryError
from jaxmac.training import TrainingError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark_cells, "FOLDER", tmp_path / "benchmark")
    monkeypatch.setattr(benchmark_report, "PAGE", tmp_path / "benchmark.md")
    monkeypatch.setattr(benchmark_cells, "anchors", lambda env: {"random play": -10.0, "scripted play": 0.5})
    monkeypatch.setattr(jaxmac, "use_cpu_devices", lambda count: None)
    monkeypatch.setattr(jaxmac, "evaluate", played)
    return tmp_path


def played(result, seed, member, greedy):
    """As if member 0 earned 97 in greedy play, member 1 95, each in the episodes of its seed."""
    return [{"mean": 97.0 - 2 * member}] if greedy and seed == 300 + member else []


def fake(cell, seeds):
    """As if trained: the seeds end at 80, 90, ..., and mac-iaicc on Warehouse-D stops half way."""
    if cell == Cell("Warehouse-D", "mac-iaicc"):
        raise RuntimeError("the loss of member 3 is not finite\nlong story")
    returns = np.linspace(0, 1, 250)[:, None] * (80.0 + 10 * np.arange(len(seeds)))
    episodes = np.linspace(0, 5000, 250)[:, None].repeat(len(seeds), 1)
    metrics = {"episodes": episodes, "eval_return": returns, "wall_seconds": np.full_like(returns, 90.0)}
    metrics["eval_discounted_return"] = returns / 2
    config = {"settings": {"gamma": 0.98}, "hyperparameters": {"gamma": 0.98}, "backend": "cpu"}
    config["versions"] = {"jaxmac": "0.2.0"}
    policy = SimpleNamespace(act_greedily=None if cell.algorithm.startswith("avf") else "some function")
    return SimpleNamespace(metrics=metrics, config=config, policy=lambda: policy)


def run(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["benchmark", *words])
    benchmark.main()


def test_cells_are_trained_once_and_the_page_tells_them(folder, monkeypatch):
    trained = []

    def train(cell, seeds, retry):
        assert retry == (cell in trained), "the kills of a failed cell do not count where it is retried"
        trained.append(cell)
        return fake(cell, seeds)

    monkeypatch.setattr(benchmark, "_train_or_go_on", train)
    words = ["--env", "Warehouse-D", "BoxPushing-10", "--algorithm", "avf-qmix", "mac-iaicc", "avf-vdn"]
    run(monkeypatch, *words, "--seeds", "3")
    assert len(trained) == 6
    page = (folder / "benchmark.md").read_text()
    row = next(line for line in page.splitlines() if line.startswith("| avf-vdn | 8"))
    assert "of 3 |" in row and "| 1.5 | cpu |" in row
    mean, discounted = (float(row.split("|")[i].split()[0]) for i in (2, 6))
    assert discounted == pytest.approx(mean / 2, abs=0.1)
    assert "Warehouse-D, mac-iaicc: the loss of member 3 is not finite\n" in page and "long story" not in page
    assert "- Warehouse-S: avf-qmix" in page, "what was not run is named"
    assert "a result on 1 task: BoxPushing-10." in page, "statistics are over the tasks that all algorithms have"
    assert (folder / "benchmark/curves.png").stat().st_size > 5000
    run(monkeypatch, *words, "--seeds", "3")
    assert len(trained) == 6, "neither finished nor failed cells are trained again"
    run(monkeypatch, *words, "--seeds", "3", "--retry")
    assert trained[6:] == [Cell("Warehouse-D", "mac-iaicc")]
    run(monkeypatch, *words, "--report", "--seeds", "4")
    assert len(trained) == 7


def test_a_cell_says_where_it_was_trained(folder, monkeypatch):
    monkeypatch.setattr(benchmark, "_train_or_go_on", lambda cell, seeds, retry: fake(cell, seeds))
    cell = Cell("Warehouse-D", "avf-qmix")
    repository = Path(benchmark.__file__).parents[1]
    if (repository / ".git").exists():
        head = subprocess.run(["git", "-C", repository, "rev-parse", "HEAD"], capture_output=True, text=True)
        assert benchmark.commit().rstrip("+") == head.stdout.strip()
    monkeypatch.setattr(benchmark, "commit", benchmark.commit.__wrapped__)  # that would keep its first answer
    monkeypatch.setenv("PATH", "")
    found = benchmark.train_cell(cell, [300])["trained_on"]
    assert found["cores"] >= 1 and found["cpu"]
    assert found["versions"] == {"jaxmac": "0.2.0"} and found["commit"] is None
    assert benchmark.train_cell(Cell("Warehouse-D", "mac-iaicc"), [300])["trained_on"] == found | {"versions": {}}


def test_the_page_names_what_tuned_has_changed_since_a_cell_was_trained():
    env = jaxmac.make("Warehouse-D")
    config = configure("avf-qmix", "tuned", env, {})
    settings = dataclasses.asdict(config)
    assert benchmark_report.changes_since(env, "avf-qmix", settings) == {}
    drawn = dataclasses.asdict(configure("avf-qmix", "tuned", env, {"sampling": "tournament"}))
    drawn |= {"replay_tournament": 3}
    assert benchmark_report.changes_since(env, "avf-qmix", drawn) == {
        "sampling": ("tournament", "uniform"),
        "replay_tournament": (3, 64),
    }
    before = {name: value for name, value in settings.items() if name != "layer_norm"} | {"gamma": 0.5}
    changed = benchmark_report.changes_since(env, "avf-qmix", before)
    assert changed == {"layer_norm": (False, True), "gamma": (0.5, config.gamma)}
    cells = {name: {"settings": settings | {"gamma": 0.5}} for name in ("avf-qmix", "avf-vdn")}
    (_, line) = benchmark_report._earlier("Warehouse-D", cells)
    assert line.endswith(f"avf-qmix, avf-vdn (gamma=0.5, now {config.gamma}).")
    assert benchmark_report._earlier("Warehouse-D", {"avf-qmix": {"settings": settings}}) == []


def test_a_cell_is_trained_anew_for_more_seeds_or_another_task_only():
    cell, episodes = Cell("Warehouse-D", "avf-qmix"), TASKS["Warehouse-D"].episodes
    assert is_wanted(cell, None, [300], retry=False)
    assert is_wanted(cell, {"seeds": [300]}, [300, 301], retry=False)
    assert not is_wanted(cell, {"seeds": [300, 301], "episodes": episodes}, [300], retry=True)
    assert is_wanted(cell, {"seeds": [300, 301], "episodes": episodes - 1}, [300], retry=False)
    assert is_wanted(cell, {"seeds": [300, 301], "env_options": {"horizon": 9}}, [300], retry=False)


def test_a_cell_has_seeds_that_its_preset_was_not_chosen_with():
    assert seeds_of(Cell("CaptureTarget-10", "avf-qmix"), 2) == [300, 301]
    chosen_with = SWEEPS["ippo_capture_target_10_fresh"].seeds
    assert not set(seeds_of(Cell("CaptureTarget-10", "mac-ippo"), 10)) & set(chosen_with)


def test_actor_critics_are_played_greedily_as_well(folder, monkeypatch):
    monkeypatch.setattr(benchmark, "_train_or_go_on", lambda cell, seeds, anew: fake(cell, seeds))
    run(monkeypatch, "--env", "BoxPushing-10", "--algorithm", "mac-ippo", "avf-vdn", "--seeds", "2")
    page = (folder / "benchmark.md").read_text()
    assert "\nGreedy play of the last policies, 1,000 episodes of each seed: mac-ippo 96.0.\n" in page
    stored = Cell("BoxPushing-10", "mac-ippo").stored()
    assert stored["greedy_seeds"] == stored["seeds"] == [300, 301]
    assert benchmark_report._before({"mac-ippo": stored}, 1) == []
    before = stored | {"trained_before": {"final": [90.0, 91.0], "backend": "gpu"}}
    assert benchmark_report._before({"mac-ippo": before}, 1)[1].endswith("seeds had: mac-ippo 90.5 on gpu.")
    stored.pop("greedy_seeds")
    assert benchmark_report._greedy({"mac-ippo": stored}, 1)[1].endswith("of each seed: mac-ippo* 96.0.")


def test_the_level_of_a_task_is_called_what_it_is():
    anchors = {env: {"best": 0.5, "random": 0.1} for env in ("Warehouse-D", "Overcooked-A", "CaptureTarget-10")}
    found = SimpleNamespace(cells={env: {} for env in anchors}, anchors=anchors)
    proven, known, scripted = (benchmark_report.panel_of(found, env) for env in anchors)
    assert (proven.best, known.best, scripted.best) == (("optimum", 0.5), ("best known", 0.5), None)
    assert scripted.anchors == {"random play": 0.1, "scripted play": 0.5}  # which learners may exceed


def test_the_page_is_made_from_what_is_stored():
    found = benchmark_cells.read(benchmark.ENVIRONMENTS, benchmark.ALGORITHMS)
    assert benchmark_report.page(found) == benchmark_report.PAGE.read_text(), "run it with --report"


def test_no_seeds_at_all_are_refused(folder, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        run(monkeypatch, "--seeds", "0")
    assert "--seeds 0 is not a number of seeds; allowed: 1 or more" in capsys.readouterr().err


@pytest.fixture
def calls(tmp_path, monkeypatch):
    """The jobs that `_train_or_go_on` trains or goes on with, in a folder of its own."""
    made = []
    monkeypatch.setattr(benchmark, "RUNS", tmp_path)
    monkeypatch.setattr(benchmark, "train_or_go_on", lambda job, *_, **options: made.append((job, options)))
    return made


def test_a_cell_goes_on_from_its_checkpoint_and_a_finished_run_is_kept(calls):
    benchmark._train_or_go_on(Cell("Warehouse-Q", "avf-vdn"), [300], retry=False)
    ((job, options),) = calls
    assert options == {"keep_finished": True} and job.env_options == TASKS["Warehouse-Q"].options != {}


@pytest.mark.parametrize("where", ["training", "storing"])
def test_a_full_disk_is_no_failure_of_a_cell(folder, monkeypatch, capsys, where):
    def train(cell, seeds, retry):
        if where == "training":
            raise TrainingError("disk full") from OSError("disk full")
        return fake(cell, seeds)

    def write(path, text, **options):
        path.touch()
        raise OSError("disk full")

    monkeypatch.setattr(benchmark, "_train_or_go_on", train)
    monkeypatch.setattr(Path, "write_text", write)
    monkeypatch.setattr(benchmark_report, "write", lambda *_: None)
    run(monkeypatch, "--env", "Warehouse-D", "--algorithm", "avf-vdn")
    assert "Warehouse-D, avf-vdn is left out: disk full" in capsys.readouterr().out
    cell = Cell("Warehouse-D", "avf-vdn")
    assert cell.stored() is None and not list(cell.stem.parent.glob("*"))


def test_a_result_is_not_replaced_by_a_failure(folder, monkeypatch, capsys):
    cell = Cell("Warehouse-D", "avf-vdn")
    stored = {"seeds": [300], "final": [98.0], "episodes": 1, "settings": {}}
    benchmark.write(cell, stored | {"curve": [[0.0, 1.0], [16.0, 98.0]]})
    monkeypatch.setattr(benchmark, "train_cell", lambda *_, **__: {"failed": "memory is full"})
    monkeypatch.setattr(benchmark_report, "write", lambda *_: None)
    run(monkeypatch, "--env", cell.env, "--algorithm", cell.algorithm)
    assert (
        cell.stored()["final"] == [98.0] and "stays, as it failed anew: memory is full" in capsys.readouterr().out
    )
    other = Cell("Warehouse-D", "avf-qmix")
    run(monkeypatch, "--env", other.env, "--algorithm", other.algorithm)
    assert other.stored() == {"failed": "memory is full"}


def test_a_run_directory_that_cannot_be_read_leaves_out_its_cell_only(folder, monkeypatch, capsys):
    def train(cell, seeds, retry):
        if cell.algorithm == "avf-vdn":
            raise RunDirectoryError("its config.json is damaged")
        return {"failed": "memory is full"}

    monkeypatch.setattr(benchmark, "train_cell", train)
    monkeypatch.setattr(benchmark_report, "write", lambda *_: None)
    run(monkeypatch, "--env", "Warehouse-D", "--algorithm", "avf-vdn", "avf-qmix")
    assert "Warehouse-D, avf-vdn is left out: its config.json is damaged" in capsys.readouterr().out
    assert Cell("Warehouse-D", "avf-vdn").stored() is None and Cell("Warehouse-D", "avf-qmix").stored()


@pytest.mark.parametrize("damage", ["json", "csv", "no csv"])
def test_a_damaged_cell_counts_as_missing_and_is_named(folder, capsys, damage):
    cell = Cell("Warehouse-D", "avf-vdn")
    stored = {"seeds": [300], "final": [98.0], "episodes": 1, "settings": {}}
    benchmark.write(cell, stored | {"curve": [[0.0, 1.0], [16.0, 98.0]]})
    assert cell.stored()["final"] == [98.0] and not list(cell.stem.parent.glob("*.part"))
    path = cell.stem.with_suffix(".json" if damage == "json" else ".csv")
    path.write_text(path.read_text()[:-6])
    if damage == "no csv":
        path.unlink()
    assert cell.stored() is None
    assert benchmark_cells.read([cell.env], [cell.algorithm]).missing == ["Warehouse-D: avf-vdn"]
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 2 and "avf-vdn is damaged, and counts as missing: " in told[0]


def test_a_count_of_kills_that_is_half_written_is_none(tmp_path, calls):
    kills = tmp_path / "benchmark/warehouse_d/avf-vdn.kills"
    kills.parent.mkdir(parents=True)
    kills.touch()
    benchmark._train_or_go_on(Cell("Warehouse-D", "avf-vdn"), [300], retry=False)
    assert len(calls) == 1 and not kills.exists()


def test_a_cell_whose_process_is_killed_again_and_again_has_failed(tmp_path, calls):
    cell = Cell("Warehouse-D", "avf-vdn")
    out = tmp_path / "benchmark/warehouse_d/avf-vdn"
    kills = out.with_name("avf-vdn.kills")
    out.mkdir(parents=True)
    for kill in range(MOST_KILLS):  # always at about the same place
        (out / "metrics.csv").write_text("head\nfirst\n" + "second\n" * (kill != 1))
        with counted_kills(out):
            killed = kills.read_text()
        kills.write_text(killed)  # a killed process leaves it
    failed = train_cell(cell, [300])["failed"]
    assert failed == "its process was killed 3 times without progress, perhaps for memory" and calls == []
    (out / "metrics.csv").write_text("head\nfirst\nsecond\nthird\n")
    benchmark._train_or_go_on(cell, [300], retry=False)
    assert len(calls) == 1 and not kills.exists(), "there was progress since"
    kills.write_text(f"{MOST_KILLS} 4\n")
    benchmark._train_or_go_on(cell, [300], retry=True)
    assert len(calls) == 2, "the kills do not count where the cell is retried"


def test_a_joint_action_space_that_is_too_large_is_named(monkeypatch):
    monkeypatch.setattr("jaxmac.networks.joint.MOST_JOINT_ACTIONS", 1000)
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
    kept, absent = benchmark_report._compared(benchmark_cells.Results(cells, {}, [], [], []))
    assert kept == ["avf-qmix", "mac-ippo"]
    assert absent == "Results on less than half of the tasks, and so not in it: mac-cen-q."
    cells["b"]["mac-cen-q"] = {}
    assert benchmark_report._compared(benchmark_cells.Results(cells, {}, [], [], []))[0][-1] == "mac-cen-q"


def test_a_second_table_leaves_out_the_algorithm_with_the_fewest_results():
    cell = {"final": [90.0, 95.0, 100.0], "settings": {"gamma": 0.98}}
    cells = {
        task: {"avf-qmix": cell, "mac-ippo": cell, "mac-cen-q": cell} for task in ("BoxPushing-10", "Warehouse-S")
    }
    del cells["Warehouse-S"]["mac-cen-q"]
    levels = {task: {"random": 0.0, "best": 100.0} for task in cells}
    found = benchmark_cells.Results(cells, levels, [], [], [*cells, "Overcooked-A"])
    _, every, others, _ = benchmark_report._across(found)
    assert "3 algorithms have a result on 1 task: BoxPushing-10." in every and "mac-cen-q" in every
    assert "2 algorithms have a result on 2 tasks: BoxPushing-10, Warehouse-S." in others
    assert "mac-cen-q" not in others and "| mac-ippo | 0.950 [" in others
    cells["Warehouse-S"]["mac-cen-q"] = cell
    *_, last, _ = benchmark_report._across(found)
    assert "3 algorithms have a result on 1 task: Warehouse-S." in last, "the third table is without Box Pushing"


def test_the_page_names_what_was_not_measured():
    cell = {"final": [90.0, 95.0, 100.0], "settings": {"gamma": 0.98}}
    cells = {"BoxPushing-10": {"mac-ippo": cell, "mac-cen-q": cell}, "Warehouse-S": {"mac-ippo": cell}}
    found = benchmark_cells.Results(cells, {}, [], [], [*cells, "Overcooked-A"])
    assert benchmark_report._joint_sizes(found) == "54 on Warehouse-S, 2,744 on Overcooked-A"
    assert benchmark_report._without_greedy(found) == "mac-ippo on BoxPushing-10, Warehouse-S"
    cells["Warehouse-S"] = {"mac-ippo": {**cell, "greedy": [1.0], "settings": {"gamma": 0.9}}}
    assert benchmark_report._without_greedy(found) == "mac-ippo on BoxPushing-10"
    assert benchmark_report._gammas(found) == "0.98, 0.9 on Warehouse-S"
