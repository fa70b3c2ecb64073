"""The state of an episode: mobile robots, manipulator, humans (docs/specifications/warehouse.md, section 3)."""

from __future__ import annotations

from flax import struct
from jax import Array


class Mobiles(struct.PyTreeNode):
    """The mobile robots, each field `[M]`, `basket` `[M, K]`."""

    x: Array  # f32: metres
    y: Array  # f32
    place: Array  # i32: waypoint at which it stands (index of the macro-action that goes there), -1 while driving
    timer: Array  # i32: 1 while driving, else minus the number of steps that it has waited at the table
    basket: Array  # i32: tools of each kind


class Manipulator(struct.PyTreeNode):
    """The manipulator and the tools around it."""

    macro: Array  # i32 []: macro-action it runs or ran last, -1 before the first
    left: Array  # i32 []: steps until that ends, 0 when done
    failed: Array  # bool []: the running pass started without its robot at the table
    staged: Array  # i32 [2]: tools in the staging area, first in, first out; -1 is empty
    found: Array  # i32 [K]: tools ever taken from the store


class Humans(struct.PyTreeNode):
    """The humans, each field `[H]`."""

    phase: Array  # i32: 0 to L-1
    left: Array  # i32: steps left of the phase, below 0 while waiting too long
    got: Array  # bool: has the tool for the next phase; stays True in the last phase
    finished: Array  # bool: all phases done
    served: Array  # bool: has had the tool for the last phase


class Physics(struct.PyTreeNode):
    """All that changes."""

    mobiles: Mobiles
    manipulator: Manipulator
    humans: Humans
