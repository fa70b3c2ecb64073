"""The recipe of every preset `tuned` of the value-based algorithms, and what some families of tasks need instead.

Its core is lambda-returns over whole episodes. docs/algorithms.md says what each part is for, experiments/README.md
what was measured.
"""

from __future__ import annotations

import math
from typing import Any

from jaxmac.algorithms.presets.tables import family_and_variant
from jaxmac.envs.environment import Environment

MILD_TOURNAMENT = {"sampling": "tournament", "replay_tournament": 8, "tournament_share": 0.25}
UPDATES_PER_EPISODE = 3 / 8  # twice as many solved no more seeds of Warehouse-D1


def recipe(env: Environment) -> dict[str, Any]:
    """The settings for any environment: learning rate and exploration fall over some thousands of episodes."""
    values: dict[str, Any] = {
        "memory": "mingru",
        "layer_norm": True,
        "normalise_state": True,
        "td_lambda": 0.7,
        "trajectory_unit": "episode",
        "hidden_size": 32,
        "num_envs": 16,
        "batch_size": 16,
        "sampling": "uniform",
        "replay_episodes": 2500,
        "learning_starts": 64,
        "train_freq": math.ceil(env.horizon / UPDATES_PER_EPISODE),
        "learning_rate": 1e-3,
        "learning_rate_decay": 0.1,
        "learning_rate_episodes": 5000.0,
        "epsilon_start": 1.0,
        "epsilon_end": 0.05,
        "epsilon_episodes": 2500.0,
        "gamma": 0.98,
        "polyak": 0.99,
        "reward_scale": 0.1,
    }
    family, variant = family_and_variant(env)
    return values | {
        "BoxPushing": box_pushing,
        "CaptureTarget": capture_target,
        "Overcooked": overcooked,
        "Warehouse": warehouse,
    }.get(family, lambda *_: {})(env, variant)


def shared_with_policy_gradients(env: Environment) -> dict[str, Any]:
    """The part of the recipe that policy gradients share: networks, discount, reward scale, and evaluations."""
    names = ("memory", "layer_norm", "gamma", "reward_scale", "eval_every", "eval_episodes")
    return {name: value for name, value in recipe(env).items() if name in names}


def box_pushing(env: Environment, variant: str) -> dict[str, Any]:
    """A random policy rarely pushes the big box, and uniform replay keeps to the small ones for good.

    So such episodes must be in the replay before learning starts, and half of each batch is drawn by tournament;
    half of the parallel episodes are random throughout. Without a floor of the mixer's weights QMIX lost one seed
    in fifteen and QPLEX one in seven, because an agent's weight can end at 0; with it none of 40 tuning seeds was
    lost. The mixer gets the state as it is, which is enough with a floor. The averaged target networks are
    evaluated: some seeds' online ones did not push the box in single evaluations long after they had learned to
    push it. As half of the episodes are random, returns longer than lambda .3 gives are mostly those of
    random play: with .7 two of 32 tuning seeds on 14x14 keep to a way with bumps, with .3 none.
    """
    del variant
    large = getattr(env, "size", 0) >= 20
    return {
        "normalise_state": False,
        "td_lambda": 0.3,
        "weight_floor": 0.5,
        "eval_target": True,
        "sampling": "tournament",
        "replay_tournament": 128 if large else 64,
        "explore_fraction": 0.5,
        "learning_starts": 4096 if large else 2048,
        "replay_episodes": 5000 if large else 2500,
    }


def capture_target(env: Environment, variant: str) -> dict[str, Any]:
    """The agents are alike and a step of delay costs some .001 of return, far below the noise of an episode.

    So they share a network, explore little, and make few updates from large batches with whole returns.
    """
    del variant
    return {
        "share_parameters": True,
        "td_lambda": 1.0,
        "hidden_size": 16,
        "num_envs": 256,
        "batch_size": 256,
        "learning_starts": 256,
        "train_freq": 64 * env.horizon,
        "learning_rate": 3e-3,
        "learning_rate_decay": 0.03,
        "learning_rate_episodes": 60_000.0,
        "epsilon_start": 0.3,
        "epsilon_end": 0.02,
        "epsilon_episodes": 10_000.0,
        "gamma": 0.95,
        "reward_scale": 10.0,
        "eval_every": 1000,
        "eval_episodes": 256,
    }


def overcooked(env: Environment, variant: str) -> dict[str, Any]:
    """Random play never serves a salad, hence many episodes, few updates, and a mild tournament for the best ones.

    Windows of 80 rows, which cost less, are enough on map A. On B two of 18 seeds had found the salad with them
    after 45,000 episodes, with whole episodes five of eight (tuning seeds). As in Box Pushing, the averaged target
    networks are evaluated.
    """
    return {
        "td_lambda": 0.8,
        "max_rows": 80 if variant == "A" else 0,
        "num_envs": 64,
        "batch_size": 32,
        **MILD_TOURNAMENT,
        "replay_episodes": 2048,
        "train_freq": 8 * env.horizon,
        "learning_rate_decay": 0.3,
        "learning_rate_episodes": 60_000.0,
        "epsilon_episodes": 20_000.0,
        "eval_every": 1000,
        "eval_target": True,
    }


def warehouse(env: Environment, variant: str) -> dict[str, Any]:
    """Longer tasks explore for longer, and those with more to plan ahead learn from longer returns.

    D1 has many plans that are almost as good as the best; with a mild tournament for the best episodes, as on
    Overcooked, 15 of 16 tuning seeds got past them (lambda .9 and .95), with uniform replay 8 of 16. On D a GRU
    ends at the optimum with each of eight tuning seeds, a minGRU with five; on T both end at the same.
    """
    del env
    episodes = {"T": 12_000.0, "T1": 12_000.0, "Q": 24_000.0}.get(variant, 8000.0)
    values: dict[str, Any] = {"learning_rate_episodes": episodes, "epsilon_episodes": episodes / 2}
    special: dict[str, dict[str, Any]] = {
        "D": {"memory": "gru"},
        "D1": {"td_lambda": 0.9, **MILD_TOURNAMENT},
        "Q": {"td_lambda": 0.8, "train_freq": 800},
    }
    return values | special.get(variant, {})
