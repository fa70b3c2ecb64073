"""The state of an episode: cells on the torus, and what each agent sees and remembers of the target."""

from __future__ import annotations

from flax import struct
from jaxtyping import Array, Bool, Int32


class Cells(struct.PyTreeNode):
    """Cells of the torus: column and row, `[agents]`, or `[]` for one cell."""

    x: Int32[Array, "..."]
    y: Int32[Array, "..."]

    def same(self, other: Cells) -> Bool[Array, "..."]:
        """Whether two cells are the same."""
        return (self.x == other.x) & (self.y == other.y)


class Physics(struct.PyTreeNode):
    """Where everybody is, and what the low-level controllers know."""

    agents: Cells  # [agents]
    target: Cells  # []
    visible: Bool[Array, "... agents"]  # the agent sees the target now
    last_seen: (
        Cells  # [agents]: where a move to the target last saw it, (-1, -1) before (unused by primitive actions)
    )
