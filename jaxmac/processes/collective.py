"""What the processes of a run do together: tell each other, agree, gather arrays.

Everything here is a no-op for one process. All processes must call each function at the same point.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec, Sharding

from jaxmac.errors import first_line

GATHER_PIECE_BYTES = 2**26  # bytes of a large array that are on a device more than once while it is gathered
SAID = (ValueError, MemoryError, OSError)  # errors that are told to the other processes


def is_distributed() -> bool:
    """Whether this is one of several processes; starts nothing."""
    return jax.distributed.is_initialized() and jax.process_count() > 1


def is_main_process() -> bool:
    """Whether this process writes and speaks."""
    return not is_distributed() or jax.process_index() == 0


def exchange(text: str = "") -> list[str]:
    """What every process says, by number. All must call it; one collective if nobody says anything."""
    if not is_distributed():
        return [text]
    data = np.frombuffer(text.encode(), np.uint8)
    with _others():
        lengths = _rows(np.array([len(data)], np.int32))[:, 0]
        if not lengths.any():
            return [""] * len(lengths)
        width = 1 << int(lengths.max() - 1).bit_length()  # few widths: few programs to compile
        rows = _rows(np.pad(data, (0, width - len(data))))
    return [row[:length].tobytes().decode() for row, length in zip(rows, lengths, strict=True)]


def any_process(flag: bool) -> bool:
    """Whether `flag` holds on some process. All must call it."""
    return any(exchange("1" if flag else ""))


def mark_shared(error: BaseException) -> BaseException:
    """Mark an error that all processes raise at the same point."""
    error.is_shared = True  # type: ignore[attr-defined]
    return error


def is_shared(error: BaseException | None) -> bool:
    """Whether all processes raise this error (or none), so that they can still do something together."""
    while error is not None and is_distributed() and not getattr(error, "is_shared", False):
        if error.__cause__ is None:
            return False
        error = error.__cause__
    return True


@contextlib.contextmanager
def raise_on_all() -> Iterator[None]:
    """All processes leave the block or none: an error of one (ValueError, MemoryError, OSError) is raised by all.

    Inside, nothing may wait for other processes.
    """
    own = None
    try:
        yield
    except SAID as error:
        if not is_distributed():
            raise
        own = error
    said = exchange("" if own is None else json.dumps([_kind(own), str(own)]))
    if own is not None:
        raise mark_shared(own)
    for number, text in enumerate(said):
        if text:
            kind, message = json.loads(text)
            raise mark_shared(next(k for k in SAID if k.__name__ == kind)(f"process {number}: {message}"))


def refuse_differences(arguments: dict[str, Any]) -> None:
    """Raise a one-line ValueError, on every process, unless all were given the same arguments."""
    if not is_distributed():
        return
    given = [_flat(json.loads(text)) for text in exchange(json.dumps(arguments, default=str))]
    for number, other in enumerate(given):
        differing = [
            f"{name}={other.get(name)!r} (process 0: {given[0].get(name)!r})"
            for name in dict.fromkeys([*given[0], *other])
            if given[0].get(name) != other.get(name)
        ]
        if differing:
            more = f" and {len(differing) - 3} more" if len(differing) > 3 else ""
            text = f"process {number} was given other arguments: {', '.join(differing[:3])}{more}"
            raise mark_shared(ValueError(text))


def _flat(arguments: dict[str, Any]) -> dict[str, Any]:
    """Nested dictionaries by dotted names."""
    flat = {}
    for name, value in arguments.items():
        inner = _flat(value) if isinstance(value, dict) else {}
        flat |= {f"{name}.{key}": x for key, x in inner.items()} or {name: value}
    return flat


def gather(tree: Any, *, to_all: bool = True) -> Any:
    """Arrays of all processes on the host; without `to_all` on process 0 only, None elsewhere. All must call it."""
    if not is_distributed():
        return jax.device_get(tree)
    here = to_all or is_main_process()
    leaves, structure = jax.tree.flatten(tree)
    large = [leaf.nbytes > GATHER_PIECE_BYTES for leaf in leaves]
    with _others():
        small = iter(_replicated([leaf for leaf, is_large in zip(leaves, large, strict=True) if not is_large]))
        found = [
            _gather_in_pieces(leaf, here) if is_large else _host(next(small))
            for leaf, is_large in zip(leaves, large, strict=True)
        ]
    return jax.tree.unflatten(structure, found) if here else None


def place(x: Any, sharding: Sharding) -> jax.Array:
    """An array that every process has on its host, spread over the devices of all."""
    if sharding.is_fully_addressable:
        return jax.device_put(x, sharding)
    x = np.asarray(x)
    return jax.make_array_from_callback(x.shape, sharding, lambda index: x[index])


@contextlib.contextmanager
def _others() -> Iterator[None]:
    """What JAX raises where another process does not answer any more, as an OSError of one line."""
    try:
        yield
    except (jax.errors.JaxRuntimeError, ValueError) as error:
        raise ConnectionError(f"another process of this run has ended ({first_line(error)})") from error


def _gather_in_pieces(x: jax.Array, here: bool) -> np.ndarray | None:
    """A large array piece by piece along its longest axis but the first: a device never holds it whole."""
    axis = 1 + int(np.argmax(x.shape[1:]))
    length = x.shape[axis]
    width = max(1, length // -(-x.nbytes // GATHER_PIECE_BYTES))
    whole = np.empty(x.shape, x.dtype) if here else None
    for start in [*range(0, length - width, width), length - width]:
        piece = _replicated(_slice(x, np.int32(start), width, axis))
        if here:
            whole[(slice(None),) * axis + (slice(start, start + width),)] = _host(piece)
    return whole


@functools.partial(jax.jit, static_argnums=(2, 3))
def _slice(x: jax.Array, start: jax.Array, width: int, axis: int) -> jax.Array:
    return jax.lax.dynamic_slice_in_dim(x, start, width, axis)


@functools.cache
def _to_every_device(mesh: Mesh) -> Callable[[Any], Any]:
    """A function that copies arrays on a mesh to all of its devices, which are connected already."""
    copy = jax.jit(lambda tree: tree, out_shardings=NamedSharding(mesh, PartitionSpec()))
    spread = place(np.zeros(mesh.size, np.int32), NamedSharding(mesh, PartitionSpec(mesh.axis_names)))
    with _silent():  # gloo tells stdout of every connection
        jax.block_until_ready(copy(spread))
    return copy


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Nothing that libraries write to the process's stdout is seen."""
    sys.stdout.flush()
    held = os.dup(1)
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    try:
        yield
    finally:
        os.dup2(held, 1)
        os.close(held)


def _replicated(tree: Any) -> Any:
    leaves = jax.tree.leaves(tree)
    return _to_every_device(leaves[0].sharding.mesh)(tree) if leaves else tree


def _host(x: jax.Array) -> np.ndarray:
    return np.asarray(x.addressable_data(0))


def _rows(row: np.ndarray) -> np.ndarray:
    """One row of each process, `[processes, width]`, through one device of each."""
    first: dict[int, Any] = {}
    for device in jax.devices():
        first.setdefault(device.process_index, device)
    mesh = Mesh([first[number] for number in sorted(first)], ("processes",))
    own = jax.make_array_from_process_local_data(NamedSharding(mesh, PartitionSpec("processes")), row[None])
    return _host(_replicated(own))


def _kind(error: Exception) -> str:
    return next(kind.__name__ for kind in SAID if isinstance(error, kind))
