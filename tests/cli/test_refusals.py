"""Options that would be ignored, and numbers far out of range: refused at once, in one line, with status 2."""

import os
import subprocess
import sys

import pytest
from support.commands import refused
from support.made_runs import made

import jaxmac
from jaxmac.cli.main import main
from jaxmac.evaluation import episodes
from jaxmac.record.policy import random_policy

SCRIPTED = ["eval", "--env", "BoxPushing-4", "--policy", "scripted"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("refusals") / "run"
    made(out, seeds=2)
    return str(out)


@pytest.fixture
def nothing_runs(monkeypatch):
    """Compiling, and playing an episode, is a failure."""
    monkeypatch.setattr("jaxmac.cli.train.use_cpu_devices", lambda count: None)
    monkeypatch.setattr("jaxmac.training.program.Program.compile", lambda self: pytest.fail("compiled"))
    monkeypatch.setattr(episodes, "_play_all", lambda *arguments: pytest.fail("played"))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["--sweep", "learning_rate=1e-3,1e-4", "--learning-rate", "1e-3"],
            "--learning-rate is given beside a sweep",
        ),
        (
            ["--learning_rate=0.1", "--sweep", "learning-rate=0.1,0.2"],
            "--learning-rate is given beside a sweep of it",
        ),
        (["--no-double-q", "--sweep", "double_q=true,false"], "--double-q is given beside a sweep of it"),
        (["--sweep", "gamma=0.9", "gamma=0.5"], "--sweep gamma=0.5: gamma is swept twice"),
        (
            ["--sweep", "gamma=0.9", "--sweep", "polyak=0.5"],
            "--sweep is given twice; give it once, with all",
        ),
        (["--sweep"], "--sweep needs NAME=VALUE,VALUE ..."),
        (["--sweep", "gamma"], "--sweep is 'gamma', but must be NAME=VALUE,VALUE"),
        (["--sweep", "gamma="], "--sweep is 'gamma=', but must be NAME=VALUE,VALUE"),
        (["--sweep", "gamma=0.9,"], "--sweep is 'gamma=0.9,', but each value must be a finite number"),
        (["--sweep", "gamma=1,1.0"], "two values are the same"),
        (["--seeds", "99999999999"], "seeds is 99999999999, but must be <= 1000000"),
        (["--seeds", "1000000"], "at most"),
        (["--seeds", "1,1"], "distinct integers"),
        (["--episodes", "1000000000000"], "episodes is 1000000000000, but must be <= 2000000000"),
        (["--replay-episodes", "1000000000"], "this run needs about"),
        (["--hidden-size", "1000000000"], "this run needs about"),
    ],
)
def test_train(flags, message, nothing_runs, capsys, tmp_path):
    out = tmp_path / "run"
    assert main(["train", "--env", "BoxPushing-4", *flags, "--out", str(out)]) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("jaxmac: error")]
    assert len(said) == 1 and message in said[0] and not out.exists()


def test_of_an_option_with_one_value_the_last_one_counts(monkeypatch):
    """Also of those that decide which options there are."""
    passed = []
    monkeypatch.setattr("jaxmac.cli.train.use_cpu_devices", lambda count: None)
    monkeypatch.setattr("jaxmac.cli.train.train", lambda *a, **k: passed.append((*a, k)) or pytest.skip("passed"))
    flags = ["--algorithm=avf-qplex", "--env", "Warehouse-D", "--algorithm", "avf-vdn", "--env=BoxPushing-4"]
    with pytest.raises(pytest.skip.Exception):
        main(["train", *flags, "--seeds", "3", "--gamma", "0.5", "--seeds=2", "--gamma=0.6"])
    algorithm, env, given = passed[0]
    assert (algorithm, env, given["seeds"], given["gamma"]) == ("avf-vdn", "BoxPushing-4", 2, 0.6)


@pytest.mark.parametrize("flag", ["--member=0", "--best", "--no-best", "--greedy=True"])
def test_what_scripted_and_random_policies_do_not_have(flag, nothing_runs, capsys):
    name = flag.partition("=")[0].replace("--no-", "--")
    assert f"{name} is for a run: a policy by name is one learner" in refused(capsys, *SCRIPTED, flag)
    epsilon = refused(capsys, *SCRIPTED, "--epsilon=0.1")
    assert "--epsilon is for learned policies: scripted and random ones do not explore" in epsilon


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["eval", "RUN", "--policy", "random"], "--policy is for --env without a run"),
        (["eval", "RUN", "--gamma", "0.5"], "--gamma is for --env without a run"),
        (["render", "RUN", "--policy", "random"], "--policy is for --env without a run"),
        (["render", "--env", "BoxPushing-4", "--member", "1"], "--member is for a run"),
        (["render", "--env", "BoxPushing-4", "--best"], "--best is for a run"),
        (["list", "--env", "BoxPushin-10"], "unknown environment 'BoxPushin-10' (did you mean BoxPushing-10"),
        (["bench", "--env", "BoxPushing-4", "--env", "BoxPushing-6"], "--env is given twice; give it once"),
        (["list", "--algorithm", "avf-qmix", "--env", "x"], "unknown environment 'x'"),
        (
            ["plot", "RUN", "--out", "x.png", "--solved", "0.5"],
            "--solved is for a page (--out x.html), not",
        ),
        (["plot", "RUN", "--out", "x.json", "--title", "Runs"], "--title is for a figure or page, not for .json"),
        (["plot", "RUN", "--out", "x.html", "--solved", "nan"], "solved is nan, but must be"),
        (["plot", "RUN", "--out", "x.html", "--solved", "95"], "solved is 95.0, but must be above 0 and at most 1"),
        ([*SCRIPTED, "--episods", "10"], "unknown option '--episods' of `jaxmac eval`; did you mean --episodes"),
        (["eval", "--foo", "bar", "RUN"], "unknown option '--foo' of `jaxmac eval`"),
        (
            ["list", "--plugin", "pkg/mod.py"],
            "'pkg/mod.py' is a path, but must be the name of a module, such as pkg.mod",
        ),
        (["resume"], "RUN is missing (`jaxmac resume --help`)"),
        (
            ["list", "--plugin", "./parts.py"],
            "'./parts.py' is a path, but must be the name of a module, such as parts",
        ),
        (["eval", "RUN", "--episodes", "1000000000"], "episodes is 1000000000, but must be <= 10000000"),
        ([*SCRIPTED, "--episodes", "1000000000"], "episodes is 1000000000, but must be <= 10000000"),
        ([*SCRIPTED, "--gamma", "nan"], "gamma is nan, but must be >= 0 and <= 1"),
        ([*SCRIPTED, "--gamma", "7"], "gamma is 7.0, but must be >= 0 and <= 1"),
        ([*SCRIPTED, "--seed", "-1"], "seed is -1, but must be an integer of 0 to 4294967295"),
        (["eval", "RUN", "--seed", "4294967296"], "seed is 4294967296, but must be"),
        (["render", "--env", "BoxPushing-4", "--seed", "-1", "--out", "x.gif"], "seed is -1, but must be"),
        ([*SCRIPTED, "--env-options.horizon", "100000000"], "500 episodes of BoxPushing-4 at once need about"),
    ],
)
def test_other_commands(arguments, message, nothing_runs, run, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert message in refused(capsys, *(run if word == "RUN" else word for word in arguments))
    assert not list(tmp_path.iterdir())


def test_list_of_one_environment(capsys):
    assert main(["list", "--env", "BoxPushing-10"]) == 0
    shown = capsys.readouterr().out
    assert "BoxPushing-10" in shown and "Warehouse" not in shown and "avf-qmix" not in shown


def test_a_title_for_several_environments_is_refused(run, tmp_path, capsys):
    made(tmp_path / "other", env="BoxPushing-6", seeds=2)
    given = ["plot", run, str(tmp_path / "other"), "--out", str(tmp_path / "x.png"), "--title", "Runs"]
    assert "--title is for a figure of one environment; these runs are on 2" in refused(capsys, *given)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"episodes": 10**9}, "episodes is 1000000000, but must be <= 10000000"),
        ({"episodes": True}, "episodes is True, but must be"),
        ({"gamma": float("nan")}, "gamma is nan, but must be"),
        ({"gamma": -0.1}, "gamma is -0.1, but must be"),
        ({"epsilon": float("nan")}, "epsilon is nan, but must be"),
        ({"seed": 2**32}, "seed is 4294967296, but must be"),
        ({"seed": 0.5}, "seed is 0.5, but must be"),
    ],
)
def test_evaluation_in_python(arguments, message, nothing_runs):
    with pytest.raises(ValueError, match=f"^{message}"):
        jaxmac.evaluate_policy(jaxmac.make("BoxPushing-4"), random_policy(), **arguments)


def test_options_that_are_no_dict_are_refused_in_an_evaluation(run, nothing_runs):
    with pytest.raises(ValueError, match=r"^env_options is \[1\], but must be a dict, option -> value$"):
        jaxmac.evaluate(run, episodes=2, env_options=[1])
    with pytest.raises(ValueError, match=r"^member is '0', but must be the index of a member, or None for all$"):
        jaxmac.evaluate(run, episodes=2, member="0")


def piped(command, **environment):
    """What `jaxmac COMMAND | head -c 1` leaves: the exit statuses and stderr."""
    words = f"set -o pipefail; {sys.executable} -m jaxmac {command} | head -c 1 >/dev/null; echo ${{PIPESTATUS[0]}}"
    return subprocess.run(
        ["bash", "-c", words], capture_output=True, text=True, timeout=120, env={**os.environ, **environment}
    )


@pytest.mark.slow
@pytest.mark.parametrize("command", ["list", "train --help"])
def test_a_reader_that_has_read_enough_is_no_error(command):
    done = piped(command, PYTHONUNBUFFERED="1")
    assert done.stderr == "" and done.stdout.split()[0] in ("0", "1", "141")


def test_output_to_a_closed_pipe_ends_quietly(monkeypatch, capsys):
    class Closed:
        def write(self, text):
            raise BrokenPipeError

        def flush(self):
            raise BrokenPipeError

        def fileno(self):
            raise OSError

    monkeypatch.setattr(sys, "stdout", Closed())
    assert main(["--help"]) == 141
    assert capsys.readouterr().err == ""


@pytest.mark.slow
def test_a_device_that_is_not_there_is_one_line(tmp_path):
    command = [sys.executable, "-m", "jaxmac", "train", "--env", "BoxPushing-4", "--out", str(tmp_path / "run")]
    environment = {**os.environ, "JAX_PLATFORMS": "rocm"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert (
        done.stderr.startswith("jaxmac: error: JAX finds no rocm device here") and not (tmp_path / "run").exists()
    )


@pytest.mark.parametrize("error", [RuntimeError("Unable to initialize backend 'cuda': no GPU"), AssertionError()])
def test_jax_without_its_device_is_one_line(error, monkeypatch, capsys):
    def no_device(*arguments, **options):
        raise error

    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    monkeypatch.setattr("jaxmac.cli.listing.envs.list_ids", no_device)
    monkeypatch.setattr("jax.devices", no_device)
    reason = f": {error}" if str(error) else ""
    assert refused(capsys, "list") == f"jaxmac: error: JAX finds no cuda device here{reason}\n"
    monkeypatch.undo()
    monkeypatch.setattr("jaxmac.cli.listing.envs.list_ids", no_device)
    with pytest.raises(type(error)):  # JAX starts, so this is another fault: its traceback is kept
        main(["list"])
