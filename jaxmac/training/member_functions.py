"""The jitted functions of a run over all its members, kept from one run of a process to the next."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import cached_property, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from jax.stages import Wrapped

from jaxmac.algorithms import ALGORITHMS, Algorithm, make_algorithm
from jaxmac.envs.environment import Environment
from jaxmac.envs.registry import factory_of
from jaxmac.hyper import static_view
from jaxmac.runs.exact import json_text
from jaxmac.training.compiled import MEMBERS, for_each_member, training_functions

KEPT_PROGRAMS = 16  # compiled programs kept in this process, the most recently used ones


class MemberFunctions(NamedTuple):
    """The jitted functions of a run over all members of a program; see `TrainingFunctions`."""

    algorithm: Algorithm
    init: Wrapped
    advance: Wrapped
    evaluate: Wrapped


_programs: OrderedDict[Hashable, tuple[Environment, MemberFunctions]] = OrderedDict()


def member_functions(
    algorithm: str, env: Environment, config: Any, mesh: Mesh | None, env_id: str | None = None
) -> MemberFunctions:
    """The jitted functions of a run; the same objects for the same algorithm, environment and static config.

    Therefore a second run that differs only in seeds and traced hyperparameters does not compile again. The last
    `KEPT_PROGRAMS` are kept; `jax.clear_caches` releases their compiled code. With `env_id` an environment is
    identified by its id, what is registered under it, and its options; without it, only the same object with the
    same attributes counts as the same environment.
    """
    static = static_view(config)
    same_env = _environment_key(env, env_id)
    devices = None if mesh is None else tuple(mesh.devices.flat)
    make = _function_key(ALGORITHMS[algorithm].make)
    key = (algorithm, make, same_env, static, devices, jax.default_backend())
    if key not in _programs:
        built = make_algorithm(algorithm, env, config)
        _programs[key] = env, _jitted(env, built, static, mesh)
    _programs.move_to_end(key)
    while len(_programs) > KEPT_PROGRAMS:
        _programs.popitem(last=False)
    return _programs[key][1]


def _environment_key(env: Environment, env_id: str | None) -> Hashable:
    """The same for the same id and options; without an id, or with options beyond JSON, only for one object.

    An id may be registered anew with another factory, as in a notebook that is run again.
    """
    try:
        if env_id is not None:
            return env_id, _function_key(factory_of(env_id)), json_text(dict(sorted(env.options.items())))
    except ValueError:
        pass
    return id(env), attributes_of(env)


def attributes_of(env: Environment) -> Hashable:
    """What differs between environments whose attributes do, also those of environments within.

    Arrays count in full, by a digest. What is computed on first use does not count.
    """
    owned = (pair for kind in type(env).__mro__ for pair in vars(kind).items())
    computed = {name for name, value in owned if isinstance(value, cached_property)}
    named = sorted((name, value) for name, value in vars(env).items() if name not in computed)
    return tuple((name, _content_of(value)) for name, value in named)


def _content_of(value: Any) -> Hashable:
    if isinstance(value, Environment):
        return attributes_of(value)
    try:
        leaves, structure = jax.tree.flatten(value)
    except (TypeError, ValueError):  # a dict whose keys have no order
        return repr(value)
    return str(structure), tuple(map(_leaf_content, leaves))


def _leaf_content(leaf: Any) -> str:
    if isinstance(leaf, np.ndarray | jax.Array) and not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        array = np.asarray(leaf)
        if array.dtype != object:
            return f"{array.dtype}{array.shape}{hashlib.sha256(array.tobytes()).hexdigest()}"
    return repr(leaf)


def _function_key(function: Callable) -> Hashable:
    """The same for the same function, and for the same arguments bound to it with `functools.partial`."""
    bound: tuple[Any, ...] = ()
    if isinstance(function, partial):
        bound = function.args, tuple(sorted(function.keywords.items()))
        function = function.func
    try:
        hash((function, bound))
    except TypeError:
        return id(function), repr(bound)
    return function, bound


def _jitted(env: Environment, algorithm: Algorithm, config: Any, mesh: Mesh | None) -> MemberFunctions:
    functions = training_functions(env, algorithm, config, MEMBERS)

    def over_members(function: Callable, batched: int, unbatched: int, donate: bool) -> Wrapped:
        if mesh is not None:
            specs = (PartitionSpec("members"),) * batched + (PartitionSpec(),) * unbatched
            function = jax.shard_map(
                function, mesh=mesh, in_specs=specs, out_specs=PartitionSpec("members"), check_vma=False
            )
        return jax.jit(function, donate_argnums=(0,) if donate else ())

    return MemberFunctions(
        algorithm,
        over_members(partial(for_each_member, functions.init), 2, 0, donate=False),
        over_members(functions.advance, 3, 2, donate=True),
        over_members(jax.vmap(functions.evaluate, in_axes=(0, 0, 0, None)), 3, 1, donate=True),
    )


def members_mesh(count: int, devices: list[Any] | None = None) -> Mesh | None:
    """A mesh with the axis "members" over no more devices than `count` members can use; None for a single device.

    With several processes it includes devices of every process, the same number of each as far as possible.
    """
    own: dict[int, list[Any]] = {}
    for device in devices or jax.devices():
        own.setdefault(device.process_index, []).append(device)
    each = 1
    while sum(len(found[:each]) for found in own.values()) < count and each < max(map(len, own.values())):
        each += 1
    chosen = [device for found in own.values() for device in found[:each]]
    return Mesh(chosen, ("members",)) if len(chosen) > 1 else None
