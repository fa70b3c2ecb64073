"""Registries: names, origins, installed plugins."""

import sys
import types

import pytest
from support.probes import Additive
from support.registries import registered_only_here

import jaxmac
from jaxmac import registry
from jaxmac.algorithms.base import CommonConfig
from jaxmac.algorithms.registry import ALGORITHMS
from jaxmac.mixers import MIXERS, QMIX
from jaxmac.registry import Registry, UnknownNameError, missing_plugins


class EntryPoint:
    """An installed package's entry point that imports `module`."""

    def __init__(self, module, load):
        self.module, self.load = module, load


@pytest.fixture
def installed(monkeypatch):
    """Makes a package look installed: its module, and what importing it does."""

    def install(load, module="my_package.parts"):
        found = [EntryPoint(module, load)]
        monkeypatch.setattr(
            "importlib.metadata.entry_points", lambda group: found if group == "jaxmac.plugins" else []
        )
        monkeypatch.setattr(registry, "_entry_points_loaded", False)
        monkeypatch.setattr(registry, "_entry_points_error", "")

    with registered_only_here():
        yield install


def test_an_installed_package_is_found_by_its_entry_point(installed):
    imported = []

    def load():
        imported.append(True)
        sys.modules["my_package.parts"] = types.ModuleType("my_package.parts")
        jaxmac.register_mixer("installed", QMIX)

    installed(load)
    assert "avf-installed" in jaxmac.list_algorithms() and "installed" in MIXERS
    assert MIXERS.origin("installed") == "jaxmac.mixers.qmix"  # the class is the library's own
    assert missing_plugins(["my_package.parts", "not_there"]) == ["not_there"]
    assert imported == [True]  # once


def test_an_unknown_name_asks_the_installed_packages_first(installed):
    found = Registry("thing")
    installed(lambda: found.register("late", 3))
    assert found["late"] == 3 and found.origin("late") == "my_package.parts"
    with pytest.raises(UnknownNameError, match="unknown thing 'lat'; did you mean late"):
        found["lat"]


def test_an_environment_of_an_installed_package_is_found(installed):
    def load():
        jaxmac.register_environment("Installed-1", Additive)

    installed(load)
    with pytest.raises(ValueError, match=r"unknown environment 'Installed-2'.*did you mean Installed-1"):
        jaxmac.make("Installed-2")


def test_an_installed_package_that_fails_is_one_line(installed):
    def load():
        raise ImportError("first line\nsecond line")

    installed(load)
    message = "plugin 'my_package.parts' cannot be imported: it raised ImportError: first line"
    for _ in range(2):  # not a list without its parts the second time
        with pytest.raises(ValueError, match=message) as error:
            jaxmac.list_algorithms()
        assert "\n" not in str(error.value)


def test_the_library_does_not_ask_for_plugins_while_it_registers_its_own_parts(installed):
    installed(lambda: pytest.fail("a plugin was imported"))
    part = jaxmac.AlgorithmSpec(CommonConfig, lambda env, config: None, {"tuned": lambda env: {}})
    jaxmac.register_algorithm("own-part", part)
    assert "own-part" in ALGORITHMS.registered()


@pytest.mark.parametrize("name", ["", "two words", "a=b", "a,b", "a/b", 3, None])
def test_names_are_words(name):
    with pytest.raises(ValueError, match=r"a name is a word without spaces, commas, '=' and '/'"):
        Registry("thing").register(name, object())


def test_a_name_is_taken_once():
    things = Registry("thing")
    things.register("one", 1)
    with pytest.raises(ValueError, match="thing 'one' is registered already, by builtins: choose another name"):
        things.register("one", 2)
    things.unregister("one")
    things.register("one", 2)
    assert things["one"] == 2 and list(things) == ["one"] and len(things) == 1
    assert things.get("two") is None
