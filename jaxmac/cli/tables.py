"""Tables on stdout: aligned columns that wrap on a terminal, and one plain line per row in a pipe or a file."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from rich.console import Console

Row = Sequence[str]
GAP = 2  # spaces between columns
LEAST_TEXT = 36  # columns that the last cell needs beside the others; with fewer it goes below them
BELOW = " " * 6


def stdout_console() -> Console:
    """The console of the process's stdout."""
    return Console(highlight=False)


def print_line(text: str = "") -> None:
    """Print a line as it is."""
    stdout_console().print(text, soft_wrap=True, markup=False)


def print_table(header: Row, rows: Sequence[Row], console: Console | None = None) -> None:
    """Print rows under a header (none if it is empty).

    On a terminal rows wrap at spaces, and nothing is cut. Elsewhere every row is one line,
    however long, so that `grep` finds all that belongs to a name. A row of one cell is a heading.
    """
    console = console or stdout_console()
    lines = [row for row in (header, *rows) if row]
    columns = zip(*(row for row in lines if len(row) > 1), strict=True)
    widths = [max(map(len, column)) + GAP for column in columns]
    for index, row in enumerate(lines):
        style = "bold" if len(row) == 1 or (header and index == 0) else ""
        for line in _wrapped(row, widths, console.width if console.is_terminal else None):
            console.print(line, style=style, soft_wrap=True, markup=False)


def _wrapped(row: Row, widths: Sequence[int], limit: int | None) -> list[str]:
    """The lines of a row, no longer than `limit`: the last cell beside the others where there is room, or below."""
    start = "".join(cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=False))
    if limit is None or len(start) + len(row[-1]) <= limit:
        return [(start + row[-1]).rstrip()]
    if limit - len(start) >= LEAST_TEXT:
        return textwrap.wrap(row[-1], limit, initial_indent=start, subsequent_indent=" " * len(start))
    above = textwrap.wrap(start.rstrip(), limit, subsequent_indent=BELOW)
    return [*above, *textwrap.wrap(row[-1], limit, initial_indent=BELOW, subsequent_indent=BELOW)]
