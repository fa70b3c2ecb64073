"""Networks: layers, recurrent memories, agents' utilities, critics, attention, masks of macro-actions."""

from jaxmac.networks.memory import GRU, MEMORIES, register_memory

__all__ = ["GRU", "MEMORIES", "register_memory"]
