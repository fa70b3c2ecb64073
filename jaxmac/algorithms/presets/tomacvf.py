"""Presets of ToMacVF: `paper` and `tuned`. A value for a part that is not chosen does not apply."""

from __future__ import annotations

from typing import Any

from jaxmac.algorithms.presets.recipe import recipe
from jaxmac.algorithms.presets.tables import family_and_variant, nearest_grid
from jaxmac.envs.environment import Environment

MIXER = {"hypernet_embed": 64, "b1_abs": True}  # docs/specifications/tomacvf.md, section 4
BOX_PUSHING = {  # grid: learning rate, episodes per iteration, episodes between target copies (Table 2)
    6: (1e-3, 10, 32),
    8: (1e-3, 10, 32),
    10: (1e-3, 14, 48),
    12: (5e-4, 16, 144),
    14: (5e-4, 16, 144),
}
OVERCOOKED = {"A": (64, 32), "B": (128, 32), "C": (128, 64)}  # map: batch, episodes per iteration (Table 3)
WAREHOUSE = {  # variant: learning rate, episodes between target copies, last epsilon (Table 4)
    "D": (5e-4, 32, 0.05),
    "D1": (5e-4, 32, 0.05),
    "T": (3e-4, 32, 0.01),
    "T1": (3e-4, 64, 0.01),
    "Q": (1e-4, 64, 0.01),
}


def paper(env: Environment, mixer_name: str) -> dict[str, Any]:
    """Tables 2 to 4 of the ToMacVF paper read as in docs/specifications/tomacvf.md, section 7.

    Grids larger than 14x14, Warehouse-S and Capture Target, which the paper does not use, take the nearest row.
    """
    del mixer_name
    family, variant = family_and_variant(env)
    common = MIXER | {"hidden_size": 32, "layer_size": 32, "train_freq": 256, "grad_clip": 10.0}
    if family == "Overcooked":
        batch, episodes = OVERCOOKED.get(variant, OVERCOOKED["A"])
        special = {"learning_rate": 3e-4, "batch_size": batch, "num_envs": episodes, "target_episodes": 16}
        return common | special | _schedule(batch, 20_000.0, 0.05) | {"gamma": 0.99, "n_step": min(5, env.horizon)}
    if family == "BoxPushing":
        rate, episodes, copy = BOX_PUSHING[nearest_grid(BOX_PUSHING, env)]
        special = {"learning_rate": rate, "batch_size": 128, "num_envs": episodes, "target_episodes": copy}
        return common | special | _schedule(128, 4_000.0, 0.1) | {"gamma": 0.98}
    rate, copy, last = WAREHOUSE.get(variant, WAREHOUSE["D"])
    special = {"learning_rate": rate, "batch_size": 32, "num_envs": 8, "target_episodes": copy, "hidden_size": 64}
    gamma = 1.0 if family == "Warehouse" else 0.95
    return common | special | _schedule(32, 10_000.0, last) | {"gamma": gamma, "n_step": min(5, env.horizon)}


def _schedule(batch: int, episodes: float, last: float) -> dict[str, Any]:
    return {"learning_starts": batch, "epsilon_episodes": episodes, "epsilon_end": last}


def tuned(env: Environment, mixer_name: str) -> dict[str, Any]:
    """The recipe of all presets `tuned`; lambda counts per primitive step here, not per row.

    On Box Pushing, where half of the episodes are random, targets are as short as AVF's: of eight tuning seeds on
    14x14 all solve it with one step and lambda .3 or .5, six with five steps and .95. In the warehouses it has
    three times the recipe's learning rate: of eight tuning seeds on D all end at the optimum with it, five without;
    four on D1 end at 518 on average, without it at 506, on T1 at 779 and 775, and on S and T, where they solve the
    task with either, as high or higher (experiments/results/tuning/summary.md).
    """
    del mixer_name
    values = {name: value for name, value in recipe(env).items() if name != "max_rows"} | MIXER
    family, _ = family_and_variant(env)
    if family == "BoxPushing":
        return values | {"n_step": 1}
    if family == "Warehouse":
        values["learning_rate"] = 3e-3
    return values | {"td_lambda": 0.95, "n_step": min(5, env.horizon)}
