"""Hyperparameters of the actor-critics; the config of an algorithm declares only those that it reads."""

from __future__ import annotations

from dataclasses import dataclass

from jaxmac.algorithms.actors_and_critics import Roles
from jaxmac.algorithms.base import CommonConfig, LastActionConfig, RowsConfig
from jaxmac.config import setting


@dataclass(frozen=True)
class HistoryCriticConfig:
    """Hyperparameters of recurrent critics, whose input is the history of observations."""

    critic_decode_size: int = setting(
        0, "width of the critics' layer after the recurrent one (0: critic_layer_size)", low=0
    )


@dataclass(frozen=True)
class StateCriticConfig:
    """Critics whose input is the global state have no hyperparameters of their own."""


CRITICS = {"history": HistoryCriticConfig, "state": StateCriticConfig}


@dataclass(frozen=True)
class OnPolicyConfig(RowsConfig, CommonConfig):
    """Hyperparameters of actors and critics that learn from the episodes of their own iteration."""

    actor_learning_rate: float = setting(
        3e-4, "learning rate (Adam) of the actors", above=0.0, high=1.0, traced=True
    )
    critic_learning_rate: float = setting(
        3e-3, "learning rate (Adam) of the critics", above=0.0, high=1.0, traced=True
    )
    entropy_weight: float = setting(0.0, "weight of the entropy bonus in the actors' loss", low=0.0, traced=True)
    eval_epsilon: float = setting(
        0.0,
        "share of uniform choices in the policy of the evaluation episodes, which samples (0: as it has learned)",
        low=0.0,
        high=1.0,
        traced=True,
    )
    num_envs: int = setting(8, "parallel episodes per iteration, which are the batch of its update", low=1)
    hidden_size: int = setting(32, "width of the actors' recurrent layer", low=1)
    layer_size: int = setting(32, "width of the actors' layers before the recurrent one (0: hidden_size)", low=0)
    critic_hidden_size: int = setting(
        32, "width of the critics' recurrent layer (state critics: third layer)", low=1
    )
    critic_layer_size: int = setting(32, "width of the critics' other layers", low=1)

    # The batch of an update is the episodes of its iteration; there is no replay of older ones.
    @property
    def batch_size(self) -> int:
        """Episodes in a batch."""
        return self.num_envs

    @property
    def replay_episodes(self) -> int:
        """Episodes that the replay stores."""
        return self.num_envs


@dataclass(frozen=True)
class JointActorCriticConfig(OnPolicyConfig):
    """Hyperparameters of Mac-CAC; the defaults are the reference program's."""

    epsilon_end: float = setting(0.01, "exploration rate at the end of its decay", low=0.0, high=1.0, traced=True)
    grad_clip: float = setting(
        0.0, "largest global norm of the gradient of each network (0: no clipping)", low=0.0, traced=True
    )
    target_episodes: int = setting(
        32, "training episodes between copies of the critics to the target critics", low=1
    )
    episodes_per_env: int = setting(
        1,
        "consecutive episodes per environment, of which the num_envs that finish first are learned from "
        "(above 1, train_return favours short episodes)",
        low=1,
        high=16,
    )
    n_step: int = setting(0, "rows whose rewards are summed before the bootstrap (0 or 1: one row)", low=0)
    critic: str = setting(
        "history",
        "input of the critics: history of observations or global state",
        choices=CRITICS,
        chooses="critic",
    )
    close_on_terminal: bool = setting(
        False, "an environment's termination ends running macro-actions, so that they yield rows"
    )
    weight_at_decision: bool = setting(
        False, "weight the policy gradient by gamma^t at the decision, not at the row's last step"
    )
    conditional_log_prob: bool = setting(
        False,
        "probability of a macro-action among those that could be chosen (mac-cac: given the ones still running), "
        "not among all; rows with another one, which the environment put in its place, are left out",
    )


@dataclass(frozen=True)
class ActorCriticConfig(LastActionConfig, JointActorCriticConfig):
    """Hyperparameters of the actor-critics with one actor per agent."""


ROLES = {
    "mac-iac": Roles(critics_see_team=False),
    "mac-cac": Roles(joint_actor=True, critic_per_agent=False),
    "mac-niacc": Roles(critic_per_agent=False),
    "mac-iaicc": Roles(),
}
CONFIGS = {
    "mac-iac": ActorCriticConfig,
    "mac-cac": JointActorCriticConfig,
    "mac-niacc": ActorCriticConfig,
    "mac-iaicc": ActorCriticConfig,
}
