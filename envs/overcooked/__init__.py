"""Macro-action Overcooked: agents with a limited view make a salad together."""

from jaxmac.envs.overcooked.environment import Overcooked
from jaxmac.envs.overcooked.primitive import PrimitiveOvercooked
from jaxmac.envs.overcooked.state import Physics

__all__ = ["Overcooked", "Physics", "PrimitiveOvercooked"]
