import json

import jax
import numpy as np
import pytest

import jaxmac
from jaxmac.bench import environments, run, training
from jaxmac.bench.environments import random_steps
from jaxmac.bench.run import BenchArguments, bench

SMALL = {"batch_size": 4, "max_rows": 4, "hidden_size": 8, "num_envs": 4, "replay_tournament": 4, "train_freq": 200}


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """What a tiny `jaxmac bench --quick` writes."""
    out = tmp_path_factory.mktemp("bench") / "results"
    patch = pytest.MonkeyPatch()
    patch.setattr(environments, "QUICK_PARALLEL", (1, 8))
    patch.setattr(training, "EARLY", {"learning_starts": 8, "replay_episodes": 16, "eval_episodes": 4, **SMALL})
    try:
        assert bench(BenchArguments(env=("BoxPushing-4",), quick=True, out=out)) == 0
    finally:
        patch.undo()
    (path,) = out.iterdir()
    return json.loads(path.read_text())


@pytest.mark.slow
def test_an_episode_that_ends_starts_again_at_once():
    """The same keys by hand: steps go on counting, the state is the scan's first one again."""
    env, steps = jaxmac.make("BoxPushing-4", horizon=15), 60
    step = jax.jit(env.step)

    def ended(key):
        reset_key, scan_key = jax.random.split(key)
        state, ts = fresh = env.reset(reset_key)
        count = 0
        for time in range(steps):
            act_key, env_key = jax.random.split(jax.random.fold_in(scan_key, time))
            state, ts = step(env_key, state, environments.uniform_available(act_key, ts.avail))
            if ts.terminal | ts.truncated:
                count, (state, ts) = count + 1, fresh
        return count

    keys = jax.random.split(jax.random.key(2), 16)
    counted, checksum = jax.vmap(lambda key: random_steps(env, key, steps))(keys)
    assert np.isfinite(checksum).all()
    assert counted[:3].tolist() == [ended(key) for key in keys[:3]]
    assert counted.min() >= 60 // 15 and counted.max() > 60 // 15  # random actions end some early


@pytest.mark.slow
def test_environment_rows_have_rates_sizes_and_compile_time(report):
    rows = report["environments"]["rows"]
    assert [row["parallel"] for row in rows] == [1, 8]
    for row in rows:
        assert row["steps"] == row["parallel"] * max(100, 20_000 // row["parallel"])
        assert 0 < row["episodes_ended"] < row["steps"]
        rate = row["steps_per_second"]
        assert 0 < rate["min"] <= rate["median"] <= rate["max"]
        assert row["compile_seconds"] > 0
    assert "starts again" in report["environments"]["counted"]


@pytest.mark.slow
def test_training_rows_count_updates_and_steps(report):
    (row,) = report["training"]["rows"]
    assert row["members"] == 2 and row["algorithm"] == "avf-qmix" and row["batch_size"] == 4
    assert row["updates_per_iteration_and_member"] == 2  # 4 episodes x 100 steps, one update in 200
    assert row["nominal_env_steps_per_update"] == 200
    assert 0 < row["live_env_steps_per_second"]["median"] <= row["nominal_env_steps_per_second"]["median"]
    updates, nominal = (row[name]["median"] for name in ("updates_per_second", "nominal_env_steps_per_second"))
    assert updates * 200 == pytest.approx(nominal)
    live = row["live_env_steps_per_second"]["median"]
    assert updates * row["live_env_steps_per_update"] == pytest.approx(live)
    assert row["compile_seconds"] > 0


@pytest.mark.slow
def test_shares_of_an_iteration_add_up(report):
    (parts,) = (entry["parts"] for entry in report["training"]["breakdown"])
    assert set(parts) == {"rollout", "replay_add", "replay_sample", "update", "evaluation"}
    assert sum(part["share"] for part in parts.values()) == pytest.approx(1)
    assert all(part["milliseconds_per_iteration"] > 0 for part in parts.values())


@pytest.mark.slow
def test_the_report_names_machine_and_versions_but_no_path(report):
    assert report["machine"]["cores"] >= 1 and report["machine"]["memory_gib"] > 0 and report["machine"]["cpu"]
    assert report["versions"]["jax"] == jax.__version__
    text = json.dumps(report)
    assert "/home" not in text and "/tmp" not in text


def test_an_unknown_environment_is_refused_before_anything_is_measured(tmp_path):
    with pytest.raises(ValueError, match="unknown environment 'BoxPushing-5'"):
        bench(BenchArguments(env=("BoxPushing-5",), out=tmp_path))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"algorithm": ("avf-qtran",)}, "algorithm is 'avf-qtran', but must be one of avf-qmix, "),
        (
            {"algorithm": ("mac-ippo",), "quick": True},
            "algorithm is 'mac-ippo', but must be one of avf-qmix",
        ),
    ],
)
def test_an_algorithm_that_is_not_measured_is_refused(options, words, tmp_path):
    with pytest.raises(ValueError) as refused:
        bench(BenchArguments(env=("BoxPushing-4",), what="training", out=tmp_path / "new", devices=None, **options))
    assert str(refused.value).startswith(words) and not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"what": "training", "parallel": (64,)}, "--parallel is for environments"),
        ({"what": "environments", "algorithm": ("avf-qmix",)}, "--algorithm is for training"),
        ({"what": "training", "env": ("BoxPushing-4", "BoxPushing-6")}, "--what training is measured on one"),
        ({"what": "training", "env": ("all",)}, "--what training is measured on one"),
    ],
)
def test_what_would_be_ignored_is_refused(options, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        bench(BenchArguments(**{"env": ("BoxPushing-4",), "out": tmp_path / "new", **options}))
    assert not (tmp_path / "new").exists()


def test_a_report_replaces_neither_its_baseline_nor_other_files(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "_measure", lambda *_: pytest.fail("it measures"))
    report = tmp_path / "bench.json"
    machine, versions = dict.fromkeys(("cpu", "cores", "device")), dict.fromkeys(("jax", "jaxmac"))
    report.write_text(json.dumps({"machine": machine, "versions": versions, "environments": {"rows": []}}))
    with pytest.raises(
        ValueError, match=r"--compare .*bench.json would be replaced by the new report; choose anoth"
    ):
        bench(BenchArguments(out=tmp_path, compare=report))
    report.write_text('{"mine": 1}')
    with pytest.raises(
        ValueError, match=r"--out would replace .*bench.json, which is not a report of jaxmac bench"
    ):
        bench(BenchArguments(out=tmp_path))
    report.unlink()
    (tmp_path / "bench-stopped.json").write_text("my notes")
    with pytest.raises(ValueError, match=r"--out would replace .*bench-stopped.json, which is not a report"):
        bench(BenchArguments(out=tmp_path))
    (tmp_path / "bench-stopped.json").unlink()
    report.mkdir()
    with pytest.raises(IsADirectoryError, match="is a folder"):
        bench(BenchArguments(out=tmp_path))


@pytest.mark.parametrize("measured", [0, 2])
def test_a_stopped_benchmark_keeps_what_it_has_measured(measured, tmp_path, monkeypatch, capsys):
    def measure(env_id, parallel, repeats):
        if parallel > measured:
            raise KeyboardInterrupt
        rate = {"median": 7.0, "min": 6.0, "max": 8.0}
        row = {"env": env_id, "parallel": parallel, "devices": 1, "steps_per_second": rate}
        return row | {"compile_seconds": 1.0, "reference_steps_per_second": None}

    monkeypatch.setattr(environments, "measure", measure)
    with pytest.raises(KeyboardInterrupt):
        bench(BenchArguments(env=("BoxPushing-4",), parallel=(1, 2, 3), out=tmp_path))
    found = [path.name for path in tmp_path.iterdir()]
    if not measured:
        assert found == []
        return
    assert found == ["bench-stopped.json"] and "bench-stopped.json" in capsys.readouterr().out
    report = json.loads((tmp_path / "bench-stopped.json").read_text())
    assert [row["parallel"] for row in report["environments"]["rows"]] == [1, 2] and "training" not in report
    bench_again = BenchArguments(env=("BoxPushing-4",), what="environments", parallel=(1,), out=tmp_path)
    assert bench(bench_again) == 0 and len(list(tmp_path.iterdir())) == 2  # the report of a stopped run stays


def test_a_case_that_cannot_be_built_is_left_out(monkeypatch):
    def refuse(*_):
        raise ValueError("9,765,625 joint macro-actions are too many")

    lines = []
    monkeypatch.setattr(training, "build", refuse)
    found = training.bench_training("CaptureTarget-10-primitive", False, lines.append, ("mac-cen-q",))
    assert (
        found["rows"] == [] and all("left out: 9,765,625 joint macro-actions" in line for line in lines) and lines
    )
