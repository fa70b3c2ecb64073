"""Macro-action Overcooked: agents with a limited view make a salad together."""

from jaxmac.envs.overcooked.environment import Overcooked, Physics, PrimitiveOvercooked

__all__ = ["Overcooked", "Physics", "PrimitiveOvercooked"]
