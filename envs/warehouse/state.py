"""The state of an episode: mobile robots, manipulator, humans (docs/specifications/warehouse.md, section 3)."""

from __future__ import annotations

from flax import struct
from jaxtyping import Array, Bool, Float32, Int32


class Mobiles(struct.PyTreeNode):
    """The mobile robots."""

    x: Float32[Array, "... robots"]  # metres
    y: Float32[Array, "... robots"]
    place: Int32[Array, "... robots"]  # waypoint (index of the macro-action that goes there), -1 while driving
    timer: Int32[Array, "... robots"]  # 1 while driving, else minus the steps that it has waited at the table
    basket: Int32[Array, "... robots tools"]  # tools of each kind


class Manipulator(struct.PyTreeNode):
    """The manipulator and the tools around it."""

    macro: Int32[Array, "..."]  # macro-action it runs or ran last, -1 before the first
    left: Int32[Array, "..."]  # steps until that ends, 0 when done
    failed: Bool[Array, "..."]  # the running pass started without its robot at the table
    staged: Int32[Array, "... 2"]  # tools in the staging area, first in, first out; -1 is empty
    found: Int32[Array, "... tools"]  # tools ever taken from the store


class Humans(struct.PyTreeNode):
    """The humans."""

    phase: Int32[Array, "... humans"]  # 0 to L-1
    left: Int32[Array, "... humans"]  # steps left of the phase, below 0 while waiting too long
    got: Bool[Array, "... humans"]  # has the tool for the next phase; stays True in the last phase
    finished: Bool[Array, "... humans"]  # all phases done
    served: Bool[Array, "... humans"]  # has had the tool for the last phase


class Physics(struct.PyTreeNode):
    """All that changes."""

    mobiles: Mobiles
    manipulator: Manipulator
    humans: Humans
