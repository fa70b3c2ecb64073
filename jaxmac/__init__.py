"""jaxmac: asynchronous multi-agent reinforcement learning with macro-actions, in JAX."""

from envs import check_environment, make
from envs import list_ids as list_environments
from jaxmac.algorithms import list_algorithms
from jaxmac.animation import animate
from jaxmac.comparison import compare
from jaxmac.distributed import initialize_distributed, use_cpu_devices
from jaxmac.evaluation import evaluate, evaluate_policy
from jaxmac.export import export_policy
from jaxmac.result import Result, load
from jaxmac.resume import resume
from jaxmac.rollout import random_policy, scripted_policy
from jaxmac.run import train

__version__ = "0.1.0"

__all__ = [
    "Result",
    "animate",
    "check_environment",
    "compare",
    "evaluate",
    "evaluate_policy",
    "export_policy",
    "initialize_distributed",
    "list_algorithms",
    "list_environments",
    "load",
    "make",
    "random_policy",
    "resume",
    "scripted_policy",
    "train",
    "use_cpu_devices",
]
