"""`jaxmac bench`: measure, print tables, and write the report as JSON, with the machine and the versions."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from jaxmac import envs
from jaxmac.algorithms import ALGORITHMS
from jaxmac.bench.compare import PARTS, print_comparison, read_report
from jaxmac.bench.environments import bench_environments
from jaxmac.bench.machine import machine
from jaxmac.bench.tables import print_tables
from jaxmac.bench.training import bench_training, measured_algorithms
from jaxmac.processes.joining import use_cpu_devices
from jaxmac.runs.directory import versions
from jaxmac.runs.outputs import output_file

DEFAULT_ENVIRONMENTS = tuple(
    env_id + suffix
    for env_id in ("BoxPushing-10", "Warehouse-D", "Warehouse-Q", "CaptureTarget-10", "Overcooked-A")
    for suffix in ("", "-primitive")
)


@dataclasses.dataclass(frozen=True)
class BenchArguments:
    """Measure the throughput of environments and of training on this machine."""

    what: Literal["all", "environments", "training"] = "all"
    """what to measure"""
    env: tuple[str, ...] = DEFAULT_ENVIRONMENTS
    """environment ids, or all; training is measured on the first one"""
    algorithm: tuple[str, ...] = ()
    """algorithms to measure training with, all if none is given"""
    parallel: tuple[int, ...] = ()
    """numbers of parallel environments, 1 to 16,384 if none is given"""
    quick: bool = False
    """fewer sizes and a single algorithm"""
    out: Path = Path("benchmarks/results")
    """folder for the JSON report"""
    compare: Path | None = None
    """an earlier report: print what both have in common, before and after"""
    devices: int | None = None
    """CPU devices to spread the work over (default: one per core)"""


def bench(arguments: BenchArguments) -> int:
    """Measure what `arguments` ask for, print tables and write `OUT/bench[-WHAT][-quick].json`; returns 0.

    What was measured before a Ctrl-C is printed, too, and written to a file of its own, whose name ends in
    `-stopped.json`. Raises ValueError for an unknown environment or algorithm, or a number out of range; OSError if
    the report cannot be written; KeyboardInterrupt after a Ctrl-C.
    """
    _split_cpu(arguments.devices)  # first: making an environment may start JAX
    env_ids = _checked_environments(arguments)
    before = None if arguments.compare is None else read_report(arguments.compare)
    path, stopped = (_report_path(arguments, ending) for ending in ("", "-stopped"))
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    report: dict[str, Any] = {}
    try:
        _measure(report, arguments, env_ids, lambda line: console.print(line, style="dim"))
    except KeyboardInterrupt:
        if any(report.get(part, {}).get("rows") for part in PARTS):
            _publish(report, before, stopped, console)
        raise
    _publish(report, before, path, console)
    return 0


def _publish(report: dict[str, Any], before: dict[str, Any] | None, path: Path, console: Console) -> None:
    """Print a report, compare it with one of before, and write it."""
    print_tables(report, console)
    if before is not None:
        print_comparison(before, report, console)
    path.write_text(json.dumps(report, indent=2) + "\n")
    console.print(path, soft_wrap=True)


def _report_path(arguments: BenchArguments, ending: str) -> Path:
    """A file for the report, checked before anything is measured: it replaces nothing but an earlier report."""
    if arguments.out.exists() and not arguments.out.is_dir():
        raise NotADirectoryError(f"--out {arguments.out} is a file, not a folder")
    name = "bench" if arguments.what == "all" else f"bench-{arguments.what}"
    path = output_file(arguments.out / f"{name}{'-quick' if arguments.quick else ''}{ending}.json")
    if path.exists():
        if arguments.compare is not None and path.samefile(arguments.compare):
            raise ValueError(f"--compare {path} would be replaced by the new report; choose another --out")
        try:
            read_report(path)
        except ValueError:
            raise ValueError(f"--out would replace {path}, which is not a report of jaxmac bench") from None
    return path


def _split_cpu(devices: int | None) -> None:
    """Use that many CPU devices; without a number one per core, or what there is if JAX has started already."""
    if devices is not None:
        use_cpu_devices(devices)
        return
    with contextlib.suppress(RuntimeError):
        use_cpu_devices()


def _checked_environments(arguments: BenchArguments) -> Sequence[str]:
    """The environment ids to measure; a one-line ValueError for arguments that cannot be used."""
    if any(count < 1 for count in arguments.parallel):
        raise ValueError(f"parallel is {arguments.parallel}, but must have numbers >= 1")
    if arguments.what == "training" and arguments.parallel:
        raise ValueError("--parallel is for environments: training has the numbers of its sizes")
    if arguments.what == "environments" and arguments.algorithm:
        raise ValueError("--algorithm is for training, which --what environments does not measure")
    if not arguments.env:
        raise ValueError("env=(): name at least one environment")
    env_ids = envs.list_ids() if arguments.env == ("all",) else arguments.env
    if arguments.what == "training" and arguments.env != DEFAULT_ENVIRONMENTS and len(env_ids) > 1:
        raise ValueError(f"--what training is measured on one environment; --env has {len(env_ids)}")
    for env_id in env_ids:
        envs.make(env_id)
    for name in arguments.algorithm:
        ALGORITHMS[name]  # raises ValueError for an unknown one
        known = measured_algorithms(arguments.quick)
        if arguments.what != "environments" and name not in known:
            raise ValueError(f"algorithm is {name!r}, but must be one of {', '.join(known)}, which are measured")
    return env_ids


def _measure(
    report: dict[str, Any], arguments: BenchArguments, env_ids: Sequence[str], log: Callable[[str], None]
) -> None:
    """Fill `report` with what is measured, as it comes, on which machine, and with which versions."""
    start, quick = time.perf_counter(), arguments.quick
    report |= {"machine": machine(), "versions": versions(), "date": time.strftime("%Y-%m-%d"), "quick": quick}
    if arguments.what in ("all", "environments"):
        section = report["environments"] = dict[str, Any]()
        bench_environments(env_ids, quick, log, arguments.parallel, section)
    if arguments.what in ("all", "training"):
        section = report["training"] = dict[str, Any]()
        bench_training(env_ids[0], quick, log, arguments.algorithm, section)
    report["seconds"] = round(time.perf_counter() - start, 1)
