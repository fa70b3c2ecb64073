"""jaxmac: asynchronous multi-agent reinforcement learning with macro-actions, in JAX."""

from importlib.metadata import version

from jaxmac import statistics
from jaxmac.algorithms import AlgorithmSpec, list_algorithms, register_algorithm
from jaxmac.analysis.animation import animate
from jaxmac.config import setting
from jaxmac.envs import check_environment, make, register_environment
from jaxmac.envs import list_ids as list_environments
from jaxmac.evaluation import compare, evaluate, evaluate_policy
from jaxmac.export import export_policy
from jaxmac.mixers import MixerInputs, check_mixer, register_mixer
from jaxmac.networks import register_memory
from jaxmac.processes.joining import initialize_distributed, use_cpu_devices
from jaxmac.record import random_policy, register_sampler, scripted_policy
from jaxmac.registry import load_plugins
from jaxmac.runs.result import Result, load
from jaxmac.runs.sinks import register_sink
from jaxmac.training import make_train, train
from jaxmac.training.resume import resume

__version__ = version("jaxmac")

__all__ = [
    "AlgorithmSpec",
    "MixerInputs",
    "Result",
    "animate",
    "check_environment",
    "check_mixer",
    "compare",
    "evaluate",
    "evaluate_policy",
    "export_policy",
    "initialize_distributed",
    "list_algorithms",
    "list_environments",
    "load",
    "load_plugins",
    "make",
    "make_train",
    "random_policy",
    "register_algorithm",
    "register_environment",
    "register_memory",
    "register_mixer",
    "register_sampler",
    "register_sink",
    "resume",
    "scripted_policy",
    "setting",
    "statistics",
    "train",
    "use_cpu_devices",
]
