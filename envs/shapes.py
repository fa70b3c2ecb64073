"""Words for error messages: shapes, values and errors, each in one line."""

from __future__ import annotations

from typing import Any

import jax


def described(tree: Any) -> str:
    """Shape and dtype in a few words, such as "float32[2, 4]"; of every leaf if there are several."""
    if isinstance(tree, jax.ShapeDtypeStruct):
        return f"{tree.dtype}{list(tree.shape)}"
    return str(jax.tree.map(described, tree)).replace("'", "")


def one_line(value: Any) -> str:
    """`repr` of a value, without the line breaks of an array."""
    return " ".join(repr(value).split())


def kind_and_line(error: BaseException) -> str:
    """Kind and first line of an error, such as "TypeError: unsupported operand"; at most 200 characters of it."""
    line = (str(error).strip() or "no message").splitlines()[0]
    return f"{type(error).__name__}: {line if len(line) <= 200 else line[:197] + '...'}"
