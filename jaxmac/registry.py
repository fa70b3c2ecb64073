"""Registries of parts by name, and the plugins that add parts to them.

A part (environment, mixer, memory, sampler, algorithm, sink) is found by its name in the registry of its kind. A
plugin is a module outside the library that registers parts. The user imports it, names it with `--plugin MODULE`,
or installs a package that names it in the entry-point group `jaxmac.plugins`. A run records the plugins that its
parts came from.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from jaxmac.envs.registry import LOADERS
from jaxmac.envs.shapes import kind_and_line
from jaxmac.errors import nearest

ENTRY_POINTS = "jaxmac.plugins"
Part = TypeVar("Part")

_loading: list[str] = []  # modules that are being imported as plugins, the innermost last
_entry_points_loaded = False
_entry_points_error = ""  # why one of them cannot be imported


class Registry(Mapping[str, Part], Generic[Part]):
    """The parts of one kind by name, in the order of their registration."""

    def __init__(self, kind: str):
        self.kind = kind  # "mixer", "memory", ...: how error messages call a part
        self._parts: dict[str, Part] = {}
        self._origins: dict[str, str] = {}
        self.guards: list[Callable[[str, Part], None]] = []  # raise ValueError for a part that must not be added

    def register(self, name: str, part: Part, defined_in: str | None = None) -> None:
        """Add a part under a name; `defined_in` is the module that it comes from (default: where it is defined).

        Raises ValueError, in one line, for a name that is taken or contains spaces, commas, '=' or '/'.
        """
        if not isinstance(name, str) or not name or any(c.isspace() or c in ",=/" for c in name):
            raise ValueError(f"{self.kind} {name!r}: a name is a word without spaces, commas, '=' and '/'")
        if name in self._parts:
            taken = self._origins[name]
            raise ValueError(f"{self.kind} {name!r} is registered already, by {taken}: choose another name")
        for guard in self.guards:
            guard(name, part)
        self._parts[name] = part
        self._origins[name] = origin_of(part, defined_in)

    def unregister(self, name: str) -> None:
        """Remove a part, for tests and notebooks that register the same name again."""
        self[name]
        del self._parts[name], self._origins[name]

    def registered(self) -> Mapping[str, Part]:
        """The parts that are registered by now; unlike all else here it loads no plugins of installed packages."""
        return MappingProxyType(self._parts)

    def origin(self, name: str) -> str:
        """The module that a part comes from: the plugin that registered it, else the module that defines it."""
        self[name]
        return self._origins[name]

    def __getitem__(self, name: str) -> Part:
        if name not in self._parts:
            load_entry_points()
        if name not in self._parts:
            raise UnknownNameError(f"unknown {self.kind} {name!r}; {nearest(name, self._parts)}")
        return self._parts[name]

    def __iter__(self) -> Iterator[str]:
        load_entry_points()
        return iter(tuple(self._parts))

    def __len__(self) -> int:
        load_entry_points()
        return len(self._parts)

    def __contains__(self, name: object) -> bool:
        if name not in self._parts:
            load_entry_points()
        return name in self._parts


def origin_of(part: Any, defined_in: str | None = None) -> str:
    """The module to import for a part that is being registered: the plugin being imported, else its own module."""
    own = defined_in or getattr(part, "__module__", None) or type(part).__module__
    return _loading[-1] if _loading and is_outside(own) else own


class UnknownNameError(ValueError, KeyError):
    """A name that is not registered; the message is one line and gives the nearest registered names."""

    __str__ = ValueError.__str__


def load_plugins(modules: Sequence[str]) -> None:
    """Import modules that register parts; the current directory is added to the search path.

    Raises ValueError, in one line, for a module that is missing or raises an exception while it is imported.
    """
    if isinstance(modules, str) or not isinstance(modules, Sequence):
        raise ValueError(f"modules is {modules!r}, but must be a list of module names")
    if modules and str(Path.cwd()) not in sys.path and "" not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    for module in modules:
        if "/" in str(module) or str(module).endswith(".py") or str(module).startswith("."):
            parts = str(module).removesuffix(".py").replace("/", ".").split(".")
            name = ".".join(part for part in parts if part) or "NAME"
            raise ValueError(f"plugin {module!r} is a path, but must be the name of a module, such as {name}")
        _import(module, partial(importlib.import_module, module))


def load_entry_points() -> None:
    """Import the modules that installed packages name in the entry-point group `jaxmac.plugins`, once per process.

    Raises ValueError, in one line, for a module that cannot be imported, each time that it is called.
    """
    global _entry_points_loaded, _entry_points_error
    if _entry_points_error:  # importing it again would register twice what it had registered
        raise ValueError(_entry_points_error)
    if _entry_points_loaded:
        return
    _entry_points_loaded = True
    for found in importlib.metadata.entry_points(group=ENTRY_POINTS):
        try:
            _import(found.module, found.load)
        except ValueError as error:
            _entry_points_error = str(error)
            raise


def _import(module: str, load: Callable[[], Any]) -> None:
    _loading.append(module)
    try:
        load()
    except ModuleNotFoundError as error:
        missing = "there is no such module" if error.name == module else f"it needs the module {error.name}"
        if error.name != module and module.startswith(f"{error.name}."):
            missing = f"there is no module {error.name}"
        raise ValueError(f"plugin {module!r} cannot be imported: {missing}") from error
    except (Exception, SystemExit) as error:  # a script that ends itself must not end this process
        raise ValueError(f"plugin {module!r} cannot be imported: it raised {kind_and_line(error)}") from error
    finally:
        _loading.pop()


def is_outside(module: str) -> bool:
    """Whether `module` lies outside the library."""
    return module.partition(".")[0] != "jaxmac"


def missing_plugins(modules: Sequence[str]) -> list[str]:
    """Those of `modules` that are not imported yet, after loading the plugins of installed packages."""
    load_entry_points()
    return [module for module in modules if module not in sys.modules]


LOADERS.append(load_entry_points)  # installed packages may register environments, too
