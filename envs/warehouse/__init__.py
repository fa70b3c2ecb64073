"""Warehouse Tool Delivery: robots bring humans the tools they need."""

from jaxmac.envs.warehouse.environment import Warehouse
from jaxmac.envs.warehouse.layout import Layout
from jaxmac.envs.warehouse.primitive import PrimitiveWarehouse
from jaxmac.envs.warehouse.variants import LAYOUTS

__all__ = ["LAYOUTS", "Layout", "PrimitiveWarehouse", "Warehouse"]
