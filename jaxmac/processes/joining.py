"""Devices of one process, and several processes (on one host or many) that train one run together.

Every process runs the same program on its share of the members (`jax.distributed`); process 0 alone writes and
speaks. What one process meets (an error, Ctrl-C) is told to all at fixed points, so that all go on or all stop.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
import traceback
from typing import Any

import jax

from jaxmac.processes.collective import exchange, is_distributed, is_main_process, is_shared

_hosts: list[str] = []  # of every process


def use_cpu_devices(count: int | None = None) -> None:
    """Split the CPU into `count` JAX devices, over which members are spread; None: one per core, which is best.

    Call it before anything else touches JAX. Raises RuntimeError when JAX has already started.
    """
    if count is None:
        count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if count < 1:
        raise ValueError(f"devices={count} is out of range; allowed: >= 1")
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
    """Join the other processes of a run; every one calls it, then `jaxmac.train` with the same arguments.

    Call it before anything else touches JAX, after `use_cpu_devices`. An exception that nobody catches then ends
    its process at once instead of waiting for the others.

    Args:
        coordinator: HOST:PORT on which process 0 listens, or "auto" to ask the cluster (SLURM, Open MPI, ...).
        processes: how many there are; only without "auto".
        process: which one this is, from 0; only without "auto".
        timeout: seconds to wait for all of them.

    Raises:
        ValueError: an argument is out of range, or "auto" finds no cluster.
        OSError: nobody listens there in time, or process 0 cannot listen there.
        RuntimeError: JAX has already started, or this is the second call.

    Where some of the processes do not come in time, the others end with status 2 and a line on stderr.
    """
    check_cluster(coordinator, processes, process, timeout)
    if jax.distributed.is_initialized():
        raise RuntimeError("this process has already joined the others: call initialize_distributed once")
    deadline = time.monotonic() + timeout
    if coordinator != "auto":
        _try_port(coordinator) if process == 0 else _reach(coordinator, deadline, timeout)
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    address = None if coordinator == "auto" else coordinator
    text = f"not all of the {processes or ''} processes joined at coordinator={coordinator!r} in {timeout} s"
    watch = threading.Timer(max(1.0, deadline - time.monotonic()), _give_up, [text])
    watch.daemon = True
    watch.start()
    try:
        jax.distributed.initialize(address, processes, process, initialization_timeout=timeout + 60)
    except ValueError as error:
        raise ValueError("coordinator='auto' found no cluster: give HOST:PORT, processes and process") from error
    finally:
        watch.cancel()
    sys.excepthook = _end_at_once
    _hosts[:] = exchange(socket.gethostname())


def check_cluster(coordinator: str, processes: int | None, process: int | None, timeout: int) -> None:
    """Raise a one-line ValueError for what `initialize_distributed` cannot use."""
    if timeout < 1:
        raise ValueError(f"timeout={timeout} is out of range; allowed: >= 1 second")
    if coordinator == "auto":
        if (processes, process) != (None, None):
            raise ValueError("coordinator='auto' asks the cluster: leave out processes and process")
        return
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise ValueError(f"coordinator={coordinator!r}: expected HOST:PORT such as node1:12345, or auto")
    if processes is None or process is None:
        raise ValueError(f"coordinator={coordinator!r} needs the number of processes and this one's, from 0")
    if processes < 1:
        raise ValueError(f"processes={processes} is out of range; allowed: >= 1")
    if not 0 <= process < processes:
        raise ValueError(f"process={process} is out of range; allowed: 0 to {processes - 1}")


def processes_on_host() -> int:
    """How many processes of this run share this host's memory."""
    return max(1, _hosts.count(socket.gethostname())) if is_distributed() else 1


def end(error: BaseException, status: int) -> int:
    """Say an error on stderr (process 0 for all, if all have it); returns the exit status.

    A process that others do not know to stop ends here: it would wait for them, and they for it.
    """
    shared = is_shared(error)
    if not shared or is_main_process():
        text = "interrupted" if isinstance(error, KeyboardInterrupt) else f"error: {error}"
        print(f"jaxmac: {text}", file=sys.stderr, flush=True)
    if not shared:
        sys.stdout.flush()
        os._exit(status)
    return status


def _try_port(coordinator: str) -> None:
    """See that process 0 can listen there, where JAX would crash if it cannot."""
    port = int(coordinator.rpartition(":")[2])
    try:
        socket.create_server(("", port)).close()
    except OSError as error:
        raise OSError(
            f"cannot listen at coordinator={coordinator!r}: {os.strerror(error.errno)}; try another port"
        ) from error


def _reach(coordinator: str, deadline: float, timeout: int) -> None:
    """Wait until process 0 listens, where JAX would abort the program if it never does."""
    host, _, port = coordinator.rpartition(":")
    while True:
        try:
            return socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
        except OSError as error:
            if time.monotonic() > deadline:
                why = error.strerror or "no answer"
                raise OSError(
                    f"process 0 cannot be reached at coordinator={coordinator!r} in {timeout} s: {why}"
                ) from error
        time.sleep(0.2)


def _give_up(text: str) -> None:
    """End this process, which JAX would do with a stack trace."""
    print(f"jaxmac: error: {text}", file=sys.stderr, flush=True)
    os._exit(2)


def _end_at_once(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    """For `sys.excepthook`: leaving would wait for the other processes, which wait for this one."""
    if not is_shared(error) or is_main_process():
        traceback.print_exception(kind, error, trace)
    if not is_shared(error):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)
