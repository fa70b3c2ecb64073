"""MacDec-POMDPs as pure JAX functions, found by id: `make`, `list_ids`, `env_options`, `register`."""

from functools import partial

from jaxmac.envs.box_pushing import BoxPushing, PrimitiveBoxPushing
from jaxmac.envs.capture_target import CaptureTarget, PrimitiveCaptureTarget
from jaxmac.envs.environment import Environment, EnvState, Outcome, TimeStep
from jaxmac.envs.options import Option, View, WithOptions
from jaxmac.envs.overcooked import Overcooked, PrimitiveOvercooked
from jaxmac.envs.registry import describe_sizes, env_options, list_ids, make, register
from jaxmac.envs.testing import ContractError, check_environment
from jaxmac.envs.warehouse import LAYOUTS, PrimitiveWarehouse, Warehouse

__all__ = [
    "BoxPushing",
    "CaptureTarget",
    "ContractError",
    "EnvState",
    "Environment",
    "Option",
    "Outcome",
    "Overcooked",
    "PrimitiveBoxPushing",
    "PrimitiveCaptureTarget",
    "PrimitiveOvercooked",
    "PrimitiveWarehouse",
    "TimeStep",
    "View",
    "Warehouse",
    "WithOptions",
    "check_environment",
    "env_options",
    "list_ids",
    "make",
    "register",
]


def _register_box_pushing() -> None:
    neurips22 = {"big_box_reward": 300.0, "small_box_reward": 20.0, "penalty": -10.0, "horizon": 100}
    corl19 = {"big_box_reward": 100.0, "small_box_reward": 10.0, "penalty": -5.0, "horizon_is_terminal": True}
    primitive = {"neurips22": neurips22, "corl19": {**corl19, "sticky_joint": False}}
    macro = {"neurips22": neurips22, "corl19": {**corl19, "distance": "euclidean"}}
    for size in range(4, 31, 2):
        listed = size in (4, 6, 8, 10, 12, 14, 20, 30)
        register(f"BoxPushing-{size}", partial(BoxPushing, size), macro, listed)
        register(f"BoxPushing-{size}-primitive", partial(PrimitiveBoxPushing, size), primitive, listed)
    describe_sizes("BoxPushing", "grid size L must be even, from 4 to 30")


def _register_warehouse() -> None:
    horizons = {"S": 150, "D": 200, "D1": 200, "T": 250, "T1": 250, "Q": 300}
    for variant, horizon in horizons.items():
        presets = {"neurips22": {"horizon": horizon, "horizon_is_terminal": variant == "Q"}}
        register(f"Warehouse-{variant}", partial(Warehouse, LAYOUTS[variant]), presets)
        register(f"Warehouse-{variant}-primitive", partial(PrimitiveWarehouse, LAYOUTS[variant]), presets)


def _register_capture_target() -> None:
    for num_agents in range(2, 11):
        listed = num_agents in (2, 3, 5, 10)
        register(f"CaptureTarget-{num_agents}", partial(CaptureTarget, num_agents), listed=listed)
        primitive = partial(PrimitiveCaptureTarget, num_agents)
        register(f"CaptureTarget-{num_agents}-primitive", primitive, listed=listed)
    describe_sizes("CaptureTarget", "number of agents n must be from 2 to 10")


def _register_overcooked() -> None:
    for map_type in "ABC":
        register(f"Overcooked-{map_type}", partial(Overcooked, map_type))
        register(f"Overcooked-{map_type}-primitive", partial(PrimitiveOvercooked, map_type))


_register_box_pushing()
_register_warehouse()
_register_capture_target()
_register_overcooked()
