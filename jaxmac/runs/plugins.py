"""The plugins that a run needs: the modules outside the library that register its parts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from jaxmac.algorithms.registry import plugins_of
from jaxmac.envs.registry import module_of
from jaxmac.registry import is_outside, missing_plugins
from jaxmac.runs.directory import RunDirectoryError
from jaxmac.runs.sinks import SINKS


def plugins_of_run(algorithm: str, configs: Sequence[Any], env_id: str | None, sinks: Sequence[str]) -> list[str]:
    """The modules to import before a run can be opened again, in the order of its parts."""
    modules = [module for config in configs for module in plugins_of(algorithm, config)]
    modules += [module_of(env_id)] if env_id is not None else []
    modules += [SINKS.origin(name) for name in sinks]
    return [module for module in dict.fromkeys(modules) if is_outside(module)]


def refuse_missing_plugins(path: str | os.PathLike, config: dict[str, Any]) -> None:
    """Raise RunDirectoryError, in one line, unless the plugins of a run are imported; it imports none itself."""
    missing = missing_plugins(config.get("plugins", []))
    if missing:
        flags = " ".join(f"--plugin {module}" for module in missing)
        modules = ", ".join(missing)
        raise RunDirectoryError(
            f"{path} needs parts of {modules}: add {flags}, or in Python import {modules} before opening it"
        )
