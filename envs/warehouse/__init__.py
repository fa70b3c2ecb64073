"""Warehouse Tool Delivery: the environment, its primitive version, and warehouses as data."""

from jaxmac.envs.warehouse.environment import Warehouse
from jaxmac.envs.warehouse.layout import LAYOUTS, Layout
from jaxmac.envs.warehouse.primitive import PrimitiveWarehouse

__all__ = ["LAYOUTS", "Layout", "PrimitiveWarehouse", "Warehouse"]
