"""Arguments of the public functions that are of the wrong kind: one line that names them, before anything runs."""

import dataclasses
import inspect

import pytest
from support.made_runs import made
from support.registries import registered_only_here

import jaxmac
from jaxmac import analysis
from jaxmac.algorithms.base import CommonConfig
from jaxmac.cli.train import RUN_DEFAULTS
from jaxmac.config import ARGUMENTS_OF_TRAIN, setting
from jaxmac.mixers import make_mixer

ENV = "BoxPushing-4"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("arguments") / "run"
    made(out, env_options={"horizon": 12})
    return out


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: jaxmac.train(["avf-vdn"], ENV), "unknown algorithm ['avf-vdn']; did you mean avf-vdn"),
        (lambda: jaxmac.train("avf-vdn", ENV, log=3), "log is 3, but must be a list of names"),
        (lambda: jaxmac.train("avf-vdn", ENV, log=[3]), "log is [3], but must be a list of names"),
        (lambda: jaxmac.train("avf-vdn", ENV, out=3), "out is 3, but must be a path"),
        (lambda: jaxmac.train("avf-vdn", ENV, progress="no"), "progress is 'no', but must be True or False"),
        (
            lambda: jaxmac.train("avf-vdn", ENV, check_environment="no"),
            "check_environment is 'no', but must be True or",
        ),
        (lambda: jaxmac.resume("runs/a", progress="no"), "progress is 'no', but must be True or False"),
        (lambda: analysis.learning_curves([]), "panels is empty: there is nothing to draw"),
        (lambda: jaxmac.initialize_distributed("a:1", "2", 0), "processes is '2', but must be an integer"),
        (lambda: jaxmac.initialize_distributed("a:1", 2, 0, "5"), "timeout is '5', but must be an integer"),
        (lambda: jaxmac.initialize_distributed(None, 2, 0), "coordinator is None, but must be HOST:PORT"),
        (lambda: make_mixer("qmix", b1_abs="no"), "b1_abs is 'no', but must be True or False"),
        (lambda: make_mixer("qmix", mixing_embed=32.5), "mixing_embed is 32.5, but must be an integer"),
        (lambda: jaxmac.compare("runs/a"), "runs is 'runs/a', but must be a list of results or run directories"),
        (lambda: jaxmac.load(3), "path is 3, but must be a path"),
        (lambda: jaxmac.load("a\0b"), "path is 'a\\x00b', but must be a path"),
        (lambda: jaxmac.train("avf-vdn", ENV, out="a\0b"), "out is 'a\\x00b', but must be a path"),
        (lambda: jaxmac.resume(3), "path is 3, but must be a path"),
        (lambda: jaxmac.evaluate(3), "path is 3, but must be a path"),
        (lambda: jaxmac.evaluate("runs/a", best="no"), "best is 'no', but must be True or False"),
        (lambda: jaxmac.evaluate("runs/a", greedy="no"), "greedy is 'no', but must be True or False"),
        (
            lambda: jaxmac.export_policy("runs/a", 0, "out", overwrite="no"),
            "overwrite is 'no', but must be True or False",
        ),
        (lambda: jaxmac.export_policy("runs/a", "0", "out"), "member is '0', but must be the index of a member"),
        (
            lambda: jaxmac.evaluate_policy(ENV, jaxmac.random_policy()),
            "env is 'BoxPushing-4', but must be an Environment such as jaxmac.make('BoxPushing-4')",
        ),
        (
            lambda: jaxmac.evaluate_policy(jaxmac.make(ENV), "x"),
            "policy is 'x', but must be a Policy such as jaxmac.",
        ),
        (lambda: jaxmac.animate(ENV, jaxmac.random_policy()), "env is 'BoxPushing-4', but must be an Environment"),
        (lambda: jaxmac.timeline(3, jaxmac.random_policy()), "env is 3, but must be an Environment"),
        (lambda: jaxmac.timeline(jaxmac.make(ENV), None), "policy is None, but must be a Policy"),
        (lambda: jaxmac.scripted_policy(ENV), "env is 'BoxPushing-4', but must be an Environment"),
        (lambda: jaxmac.load_plugins("json"), "modules is 'json', but must be a list of module names"),
        (lambda: jaxmac.use_cpu_devices("two"), "devices is 'two', but must be from 1 to 1024"),
        (lambda: jaxmac.use_cpu_devices(1_000_000), "devices is 1000000, but must be from 1 to 1024"),
    ],
)
def test_an_argument_of_the_wrong_kind_is_named_in_one_line(call, message, monkeypatch):
    monkeypatch.setattr("jaxmac.training.program.Program.compile", lambda self: pytest.fail("compiled"))
    with pytest.raises(ValueError) as refused:
        call()
    assert str(refused.value).startswith(message) and "\n" not in str(refused.value)


def test_an_id_in_the_place_of_an_environment_is_refused(run):
    for function in (jaxmac.load, jaxmac.resume):
        with pytest.raises(ValueError, match=r"^env is 'BoxPushing-4', but must be an Environment"):
            function(run, env=ENV)


def test_an_environment_with_other_options_is_refused(run):
    assert jaxmac.load(run, env=jaxmac.make(ENV, horizon=12)).env.horizon == 12
    for function in (jaxmac.load, jaxmac.resume):
        with pytest.raises(ValueError, match="was trained with horizon=12, but env= has 15"):
            function(run, env=jaxmac.make(ENV, horizon=15))


def test_a_run_has_the_same_defaults_wherever_it_is_started():
    defaults = {name: one.default for name, one in inspect.signature(jaxmac.train).parameters.items()}
    pure = {name: one.default for name, one in inspect.signature(jaxmac.make_train).parameters.items()}
    own = {"algorithm", "log"}  # the command line has an algorithm where none is named, and a text with commas
    for others in (RUN_DEFAULTS, pure):
        assert {name: others[name] for name in others.keys() & defaults.keys() - own} == {
            name: defaults[name] for name in others.keys() & defaults.keys() - own
        }


def test_settings_of_parts_are_not_named_like_arguments_of_train():
    parameters = inspect.signature(jaxmac.train).parameters.values()
    assert {one.name for one in parameters if one.kind is not one.VAR_KEYWORD} == ARGUMENTS_OF_TRAIN

    @dataclasses.dataclass(frozen=True)
    class Settings(CommonConfig):
        episodes: int = setting("how many", 3, low=1)

    spec = jaxmac.AlgorithmSpec(Settings, lambda env, config: None, {"tuned": lambda env: {}})
    with (
        registered_only_here(),
        pytest.raises(ValueError, match="setting episodes has the name of an argument"),
    ):
        jaxmac.register_algorithm("mine", spec)


def test_traced_settings_are_not_named_like_methods_of_mappings():
    """`hyper.values` would be the method."""

    @dataclasses.dataclass(frozen=True)
    class Settings(CommonConfig):
        values: float = setting("how much", 0.5, low=0.0, traced=True)

    spec = jaxmac.AlgorithmSpec(Settings, lambda env, config: None, {"tuned": lambda env: {}})
    with (
        registered_only_here(),
        pytest.raises(ValueError, match="its setting values is traced, and has the name of a method of mappings"),
    ):
        jaxmac.register_algorithm("mine", spec)
