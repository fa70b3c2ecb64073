"""The rows of metrics.csv: their columns, reading them, and arranging them in arrays."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxmac.errors import RunDirectoryError

COLUMNS = (
    "member",
    "seed",
    "episodes",
    "env_steps",
    "updates",
    "wall_seconds",
    "eval_return",
    "eval_discounted_return",
    "eval_length",
    "train_return",  # of the episodes learned from: with episodes_per_env above 1 it favours short ones
    "loss",
    "epsilon",
)


def csv_cell(value: Any) -> Any:
    """A value as it is written to metrics.csv: NaN as an empty cell, other floats with seven significant digits."""
    if isinstance(value, (float, np.floating)):
        return "" if np.isnan(value) else f"{float(value):.7g}"
    return value


def read_rows(file: Path) -> list[dict[str, str]]:
    """The rows of a metrics.csv, column -> text. Raises RunDirectoryError if the file is missing."""
    try:
        with file.open() as stream:
            return list(csv.DictReader(stream))
    except FileNotFoundError:
        raise RunDirectoryError(f"{file.parent} is no run directory: it has no metrics.csv") from None


def tabulate(rows: Sequence[dict[str, Any]], swept: Sequence[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Rows of metrics.csv as arrays `[evaluations, members]`, one for each column from `episodes` on.

    Only evaluations that every member with rows has reached are kept; a member without any rows is NaN throughout.

    Args:
        rows: dicts of column -> number, or text as read from the file, where an empty cell is NaN.
        swept: the swept values of each member, which become columns with the type of the values.
    """
    rows_of: list[list[dict[str, Any]]] = [[] for _ in swept]
    for row in rows:
        rows_of[int(row["member"])].append(row)
    evaluations = min((len(own) for own in rows_of if own), default=0)
    empty = dict.fromkeys(COLUMNS, "")
    table = {
        name: np.array(
            [[to_number((own[e] if own else empty)[name]) for own in rows_of] for e in range(evaluations)]
        )
        for name in COLUMNS[2:]
    }
    names = list(swept[0]) if swept else []
    columns = {name: np.array([values[name] for values in swept]) for name in names}
    return table | {name: np.tile(values, (evaluations, 1)) for name, values in columns.items()}


def to_number(cell: Any) -> float:
    """A cell of metrics.csv as a number; an empty cell is NaN."""
    return float("nan") if cell == "" else float(cell)
