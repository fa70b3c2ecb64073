"""`train --dry-run`: says what would be done, refuses what training would refuse, and leaves no trace."""

import shutil

import pytest
from support.commands import SMALL, refused
from support.made_runs import made

import jaxmac
from jaxmac.cli.main import main
from jaxmac.errors import RunDirectoryError


@pytest.fixture(autouse=True)
def nothing_runs(monkeypatch, tmp_path):
    """In an empty folder; compiling, and choosing where compiled programs are kept, is a failure."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("jaxmac.cli.train.use_cpu_devices", lambda count: None)
    monkeypatch.setattr("jaxmac.training.program.Program.compile", lambda self: pytest.fail("compiled"))
    monkeypatch.setattr("jaxmac.training.cache.use_compilation_cache", lambda *a: pytest.fail("cache"))
    monkeypatch.setattr("jaxmac.training.preparation.use_compilation_cache", lambda *a: pytest.fail("cache"))


def plan(capsys, *arguments):
    assert main(["train", *SMALL, *arguments, "--dry-run"]) == 0
    output = capsys.readouterr()
    assert output.err == ""
    return output.out.splitlines()


def refused_after_notes(capsys, *arguments):
    assert main(["train", *SMALL, *arguments, "--dry-run"]) == 2
    return capsys.readouterr().err


def test_it_shows_the_plan_and_writes_nothing(tmp_path, capsys):
    lines = plan(capsys, "--episodes", "32", "--out", "runs/x")
    assert lines[0].startswith("avf-vdn on BoxPushing-4: 2 members, 32 episodes each, ")
    assert lines[0].endswith(" MB of memory") and "cpu device" in lines[0]
    assert "1 compiled program" in lines and any("MB on disk at most, in runs/x" in line for line in lines)
    assert lines[-1] == "dry run: nothing was compiled or written"
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_named(tmp_path, capsys, monkeypatch):
    free = shutil.disk_usage(tmp_path)._replace(free=1_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: free)
    assert "1 MB free, " in refused_after_notes(capsys, "--out", "runs/x")
    assert not list(tmp_path.iterdir())


def test_lambda_returns_over_windows_come_with_a_note(capsys):
    def notes(*arguments):
        return [line for line in plan(capsys, *arguments) if line.startswith("note: with td_lambda")]

    assert notes("--td-lambda", "0.5", "--trajectory-unit", "episode", "--max-rows", "0") == []
    windows = ("--trajectory-unit", "steps", "--trajectory", "6")
    assert notes("--td-lambda", "0", *windows) == []
    assert notes("--td-lambda", "0.5", *windows) == [
        "note: with td_lambda, returns end at the trajectory's last row (trajectory_unit, max_rows)"
    ]


def test_an_exploration_rate_far_from_its_end_comes_with_a_note(capsys):
    settings = (
        "--learning-starts",
        "4",
        "--epsilon-start",
        "1",
        "--epsilon-end",
        "0.2",
        "--epsilon-episodes",
        "100",
    )

    def notes(*arguments):
        return [line for line in plan(capsys, *settings, *arguments) if line.startswith("note: epsilon is")]

    assert notes("--episodes", "54") == [
        "note: epsilon is 0.6 at the end; with epsilon_episodes=100 it is 0.2 from 104 on"
    ]
    assert notes("--episodes", "104") == notes("--episodes", "54", "--epsilon-end", "1") == []


def test_settings_that_nothing_reads_come_with_a_note(capsys):
    def notes(*arguments):
        lines = [line for line in plan(capsys, *arguments) if "has no effect" in line]
        return [line for line in lines if "note: trajectory" not in line or "--trajectory" in arguments]

    steps = "has no effect: target_steps=10 goes before it"
    both = notes("--target-episodes", "5", "--polyak", "0.9", "--target-steps", "10")
    assert both == [f"note: target_episodes {steps}", f"note: polyak {steps}"]
    assert notes("--polyak", "0.9", "--target-episodes", "5") == [
        "note: polyak has no effect: target_episodes=5 goes before it"
    ]
    assert notes("--trajectory-unit", "episode", "--trajectory", "5") == [
        "note: trajectory has no effect: with trajectory_unit=episode it is the whole episode"
    ]
    history = "with trajectory_unit=episode every history starts with the episode"
    assert f"note: unroll_episode has no effect: {history}" in notes(
        *("--trajectory-unit", "episode", "--unroll-episode", "True")
    )
    capped = ("--trajectory-unit", "episode", "--max-rows", "3", "--unroll-episode", "True", "--trajectory", "5")
    assert notes(*capped) == [
        "note: trajectory has no effect: with trajectory_unit=episode it is a window of max_rows=3 rows"
    ]
    assert notes("--learning-rate-decay", "1", "--learning-rate-episodes", "9") == [
        "note: learning_rate_episodes has no effect: with learning_rate_decay=1 the rate is constant"
    ]
    assert notes("--epsilon-start", ".2", "--epsilon-end", ".2", "--epsilon-episodes", "9") == [
        "note: epsilon_episodes has no effect: epsilon_start and epsilon_end are both 0.2"
    ]
    windows = ("--algorithm", "tomacvf-qmix", "--ablation", "mac-sjert", "--trajectory-unit", "episode")
    assert notes(*windows, "--trajectory", "5") == [
        "note: trajectory has no effect: with trajectory_unit=episode it is the whole episode"
    ]
    assert notes("--algorithm", "mac-dec-q", "--reward-scheme", "own") == [
        "note: reward_scheme has no effect: MacDec-Q learns from own rows, not from joint ones"
    ]
    assert notes("--algorithm", "avf-vdn", "--macro-state", "real") == [
        "note: macro_state has no effect: mixer vdn reads no state"
    ]
    ablation = ("--algorithm", "tomacvf-qmix", "--ablation", "both", "--n-step", "999", "--attention-heads", "3")
    assert notes(*ablation) == [
        "note: n_step has no effect: with ablation=both the algorithm learns from joint rows",
        "note: attention_heads has no effect: with ablation=both there is no attention",
    ]
    tournament = ("--sampling", "tournament", "--replay-tournament")
    assert notes(*tournament, "0", "--tournament-share", ".9") == [
        "note: tournament_share has no effect: with replay_tournament=0 there is no tournament"
    ]
    assert notes(*tournament, "9", "--tournament-share", ".01", "--batch-size", "4") == [
        "note: replay_tournament has no effect: tournament_share=0.01 of batch_size=4 is half an episode at most"
    ]
    assert notes("--explore-fraction", ".1", "--num-envs", "4") == [
        "note: explore_fraction has no effect: of num_envs=4 it is half an episode at most"
    ]
    assert notes("--hysteresis", ".5", "--hysteresis-episodes", "9") == []
    assert notes("--target-episodes", "5") == notes("--polyak", "0.9", "--target-episodes", "0") == []


def test_updates_more_frequent_than_asked_for_come_with_a_note(capsys):
    def notes(*arguments):
        lines = plan(capsys, "--num-envs", "4", "--env-options.horizon", "10", *arguments)
        return [line for line in lines if line.startswith("note: there is an update")]

    whole = "an iteration has 40 nominal primitive steps (num_envs x horizon) and whole updates"
    assert notes("--train-freq", "400") == [
        f"note: there is an update per 40 primitive steps, not per train_freq=400: {whole}"
    ]
    copied = "and target_steps counts each of them as train_freq"
    assert notes("--train-freq", "400", "--target-steps", "800")[0].endswith(f"{whole}, {copied}")
    assert notes("--train-freq", "50") == notes("--train-freq", "13") == []


def test_settings_of_ppo_that_nothing_reads_come_with_a_note(capsys):
    def notes(*arguments):
        assert main(["train", "--env", "BoxPushing-4", "--algorithm", "mac-ippo", *arguments, "--dry-run"]) == 0
        return [line for line in capsys.readouterr().out.splitlines() if "has no effect" in line]

    assert notes("--normalise-value", "False", "--value-moments-decay", ".5") == [
        "note: value_moments_decay has no effect: with normalise_value=False no moments are taken"
    ]
    once = ("--epochs", "1", "--minibatches", "1", "--clip", ".3", "--value-clip", ".3")
    first, second = notes(*once)
    assert first.startswith("note: clip has no effect: with epochs=1 and minibatches=1 an iteration makes one step")
    assert second.startswith("note: value_clip has no effect: ")
    assert notes(*once, "--epochs", "2") == []


def test_lambda_returns_over_rewards_that_overlap_are_refused(capsys):
    message = refused(capsys, "train", *SMALL, "--reward-scheme", "own", "--td-lambda", "0.5", "--dry-run")
    assert "td_lambda=0.5 chains rows, and with reward_scheme='own'" in message
    plan(capsys, "--reward-scheme", "own", "--td-lambda", "0")


def test_every_setting_is_there_and_what_differs_is_marked(capsys):
    lines = plan(capsys, "--double-q", "False", "--gamma", "0.98")
    rows = {line[2:].split()[0]: line for line in lines if line[:2] in ("* ", "  ")}
    assert rows["double_q"].split() == ["*", "double_q", "False", "True"]
    assert rows["gamma"].split() == ["gamma", "0.98"]  # as the preset has it
    assert rows["seeds"].split() == ["*", "seeds", "2", "8"] and rows["episodes"].split() == ["episodes", "5000"]
    assert rows["horizon"].split() == ["*", "horizon", "12", "100"] and rows["penalty"].split() == [
        "penalty",
        "-10.0",
    ]
    assert rows["num_envs"].startswith("* ") and rows["memory"].startswith("  ")
    assert {"run", "environment", "algorithm", "target", "networks", "sampler uniform"} & set(lines) >= {
        *("run", "environment", "target", "networks"),
    }


def test_programs_of_a_sweep_are_counted(capsys):
    lines = plan(capsys, "--sweep", "gamma=0.9,0.95", "double_q=True,False")
    assert lines[0].startswith("avf-vdn on BoxPushing-4: 8 members")
    at = lines.index("2 compiled programs, trained one after the other")
    assert lines[at + 1].startswith("  4 members with double_q=True: ")
    assert lines[at + 2].startswith("  4 members with double_q=False: ")
    swept = next(line for line in lines if line.startswith("* gamma"))
    assert "0.9, 0.95" in swept


def test_what_training_refuses_is_refused(tmp_path, capsys):
    made(tmp_path / "old")
    assert "old already holds a run" in refused(capsys, "train", *SMALL, "--out", "old", "--dry-run")
    assert plan(capsys, "--out", "old", "--overwrite")
    (tmp_path / "file").write_text("")
    assert "file is a file, not a directory" in refused(capsys, "train", *SMALL, "--out", "file", "--dry-run")
    message = refused(capsys, "train", *SMALL, "--out", "file/run", "--dry-run")
    assert "file/run cannot be made, " in message and "file is a file: choose another --out" in message
    for name in ("back\\slash", "latin\udce9"):  # TensorStore would write elsewhere, or not at all
        message = refused(capsys, "train", *SMALL, "--out", name, "--dry-run")
        assert "cannot hold checkpoints: choose another --out" in message
    assert main(["train", *SMALL, "--hidden-size", "1000000000", "--dry-run"]) == 2
    assert "this run needs about" in capsys.readouterr().err
    assert "gamma is 7.0, but must be" in refused(capsys, "train", *SMALL, "--gamma", "7", "--dry-run")
    assert {path.name for path in tmp_path.iterdir()} == {"old", "file"}


def test_a_folder_that_is_there_may_lie_in_one_that_cannot_be_written_to(tmp_path, capsys, monkeypatch):
    (tmp_path / "closed" / "mine").mkdir(parents=True)
    closed = tmp_path / "closed"
    monkeypatch.setattr("jaxmac.runs.directory.os.access", lambda path, mode: path != closed)
    assert plan(capsys, "--out", "closed/mine")
    message = refused(capsys, "train", *SMALL, "--out", "closed/new", "--dry-run")
    assert "closed/new cannot be made, " in message and "closed cannot be written to: choose" in message


def test_with_the_settings_of_a_run(tmp_path, capsys):
    made(tmp_path / "old", "avf-qplex", kernels=6)
    assert main(["train", "--like", "old", "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert next(line for line in lines if line.startswith("* kernels")).split() == ["*", "kernels", "6", "4"]
    assert main(["train", "--like", "old", "--dry-run=False", "--gamma", "7"]) == 2


def test_a_directory_that_cannot_be_used_is_refused_before_anything_is_built(monkeypatch, capsys):
    """With and without --dry-run: one line, and no size of the run before it."""
    monkeypatch.setattr("jaxmac.training.preparation.Program", lambda *_, **__: pytest.fail("built"))
    assert "is a file" in refused(capsys, "train", *SMALL, "--out", "/dev/null/run", "--dry-run")
    with pytest.raises(RunDirectoryError, match="is a file: choose another"):
        jaxmac.train("avf-vdn", "BoxPushing-4", out="/dev/null/run", compilation_cache=False, progress=False)
