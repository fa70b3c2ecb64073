"""From words on the command line to typed values, with errors of one line."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import itertools
import json
from collections.abc import Callable, Sequence
from typing import Annotated, Any, get_args, get_origin

import tyro

from jaxmac import envs
from jaxmac.errors import nearest


def parse(
    command: str,
    arguments_class: type,
    arguments: Sequence[str],
    explain: Callable[[str], str | None] = lambda flag: None,
) -> Any:
    """Parse with tyro; an unknown option is a one-line ValueError that names the nearest known ones."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            parsed, unknown = tyro.cli(
                arguments_class, prog=f"jaxmac {command}", args=list(arguments), return_unknown_args=True
            )
    except SystemExit as end:
        if not end.code:  # --help
            raise
        raise ValueError(f"{_one_line(said.getvalue())} (`jaxmac {command} --help`)") from None
    if unknown and (why := explain(unknown[0])):
        raise ValueError(why)
    if unknown:
        flags = sorted(_flags(arguments_class))
        raise ValueError(f"unknown option {unknown[0]!r} of `jaxmac {command}`; {nearest(unknown[0], flags)}")
    return parsed


def _one_line(box: str) -> str:
    """The text of tyro's framed message, without its frame and its hints."""
    lines = [line.strip("│ ") for line in box.splitlines() if line.startswith("│")]
    text = " ".join(itertools.takewhile(lambda line: not line.startswith("──"), lines))
    return " ".join(text.split()) or " ".join(box.split())


def _flags(arguments_class: type, prefix: str = "--") -> list[str]:
    flags = []
    for field in dataclasses.fields(arguments_class):
        inner = field.default_factory if dataclasses.is_dataclass(field.default_factory) else None
        name = prefix + field.name.replace("_", "-")
        flags += _flags(inner, f"{name}.") if inner else [name]
    return flags


def documented(kind: Any, text: str) -> Any:
    """A type with its help line."""
    return Annotated[kind, tyro.conf.arg(help=text)]


def peek(arguments: Sequence[str], flag: str, default: str) -> str:
    """Value of a flag that decides which other flags exist, as `--flag value` or `--flag=value`."""
    for index, argument in enumerate(arguments):
        if argument == flag and index + 1 < len(arguments):
            return arguments[index + 1]
        if argument.startswith(flag + "="):
            return argument.split("=", 1)[1]
    return default


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
    """The environment options named on the command line, be it with their default (it wins over a preset).

    Raises ValueError if a table (numbers in brackets) cannot be read.
    """
    said = {name: value for name, value in vars(values).items() if _says(arguments, name)}
    kinds = {name: kind for name, (kind, _) in envs.env_options(env_id).items()}
    return {name: _table(name, value) if _is_table(kinds[name]) else value for name, value in said.items()}


def _is_table(kind: Any) -> bool:
    return get_origin(kind) in (tuple, list, Sequence) or any(map(_is_table, get_args(kind)))


def _table(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise ValueError(f"{name} is {text!r}, but must be a table such as [[20, 20], [30, 30]]") from None


def _says(arguments: Sequence[str], option: str) -> bool:
    names = {f"{prefix}{option}" for prefix in ("--env-options.", "--env_options.")}
    negated = {f"{prefix}no-{option}" for prefix in ("--env-options.", "--env_options.")}
    known = {name.replace("_", "-") for name in names | negated}
    return any(argument.split("=", 1)[0].replace("_", "-") in known for argument in arguments)


def env_options_class(env_id: str) -> type:
    """A dataclass of an environment's options, for tyro."""
    fields = []
    for name, (kind, default) in envs.env_options(env_id).items():
        if _is_table(kind):
            kind, default = documented(str | None, "a table such as [[20, 20], [30, 30]]"), None
        elif default is None or isinstance(default, str):  # one of several names: `make` judges
            kind = documented(str if default else str | None, str(kind).replace("typing.", ""))
        fields.append((name, kind, dataclasses.field(default=default)))
    return dataclasses.make_dataclass("EnvOptions", fields, frozen=True)


def parse_seeds(text: str) -> int | list[int]:
    """A number of seeds, or the list of them."""
    try:
        return [int(part) for part in text.split(",")] if "," in text else int(text)
    except ValueError:
        raise ValueError(f"seeds={text!r}: expected a number or a list such as 3,5,8") from None


def parse_sweep(
    items: Sequence[str], kinds: dict[str, type], explain: Callable[[str], str | None] = lambda name: None
) -> dict[str, list[Any]]:
    """`NAME=VALUE,VALUE ...` as name -> values; `explain` says why a name is none of `kinds`, if it can."""
    sweep: dict[str, list[Any]] = {}
    for item in items:
        name, _, values = item.partition("=")
        name = name.replace("-", "_")
        if name not in kinds:
            raise ValueError(explain(name) or f"unknown hyperparameter {name!r} in --sweep; {nearest(name, kinds)}")
        parse_one = (lambda v: {"true": True, "false": False}[v.lower()]) if kinds[name] is bool else kinds[name]
        try:
            sweep[name] = [parse_one(value) for value in values.split(",")]
        except (ValueError, KeyError):
            raise ValueError(f"--sweep {item}: expected {kinds[name].__name__} values") from None
    return sweep
