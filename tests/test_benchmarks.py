import json
import platform

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmac
from benchmarks import environments, training
from benchmarks.environments import random_steps
from benchmarks.run import BenchArguments, bench
from jaxmac.rollout import random_policy, rollout

SMALL = {"batch_size": 4, "max_rows": 4, "hidden_size": 8, "num_envs": 4, "replay_tournament": 4}


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


def test_live_steps_are_those_a_rollout_records():
    """BoxPushing-4 ends early under random actions, so live and computed steps differ."""
    env, batch = jaxmac.make("BoxPushing-4"), 256
    live, checksum = jax.jit(lambda keys: random_steps(env, keys))(jax.random.split(jax.random.key(0), batch))
    recorded = jax.jit(lambda key: rollout(env, random_policy(), key, jnp.zeros(batch)))(jax.random.key(1))
    live, lengths = np.asarray(live), np.asarray(recorded.length)
    assert live.min() < env.horizon and np.isfinite(checksum).all()
    error = np.hypot(live.std(), lengths.std()) / np.sqrt(batch)
    assert abs(live.mean() - lengths.mean()) < 5 * error < 0.5 * lengths.mean()


def test_live_steps_follow_the_mask_of_the_same_episodes():
    env = jaxmac.make("BoxPushing-4")
    keys = jax.random.split(jax.random.key(2), 16)

    def taken(key):
        """The same keys, counted by the time of the last TimeStep, which stops at the end of an episode."""
        reset_key, scan_key = jax.random.split(key)
        state, ts = env.reset(reset_key)
        for time in range(env.horizon):
            act_key, env_key = jax.random.split(jax.random.fold_in(scan_key, time))
            state, ts = step(env_key, state, environments.uniform_available(act_key, ts.avail))
        return int(ts.time)

    step = jax.jit(env.step)
    live = np.asarray(random_steps(env, keys)[0])
    assert live[:3].tolist() == [taken(key) for key in keys[:3]]


def test_environment_rows_have_rates_sizes_and_compile_time(report):
    rows = report["environments"]["rows"]
    assert [row["parallel"] for row in rows] == [1, 8]
    for row in rows:
        assert 0 < row["live_steps"] <= row["raw_steps"] == row["parallel"] * row["horizon"]
        live, raw = row["live_steps_per_second"], row["raw_steps_per_second"]
        assert 0 < live["min"] <= live["median"] <= live["max"]
        assert live["median"] / raw["median"] == pytest.approx(row["live_steps"] / row["raw_steps"])
        assert row["compile_seconds"] > 0
    assert "live" in report["environments"]["quoted"]


def test_training_rows_count_updates_and_steps(report):
    (row,) = report["training"]["rows"]
    assert row["members"] == 2 and row["algorithm"] == "avf-qmix" and row["batch_size"] == 4
    assert row["updates_per_iteration_and_member"] == 2  # 4 episodes x 100 steps, one update in 200
    assert row["nominal_env_steps_per_update"] == 200
    assert 0 < row["live_env_steps_per_second"]["median"] <= row["nominal_env_steps_per_second"]["median"]
    updates, nominal = (row[name]["median"] for name in ("updates_per_second", "nominal_env_steps_per_second"))
    assert updates * 200 == pytest.approx(nominal)
    assert row["compile_seconds"] > 0


def test_shares_of_an_iteration_add_up(report):
    (parts,) = (entry["parts"] for entry in report["training"]["breakdown"])
    assert set(parts) == {"rollout", "replay_add", "replay_sample", "update", "evaluation"}
    assert sum(part["share"] for part in parts.values()) == pytest.approx(1)
    assert all(part["milliseconds_per_iteration"] > 0 for part in parts.values())


def test_the_report_names_machine_and_versions_but_no_host_or_path(report):
    assert report["machine"]["cores"] >= 1 and report["machine"]["memory_gib"] > 0 and report["machine"]["cpu"]
    assert report["versions"]["jax"] == jax.__version__
    text = json.dumps(report)
    assert platform.node() not in text and "/home" not in text and "/tmp" not in text


def test_an_unknown_environment_is_refused_before_anything_is_measured(tmp_path):
    with pytest.raises(ValueError, match="unknown environment 'BoxPushing-5'"):
        bench(BenchArguments(env=("BoxPushing-5",), out=tmp_path))
    assert not list(tmp_path.iterdir())
