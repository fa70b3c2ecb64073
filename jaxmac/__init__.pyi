"""The public names, and where each is: `__init__.py` loads them from this list when they are first used."""

from . import (
    algorithms,
    analysis,
    bench,
    cli,
    config,
    envs,
    errors,
    evaluation,
    export,
    hyper,
    mixers,
    networks,
    processes,
    record,
    registry,
    runs,
    statistics,
    training,
)
from .algorithms import AlgorithmSpec, list_algorithms, register_algorithm
from .analysis import animate, timeline
from .config import setting
from .envs import check_environment, list_environments, make, register_environment
from .evaluation import compare, evaluate, evaluate_policy
from .export import export_policy, load_policy
from .mixers import MixerInputs, check_mixer, register_mixer
from .networks import register_memory
from .processes.joining import initialize_distributed, use_cpu_devices
from .record import random_policy, register_sampler, scripted_policy
from .registry import load_plugins
from .runs.result import Result, load
from .runs.sinks import register_sink
from .training import make_train, train
from .training.resume import resume

__version__: str

__all__ = [
    "AlgorithmSpec",
    "MixerInputs",
    "Result",
    "algorithms",
    "analysis",
    "animate",
    "bench",
    "check_environment",
    "check_mixer",
    "cli",
    "compare",
    "config",
    "envs",
    "errors",
    "evaluate",
    "evaluate_policy",
    "evaluation",
    "export",
    "export_policy",
    "hyper",
    "initialize_distributed",
    "list_algorithms",
    "list_environments",
    "load",
    "load_plugins",
    "load_policy",
    "make",
    "make_train",
    "mixers",
    "networks",
    "processes",
    "random_policy",
    "record",
    "register_algorithm",
    "register_environment",
    "register_memory",
    "register_mixer",
    "register_sampler",
    "register_sink",
    "registry",
    "resume",
    "runs",
    "scripted_policy",
    "setting",
    "statistics",
    "timeline",
    "train",
    "training",
    "use_cpu_devices",
]
