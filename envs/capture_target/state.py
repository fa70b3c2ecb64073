"""The state of an episode: cells on the torus, and what each agent sees and remembers of the target."""

from __future__ import annotations

from flax import struct
from jax import Array


class Cells(struct.PyTreeNode):
    """Cells of the torus: i32 column and row, `[N]`, or `[]` for one cell."""

    x: Array
    y: Array

    def same(self, other: Cells) -> Array:
        """Whether two cells are the same, bool."""
        return (self.x == other.x) & (self.y == other.y)


class Physics(struct.PyTreeNode):
    """Where everybody is, and what the low-level controllers know."""

    agents: Cells  # [N]
    target: Cells  # []
    visible: Array  # bool [N]: the agent sees the target now
    last_seen: Cells  # [N]: where a move to the target last saw it, (-1, -1) before (unused by primitive actions)
