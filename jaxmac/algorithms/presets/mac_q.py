"""Presets of the value-based baselines: the reference program's (docs/specifications/value_based.md, section 8).

Grids and maps without a published script take the nearest row. The reference collects one episode at a time and
updates every `train_freq` primitive steps; here 16 episodes run in parallel at the same ratio of updates to steps.
The capacity of the reference's replays is a number of windows; here it is the number of episodes that contain as
many windows.
"""

from __future__ import annotations

from typing import Any

from jaxmac.algorithms.presets.recipe import recipe
from jaxmac.algorithms.presets.tables import family_and_variant, nearest_grid
from jaxmac.envs.environment import Environment

# grid: batch, train_freq = window, learning rate, episodes of the schedules
BOX_PUSHING_DEC = {
    8: (64, 10, 1e-3, 4000),
    10: (32, 14, 1e-3, 6000),
    12: (32, 20, 1e-3, 6000),
    20: (32, 35, 1e-3, 8000),
    30: (32, 45, 5e-4, 8000),
}
BOX_PUSHING_CEN = {
    8: (64, 10, 1e-3, 4000),
    10: (128, 14, 1e-3, 6000),
    12: (128, 20, 1e-3, 6000),
    20: (64, 35, 1e-3, 8000),
    30: (32, 45, 1e-3, 8000),
}
BOX_PUSHING_DDRQN = {10: (128, 15, 1e-3, 4000), 30: (128, 45, 1e-3, 6000)}
# map: batch, replay = learning_starts, learning rate
OVERCOOKED_DEC = {"A": (64, 1000, 5e-4), "B": (32, 3000, 5e-4)}
OVERCOOKED_CEN = {"A": (64, 1000, 3e-5), "B": (64, 500, 1e-4)}
# variant: train_freq, learning rate, hysteresis
WAREHOUSE_DEC = {"D": (128, 1e-4, True), "D1": (128, 5e-5, True), "T": (128, 5e-5, True)}
WAREHOUSE_CEN = {"D": (128, 1e-4, False), "D1": (128, 1e-4, False), "T": (64, 5e-5, True)}


def reference(env: Environment, kind: str) -> dict[str, Any]:
    """The preset of algorithm `kind` (an id) on `env`."""
    family, variant = family_and_variant(env)
    centralised = kind == "mac-cen-q"
    if family == "BoxPushing":
        return _box_pushing(env, kind)
    if family == "Overcooked":
        batch, stored, rate = (OVERCOOKED_CEN if centralised else OVERCOOKED_DEC)["A" if variant == "A" else "B"]
        wide = {"layer_size": 128, "decode_size": 64, "hidden_size": 64} if centralised else {}
        values = {"batch_size": batch, "learning_rate": rate, "gamma": 0.99, "train_freq": 64}
        values |= {"recurrent_exploration": True}
        return values | episode_replay(stored, stored) | _schedule(20_000.0, 0.05) | wide
    if family == "Warehouse" and kind in ("mac-dec-q", "mac-cen-q") and variant != "S":
        table = WAREHOUSE_CEN if centralised else WAREHOUSE_DEC
        train_freq, rate, beta = table.get(variant, table["T"])
        values = {"batch_size": 64, "learning_rate": rate, "gamma": 1.0, "train_freq": train_freq}
        values |= {"hidden_size": 64} if centralised else {}
        return values | episode_replay(2000, 2000) | _schedule(10_000.0, 0.05, beta)
    if family == "CaptureTarget":
        values = {"batch_size": 32, "learning_rate": 1e-3, "gamma": 0.95, "train_freq": 5, "hidden_size": 64}
        values |= {"learning_starts": 2} | window_replay(env, 50_000, 4, batch=32)
        return values | _schedule(4000.0, 0.1, kind == "mac-dec-q")
    return _warehouse_small(kind)


def _box_pushing(env: Environment, kind: str) -> dict[str, Any]:
    if kind in ("mac-dec-q", "mac-cen-q"):
        table, starts, stored, last = BOX_PUSHING_CEN, 500, 100_000, 0.05
        if kind == "mac-dec-q":
            table = BOX_PUSHING_DEC
    else:
        table, starts, stored, last = BOX_PUSHING_DDRQN, 2, 80_000, 0.1
    batch, window, rate, episodes = table[nearest_grid(table, env)]
    values = {"batch_size": batch, "learning_rate": rate, "gamma": 0.98, "train_freq": window}
    values |= {"learning_starts": starts} | window_replay(env, stored, window, batch)
    values |= {"hidden_size": 64} if kind == "mac-cen-q" else {}
    values |= {"centralised_exploration": True} if kind == "mac-dec-ddrqn" else {}
    return values | _schedule(float(episodes), last, kind == "mac-dec-q")


def _warehouse_small(kind: str) -> dict[str, Any]:
    """Warehouse-S, from the older commands; also used for environments without settings of their own."""
    values = {"batch_size": 16, "learning_rate": 6e-4, "gamma": 1.0, "train_freq": 30, "hidden_size": 64}
    values |= {"recurrent_exploration": True} | episode_replay(1000, 2)
    if kind == "mac-cen-q":
        values |= {"hidden_size": 128}
    if kind == "mac-dec-ddrqn":
        values |= {"centralised_exploration": True}
    return values | _schedule(6000.0, 0.1, kind == "mac-dec-q")


def _schedule(episodes: float, last: float, beta: bool = False) -> dict[str, Any]:
    """Epsilon from 1 to `last` over `episodes`, with `beta` also hysteresis from 0.2 to 0.4."""
    values = {"epsilon_start": 1.0, "epsilon_end": last, "epsilon_episodes": episodes}
    return values | {"hysteresis": 0.2, "hysteresis_end": 0.4, "hysteresis_episodes": episodes} if beta else values


def episode_replay(stored: int, starts: int) -> dict[str, Any]:
    """A replay of `stored` whole episodes; learning starts after `starts`."""
    unit = {"sampling": "uniform", "trajectory_unit": "episode"}
    return unit | {"replay_episodes": stored, "learning_starts": starts}


def window_replay(env: Environment, stored: int, window: int, batch: int = 1) -> dict[str, Any]:
    """A replay of the episodes that contain `stored` windows of `window` primitive steps, no fewer than a batch."""
    episodes = max(-(-stored // (env.horizon + window - 1)), batch)  # longer episodes than the papers' are fewer
    return {"sampling": "windows", "trajectory": window, "trajectory_unit": "steps", "replay_episodes": episodes}


def tuned(env: Environment, kind: str) -> dict[str, Any]:
    """The recipe of all presets `tuned`, with a wider network for all agents together.

    In the warehouses three times the recipe's learning rate: there MacDec-Q, MacCen-Q and MacDec-DDRQN end higher
    with it (experiments/results/tuning/summary.md), on Box Pushing at the same returns. AVF-QMIX does not need it.
    """
    values = recipe(env) | {"target_steps": 0, "grad_clip": 10.0}
    values |= {"close_on_terminal": True, "recurrent_exploration": True}
    if family_and_variant(env)[0] == "Warehouse":
        values["learning_rate"] = 3e-3
    return values | ({"hidden_size": 64} if kind == "mac-cen-q" else {})
