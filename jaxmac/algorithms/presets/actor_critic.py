"""Presets of the actor-critics: `reference` (docs/specifications/policy_gradient.md, section 9) and `tuned`.

Grids and maps without a published script take the nearest row. Each row: learning rates of actors and critics,
episodes per iteration, episodes between target copies, n-step.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jaxmac.algorithms.presets.recipe import shared_with_policy_gradients
from jaxmac.algorithms.presets.tables import family_and_variant, nearest_grid
from jaxmac.envs.environment import Environment
from jaxmac.envs.registry import PRIMITIVE

Row = tuple[float, float, int, int, int]
MACRO = ("mac-iac", "mac-cac", "mac-niacc", "mac-iaicc")

BOX_PUSHING: dict[int, tuple[Row, Row, Row, Row]] = {
    6: ((5e-4, 3e-3, 32, 32, 0), (1e-3, 3e-3, 2, 64, 3), (3e-4, 3e-3, 32, 128, 0), (3e-4, 3e-3, 32, 128, 0)),
    8: ((5e-4, 3e-3, 48, 48, 3), (3e-4, 3e-3, 32, 32, 3), (5e-4, 1e-3, 32, 128, 0), (3e-4, 3e-3, 32, 64, 0)),
    10: ((1e-3, 1e-3, 16, 32, 0), (5e-4, 1e-3, 32, 128, 3), (5e-4, 1e-3, 32, 128, 0), (3e-4, 3e-3, 32, 64, 0)),
    12: ((1e-3, 3e-3, 16, 128, 3), (1e-3, 3e-3, 8, 128, 0), (5e-4, 5e-4, 48, 48, 0), (3e-4, 3e-3, 48, 144, 0)),
    14: ((1e-3, 1e-3, 8, 32, 3), (1e-3, 1e-3, 16, 128, 3), (5e-4, 5e-4, 32, 128, 0), (5e-4, 3e-3, 48, 48, 0)),
}
BOX_PUSHING_DECAY = {6: 4000.0, 8: 4000.0, 10: 6000.0, 12: 6000.0, 14: 8000.0}
BOX_PUSHING_PRIMITIVE: dict[int, tuple[Row, Row]] = {
    6: ((1e-3, 3e-3, 8, 32, 5), (5e-4, 1e-3, 8, 128, 5)),
    8: ((1e-3, 3e-3, 8, 32, 3), (1e-3, 3e-3, 8, 128, 3)),
    10: ((1e-3, 3e-3, 8, 64, 0), (1e-3, 3e-3, 8, 128, 0)),
    12: ((1e-3, 3e-3, 8, 128, 0), (1e-3, 3e-3, 8, 128, 0)),
    14: ((1e-3, 3e-3, 8, 128, 0), (1e-3, 3e-3, 8, 128, 0)),
}
PRIMITIVE_DECAY = {"mac-iac": BOX_PUSHING_DECAY, "mac-cac": BOX_PUSHING_DECAY | {10: 4000.0}}
# map: episodes per iteration, target copy, n-step
OVERCOOKED = {
    "A": ((4, 8, 5), (8, 32, 5), (4, 16, 5), (8, 32, 5)),
    "B": ((4, 8, 5), (4, 16, 3), (8, 16, 5), (4, 32, 5)),
    "C": ((8, 32, 5), (8, 32, 3), (8, 16, 5), (8, 32, 5)),
}
OVERCOOKED_PRIMITIVE = {
    "A": ((4, 8, 5), (8, 16, 5)),
    "B": ((4, 8, 5), (4, 16, 5)),
    "C": ((8, 32, 5), (8, 32, 5)),
}
WAREHOUSE: dict[str, tuple[Row, Row, Row, Row]] = {
    "D": ((3e-4, 3e-3, 4, 32, 5), (3e-4, 3e-3, 4, 32, 5), (3e-4, 3e-3, 4, 32, 3), (5e-4, 5e-4, 4, 32, 5)),
    "D1": ((5e-4, 1e-3, 4, 32, 5), (3e-4, 3e-3, 4, 16, 5), (3e-4, 3e-3, 4, 32, 3), (5e-4, 5e-4, 4, 32, 5)),
    "T": ((5e-4, 5e-4, 8, 64, 5), (5e-4, 1e-3, 8, 64, 5), (3e-4, 3e-3, 16, 64, 5), (3e-4, 3e-3, 4, 64, 5)),
    "T1": ((5e-4, 1e-3, 8, 64, 5), (3e-4, 3e-3, 8, 64, 3), (3e-4, 3e-3, 8, 64, 5), (3e-4, 3e-3, 8, 64, 5)),
    "Q": ((3e-4, 3e-3, 4, 16, 5), (3e-4, 3e-3, 8, 64, 3), (5e-4, 5e-4, 4, 32, 5), (3e-4, 3e-3, 8, 64, 5)),
}


def reference(env: Environment, kind: str) -> dict[str, Any]:
    """The preset of algorithm `kind` (an id) on `env`; Capture Target, which has none, takes Box Pushing's."""
    values = _published(env, kind)
    return values | {"n_step": min(values["n_step"], env.horizon)}


def _published(env: Environment, kind: str) -> dict[str, Any]:
    family, variant = family_and_variant(env)
    which = MACRO.index(kind)
    on_primitive = env.name.endswith(PRIMITIVE) and kind in ("mac-iac", "mac-cac")
    if family == "Overcooked":
        maps: Mapping[str, tuple[tuple[int, int, int], ...]] = OVERCOOKED_PRIMITIVE if on_primitive else OVERCOOKED
        rate = 1e-4 if kind == "mac-cac" and not on_primitive else 3e-4
        row = (rate, 3e-3, *maps.get(variant, maps["A"])[which])
        return _values(row, 0.99, 0.05, 20_000.0) | _wide_critic(kind, 128, 64)
    if family == "Warehouse":
        row = WAREHOUSE.get(variant, WAREHOUSE["D"])[which]
        last = 0.05 if variant in ("S", "D", "D1") and kind != "mac-niacc" else 0.01
        joint_actor = {"hidden_size": 64} if kind == "mac-cac" else {}
        return _values(row, 1.0, last, 10_000.0) | _wide_critic(kind, 32, 32) | joint_actor
    table: Mapping[int, tuple[Row, ...]] = BOX_PUSHING_PRIMITIVE if on_primitive else BOX_PUSHING
    grid = nearest_grid(table, env)
    decay = PRIMITIVE_DECAY[kind][grid] if on_primitive else BOX_PUSHING_DECAY[grid]
    critic = {"critic": "state"} if kind in ("mac-niacc", "mac-iaicc") else {}
    return _values(table[grid][which], 0.98, 0.01, decay) | critic


def _values(row: Row, gamma: float, last: float, decay: float) -> dict[str, Any]:
    actor, critic, episodes, copy, n_step = row
    values = {"actor_learning_rate": actor, "critic_learning_rate": critic, "num_envs": episodes}
    values |= {"target_episodes": copy, "n_step": n_step, "gamma": gamma}
    return values | {"epsilon_end": last, "epsilon_episodes": decay}


def _wide_critic(kind: str, layer: int, decode: int) -> dict[str, Any]:
    """Wider critics for algorithms whose critics get all agents' observations, except on Box Pushing."""
    if kind == "mac-iac":
        return {}
    return {"critic_layer_size": layer, "critic_decode_size": decode, "critic_hidden_size": 64}


def tuned(env: Environment, kind: str) -> dict[str, Any]:
    """The networks, discount and reward scale of the value-based recipe, small batches and fast critics.

    Widths and critics' inputs stay the reference's. The rates are those that served Warehouse-D best; slower
    and faster actors ended lower (experiments/README.md).
    """
    rates = {"actor_learning_rate": 1e-3, "critic_learning_rate": 3e-3, "entropy_weight": 0.02}
    batches = {"num_envs": 8, "target_episodes": 32, "n_step": min(20, env.horizon), "close_on_terminal": True}
    exploration = {"epsilon_end": 0.02, "epsilon_episodes": 3000.0}
    return reference(env, kind) | shared_with_policy_gradients(env) | rates | batches | exploration
