"""Box Pushing: robots push small boxes alone and the big one together. Ids: `BoxPushing-L`, L even from 4 to 30."""

from functools import partial

from jaxmac.envs.box_pushing.environment import BoxPushing
from jaxmac.envs.box_pushing.primitive import PrimitiveBoxPushing
from jaxmac.envs.registry import describe_sizes, register_environment

__all__ = ["BoxPushing", "PrimitiveBoxPushing"]

LISTED = (4, 6, 8, 10, 12, 14, 20, 30)  # sizes of the papers; the others exist, too

describe_sizes("BoxPushing", "grid size L must be even, from 4 to 30")
for size in range(4, 31, 2):
    register_environment(f"BoxPushing-{size}", partial(BoxPushing, size), listed=size in LISTED)
