"""jaxmac: asynchronous multi-agent reinforcement learning with macro-actions, in JAX."""

from envs import list_ids as list_environments
from envs import make
from jaxmac.algorithms import list_algorithms
from jaxmac.result import Result, evaluate, load
from jaxmac.run import train, use_cpu_devices

__version__ = "0.1.0"

__all__ = [
    "Result",
    "evaluate",
    "list_algorithms",
    "list_environments",
    "load",
    "make",
    "train",
    "use_cpu_devices",
]
