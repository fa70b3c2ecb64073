"""Reading metrics.csv and checking that it is what `train` writes for a run with this config.json.

A row counts once its line end is on disk: what follows the last line end was being written when the run was killed.
"""

from __future__ import annotations

import csv
import io
import itertools
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from jaxmac.errors import RunDirectoryError
from jaxmac.runs.rows import COLUMNS, COUNTS, MAY_BE_EMPTY, NEW_IN_FORMAT_6, columns_of, swept_cell

# The other numbers may be inf, or nan after an overflow.
FINITE = ("wall_seconds", "eval_length", "eval_success", "epsilon")
OLD_NAMES = {"rounds": "episodes_per_env"}  # of swept settings, in runs of format 1
COUNT = re.compile(r"0|[1-9][0-9]{0,18}")
NUMBER = re.compile(r"-?(?:[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]{1,3})?|inf)|nan")


class _Row(NamedTuple):
    """A row with what it says of the progress of its member."""

    cells: dict[str, str]
    member: int
    episodes: int
    env_steps: int
    updates: int


def read_rows(file: Path, config: Mapping[str, Any]) -> list[dict[str, str]]:
    """The rows of a metrics.csv, column -> text, without a last line that has no line end.

    The swept columns hold the values of `config`, by today's names. Evaluations that only some members of a group
    have reached are included.

    Raises RunDirectoryError, in one line that names the file and the row, if the file is missing or is not what
    `train` writes for a run with this content of config.json: a column or row is missing, a member or seed is
    another one, a cell is not a number, a cell that has a value is empty, or the evaluations of a member do not
    follow one another.
    """
    lines = _whole_lines(file)
    header = next(lines, None)
    if header is None and config["status"] != "finished":
        return []  # killed, or read, while the header was being written
    if header is None:
        raise RunDirectoryError(f"{file} is damaged: it has no header")
    columns = _checked_header(file, header[1], columns_of(config), config["format"])
    swept = _swept_cells(config)
    rows: list[_Row] = []
    last: dict[int, _Row] = {}
    for line, cells in lines:
        try:
            row = _checked(cells, columns, swept, config)
            _check_order(row, last.get(row.member), config)
        except ValueError as error:
            raise RunDirectoryError(f"{file} is damaged: line {line}: {error}") from None
        rows.append(row)
        last[row.member] = row
    _check_end(file, last, len(swept), config)
    return [row.cells for row in rows]


def _whole_lines(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Number and cells of every line that has a line end."""
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        raise RunDirectoryError(f"{file.parent} is not a run directory: it has no metrics.csv") from None
    except OSError as error:
        raise RunDirectoryError(f"{file} cannot be read: {error.strerror}") from None
    if content.startswith(b"\xef\xbb\xbf"):
        raise RunDirectoryError(f"{file} is damaged: it begins with a byte order mark: save it without")
    whole = content[: content.rfind(b"\n") + 1]
    try:
        text = whole.decode()
    except UnicodeDecodeError as error:
        line = whole[: error.start].count(b"\n") + 1
        raise RunDirectoryError(f"{file} is damaged: line {line} is no UTF-8 text") from None
    return _numbered(file, text)


def _numbered(file: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for cells in reader:
            yield reader.line_num, cells
    except csv.Error as error:
        raise RunDirectoryError(f"{file} is damaged: line {reader.line_num}: {error}") from None


def _checked_header(file: Path, found: list[str], columns: list[str], format: int) -> list[str]:
    """The columns that the file has; RunDirectoryError, in one line, unless they are those of its format."""
    names = [OLD_NAMES.get(name, name) if format == 1 else name for name in found]
    if names == columns or (format < 6 and names == [name for name in columns if name not in NEW_IN_FORMAT_6]):
        return names
    missing = [name for name in columns if name not in names]
    unknown = [name for name in names if name not in columns]
    if len(found) == 1 and ";" in found[0]:
        problem = "its cells are separated by semicolons; save it with commas"
    elif missing:
        problem = f"it lacks the column {missing[0]}"
    elif unknown:
        problem = f"it has the unknown column {unknown[0]!r}"
    else:
        problem = f"its columns are not {','.join(columns)}"
    raise RunDirectoryError(f"{file} is damaged: {problem}")


def _swept_cells(config: Mapping[str, Any]) -> list[dict[str, str]]:
    """Name -> cell of the swept values of every member."""
    combinations = itertools.product(*config["sweep"].values())
    cells = [dict(zip(config["sweep"], map(swept_cell, values), strict=True)) for values in combinations]
    return [own for own in cells for _ in config["seeds"]]


def _checked(cells: list[str], columns: list[str], swept: list[dict[str, str]], config: Mapping[str, Any]) -> _Row:
    """A row whose cells have the form of their columns; ValueError, in one line, for any other."""
    if len(cells) != len(columns):
        raise ValueError(f"it has {len(cells)} cells, but must have {len(columns)}")
    row = dict.fromkeys(NEW_IN_FORMAT_6, "") | dict(zip(columns, cells, strict=True))
    for column in (*COLUMNS, *config.get("diagnostics", ())):
        _check_cell(column, row[column])
    member, seed, episodes, env_steps, updates = (int(row[name]) for name in COUNTS)
    if member >= len(swept):
        raise ValueError(f"member is {member}, but config.json has members 0 to {len(swept) - 1}")
    expected_seed = config["seeds"][member % len(config["seeds"])]
    if seed != expected_seed:
        raise ValueError(f"seed is {seed}, but member {member} has seed {expected_seed} in config.json")
    for name, expected in swept[member].items():
        if not _same_swept(row[name], expected, config["format"]):
            raise ValueError(f"{name} is {row[name]!r}, but member {member} has {expected} in config.json")
    if not row["train_return"] and episodes:
        raise ValueError("train_return is empty")
    return _Row(row | swept[member], member, episodes, env_steps, updates)


def _check_cell(column: str, cell: str) -> None:
    if not cell and (column in MAY_BE_EMPTY or column not in COLUMNS):
        return
    if column in COUNTS:
        if not COUNT.fullmatch(cell):
            raise ValueError(f"{column} is {_shown(cell)}, but must be an integer of at least 0")
    elif not NUMBER.fullmatch(cell) or (column in FINITE and not 0 <= float(cell) < math.inf):
        finite = "a finite number of at least 0" if column in FINITE else "a number"
        raise ValueError(f"{column} is {_shown(cell)}, but must be {finite}")


def _same_swept(cell: str, expected: str, format: int) -> bool:
    """Whether a cell holds a swept value; older runs wrote seven digits and an older name of a sampling rule."""
    if cell == expected or (format == 1 and cell == "episodes" and expected in ("uniform", "tournament")):
        return True
    try:
        return f"{float(cell):.7g}" == f"{float(expected):.7g}"
    except ValueError:
        return False


def _check_order(row: _Row, before: _Row | None, config: Mapping[str, Any]) -> None:
    """ValueError, in one line, unless the row is the evaluation after `before`, or the first one."""
    step, every = config["settings"]["num_envs"], config["settings"]["eval_every"]
    interval, total = _rounded_up(every, step), _rounded_up(config["episodes"], step)
    member, cells = f"member {row.member}", row.cells
    if row.episodes % step or row.episodes > total:
        raise ValueError(f"episodes is {row.episodes}, but must be a multiple of num_envs={step} up to {total}")
    if before is None:
        if row.episodes:
            raise ValueError(f"{member} lacks its row at 0 episodes")
        if row.updates or row.env_steps:
            raise ValueError(f"{member} has env_steps or updates before its first episode")
        return
    if row.episodes <= before.episodes:
        raise ValueError(f"{member} is at {row.episodes} episodes, but was at {before.episodes} before")
    if row.episodes - before.episodes > interval:
        raise ValueError(f"{member} lacks its row at {before.episodes + interval} episodes")
    for name in ("env_steps", "updates"):
        if getattr(row, name) < getattr(before, name):
            raise ValueError(f"{name} of {member} is {cells[name]}, but was {before.cells[name]} before")
    learned = row.updates > before.updates and config["status"] != "non-finite loss"
    of_updates = ("loss", *config.get("diagnostics", ())) if learned else ()
    if empty := next((name for name in of_updates if not cells[name]), None):
        raise ValueError(f"{empty} is empty")
    if (not cells["epsilon"]) != (not before.cells["epsilon"]):
        raise ValueError(f"epsilon is {_shown(cells['epsilon'])}, but was {_shown(before.cells['epsilon'])} before")


def _rounded_up(count: int, step: int) -> int:
    return -(-count // step) * step


def _check_end(file: Path, last: Mapping[int, _Row], members: int, config: Mapping[str, Any]) -> None:
    """RunDirectoryError if a run that has finished lacks the last row of a member."""
    total = _rounded_up(config["episodes"], config["settings"]["num_envs"])
    for member in range(members) if config["status"] == "finished" else ():
        if member not in last or last[member].episodes < total:
            raise RunDirectoryError(f"{file} is damaged: member {member} lacks its last row, at {total} episodes")


def _shown(cell: str) -> str:
    return "empty" if not cell else repr(cell if len(cell) <= 40 else cell[:37] + "...")
