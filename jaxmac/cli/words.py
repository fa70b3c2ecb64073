"""The words on a command line before and after tyro reads them: switches, and what is wrong with a value."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import tyro

from jaxmac.envs.arguments import describe
from jaxmac.errors import close_names, nearest

(_POSITIONAL,) = get_args(tyro.conf.Positional[int])[1:]  # the mark of what has no flag
FEW = 12  # names that an error may list where none is near


def option_types(arguments_class: Any, prefix: str = "--") -> dict[str, Any]:
    """`--name-of-option` -> type of every option of a dataclass; those of nested ones are `--outer.inner`.

    What has no flag, as its place on the command line tells what it is, is left out.
    """
    kinds: dict[str, Any] = {}
    hints, marked = get_type_hints(arguments_class), get_type_hints(arguments_class, include_extras=True)
    for field in dataclasses.fields(arguments_class):
        marks = getattr(marked[field.name], "__metadata__", ())
        if _POSITIONAL in marks:
            continue
        name = next((mark.name for mark in marks if getattr(mark, "name", None)), field.name)
        flag, kind = prefix + name.replace("_", "-"), hints[field.name]
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
    remaining = list(arguments)
    while remaining:
        word = remaining.pop(0)
        flag, (_, equals, value) = flag_of(word), word.partition("=")
        positive = _positive(flag)
        if _is_switch(kinds.get(flag)):
            if not equals:
                follows = bool(remaining) and _switch_value(remaining[0], kinds[flag]) is not None
                value = remaining.pop(0) if follows else "True"
            spelled += _switch_words(flag, value, kinds[flag])
        elif not equals and _is_switch(kinds.get(positive)):
            spelled += _switch_words(positive, "False", kinds[positive])
        else:
            spelled.append(word)
    return spelled


def unknown_flag(arguments: Sequence[str], kinds: Mapping[str, Any]) -> str | None:
    """The first of the words that is an option, but none of `kinds`; None if there is no such word."""
    words = (word.partition("=")[0] for word in arguments if word.startswith("--") and len(word) > 2)
    return next((word for word in words if not {flag_of(word), _positive(flag_of(word))} & kinds.keys()), None)


def unknown_word(command: str, word: str, arguments: Sequence[str], kinds: Mapping[str, Any]) -> str:
    """What is wrong with a word that no option of a command takes: an unknown option, or a value without one."""
    if not word.startswith("-"):
        place = list(arguments).index(word) if word in arguments else 0
        flag = flag_of(arguments[place - 1]) if place else ""
        if _is_switch(kinds.get(flag)):
            return f"{flag} is {word!r}, but must be {describe(bool)} (`jaxmac {command} --help`)"
        return f"{word!r} belongs to no option of `jaxmac {command}`; `jaxmac {command} --help` lists them"
    hint = nearest(word, sorted(kinds))
    if len(kinds) > FEW and not close_names(word, sorted(kinds)):
        hint = f"`jaxmac {command} --help` lists those it has"
    return f"unknown option {word!r} of `jaxmac {command}`; {hint}"


def _switch_value(text: str, kind: Any) -> str | None:
    """The value of a switch as tyro spells it; None for a word that is none."""
    values = {"true": "True", "false": "False"} | ({} if kind is bool else {"none": "None"})
    return values.get(text.lower())


def _switch_words(flag: str, text: str, kind: Any) -> list[str]:
    value = _switch_value(text, kind)
    if value is None:
        raise ValueError(f"{flag} is {text!r}, but must be {describe(bool)}")
    if kind is not bool:
        return [flag, value]
    start, dot, name = flag[2:].rpartition(".")
    return [flag if value == "True" else f"--{start}{dot}no-{name}"]


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
        values = [value] if equals else _following(arguments[position + 1 :], takes_several)
        if not values and not takes_several and kind is not bool:
            return f"{flag} needs a value: {_in_words(kind)}"
        for given in values if equals or kind is not bool else ():
            open_too = given == "None" and type(None) in get_args(kind)
            if not open_too and not any(_reads(given, one) for one in _kinds_in(kind)):
                return f"{flag} is {given!r}, but must be {_in_words(kind)}"
    return None


def _following(words: Sequence[str], several: bool) -> list[str]:
    """The values that follow an option: the next word, or all words up to the next option."""
    values: list[str] = []
    for word in words:
        if word.startswith("--") or (values and not several):
            break
        values.append(word)
    return values


def _in_words(kind: Any) -> str:
    """A type in words; a number may be infinite as far as the command line is concerned."""
    return describe(kind).replace(describe(float), "a number")


def _reads(text: str, kind: Any) -> bool:
    """Whether tyro can make a value of this type of a text."""
    if get_origin(kind) is Literal:
        return text in map(str, get_args(kind))
    if kind is bool:
        return _switch_value(text, bool) is not None
    read: Callable[[str], Any] | None = {int: int, float: float}.get(kind)
    try:
        return read is None or read(text) is not None
    except ValueError:
        return False
