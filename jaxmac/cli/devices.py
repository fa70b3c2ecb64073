"""Options of the command line for devices and for several processes."""

from __future__ import annotations

import dataclasses

from jaxmac.processes.joining import initialize_distributed


@dataclasses.dataclass(frozen=True, kw_only=True)
class DeviceArguments:
    """Where members are computed."""

    devices: int | None = None
    """CPU devices to spread members over, in each process (default: one per core)"""
    coordinator: str | None = None
    """one of several processes: HOST:PORT where process 0 listens, or auto (SLURM, Open MPI, ...)"""
    processes: int | None = None
    """how many processes there are (not with auto)"""
    process: int | None = None
    """which one this is, from 0 (not with auto)"""
    join_timeout: int = 300
    """seconds to wait for the other processes at the start"""


def join_processes(given: DeviceArguments) -> None:
    """Join the other processes of the run, if `--coordinator` says that there are any.

    Raises ValueError for options that do not go together, OSError if the others cannot be reached.
    """
    if given.coordinator is not None:
        initialize_distributed(given.coordinator, given.processes, given.process, given.join_timeout)
    elif (given.processes, given.process) != (None, None):
        raise ValueError("--processes and --process need --coordinator HOST:PORT")
