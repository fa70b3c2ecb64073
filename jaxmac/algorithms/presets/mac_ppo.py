"""The preset of Mac-IPPO and Mac-MAPPO: `tuned`, one for all environments."""

from __future__ import annotations

from typing import Any

from jaxmac.algorithms.presets.recipe import recipe
from jaxmac.envs.environment import Environment

SHARED = ("memory", "layer_norm", "gamma", "reward_scale", "eval_every", "eval_episodes")


def tuned(env: Environment, kind: str) -> dict[str, Any]:
    """MAPPO's common settings with the networks, discount and reward scale of the value-based recipe."""
    del kind
    values = {name: value for name, value in recipe(env).items() if name in SHARED}
    schedule = {"learning_rate_decay": 0.1, "learning_rate_episodes": 20_000.0}
    exploration = {"entropy_weight": 0.02, "entropy_weight_end": 0.001, "entropy_episodes": 10_000.0}
    return values | schedule | exploration | {"num_envs": 32, "epochs": 5, "minibatches": 2}
