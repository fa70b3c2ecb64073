"""The registry of environments by id: `register_environment`, `list_ids`, `env_options`, `make`."""

from __future__ import annotations

import difflib
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Literal, NamedTuple

from jaxmac.envs.arguments import (
    Factory,
    check_factory,
    check_option,
    factory_options,
    plain,
    python_value,
    underlying,
)
from jaxmac.envs.environment import Environment
from jaxmac.envs.shapes import kind_and_line, one_line

Presets = Mapping[str, Mapping[str, Any]]
PRIMITIVE = "-primitive"
TYPE_CHECKERS = ("jaxtyping.", "beartype.")


class EnvironmentSpec(NamedTuple):
    """How to build the environment of one id."""

    factory: Factory
    presets: Presets
    listed: bool
    module: str  # the module that registered it: importing that module makes the id known


_TABLE: dict[str, EnvironmentSpec] = {}
_SIZES: dict[str, str] = {}  # family -> what the number in its ids may be

# Called before an id is reported as unknown and before ids are listed; they import modules that register more.
LOADERS: list[Callable[[], None]] = []


def register_environment(
    env_id: str, factory: Factory, *, presets: Presets | None = None, listed: bool = True
) -> None:
    """Add an environment, so that `make(env_id)` and everything that takes an id finds it.

    `factory` is a subclass of Environment or a function that returns one. It is called with options only (bind
    other arguments with `functools.partial`): its keyword-only arguments are the options of the id, each with a
    default and preferably with a type. Two attributes of the factory (of the class itself, not of its base
    classes) say more:

    * `primitive_version`: the factory of the same environment with actions of one step. It is registered as
      `ENV_ID-primitive`, with the same arguments bound;
    * `presets`: named sets of options, `{"name": {"option": value}}`. The argument `presets` replaces it, for both
      versions.

    With `listed` False `make` knows the id but `jaxmac.list_environments` does not show it. Raises ValueError, in
    one line, for an id that is taken or not a word, and for a factory of the wrong kind.
    """
    if not isinstance(env_id, str) or not re.fullmatch(r"\w[\w.+-]*", env_id):
        allowed = "a word of letters, digits, '_', '-', '.' and '+', which begins with a letter, a digit or '_'"
        raise ValueError(f"environment id {env_id!r} must be {allowed}")
    factories = {env_id: factory}
    if primitive := _primitive_version(factory):
        factories[env_id + PRIMITIVE] = primitive
    module = _calling_module()
    specs = {}
    for name, build in factories.items():
        if name in _TABLE:
            taken = _TABLE[name].module
            again = ", or call jaxmac.envs.registry.unregister first" if taken == module else ""
            raise ValueError(
                f"environment id {name!r} is taken: {taken} has registered it, choose another one{again}"
            )
        chosen = _own(build, "presets", {}) if presets is None else presets
        check_factory(name, build, chosen)
        specs[name] = EnvironmentSpec(build, chosen, listed, module)
    _TABLE.update(specs)


register = register_environment


def _calling_module() -> str:
    """The module that has called a function of this one; wrappers of run-time type checkers do not count."""
    frame = sys._getframe(1)
    while (name := frame.f_globals.get("__name__", "__main__")) == __name__ or name.startswith(TYPE_CHECKERS):
        if frame.f_back is None:
            break
        frame = frame.f_back
    return str(name)


def _own(factory: Any, attribute: str, default: Any) -> Any:
    """An attribute of the factory, or of what is below its `functools.partial`, that is not inherited."""
    return getattr(underlying(factory), "__dict__", {}).get(attribute, default)


def _primitive_version(factory: Any) -> Factory | None:
    """The factory that `primitive_version` names, with the arguments that `functools.partial` has bound."""
    version = _own(factory, "primitive_version", None)
    if version is None or not isinstance(factory, partial):
        return version
    return partial(version, *factory.args, **factory.keywords)


def unregister(env_id: str) -> None:
    """Remove an id, and its primitive version, for notebooks and tests that register one again.

    An environment that was registered on its own under the name of a primitive version stays.
    """
    primitive = _primitive_version(_find(env_id).factory)
    del _TABLE[env_id]
    if primitive is not None:
        _TABLE.pop(env_id + PRIMITIVE, None)


def describe_sizes(family: str, allowed: str) -> None:
    """Say what the number in the ids `FAMILY-NUMBER` may be, for the error about one that is not registered."""
    _SIZES[family] = allowed


def list_ids() -> tuple[str, ...]:
    """The ids that `make` knows, except those of further sizes between the ones that are shown."""
    _run_loaders()
    return tuple(env_id for env_id, spec in _TABLE.items() if spec.listed)


def module_of(env_id: str) -> str:
    """The module that registered the id; importing it makes the id known. Raises ValueError for an unknown id."""
    return _find(env_id).module


def factory_of(env_id: str) -> Factory:
    """The class or function that builds an environment. Raises ValueError for an unknown id."""
    return _find(env_id).factory


def description_of(env_id: str) -> str:
    """The docstring of the class or function that builds an environment. Raises ValueError for an unknown id."""
    return inspect.getdoc(underlying(_find(env_id).factory)) or ""


def make(env_id: str, **options: Any) -> Environment:
    """Build the environment `env_id`; options given here win over those of `preset`, and these over defaults.

    Raises ValueError, in one line, for an unknown id, option or preset, a wrong type or a value out of range.
    """
    spec, known = _find(env_id), env_options(env_id)
    # No preset is what an environment without presets has.
    unset = {"preset"} - known.keys() if options.get("preset") is None else set()
    options = {name: python_value(value) for name, value in options.items() if name not in unset}
    for name, value in options.items():
        if name not in known:
            raise ValueError(
                f"{env_id} has no option {name!r}{_nearest(name, known)}; its options are {', '.join(known)}"
            )
        check_option(name, value, known[name][0])
    preset = options.pop("preset", None)
    chosen = {**(spec.presets[preset] if preset is not None else {}), **options}
    chosen = {name: plain(value, known[name][0]) for name, value in chosen.items()}
    try:
        env = spec.factory(**chosen)
    except (ValueError, MemoryError):  # for options that do not fit, in one line
        raise
    except Exception as error:
        raise ValueError(f"the factory of {env_id} raised {kind_and_line(error)}") from error
    if not isinstance(env, Environment):
        raise ValueError(f"the factory of {env_id} returned a {type(env).__name__}, but must return an Environment")
    env.name = env_id
    env.options = {name: chosen.get(name, default) for name, (_, default) in known.items() if name != "preset"}
    return env


def env_options(env_id: str) -> dict[str, tuple[Any, Any]]:
    """Type and default of every option of an environment, from the signature of its factory."""
    spec = _find(env_id)
    options = factory_options(spec.factory)
    if spec.presets:
        options["preset"] = (Literal[tuple(spec.presets)] | None, None)
    return options


def _run_loaders() -> None:
    for load in LOADERS:
        load()


def _find(env_id: Any) -> EnvironmentSpec:
    if isinstance(env_id, str) and env_id not in _TABLE:
        _run_loaders()
    if isinstance(env_id, str) and env_id in _TABLE:
        return _TABLE[env_id]
    if not isinstance(env_id, str):
        raise ValueError(f"env is {one_line(env_id)}, but must be an id or an Environment{_remedy(env_id)}")
    sized = re.fullmatch(r"([A-Za-z]+)-(-?\d+)(-primitive)?", str(env_id))
    if sized and sized[1] in _SIZES:
        why = f"{_SIZES[sized[1]]}, not {sized[2]}"
        raise ValueError(f"unknown environment {env_id!r}: {why}; `jaxmac list --envs` shows ids")
    near = _nearest(str(env_id), list_ids())
    where = "`jaxmac list --envs` and jaxmac.list_environments() list all, those of plugins with --plugin MODULE"
    raise ValueError(f"unknown environment {env_id!r}{near}; {where}")


def _remedy(env: Any) -> str:
    """How to use what is no Environment, if it can be used."""
    libraries = {kind.__module__.partition(".")[0] for kind in type(env).__mro__}
    if isinstance(env, type) and issubclass(env, Environment):
        return f": make an instance of the class, {env.__name__}()"
    if "jaxmarl" in libraries:
        return ": jaxmac.envs.adapters.from_jaxmarl makes one of a JaxMARL environment"
    if libraries & {"gymnasium", "gym", "pettingzoo"}:
        return ": Gymnasium and PettingZoo run in Python, and only environments in JAX can be compiled"
    return ""


def _nearest(name: str, known: Iterable[str]) -> str:
    by_lower_case = {k.lower(): k for k in known}
    close = [by_lower_case[k] for k in difflib.get_close_matches(name.lower(), by_lower_case, n=3, cutoff=0.5)]
    return f" (did you mean {' or '.join(close)}?)" if close else ""
