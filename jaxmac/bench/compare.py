"""Two reports of `jaxmac bench`, before and after, as one table."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from jaxmac.errors import first_line

# Part of a report -> what identifies a row of it, and the rates that are compared.
PARTS = {
    "environments": (("env", "parallel", "devices"), ("steps_per_second",)),
    "training": (
        # The sizes, too: those of a preset may differ between versions.
        ("algorithm", "env", "size", "members", "devices", "batch_size", "max_rows", "hidden_size"),
        ("updates_per_second", "live_env_steps_per_second"),
    ),
}
ABOUT = (
    ("machine", "cpu"),
    ("machine", "cores"),
    ("machine", "device"),
    ("versions", "jax"),
    ("versions", "jaxmac"),
)


class Change(NamedTuple):
    """One figure that both reports have."""

    what: str
    rate: str
    before: float  # median
    after: float  # median


def read_report(path: Path) -> dict[str, Any]:
    """A stored report; raises ValueError, in one line, for a file that is none."""
    try:
        report: dict[str, Any] = json.loads(path.read_text())
        list(changes(report, report))
        list(differences(report, report))
    except OSError as error:
        raise ValueError(f"--compare {path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        why = f"it lacks {error}" if isinstance(error, KeyError) else first_line(error)
        raise ValueError(f"--compare {path} is not a report of jaxmac bench: {why}") from error
    if not any(part in report for part in PARTS):
        raise ValueError(f"--compare {path} is not a report of jaxmac bench: it has neither of {', '.join(PARTS)}")
    return report


def changes(before: dict[str, Any], after: dict[str, Any]) -> Iterator[Change]:
    """The figures that both reports have, in the order of the second one."""
    for part, (names, rates) in PARTS.items():
        known = {tuple(row[name] for name in names): row for row in before.get(part, {"rows": []})["rows"]}
        for row in after.get(part, {"rows": []})["rows"]:
            identity = tuple(row[name] for name in names)
            if identity not in known:
                continue
            what = ", ".join(f"{name} {value}" for name, value in zip(names, identity, strict=True))
            for rate in rates:
                yield Change(what, rate, known[identity][rate]["median"], row[rate]["median"])


def not_compared(before: dict[str, Any], after: dict[str, Any]) -> Iterator[str]:
    """Rows of the second report that the first one has with other sizes only."""
    names = PARTS["training"][0]
    usual, sizes = names[:5], names[5:]
    known = {tuple(row[name] for name in usual): row for row in before.get("training", {"rows": []})["rows"]}
    for row in after.get("training", {"rows": []})["rows"]:
        old = known.get(tuple(row[name] for name in usual), row)
        changed = [name for name in sizes if old[name] != row[name]]
        if changed:
            what = ", ".join(f"{name} {row[name]}" for name in usual)
            how = ", ".join(f"{name} {old[name]} before, {row[name]} after" for name in changed)
            yield f"not compared: {what}, which has {how}"


def differences(before: dict[str, Any], after: dict[str, Any]) -> Iterator[str]:
    """What else than the code differs between two reports: the machine and the versions."""
    for part, name in ABOUT:
        if before[part][name] != after[part][name]:
            yield f"{part} {name}: {before[part][name]} before, {after[part][name]} after"


def print_comparison(before: dict[str, Any], after: dict[str, Any], console: Console) -> None:
    """Print the figures that both reports have, with the ratio of their medians, and what else differs."""
    table = Table("measured", "rate", "before", "after", "times")
    for change in changes(before, after):
        rate = change.rate.removesuffix("_per_second").replace("_", " ") + "/s"
        times = f"{change.after / change.before:.2f}" if change.before else "-"
        table.add_row(change.what, rate, f"{change.before:,.0f}", f"{change.after:,.0f}", times)
    if table.row_count:
        console.print(table)
    else:
        console.print("the two reports have no measurement in common")
    for line in not_compared(before, after):
        console.print(line)
    for line in differences(before, after):
        console.print(line)
