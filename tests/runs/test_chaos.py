"""Random interruptions and random damage: rows and learners are those of a run that nothing happened to."""

import csv
import json
import random
import shutil
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
from support.runs import FAMILIES, TINY, without

import jaxmac
from jaxmac.errors import RunDirectoryError
from jaxmac.runs import checkpoint
from jaxmac.runs.members import group_members
from jaxmac.training.program import Program

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

INTERRUPTIONS = 20  # of each kind of run
KINDS = {
    "avf": ("avf-qplex", FAMILIES["avf-qplex"], 3000, ()),
    "tomacvf": ("tomacvf-qmix", FAMILIES["tomacvf-qmix"], 1500, ()),
    "mac-q": ("parallel-mac-dec-ddrqn", FAMILIES["parallel-mac-dec-ddrqn"], 2000, ()),
    "actor-critic": ("mac-iaicc", FAMILIES["mac-iaicc"], 8000, ()),
    "ppo": ("mac-mappo", FAMILIES["mac-mappo"], 4000, ()),
    "sweep": ("avf-vdn", {**without(TINY, "hidden_size"), "sweep": "hidden_size=4,6"}, 1500, (0, 1)),
}


def arguments_of(kind):
    algorithm, values, episodes, _ = KINDS[kind]
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in values.items() if name != "sweep"]
    flags += ["--sweep", values["sweep"]] if "sweep" in values else []
    env = ["--env=BoxPushing-4", "--env-options.horizon=12", "--seeds=2", f"--episodes={episodes}"]
    return ["train", f"--algorithm={algorithm}", *env, "--checkpoint-every=1", *flags]


# A suite in the background may ignore Ctrl-C and hangups, and the commands that it starts would, too.
HEAR_SIGNALS = """
import os, signal, sys
for number in (signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_DFL)
os.execv(sys.executable, [sys.executable, "-m", "jaxmac", *sys.argv[1:]])
"""


def start(*arguments):
    command = [sys.executable, "-c", HEAR_SIGNALS, *map(str, arguments)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)


def rows_of(run):
    with (run / "metrics.csv").open() as file:
        return sorted(sorted((k, v) for k, v in row.items() if k != "wall_seconds") for row in csv.DictReader(file))


def shapes_of(run):
    """The shapes of the items of the checkpoints of every group."""
    result = jaxmac.load(run)
    groups = group_members(result.specs)
    return [Program(result.config["algorithm"], result.env, specs).shapes() for specs in groups]


def learned(run, shapes):
    """All items of the last checkpoints of all groups."""
    return [
        {name: checkpoint.read_checkpoint(run, group, name, items[name]) for name in items}
        for group, items in enumerate(shapes)
    ]


def interrupt(process, draw):
    """Stop a process in one of five ways at a random moment; returns which, and what it said."""
    time.sleep(draw.uniform(0.0, draw.choice([4.0, 12.0])))
    way = draw.choice(["kill", "term", "hangup", "ctrl-c", "twice"])
    signals = {"kill": signal.SIGKILL, "term": signal.SIGTERM, "hangup": signal.SIGHUP}
    process.send_signal(signals.get(way, signal.SIGINT))
    if way == "twice":
        time.sleep(draw.uniform(0.0, 0.3))
        process.send_signal(signal.SIGINT)
    try:
        text = process.communicate(timeout=60)[1]
    except (
        subprocess.TimeoutExpired
    ):  # Python loses a Ctrl-C in a callback of its garbage collector; a user repeats it
        process.send_signal(signal.SIGINT)
        text = process.communicate(timeout=120)[1]
    return way, text


@pytest.mark.parametrize("kind", KINDS)
def test_random_interruptions_change_nothing(kind, tmp_path):
    run, straight, draw = tmp_path / "run", tmp_path / "straight", random.Random(kind)
    process = start(*arguments_of(kind), "--out", straight)
    assert process.communicate()[1] is not None and process.returncode == 0
    made = ended = 0
    while made < INTERRUPTIONS:
        is_begun = any(checkpoint.saved_iterations(run, group) for group in range(2))
        process = start("resume", run) if is_begun else start(*arguments_of(kind), "--out", run, "--overwrite")
        way, text = interrupt(process, draw)
        if "Traceback" in text:  # of Python, which was interrupted before or after jaxmac's own part
            assert way != "kill" and "KeyboardInterrupt" in text, (way, text)
        made += 1
        if json_status(run) == "finished":
            ended += 1
            assert rows_of(run) == rows_of(straight)
            shutil.rmtree(run)
    if not any(checkpoint.saved_iterations(run, group) for group in range(2)):
        process = start(*arguments_of(kind), "--out", run, "--overwrite")
    else:
        process = start("resume", run)
    assert process.communicate()[1] is not None and process.returncode == 0
    print(f"{kind}: {made} interruptions, {ended} times finished between them")
    assert rows_of(run) == rows_of(straight)
    shapes = shapes_of(straight)
    jax.tree.map(np.testing.assert_array_equal, learned(run, shapes), learned(straight, shapes))


def json_status(run):
    try:
        return json.loads((run / "config.json").read_text())["status"]
    except FileNotFoundError:
        return None


def damage(file, draw):
    """Damage a file in one of six ways; returns which."""
    data = bytearray(file.read_bytes())
    way = draw.choice(["bit", "zeros", "short", "empty", "longer", "gone"])
    if way == "bit":
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    elif way == "zeros":
        first = draw.randrange(len(data))
        data[first : first + 64] = bytes(len(data[first : first + 64]))
    elif way == "short":
        del data[draw.randrange(len(data)) :]
    elif way == "empty":
        data.clear()
    elif way == "longer":
        data += bytes(draw.randrange(1, 100))
    if way == "gone":
        file.unlink()
    else:
        file.write_bytes(data)
    return way


def test_random_damage_to_checkpoints_is_named_or_harmless(tmp_path):
    run, draw = tmp_path / "run", random.Random(7)
    process = start(*arguments_of("avf"), "--episodes=48", "--out", run)
    assert process.communicate()[1] is not None and process.returncode == 0
    shapes = shapes_of(run)
    whole = learned(run, shapes)
    last = checkpoint.checkpoint_path(run, 0)
    files = [file for file in sorted(last.rglob("*")) if file.is_file() and file.stat().st_size]
    refused = 0
    for _ in range(200):
        file = draw.choice(files)
        before = file.read_bytes()
        way = damage(file, draw)
        changed = not file.exists() or file.read_bytes() != before
        tree = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
        try:
            found = learned(run, shapes)
        except RunDirectoryError as error:
            refused += 1
            assert changed and "\n" not in str(error) and "is damaged" in str(error), (way, file, error)
        else:
            assert not changed, (way, file)
            jax.tree.map(np.testing.assert_array_equal, found, whole)
        assert tree == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
        file.write_bytes(before)
    assert refused > 150
