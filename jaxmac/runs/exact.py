"""What config.json can hold exactly: values that come back from it as they were."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from jaxmac.envs.arguments import python_value
from jaxmac.envs.shapes import one_line

DEEPEST = 32  # levels of lists and dicts
ALLOWED = "None, True, False, finite numbers, text, and lists or dicts of these"


def json_value(name: str, value: Any) -> Any:
    """`value` as JSON holds it: scalars of NumPy and JAX as numbers of Python, tuples as lists.

    Raises ValueError, in one line that begins with `name`, for anything that would come back from JSON as something
    else, such as an array, a NaN, or a dict whose keys are not text.
    """
    return _exact(name, python_value(value), DEEPEST)


def _exact(name: str, value: Any, levels: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(name, value)
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    if levels and isinstance(value, list | tuple):
        return [_exact(f"{name}[{i}]", one, levels - 1) for i, one in enumerate(value)]
    if levels and isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {_text(name, key): _exact(f"{name}.{key}", one, levels - 1) for key, one in value.items()}
    hint = f"; as a list: {name}.tolist()" if hasattr(value, "tolist") else ""
    raise ValueError(f"{name} is {_short(value)}, which config.json cannot hold; it holds {ALLOWED}{hint}")


def _text(name: str, value: str) -> str:
    """A plain text (not one of a subclass); ValueError for half of a surrogate pair, which no file can hold."""
    text = str.__str__(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name} is {text!r}, which is not text that UTF-8 can hold") from None
    return text


def _short(value: Any) -> str:
    """`repr` of a value as one line of at most 60 characters."""
    try:
        text = one_line(value)
    except (RecursionError, ValueError):  # a list inside itself, an integer of thousands of digits
        text = f"a {type(value).__name__}"
    return text if len(text) <= 60 else text[:57] + "..."


def json_description(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of an environment for config.json, which describes it by them.

    What JSON holds exactly stays as it is; of everything else the name of its type stands there.
    """
    found: dict[str, Any] = {}
    for name, value in options.items():
        try:
            found[str(name)] = json_value(str(name), value)
        except ValueError:
            found[str(name)] = f"a {type(value).__name__}"
    return found


def json_text(content: Mapping[str, Any], indent: int | None = 2) -> str:
    """`content` as JSON; ValueError, in one line, for anything that JSON cannot hold exactly."""
    return json.dumps({name: json_value(name, value) for name, value in content.items()}, indent=indent)
