"""Words about shapes, for error messages."""

from __future__ import annotations

from typing import Any

import jax


def described(tree: Any) -> str:
    """Shape and dtype in a few words, such as "float32[2, 4]"; of every leaf if there are several."""
    if isinstance(tree, jax.ShapeDtypeStruct):
        return f"{tree.dtype}{list(tree.shape)}"
    return str(jax.tree.map(described, tree)).replace("'", "")


def first_line(error: Exception) -> str:
    """Kind and first line of an error, such as "TypeError: unsupported operand"."""
    return f"{type(error).__name__}: {(str(error).strip() or 'no message').splitlines()[0]}"
