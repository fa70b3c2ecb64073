"""Hyperparameters of the value-based baselines: each algorithm has those that it reads."""

from __future__ import annotations

from dataclasses import dataclass

from jaxmac.algorithms.base import LastActionConfig, SharedAgentsConfig
from jaxmac.algorithms.value_based import ValueBasedConfig, WindowsConfig
from jaxmac.config import setting
from jaxmac.record.replay import SAMPLERS


@dataclass(frozen=True)
class MacQConfig(WindowsConfig, ValueBasedConfig):
    """Hyperparameters of all of them; the defaults are the reference program's."""

    learning_rate: float = setting(1e-3, "Adam's step size", above=0.0, high=1.0, traced=True)
    grad_clip: float = setting(
        0.0, "largest global norm of a network's gradient (0: no clipping)", low=0.0, traced=True
    )
    target_steps: int = setting(
        5000,
        "nominal primitive steps between copies to the targets (0: use target_episodes or Polyak averaging)",
        low=0,
    )
    sampling: str = setting("windows", "rule that samples the replay", choices=SAMPLERS, chooses="sampler")
    close_on_terminal: bool = setting(False, "an environment termination ends every running macro-action")
    recurrent_exploration: bool = setting(False, "hidden states are carried on while exploring")
    hidden_size: int = setting(32, "width of the networks' recurrent layer", low=1)
    layer_size: int = setting(32, "width of their layers before it (0: as the recurrent one)", low=0)


@dataclass(frozen=True)
class MacDecQConfig(SharedAgentsConfig, LastActionConfig, MacQConfig):
    """Hyperparameters of MacDec-Q."""


@dataclass(frozen=True)
class MacCenQConfig(MacQConfig):
    """Hyperparameters of MacCen-Q."""

    conditional: bool = setting(True, "a centralised target keeps what those run who do not choose")


@dataclass(frozen=True)
class ParallelDDRQNConfig(SharedAgentsConfig, LastActionConfig, MacCenQConfig):
    """Hyperparameters of Parallel-MacDec-DDRQN."""

    centralised_hidden_size: int = setting(64, "width of the centralised network's recurrent layer", low=1)


@dataclass(frozen=True)
class DDRQNConfig(ParallelDDRQNConfig):
    """Hyperparameters of MacDec-DDRQN."""

    centralised_exploration: bool = setting(False, "the centralised network explores")
    exploration_switch: bool = setting(
        False, "with it: the decentralised choice with probability 1 - epsilon at every step"
    )


CONFIGS: dict[str, type[MacQConfig]] = {
    "mac-dec-q": MacDecQConfig,
    "mac-cen-q": MacCenQConfig,
    "mac-dec-ddrqn": DDRQNConfig,
    "parallel-mac-dec-ddrqn": ParallelDDRQNConfig,
}
