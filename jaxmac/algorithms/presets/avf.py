"""Presets of AVF: `paper` and `tuned`. A value for a part that is not chosen does not apply."""

from __future__ import annotations

from typing import Any

from jaxmac.algorithms.presets.recipe import recipe
from jaxmac.algorithms.presets.tables import family_and_variant
from jaxmac.envs.environment import Environment


def _is_warehouse(env: Environment) -> bool:
    return family_and_variant(env)[0] == "Warehouse"


def paper(env: Environment, mixer_name: str) -> dict[str, Any]:
    """Table 5 of the AVF paper, read as in docs/specifications/avf.md, section 7."""
    small_rate = mixer_name != "qplex" and not _is_warehouse(env)
    grid = getattr(env, "size", 0)
    large = _is_warehouse(env) or grid >= 20
    train_freq = 30 if _is_warehouse(env) else 5 if family_and_variant(env)[0] == "CaptureTarget" else 15
    train_freq = {20: 35, 30: 45}.get(grid, train_freq)
    return {
        "learning_rate": 5e-5 if small_rate else 1e-4,
        "gamma": 0.9 if mixer_name == "vdn" or _is_warehouse(env) else 0.99,
        "epsilon_episodes": 6000.0 if large else 4000.0,
        "train_freq": train_freq,
    }


def tuned(env: Environment, mixer_name: str) -> dict[str, Any]:
    """The recipe of all presets `tuned`; docs/algorithms.md says what it adds to the paper."""
    del mixer_name
    return recipe(env)
