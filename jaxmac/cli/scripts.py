"""The command lines of the scripts in experiments/ and benchmarks/: like those of `jaxmac`, errors are one line."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from jaxmac.errors import nearest


class ScriptParser(argparse.ArgumentParser):
    """An argparse parser that shows a script's docstring as it is, and errors in one line with the nearest name.

    Flags cannot be abbreviated: what an abbreviation means would change with the flags that are added.
    """

    def __init__(self, description: str | None) -> None:
        """Take the docstring of the script."""
        formatter = argparse.RawTextHelpFormatter
        super().__init__(description=description, formatter_class=formatter, allow_abbrev=False)

    def add_argument(  # type: ignore[override]
        self, *flags: str, choices: Iterable[str] = (), **options: Any
    ) -> argparse.Action:
        """As argparse's; `choices` are names, and the error for another word has the nearest of them."""
        if names := tuple(choices):
            options = {"metavar": f"{{{','.join(names)}}}", "type": _one_of(names)} | options
        return super().add_argument(*flags, **options)

    def error(self, message: str) -> NoReturn:
        """Print the message and leave with status 2."""
        self.exit(2, f"{self.prog}: {message.removeprefix('argument ')} (--help shows all arguments)\n")


def _one_of(names: tuple[str, ...]) -> Callable[[str], str]:
    def name(word: str) -> str:
        if word not in names:
            raise argparse.ArgumentTypeError(f"{word!r} is unknown; {nearest(word, names)}")
        return word

    return name
