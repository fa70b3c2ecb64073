"""jaxmac: asynchronous multi-agent reinforcement learning with macro-actions, in JAX."""

from jaxmac.algorithms import list_algorithms
from jaxmac.analysis.animation import animate
from jaxmac.envs import check_environment, make
from jaxmac.envs import list_ids as list_environments
from jaxmac.evaluation.comparison import compare
from jaxmac.evaluation.episodes import evaluate, evaluate_policy
from jaxmac.export.folder import export_policy
from jaxmac.processes.joining import initialize_distributed, use_cpu_devices
from jaxmac.record.policy import random_policy, scripted_policy
from jaxmac.runs.result import Result, load
from jaxmac.training.loop import train
from jaxmac.training.resume import resume

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
