"""Warehouse Tool Delivery: the environment, its primitive version, and warehouses as data."""

from envs.warehouse.environment import Warehouse
from envs.warehouse.layout import LAYOUTS, Layout
from envs.warehouse.primitive import PrimitiveWarehouse

__all__ = ["LAYOUTS", "Layout", "PrimitiveWarehouse", "Warehouse"]
