"""Macro-action Overcooked: agents with a limited view make a salad together. Ids: `Overcooked-{A,B,C}`."""

from functools import partial

from jaxmac.envs.overcooked.environment import Overcooked
from jaxmac.envs.overcooked.layout import MAP_TYPES
from jaxmac.envs.overcooked.primitive import PrimitiveOvercooked
from jaxmac.envs.overcooked.state import Physics
from jaxmac.envs.registry import register_environment

__all__ = ["Overcooked", "Physics", "PrimitiveOvercooked"]

for map_type in MAP_TYPES:
    register_environment(f"Overcooked-{map_type}", partial(Overcooked, map_type))
