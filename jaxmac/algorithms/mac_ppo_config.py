"""Hyperparameters of Mac-IPPO and Mac-MAPPO."""

from __future__ import annotations

from dataclasses import dataclass

from jaxmac.algorithms.actor_critic_config import CRITICS, HistoryCriticConfig, OnPolicyConfig
from jaxmac.algorithms.actors_and_critics import Roles
from jaxmac.algorithms.base import LastActionConfig, SharedAgentsConfig, idle_schedule
from jaxmac.config import setting


@dataclass(frozen=True)
class PPOConfig(SharedAgentsConfig, LastActionConfig, OnPolicyConfig):
    """Hyperparameters of both; the defaults are close to those of MAPPO (Yu et al., 2022)."""

    actor_learning_rate: float = setting(
        5e-4, "learning rate (Adam) of the actors when learning starts", above=0.0, high=1.0, traced=True
    )
    critic_learning_rate: float = setting(
        5e-4, "learning rate (Adam) of the critics when learning starts", above=0.0, high=1.0, traced=True
    )
    learning_rate_decay: float = setting(
        1.0,
        "factor on both learning rates at the end of their schedule (1: constant)",
        above=0.0,
        high=1.0,
        traced=True,
    )
    learning_rate_episodes: float = setting(
        4000.0, "training episodes of the learning rates' linear schedule", above=0.0, traced=True
    )
    actor_gain: float = setting(
        0.01,
        "factor on the first weights of the actors' outputs: near 0 the first policy is almost uniform",
        low=0.0,
        high=1.0,
        traced=True,
    )
    epsilon_start: float = setting(
        0.0, "share of uniform choices in the policy when learning starts", low=0.0, high=1.0, traced=True
    )
    epsilon_end: float = setting(
        0.0, "share of uniform choices in the policy at the end of its decay", low=0.0, high=1.0, traced=True
    )
    gae_lambda: float = setting(
        0.95,
        "share of the following rows' return in the advantage (0: one row, 1: the whole return)",
        low=0.0,
        high=1.0,
        traced=True,
    )
    clip: float = setting(
        0.2, "how far from 1 a probability ratio may go before its gradient is cut off", above=0.0, traced=True
    )
    value_clip: float = setting(
        0.2,
        "how far a critic's output may go in an iteration before its gradient is cut off (0: no clipping)",
        low=0.0,
        traced=True,
    )
    normalise_value: bool = setting(
        True, "critics learn returns of mean 0 and variance 1, by running moments of the returns"
    )
    value_moments_decay: float = setting(
        0.99,
        "share of the old moments that an iteration keeps, with normalise_value",
        low=0.0,
        high=0.9999,
        traced=True,
    )
    normalise_advantage: bool = setting(True, "advantages of an iteration have mean 0 and variance 1")
    entropy_weight: float = setting(
        0.01, "weight of the entropy bonus in the actors' loss when learning starts", low=0.0, traced=True
    )
    entropy_weight_end: float = setting(
        0.01, "weight of the entropy bonus at the end of its schedule", low=0.0, traced=True
    )
    entropy_episodes: float = setting(
        4000.0, "training episodes of the entropy weight's linear schedule", above=0.0, traced=True
    )
    epochs: int = setting(5, "times that an iteration learns from its episodes", low=1, high=1000)
    minibatches: int = setting(1, "gradient steps per epoch, each from an equal share of the episodes", low=1)
    num_envs: int = setting(32, "parallel episodes per iteration, which are the batch of its update", low=1)

    def without_effect(self) -> dict[str, str]:
        """See `jaxmac.config.without_effect`."""
        found = idle_schedule(self, "entropy_episodes", "entropy_weight", "entropy_weight_end")
        if self.learning_rate_decay == 1.0:
            found["learning_rate_episodes"] = "with learning_rate_decay=1 the rates are constant"
        if not self.normalise_value:
            found["value_moments_decay"] = "with normalise_value=False no moments are taken"
        if self.epochs * self.minibatches == 1:
            one = "with epochs=1 and minibatches=1 an iteration makes one step"
            found["clip"] = found["value_clip"] = f"{one}, before which nothing has moved"
        return found

    def check_together(self) -> None:
        """Raise ValueError for a number of episodes that the number of minibatches does not divide."""
        super().check_together()
        if self.num_envs % self.minibatches:
            multiple = f"a multiple of minibatches={self.minibatches}"
            raise ValueError(f"num_envs is {self.num_envs}, but must be {multiple}, to divide into equal ones")


@dataclass(frozen=True)
class MacIPPOConfig(HistoryCriticConfig, PPOConfig):
    """Hyperparameters of Mac-IPPO."""

    @property
    def critic(self) -> str:
        """The input of the critics: each gets the history of its own agent."""
        return "history"


@dataclass(frozen=True)
class MacMAPPOConfig(PPOConfig):
    """Hyperparameters of Mac-MAPPO."""

    critic: str = setting(
        "state",
        "input of the critics: joint macro-state, or history of all agents' macro-observations",
        choices=CRITICS,
        chooses="critic",
    )


ROLES = {"mac-ippo": Roles(critics_see_team=False), "mac-mappo": Roles()}
CONFIGS = {"mac-ippo": MacIPPOConfig, "mac-mappo": MacMAPPOConfig}
