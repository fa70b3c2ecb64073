"""The sweeps of experiments/tuning.py: each with the settings that its members share and those that are swept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jaxmac
from experiments.common import slug
from experiments.tasks import TASKS

FOUR, EIGHT, SIXTEEN = range(1000, 1004), range(1000, 1008), range(1000, 1016)
FRESH = (*range(200, 208), *range(300, 310))  # of the results, looked at in comparisons that say so


class Sweep(NamedTuple):
    """Settings that are the same for all members, and those that are swept."""

    algorithm: str
    env: str
    episodes: int
    seeds: Sequence[int]
    settings: dict[str, Any]
    sweep: dict[str, list[Any]]


# Settings that a preset has by now are given all the same, so that a sweep stays what it was.
NO_FLOOR: dict[str, Any] = {"weight_floor": 0.0}
MINGRU = NO_FLOOR | {"memory": "mingru"}
GRU = NO_FLOOR | {"memory": "gru"}
NORMALISED = {"weight_floor": 0.5, "normalise_state": True}
ACTOR_CRITIC = {
    **{"memory": "mingru", "layer_norm": True, "gamma": 0.98, "reward_scale": 0.1, "close_on_terminal": True},
    **{"epsilon_end": 0.02, "epsilon_episodes": 3000.0, "target_episodes": 32, "num_envs": 8, "eval_every": 200},
}
RATES = {
    "actor_learning_rate": [3e-4, 1e-3, 3e-3],
    "critic_learning_rate": [1e-3, 3e-3],
    "entropy_weight": [0.0, 0.05],
}
VALUE_RATES: dict[str, list[Any]] = {"learning_rate": [5e-4, 1e-3], "td_lambda": [0.7, 0.9]}
HIGHER: dict[str, list[Any]] = {"learning_rate": [2e-3, 3e-3], "td_lambda": [0.7, 0.5]}
CAPTURE = {
    **{"share_parameters": True, "num_envs": 128, "actor_gain": 1.0, "eval_every": 1000, "eval_episodes": 256},
    **{"entropy_weight_end": 0.001, "entropy_episodes": 10_000.0},
}
CAPTURE_RATES = {"actor_learning_rate": [5e-4, 2e-3], "entropy_weight": [0.005, 0.02], "gae_lambda": [0.95, 1.0]}
UNIFORM = {"sampling": "uniform"}
TOURNAMENT = {"sampling": "tournament", "replay_tournament": 8, "tournament_share": 0.25}
D1 = {"td_lambda": [0.9, 0.95, 1.0], "epsilon_episodes": [4000.0, 6500.0], "epsilon_end": [0.05, 0.15]}
MEMORIES = {"memory": ["mingru", "gru"]}
QPLEX = {"learning_rate": [1e-3, 5e-4], "td_lambda": [0.7, 0.5, 0.9], "polyak": [0.99, 0.997]}

FULL_Q = ("mac-dec-q", "mac-cen-q")

# The schedules and the updates per episode that the recipe has for any environment, in place of Box Pushing's own.
SCHEDULES = {"learning_rate_episodes": 5000.0, "learning_rate_decay": 0.1, "epsilon_episodes": 2500.0}
OWN_SCHEDULES = {"learning_rate_episodes": 2500.0, "learning_rate_decay": 0.02, "epsilon_episodes": 1500.0}


def box_pushing_updates(size: int) -> dict[str, int]:
    """Three updates for eight episodes, where Box Pushing had one for each."""
    return {"train_freq": math.ceil(jaxmac.make(f"BoxPushing-{size}").horizon * 8 / 3)}


SWEEPS = {
    **{
        f"{kind.removeprefix('mac-')}_warehouse_d": Sweep(
            kind, "Warehouse-D", 8000, FOUR, ACTOR_CRITIC | {"n_step": 20}, RATES
        )
        for kind in ("mac-iaicc", "mac-iac", "mac-niacc", "mac-cac")
    },
    "dec_q_warehouse_d": Sweep(
        "mac-dec-q", "Warehouse-D", 8000, FOUR, {}, VALUE_RATES | {"hysteresis": [1.0, 0.4]}
    ),
    "cen_q_warehouse_d": Sweep("mac-cen-q", "Warehouse-D", 8000, FOUR, {}, VALUE_RATES),
    **{
        f"{kind}_warehouse_{which}": Sweep(f"mac-{kind.replace('_', '-')}", env_id, episodes, FOUR, {}, sweep)
        for kind in ("dec_q", "cen_q")
        for which, env_id, episodes, sweep in (
            ("d_higher_rates", "Warehouse-D", 8000, HIGHER),
            ("t_rates", "Warehouse-T", 15_000, {"learning_rate": [1e-3, 3e-3]}),
        )
    },
    **{
        f"{slug(algorithm)}_{slug(env_id)}_rate": Sweep(
            algorithm, env_id, TASKS[env_id].episodes, FOUR, {}, {"learning_rate": [1e-3, 3e-3]}
        )
        for env_id, algorithms in (
            ("Warehouse-S", ("tomacvf-qmix", *FULL_Q)),
            ("Warehouse-D", ("avf-qmix", "tomacvf-qmix", "mac-dec-ddrqn")),
            ("Warehouse-D1", ("avf-qmix", "tomacvf-qmix", *FULL_Q)),
            ("Warehouse-T", ("avf-qmix", "tomacvf-qmix")),
            ("Warehouse-T1", ("avf-qmix", "tomacvf-qmix")),
            ("BoxPushing-10", ("avf-qmix", *FULL_Q)),
            ("Overcooked-A", ("mac-dec-q",)),
        )
        for algorithm in algorithms
    },
    **{
        f"{slug(algorithm)}_{slug(env_id)}_rate_more_seeds": Sweep(
            algorithm, env_id, TASKS[env_id].episodes, seeds, {}, {"learning_rate": [1e-3, 3e-3]}
        )
        for algorithm, env_id, seeds in (
            ("avf-qmix", "Warehouse-D1", range(1004, 1012)),
            ("tomacvf-qmix", "Warehouse-D", range(1004, 1008)),
        )
    },
    "iaicc_warehouse_d_5_rows": Sweep("mac-iaicc", "Warehouse-D", 8000, FOUR, ACTOR_CRITIC | {"n_step": 5}, RATES),
    "iaicc_box_pushing_10": Sweep(
        *("mac-iaicc", "BoxPushing-10", 5000, FOUR, ACTOR_CRITIC | {"n_step": 20, "critic": "state"}),
        {**RATES, "actor_learning_rate": [3e-4, 1e-3], "entropy_weight": [0.0, 0.05, 0.2]},
    ),
    "ippo_box_pushing_10": Sweep(
        "mac-ippo",
        "BoxPushing-10",
        5000,
        FOUR,
        {"actor_gain": 1.0},
        {"actor_learning_rate": [3e-4, 1e-3], "entropy_weight": [0.02, 0.1, 0.3], "gae_lambda": [0.95, 1.0]},
    ),
    "mappo_warehouse_d": Sweep(
        "mac-mappo",
        "Warehouse-D",
        8000,
        EIGHT,
        {"actor_gain": 1.0},
        {"actor_learning_rate": [3e-4, 5e-4, 1e-3], "entropy_weight": [0.01, 0.02, 0.05]},
    ),
    "mappo_warehouse_d_exploration": Sweep(
        "mac-mappo",
        "Warehouse-D",
        8000,
        range(1008, 1016),
        {},
        {"actor_gain": [0.01, 1.0], "entropy_weight": [0.05, 0.1], "gae_lambda": [0.95, 1.0]},
    ),
    "ippo_capture_target_10": Sweep("mac-ippo", "CaptureTarget-10", 60_000, FOUR, CAPTURE, CAPTURE_RATES),
    "mappo_capture_target_10": Sweep("mac-mappo", "CaptureTarget-10", 60_000, FOUR, CAPTURE, CAPTURE_RATES),
    **{
        f"{kind}_capture_target_10_fresh": Sweep(
            f"mac-{kind}", "CaptureTarget-10", 60_000, range(300, 310), {"actor_gain": 1.0}, {}
        )
        for kind in ("ippo", "mappo")
    },
    **{
        f"{kind}_warehouse_d_fresh": Sweep(f"mac-{kind}", "Warehouse-D", 8000, range(200, 208), {}, {})
        for kind in ("ippo", "mappo")
    },
    "warehouse_d1_uniform": Sweep("avf-qmix", "Warehouse-D1", 8000, EIGHT, UNIFORM, D1),
    "warehouse_d1_tournament": Sweep(
        "avf-qmix",
        "Warehouse-D1",
        8000,
        EIGHT,
        TOURNAMENT,
        {"td_lambda": [0.9, 0.95], "epsilon_episodes": [4000.0, 6500.0]},
    ),
    "qplex_box_pushing_10": Sweep("avf-qplex", "BoxPushing-10", 5000, EIGHT, MINGRU, QPLEX),
    "qplex_box_pushing_10_gru": Sweep("avf-qplex", "BoxPushing-10", 5000, SIXTEEN, GRU, {}),
    "qplex_box_pushing_10_no_double_q": Sweep(
        "avf-qplex", "BoxPushing-10", 5000, SIXTEEN, MINGRU | {"double_q": False}, {}
    ),
    "qplex_box_pushing_10_normalised": Sweep(
        "avf-qplex", "BoxPushing-10", 5000, SIXTEEN, MINGRU | {"normalise_state": True}, {"td_lambda": [0.7, 0.3]}
    ),
    **{
        f"{mixer}_box_pushing_10_gru_fresh": Sweep(f"avf-{mixer}", "BoxPushing-10", 5000, FRESH, GRU, {})
        for mixer in ("qmix", "qplex")
    },
    "box_pushing_14_memory": Sweep(
        "avf-qmix", "BoxPushing-14", 5000, SIXTEEN, NO_FLOOR, {"memory": ["mingru", "gru"]}
    ),
    **{
        f"memory_{slug(env_id)}": Sweep("avf-qmix", env_id, TASKS[env_id].episodes, EIGHT, {}, MEMORIES)
        for env_id in ("BoxPushing-10", "Warehouse-D", "Warehouse-D1", "Warehouse-T")
    },
    "memory_warehouse_d1_vdn": Sweep("avf-vdn", "Warehouse-D1", 8000, EIGHT, {}, MEMORIES),
    "memory_warehouse_d_mappo": Sweep("mac-mappo", "Warehouse-D", 8000, range(1008, 1016), {}, MEMORIES),
    "qplex_box_pushing_10_exploration": Sweep(
        "avf-qplex",
        "BoxPushing-10",
        5000,
        EIGHT,
        MINGRU,
        {"epsilon_episodes": [1500.0, 3000.0, 4500.0], "learning_rate": [1e-3, 5e-4]},
    ),
    "qplex_box_pushing_10_clipping": Sweep(
        "avf-qplex", "BoxPushing-10", 5000, range(1004, 1008), MINGRU, {"grad_clip": [1.0, 0.1]}
    ),
    "qplex_box_pushing_10_floor": Sweep(
        "avf-qplex", "BoxPushing-10", 5000, EIGHT, {}, {"weight_floor": [0.1, 0.5]}
    ),
    "qplex_box_pushing_10_floor_normalised": Sweep("avf-qplex", "BoxPushing-10", 5000, EIGHT, NORMALISED, {}),
    "qmix_box_pushing_6_floor_normalised": Sweep("avf-qmix", "BoxPushing-6", 5000, EIGHT, NORMALISED, {}),
    **{
        f"{mixer}_box_pushing_{size}_floor": Sweep(
            f"avf-{mixer}", f"BoxPushing-{size}", episodes, seeds, {"weight_floor": 0.5}, {}
        )
        for mixer, size, episodes, seeds in (
            ("qmix", 10, 5000, range(1008, 1016)),
            ("qmix", 12, 5000, EIGHT),
            ("qplex", 14, 5000, EIGHT),
            ("qplex", 30, 10_000, EIGHT),
        )
    },
    **{
        f"{mixer}_box_pushing_{size}_common": Sweep(
            f"avf-{mixer}",
            f"BoxPushing-{size}",
            TASKS[f"BoxPushing-{size}"].episodes,
            seeds,
            {**SCHEDULES, **box_pushing_updates(size)},
            {"normalise_state": [False, True]},
        )
        for mixer, size, seeds in (
            ("qmix", 10, SIXTEEN),
            ("qplex", 10, SIXTEEN),
            ("qmix", 20, EIGHT),
            ("qplex", 30, EIGHT),
        )
    },
    **{
        f"{algorithm}_box_pushing_{size}_lambda": Sweep(
            algorithm if "-" in algorithm else f"avf-{algorithm}",
            f"BoxPushing-{size}",
            TASKS[f"BoxPushing-{size}"].episodes,
            seeds,
            {},
            {"td_lambda": values},
        )
        for algorithm, size, seeds, values in (
            ("qmix", 14, range(1000, 1032), [0.7, 0.5, 0.3]),
            ("qplex", 14, SIXTEEN, [0.7, 0.3]),
            ("vdn", 14, SIXTEEN, [0.7, 0.3]),
            ("tomacvf-qmix", 14, EIGHT, [0.95, 0.9, 0.8]),
            ("qmix", 10, SIXTEEN, [0.3]),
            ("qmix", 20, EIGHT, [0.3]),
            ("qplex", 30, EIGHT, [0.3]),
        )
    },
    **{
        f"tomacvf_qmix_box_pushing_{size}_rate": Sweep(
            *("tomacvf-qmix", f"BoxPushing-{size}", 5000, EIGHT, {}), {"learning_rate": [1e-3, 2e-3, 3e-3]}
        )
        for size in (6, 14)
    },
    "tomacvf-qmix_box_pushing_14_one_step": Sweep(
        "tomacvf-qmix", "BoxPushing-14", 5000, EIGHT, {"n_step": 1}, {"td_lambda": [0.8, 0.5, 0.3]}
    ),
    "qmix_box_pushing_10_own_schedules": Sweep(
        "avf-qmix", "BoxPushing-10", 5000, SIXTEEN, {**OWN_SCHEDULES, **box_pushing_updates(10)}, {}
    ),
    **{
        f"overcooked_{which}_windows": Sweep(
            "avf-qmix", f"Overcooked-{which.upper()}", 60_000, FRESH, {"max_rows": 80}, {}
        )
        for which in "bc"
    },
    "overcooked_b_whole_episodes": Sweep(
        "avf-qmix", "Overcooked-B", 45_000, EIGHT, {"max_rows": 0}, {"td_lambda": [0.8, 0.9]}
    ),
    "overcooked_b_half_tournament": Sweep(
        "avf-qmix",
        "Overcooked-B",
        45_000,
        EIGHT,
        {"max_rows": 80, "tournament_share": 0.5},
        {"epsilon_episodes": [20_000.0, 12_000.0]},
    ),
}
