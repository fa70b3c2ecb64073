"""The state of an episode: robots and box rows."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Int, Int32

from jaxmac.envs.box_pushing.layout import DOWN, LEFT, RIGHT, UP

Rows = list[Int[Array, ""]]  # rows of small box 0, small box 1 and the big box


class Robots(struct.PyTreeNode):
    """The robots, each field `[agents]`, or `[]` for one of them (see `split`)."""

    x: Int32[Array, "..."]  # column
    y: Int32[Array, "..."]  # row; never clipped (quirk Q2)
    heading: Int32[Array, "..."]  # up, right, down, left
    waypoint: Int32[Array, "..."]  # where its last go-to ended, -1 before the first (quirk Q1: never cleared)
    joint: Bool[Array, "..."]  # takes part in a joint push

    def ahead(self) -> tuple[Int[Array, "*robots"], Int[Array, "*robots"]]:
        """The cell in front (column, row)."""
        dx = (self.heading == RIGHT).astype(jnp.int32) - (self.heading == LEFT).astype(jnp.int32)
        dy = (self.heading == UP).astype(jnp.int32) - (self.heading == DOWN).astype(jnp.int32)
        return self.x + dx, self.y + dy

    def forward(self, where: Bool[Array, "*robots"]) -> Robots:
        """The robots after one step forward where `where` is True, whatever is in that cell."""
        x, y = self.ahead()
        return self.replace(x=jnp.where(where, x, self.x), y=jnp.where(where, y, self.y))

    def back(self, where: Bool[Array, "*robots"]) -> Robots:
        """The robots after one step against their heading where `where` is True, whatever is in that cell."""
        x, y = self.ahead()
        return self.replace(x=jnp.where(where, 2 * self.x - x, self.x), y=jnp.where(where, 2 * self.y - y, self.y))

    def split(self) -> list[Robots]:
        """The robots one by one, fields `[]`."""
        return [jax.tree.map(lambda field, i=i: field[i], self) for i in range(self.x.shape[0])]

    @staticmethod
    def merge(robots: list[Robots]) -> Robots:
        """The inverse of `split`."""
        merged: Robots = jax.tree.map(lambda *fields: jnp.stack(fields), *robots)
        return merged


class Physics(struct.PyTreeNode):
    """All that changes; the columns of the boxes are fixed."""

    robots: Robots
    rows: Int32[Array, "... 3"]  # rows of small box 0, small box 1 and the big box
