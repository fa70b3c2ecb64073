"""From the words on the command line to typed values, with errors of one line.

tyro parses the arguments of a command from a dataclass. Which options a command has may depend on other options
(the algorithm, the environment), so `peek` reads those first.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import itertools
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import tyro

from jaxmac import envs
from jaxmac.cli.words import option_types, spell_switches, unknown_flag, unknown_word, wrong_value
from jaxmac.config import ARGUMENTS_OF_TRAIN
from jaxmac.envs.arguments import describe
from jaxmac.errors import nearest

PLUGIN_HELP = "Like every command it also takes --plugin MODULE (repeatable): a module that registers parts."


def parse(
    command: str,
    arguments_class: type,
    arguments: Sequence[str],
    explain: Callable[[str], str | None] = lambda flag: None,
) -> Any:
    """Parse the arguments of a command.

    Args:
        command: its name, for help and errors.
        arguments_class: a dataclass with one field per option; its docstring describes the command.
        arguments: the words on the command line.
        explain: why an option is unknown, in one line, or None where that is not known.

    Raises:
        ValueError: an option is unknown (the message names the nearest known ones), its value cannot be read, or
            one that takes several values is given twice (of any other the last one counts).
        SystemExit: help was asked for and printed.
    """
    _refuse_repeated(arguments, arguments_class)
    stderr, kinds = io.StringIO(), option_types(arguments_class)
    hint = f"(`jaxmac {command} --help`)"
    try:
        words = spell_switches(arguments, kinds)
    except ValueError as error:
        raise ValueError(f"{error} {hint}") from None
    try:
        with contextlib.redirect_stderr(stderr):
            parsed, unknown = tyro.cli(  # type: ignore[var-annotated]
                arguments_class,
                prog=f"jaxmac {command}",
                description=f"{arguments_class.__doc__}\n\n{PLUGIN_HELP}",
                args=words,
                return_unknown_args=True,
            )
    except SystemExit as exit:
        if not exit.code:  # --help
            raise
        if (word := unknown_flag(words, kinds)) is not None:  # tyro may have taken its value for a positional
            raise ValueError(explain(word) or unknown_word(command, word, arguments, kinds)) from None
        wrong = wrong_value(arguments, kinds) or _missing(arguments_class, stderr.getvalue())
        raise ValueError(f"{wrong or _one_line(stderr.getvalue())} {hint}") from None
    if unknown:
        word = unknown[0].partition("=")[0] if unknown[0].startswith("--") else unknown[0]
        raise ValueError(explain(word) or unknown_word(command, word, arguments, kinds))
    return parsed


def _missing(arguments_class: type, message: str) -> str:
    """What is missing by tyro's message, in words; "" if nothing is."""
    required = [f.name.upper() for f in dataclasses.fields(arguments_class) if f.default is dataclasses.MISSING]
    return f"{' and '.join(required)} is missing" if required and "Required" in message else ""


def given_flags(arguments: Sequence[str]) -> list[str]:
    """The options among the words on the command line, as `--name-of-option`, in order."""
    words = [argument.split("=", 1)[0] for argument in arguments if argument.startswith("--")]
    return [word.replace("_", "-") for word in words]


def _refuse_repeated(arguments: Sequence[str], arguments_class: type) -> None:
    """Raise ValueError for an option with several values that is given twice: the first values would be lost."""
    given = given_flags(arguments)
    hints = get_type_hints(arguments_class)
    for field in dataclasses.fields(arguments_class):
        flag = "--" + field.name.replace("_", "-")
        if get_origin(hints[field.name]) is tuple and given.count(flag) > 1:
            raise ValueError(f"{flag} is given twice; give it once, with all its values")


def refuse_given(arguments: Sequence[str], flags: Sequence[str], why: str) -> None:
    """Raise ValueError if one of these options is given: it would be ignored, for the reason `why`."""
    for flag in given_flags(arguments):
        positive = "--" + flag[2:].removeprefix("no-")
        if positive in flags:
            raise ValueError(f"{positive} {why}")


def print_note(text: str) -> None:
    """Print a line on stderr about what was done in another way than one may expect."""
    print(f"jaxmac: note: {text}", file=sys.stderr)


def _one_line(message: str) -> str:
    """The text of an error message of tyro, without its frame and its hints."""
    lines = [line.strip("│ ") for line in message.splitlines() if line.startswith("│")]
    text = " ".join(itertools.takewhile(lambda line: not line.startswith("──"), lines))
    return " ".join(text.split()) or " ".join(message.split())


def make_arguments_class(
    description: str,
    fields: Sequence[tuple[str, Any, Any]],
    env_id: str | None = None,
    bases: tuple[type, ...] = (),
) -> type:
    """A dataclass for `parse`, where the options of a command depend on other options.

    Args:
        description: what the command does.
        fields: name, type (see `documented`) and default of every option.
        env_id: the environment whose options are added as `--env-options.NAME`, if it is known.
        bases: dataclasses whose options are added.
    """
    made = [(name, kind, dataclasses.field(default=default)) for name, kind, default in fields]
    if env_id is not None:
        options = env_options_class(env_id)
        made.append(("env_options", options, dataclasses.field(default_factory=options)))
    namespace = {"__doc__": description}
    return dataclasses.make_dataclass("Arguments", made, bases=bases, namespace=namespace, frozen=True)


def documented(kind: Any, text: str) -> Any:
    """A type with the help text of its option."""
    return Annotated[kind, tyro.conf.arg(help=text)]


def peek(arguments: Sequence[str], flag: str, default: str) -> str:
    """The value of a flag, as `--flag value` or `--flag=value`, before the arguments are parsed: the last one."""
    value = default
    for argument, following in zip(arguments, [*arguments[1:], "--"], strict=False):
        if argument == flag and not following.startswith("--"):  # else the value is missing, as `parse` will say
            value = following
        if argument.startswith(flag + "="):
            value = argument.split("=", 1)[1]
    return value


def take(arguments: Sequence[str], flag: str) -> tuple[list[str], list[str]]:
    """All values of a flag that may be repeated, as `--flag value` or `--flag=value`, and the other arguments.

    Raises ValueError for the flag without a value.
    """
    values, others = [], []
    remaining = iter(arguments)
    for argument in remaining:
        if argument == flag or argument.startswith(flag + "="):
            value = argument[len(flag) + 1 :] if argument != flag else next(remaining, "")
            if not value or value.startswith("-"):
                raise ValueError(f"{flag} needs a value")
            values.append(value)
        else:
            others.append(argument)
    return values, others


def given_env_options(env_id: str, values: Any, arguments: Sequence[str]) -> dict[str, Any]:
    """The environment options that are on the command line.

    An option counts as given even with its default value, because it then wins over the environment's preset.
    Raises ValueError if a table (numbers in brackets) cannot be read.
    """
    given = {name: value for name, value in vars(values).items() if _is_given(arguments, name)}
    tables = {name for name, option in envs.env_options(env_id).items() if _is_table(*option)}
    return {name: _read_table(name, value) if name in tables else value for name, value in given.items()}


def _is_table(kind: Any, default: Any = None) -> bool:
    """Whether an option is a sequence or a dict by its type, possibly inside a union, or by its default."""
    kinds = (tuple, list, dict, Sequence, Mapping)
    if isinstance(default, tuple | list | dict) or kind in kinds or get_origin(kind) in kinds:
        return True
    return any(map(_is_table, get_args(kind)))


def _read_table(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError(f"{name} is nested too deeply") from None
    except ValueError:
        raise ValueError(f"{name} is {text!r}, but must be a table such as [[20, 20], [30, 30]]") from None


def _is_given(arguments: Sequence[str], option: str) -> bool:
    """Whether `--env-options.OPTION` or `--env-options.no-OPTION` is among the arguments."""
    option = option.replace("_", "-")
    return bool({f"--env-options.{option}", f"--env-options.no-{option}"} & set(given_flags(arguments)))


def env_options_class(env_id: str) -> type:
    """A dataclass with the options of an environment, for tyro."""
    fields = []
    for name, (kind, default) in envs.env_options(env_id).items():
        if _is_table(kind, default):
            kind, default = documented(str | None, "a table such as [[20, 20], [30, 30]]"), None
        elif default is None or isinstance(default, str):  # a choice of names, which `make` checks
            kind = documented(str if default else str | None, str(kind).replace("typing.", ""))
        fields.append((name, kind, dataclasses.field(default=default)))
    return dataclasses.make_dataclass("EnvOptions", fields, frozen=True)


def parse_seeds(text: str) -> int | list[int]:
    """`8` as a number of seeds, `3,5,8` as a list of seeds, `3,` as a list of one.

    Raises a one-line ValueError for other texts.
    """
    try:
        return [int(part) for part in text.removesuffix(",").split(",")] if "," in text else int(text)
    except ValueError:
        raise ValueError(f"seeds is {text!r}, but must be a number or a list such as 3,5,8") from None


def parse_sweep(
    items: Sequence[str], kinds: dict[str, type], explain: Callable[[str], str | None] = lambda name: None
) -> dict[str, Sequence[Any]]:
    """`NAME=VALUE,VALUE` items as name -> values.

    Args:
        items: the words on the command line.
        kinds: name -> type of every hyperparameter.
        explain: why a name is none of `kinds`, in one line, or None where that is not known.

    Raises ValueError, in one line, for an unknown name, one that is there twice or without values, or a value of
    another type.
    """
    sweep: dict[str, Sequence[Any]] = {}
    for item in items:
        name, equals, values = item.partition("=")
        name = name.replace("-", "_")
        if not equals or not values:
            raise ValueError(f"--sweep is {item!r}, but must be NAME=VALUE,VALUE")
        if name in sweep:
            raise ValueError(f"--sweep {item}: {name} is swept twice; give all its values once")
        if name in ARGUMENTS_OF_TRAIN or "." in name:
            instead = "--seeds takes several" if name == "seeds" else "train a run for each value"
            raise ValueError(f"--sweep {item}: only hyperparameters are swept, and {name} is none; {instead}")
        if name not in kinds:
            raise ValueError(explain(name) or f"unknown hyperparameter {name!r} in --sweep; {nearest(name, kinds)}")
        try:
            sweep[name] = [_read_value(value, kinds[name]) for value in values.split(",")]
        except (ValueError, KeyError):
            raise ValueError(f"--sweep is {item!r}, but each value must be {describe(kinds[name])}") from None
    return sweep


def _read_value(text: str, kind: type) -> Any:
    """A value of a sweep. Raises KeyError or ValueError for a text that is none of that type."""
    return {"true": True, "false": False}[text.lower()] if kind is bool else kind(text)
