"""Options for devices and for several processes, which `train` and `resume` share."""

from __future__ import annotations

import dataclasses

from jaxmac.processes.joining import initialize_distributed


@dataclasses.dataclass(frozen=True, kw_only=True)
class DeviceArguments:
    """The devices and processes that the members of a run are spread over."""

    devices: int | None = None
    """CPU devices in each process (default: one per core)"""
    coordinator: str | None = None
    """several processes: HOST:PORT at which process 0 listens, or auto to ask the cluster (SLURM, Open MPI, ...)"""
    processes: int | None = None
    """number of processes (not with --coordinator auto)"""
    process: int | None = None
    """number of this process, from 0 (not with --coordinator auto)"""
    join_timeout: int | None = None
    """several processes: seconds to wait for all of them at the start (default: 300)"""


def join_processes(given: DeviceArguments) -> None:
    """Join the other processes of the run if `--coordinator` is given.

    Raises ValueError for options that exclude each other, OSError if the other processes cannot be reached.
    """
    if given.coordinator is not None:
        seconds = 300 if given.join_timeout is None else given.join_timeout
        initialize_distributed(given.coordinator, given.processes, given.process, seconds)
    elif (given.processes, given.process, given.join_timeout) != (None, None, None):
        raise ValueError("--processes, --process and --join-timeout need --coordinator HOST:PORT")
