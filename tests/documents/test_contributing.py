"""The worked examples of CONTRIBUTING.md run, and what they add passes what its table demands of every entry."""

import re
import sys
import types
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import mixer_properties
from support.probes import Additive

from jaxmac import envs, train
from jaxmac.algorithms import ALGORITHMS
from jaxmac.envs import rendering
from jaxmac.mixers import MIXERS, make_mixer

TEXT = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text()


def sections():
    """Title of each section -> its python code."""
    parts = re.split(r"^## (.+)\n", TEXT, flags=re.MULTILINE)[1:]
    return {
        title: "\n".join(re.findall(r"^```python\n(.*?)^```", body, re.DOTALL | re.MULTILINE))
        for title, body in zip(parts[::2], parts[1::2], strict=True)
    }


@pytest.fixture
def example(monkeypatch):
    """Runs the code of a section in a module of its own and takes what it registered back afterwards."""
    monkeypatch.setattr("jaxmac.envs.registry._TABLE", dict(envs.registry._TABLE))
    mixers, algorithms = dict(MIXERS), dict(ALGORITHMS)

    def run(title):
        module = types.ModuleType("contributing_example")
        monkeypatch.setitem(sys.modules, module.__name__, module)
        exec(compile(sections()[title], f"CONTRIBUTING.md, {title}", "exec"), module.__dict__)
        return module

    yield run
    for table, before in ((MIXERS, mixers), (ALGORITHMS, algorithms)):
        table.clear()
        table.update(before)


def test_every_example_has_code():
    titles = {title for title, code in sections().items() if code}
    assert {"A new environment", "A new mixer", "A new algorithm"} <= titles


def test_the_environment_keeps_the_contract(example):
    example("A new environment")
    assert "Corridor-7" in envs.list_ids()
    envs.check_environment("Corridor-7")
    env = envs.make("Corridor-7", horizon=30)
    assert envs.make("Corridor-7", **env.options).options == env.options


def test_the_environment_does_what_its_text_says(example):
    example("A new environment")
    env = envs.make("Corridor-7", step_reward=-1.0)
    state, ts = env.reset(jax.random.key(0))
    total, choices = 0.0, jnp.array([1, 1])
    while not (ts.terminal | ts.truncated):
        state, ts = env.step(jax.random.key(0), state, choices)
        total += float(ts.reward)
    assert (int(ts.time), total, bool(ts.terminal)) == (3, 10.0 - 3, True)
    assert np.unique(rendering.frame(env, state).reshape(-1, 3), axis=0).shape[0] > 2


def test_the_mixer_keeps_its_promise(example):
    example("A new mixer")
    mixer = make_mixer("weighted-sum")
    mixer_properties.check_monotone(mixer)
    mixer_properties.check_ignores_padding(mixer)
    mixer_properties.check_rows_are_independent(mixer)
    for conditional in (False, True):
        mixer_properties.check_igm(mixer, 3, conditional)


def test_the_mixer_would_fail_without_its_weights_being_positive(example, monkeypatch):
    module = example("A new mixer")
    monkeypatch.setattr(module.nn, "softplus", lambda x: x)
    with pytest.raises(AssertionError, match="instances"):
        mixer_properties.check_igm(make_mixer("weighted-sum", hypernet_embed=16), 3, conditional=True)


def test_the_algorithm_trains_by_its_name(example):
    example("A new algorithm")
    small = {"num_envs": 16, "batch_size": 32, "learning_starts": 32, "train_freq": 1, "hidden_size": 16}
    result = train(
        "alone", Additive(), seeds=2, episodes=640, learning_rate=1e-2, eval_every=320, progress=False, **small
    )
    assert result.metrics["eval_return"][-1].tolist() == [Additive.best] * 2


def test_examples_leave_the_tables_alone():
    assert "weighted-sum" not in MIXERS
    assert "alone" not in ALGORITHMS
    assert "Corridor-7" not in envs.list_ids()
