"""Recurrent layers in policy.json: those that the exported runner implements, and registered ones from outside.

A layer from outside is named with its module and settings. `policy.jax_export` runs it anywhere; a folder with one
has no `run_policy.py`, and `load_policy` needs the module that registers it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn

from jaxmac.config import checked_value, settings_of
from jaxmac.networks.memory import GRU, MEMORIES, MinGRU

FROM_OUTSIDE = "registered"  # the kind of a layer that the runner does not implement
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
    module = getattr(memory, "func", memory)
    if module in RECURRENT:
        return RECURRENT[module]
    name = next((name for name, part in MEMORIES.registered().items() if part is module), None)
    if name is None:
        raise ValueError(
            f"memory {module.__name__} cannot be exported: it has no name; jaxmac.register_memory gives it one"
        )
    return {
        "kind": FROM_OUTSIDE,
        "memory": name,
        "module": MEMORIES.origin(name),
        "size": size,
        "settings": dict(getattr(memory, "keywords", {})),
        "convention": "a layer of that module: policy.jax_export runs it",
    }


def check_registered(layers: list[dict[str, Any]]) -> None:
    """Raise ValueError, in one line, for a recurrent layer from outside whose module has not been imported."""
    for layer in layers:
        if layer["kind"] == FROM_OUTSIDE and layer["memory"] not in MEMORIES:
            raise ValueError(
                f"its memory {layer['memory']!r} is not registered: import {layer['module']}, or name it with "
                f"--plugin {layer['module']}"
            )


def memory_of_layers(layers: list[dict[str, Any]]) -> Callable[..., nn.Module]:
    """The recurrent layer among the layers of policy.json; raises ValueError or LookupError if there is none."""
    known = {layer["kind"]: module for module, layer in RECURRENT.items()}
    layer = next(layer for layer in layers if layer["kind"] in (*known, FROM_OUTSIDE))
    if layer["kind"] in known:
        return known[layer["kind"]]
    module, fields = MEMORIES[layer["memory"]], settings_of(MEMORIES[layer["memory"]])
    settings = {name: checked_value(name, fields[name], value) for name, value in layer["settings"].items()}
    return partial(module, **settings) if settings else module
