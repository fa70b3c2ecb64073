"""Members over devices and processes: however a run is spread, it is the same run; no process is left waiting."""

import csv
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from support import spread
from support.probes import Asynchronous
from support.runs import TINY

import jaxmac
from jaxmac.algorithms import ALGORITHMS
from jaxmac.runs import checkpoint
from jaxmac.training.program import Program

ROOT = Path(__file__).parents[2]
SMALL = {**TINY, "train_freq": 50, "max_rows": 5}


def flags(values):
    return [f"--{name.replace('_', '-')}={value}" for name, value in values.items()]


TRAIN = ["train", "--algorithm=avf-vdn", "--env=BoxPushing-4", "--env-options.horizon=12", *flags(SMALL)]
TRAIN += ["--episodes=24", "--checkpoint-every=1"]


def free_port():
    with socket.socket() as s:
        s.bind(("localhost", 0))
        return s.getsockname()[1]


def start(*commands):
    """One process each."""
    return [
        subprocess.Popen(
            [sys.executable, "-m", "jaxmac", *map(str, command)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for command in commands
    ]


def ended(processes, timeout=240):
    """Exit status, stdout and stderr of each; none is left behind."""
    try:
        said = [process.communicate(timeout=timeout) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, *text) for process, text in zip(processes, said, strict=True)]


def together(*arguments, processes=2, devices=2):
    port = free_port()
    place = [f"--coordinator=localhost:{port}", f"--processes={processes}", f"--devices={devices}"]
    return start(*([*arguments, *place, f"--process={i}"] for i in range(processes)))


def table(run):
    """Rows of a metrics.csv without the wall time."""
    with (run / "metrics.csv").open() as file:
        return [{k: v for k, v in row.items() if k != "wall_seconds"} for row in csv.DictReader(file)]


def same_checkpoints(*runs, env=None):
    results = [jaxmac.load(run, env) for run in runs]
    shapes = Program(
        results[0].config["algorithm"], results[0].env, results[0].specs, jax.local_devices()[:1]
    ).shapes()
    for item in shapes:
        held = [checkpoint.read_checkpoint(run, 0, item, shapes[item]) for run in runs]
        jax.tree.map(np.testing.assert_array_equal, *held)
    counters = [checkpoint.read_counters(checkpoint.checkpoint_path(run, 0)) | {"seconds": 0.0} for run in runs]
    assert all(found == counters[0] for found in counters)


@pytest.mark.slow  # quick: what processes tell each other (tests/processes), devices of one (tests/cli)
def test_two_processes_with_two_devices_each_are_the_same_run(tmp_path, monkeypatch):
    """Three members, one of four devices is padded; what two processes began one goes on with."""
    monkeypatch.setitem(ALGORITHMS._parts, "table", spread.TABLE)
    monkeypatch.setitem(ALGORITHMS._origins, "table", "support.spread")
    run, whole = tmp_path / "run", tmp_path / "whole"
    port = free_port()
    script = [sys.executable, str(ROOT / "tests" / "support" / "spread.py"), f"localhost:{port}", "2"]
    path = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")]),
    }
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": path}
    both = ended([subprocess.Popen([*script, str(i), "2", str(run)], **pipes) for i in range(2)])
    assert both == [(0, "", "")] * 2
    jaxmac.train("table", Asynchronous(), out=whole, learning_rate=0.1, **spread.RUN)
    assert table(run) == table(whole) and len(table(run)) == 4 * 3
    same_checkpoints(run, whole, env=Asynchronous())
    for path in (run, whole):
        jaxmac.resume(path, env=Asynchronous(), episodes=40, progress=False)
    assert table(run) == table(whole) and len(table(run)) == 6 * 3
    assert len({row["loss"] for row in table(run)[-3:]}) == 3


def succeeded(processes):
    said = ended(processes)
    assert [status for status, *_ in said] == [0] * len(processes), said


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_eight_members_on_two_processes_with_four_devices_are_the_run_of_one_with_eight(tmp_path):
    run, whole = tmp_path / "run", tmp_path / "whole"
    succeeded(together(*TRAIN, "--seeds=8", "--out", run, devices=4))
    succeeded(start([*TRAIN, "--seeds=8", "--out", whole, "--devices=8"]))
    assert table(run) == table(whole)
    same_checkpoints(run, whole)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_five_members_are_padded_and_go_on_in_any_number_of_processes(tmp_path):
    run, whole, back = tmp_path / "run", tmp_path / "whole", tmp_path / "back"
    succeeded(together(*TRAIN, "--seeds=5", "--out", run, devices=4))
    succeeded(start([*TRAIN, "--seeds=5", "--out", whole, "--devices=8"]))
    assert table(run) == table(whole) and {row["member"] for row in table(run)} == set("01234")
    same_checkpoints(run, whole)
    shutil.copytree(whole, back)
    for path in (run, whole):
        succeeded(start(["resume", path, "--episodes=48", "--devices=8"]))
    succeeded(together("resume", back, "--episodes=48", devices=4))
    for path in (run, back):
        assert table(path) == table(whole)
        same_checkpoints(path, whole)


def until(condition, processes):
    deadline = time.time() + 120
    while not condition():
        assert time.time() < deadline and all(process.poll() is None for process in processes)
        time.sleep(0.1)


ENDLESS = [*TRAIN, "--seeds=2", "--episodes=1000000"]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("interrupted", [0, 1])
def test_ctrl_c_in_one_process_stops_all_with_a_checkpoint(interrupted, tmp_path):
    run = tmp_path / "run"
    processes = together(*ENDLESS, "--out", run)
    until(lambda: (run / "metrics.csv").exists() and len(table(run)) > 6, processes)
    processes[interrupted].send_signal(signal.SIGINT)
    first, second = ended(processes, 60)
    assert first[0] == second[0] == 130, (first, second)
    assert "interrupted" in first[2] and "Traceback" not in first[2] and second[1:] == ("", "")
    assert json.loads((run / "config.json").read_text())["status"] == "interrupted"
    done = checkpoint.saved_iterations(run, 0)[-1] * SMALL["num_envs"]
    assert int(table(run)[-1]["episodes"]) <= done


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("killed", [0, 1])
def test_a_killed_process_ends_the_others(killed, tmp_path):
    run = tmp_path / "run"
    processes = together(*ENDLESS, "--out", run)
    until(lambda: (run / "metrics.csv").exists() and len(table(run)) > 6, processes)
    processes[killed].kill()
    other = ended(processes, 200)[1 - killed]
    if killed:  # without process 0, where the coordinator is, JAX may be faster and abort the other
        assert other[0] == 1 and "jaxmac: error: another process of this run has ended" in other[2], other
    assert other[0] not in (0, None), other
    assert checkpoint.saved_iterations(run, 0)  # to go on from


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_different_arguments_and_a_full_disk_end_all_processes(tmp_path):
    run = tmp_path / "run"
    place = [f"--coordinator=localhost:{free_port()}", "--processes=2", "--devices=1", "--out", run]
    first, second = ended(
        start([*ENDLESS, *place, "--process=0"], [*ENDLESS, *place, "--process=1", "--gamma=0.5"])
    )
    assert first[0] == second[0] == 2 and second[1:] == ("", "")
    assert first[2].endswith("process 1 was given other arguments: settings.gamma=0.5 (process 0: 0.98)\n")
    assert not run.exists()

    small_files = f"ulimit -f 16; exec {sys.executable} -m jaxmac " + shlex.join(map(str, [*ENDLESS, *place]))
    small_files = small_files.replace(place[0], f"--coordinator=localhost:{free_port()}")
    shells = [["bash", "-c", f"{small_files} --process={i}"] for i in range(2)]
    own = {name: value for name, value in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": own}
    first, second = ended([subprocess.Popen(shell, **pipes) for shell in shells])
    assert first[0] == second[0] == 1 and second[1] == "", (first, second)
    assert "jaxmac: error: cannot write" in first[2]


def shell(script, folder, **environment):
    """Run bash code in which `jaxmac` is this one."""
    before = f'jaxmac() {{ {sys.executable} -m jaxmac "$@"; }}\n'
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        ["bash", "-ec", before + script],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_commands_of_the_document_run(tmp_path):
    text = (ROOT / "docs" / "clusters.md").read_text()
    blocks = [
        block for block in re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE) if "train" in block
    ]
    small = (
        block.replace("BoxPushing-10", "BoxPushing-4").replace("--episodes 5000", "--episodes 40")
        for block in blocks
    )
    one, two, *_ = small
    (python,) = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert shell(f"{sys.executable} -c '{python}import jax; print(jax.device_count())'", tmp_path).stdout == "4\n"
    shell(one, tmp_path)
    shell(two.replace("12345", str(free_port())), tmp_path)
    alone, both = (table(tmp_path / "runs" / name) for name in ("one", "two"))
    assert len(both) * 3 == len(alone) * 5
    assert [row for row in both if int(row["member"]) < 3] == alone


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_slurm_script_trains_and_goes_on(tmp_path):
    """With a stand-in for srun that gives two tasks what SLURM tells them."""
    script = (ROOT / "experiments" / "slurm" / "train.sbatch").read_text()
    for said, small in (
        ("BoxPushing-10", "BoxPushing-4"),
        ("--seeds 64", "--seeds 2"),
        ("--episodes 5000", "--episodes 20"),
    ):
        assert said in script
        script = script.replace(said, small)
    srun = 'srun() { for i in 0 1; do SLURM_PROCID=$i SLURM_LOCALID=$i "$@" & done; wait; }\n'
    job = {"SLURM_JOB_ID": str(free_port()), "SLURM_STEP_NODELIST": "localhost", "SLURM_NTASKS": "2"}
    shell(srun + script, tmp_path, RUN="run", **job)
    config = tmp_path / "run" / "config.json"
    assert json.loads(config.read_text())["status"] == "finished"
    config.write_text(
        config.read_text().replace('"episodes": 20', '"episodes": 40').replace("finished", "running", 1)
    )
    shell(srun + script, tmp_path, RUN="run", **job)
    assert json.loads(config.read_text())["status"] == "finished"
    assert [int(row["episodes"]) for row in table(tmp_path / "run")][-2:] == [48, 48]  # whole iterations of 16


SPREAD = """
import jax, jaxmac, json, numpy as np, sys
jaxmac.use_cpu_devices(4)
from support.probes import Asynchronous
from support.runs import FAMILIES
from jaxmac.runs.members import make_members
from jaxmac.training.program import Program

algorithm, ends, env = sys.argv[1], [], Asynchronous()
values = {k: v for k, v in FAMILIES[algorithm].items() if k != "max_rows"}
specs = make_members(algorithm, env, "tuned", values, 5, None)
for devices in (1, 2, 4):
    program = Program(algorithm, env, specs, jax.devices()[:devices])
    program.compile()
    program.advance(0, 8, 3)
    rows = [{**row, "wall_seconds": 0} for row in program.evaluate(8)]
    counters = {name: value for name, value in program.counters().items() if name != "seconds"}
    ends.append((program.padded, [*rows, counters], program.snapshot(replay=True)))
assert [end[0] for end in ends] == [5, 6, 8], ends
exact = algorithm == "avf-qplex"
for _, rows, held in ends[1:]:
    assert len(rows) == 5 + 1 and (not exact or json.dumps(rows) == json.dumps(ends[0][1]))
    compare = np.testing.assert_array_equal if exact else lambda a, b: np.testing.assert_allclose(a, b, 1e-5, 1e-6)
    jax.tree.map(compare, held, ends[0][2])
moved = jax.tree.leaves(ends[0][2]["learners"])
assert any((leaf[0] != leaf[1]).any() for leaf in moved)
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("algorithm", ["avf-qplex", "mac-iaicc"])
def test_five_members_on_one_two_and_four_devices_are_the_same_run(algorithm):
    """Bit for bit; a program of another number of members per device may round an actor-critic's sums otherwise."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    subprocess.run([sys.executable, "-c", SPREAD, algorithm], check=True, env={**os.environ, "PYTHONPATH": path})
