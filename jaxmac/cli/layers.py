"""Settings of `jaxmac train` from a file (`--config`) or another run (`--like`), below the flags on the line.

A layer becomes words of the command line in front of the others. So they are read, checked and reported like flags,
and a text such as 1e-3, which YAML does not take for a number, is one.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from jaxmac.cli.parsing import given_flags, peek, print_note, take
from jaxmac.cli.words import spell_switches, wrong_value
from jaxmac.config import check_value
from jaxmac.errors import first_line, nearest

COMMAND_LINE_ONLY = {"config", "like", "dry_run"}
OPTION = "env_options."  # before the name of an environment's option


class Layer(NamedTuple):
    """Settings from one place; options of the environment are `env_options.NAME`."""

    source: str  # the file or run directory
    values: dict[str, Any]
    sweep: dict[str, list[Any]]
    strict: bool  # whether an unknown name is an error; a run's settings are left out where they do not apply


def read_layers(arguments: Sequence[str]) -> tuple[list[Layer], list[str]]:
    """What is left of the layers under each other and under the flags, the lowest first, and the other arguments.

    Raises ValueError or RunDirectoryError, in one line, for a file or run that cannot be read.
    """
    runs, arguments = take(arguments, "--like")
    files, arguments = take(arguments, "--config")
    for flag, given in (("--like", runs), ("--config", files)):
        if len(given) > 1:
            raise ValueError(f"{flag} is given twice; give it once")
    names, swept = names_of_flags(arguments), _swept_by_flags(arguments)
    layers: list[Layer] = []
    algorithm = peek(arguments, "--algorithm", "")
    for path in files:
        layers = [_below(_file_layer(path), names, swept)]
        names, swept = names | layers[0].values.keys(), swept | layers[0].sweep.keys()
        algorithm = algorithm or str(layers[0].values.get("algorithm", ""))
    for path in runs:
        layers.insert(0, _below(_run_layer(path, names, algorithm), names, swept))
    return layers, list(arguments)


def names_of_flags(arguments: Sequence[str]) -> Set[str]:
    """The settings that are given by flags, `--no-flag` among them."""
    names = set()
    for flag in given_flags(arguments):
        start, dot, name = flag[2:].replace("-", "_").rpartition(".")
        names.add(start + dot + name.removeprefix("no_"))
    return names


def _swept_by_flags(arguments: Sequence[str]) -> Set[str]:
    """The settings that `--sweep` on the line names."""
    names: set[str] = set()
    inside = False
    for word in arguments:
        if word.startswith("--"):
            inside = word == "--sweep" or word.startswith("--sweep=")
            word = word.removeprefix("--sweep").removeprefix("=")
        if inside and word:
            names.add(word.partition("=")[0].replace("-", "_"))
    return names


def _below(layer: Layer, names: Set[str], swept: Set[str]) -> Layer:
    """What is left of a layer under settings and a sweep; of two sweeps the upper one alone counts."""
    values = {name: value for name, value in layer.values.items() if name not in names | swept}
    sweep = {} if swept else {name: found for name, found in layer.sweep.items() if name not in names}
    return layer._replace(values=values, sweep=sweep)


def _file_layer(path: str) -> Layer:
    """The settings in a file; ValueError, in one line, if it has none."""
    content = _content(Path(path))
    if not isinstance(content, Mapping):
        raise ValueError(f"{path} holds {content or 'nothing'}, but must map settings to values")
    values = _named(content)
    for name, value in values.items():
        if value is None:
            raise ValueError(f"{path}: {name} has no value: give it one, or leave it out")
    options, sweep = values.pop("env_options", {}), values.pop("sweep", {})
    if not isinstance(options, Mapping):
        raise ValueError(f"{path}: env_options is {options!r}, but must map names to values")
    if not isinstance(sweep, Mapping):
        raise ValueError(f"{path}: sweep is {sweep!r}, but must map names to lists of values")
    for name, found in sweep.items():
        if not isinstance(found, list) or not found:
            raise ValueError(f"{path}: sweep.{name} is {found!r}, but must be a list of values")
    for name, value in _named(options).items():
        if f"{OPTION}{name}" in values:
            raise ValueError(f"{path} has {OPTION}{name} twice")
        values[f"{OPTION}{name}"] = value
    return Layer(path, values, _named(sweep), strict=True)


def _named(content: Mapping[Any, Any]) -> dict[str, Any]:
    """A map with the names of settings, in which dashes and underscores are the same."""
    return {str(name).replace("-", "_"): value for name, value in content.items()}


def _content(path: Path) -> Any:
    """What a file of YAML or JSON holds; ValueError, in one line, if it cannot be read."""
    if path.suffix not in (".yaml", ".yml", ".json"):
        raise ValueError(f"--config {path}: settings are read from .yaml, .yml or .json files")
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix == ".json":
            return json.loads(text, object_pairs_hook=_once)
        return yaml.load(text, _Loader)
    except OSError as error:
        raise ValueError(f"--config {path} cannot be read: {error.strerror}") from None
    except RecursionError:
        raise ValueError(f"{path} is nested too deeply") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        problem = getattr(error, "problem", first_line(error))
        raise ValueError(f"{path} is not valid YAML: {where}{problem}") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8 text") from None
    except _TwiceError as error:
        raise ValueError(f"{path} has {error} twice") from None


class _TwiceError(ValueError):
    """A name that is given twice, of which the last one would silently count."""


def _once(pairs: Sequence[tuple[Any, Any]]) -> dict[Any, Any]:
    """The pairs as a dict; raises _TwiceError for a name given twice, where dashes and underscores are the same."""
    names = [str(name).replace("-", "_") for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise _TwiceError(name)
    return dict(pairs)


class _Loader(yaml.SafeLoader):
    """YAML with plain values only, in which no name is given twice."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                problem = "a name must be a word, not a list or a map"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
        _once([(key.value, None) for key, _ in node.value])
        return super().construct_mapping(node, deep)


def _run_layer(path: str, names: Set[str], algorithm: str) -> Layer:
    """The settings of a run: as it was trained, not as its preset is today.

    Under another preset, or for another algorithm, only those that the run was given beside its preset: a preset
    of PPO, say, explores in another way than one of Q-learning. Raises RunDirectoryError or ValueError, in one
    line, for a run that cannot be read or whose environment cannot be made.
    """
    from jaxmac.runs.members import restore_members
    from jaxmac.runs.result import opened_config

    saved = opened_config(path)
    same_env = saved["env_rebuildable"] and "env" not in names
    if not saved["env_rebuildable"] and "env" not in names:
        raise ValueError(f"{path}: its environment {saved['env']} has no environment id: give --env ID")
    try:
        settings = vars(restore_members(saved)[0].config)
    except ValueError as error:
        raise ValueError(f"{path}/config.json: {error}") from None
    if "preset" in names or algorithm not in ("", saved["algorithm"]):
        settings = {name: settings[name] for name in saved["hyperparameters"] if name in settings}
    values = {name: saved[name] for name in ("algorithm", "preset", "seeds", "episodes", "log")}
    values |= {name: saved[name] for name in ("checkpoint_every", "checkpoint_replay")}
    values |= {"env": saved["env"]} if same_env else {}
    values |= {f"{OPTION}{name}": value for name, value in saved["env_options"].items()}
    values |= {name: value for name, value in settings.items() if name not in saved["sweep"]}
    return Layer(str(path), values, saved["sweep"], strict=False)


def words_of(layers: Sequence[Layer]) -> list[str]:
    """The layers as words of the command line."""
    words: list[str] = []
    for layer in layers:
        words += [_word(name, value) for name, value in layer.values.items() if value is not None]
        if layer.sweep:
            words += ["--sweep", *(f"{name}={_with_commas(found)}" for name, found in layer.sweep.items())]
    return words


def _word(name: str, value: Any) -> str:
    """A setting as one types it; a list is a table of the environment (JSON), or its entries with commas."""
    if isinstance(value, list) and not name.startswith(OPTION):
        value = _with_commas(value) + (
            "," if name == "seeds" else ""
        )  # one seed in a list is not a number of seeds
    flag = "--" + name.replace("_", "-")
    return f"{flag}={json.dumps(value) if isinstance(value, list | dict) else value}"


def _with_commas(values: Sequence[Any]) -> str:
    return ",".join(map(str, values))


def fitting(
    layer: Layer,
    kinds: Mapping[str, Any],
    settings: Mapping[str, dataclasses.Field],
    of: str,
    explain: Callable[[str], str | None],
) -> Layer:
    """A layer whose names all exist for the chosen algorithm and environment, and whose values can be read.

    Args:
        layer: the settings.
        kinds: `--flag` -> type of every option.
        settings: the hyperparameters by name, which can be swept, with their ranges.
        of: "ALGORITHM on ENVIRONMENT", for the note about a run's settings that are left out.
        explain: why a name is unknown, or None where that is not known.

    Raises ValueError, in one line that names the file, for a name or value that does not fit.
    """
    known = {name for name in (flag[2:].replace("-", "_") for flag in kinds) if name not in COMMAND_LINE_ONLY}
    unknown = [name for name in layer.values if name not in known]
    unknown += [name for name in layer.sweep if name not in settings]
    if unknown and layer.strict:
        close = f"unknown setting {unknown[0]!r}; {nearest(unknown[0], sorted(known))}"
        raise ValueError(f"{layer.source}: {explain(unknown[0]) or close}")
    if unknown:
        print_note(f"of {layer.source}, {of} has no {', '.join(unknown)}: left out")
    values = {name: value for name, value in layer.values.items() if name in known}
    sweep = {name: found for name, found in layer.sweep.items() if name in settings}
    fits = layer._replace(values=values, sweep=sweep)
    words = words_of([fits._replace(sweep={})])
    try:
        wrong = wrong_value(words, kinds) or (spell_switches(words, kinds) and None)
    except ValueError as error:
        wrong = str(error)
    if wrong:
        flag, _, why = wrong.partition(" ")
        raise ValueError(f"{layer.source}: {flag.removeprefix('--').replace('-', '_')} {why}")
    for name in settings:
        for value in [*sweep.get(name, []), *([values[name]] if name in values else [])]:
            _check_range(layer.source, name, settings[name], value)
    return fits


def _check_range(source: str, name: str, setting: dataclasses.Field, value: Any) -> None:
    """Raise a one-line ValueError that names the file for a number out of range, or a word that is no choice."""
    kind = type(setting.default)
    number = isinstance(value, str) or (isinstance(value, int) and kind is float and not isinstance(value, bool))
    try:
        read = kind(value) if kind in (int, float) and number else value
    except ValueError:  # a swept word that is no number; `--sweep` explains it
        return
    try:
        check_value(name, setting, read)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None
