"""The report of a benchmark as tables on a terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table


def spread(rate: dict[str, float]) -> str:
    """A rate as "median (min to max)"."""
    return f"{rate['median']:,.0f} ({rate['min']:,.0f} to {rate['max']:,.0f})"


def show(report: dict[str, Any], console: Console) -> None:
    """Print the report as tables."""
    if "environments" in report:
        table = Table("environment", "parallel", "devices", "steps/s", "reference alone", "compile s")
        for row in report["environments"]["rows"]:
            sizes = str(row["parallel"]), str(row["devices"])
            rate, reference = spread(row["steps_per_second"]), row["reference_steps_per_second"]
            bare = f"{reference:,}" if reference else ""
            table.add_row(row["env"], *sizes, rate, bare, f"{row['compile_seconds']:.1f}")
        console.print(table)
    if "training" in report:
        rates = "updates/s", "live steps/s", "reference", "steps/update", "compile s", "MiB/update"
        table = Table("algorithm", "size", "members", "devices", *rates)
        for row in report["training"]["rows"]:
            rates = spread(row["updates_per_second"]), spread(row["live_env_steps_per_second"])
            reference = row["reference_env_steps_per_second"]
            rates += ("" if reference is None else f"{reference:,}",)
            taken = row["live_env_steps_per_update"]
            ratio = f"{row['nominal_env_steps_per_update']:g} ({taken:.3g} taken)"
            sizes = str(row["members"]), str(row["devices"])
            last = f"{row['compile_seconds']:.1f}", f"{row['update_mib']:g}"
            table.add_row(row["algorithm"], row["size"], *sizes, *rates, ratio, *last)
        console.print(table)
        measured = report["training"]["breakdown"]
        if not measured:
            return
        table = Table("part of an iteration", *(f"{b['algorithm']} {b['size']} x {b['members']}" for b in measured))
        for name in measured[0]["parts"]:
            found = [b["parts"][name] for b in measured]
            table.add_row(name, *(f"{p['milliseconds_per_iteration']:.1f} ms, {p['share']:.0%}" for p in found))
        console.print(table)
