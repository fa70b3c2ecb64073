"""Environments by id: what is registered, what is refused and in which words, and which options there are."""

import functools
import sys
import types
from collections.abc import Sequence
from typing import Literal

import numpy as np
import pytest
from support.line import Line

from jaxmac import envs
from jaxmac.envs import registry


class Walk(Line):
    """`Line` of a given length of episodes, with a primitive version that starts elsewhere."""

    presets = {"short": {"horizon": 3}}

    def __init__(self, start, *, horizon: int = 12, step=1.5, label=None):
        super().__init__(horizon)
        self.start = start


class PrimitiveWalk(Walk):
    """Its primitive version, with one option fewer."""

    def __init__(self, start, *, horizon: int = 9):
        super().__init__(start, horizon=horizon)


Walk.primitive_version = PrimitiveWalk


@pytest.fixture(autouse=True)
def table(monkeypatch):
    """Every test registers in a table of its own."""
    monkeypatch.setattr(registry, "_TABLE", dict(registry._TABLE))
    monkeypatch.setattr(registry, "LOADERS", [])


def message(function, *arguments, **options):
    with pytest.raises(ValueError) as error:
        function(*arguments, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_one_line_registers_an_environment_and_its_primitive_version():
    before = envs.list_ids()
    envs.register_environment("Walk-7", functools.partial(Walk, 7))
    assert envs.list_ids() == (*before, "Walk-7", "Walk-7-primitive")
    env, primitive = envs.make("Walk-7", horizon=4), envs.make("Walk-7-primitive")
    assert (type(env), env.start, env.horizon, env.name) == (Walk, 7, 4, "Walk-7")
    assert (type(primitive), primitive.start, primitive.horizon) == (PrimitiveWalk, 7, 9)
    assert env.options == {"horizon": 4, "step": 1.5, "label": None} and primitive.options == {"horizon": 9}
    assert envs.make("Walk-7", preset="short").horizon == 3
    assert "preset" not in envs.env_options("Walk-7-primitive")  # the attribute is the macro version's own


def test_what_a_subclass_inherits_is_not_registered():
    class Longer(Walk):
        pass

    envs.register_environment("Longer", functools.partial(Longer, 1))
    assert "Longer-primitive" not in envs.list_ids() and "preset" not in envs.env_options("Longer")


def test_given_presets_hold_for_both_versions():
    presets = {"long": {"horizon": 50}}
    envs.register_environment("Walk-1", functools.partial(Walk, 1), presets=presets)
    for env_id in ("Walk-1", "Walk-1-primitive"):
        assert envs.make(env_id, preset="long").horizon == 50
    assert "'short'" in message(envs.make, "Walk-1", preset="short")


def test_a_function_is_a_factory_too():
    def walk(*, horizon: int = 5):
        return Walk(2, horizon=horizon)

    walk.primitive_version = lambda: PrimitiveWalk(3)
    envs.register_environment("Walk", walk, listed=False)
    assert envs.make("Walk", horizon=np.int64(6)).horizon == 6 and envs.make("Walk-primitive").start == 3
    assert not {"Walk", "Walk-primitive"} & set(envs.list_ids())


@pytest.mark.parametrize(
    ("env_id", "factory", "words"),
    [
        ("BoxPushing-10", Line, ["'BoxPushing-10' is taken", "jaxmac.envs.box_pushing"]),
        ("Line", 3, ["factory of 'Line' is 3", "callable that returns an Environment"]),
        ("Line", dict, ["factory of 'Line' is <class 'dict'>", "callable that returns an Environment"]),
        ("Line", Line(), ["is an instance of Line", "its class or a function"]),
        ("Walk", Walk, ["argument start must be given", "functools.partial"]),
        ("Line", lambda *, size: Line(), ["argument size has no default"]),
        ("Line", functools.partial(Walk, 1, colour=3), ["factory of 'Line'", "incorrect arguments"]),
        ("Line", lambda *, preset="x": Line(), ["its option preset has the name that chooses presets"]),
        ("two words", Line, ["'two words' must be a word"]),
        ("", Line, ["'' must be a word"]),
        (7, Line, ["7 must be a word"]),
    ],
)
def test_what_cannot_be_registered_is_one_line(env_id, factory, words):
    before = dict(registry._TABLE)
    text = message(envs.register_environment, env_id, factory)
    assert all(word in text for word in words), text
    assert before == registry._TABLE


def test_nothing_is_registered_where_the_primitive_version_cannot_be():
    envs.register_environment("Walk-7-primitive", Line)
    text = message(envs.register_environment, "Walk-7", functools.partial(Walk, 7))
    assert "'Walk-7-primitive' is taken" in text and "Walk-7" not in envs.list_ids()
    text = message(envs.register_environment, "W", functools.partial(Walk, 7), presets={"big": {"size": 3}})
    assert text == "preset 'big' of 'W' sets 'size', which is none of its options" and "W" not in envs.list_ids()


@pytest.mark.parametrize(
    ("presets", "message"),
    [
        (["big"], r"presets of 'W' are \['big'\], but must be names with a dict of options for each"),
        ({"big": 3}, r"presets of 'W' are \{'big': 3\}, but must be names"),
        ({"big": {"horizon": "many"}}, r"preset 'big' of 'W': horizon is 'many', but must be an integer"),
    ],
)
def test_presets_of_the_wrong_kind_are_refused_when_they_are_registered(presets, message):
    with pytest.raises(ValueError, match=message):
        envs.register_environment("W", functools.partial(Walk, 7), presets=presets)


def test_what_a_factory_raises_names_its_environment():
    def factory(*, horizon: int = 3):
        raise KeyError("layout")

    envs.register_environment("W", factory)
    with pytest.raises(ValueError, match=r"^the factory of W raised KeyError: 'layout'$"):
        envs.make("W")


def test_a_factory_that_returns_something_else_is_named():
    envs.register_environment("Odd", lambda: {"obs": 3})
    assert message(envs.make, "Odd") == "the factory of Odd returned a dict, but must return an Environment"


def test_a_module_that_registers_an_id_twice_hears_how():
    envs.register_environment("Walk-7", functools.partial(Walk, 7))
    assert "registry.unregister first" in message(envs.register_environment, "Walk-7", functools.partial(Walk, 7))
    assert "unregister" not in message(envs.register_environment, "BoxPushing-10", Line)


def test_unregister_removes_both_versions():
    for _ in range(2):
        envs.register_environment("Walk-7", functools.partial(Walk, 7))
        registry.unregister("Walk-7")
    assert not {"Walk-7", "Walk-7-primitive"} & set(envs.list_ids())
    assert "unknown environment 'Walk-7'" in message(registry.unregister, "Walk-7")


def test_unregister_leaves_what_was_registered_on_its_own():
    envs.register_environment("Apart", lambda: Line())
    envs.register_environment("Apart-primitive", lambda: Line())
    registry.unregister("Apart")
    assert "Apart" not in envs.list_ids() and envs.make("Apart-primitive").horizon == 12


@pytest.mark.parametrize(
    ("kind", "given", "kept"),
    [
        (int | float | None, 0.5, 0.5),
        (int | float | None, 3, 3),
        (float | int, 3, 3),
        (float | None, 3, 3.0),
        (int | str, "far", "far"),
        (int | str, 3, 3),
        (Literal[2, 3], 3, 3),
        (Literal["far", "near"], np.str_("far"), np.str_("far")),
        (Literal[2, "all"] | None, None, None),
        (Sequence[int] | int, [1, 2], (1, 2)),
    ],
)
def test_options_of_several_types_keep_their_values(kind, given, kept):
    def factory(*, option: kind = None):
        return Line()

    envs.register_environment("Unions", factory)
    value = envs.make("Unions", option=given).options["option"]
    assert value == kept and type(value) is type(kept)


@pytest.mark.parametrize(
    ("kind", "given", "words"),
    [
        (int | float | None, "far", "option is 'far', but must be an integer or a finite number (float32)"),
        (Literal[2, 3], 4, "option is 4, but must be one of 2, 3"),
        (Literal[1, 3], True, "option is True, but must be one of 1, 3"),
        (int | str, 0.5, "option is 0.5, but must be an integer or a string"),
    ],
)
def test_options_of_several_types_are_checked(kind, given, words):
    def factory(*, option: kind = None):
        return Line()

    envs.register_environment("Unions", factory)
    assert message(envs.make, "Unions", option=given) == words


def plugin(monkeypatch, name, code):
    """A module of that name, with its code executed."""
    module = types.ModuleType(name)
    monkeypatch.setitem(sys.modules, name, module)
    exec(compile(code, name, "exec"), module.__dict__)


def test_the_module_of_an_id_is_the_one_that_registered_it(monkeypatch):
    workshop = """
from functools import partial
from jaxmac import envs
envs.register_environment("Warehouse-mine", partial(envs.Warehouse, envs.LAYOUTS["S"]))
"""
    plugin(monkeypatch, "my_warehouses", workshop)  # the class is the library's, the id is not
    assert registry.module_of("Warehouse-mine-primitive") == registry.module_of("Warehouse-mine") == "my_warehouses"
    assert registry.module_of("BoxPushing-10-primitive") == "jaxmac.envs.box_pushing"
    assert "unknown environment 'Nothing'" in message(registry.module_of, "Nothing")


def test_loaders_run_before_an_id_is_unknown_and_before_ids_are_listed(monkeypatch):
    def load():
        calls.append(len(calls))
        if len(calls) == 1:
            envs.register_environment("Late", Line)

    calls = []
    registry.LOADERS.append(load)
    assert envs.make("BoxPushing-4").num_agents == 2 and not calls  # not needed
    assert envs.make("Late").name == "Late" and len(calls) == 1
    assert "Late" in envs.list_ids() and len(calls) == 2


@pytest.mark.parametrize(
    ("env_id", "options", "words"),
    [
        ("BoxPushing-11", {}, ["BoxPushing-11", "even", "4 to 30", "11"]),
        ("BoxPushing-32-primitive", {}, ["even", "4 to 30", "32"]),
        (
            "boxpushing-12",
            {},
            ["boxpushing-12", "did you mean BoxPushing-12", "`jaxmac list --envs`", "list_environments()"],
        ),
        ("Nonsense", {}, ["Nonsense", "`jaxmac list --envs`", "--plugin MODULE"]),
        (
            envs.CaptureTarget,
            {},
            ["must be an id or an Environment: make an instance of the class, CaptureTarget()"],
        ),
        (["BoxPushing-10"], {}, ["env is ['BoxPushing-10'], but must be an id or an Environment"]),
        ("BoxPushing-10", {"penaltie": 1.0}, ["penaltie", "did you mean penalty", "small_box_reward"]),
        ("BoxPushing-10", {"sticky_joint": True}, ["sticky_joint", "random_init"]),
        ("BoxPushing-10", {"preset": "icra"}, ["icra", "neurips22", "corl19"]),
        ("BoxPushing-10", {"horizon": 0}, ["horizon", "0", "at least 1"]),
        ("BoxPushing-10", {"horizon": 10.5}, ["horizon", "10.5", "integer"]),
        ("BoxPushing-10", {"num_agents": 4}, ["num_agents", "4", "2 or 3"]),
        ("BoxPushing-10", {"penalty": "low"}, ["penalty", "'low'", "number"]),
        ("BoxPushing-10", {"step_reward": float("nan")}, ["step_reward", "nan", "finite"]),
        ("BoxPushing-4", {"penalty": -1e39}, ["penalty", "-1e+39", "finite number (float32)"]),
        ("BoxPushing-4", {"penalty": 10**400}, ["penalty", "1000", "finite number (float32)"]),
        ("BoxPushing-10", {"horizon": 3_000_000_000}, ["horizon", "3000000000", "at most 2000000000"]),
        ("BoxPushing-10", {"horizon": np.ones((2, 2))}, ["horizon is array([[1., 1.], [1., 1.]]), but", "integer"]),
        ("Warehouse-D", {"human_speeds": np.full((2, 4), "20")}, ["human_speeds is array([['20'", "a sequence"]),
        ("BoxPushing-10", {"random_init": 1}, ["random_init", "1", "True or False"]),
        ("BoxPushing-10", {"distance": "far"}, ["distance", "'far'", "'manhattan', 'euclidean'"]),
    ],
)
def test_errors_of_make_are_one_helpful_line(env_id, options, words):
    text = message(envs.make, env_id, **options)
    assert all(word in text for word in words), text


def test_the_longest_horizon_and_the_largest_reward_are_accepted():
    assert envs.make("CaptureTarget-2", horizon=2_000_000_000).horizon == 2_000_000_000
    assert envs.make("BoxPushing-4", penalty=-3e38, step_reward=-(10**38)).penalty == -3e38


@pytest.mark.parametrize("env_id", ["Overcooked-A", "BoxPushing-4", "CaptureTarget-2-primitive"])
def test_no_preset_is_the_same_as_none_given(env_id):
    assert envs.make(env_id, preset=None).options == envs.make(env_id).options
    assert "preset" in message(envs.make, env_id, preset="fast")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1e39, 10**400, "low"])
def test_constructors_check_rewards_too(value):
    for name in ("big_box_reward", "small_box_reward", "penalty", "step_reward"):
        assert f"{name} is " in message(envs.BoxPushing, 10, **{name: value})
    assert "late_penalty is " in message(envs.Warehouse, envs.LAYOUTS["D"], late_penalty=value)
    assert envs.BoxPushing(10, penalty=np.float32(-1)).penalty == -1


def test_env_options_are_typed():
    options = envs.env_options("BoxPushing-10-primitive")
    assert options["horizon"] == (int, 100) and options["big_box_reward"] == (float, 100.0)
    assert options["sticky_joint"] == (bool, True) and options["preset"][1] is None
    value = envs.make("BoxPushing-10", big_box_reward=np.int64(7)).options["big_box_reward"]
    assert value == 7 and type(value) is float  # config.json holds it


def test_options_without_a_type_have_that_of_their_default():
    envs.register_environment("Walk-7", functools.partial(Walk, 7))
    options = envs.env_options("Walk-7")
    assert options["step"] == (float, 1.5) and options["horizon"] == (int, 12)
    assert "step is 'far', but must be a finite number" in message(envs.make, "Walk-7", step="far")
    assert envs.make("Walk-7", label=3).options["label"] == 3  # a default of None says nothing
