"""To and from other libraries' interfaces, the only place with dicts of agents.

`from_jaxmarl` makes any JaxMARL environment one of ours; `to_jaxmarl` and `to_pettingzoo` give ours their
interfaces, and `rollout_manager` gives JaxMARL's programs our masks. The libraries are optional:
`pip install 'jaxmac[adapters]'`.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from jaxmac.envs.arguments import factory_options
from jaxmac.envs.environment import Environment

__all__ = ["from_jaxmarl", "rollout_manager", "to_jaxmarl", "to_pettingzoo"]


def from_jaxmarl(env: Any, **options: Any) -> Environment:
    """A JaxMARL `MultiAgentEnv` as an Environment whose macro-actions are its actions, one step each.

    Give it to `envs.WithOptions` for macro-actions that last. The options are those of `FromJaxMARL` in
    `incoming_jaxmarl.py`: `horizon`, `reward`, `actions`, `action_names`, `state`, `draw`, `name`.

    Raises:
        ImportError: JaxMARL is not installed.
        ValueError: in one line, for an environment or an option that does not fit.
    """
    make: Callable[..., Environment] = _load("incoming_jaxmarl").FromJaxMARL
    known = list(factory_options(make))
    for name in options:
        if name not in known:
            raise ValueError(f"unknown option {name!r} of from_jaxmarl; known: {', '.join(known)}")
    return make(env, **options)


def to_jaxmarl(env: Environment, *, fresh: bool = False) -> Any:
    """An Environment as a JaxMARL `MultiAgentEnv`; see `JaxMARLView` in `outgoing_jaxmarl.py`.

    Agents see their macro-observation, or with `fresh` what they perceive now. Raises ImportError if JaxMARL is not
    installed, ValueError if `env` is no Environment.
    """
    return _load("outgoing_jaxmarl").JaxMARLView(_checked(env), fresh)


def rollout_manager(env: Any, batch_size: int, **options: Any) -> Any:
    """JaxMARL's `CTRolloutManager` for a view of `to_jaxmarl`, or for a wrapper around one.

    It gives masks of available macro-actions (`get_valid_actions`), the global state as `obs["__all__"]` and the
    team's reward as `rewards["__all__"]`. A program of JaxMARL's gets them without a change to it when
    `program.CTRolloutManager` is set to this function.

    Raises ImportError if JaxMARL is not installed, ValueError if `env` is not such a view.
    """
    return _load("outgoing_jaxmarl").rollout_manager(env, batch_size, **options)


def to_pettingzoo(
    env: Environment,
    seed: int = 0,
    *,
    fresh: bool = False,
    render_mode: str | None = None,
    mask_in: str = "observation",
) -> Any:
    """An Environment as a PettingZoo `ParallelEnv`; see `PettingZooView` in `outgoing_pettingzoo.py`.

    Episodes follow from `seed`, an integer of 0 to 2^32 - 1, until `reset(seed=...)` gives another one. `fresh` as
    in `to_jaxmarl`; `render_mode` is None or "rgb_array". `mask_in` tells where the mask of available macro-actions
    is: with "observation" observations are dicts that hold it, with "info" they are plain arrays. JAX starts with
    the first `reset`, not before.

    Raises:
        ImportError: PettingZoo is not installed.
        ValueError: `env` is no Environment, or another argument has another value.
    """
    return _load("outgoing_pettingzoo").PettingZooView(_checked(env), seed, fresh, render_mode, mask_in)


def _checked(env: Any) -> Environment:
    if not isinstance(env, Environment):
        raise ValueError(f"env is {env!r}, but must be an Environment (envs.make)")
    return env


def _load(module: str) -> Any:
    """A module of this folder; ImportError says what to install where its library is missing."""
    try:
        return import_module(f"jaxmac.envs.adapters.{module}")
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.partition(".")[0] in ("jaxmac", "jax", "numpy"):
            raise
        raise ImportError(f"{error.name} is not installed: pip install 'jaxmac[adapters]'") from None
