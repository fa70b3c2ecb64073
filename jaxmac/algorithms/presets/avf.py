"""Presets of AVF: `paper` and `tuned`. A value for a part that is not chosen does not apply."""

from __future__ import annotations

import math
from typing import Any

from jaxmac.envs.environment import Environment

FAMILIES = ("BoxPushing", "Warehouse", "CaptureTarget", "Overcooked")  # families on which `tuned` was tried


def _is_warehouse(env: Environment) -> bool:
    return env.name.startswith("Warehouse")


def paper(env: Environment, mixer_name: str) -> dict[str, Any]:
    """Table 5 of the AVF paper, read as in docs/specifications/avf.md, section 7."""
    small_rate = mixer_name != "qplex" and not _is_warehouse(env)
    grid = getattr(env, "size", 0)
    large = _is_warehouse(env) or grid >= 20
    train_freq = 30 if _is_warehouse(env) else 5 if env.name.startswith("CaptureTarget") else 15
    train_freq = {20: 35, 30: 45}.get(grid, train_freq)
    return {
        "learning_rate": 5e-5 if small_rate else 1e-4,
        "gamma": 0.9 if mixer_name == "vdn" or _is_warehouse(env) else 0.99,
        "epsilon_episodes": 6000.0 if large else 4000.0,
        "train_freq": train_freq,
    }


def tuned(env: Environment, mixer_name: str) -> dict[str, Any]:
    """Settings that learn reliably in minutes; experiments/README.md measures their differences from `paper`."""
    del mixer_name
    family = env.name.partition("-")[0]
    large = family == "BoxPushing" and getattr(env, "size", 0) >= 20
    # A random policy rarely pushes the big box, and such episodes must be in the replay before learning starts.
    starts = 4096 if large else 2048 if family == "BoxPushing" else 512
    # Other environments get three updates per episode: one in a hundred steps is too few if episodes are short.
    train_freq = max(100, env.horizon) if family in FAMILIES else math.ceil(env.horizon / 3)
    values = {
        "learning_rate": 1e-3,
        "learning_rate_decay": 0.1,
        "learning_rate_episodes": 3000.0 if large else 2500.0,
        "gamma": 0.98,
        "polyak": 0.99,
        "epsilon_episodes": 1500.0,
        "explore_fraction": 0.5,
        "sampling": "tournament",
        "replay_tournament": 128 if large else 64,
        "reward_scale": 0.1,
        "learning_starts": starts,
        "replay_episodes": 5000 if large else 2500,
        "train_freq": train_freq,
        "batch_size": 32,
        "max_rows": 12,
        "hidden_size": 32,
    }
    # Capture Target: the agents are alike and must succeed together, so they share a network and explore little.
    alike = {"share_parameters": True, "explore_fraction": 0.0, "reward_scale": 1.0}
    alike |= {"epsilon_start": 0.2, "epsilon_end": 0.05, "epsilon_episodes": 400.0}
    return values | alike if family == "CaptureTarget" else values
