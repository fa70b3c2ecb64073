"""The rows of metrics.csv: their columns and cells, and arranging them in arrays. `table.py` reads the file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
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
    "eval_success",  # empty where the environment does not define it
    "train_return",  # of the episodes learned from: with episodes_per_env above 1 it favours short ones
    "loss",
    "epsilon",
)
COUNTS = ("member", "seed", "episodes", "env_steps", "updates")
MAY_BE_EMPTY = ("eval_success", "train_return", "loss", "epsilon")
OTHER_METRICS = ("dropped_rows", "errors")  # what an update may return that is no column
NEW_IN_FORMAT_6 = ("eval_success",)  # runs of older formats may lack these columns


def columns_of(config: Mapping[str, Any]) -> list[str]:
    """The columns of metrics.csv of a run: those that all runs have, the algorithm's diagnostics, swept values."""
    return [*COLUMNS, *config.get("diagnostics", ()), *config.get("sweep", ())]


def refuse_taken_names(algorithm: str, diagnostics: Sequence[str], settings: Iterable[str]) -> None:
    """Raise a one-line ValueError for a diagnostic that is called like another column of metrics.csv."""
    for name in diagnostics:
        if name in (*COLUMNS, *OTHER_METRICS) or name in settings:
            whose = "a setting" if name in settings else "a column of every run" if name in COLUMNS else "a metric"
            raise ValueError(
                f"algorithm {algorithm!r}: its diagnostic {name!r} is called like {whose}: choose another name"
            )


def csv_cell(value: Any) -> Any:
    """A value as it is written to metrics.csv: NaN as an empty cell, other floats with seven significant digits."""
    if isinstance(value, (float, np.floating)):
        return "" if np.isnan(value) else f"{float(value):.7g}"
    return value


def csv_cells(row: Mapping[str, Any], config: Mapping[str, Any], learned: bool) -> list[Any]:
    """The cells of a row of a run; `learned` says whether there were updates since the row before.

    A NaN is an empty cell where the column does not apply, and `nan` where it is the result of a computation. Swept
    values are written with all their digits.
    """
    applies = {"eval_success": False, "epsilon": False, "loss": learned, "train_return": bool(row["episodes"])}
    applies |= dict.fromkeys(config.get("diagnostics", ()), learned)
    swept = config.get("sweep", ())
    cells = {name: (swept_cell if name in swept else csv_cell)(row[name]) for name in columns_of(config)}
    return ["nan" if cell == "" and applies.get(name, True) else cell for name, cell in cells.items()]


def swept_cell(value: Any) -> str:
    """A swept value as it is written to metrics.csv, with all its digits."""
    return repr(float(value)) if isinstance(value, float) else str(value)


def whole_evaluations(
    file: Path, rows: Sequence[dict[str, str]], groups: Sequence[Sequence[int]]
) -> list[dict[str, str]]:
    """The rows of evaluations that every member of their group has reached; groups train one after the other.

    Others are those of the last evaluation, which a reader meets while a run is being written, or a kill has left.
    Raises RunDirectoryError, in one line, if a member lacks more than that.
    """
    counts: dict[int, int] = {}
    for row in rows:
        counts[int(row["member"])] = counts.get(int(row["member"]), 0) + 1
    reached: dict[int, int] = {}
    for group in groups:
        fewest, most = min(group, key=lambda m: counts.get(m, 0)), max(counts.get(m, 0) for m in group)
        if most - counts.get(fewest, 0) > 1:
            number = f"{counts.get(fewest, 0)} evaluations, another one of its group {most}"
            raise RunDirectoryError(f"{file} is damaged: member {fewest} has {number}")
        reached |= dict.fromkeys(group, counts.get(fewest, 0))
    kept: list[dict[str, str]] = []
    read_so_far = dict.fromkeys(reached, 0)
    for row in rows:
        member = int(row["member"])
        read_so_far[member] += 1
        if read_so_far[member] <= reached[member]:
            kept.append(row)
    return kept


def tabulate(
    rows: Sequence[dict[str, Any]], swept: Sequence[dict[str, Any]], diagnostics: Sequence[str] = ()
) -> dict[str, np.ndarray]:
    """Rows of metrics.csv as arrays `[evaluations, members]`, one for each column from `episodes` on.

    A member with fewer evaluations than others, because its group was trained later or not at all, is NaN in the
    last ones.

    Args:
        rows: dicts of column -> number, or text as read from the file, where an empty cell is NaN.
        swept: the swept values of each member, which become columns with the type of the values.
        diagnostics: names of the algorithm's diagnostics.
    """
    rows_of: list[list[dict[str, Any]]] = [[] for _ in swept]
    for row in rows:
        rows_of[int(row["member"])].append(dict.fromkeys(NEW_IN_FORMAT_6, "") | row)
    evaluations = max(map(len, rows_of), default=0)
    table = {name: np.full((evaluations, len(rows_of)), np.nan) for name in (*COLUMNS[2:], *diagnostics)}
    for member, own in enumerate(rows_of):
        for name, values in table.items():
            values[: len(own), member] = [to_number(row[name]) for row in own]
    names = list(swept[0]) if swept else []
    columns = {name: np.array([values[name] for values in swept]) for name in names}
    return table | {name: np.tile(values, (evaluations, 1)) for name, values in columns.items()}


def as_values(row: dict[str, Any], members: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A row of metrics.csv as it was before it was written: counts are int, swept values those of its member."""
    swept = members[int(row["member"])]
    kinds: dict[str, Callable[[Any], Any]] = dict.fromkeys(COLUMNS, to_number) | dict.fromkeys(COUNTS, int)
    return {
        column: swept[column] if column in swept else kinds.get(column, to_number)(cell)
        for column, cell in row.items()
    }


def to_number(cell: Any) -> float:
    """A cell of metrics.csv as a number; an empty cell is NaN."""
    return float("nan") if cell == "" else float(cell)
