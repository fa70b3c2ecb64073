"""The interface of mixers, which join the utilities of all agents into one value, and their registry."""

from __future__ import annotations

import inspect
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxmac.config import check_settings, checked_value, setting, settings_of
from jaxmac.envs.shapes import kind_and_line, one_line
from jaxmac.errors import nearest
from jaxmac.hyper import Hyper
from jaxmac.registry import Registry

DUELING = ("none", "centred", "raw")
Mixer = nn.Module  # the type of a built mixer


class MixerInputs(NamedTuple):
    """The inputs of a mixer: any leading axes (such as time and batch), over which rows are independent."""

    q_all: Float[Array, "*rows agents actions"]  # utilities Q_i(h_i, .)
    chosen: Int[Array, "*rows agents"]  # running macro-actions of all agents, new or ongoing
    feasible: Bool[
        Array, "*rows agents actions"
    ]  # F_i: the available ones if the agent chooses, else the running one
    hidden: Float[Array, "*rows agents features"]  # outputs of the agents' recurrent layers
    mixer_state: Float[
        Array, "*rows state"
    ]  # the state that conditions the mixing, for example the joint macro-state
    available: Bool[Array, "*rows agents actions"] | None = None  # availability, whether or not the agent chooses
    value: Float[Array, "*rows agents"] | None = None  # V_i of raw dueling heads, in place of the maximum over F_i


class MixerSpec(NamedTuple):
    """A registered mixer."""

    module: type[nn.Module]
    dueling: str = "none"  # the dueling head that `dueling="auto"` selects with this mixer
    reads_state: bool = True  # whether it conditions on `mixer_state`


MIXERS: Registry[MixerSpec] = Registry("mixer")


def weight_floor() -> Any:
    """The setting that bounds dQ_tot/dQ_i from below (docs/specifications/mixers.md, section 5)."""
    return setting(0.0, "least weight of each utility in the joint value (0: as in the papers)", low=0.0)


def register_mixer(name: str, module: type[nn.Module], *, dueling: str = "none", reads_state: bool = True) -> None:
    """Add a mixer, which defines the algorithms `avf-NAME` and, if it reads the mixer state, `tomacvf-NAME`.

    Args:
        name: the name of the mixer.
        module: a flax module class that is called with `MixerInputs` `[..., agents, ...]` and returns Q_tot
            `[...]`. Fields made with `jaxmac.setting` are its hyperparameters; traced ones are arrays. Its class
            attribute `factorised` (default True) promises individual-global-max: the greedy joint macro-action of
            Q_tot is the tuple of the agents' greedy macro-actions, also where some agents do not choose
            (docs/specifications/mixers.md, section 5). A method `auxiliary(inputs) -> [...]` gives a loss of each
            row that is added to the temporal-difference loss. A field `value_state: int | None` is set where the
            mixer state consists of the global state and further entries: it is the size of the global state.
        dueling: the dueling head of the utilities under `dueling="auto"`: "none", "centred" or "raw".
        reads_state: whether it conditions on `mixer_state`.

    Raises ValueError, in one line, for a name that is taken or a module of the wrong kind. `jaxmac.check_mixer`
    tests the promised properties.
    """
    if not inspect.isclass(module) or not issubclass(module, nn.Module):
        raise ValueError(f"mixer {name!r} is {one_line(module)}, but must be a flax.linen module class")
    if dueling not in DUELING:
        raise ValueError(f"mixer {name!r}: dueling is {one_line(dueling)}, but must be one of {', '.join(DUELING)}")
    if not isinstance(reads_state, bool):
        raise ValueError(f"mixer {name!r}: reads_state is {one_line(reads_state)}, but must be True or False")
    check_settings("mixer", name, module)
    MIXERS.register(name, MixerSpec(module, dueling, reads_state), module.__module__)


def make_mixer(name: str, **options: Any) -> nn.Module:
    """Build the mixer `name`; `options` are fields of its class.

    Raises ValueError, in one line, for an unknown name or option, an option of the wrong type or out of its range,
    or a size below 1.
    """
    module = MIXERS[name].module
    known = [f for f in module.__dataclass_fields__ if f not in ("parent", "name")]
    checked = settings_of(module)
    for option, value in options.items():
        if option not in known:
            raise ValueError(f"unknown option {option!r} of mixer {name!r}; {nearest(option, known)}")
        if option in checked:
            options[option] = checked_value(option, checked[option], value)
        elif isinstance(value, int) and not isinstance(value, bool) and value < 1:
            raise ValueError(f"{option}={value} of mixer {name!r}: must be at least 1")
    return module(**options)


def mixer_of(name: str, config: Any, **fields: Any) -> nn.Module:
    """The mixer `name` with its static settings from `config`; `fields` take precedence over them."""
    module = MIXERS[name].module
    static = {s: getattr(config, s) for s, field in settings_of(module).items() if not field.metadata["traced"]}
    return module(**static | fields)


def with_traced(mixer: nn.Module, hyper: Hyper) -> nn.Module:
    """The mixer with its traced settings from `hyper`."""
    traced: dict[str, Any] = {
        s: hyper[s] for s, field in settings_of(type(mixer)).items() if field.metadata["traced"]
    }
    return mixer.clone(**traced) if traced else mixer


def init_mixer(mixer: nn.Module, key: Array, agents: int, actions: int, hidden_size: int, state_size: int) -> Any:
    """Initial parameters of a mixer for a team of this size.

    Raises ValueError, in one line, if the mixer fails on such inputs or does not return one value per row.
    """
    inputs = MixerInputs(
        jnp.zeros((1, agents, actions), jnp.float32),
        jnp.zeros((1, agents), jnp.int32),
        jnp.ones((1, agents, actions), bool),
        jnp.zeros((1, agents, hidden_size), jnp.float32),
        jnp.zeros((1, state_size), jnp.float32),
        jnp.ones((1, agents, actions), bool),
    )
    name = type(mixer).__name__
    two_axes: Any = jax.tree.map(lambda x: jnp.broadcast_to(x, (2, 3, *x.shape[1:])), inputs)
    try:
        value = jax.eval_shape(lambda: mixer.init_with_output(key, inputs)[0])
        extra = jax.eval_shape(lambda: auxiliary_losses(mixer, mixer.init(key, inputs), inputs))
        wide = jax.eval_shape(lambda: mixer.apply(mixer.init(key, inputs), two_axes))
    except Exception as error:
        raise ValueError(f"mixer {name} raised {kind_and_line(error)}") from error
    if getattr(value, "shape", None) != (1,):
        shape = getattr(value, "shape", type(value).__name__)
        raise ValueError(f"mixer {name} returns shape {shape} for one row, but must return (1,)")
    if getattr(wide, "shape", None) != (2, 3):
        shape = getattr(wide, "shape", type(wide).__name__)
        raise ValueError(f"mixer {name} returns shape {shape} for two rows of three, but must return (2, 3)")
    if not jnp.issubdtype(value.dtype, jnp.floating):
        raise ValueError(f"mixer {name} returns {value.dtype}, but must return a float, as it is differentiated")
    if hasattr(mixer, "auxiliary") and getattr(extra, "shape", None) != (1,):
        shape = getattr(extra, "shape", type(extra).__name__)
        raise ValueError(f"the auxiliary loss of mixer {name} has shape {shape} for one row, but must have (1,)")
    return mixer.init(key, inputs)


def auxiliary_losses(mixer: nn.Module, params: Any, inputs: MixerInputs) -> Float[Array, "*rows"] | float:
    """The auxiliary loss of each row; 0 for a mixer without a method `auxiliary`."""
    losses: Any = mixer.apply(params, inputs, method="auxiliary") if hasattr(mixer, "auxiliary") else 0.0
    return losses


def is_factorised(mixer: nn.Module | type[nn.Module]) -> bool:
    """Whether a mixer promises individual-global-max, so that agents can choose by their own utilities."""
    return bool(getattr(mixer, "factorised", True))
