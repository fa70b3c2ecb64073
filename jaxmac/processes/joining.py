"""The CPU devices of a process, and joining several processes, on one host or many, that train one run together.

Every process runs the same program on its share of the members (`jax.distributed`), and process 0 alone writes
files and prints. An error or Ctrl-C in one process is passed on to all of them at fixed points of the program, so
that either all continue or all stop.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
import traceback
import types

import jax

from jaxmac.arguments import is_integer
from jaxmac.processes.collective import exchange, is_distributed, is_main_process, is_shared

MOST_DEVICES = 1024  # of a CPU: far more than any has cores, and JAX makes threads for each

_hosts: list[str] = []  # the host name of every process, once they are joined


def use_cpu_devices(count: int | None = None) -> None:
    """Split the CPU into `count` JAX devices, over which the members of a run are spread.

    Call it before anything else uses JAX. None stands for one device per core, which is the fastest.

    Raises:
        ValueError: `count` is not an integer from 1 to 1024.
        RuntimeError: JAX has already started with another number of CPU devices.
    """
    if count is None:
        count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not is_integer(count) or not 1 <= count <= MOST_DEVICES:
        raise ValueError(f"devices is {count!r}, but must be from 1 to {MOST_DEVICES}")
    try:
        jax.config.update("jax_num_cpu_devices", count)
    except RuntimeError:
        if len(jax.local_devices(backend="cpu")) != count:
            raise RuntimeError(
                f"JAX has already started with {len(jax.local_devices(backend='cpu'))} CPU device(s): call "
                "jaxmac.use_cpu_devices before the first use of JAX (in a notebook: restart, then call it first)"
            ) from None


def initialize_distributed(
    coordinator: str = "auto", processes: int | None = None, process: int | None = None, timeout: int = 300
) -> None:
    """Join the other processes of a run. Every process calls this, then `jaxmac.train` with the same arguments.

    Call it after `use_cpu_devices` and before anything else uses JAX. From then on an exception that is not caught
    ends its process at once, without waiting for the others. If some processes do not join in time, the others exit
    with status 2 and one line on stderr.

    Args:
        coordinator: HOST:PORT at which process 0 listens, or "auto" to ask the cluster (SLURM, Open MPI, ...).
        processes: the number of processes; left out with "auto".
        process: the number of this process, from 0; left out with "auto".
        timeout: seconds to wait for all processes.

    Raises:
        ValueError: an argument is out of range, or "auto" finds no cluster.
        OSError: process 0 cannot listen at that address, or does not listen there in time.
        RuntimeError: JAX has already started, or the process has joined before.
    """
    check_cluster(coordinator, processes, process, timeout)
    if jax.distributed.is_initialized():
        raise RuntimeError("this process has already joined the others: call initialize_distributed once")
    deadline = time.monotonic() + timeout
    if coordinator != "auto":
        _check_port(coordinator) if process == 0 else _wait_for_coordinator(coordinator, deadline, timeout)
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    address = None if coordinator == "auto" else coordinator
    count = f"the {processes}" if processes else "the"
    text = f"not all of {count} processes joined at coordinator={coordinator!r} in {timeout} s"
    watchdog = threading.Timer(max(1.0, deadline - time.monotonic()), _exit_with_error, [text])
    watchdog.daemon = True
    watchdog.start()
    try:
        jax.distributed.initialize(address, processes, process, initialization_timeout=timeout + 60)
    except ValueError as error:
        raise ValueError("coordinator='auto' found no cluster: give HOST:PORT, processes and process") from error
    finally:
        watchdog.cancel()
    sys.excepthook = _exit_at_once
    _hosts[:] = exchange(socket.gethostname())


def check_cluster(coordinator: str, processes: int | None, process: int | None, timeout: int) -> None:
    """Raise a one-line ValueError for arguments that `initialize_distributed` cannot use."""
    for name, count in (("timeout", timeout), ("processes", processes), ("process", process)):
        if not is_integer(count) and (count is not None or name == "timeout"):
            raise ValueError(f"{name} is {count!r}, but must be an integer")
    if timeout < 1:
        raise ValueError(f"timeout is {timeout}, but must be >= 1 second")
    if coordinator == "auto":
        if (processes, process) != (None, None):
            raise ValueError("coordinator='auto' asks the cluster: leave out processes and process")
        return
    host, _, port = str(coordinator).rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise ValueError(f"coordinator is {coordinator!r}, but must be HOST:PORT such as node1:12345, or auto")
    if processes is None or process is None:
        raise ValueError(
            f"coordinator={coordinator!r} needs processes (their number) and process (which one this is)"
        )
    if processes < 1:
        raise ValueError(f"processes is {processes}, but must be >= 1")
    if not 0 <= process < processes:
        raise ValueError(f"process is {process}, but must be from 0 to {processes - 1}")


def processes_on_host() -> int:
    """The number of processes of this run on this host, which share its memory."""
    return max(1, _hosts.count(socket.gethostname())) if is_distributed() else 1


def report_error(error: BaseException, status: int) -> int:
    """Print an error as one line on stderr and return the exit status.

    An error that all processes share is printed by process 0 alone. For any other error this process exits here: a
    regular exit would wait for the other processes, which in turn wait for this one.
    """
    shared = is_shared(error)
    if not shared or is_main_process():
        text = "interrupted" if isinstance(error, KeyboardInterrupt) else f"error: {error}"
        print(f"jaxmac: {text}", file=sys.stderr, flush=True)
    if not shared:
        sys.stdout.flush()
        os._exit(status)
    return status


def _check_port(coordinator: str) -> None:
    """Raise OSError if process 0 cannot listen at its port; JAX itself would crash."""
    port = int(coordinator.rpartition(":")[2])
    try:
        socket.create_server(("", port)).close()
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else error
        raise OSError(f"cannot listen at coordinator={coordinator!r}: {reason}; try another port") from error


def _wait_for_coordinator(coordinator: str, deadline: float, timeout: int) -> None:
    """Wait until process 0 listens; OSError after the deadline, where JAX itself would abort the program."""
    host, _, port = str(coordinator).rpartition(":")
    while True:
        try:
            return socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
        except OSError as error:
            if time.monotonic() > deadline:
                reason = error.strerror or "no answer"
                raise OSError(
                    f"process 0 cannot be reached at coordinator={coordinator!r} in {timeout} s: {reason}"
                ) from error
        time.sleep(0.2)


def _exit_with_error(text: str) -> None:
    """Exit with one line on stderr; JAX would print a stack trace."""
    print(f"jaxmac: error: {text}", file=sys.stderr, flush=True)
    os._exit(2)


def _exit_at_once(error_type: type[BaseException], error: BaseException, trace: types.TracebackType | None) -> None:
    """For `sys.excepthook`: exit at once, since a regular exit would wait for processes that wait for this one."""
    if not is_shared(error) or is_main_process():
        traceback.print_exception(error_type, error, trace)
    if not is_shared(error):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)
