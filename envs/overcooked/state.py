"""The state of an episode."""

from __future__ import annotations

from flax import struct
from jaxtyping import Array, Int32

from jaxmac.envs.overcooked.belief import Belief
from jaxmac.envs.overcooked.kitchen import Kitchen


class Physics(struct.PyTreeNode):
    """The kitchen as it is, as the agents believe it to be, and how far their chopping is."""

    kitchen: Kitchen
    belief: Belief
    chop_count: Int32[Array, "... agents"]  # steps for which each agent has been chopping
