"""Hyperparameters of the value-based baselines."""

from __future__ import annotations

from dataclasses import dataclass

from jaxmac.algorithms.base import LastActionConfig, SharedAgentsConfig
from jaxmac.algorithms.mac_q_networks import NetworkRoles
from jaxmac.algorithms.value_based import ValueBasedConfig, WindowsConfig
from jaxmac.config import setting
from jaxmac.record.replay import SAMPLERS


@dataclass(frozen=True)
class MacQConfig(WindowsConfig, ValueBasedConfig):
    """Hyperparameters of all value-based baselines; the defaults are the reference program's."""

    learning_rate: float = setting(1e-3, "learning rate (Adam)", above=0.0, high=1.0, traced=True)
    grad_clip: float = setting(
        0.0, "largest global norm of the gradient of each network (0: no clipping)", low=0.0, traced=True
    )
    target_steps: int = setting(
        5000,
        "nominal primitive steps between copies to the target networks (0: use target_episodes or polyak)",
        low=0,
    )
    sampling: str = setting("windows", "sampling rule of the replay", choices=SAMPLERS, chooses="sampler")
    close_on_terminal: bool = setting(
        False, "an environment's termination ends running macro-actions, so that they yield rows"
    )
    recurrent_exploration: bool = setting(
        False, "keep hidden states while collecting (False: reset at every decision)"
    )
    hidden_size: int = setting(32, "width of the networks' recurrent layer", low=1)
    layer_size: int = setting(32, "width of the networks' layers before the recurrent one (0: hidden_size)", low=0)


@dataclass(frozen=True)
class MacDecQConfig(SharedAgentsConfig, LastActionConfig, MacQConfig):
    """Hyperparameters of MacDec-Q."""

    def without_effect(self) -> dict[str, str]:
        """See `jaxmac.config.without_effect`."""
        return {"reward_scheme": "MacDec-Q learns from own rows, not from joint ones"}

    def check_together(self) -> None:
        """Own rows do not overlap: lambda-returns go with every `reward_scheme`, which has no effect."""


@dataclass(frozen=True)
class MacCenQConfig(MacQConfig):
    """Hyperparameters of MacCen-Q."""

    conditional: bool = setting(
        True, "conditional arg max in the target: agents that do not choose keep what they run"
    )


@dataclass(frozen=True)
class ParallelDDRQNConfig(SharedAgentsConfig, LastActionConfig, MacCenQConfig):
    """Hyperparameters of Parallel-MacDec-DDRQN."""

    centralised_hidden_size: int = setting(64, "width of the centralised network's recurrent layer", low=1)


@dataclass(frozen=True)
class DDRQNConfig(ParallelDDRQNConfig):
    """Hyperparameters of MacDec-DDRQN."""

    centralised_exploration: bool = setting(False, "the centralised network's policy collects the experience")
    exploration_switch: bool = setting(
        False,
        "with centralised_exploration: use the decentralised policy with probability 1 - epsilon at every step",
    )

    def check_together(self) -> None:
        """Raise ValueError for `exploration_switch` without what it switches to."""
        super().check_together()
        if self.exploration_switch and not self.centralised_exploration:
            raise ValueError("exploration_switch=True needs centralised_exploration=True")


NETWORK_ROLES = {
    "mac-dec-q": NetworkRoles(centralised=False),
    "mac-cen-q": NetworkRoles(agents=False),
    "mac-dec-ddrqn": NetworkRoles(),
    "parallel-mac-dec-ddrqn": NetworkRoles(own_episodes=True),
}

CONFIGS: dict[str, type[MacQConfig]] = {
    "mac-dec-q": MacDecQConfig,
    "mac-cen-q": MacCenQConfig,
    "mac-dec-ddrqn": DDRQNConfig,
    "parallel-mac-dec-ddrqn": ParallelDDRQNConfig,
}
