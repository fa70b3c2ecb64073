import csv
import json
import signal
import subprocess
import sys
import time
import warnings
from importlib.metadata import version
from types import SimpleNamespace

import numpy as np
import pytest
from support.commands import SMALL, refused

from jaxmac.cli import listing
from jaxmac.cli.main import main
from jaxmac.errors import RunNote
from jaxmac.runs.rows import columns_of


def jaxmac(*arguments, **options):
    command = [sys.executable, "-m", "jaxmac", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, **options)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("cli") / "run"
    return out, jaxmac("train", *SMALL, "--episodes", 32, "--out", out, "--devices", 2)


def test_train_leaves_a_complete_run_directory(trained):
    out, done = trained
    assert done.returncode == 0, done.stderr
    assert {"config.json", "metrics.csv", "curve.png", "episode.gif", "checkpoints"} <= {
        path.name for path in out.iterdir()
    }
    assert "2 cpu device(s)" in done.stderr and "of memory" in done.stderr and "compiling" in done.stderr
    assert "mean of all 5 evaluations (optimum 99.6)" in done.stdout
    config = json.loads((out / "config.json").read_text())
    assert config["hyperparameters"]["train_freq"] == 50 and config["env_options"] == {"horizon": 12}


@pytest.mark.slow
def test_sharding_over_devices_changes_no_number(trained, tmp_path):
    out, _ = trained
    done = jaxmac("train", *SMALL, "--episodes", 32, "--out", tmp_path / "one", "--devices", 1)
    assert done.returncode == 0, done.stderr

    def table(path):
        with (path / "metrics.csv").open() as file:
            return [[row["eval_return"], row["env_steps"], row["loss"]] for row in csv.DictReader(file)]

    as_numbers = [np.array([[float(x or "nan") for x in row] for row in table(p)]) for p in (out, tmp_path / "one")]
    np.testing.assert_allclose(*as_numbers, rtol=1e-4)


def test_commands_on_a_finished_run(trained, tmp_path, capsys):
    out, _ = trained
    assert main(["eval", str(out), "--episodes", "3", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["member"] for row in rows] == [0, 1] and all(row["length"] <= 12 for row in rows)
    assert main(["eval", str(out), "--episodes", "3", "--member", "1"]) == 0
    assert main(["render", str(out), "--member", "1", "--out", str(tmp_path / "x.gif")]) == 0
    assert (tmp_path / "x.gif").read_bytes()[:4] == b"GIF8"
    assert main(["render", str(out), "--timeline"]) == 0
    assert (out / "timeline.png").stat().st_size > 5000
    assert main(["plot", str(out), str(out), "--out", str(tmp_path / "x.png")]) == 0
    assert (tmp_path / "x.png").stat().st_size > 5000


def started(out, *more):
    command = [sys.executable, "-m", "jaxmac", "train", *SMALL, "--episodes", "1000000", "--out", str(out), *more]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    table, deadline = out / "metrics.csv", time.time() + 120
    while not table.exists() or len(table.read_text().splitlines()) < 12:
        assert process.poll() is None, process.stderr.read()
        assert time.time() < deadline
        time.sleep(0.1)
    return process, table


def complete_rows(table):
    """Every line has all columns, and every evaluation both members, once."""
    text = table.read_text()
    assert text.endswith("\n")
    rows = list(csv.DictReader(text.splitlines()))
    columns = columns_of(json.loads((table.parent / "config.json").read_text()))
    assert all(None not in row.values() and list(row) == columns for row in rows)
    written = [(int(row["episodes"]), int(row["member"])) for row in rows]
    assert written == [(8 * (i // 2), i % 2) for i in range(len(written))]
    return rows


@pytest.mark.slow
def test_ctrl_c_ends_cleanly_and_keeps_what_there_was(tmp_path, capsys):
    out = tmp_path / "run"
    process, table = started(out)
    process.send_signal(signal.SIGINT)
    error = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert "interrupted" in error and "Traceback" not in error
    assert len(complete_rows(table)) >= 10
    assert json.loads((out / "config.json").read_text())["status"] == "interrupted"
    assert main(["eval", str(out), "--episodes", "2", "--json"]) == 0  # the policies are there too
    assert len(json.loads(capsys.readouterr().out)) == 2


@pytest.mark.slow  # Ctrl-C ends a process like this one among the quick tests
def test_kill_9_leaves_whole_rows(tmp_path):
    out = tmp_path / "run"
    process, table = started(out)
    process.kill()
    process.communicate(timeout=60)
    assert len(complete_rows(table)) >= 10
    assert main(["plot", str(out), "--out", str(tmp_path / "x.png")]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--env", "BoxPushing-9"], "grid size L must be even, from 4 to 30, not 9"),
        (["--env", "BoxPushin-10"], "did you mean BoxPushing-10"),
        (["--algorithm", "avf-qmx"], "unknown algorithm 'avf-qmx'; did you mean avf-qmix"),
        (["--preset", "tund"], "unknown preset 'tund' of avf-qplex; did you mean tuned?"),
        (
            ["--lerning-rate", "1"],
            "unknown option '--lerning-rate' of `jaxmac train`; did you mean --learning-rate",
        ),
        (["--env-options.horizn", "9"], "did you mean --env-options.horizon"),
        (["--learning-rate", "-1"], "learning_rate is -1.0, but must be > 0 and <= 1"),
        (["--gamma", "1.5"], "gamma is 1.5, but must be >= 0 and <= 1"),
        (["--episodes", "0"], "episodes is 0, but must be an integer >= 1"),
        (["--seeds", "0"], "seeds is 0, but must be"),
        (["--seeds", "a,b"], "seeds is 'a,b', but must be a number or a list"),
        (["--batch-size", "99999"], "batch_size is 99999, but must be <= replay_episodes="),
        (["--env-options.horizon", "0"], "horizon"),
        (["--sweep", "gama=1"], "unknown hyperparameter 'gama' in --sweep; did you mean gamma"),
        (["--sweep", "gamma=x"], "--sweep is 'gamma=x', but each value must be a finite number"),
        (["--devices", "0"], "devices is 0, but must be from 1 to 1024"),
        (["--episodes", "abc"], "--episodes is 'abc', but must be an integer"),
        (["--env-options.preset", "nips"], "preset is 'nips', but must be one of 'neurips22', 'corl19'"),
    ],
)
def test_bad_input_is_one_line_and_status_2(arguments, message, capsys, tmp_path, monkeypatch):
    if "--devices" not in arguments:  # JAX runs already, with the devices it has
        monkeypatch.setattr("jaxmac.cli.train.use_cpu_devices", lambda count: None)
    monkeypatch.setattr("jaxmac.training.program.Program.compile", lambda self: pytest.fail("compiled"))
    assert message in refused(capsys, "train", *arguments, "--out", str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_environment_options_that_are_given_win_over_the_preset_even_at_their_default(monkeypatch):
    passed = {}
    monkeypatch.setattr("jaxmac.cli.train.use_cpu_devices", lambda n: None)
    monkeypatch.setattr(
        "jaxmac.cli.train.train", lambda *a, **k: passed.update(k) or SimpleNamespace(status="finished")
    )
    monkeypatch.setattr("jaxmac.cli.train.report_result", lambda result, out: None)
    flags = ["--env-options.preset", "neurips22", "--env-options.big-box-reward", "100", "--gamma", "0.5"]
    flags += ["--env-options.no-random-init", "--sweep", "double_q=true,false", "--seeds", "3,5"]
    assert main(["train", *flags]) == 0
    assert passed["env_options"] == {"preset": "neurips22", "big_box_reward": 100.0, "random_init": False}
    assert passed["gamma"] == 0.5 and passed["sweep"] == {"double_q": [True, False]} and passed["seeds"] == [3, 5]
    assert "learning_rate" not in passed


def test_bad_commands_and_runs(capsys, tmp_path):
    assert "unknown command 'trian'; did you mean train" in refused(capsys, "trian")
    assert "is not a run directory" in refused(capsys, "eval", str(tmp_path))
    assert "is not a run directory" in refused(capsys, "plot", str(tmp_path / "none"))
    (tmp_path / "config.json").write_text("{")
    assert "is damaged" in refused(capsys, "render", str(tmp_path))
    (tmp_path / "config.json").write_text('{"format": 99}')
    assert "has format 99" in refused(capsys, "eval", str(tmp_path))


@pytest.mark.slow
def test_render_of_an_environment(capsys, tmp_path):
    out = tmp_path / "episode.gif"
    flags = ["--env-options.horizon", "12", "--out", str(out)]
    assert main(["render", "--env", "BoxPushing-4", *flags]) == 0
    scripted = out.read_bytes()
    assert main(["render", "--env", "BoxPushing-4", "--policy", "random", *flags]) == 0
    assert capsys.readouterr().out.split() == [str(out)] * 2
    assert scripted[:3] == b"GIF" and out.read_bytes() != scripted
    assert "unknown policy 'rndom'; did you mean random" in refused(
        capsys, "render", "--env", "BoxPushing-4", "--policy", "rndom"
    )
    assert "give either a run directory or" in refused(capsys, "render")
    assert "give either a run directory or" in refused(capsys, "render", str(tmp_path), "--env", "BoxPushing-4")


def test_list_shows_environments_algorithms_and_hyperparameters(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["list"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("BoxPushing-10-primitive", "98.9", "avf-qplex", "tuned, paper"))
    assert main(["list", "--algorithm", "avf-qmix"]) == 0
    shown = capsys.readouterr().out
    assert "hysteresis_episodes" in shown and "5e-05" in shown


def test_help_exits_with_zero_and_nothing_with_two(capsys):
    assert main(["--help"]) == 0
    assert main([]) == 2
    assert "resume RUN" in capsys.readouterr().out


def test_the_word_help_is_the_option(capsys):
    for words in ([], ["train"]):
        printed = []
        for arguments in (["help", *words], [*words, "--help"]):
            try:
                assert main(arguments) == 0
            except SystemExit as exit:
                assert not exit.code
            printed.append(capsys.readouterr().out)
        assert printed[0] == printed[1] != ""


def test_importing_does_not_start_jax():
    """Otherwise nobody could choose the number of CPU devices any more."""
    code = "import jax, jaxmac; jaxmac.use_cpu_devices(3); print(jax.device_count())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["3"]


def test_the_version_is_that_of_the_package(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"jaxmac {version('jaxmac')}\n"


@pytest.mark.filterwarnings("default::jaxmac.errors.RunNote")
def test_a_note_about_a_run_is_a_line(capsys, monkeypatch):
    monkeypatch.setattr(
        listing, "command_list", lambda rest: warnings.warn("a run is old", RunNote, stacklevel=1) or 0
    )
    assert main(["list"]) == 0
    assert capsys.readouterr().err == "jaxmac: note: a run is old\n"
