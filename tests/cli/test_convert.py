"""`jaxmac convert macromarl`: command lines of MacroMARL's README and scripts become settings of `jaxmac train`."""

import shlex

import pytest
import yaml
from support.commands import refused

from jaxmac import envs
from jaxmac.algorithms.registry import ALGORITHMS as OURS
from jaxmac.algorithms.registry import configure
from jaxmac.cli.macromarl import from_macromarl
from jaxmac.cli.macromarl_flags import ALGORITHMS, DEFAULTS
from jaxmac.cli.main import main

WAREHOUSE = "--n_agent=3 --d_pen=-20.0 --tb_m_speed=0.8 --sample_epi"
LIKE_A = (
    f"{WAREHOUSE} --env_id='OSD-D-v7' --env_terminate_step=200 --h0_speed_ps 27 20 20 20 --h1_speed_ps 27 20 20 20"
)
LIKE_B = (
    f"{WAREHOUSE} --env_id=OSD-D-v7 --env_terminate_step=200 --h0_speed_ps 18 15 15 15 --h1_speed_ps 48 18 15 15"
)
Q = "--total_epi=40_000 --eps_end=0.05 --eps_l_d --dynamic_h"
PG = "--grad_clip_norm=0 --eps_start=1.0 --eval_policy"
# name -> a command line of MacroMARL (README and experiments/), and settings that it must become.
LINES = {
    "MacDec-Q on Warehouse-A": (
        f"value_based_main.py --save_dir='ma_hddrqn_warehouse_A' --alg='MacDecQ' {LIKE_A} --batch_size=64 "
        f"--train_freq=128 {Q} --replay_buffer_size=2000 --l_rate=0.0001 --h_stable_at=10_000 "
        "--eps_l_d_steps=10_000 --discount=1.0 --start_train=2000 --run_id=$i",
        {"algorithm": "mac-dec-q", "env": "Warehouse-D", "out": "runs/ma_hddrqn_warehouse_A", "seeds": [0]}
        | {"env_options": {"horizon": 200, "mobile_speed": 0.8, "late_penalty": -20.0}, "episodes": 40_000}
        | {"gamma": 1.0, "learning_rate": 1e-4, "batch_size": 64, "learning_starts": 2000, "train_freq": 128}
        | {"sampling": "uniform", "trajectory_unit": "episode", "replay_episodes": 2000, "target_steps": 5000}
        | {"epsilon_start": 1.0, "epsilon_end": 0.05, "epsilon_episodes": 10_000.0, "recurrent_exploration": False}
        | {"hysteresis": 0.2, "hysteresis_end": 0.4, "hysteresis_episodes": 10_000.0, "hidden_size": 32},
    ),
    "MacDec-Q on Warehouse-B": (
        f"value_based_main.py --alg=MacDecQ {LIKE_B} {Q} --l_rate=0.00005 --run_id=7",
        {"env": "Warehouse-D1", "learning_rate": 5e-5, "seeds": [7]},
    ),
    "MacCen-Q on Box Pushing 8x8": (
        "value_based_main.py --save_dir='ma_cen_condi_ddrqn_bp8' --alg='MacCenQ' --env_id='BP-MA-v0' "
        f"--grid_dim 8 8 --n_agent=2 --env_terminate_step=100 --batch_size=64 --train_freq=10 {Q} "
        "--replay_buffer_size=100_000 --trace_len=10 --l_rate=0.001 --h_stable_at=4_000 --eps_l_d_steps=4_000 "
        "--discount=0.98 --start_train=500 --rnn_h_size=64 --init_h=1.0 --end_h=1.0 --run_id=$i",
        {
            "algorithm": "mac-cen-q",
            "env": "BoxPushing-8",
            "hidden_size": 64,
            "hysteresis": 1.0,
            "hysteresis_end": 1.0,
        }
        | {"sampling": "windows", "trajectory": 10, "trajectory_unit": "steps", "replay_episodes": 918}  # of 109
        | {
            "env_options": {"horizon": 100, "big_box_reward": 300.0, "small_box_reward": 20.0}
            | {"penalty": -10.0, "num_agents": 2}
        },
    ),
    "MacDec-Q on Overcooked-A": (
        f"python scripts/value_based_main.py --alg=MacDecQ --env_id=Overcooked-MA-v1 --n_agent=3 {Q} "
        "--grid_dim 7 7 --env_terminate_step=200 --task=6 --map_type=A --step_penalty=-0.1 --sample_epi "
        "--h_explore --discount=0.99",
        {"env": "Overcooked-A", "recurrent_exploration": True, "episodes": 40_000, "learning_rate": 6e-4}
        | {"env_options": {"horizon": 200, "size": 7, "task": 6, "num_agents": 3}},
    ),
    "Mac-IAICC on Warehouse-A": (
        f"pg_based_main.py --alg=MacIAICC --run_id=$i --l_mode=0 {LIKE_A} {PG} --a_lr=0.0005 --c_lr=0.0005 "
        "--n_env=4 --train_freq=4 --c_target_update_freq=32 --n_step_TD=5 --eps_end=0.05 --eps_stable_at=10_000 "
        "--gamma=1.0 --a_rnn_layer_size=32 --c_rnn_layer_size=64",
        {"algorithm": "mac-iaicc", "critic": "history", "num_envs": 4, "target_episodes": 32, "n_step": 5}
        | {"actor_learning_rate": 5e-4, "critic_learning_rate": 5e-4, "critic_hidden_size": 64, "hidden_size": 32}
        | {"epsilon_episodes": 10_000.0, "eval_every": 100, "eval_episodes": 10},
    ),
    "Mac-IAICC on Warehouse-E": (
        f"pg_based_main.py --alg=MacIAICC --env_id=OSD-F-v0 {WAREHOUSE} {PG} --env_terminate_step=300 "
        + " ".join(f"--h{human}_speed_ps 40 40 40 40" for human in range(4)),
        {"env": "Warehouse-Q"}
        | {
            "env_options": {"horizon": 300, "mobile_speed": 0.8, "late_penalty": -20.0, "horizon_is_terminal": True}
        },
    ),
    "Naive Mac-IACC with a state critic on Box Pushing 6x6": (
        f"pg_based_main.py --alg=NaiveMacIASC --l_mode=0 --env_id=BP-MA-v0 --grid_dim 6 6 {PG} --train_freq=48 "
        "--n_env=48",
        {"algorithm": "mac-niacc", "critic": "state", "num_envs": 48, "eval_every": 96, "env": "BoxPushing-6"},
    ),
    "CAC on Box Pushing 14x14": (
        f"pg_based_main.py --alg=MacCAC --env_id=BP-v0 --grid_dim 14 14 {PG} --n_step_TD=0 --sample_epi --seed=3",
        {"algorithm": "mac-cac", "env": "BoxPushing-14-primitive", "n_step": 0, "seeds": [3]},
    ),
}
QUICK = "CAC on Box Pushing 14x14"
each_line = pytest.mark.parametrize(("line", "expected"), LINES.values(), ids=LINES)


@each_line
def test_a_command_line_becomes_settings(line, expected):
    settings = from_macromarl(shlex.split(line)).settings
    assert {name: settings[name] for name in expected} == expected


def converted(line, tmp_path, monkeypatch):
    """The file of a line, in an empty folder that is the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("jaxmac.cli.train.use_cpu_devices", lambda count: None)
    assert main(["convert", "macromarl", *shlex.split(line), "--out", "run.yaml"]) == 0
    return tmp_path / "run.yaml"


@each_line
def test_train_reads_the_file(line, expected, tmp_path, monkeypatch, capsys):
    plans = []
    monkeypatch.setattr("jaxmac.cli.train.print_plan", lambda *of, **options: plans.append((of, options)))
    file = converted(line, tmp_path, monkeypatch)
    assert main(["train", "--config", str(file), "--dry-run"]) == 0
    (algorithm, env), options = plans[0]
    config = configure(
        algorithm, options["preset"], envs.make(env, **options["env_options"]), options["hyperparameters"]
    )
    found = vars(config) | options | {"algorithm": algorithm, "env": env, "out": str(options["out"])}
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize("name", [QUICK, *(pytest.param(n, marks=pytest.mark.slow) for n in LINES if n != QUICK)])
def test_a_dry_run_finds_nothing_to_refuse(name, tmp_path, monkeypatch, capsys):
    file = converted(LINES[name][0], tmp_path, monkeypatch)
    assert main(["train", "--config", str(file), "--dry-run"]) == 0
    assert capsys.readouterr().out.endswith("dry run: nothing was compiled or written\n")


@pytest.mark.parametrize("name", ALGORITHMS)
def test_nothing_is_left_to_the_preset_that_macromarl_decides(name):
    """The preset `reference` differs between environments; none of what differs comes from it."""
    settings = from_macromarl([f"--alg={name}"]).settings
    spec = OURS[settings["algorithm"]]
    for env_id in ("Warehouse-S", "Warehouse-D", "BoxPushing-10", "CaptureTarget-3"):
        left = spec.presets["reference"](envs.make(env_id)).keys() - settings.keys()
        assert left <= ({"critic_decode_size"} if settings.get("critic") == "state" else set())


def another(name, value, line):
    """Another value of a flag than its default, as it is typed."""
    if name in ("grid_dim", "n_agent"):
        return {"grid_dim": ["9", "9"] if "Overcooked" in line else ["8", "8"], "n_agent": ["3"]}[name]
    if isinstance(value, list):
        return [str(entry + 2) for entry in value]
    if isinstance(value, bool):
        return []
    if isinstance(value, float):
        return [str(value / 2 or 0.5)]
    if isinstance(value, str):
        return [{"0": "1", "A": "B"}.get(value, "other")]
    return ["5" if value is None else str(value + 2)]


BASE = {  # lines on which each flag can matter
    "value_based_main.py": ["--alg=MacDecQ --sample_epi", "--alg=MacDecDDRQN --dynamic_h --eps_l_d --g_clip_norm"],
    "pg_based_main.py": ["--alg=MacIAICC --eval_policy", "--alg=MacIAISC --sample_epi"],
}
PLACES = ["--env_id=BP-MA-v0", "--env_id=OSD-F-v0", "--env_id=Overcooked-MA-v1 --grid_dim 7 7"]
OWN_TEST = {"alg", "env_id", "sample_epi", "dynamic_h", "eps_l_d", "g_clip_norm", "eval_policy"}


@pytest.mark.parametrize("places", [PLACES[-1:], pytest.param(PLACES[:-1], marks=pytest.mark.slow)])
@pytest.mark.parametrize("program", DEFAULTS)
def test_no_flag_is_ignored_in_silence(program, places):
    before = {
        line: from_macromarl(line.split()) for base in BASE[program] for line in (f"{base} {at}" for at in places)
    }
    for name in DEFAULTS[program].keys() - OWN_TEST:
        for line, plain in before.items():
            words = [f"--{name}", *another(name, DEFAULTS[program][name], line)]
            found = from_macromarl([*line.split(), *words])
            named = [note for note in found.notes if f"--{name}" in note]
            assert found.settings != plain.settings or named, f"{line} {words}"


def test_notes_are_on_stderr_and_in_the_file(tmp_path, monkeypatch, capsys):
    file = converted("--alg=MacCenQ --lstm --env_id=BP-MA-v0 --run_id=$i", tmp_path, monkeypatch)
    notes = [line.removeprefix("# note: ") for line in file.read_text().splitlines() if line.startswith("# note")]
    assert any(note.startswith("--lstm: ") for note in notes) and any("--seeds 20" in note for note in notes)
    assert capsys.readouterr().err.splitlines() == [f"jaxmac: note: {note}" for note in notes]


def test_without_out_it_is_printed(capsys):
    assert main(["convert", "macromarl", "--alg=MacIAC", "--sample_epi"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["algorithm"] == "mac-iac"


def test_options_of_python_stand_before_the_program():
    line = "python -u scripts/pg_based_main.py --alg=MacIAC --seed=3"
    assert from_macromarl(line.split()).settings == from_macromarl(["--alg=MacIAC", "--seed=3"]).settings


def test_a_word_of_two_lines_stays_a_comment(tmp_path, monkeypatch):
    file = converted("--alg=MacIAC --save_dir='a\ngamma: 0.5'", tmp_path, monkeypatch)
    settings = yaml.safe_load(file.read_text())
    assert settings["out"] == "runs/a\ngamma: 0.5" and settings["gamma"] == 0.95


def test_only_its_own_files_are_replaced(tmp_path, monkeypatch, capsys):
    file = converted("--alg=MacIAC", tmp_path, monkeypatch)
    converted("--alg=MacCAC", tmp_path, monkeypatch)
    assert yaml.safe_load(file.read_text())["algorithm"] == "mac-cac"
    file.write_text("gamma: 0.9\n")
    capsys.readouterr()
    assert "did not write" in refused(capsys, "convert", "macromarl", "--out", str(file))
    assert file.read_text() == "gamma: 0.9\n"


# The first is an example of MacroMARL's README as it stands there, the third is in its scripts.
@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("pg_based_main.py --save_dir='ma_iaicc_warehouse_A'--alg='MacIAICC' --n_agent=3", "put a space"),
        ("--env_id=BP-MA-v1", "did you mean BP-MA-v0"),
        ("--env_id=Overcooked-mapBC-MA-v1 --alg=NaiveMacIACC", "Overcooked-MA-v1"),
        ("--env_id=OSD-D-v8", "did you mean OSD-D-v7"),
        ("--lrate=3", "value_based_main.py has no --lrate=3; did you mean --l_rate"),
        ("--alg=MacIAICC --l_rate=3", "pg_based_main.py has no --l_rate"),
        ("--alg=MacQMIX", "no such algorithm"),
        ("pg_based_main.py --alg=MacDecQ", "belongs to value_based_main.py"),
        ("main.py --alg=MacDecQ", "value_based_main.py"),
        ("--l_rate=fast", "--l_rate: invalid float value"),
        ("--l_rate=7", "learning_rate is 7.0, but must be > 0 and <= 1 (a setting of jaxmac that these"),
        ("--env_id=BP-MA-v0 --grid_dim 6 8", "grids are square"),
        ("--env_id=Overcooked-MA-v1 --grid_dim 6 6", "size is 6"),
        ("--mlp_layer_size 32", "two numbers"),
        ("--sample_epi 1", "value_based_main.py: '1' belongs to no flag"),
        ("--total_epi=0", "--total_epi=0 must be >= 1"),
        ("--seed=-1", "--seed=-1 must be >= 0"),
        ("--n_env=0", "--n_env=0 must be"),
        ("--replay_buffer_size=-5 --sample_epi", "--replay_buffer_size=-5 must be"),
        ("--alg=MacIAC --c_target_update_freq=-4", "--c_target_update_freq=-4 must be"),
        ("", "needs flags, such as --alg=MacDecQ"),
        ("--alg=MacIAISC --c_mlp_layer_size 32 64", "twice the same"),
        ("--run_id=first", "must be an integer"),
        ("--seed=3000000000", "--seed=3000000000 must be <= 2147483647"),
        ("--run_id=3000000000", "--run_id=3000000000 must be <= 2147483647"),
        ("--mlp_layer_size 0 32", "--mlp_layer_size=0 32 must be >= 1"),
        ("python -u main.py --alg=MacDecQ", "main.py"),
        ("--run_id=\u00b2", "must be an integer"),  # a digit that int() does not read
    ],
)
def test_what_is_refused(line, says, capsys):
    assert says in refused(capsys, "convert", "macromarl", *shlex.split(line))


@pytest.mark.parametrize(
    ("line", "expected", "says"),
    [
        (
            "--eps_end=0.1 --eps_l_d --eps_l_d_steps=50",
            {"hysteresis": 0.0, "hysteresis_end": 0.9, "hysteresis_episodes": 50.0},
            "",
        ),
        (
            "--dynamic_h --init_h=0.9 --end_h=0.5",
            {"hysteresis": 0.5, "hysteresis_end": 0.5},
            "--init_h=0.9 is above",
        ),
        ("--db_step --eps_l_d --eps_l_d_steps=15000", {"epsilon_episodes": 100.0}, "150 steps are taken for one"),
        ("--n_env=20 --target_update_freq=100", {"num_envs": 20, "target_steps": 2000}, ""),
        ("--alg=MacIAC --train_freq=12 --c_target_update_freq=8", {"target_episodes": 24}, "every 24 episodes"),
        ("--alg=MacIAC --n_step_TD=999", {"n_step": 150}, "an episode has 150 steps"),
        ("--batch_size=64 --replay_buffer_size=200", {"replay_episodes": 64}, "is 2 episodes"),
    ],
)
def test_what_means_something_else(line, expected, says):
    settings, notes = from_macromarl(line.split())
    assert {name: settings[name] for name in expected} == expected
    assert any(says in note for note in notes)
