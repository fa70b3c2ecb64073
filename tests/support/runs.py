import contextlib
import json
import shutil

import pytest
from support.probes import Asynchronous

import jaxmac
from jaxmac import envs

ENV = Asynchronous()  # one object, so that a process compiles its programs once
TINY = {
    "num_envs": 4,
    "batch_size": 8,
    "replay_episodes": 64,
    "sampling": "tournament",
    "replay_tournament": 4,
    "learning_starts": 16,
    "train_freq": 6,
    "trajectory": 5,
    "max_rows": 0,
    "hidden_size": 8,
    "hidden_layers": 1,
    "eval_every": 10,
    "eval_episodes": 4,
}


def without(settings, *names):
    return {name: value for name, value in settings.items() if name not in names}


ON_POLICY = {"num_envs": 4, "hidden_size": 4, "layer_size": 4, "critic_hidden_size": 4, "critic_layer_size": 4}


FAMILIES = {
    "avf-qplex": TINY,
    "tomacvf-qmix": {**without(TINY, "trajectory", "max_rows"), "attention_width": 4},
    "parallel-mac-dec-ddrqn": {**without(TINY, "replay_tournament"), "sampling": "uniform", "target_steps": 12},
    "mac-iaicc": {**ON_POLICY, "eval_episodes": 4, "target_episodes": 8},
    "mac-mappo": {**ON_POLICY, "eval_episodes": 4, "epochs": 2, "minibatches": 2},
}


def tiny(out, env=ENV, **options):
    values = {"seeds": 2, "episodes": 48, "progress": False, "checkpoint_every": 1, **TINY, **options}
    return jaxmac.train("avf-vdn", env, out=out, **values)


def copied(run, tmp_path):
    """A copy of a run, to be spoiled or continued."""
    return shutil.copytree(run, tmp_path / "run")


@contextlib.contextmanager
def env_with_an_id():
    """ENV is "Asynchronous" inside, so that runs on it can be loaded by their folder alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jaxmac.envs.registry._TABLE", dict(envs.registry._TABLE))
        envs.register("Asynchronous", lambda: ENV)
        yield


def as_if_killed(run, iteration):
    """The state of a run's directory when it was killed some time after that checkpoint."""
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(config | {"status": "running"}))
    for found in (run / "checkpoints" / "group_0").iterdir():
        if found.name.isdigit() and int(found.name) > iteration:
            shutil.rmtree(found)
