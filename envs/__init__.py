"""MacDec-POMDPs as pure JAX functions, found by id: `make`, `list_ids`, `env_options`, `register_environment`.

* `environment.py`: the contract (`TimeStep`) and the base class; `testing.py` holds an environment to it.
* `registry.py`: ids; `arguments.py`: options of an id, which are the keyword-only arguments of its factory.
* `box_pushing/`, `warehouse/`, `capture_target/`, `overcooked/`: a family each. Its `__init__` registers the ids;
  `environment.py` has the rules, `primitive.py` the version with actions of one step, `state.py` what changes in an
  episode, `layout.py` where everything is, `plans.py` the best plans known, `drawing.py` the picture.
* `options/`: macro-actions written by hand for any environment; `adapters/`: other libraries' interfaces.
* `rendering.py`: frames and animations; `exact.py`: arithmetic that reproduces recorded numbers to the last digit.
"""

from jaxmac.envs.box_pushing import BoxPushing, PrimitiveBoxPushing
from jaxmac.envs.capture_target import CaptureTarget, PrimitiveCaptureTarget
from jaxmac.envs.environment import Environment, EnvState, Outcome, TimeStep
from jaxmac.envs.options import Option, View, WithOptions
from jaxmac.envs.overcooked import Overcooked, PrimitiveOvercooked
from jaxmac.envs.registry import env_options, list_ids, make, register, register_environment
from jaxmac.envs.registry import list_ids as list_environments  # its name among those of the library
from jaxmac.envs.testing import ContractError, check_environment
from jaxmac.envs.warehouse import LAYOUTS, PrimitiveWarehouse, Warehouse

__all__ = [
    "LAYOUTS",
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
    "list_environments",
    "list_ids",
    "make",
    "register",
    "register_environment",
]
