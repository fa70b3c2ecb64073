"""Networks: layers, recurrent memories, agents' utilities, critics, attention, and the masks of their outputs."""

from jaxmac.networks.memory import GRU, MEMORIES, register_memory

__all__ = ["GRU", "MEMORIES", "register_memory"]
