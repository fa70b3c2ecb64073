"""The plugins that a run needs: the modules outside the library that register its parts."""

from __future__ import annotations

import hashlib
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxmac.algorithms.registry import config_class_of, plugins_of
from jaxmac.envs.registry import factory_of, module_of
from jaxmac.errors import RunNote
from jaxmac.registry import is_outside, missing_plugins
from jaxmac.runs.directory import RunDirectoryError
from jaxmac.runs.sinks import SINKS

SCRIPT = "__main__"  # what Python calls the module of a script or notebook
DIGITS = 12  # of the digest of a plugin's file


def versions_of(plugins: Sequence[str]) -> dict[str, str]:
    """Digests of the files of imported plugins, as further entries of a run's versions."""
    files = {name: getattr(sys.modules.get(name), "__file__", None) for name in plugins}
    found = {name: Path(file) for name, file in files.items() if file is not None and Path(file).is_file()}
    return {
        f"plugin {name}": hashlib.sha256(file.read_bytes()).hexdigest()[:DIGITS] for name, file in found.items()
    }


def note_changed_plugins(path: str | os.PathLike, config: dict[str, Any]) -> None:
    """Warn with a `RunNote` for each plugin whose file is another one than when the run in `path` began."""
    for name, now in versions_of(config["plugins"]).items():
        if config["versions"].get(name, now) != now:
            note = f"{path}: the file of {name} has changed since the run began: its policies may act differently"
            warnings.warn(note, RunNote, stacklevel=4)


def plugins_of_run(algorithm: str, configs: Sequence[Any], env_id: str | None, sinks: Sequence[str]) -> list[str]:
    """The modules to import before a run can be opened again, in the order of its parts."""
    modules = [module for config in configs for module in plugins_of(algorithm, config)]
    modules += [module_of(env_id)] if env_id is not None else []
    modules += [SINKS.origin(name) for name in sinks]
    return [module for module in dict.fromkeys(modules) if is_outside(module)]


def refuse_missing_plugins(path: str | os.PathLike, config: dict[str, Any], sinks: bool = False) -> None:
    """Raise RunDirectoryError, in one line, unless the plugins of a run are imported; it imports none itself.

    Sinks that a script registered are needed with `sinks` only: by a run that goes on.
    """
    plugins = config.get("plugins", [])
    missing = missing_plugins(plugins)
    if missing:
        flags = " ".join(f"--plugin {module}" for module in missing)
        modules = ", ".join(missing)
        raise RunDirectoryError(
            f"{path} needs parts of {modules}: add {flags}, or in Python import {modules} before opening it"
        )
    logs = config.get("log", ()) if sinks else ()
    if SCRIPT in plugins and not (_is_registered(config) and all(name in SINKS for name in logs)):
        raise RunDirectoryError(
            f"{path} needs parts that a script or notebook registered: put them into a module that --plugin names, "
            "or run the script before opening it in the same process"
        )


def _is_registered(config: dict[str, Any]) -> bool:
    """Whether the parts that a run names are registered in this process, but for sinks, which nothing reads."""
    try:
        if config.get("env_rebuildable"):
            factory_of(config["env"])
        swept = [{name: value} for name, values in config["sweep"].items() for value in values]
        for values in swept or [{}]:
            config_class_of(config["algorithm"], config["settings"] | values)
    except ValueError:
        return False
    return True
