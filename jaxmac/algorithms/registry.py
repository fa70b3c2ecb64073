"""Algorithms by id, their presets, and the configs composed of their settings and those of their parts."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from jaxmac.algorithms.base import Algorithm, CommonConfig
from jaxmac.algorithms.checking import check_algorithm, check_replay, example_episodes, made_by
from jaxmac.config import (
    build,
    check_settings,
    choosing_fields,
    chosen_parts,
    compose,
    meant_by,
    part_labels,
    settings_of,
)
from jaxmac.envs.environment import Environment
from jaxmac.envs.shapes import one_line
from jaxmac.errors import nearest, synonyms
from jaxmac.hyper import static_view
from jaxmac.mixers import MIXERS, MixerSpec
from jaxmac.mixers.testing import check_before_training
from jaxmac.networks.checking import check_memory
from jaxmac.networks.memory import MEMORIES
from jaxmac.record.compact import compact_replay
from jaxmac.record.replay import SAMPLERS
from jaxmac.registry import Registry, UnknownNameError, is_outside

Preset = Callable[[Environment], dict[str, Any]]


class AlgorithmSpec(NamedTuple):
    """A registered algorithm.

    Attributes:
        config: frozen dataclass of its hyperparameters, a subclass of `jaxmac.algorithms.CommonConfig`.
        make: (environment, static config) -> Algorithm; raises a one-line ValueError for settings that do not fit.
        presets: name -> (environment -> values); "tuned" is the default of `jaxmac.train`. A value for a setting
            of a part that is not chosen does not apply.
        parts: the parts that its id fixes, such as {"mixer qplex": QPLEX}; their settings join the config.
        summary: what it is, in one clause for `jaxmac list --algorithms`.
    """

    config: type
    make: Callable[[Environment, Any], Algorithm]
    presets: Mapping[str, Preset]
    parts: Mapping[str, Any] = {}
    summary: str = ""


class MixerFamily(NamedTuple):
    """Algorithms that differ in their mixer: `NAME-MIXER` for every mixer that the family takes."""

    spec: Callable[[str], AlgorithmSpec]  # mixer name -> spec
    takes: Callable[[MixerSpec], bool]


class AlgorithmRegistry(Registry[AlgorithmSpec]):
    """Algorithms by id: the ids of mixer families are derived from the mixers, the others are registered."""

    def __init__(self) -> None:
        super().__init__("algorithm")
        self.families: dict[str, MixerFamily] = {}

    def register_family(self, name: str, family: MixerFamily) -> None:
        """Add the algorithms `NAME-MIXER`; raises ValueError for a name that is taken."""
        if name in self.families:
            raise ValueError(f"algorithm family {name!r} is registered already: choose another name")
        self.families[name] = family

    def derived(self, mixers: Mapping[str, MixerSpec] = MIXERS) -> dict[str, tuple[MixerFamily, str]]:
        """Id -> (family, mixer name) of the algorithms that are derived from these mixers."""
        return {
            f"{name}-{mixer}": (family, mixer)
            for name, family in self.families.items()
            for mixer, spec in mixers.items()
            if family.takes(spec)
        }

    def refuse_taken_by(self, mixer: str, spec: MixerSpec) -> None:
        """Raise a one-line ValueError if an algorithm has one of the ids that a new mixer would define."""
        for family in (name for name, family in self.families.items() if family.takes(spec)):
            if f"{family}-{mixer}" in self._parts:
                by = self._origins[f"{family}-{mixer}"]
                taken = f"an algorithm {family}-{mixer} is registered already, by {by}"
                raise ValueError(f"mixer {mixer!r}: {taken}: choose another name")

    def register(self, name: str, part: AlgorithmSpec, defined_in: str | None = None) -> None:
        """As in `Registry`; ids that are derived from mixers are taken, too."""
        if name in self.derived(MIXERS.registered()):  # plugins may not be loaded while the library is imported
            raise ValueError(
                f"algorithm {name!r} is derived from the mixer {name.partition('-')[2]}: choose another name"
            )
        super().register(name, part, defined_in)

    def unregister(self, name: str) -> None:
        """As in `Registry`; ValueError for an id that is derived from a mixer."""
        if name in self.derived():
            mixer = name.partition("-")[2]
            raise ValueError(f"algorithm {name!r} is derived from the mixer {mixer!r}: unregister the mixer")
        super().unregister(name)

    def origin(self, name: str) -> str:
        """As in `Registry`; that of a derived id is its mixer's."""
        derived = self.derived()
        return MIXERS.origin(derived[name][1]) if name in derived else super().origin(name)

    def __getitem__(self, name: str) -> AlgorithmSpec:
        if name not in self:
            raise UnknownNameError(f"unknown algorithm {name!r}; {nearest(name, self)}")
        derived = self.derived()
        if name in derived:
            family, mixer = derived[name]
            return family.spec(mixer)
        return self._parts[name]

    def __iter__(self) -> Iterator[str]:
        return iter((*self.derived(), *super().__iter__()))

    def __len__(self) -> int:
        return len(tuple(iter(self)))

    def __contains__(self, name: object) -> bool:
        return name in tuple(iter(self))


ALGORITHMS = AlgorithmRegistry()
MIXERS.guards.append(ALGORITHMS.refuse_taken_by)


def register_algorithm(name: str, spec: AlgorithmSpec) -> None:
    """Add an algorithm under the id `name`.

    Raises ValueError, in one line, for a name that is taken or a spec of the wrong kind.
    """
    if not isinstance(spec, AlgorithmSpec):
        raise ValueError(
            f"algorithm {name!r} is {one_line(spec)}, but must be a jaxmac.AlgorithmSpec(config, make, presets)"
        )
    if not (inspect.isclass(spec.config) and issubclass(spec.config, CommonConfig)):
        raise ValueError(
            f"algorithm {name!r}: its config is {one_line(spec.config)}, but must be a subclass of CommonConfig"
        )
    check_settings("algorithm", name, spec.config)
    is_mapping = isinstance(spec.presets, Mapping) and bool(spec.presets)
    if not callable(spec.make) or not is_mapping or not all(map(callable, spec.presets.values())):
        raise ValueError(
            f"algorithm {name!r} must have make(env, config) and presets such as {{'tuned': lambda env: {{}}}}"
        )
    if not isinstance(spec.parts, Mapping) or not isinstance(spec.summary, str):
        raise ValueError(f"algorithm {name!r} must have a dict as parts and a text as summary")
    ALGORITHMS.register(
        name, spec, spec.make.__module__ if hasattr(spec.make, "__module__") else spec.config.__module__
    )


def mixer_spec_of(name: str) -> MixerSpec | None:
    """What is registered as the mixer of a derived algorithm; None for other algorithms."""
    derived = ALGORITHMS.derived()
    return MIXERS[derived[name][1]] if name in derived else None


def check_mixer_of(name: str, config: Any) -> None:
    """Raise MixerError, in one line, if the algorithm has a mixer from outside that does not keep its promises.

    It tries the mixer with the settings of `config`, which takes seconds, mostly to compile, once in a process.
    """
    derived = ALGORITHMS.derived()
    if name in derived and is_outside(MIXERS.origin(derived[name][1])):
        check_before_training(derived[name][1], config)


def list_algorithms() -> tuple[str, ...]:
    """Known algorithm ids."""
    return tuple(ALGORITHMS)


def make_algorithm(name: str, env: Environment, config: Any) -> Algorithm:
    """The algorithm `name` built for an environment and the static part of a config.

    Raises ValueError, in one line, for settings that do not fit each other or the environment, and for a memory,
    sampler or algorithm from outside that does not do what it promises.
    """
    if (check_together := getattr(config, "check_together", None)) is not None:
        check_together()
    memory = getattr(config, "memory", None)
    if memory is not None and is_outside(MEMORIES.origin(memory)):
        check_memory(memory, config, config.hidden_size)
    if name in ALGORITHMS.derived() or not is_outside(ALGORITHMS.origin(name)):
        algorithm = ALGORITHMS[name].make(env, static_view(config))
    else:
        make, static = ALGORITHMS[name].make, static_view(config)
        algorithm = made_by(f"algorithm {name!r}", "make", make, env, static, passes=(ValueError,))
        check_algorithm(name, algorithm, env, config)
    sampling, replay = getattr(config, "sampling", None), algorithm.collection.replay
    if sampling is None or not is_outside(SAMPLERS.origin(sampling)):
        replay = compact_replay(replay, env)
    else:  # it is given the episodes as they are
        check_replay(f"sampler {sampling!r}", replay, example_episodes(env, config.num_envs), config.batch_size)
    return algorithm._replace(collection=algorithm.collection._replace(replay=replay))


def configure(name: str, preset: str, env: Environment, overrides: Mapping[str, Any]) -> Any:
    """The checked config of algorithm `name` on `env`: preset values, then `overrides`.

    Raises ValueError, in one line, for an unknown algorithm, preset or hyperparameter, a setting of another part,
    a value out of range, or values that do not go together.
    """
    spec = ALGORITHMS[name]
    if not isinstance(preset, str) or preset not in spec.presets:
        raise ValueError(f"unknown preset {preset!r} of {name}; {nearest(preset, spec.presets)}")
    values = made_by(f"algorithm {name!r}", f"preset {preset!r}", spec.presets[preset], env, passes=(ValueError,))
    if not isinstance(values, Mapping):
        raise ValueError(f"preset {preset!r} of {name} is {one_line(values)}, but must be a dict of settings")
    for option in sorted(env.options.keys() & overrides.keys()):
        if not owners_of(option):
            raise ValueError(f"{option} is an option of {env.name}: set it in env_options, which are not swept")
    config = build_config(name, values, overrides)
    config.check_together()
    return config


def build_config(
    name: str, defaults: Mapping[str, Any], values: Mapping[str, Any], source: str = "a preset"
) -> Any:
    """The checked config of algorithm `name`.

    Of `defaults`, settings of parts that are not chosen do not apply; among `values` they are an error.
    """
    config_class = config_class_of(name, {**defaults, **values})
    known = settings_of(config_class)
    for setting in values:
        if setting not in known:
            raise ValueError(refusal(name, setting, config_class))
    for setting in defaults:
        if setting not in known and not owners_of(setting):
            raise ValueError(f"unknown hyperparameter {setting!r} of {name} in {source}; {nearest(setting, known)}")
    return build(config_class, {k: v for k, v in defaults.items() if k in known}, values)


def config_class_of(name: str, values: Mapping[str, Any]) -> type:
    """The config class of algorithm `name` with the parts that `values` choose."""
    spec = ALGORITHMS[name]
    return compose(spec.config, {**spec.parts, **chosen_parts(spec.config, values)})


def parts_by_kind() -> dict[str, Mapping[str, Any]]:
    """Kind -> name -> class of all parts that some algorithm can have."""
    kinds: dict[str, Mapping[str, Any]] = {"mixer": {name: spec.module for name, spec in MIXERS.items()}}
    for spec in ALGORITHMS.values():
        for field in choosing_fields(spec.config).values():
            kinds[field.metadata["chooses"]] = field.metadata["choices"]
    return kinds


def owners_of(setting: str) -> list[str]:
    """Who has a setting of that name: parts ("mixer qplex") and algorithms (by id)."""
    parts = [
        f"{kind} {name}"
        for kind, named in parts_by_kind().items()
        for name, part in named.items()
        if setting in settings_of(part)
    ]
    return parts + [name for name, spec in ALGORITHMS.items() if setting in settings_of(spec.config)]


def refusal(name: str, setting: str, config_class: type) -> str:
    """Why algorithm `name` does not take a setting, in one line: whose it is, or what is near."""
    owners, ours = owners_of(setting), named_otherwise(setting, config_class)
    if ours is not None:
        return f"{setting} is {ours} in jaxmac: {refusal(name, ours, config_class)}"
    if not owners:
        return f"unknown hyperparameter {setting!r}; {meant_by(setting, settings_of(config_class))}"
    parts = [owner for owner in owners if " " in owner]
    algorithms = [owner for owner in owners if " " not in owner]
    has = {label.partition(" ")[0] for label in part_labels(config_class)}
    parts = [part for part in parts if part.partition(" ")[0] in has or not algorithms]
    if not parts:
        listed = ", ".join(algorithms[:4]) + (f" and {len(algorithms) - 4} more" if len(algorithms) > 4 else "")
        return f"{setting} is a setting of {listed}; {name} does not have it"
    kind = parts[0].partition(" ")[0]
    whose = " and ".join(part.partition(" ")[2] for part in parts if part.startswith(f"{kind} "))
    return f"{setting} is a setting of {kind} {whose}; {name} has {parts_in_words(kind, config_class)}"


def named_otherwise(setting: str, config_class: type) -> str | None:
    """Our name for another library's setting that some algorithm has, but not this one; else None."""
    if owners_of(setting):
        return None
    names = [name for name in synonyms(setting) if owners_of(name)]
    return None if not names or settings_of(config_class).keys() & {*names} else names[0]


def parts_in_words(kind: str, config_class: type) -> str:
    """The part of a kind that an algorithm has: "mixer vdn", or "no mixer"."""
    label = next((label for label in part_labels(config_class) if label.startswith(f"{kind} ")), f"no {kind}")
    chooser = [s for s, field in choosing_fields(config_class).items() if field.metadata["chooses"] == kind]
    return f"{label} here; {chooser[0]} chooses it" if chooser else label


def plugins_of(name: str, config: Any) -> list[str]:
    """Modules outside the library that an algorithm and its parts come from."""
    origins = [ALGORITHMS.origin(name)]
    for setting, field in choosing_fields(type(config)).items():
        if isinstance(field.metadata["choices"], Registry):
            origins.append(field.metadata["choices"].origin(getattr(config, setting)))
    return list(dict.fromkeys(module for module in origins if is_outside(module)))
