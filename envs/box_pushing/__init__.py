"""Box Pushing: robots push small boxes alone and the big one together."""

from jaxmac.envs.box_pushing.environment import BoxPushing
from jaxmac.envs.box_pushing.primitive import PrimitiveBoxPushing

__all__ = ["BoxPushing", "PrimitiveBoxPushing"]
