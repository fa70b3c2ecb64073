"""Recurrent layers in policy.json: those that the exported runner implements, and registered ones from outside.

A layer from outside is named with its module and settings. `policy.jax_export` runs it anywhere; a folder with one
has no `run_policy.py`, and `load_policy` needs the module that registers it.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from jaxmac.arguments import is_integer
from jaxmac.config import checked_value, settings_of
from jaxmac.errors import RunNote, nearest
from jaxmac.networks.memory import GRU, MEMORIES, MinGRU
from jaxmac.runs.plugins import SCRIPT, versions_of

FROM_OUTSIDE = "registered"  # the kind of a layer that the runner does not implement
LARGEST_SIZE = 2**31 - 1
GRU_CONVENTION = (
    "columns of both weights: reset, update, new; r = sigmoid(i_r + h_r), z = sigmoid(i_z + h_z), "
    "n = tanh(i_n + r h_n), hidden = (1 - z) n + z hidden, "
    "with i = x weight_ih + bias_ih and h = hidden weight_hh + bias_hh"
)
MINGRU_CONVENTION = (
    "columns of the weight: update, new; z = sigmoid(x_z), n = tanh(x_n), hidden = (1 - z) hidden + z n, "
    "with x_z and x_n the columns of x weight + bias"
)
RECURRENT: dict[Any, dict[str, Any]] = {
    GRU: {"kind": "gru", "convention": GRU_CONVENTION},
    MinGRU: {"kind": "mingru", "convention": MINGRU_CONVENTION},
}


def described_memory(memory: Any, size: int) -> dict[str, Any]:
    """The recurrent layer as it stands in policy.json.

    `memory` is a module class, or its `partial` with settings, `size` the width of its output.

    Raises ValueError, in one line, for a layer that the runner does not implement and that has no name.
    """
    module, settings = (memory.func, memory.keywords) if isinstance(memory, partial) else (memory, {})
    if module in RECURRENT:
        return RECURRENT[module]
    name = next((name for name, part in MEMORIES.registered().items() if part is module), None)
    if name is None:
        raise ValueError(
            f"memory {module.__name__} cannot be exported: it has no name; jaxmac.register_memory gives it one"
        )
    origin = MEMORIES.origin(name)
    return {
        "kind": FROM_OUTSIDE,
        "memory": name,
        "module": origin,
        "versions": versions_of([origin]),
        "size": size,
        "settings": dict(settings),
        "convention": "a layer of that module: policy.jax_export runs it",
    }


def recurrent_layer(layers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The recurrent layer among those of policy.json; ValueError or LookupError if it is damaged or missing."""
    kinds = [layer["kind"] for layer in RECURRENT.values()]
    found = [layer for layer in layers if layer["kind"] in (*kinds, FROM_OUTSIDE)]
    if len(found) != 1:
        raise ValueError("it has no recurrent layer, several, or one of an unknown kind")
    layer = found[0]
    if layer["kind"] == FROM_OUTSIDE:
        module, size = layer["module"], layer["size"]
        named = isinstance(module, str) and all(part.isidentifier() for part in module.split("."))
        if not named or not isinstance(layer["memory"], str):
            raise ValueError(f"memory {layer['memory']!r} of the module {module!r}")
        if not is_integer(size) or not 0 < size <= LARGEST_SIZE:
            raise ValueError(f"size {size!r} of a memory")
        if not isinstance(layer["settings"], dict) or not isinstance(layer["versions"], dict):
            raise ValueError(f"settings {layer['settings']!r}, versions {layer['versions']!r} of a memory")
    return layer


def check_registered(path: str | os.PathLike, layer: dict[str, Any]) -> None:
    """Raise ValueError, in one line, for a recurrent layer from outside that has not been registered."""
    if layer["kind"] != FROM_OUTSIDE or layer["memory"] in MEMORIES:
        return
    name, module = layer["memory"], layer["module"]
    remedy = f"import {module}, or name it with --plugin {module}"
    if module == SCRIPT:
        remedy = "a script or notebook registered it, which has to do so again in this process"
    raise ValueError(f"{path}: its memory {name!r} is not registered: {remedy}")


def note_other_memory(path: str | os.PathLike, layer: dict[str, Any]) -> None:
    """Warn with a `RunNote` if a recurrent layer from outside is not the one that the policy was exported with."""
    if layer["kind"] != FROM_OUTSIDE:
        return
    name, module = layer["memory"], layer["module"]
    here = MEMORIES.origin(name)
    changed = f"the file of {module} has changed" if versions_of([module]) != layer["versions"] else ""
    if other := f"memory {name!r} is that of {here}, not of {module}" if here != module else changed:
        warnings.warn(f"{path}: {other}: the policy may act differently than when it was exported", RunNote, 4)


def memory_from(layer: dict[str, Any]) -> Callable[..., Any]:
    """A recurrent layer of policy.json as a function of its size.

    Raises ValueError, in one line, for settings that the layer does not have.
    """
    if layer["kind"] != FROM_OUTSIDE:
        return next(module for module, known in RECURRENT.items() if known["kind"] == layer["kind"])
    module = MEMORIES[layer["memory"]]
    fields = settings_of(module)
    for name in layer["settings"]:
        if name not in fields:
            raise ValueError(f"memory {layer['memory']!r} has no setting {name!r}; {nearest(name, fields)}")
    settings = {name: checked_value(name, fields[name], value) for name, value in layer["settings"].items()}
    return partial(module, **settings) if settings else module
