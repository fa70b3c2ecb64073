"""The words on a command line before and after tyro reads them: switches, and what is wrong with a value."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from jaxmac.envs.arguments import describe

SWITCH = {"true": True, "false": False}


def option_types(arguments_class: Any, prefix: str = "--") -> dict[str, Any]:
    """`--name-of-option` -> type of every option of a dataclass; those of nested ones are `--outer.inner`."""
    kinds: dict[str, Any] = {}
    hints = get_type_hints(arguments_class)
    for field in dataclasses.fields(arguments_class):
        flag, kind = prefix + field.name.replace("_", "-"), hints[field.name]
        kinds |= option_types(kind, f"{flag}.") if dataclasses.is_dataclass(kind) else {flag: kind}
    return kinds


def flag_of(word: str) -> str:
    """The option that a word names, as tyro knows it: `--env_options.horizon=9` is `--env-options.horizon`."""
    return word.partition("=")[0].replace("_", "-")


def spell_switches(arguments: Sequence[str], kinds: Mapping[str, Any]) -> list[str]:
    """The same words with every switch in the form that tyro reads.

    A switch may be given as `--flag`, `--no-flag`, `--flag True` and `--flag False`. tyro reads the first two for a
    bool, and the last two for one that may be left open (`bool | None`).
    Raises ValueError, in one line, for `--flag=WORD` with another word.
    """
    spelled: list[str] = []
    position = 0
    while position < len(arguments):
        word = arguments[position]
        flag, (_, equals, value) = flag_of(word), word.partition("=")
        position += 1
        is_switch, on = _is_switch(kinds.get(flag)), True
        if not is_switch and not equals:
            flag, on = _positive(flag), False
            is_switch = flag != flag_of(word) and _is_switch(kinds.get(flag))
        elif is_switch and not equals and position < len(arguments) and arguments[position].lower() in SWITCH:
            value, position = arguments[position], position + 1
        if is_switch and equals and value.lower() not in SWITCH:
            raise ValueError(f"{flag} is {value!r}, but must be {describe(bool)}")
        if is_switch:
            spelled += _switch_words(flag, SWITCH[value.lower()] if value else on, kinds[flag])
        else:
            spelled.append(word)
    return spelled


def _switch_words(flag: str, on: bool, kind: Any) -> list[str]:
    if kind is not bool:
        return [flag, str(on)]
    start, name = flag.rpartition(".")[::2] if "." in flag else ("--", flag[2:])
    separator = "." if "." in flag else ""
    return [flag if on else f"{start}{separator}no-{name}"]


def _positive(flag: str) -> str:
    """`--no-flag` as `--flag`, `--outer.no-flag` as `--outer.flag`; any other as it is."""
    start, dot, name = flag.removeprefix("--").rpartition(".")
    return f"--{start}{dot}{name.removeprefix('no-')}"


def _is_switch(kind: Any) -> bool:
    return bool in _kinds_in(kind)


def _kinds_in(kind: Any) -> tuple[Any, ...]:
    """The types of a union without None, or the type itself."""
    if get_origin(kind) in (Union, UnionType):
        return tuple(one for one in get_args(kind) if one is not type(None))
    return (kind,)


def wrong_value(arguments: Sequence[str], kinds: Mapping[str, Any]) -> str | None:
    """What is wrong with the value of an option, in one clause; None if all can be read.

    Used once tyro has refused the arguments, whose own message lists types and attempts.
    """
    for position, word in enumerate(arguments):
        flag, (_, equals, value) = flag_of(word), word.partition("=")
        if flag not in kinds or not word.startswith("--"):
            continue
        kind, takes_several = kinds[flag], get_origin(kinds[flag]) is tuple
        if takes_several:
            kind = get_args(kind)[0]
        values = [value] if equals else _following(arguments[position + 1 :], kinds, takes_several)
        if not values and not takes_several and kind is not bool:
            return f"{flag} needs a value: {_in_words(kind)}"
        for given in values if equals or kind is not bool else ():
            if not any(_reads(given, one) for one in _kinds_in(kind)):
                return f"{flag} is {given!r}, but must be {_in_words(kind)}"
    return None


def _following(words: Sequence[str], kinds: Mapping[str, Any], several: bool) -> list[str]:
    """The values that follow an option: the next word, or all words up to the next option."""
    values: list[str] = []
    for word in words:
        if word.startswith("--") or (values and not several):
            break
        values.append(word)
    return values


def _in_words(kind: Any) -> str:
    """A type in words; a number may be infinite as far as the command line is concerned."""
    return describe(kind).replace("a finite number", "a number")


def _reads(text: str, kind: Any) -> bool:
    """Whether tyro can make a value of this type of a text."""
    if get_origin(kind) is Literal:
        return text in map(str, get_args(kind))
    if kind is bool:
        return text.lower() in SWITCH
    read: Callable[[str], Any] | None = {int: int, float: float}.get(kind)
    try:
        return read is None or read(text) is not None
    except ValueError:
        return False
