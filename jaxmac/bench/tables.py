"""The report of a benchmark as tables on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table


def print_tables(report: dict[str, Any], console: Console) -> None:
    """Print what a report of `jaxmac bench` holds."""
    if "environments" in report:
        console.print(_environments_table(report["environments"]["rows"]))
    if "training" in report:
        console.print(_training_table(report["training"]["rows"]))
        if report["training"]["breakdown"]:
            console.print(_breakdown_table(report["training"]["breakdown"]))


def _environments_table(rows: Sequence[dict[str, Any]]) -> Table:
    table = Table("environment", "parallel", "devices", "steps/s", "reference", "compile s")
    for row in rows:
        table.add_row(
            row["env"],
            str(row["parallel"]),
            str(row["devices"]),
            _rate(row["steps_per_second"]),
            _count(row["reference_steps_per_second"]),
            f"{row['compile_seconds']:.1f}",
        )
    return table


def _training_table(rows: Sequence[dict[str, Any]]) -> Table:
    measured = ("updates/s", "live steps/s", "reference", "steps/update", "compile s", "MiB/update")
    table = Table("algorithm", "size", "members", "devices", *measured)
    for row in rows:
        table.add_row(
            row["algorithm"],
            row["size"],
            str(row["members"]),
            str(row["devices"]),
            _rate(row["updates_per_second"]),
            _rate(row["live_env_steps_per_second"]),
            _count(row["reference_env_steps_per_second"]),
            f"{row['nominal_env_steps_per_update']:g} ({row['live_env_steps_per_update']:.3g} taken)",
            f"{row['compile_seconds']:.1f}",
            f"{row['update_mib']:g}",
        )
    return table


def _breakdown_table(measured: Sequence[dict[str, Any]]) -> Table:
    table = Table("part of an iteration", *(f"{b['algorithm']} {b['size']} x {b['members']}" for b in measured))
    for name in measured[0]["parts"]:
        parts = [b["parts"][name] for b in measured]
        table.add_row(name, *(f"{p['milliseconds_per_iteration']:.1f} ms, {p['share']:.0%}" for p in parts))
    return table


def _rate(rate: dict[str, float]) -> str:
    """A rate as "median (minimum to maximum)"."""
    return f"{rate['median']:,.0f} ({rate['min']:,.0f} to {rate['max']:,.0f})"


def _count(number: float | None) -> str:
    return "" if number is None else f"{number:,}"
