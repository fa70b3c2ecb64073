"""The worked examples of parts in docs/ keep their promises and train, as plugins, from the command line."""

import json
import re
import shlex
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.commands import SMALL, refused
from support.probes import Additive
from support.readers import unread_settings
from support.registries import registered_only_here

import jaxmac
from jaxmac import envs
from jaxmac.cli.main import main
from jaxmac.envs import rendering
from jaxmac.mixers import MIXERS, MixerError, check_mixer, make_mixer
from jaxmac.networks.checking import check_memory
from jaxmac.networks.memory import MEMORIES
from jaxmac.record import SAMPLERS
from jaxmac.registry import load_plugins
from jaxmac.runs.directory import RunDirectoryError

DOCS = Path(__file__).parents[2] / "docs"
TUTORIAL = (DOCS / "your_mixer.md").read_text().replace("\n## ", "\n### ")
TEXT = (DOCS / "extending.md").read_text() + f"\n## A new mixer\n{TUTORIAL}"
MODULES = {
    "A new environment": "corridor",
    "A new mixer": "weighted_sum",
    "A new memory": "elman",
    "A new sampling rule": "prioritised",
    "A new algorithm": "alone",
    "A new destination of metrics": "json_lines",
}


def code_of(section, language):
    """The first block of a section in a language: the module of a part, or the command that trains with it."""
    body = re.split(r"^## ", TEXT.partition(f"## {section}\n")[2], flags=re.MULTILINE)[0]
    return re.findall(rf"^```{language}\n(.*?)^```", body, re.DOTALL | re.MULTILINE)[0]


@pytest.fixture
def workshop(tmp_path, monkeypatch):
    """A directory of a user's own, with the examples as modules; what they register is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    for section, module in MODULES.items():
        (tmp_path / f"{module}.py").write_text(code_of(section, "python"))
    with registered_only_here():
        yield tmp_path


def command_of(section):
    """The arguments of a section's command, made small."""
    (line,) = code_of(section, "sh").splitlines()
    arguments = shlex.split(line)
    assert arguments[:2] == ["jaxmac", "train"]
    own = dict(zip(arguments[2::2], arguments[3::2], strict=True))
    small = dict(zip(SMALL[::2], SMALL[1::2], strict=True)) | {"--max-rows": "0", "--devices": "1"}
    if own["--env"].startswith("Corridor"):
        small.pop("--env-options.horizon")
    if own["--algorithm"] == "alone":
        small.pop("--sampling")
    flags = {**small, **own, "--episodes": "16"}
    return ["train", *(word for pair in flags.items() for word in pair)]


@pytest.mark.slow
def test_all_examples_train_together(workshop, capsys, monkeypatch):
    """One run with an environment, a mixer, a memory, a sampling rule and a sink from outside."""
    monkeypatch.setattr("jaxmac.cli.train.use_cpu_devices", lambda count: None)
    small = dict(zip(SMALL[::2], SMALL[1::2], strict=True))
    small.pop("--env-options.horizon")
    parts = {"--env": "Corridor-7", "--algorithm": "avf-weighted-sum", "--memory": "elman", "--log": "jsonl"}
    parts |= {"--sampling": "prioritised", "--episodes": "16", "--weight-embed": "4", "--recurrent-scale": "0.5"}
    flags = {**small, **parts, "--priority-exponent": "0.8"}
    plugins = [module for module in MODULES.values() if module != "alone"]
    arguments = [word for pair in flags.items() for word in pair]
    arguments += [word for module in plugins for word in ("--plugin", module)]
    assert main(["train", *arguments, "--out", "run"]) == 0, capsys.readouterr().err
    config = json.loads((workshop / "run" / "config.json").read_text())
    assert set(config["plugins"]) == set(plugins) and config["settings"]["priority_exponent"] == 0.8
    result = jaxmac.load("run")
    assert np.isfinite(result.metrics["loss"][-1]).all() and (result.metrics["updates"][-1] > 0).all()
    rows = (workshop / "run" / "metrics.jsonl").read_text().splitlines()
    assert len(rows) == result.metrics["loss"].size


@pytest.mark.slow
@pytest.mark.parametrize("section", MODULES)
def test_the_command_trains_the_example(section, workshop, capsys, monkeypatch):
    monkeypatch.setattr("jaxmac.cli.train.use_cpu_devices", lambda count: None)
    arguments = command_of(section)
    assert main([*arguments, "--out", "run"]) == 0, capsys.readouterr().err
    config = json.loads((workshop / "run" / "config.json").read_text())
    assert config["plugins"] == [MODULES[section]] and config["status"] == "finished"
    result = jaxmac.load("run")
    assert np.isfinite(result.metrics["loss"][-1]).all() and (result.metrics["updates"][-1] > 0).all()


@pytest.mark.slow
def test_a_run_with_a_plugin_goes_through_every_command(workshop, capsys, monkeypatch):
    """An outside mixer is trained, resumed, evaluated, rendered, exported; without it one line names the module."""
    for module in ("train", "resume"):
        monkeypatch.setattr(f"jaxmac.cli.{module}.use_cpu_devices", lambda count: None)
    with registered_only_here():
        assert main([*command_of("A new mixer"), "--out", "run"]) == 0
    capsys.readouterr()
    assert "weighted-sum" not in MIXERS
    for command in (["resume", "run", "--episodes", "32"], ["eval", "run"], ["render", "run"], ["plot", "run"]):
        assert "run needs parts of weighted_sum: add --plugin weighted_sum" in refused(capsys, *command)
    with pytest.raises(RunDirectoryError, match="in Python import weighted_sum before opening it"):
        jaxmac.load("run")
    plugin = ["--plugin", "weighted_sum"]
    assert main(["resume", "run", "--episodes", "32", *plugin]) == 0
    assert main(["eval", "run", "--episodes", "4", *plugin]) == 0
    assert main(["render", "run", "--out", "episode.gif", *plugin]) == 0
    assert main(["export", "run", "--out", "policy", *plugin]) == 0
    assert main(["plot", "run", "--out", "curve.png", *plugin]) == 0
    assert Path("episode.gif").stat().st_size > 0 and Path("policy/agent_0/policy.json").exists()
    assert jaxmac.load("run").metrics["episodes"][-1, 0] == 32


def test_the_environment_does_what_its_text_says(workshop):
    load_plugins(["corridor"])
    assert "Corridor-7" in envs.list_ids()
    envs.check_environment("Corridor-7")
    env = envs.make("Corridor-7", step_reward=-1.0)
    assert envs.make("Corridor-7", **env.options).options == env.options
    step = jax.jit(env.step)
    state, ts = jax.jit(env.reset)(jax.random.key(0))
    total, choices = 0.0, jnp.array([1, 1])
    while not (ts.terminal | ts.truncated):
        state, ts = step(jax.random.key(0), state, choices)
        total += float(ts.reward)
    assert (int(ts.time), total, bool(ts.terminal)) == (3, 10.0 - 3, True)
    assert np.unique(rendering.frame(env, state).reshape(-1, 3), axis=0).shape[0] > 2


@pytest.mark.slow
def test_the_algorithm_reads_every_setting_that_it_has(workshop):
    load_plugins(["alone"])
    config = jaxmac.algorithms.configure("alone", "tuned", Additive(), {})
    assert unread_settings("alone", config) == []


@pytest.mark.slow
def test_the_mixer_keeps_its_promise_and_would_fail_without_positive_weights(workshop, monkeypatch):
    load_plugins(["weighted_sum"])
    check_mixer("weighted-sum", instances=40)
    monkeypatch.setattr(nn, "softplus", lambda x: x)
    with pytest.raises(MixerError, match="mixer 'weighted-sum': the joint value falls as a utility rises"):
        check_mixer("weighted-sum", instances=40)
    assert make_mixer("weighted-sum", weight_embed=3).weight_embed == 3


def test_the_memory_stays_where_an_agent_does_not_decide(workshop):
    load_plugins(["elman"])
    module = MEMORIES["elman"](4)
    rng = np.random.default_rng(0)
    inputs, advance = (
        jnp.float32(rng.normal(size=(5, 2, 3))),
        jnp.array([[1, 1], [0, 1], [0, 0], [1, 0], [1, 1]], bool),
    )
    params = jax.jit(module.init)(jax.random.key(0), jnp.zeros((2, 4)), inputs, advance)
    hidden, outputs = jax.jit(module.apply)(params, jnp.zeros((2, 4)), inputs, advance)
    np.testing.assert_array_equal(hidden, outputs[-1])
    for step in range(1, 5):
        stays = (outputs[step] == outputs[step - 1]).all(-1)
        np.testing.assert_array_equal(stays, ~advance[step])


def test_errors_raise_the_share_of_an_episode_and_weights_correct_for_it(workshop):
    load_plugins(["prioritised"])
    replay = SAMPLERS["prioritised"](priority_exponent=1.0, importance_exponent=1.0)(8, 4, 5)
    state = jax.jit(lambda: replay.add(replay.init(jnp.zeros(())), jnp.arange(8.0)))()
    state = jax.jit(replay.feedback)(state, jnp.arange(8), jnp.array([0.0] * 7 + [9.0]))
    sample = jax.jit(jax.vmap(lambda key: replay.sample(key, state)))
    drawn = sample(jax.random.split(jax.random.key(0), 500))
    chosen = np.asarray(drawn.episodes).ravel()
    assert (chosen == 7).mean() == pytest.approx(9 / (9 + 8e-3), abs=0.01)
    np.testing.assert_array_equal(drawn.index.ravel(), chosen)
    weights = np.asarray(drawn.weight)
    mixed = (np.asarray(drawn.episodes) == 7).any(1) & (np.asarray(drawn.episodes) != 7).any(1)
    assert mixed.any() and np.isclose(weights[mixed].min() * 9000, 1, rtol=0.01)


@pytest.mark.slow
def test_the_algorithm_learns(workshop):
    load_plugins(["alone"])
    small = {"num_envs": 16, "batch_size": 32, "learning_starts": 32, "train_freq": 1, "hidden_size": 16}
    small |= {"learning_rate": 1e-2, "episodes": 640, "eval_every": 320, "progress": False}
    result = jaxmac.train("alone", Additive(), seeds=2, **small)
    assert result.metrics["eval_return"][-1].tolist() == [Additive.best] * 2


@pytest.mark.slow
def test_every_row_reaches_the_sink_once(workshop, monkeypatch):
    load_plugins(["json_lines"])
    settings = {"episodes": 16, "num_envs": 4, "batch_size": 4, "learning_starts": 8, "replay_episodes": 16}
    settings |= {"eval_every": 8, "eval_episodes": 2, "hidden_size": 4, "progress": False, "seeds": 1}
    jaxmac.train("avf-vdn", Additive(), out="run", log="jsonl", **settings)
    jaxmac.resume("run", env=Additive(), episodes=24, progress=False)
    rows = [json.loads(line) for line in Path("run/metrics.jsonl").read_text().splitlines()]
    assert [int(row["episodes"]) for row in rows] == [0, 8, 16, 24]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "plugin 'my_parts' cannot be imported: there is no such module"),
        ("import nothing_there", "plugin 'my_parts' cannot be imported: it needs the module nothing_there"),
        ("raise RuntimeError('two\\nlines')", "cannot be imported: it raised RuntimeError: two"),
        (
            "import jaxmac\njaxmac.register_mixer('qmix', int)",
            "mixer 'qmix' is <class 'int'>, but must be a flax.linen",
        ),
        (
            "import jaxmac\nfrom jaxmac.mixers import QMIX\njaxmac.register_mixer('qmix', QMIX)",
            "is registered already",
        ),
        (
            "import jaxmac\njaxmac.register_environment('BoxPushing-6', lambda: 0)",
            "environment id 'BoxPushing-6' is taken: jaxmac.envs.box_pushing has registered it",
        ),
        (
            "import jaxmac\njaxmac.register_memory('gru', dict)",
            "memory 'gru' is <class 'dict'>, but must be a flax.linen",
        ),
        (
            "import jaxmac\njaxmac.register_algorithm('x', 3)",
            "algorithm 'x' is 3, but must be a jaxmac.AlgorithmSpec",
        ),
        ("import jaxmac\njaxmac.register_sink('x', 3)", "log 'x' is 3, but must be a class or function"),
    ],
)
def test_a_plugin_that_cannot_be_used_is_one_line(text, message, workshop, capsys):
    if text is not None:
        Path("my_parts.py").write_text(text + "\n")
    said = refused(capsys, "train", "--plugin", "my_parts", "--env", "BoxPushing-6", "--out", "run")
    assert message in said and not Path("run").exists()


def test_parts_of_the_wrong_shape_are_refused_before_anything_compiles(workshop, capsys, monkeypatch):
    monkeypatch.setattr("jaxmac.cli.train.use_cpu_devices", lambda count: None)
    Path("my_parts.py").write_text(
        "import flax.linen as nn\nimport jaxmac\n"
        "class Flat(nn.Module):\n    def __call__(self, inputs):\n        return inputs.q_all\n"
        "class Wide(nn.Module):\n    size: int\n    def __call__(self, hidden, inputs, advance):\n"
        "        return hidden, inputs\n"
        "jaxmac.register_mixer('flat', Flat)\njaxmac.register_memory('wide', Wide)\n"
    )
    base = ["train", "--plugin", "my_parts", "--env", "BoxPushing-4", "--out", "run"]
    assert "mixer 'flat': 12 rows give values of shape (12, 3, 4), but must give (12,)" in refused(
        capsys, *base, "--algorithm", "avf-flat"
    )
    said = refused(capsys, *base, "--algorithm", "avf-vdn", "--memory", "wide")
    assert "memory 'wide' returns shapes" in said and not Path("run").exists()


def test_examples_leave_the_registries_alone():
    assert "weighted-sum" not in MIXERS and "alone" not in jaxmac.list_algorithms()
    assert "Corridor-7" not in envs.list_ids() and "elman" not in MEMORIES and "prioritised" not in SAMPLERS
    with pytest.raises(ValueError, match="unknown memory 'elman'"):
        check_memory("elman", None, 3)
