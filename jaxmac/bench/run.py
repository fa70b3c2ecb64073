"""`jaxmac bench`: measure, print a table, write JSON with the machine and the versions that gave the numbers."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from jaxmac import envs
from jaxmac.algorithms import ALGORITHMS
from jaxmac.bench.environments import bench_environments
from jaxmac.bench.machine import machine
from jaxmac.bench.tables import show
from jaxmac.bench.training import bench_training
from jaxmac.processes.joining import use_cpu_devices
from jaxmac.runs.directory import versions

BENCHED = tuple(
    env_id + suffix
    for env_id in ("BoxPushing-10", "Warehouse-D", "Warehouse-Q", "CaptureTarget-10", "Overcooked-A")
    for suffix in ("", "-primitive")
)


@dataclasses.dataclass(frozen=True)
class BenchArguments:
    """Environment and training throughput on this machine."""

    what: Literal["all", "environments", "training"] = "all"
    """which part to run"""
    env: tuple[str, ...] = BENCHED
    """environment ids, or all; training runs on the first"""
    algorithm: tuple[str, ...] = ()
    """algorithms to train (default: all that have a row)"""
    parallel: tuple[int, ...] = ()
    """numbers of parallel environments (default: 1 to 16,384)"""
    quick: bool = False
    """fewer sizes, less training"""
    out: Path = Path("benchmarks/results")
    """directory for the JSON file"""
    devices: int | None = None
    """CPU devices to spread the work over (default: one per core)"""


def bench(arguments: BenchArguments) -> int:
    """Run the parts asked for and write `OUT/bench[-quick].json`; returns the exit status 0.

    Raises ValueError for an unknown environment, no environment or a bad number of devices; OSError where
    nothing can be written.
    """
    if arguments.devices is not None:
        use_cpu_devices(arguments.devices)
    else:
        with contextlib.suppress(RuntimeError):  # JAX runs already (called from Python): measure what there is
            use_cpu_devices(os.cpu_count() or 1)
    if any(count < 1 for count in arguments.parallel):
        raise ValueError(f"parallel={arguments.parallel}: every number must be at least 1")
    if not arguments.env:
        raise ValueError("env=(): name at least one environment")
    env_ids = envs.list_ids() if arguments.env == ("all",) else arguments.env
    for env_id in env_ids:
        envs.make(env_id)
    for name in arguments.algorithm:
        ALGORITHMS[name]
    arguments.out.mkdir(parents=True, exist_ok=True)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)

    def say(line: str) -> None:
        console.print(line, style="dim")

    began = time.perf_counter()
    report: dict[str, Any] = {
        "machine": machine(),
        "versions": versions(),
        "date": time.strftime("%Y-%m-%d"),
        "quick": arguments.quick,
    }
    if arguments.what in ("all", "environments"):
        report["environments"] = bench_environments(env_ids, arguments.quick, say, arguments.parallel)
    if arguments.what in ("all", "training"):
        report["training"] = bench_training(env_ids[0], arguments.quick, say, arguments.algorithm)
    report["seconds"] = round(time.perf_counter() - began, 1)
    show(report, console)
    name = "bench" if arguments.what == "all" else f"bench-{arguments.what}"
    path = arguments.out / f"{name}{'-quick' if arguments.quick else ''}.json"
    path.write_text(json.dumps(report, indent=2) + "\n")
    console.print(path, soft_wrap=True)
    return 0
