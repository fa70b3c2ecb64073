"""Warehouse Tool Delivery: robots bring humans the tools they need. Ids: `Warehouse-{S,D,D1,T,T1,Q}`."""

from functools import partial

from jaxmac.envs.registry import register_environment
from jaxmac.envs.warehouse.environment import Warehouse
from jaxmac.envs.warehouse.layout import Layout
from jaxmac.envs.warehouse.primitive import PrimitiveWarehouse
from jaxmac.envs.warehouse.variants import LAYOUTS, PRESETS

__all__ = ["LAYOUTS", "Layout", "PrimitiveWarehouse", "Warehouse"]

for variant in LAYOUTS:
    register_environment(f"Warehouse-{variant}", partial(Warehouse, LAYOUTS[variant]), presets=PRESETS[variant])
