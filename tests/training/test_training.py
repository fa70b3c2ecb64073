import csv
import json
import resource
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.probes import Additive, Asynchronous
from support.runs import ENV, TINY

import jaxmac
from jaxmac.record.episode import Episode
from jaxmac.runs import directory as rundir
from jaxmac.runs.directory import COLUMNS, RunDirectory, RunDirectoryError
from jaxmac.training import memory
from jaxmac.training.compiled import first_finished
from jaxmac.training.program import Program
from jaxmac.training.session import NonFiniteLossError, TrainingError


def tiny(seeds, **options):
    return jaxmac.train("avf-vdn", ENV, seeds=seeds, **{"episodes": 48, "progress": False, **TINY, **options})


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of three seeds and two discounts on a registered environment, on disk."""
    out = tmp_path_factory.mktemp("runs") / "run"
    result = jaxmac.train(
        "avf-vdn",
        "BoxPushing-4",
        env_options={"horizon": 12},
        seeds=[3, 1, 5],
        sweep={"gamma": [0.9, 0.5]},
        out=out,
        episodes=48,
        progress=False,
        **TINY,
    )
    return result, out


def test_the_table_has_a_row_per_member_and_evaluation(finished):
    result, out = finished
    with (out / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == (*COLUMNS, *result.config["diagnostics"], "gamma")
    # every 10 episodes rounded up to whole iterations of 4, and once more at the end
    assert sorted({int(row["episodes"]) for row in rows}) == [0, 12, 24, 36, 48]
    assert len(rows) == 5 * 6
    assert [(int(r["member"]), int(r["seed"]), float(r["gamma"])) for r in rows[:6]] == [
        (i, seed, gamma) for i, (gamma, seed) in enumerate((g, s) for g in (0.9, 0.5) for s in (3, 1, 5))
    ]
    assert rows[0]["loss"] == rows[0]["train_return"] == ""  # nothing yet
    assert result.metrics["loss"].shape == (5, 6)
    assert set(result.metrics) == {*COLUMNS[2:], *result.config["diagnostics"], "gamma"}


def test_counts_are_what_the_schedules_say(finished):
    result, _ = finished
    # learning starts with the iteration that completes 16 episodes; ceil(4 * 12 / 6) = 8 updates each
    iterations = result.metrics["episodes"][:, 0] // 4
    assert result.metrics["updates"][:, 0].tolist() == [8 * max(i - 3, 0) for i in iterations]
    assert result.metrics["epsilon"][0, 0] == 1.0  # the first episodes are random
    steps = result.metrics["env_steps"]
    assert (np.diff(steps, axis=0) > 0).all() and (steps[-1] <= 48 * 12).all() and (steps[-1] < 48 * 12).any()
    assert (result.metrics["eval_length"] <= 12).all()
    assert np.isin(result.metrics["eval_success"] * 4, range(5)).all()  # of four evaluation episodes


def test_loading_gives_the_same_result_and_policies(finished):
    result, out = finished
    loaded = jaxmac.load(out)
    assert loaded.members == result.members
    for name, values in result.metrics.items():
        np.testing.assert_allclose(loaded.metrics[name], values, rtol=1e-6, err_msg=name)
    one, other = (jaxmac.evaluate(run, episodes=5, member=4)[0] for run in (result, loaded))
    assert one == other and one["seed"] == 1 and one["gamma"] == 0.5
    assert one["mean"] == pytest.approx(result.metrics["eval_return"][-1, 4], abs=1e-4)  # deterministic and greedy
    with pytest.raises(ValueError, match=r"member is 6, but must be from 0 to 5"):
        loaded.policy(6)


@pytest.mark.slow
def test_a_policy_is_animated_to_a_file_or_inline(finished, tmp_path):
    result, _ = finished
    shown = result.render(member=2)
    assert result.render(2, tmp_path / "x.gif").read_bytes() == shown.gif
    assert shown.gif[:4] == b"GIF8" and shown._repr_html_().startswith('<img src="data:image/gif;base64,R0lG')


def test_config_json_holds_what_a_rerun_needs(finished):
    _, out = finished
    config = json.loads((out / "config.json").read_text())
    assert config["status"] == "finished"
    assert config["env"] == "BoxPushing-4" and config["env_options"] == {"horizon": 12}
    assert config["seeds"] == [3, 1, 5] and config["sweep"] == {"gamma": [0.9, 0.5]}
    assert config["versions"]["jax"] == jax.__version__
    assert config["settings"]["trajectory"] == 5
    assert (out / "curve.png").stat().st_size > 5000


@pytest.fixture(scope="module")
def pair():
    """Two seeds, as in other files of tests: one program serves them all."""
    return tiny([9, 5])


def test_a_seed_gives_the_same_numbers_alone_and_among_others(pair):
    alone, among = tiny([5]), pair
    for name in ("eval_return", "train_return", "loss", "env_steps"):
        np.testing.assert_allclose(
            alone.metrics[name][:, 0], among.metrics[name][:, 1], rtol=1e-4, atol=1e-5, err_msg=name
        )
    assert alone.metrics["loss"][-1, 0] != among.metrics["loss"][-1, 0]


def test_the_chunk_size_changes_nothing_at_all(pair):
    whole, single = pair, tiny([9, 5], chunk=1)
    for name in whole.metrics:
        if name != "wall_seconds":
            np.testing.assert_array_equal(whole.metrics[name], single.metrics[name], err_msg=name)


@pytest.mark.slow
def test_static_values_are_swept_in_programs_of_their_own():
    result = tiny([0, 1], episodes=24, sweep={"hidden_size": [4, 8], "learning_rate": [1e-3, 1e-2]})
    assert [(m["hidden_size"], m["learning_rate"], m["seed"]) for m in result.members] == [
        (h, lr, seed) for h in (4, 8) for lr in (1e-3, 1e-2) for seed in (0, 1)
    ]
    assert result.metrics["hidden_size"][-1].tolist() == [4] * 4 + [8] * 4
    same = tiny([0, 1], episodes=24, hidden_size=4, learning_rate=1e-2)
    np.testing.assert_allclose(result.metrics["loss"][-1, 2:4], same.metrics["loss"][-1], rtol=1e-4)
    assert result.policy(6) is not None


class Constant(Additive):
    """Pays 2.5 whatever is done."""

    def outcome(self, physics, actions, started):
        return 2.5, jnp.bool_(True)


class Explosive(Additive):
    """Pays a reward that is not a number once seed-dependent chance strikes."""

    def outcome(self, physics, actions, started):
        bad = (actions[0] == 1) & (actions[1] == 1)
        return jnp.where(bad, jnp.nan, 0.0), jnp.bool_(True)


def test_a_loss_that_is_not_finite_stops_the_run_and_names_member_and_update(tmp_path):
    out = tmp_path / "run"
    with pytest.raises(
        NonFiniteLossError,
        match=r"member 0 \(seed 4\): loss is not finite at update 1 \(the .*run",
    ):
        jaxmac.train(
            "avf-vdn", Explosive(), seeds=[4], episodes=48, out=out, progress=False, **{**TINY, "train_freq": 1}
        )
    assert len((out / "metrics.csv").read_text().splitlines()) >= 3  # header, start, up to the break
    assert json.loads((out / "config.json").read_text())["status"] == "non-finite loss"


@pytest.mark.slow
def test_an_interrupted_sweep_keeps_the_groups_it_finished(tmp_path, monkeypatch):
    """Ctrl-C while the second of two programs trains."""
    out, advance, calls = tmp_path / "run", Program.advance, []

    def interrupted(program, *arguments):
        calls.append(program.config.hidden_size)
        if calls.count(8) == 2:
            raise KeyboardInterrupt
        return advance(program, *arguments)

    monkeypatch.setattr(Program, "advance", interrupted)
    result = tiny([0, 1], episodes=36, sweep={"hidden_size": [4, 8, 16]}, out=out)
    assert result.status == "interrupted"
    loaded = jaxmac.load(out, env=Asynchronous())
    for run in (result, loaded):
        episodes = run.metrics["episodes"]
        assert episodes[:, 0].tolist() == [0, 12, 24, 36]
        assert episodes[:2, 2].tolist() == [0, 12] and np.isnan(episodes[2:, 2:4]).all()  # the broken group
        assert np.isnan(run.metrics["eval_return"][:, 4:]).all()
        assert run.metrics["hidden_size"][-1].tolist() == [4, 4, 8, 8, 16, 16]
        assert run.policy(0) is not None and run.policy(3) is not None
        with pytest.raises(RunDirectoryError, match="no checkpoint of this member"):
            run.policy(5)
    assert (out / "curve.png").exists()


@pytest.mark.slow
def test_swept_switches_keep_their_type(tmp_path):
    result = tiny([0], episodes=8, sweep={"double_q": [True, False]}, out=tmp_path / "run")
    loaded = jaxmac.load(tmp_path / "run", env=Asynchronous())
    for run in (result, loaded):
        assert run.metrics["double_q"].dtype == bool
        assert run.metrics["double_q"][0].tolist() == [True, False]
    with pytest.raises(ValueError, match="was trained on an environment instance: pass it as env="):
        jaxmac.load(tmp_path / "run")
    with pytest.raises(ValueError, match=r"trained on Asynchronous with .*, but env= is BoxPushing-4 with \{'num_"):
        jaxmac.load(tmp_path / "run", env=jaxmac.make("BoxPushing-4"))


def test_loading_uses_the_settings_of_the_run_not_todays_presets(finished, monkeypatch):
    _, out = finished
    monkeypatch.setattr("jaxmac.algorithms.presets.avf.tuned", lambda env, mixer_name: {"hidden_size": 3})
    loaded = jaxmac.load(out)
    assert loaded.specs[0].config.hidden_size == 8
    assert loaded.policy(0) is not None


@pytest.mark.slow
def test_numpy_numbers_are_numbers():
    result = tiny(
        np.array([4, 2]), episodes=np.int64(8), batch_size=np.int32(8), sweep={"gamma": np.array([0.5, 0.9])}
    )
    assert [(m["seed"], m["gamma"]) for m in result.members] == [(4, 0.5), (2, 0.5), (4, 0.9), (2, 0.9)]


def test_wall_seconds_leave_out_compiling(finished):
    result, _ = finished
    began = time.perf_counter()
    again = tiny([0], episodes=48)
    assert 0 < again.metrics["wall_seconds"][-1, 0] < 0.5 * (time.perf_counter() - began)
    assert (np.diff(result.metrics["wall_seconds"], axis=0) > 0).all()


@pytest.mark.slow
def test_train_return_is_the_mean_over_the_episodes_since_the_last_row():
    result = jaxmac.train(
        "avf-vdn", Constant(), seeds=[0], episodes=24, progress=False, **{**TINY, "train_freq": 1}
    )
    assert np.isnan(result.metrics["train_return"][0, 0])
    assert result.metrics["train_return"][1:, 0].tolist() == [2.5, 2.5]
    assert result.metrics["env_steps"][:, 0].tolist() == [0, 12, 24]


def test_a_directory_with_a_run_is_refused_unless_overwritten(finished, tmp_path):
    _, out = finished
    before = (out / "metrics.csv").read_text()
    with pytest.raises(RunDirectoryError, match=r"already holds a run.*--overwrite.*jaxmac resume"):
        tiny([0], out=out)
    assert (out / "metrics.csv").read_text() == before
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunDirectoryError, match="is not empty and holds no run"):
        tiny([0], out=tmp_path, overwrite=True)
    with pytest.raises(RunDirectoryError, match="is a file"):
        tiny([0], out=tmp_path / "notes.txt")
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_directory_that_cannot_be_made_is_refused_at_once():
    with pytest.raises(RunDirectoryError, match=r"^/dev/null/run cannot be made, /dev/null is a file: choose"):
        tiny([0], out="/dev/null/run")


def test_a_disk_without_room_is_refused_at_once(tmp_path, monkeypatch):
    usage = rundir.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(rundir.shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(RunDirectoryError, match=r"0 MB free, \d+ MB needed"):
        tiny([0], out=tmp_path / "run")


def test_a_disk_that_fills_up_is_said_when_it_happens(tmp_path):
    directory = RunDirectory(tmp_path / "run")
    directory.claim(overwrite=False, needed_bytes=0)
    directory.begin({})
    header = (tmp_path / "run" / "metrics.csv").read_text()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, hard))
    try:
        with pytest.raises(RunDirectoryError, match=r"cannot write .*metrics.csv: File too large"):
            directory.append([dict.fromkeys(COLUMNS, 1.0)] * 20)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (tmp_path / "run" / "metrics.csv").read_text() == header  # what was written of the rows is taken back
    directory.append([dict.fromkeys(COLUMNS, 1.0)])
    assert len((tmp_path / "run" / "metrics.csv").read_text().splitlines()) == 2


def test_a_disk_that_fills_up_while_training_ends_the_run(tmp_path, monkeypatch):
    out, append = tmp_path / "run", RunDirectory.append

    def full(directory, rows):
        if rows[0]["episodes"] > 0:
            raise RunDirectoryError("cannot write metrics.csv: No space left on device")
        append(directory, rows)

    monkeypatch.setattr(RunDirectory, "append", full)
    with pytest.raises(TrainingError, match="No space left on device"):
        tiny([0], out=out)
    assert json.loads((out / "config.json").read_text())["status"] == "failed"
    assert len((out / "metrics.csv").read_text().splitlines()) == 2


def test_a_run_that_does_not_fit_is_refused_with_advice(monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: 300_000)
    with pytest.raises(
        MemoryError, match=r"needs about 3 MB and 0 MB are free; what would fit: .*replay_episodes="
    ):
        tiny([0, 1], replay_episodes=8000)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"episodes": 0}, "episodes is 0, but must be an integer >= 1"),
        ({"chunk": 0}, "chunk is 0, but must be"),
        ({"batch_size": 65}, r"batch_size is 65, but must be <= replay_episodes=64"),
        ({"num_envs": 65}, r"num_envs is 65, but must be <= replay_episodes=64"),
        ({"preset": "paperr"}, "unknown preset 'paperr' of avf-vdn; did you mean paper"),
        ({"env_options": {"horizon": 3}}, "env_options go with an environment id"),
    ],
)
def test_bad_input_is_refused_before_compiling(change, message, monkeypatch):
    monkeypatch.setattr("jaxmac.training.program.Program.compile", lambda self: pytest.fail("compiled"))
    with pytest.raises(ValueError, match=message):
        tiny([0], **change)


def test_an_unknown_algorithm_names_the_nearest():
    with pytest.raises(ValueError, match=r"unknown algorithm 'avf-qplx'; did you mean avf-qplex"):
        jaxmac.train("avf-qplx", "BoxPushing-10")


def test_the_episodes_that_finish_first_are_kept():
    lengths = np.array([[5, 2], [1, 2], [1, 9]])  # [turns, workers]: ends at 5, 6, 7 and at 2, 4, 13
    steps = jnp.zeros((6, 9))
    episodes = Episode(
        **dict.fromkeys(
            ("obs", "state", "avail", "elapsed", "macro_action", "ended", "terminal", "truncated"), steps
        ),
        reward=jnp.arange(6.0)[:, None] + steps,
        mask=jnp.arange(9) < lengths.reshape(-1, 1),
    )
    kept = first_finished(episodes, 2)
    assert kept.reward[:, 0].tolist() == [1, 3] and kept.length.tolist() == [2, 2]


@pytest.mark.slow
def test_learning_from_the_first_to_finish_takes_shorter_episodes():
    small = {"num_envs": 8, "eval_every": 8, "episodes": 64, "progress": False, "env_options": {"horizon": 30}}
    steps = [
        jaxmac.train("mac-iac", "BoxPushing-4", seeds=1, episodes_per_env=turns, **small).metrics["env_steps"][-1]
        for turns in (1, 3)
    ]
    assert steps[1] < 0.8 * steps[0]
