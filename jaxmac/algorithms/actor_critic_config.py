"""Hyperparameters of the actor-critics: each algorithm has those that it reads."""

from __future__ import annotations

from dataclasses import dataclass

from jaxmac.algorithms.base import CommonConfig, LastActionConfig, RowsConfig
from jaxmac.config import setting


@dataclass(frozen=True)
class HistoryCriticConfig:
    """Hyperparameters of critics that see a history of observations."""

    critic_decode_size: int = setting(
        0, "width of the critics' layer after the recurrent one (0: as before)", low=0
    )


@dataclass(frozen=True)
class StateCriticConfig:
    """Critics that see the global state have no hyperparameters of their own."""


CRITICS = {"history": HistoryCriticConfig, "state": StateCriticConfig}


@dataclass(frozen=True)
class JointActorCriticConfig(RowsConfig, CommonConfig):
    """Hyperparameters of Mac-CAC; the defaults are the reference program's."""

    actor_learning_rate: float = setting(3e-4, "Adam's step size of the actors", above=0.0, high=1.0, traced=True)
    critic_learning_rate: float = setting(3e-3, "that of the critics", above=0.0, high=1.0, traced=True)
    epsilon_end: float = setting(0.01, "exploration after the decay", low=0.0, high=1.0, traced=True)
    grad_clip: float = setting(
        0.0, "largest global norm of a network's gradient (0: no clipping)", low=0.0, traced=True
    )
    entropy_weight: float = setting(0.0, "weight of the policy's entropy", low=0.0, traced=True)
    num_envs: int = setting(8, "episodes per iteration and update", low=1)
    target_episodes: int = setting(32, "training episodes between copies of the critics to their targets", low=1)
    episodes_per_env: int = setting(
        1,
        "episodes that each environment plays in a row; the num_envs that finish first are learned from",
        low=1,
        high=16,
    )
    n_step: int = setting(0, "rows summed before the bootstrap (0 or 1: one)", low=0)
    critic: str = setting("history", "what critics see", choices=CRITICS, chooses="critic")
    close_on_terminal: bool = setting(False, "an environment termination ends every running macro-action")
    weight_at_decision: bool = setting(False, "policy gradient weighted by the discount at the choice, not the end")
    conditional_log_prob: bool = setting(False, "mac-cac: probability among the choices that were allowed")
    hidden_size: int = setting(32, "width of the actors' recurrent layer", low=1)
    layer_size: int = setting(32, "width of their layers before it (0: as the recurrent one)", low=0)
    critic_hidden_size: int = setting(32, "width of the critics' recurrent (state: third) layer", low=1)
    critic_layer_size: int = setting(32, "width of their layers before it", low=1)

    # An iteration's fresh episodes are the batch.
    @property
    def batch_size(self) -> int:
        """Episodes in a batch."""
        return self.num_envs

    @property
    def replay_episodes(self) -> int:
        """Episodes that the replay stores."""
        return self.num_envs


@dataclass(frozen=True)
class ActorCriticConfig(LastActionConfig, JointActorCriticConfig):
    """Hyperparameters of the actor-critics whose agents have an actor each."""


CONFIGS = {
    "mac-iac": ActorCriticConfig,
    "mac-cac": JointActorCriticConfig,
    "mac-niacc": ActorCriticConfig,
    "mac-iaicc": ActorCriticConfig,
}
