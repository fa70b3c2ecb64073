"""The jitted functions of a run over all its members, kept from one run of a process to the next."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh, PartitionSpec
from jax.stages import Wrapped

from jaxmac.algorithms import ALGORITHMS, Algorithm, make_algorithm
from jaxmac.algorithms.registry import mixer_spec_of
from jaxmac.envs.environment import Environment
from jaxmac.envs.registry import factory_of
from jaxmac.hyper import static_view
from jaxmac.runs.contents import attributes_of, function_key
from jaxmac.runs.exact import json_text
from jaxmac.training.compiled import MEMBERS, for_each_member, training_functions

KEPT_PROGRAMS = 16  # compiled programs kept in this process, the most recently used ones


class MemberFunctions(NamedTuple):
    """The jitted functions of a run over all members of a program; see `TrainingFunctions`."""

    algorithm: Algorithm
    init: Wrapped
    advance: Wrapped
    evaluate: Wrapped


_changing = threading.Lock()  # held while `_programs` changes
_programs: OrderedDict[Hashable, tuple[Environment, MemberFunctions]] = OrderedDict()


def member_functions(
    algorithm: str,
    env: Environment,
    config: Any,
    mesh: Mesh | None,
    env_id: str | None = None,
    diagnostics: Sequence[str] | None = None,
) -> MemberFunctions:
    """The jitted functions of a run; the same objects for the same algorithm, environment and static config.

    Therefore a second run that differs only in seeds and traced hyperparameters does not compile again. The last
    `KEPT_PROGRAMS` are kept; `jax.clear_caches` releases their compiled code. With `env_id` an environment is
    identified by its id, what is registered under it, its options and attributes (`attributes_of`); without it,
    only the same object with the same attributes counts as the same environment. `diagnostics` are those that are
    summed up, None for all of the algorithm's.
    """
    static = static_view(config)
    devices = None if mesh is None else tuple(mesh.devices.flat)
    made_by = function_key(ALGORITHMS[algorithm].make), mixer_spec_of(algorithm)
    reported = None if diagnostics is None else tuple(diagnostics)
    key = (algorithm, made_by, _environment_key(env, env_id), static, reported, devices, jax.default_backend())
    kept = _programs.get(key)
    if kept is None:
        made = make_algorithm(algorithm, env, config)
        if reported is not None:
            made = made._replace(diagnostics=reported)
        kept = env, _jitted(env, made, static, mesh)
    with _changing:  # threads may train runs of their own
        _programs[key] = kept
        _programs.move_to_end(key)
        while len(_programs) > KEPT_PROGRAMS:
            _programs.popitem(last=False)
    return kept[1]


def _environment_key(env: Environment, env_id: str | None) -> Hashable:
    """The same for the same id, options and attributes; without an id, or with options beyond JSON, for one object.

    An id may be registered anew with another factory, as in a notebook that is run again.
    """
    content = attributes_of(env)
    try:
        if env_id is not None:
            options = json_text(dict(sorted(env.options.items())))
            return env_id, function_key(factory_of(env_id)), options, content
    except ValueError:
        pass
    return id(env), content


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
