"""How presets find the row of an environment in the papers' and programs' tables."""

from __future__ import annotations

from collections.abc import Iterable

from jaxmac.envs.environment import Environment
from jaxmac.envs.registry import PRIMITIVE

USUAL_SIZE = 10  # of a grid, where an environment does not say


def family_and_variant(env: Environment) -> tuple[str, str]:
    """`Warehouse-D` and `Warehouse-D-primitive` are ("Warehouse", "D"); an unknown name is a family of its own."""
    family, _, variant = env.name.removesuffix(PRIMITIVE).partition("-")
    return family, variant


def nearest_grid(sizes: Iterable[int], env: Environment) -> int:
    """The one of these grid sizes that is nearest to the environment's."""
    own = getattr(env, "size", USUAL_SIZE)
    return min(sizes, key=lambda size: abs(size - own))
