"""The state of an episode: robots and box rows."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array

from jaxmac.envs.box_pushing.layout import DOWN, LEFT, RIGHT, UP

Rows = list[Array]  # rows of small box 0, small box 1 and the big box, i32 [] each


class Robots(struct.PyTreeNode):
    """The robots, each field `[N]`, or `[]` for one of them (see `split`)."""

    x: Array  # i32: column
    y: Array  # i32: row; never clipped (quirk Q2)
    heading: Array  # i32: up, right, down, left
    waypoint: Array  # i32: where its last go-to macro-action ended, -1 before the first (quirk Q1: never cleared)
    joint: Array  # bool: takes part in a joint push

    def ahead(self) -> tuple[Array, Array]:
        """The cell in front (column, row)."""
        dx = (self.heading == RIGHT).astype(jnp.int32) - (self.heading == LEFT).astype(jnp.int32)
        dy = (self.heading == UP).astype(jnp.int32) - (self.heading == DOWN).astype(jnp.int32)
        return self.x + dx, self.y + dy

    def forward(self, where: Array) -> Robots:
        """The robots after one step forward where `where` is True, whatever is in that cell."""
        x, y = self.ahead()
        return self.replace(x=jnp.where(where, x, self.x), y=jnp.where(where, y, self.y))

    def back(self, where: Array) -> Robots:
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
    rows: Array  # i32 [3]: rows of small box 0, small box 1 and the big box
