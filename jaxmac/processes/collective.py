"""What the processes of a run do together: exchange texts, raise errors on all of them, gather arrays.

With a single process every function here returns at once. With several, all of them must call each function at the
same point of the program, or those that called it wait for the others.
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

GATHER_PIECE_BYTES = 2**26  # larger arrays are gathered in pieces of this size, to bound the memory of a device
SHARED_ERRORS = (ValueError, MemoryError, OSError)  # what `raise_on_all` passes on to the other processes


def is_distributed() -> bool:
    """Whether several processes train this run. Does not start JAX."""
    return jax.distributed.is_initialized() and jax.process_count() > 1


def is_main_process() -> bool:
    """Whether this is process 0, the only one that writes files and prints."""
    return not is_distributed() or jax.process_index() == 0


def exchange(text: str = "") -> list[str]:
    """The texts of all processes, in the order of their numbers; a single collective where all are empty."""
    if not is_distributed():
        return [text]
    data = np.frombuffer(text.encode(), np.uint8)
    with _lost_process_as_os_error():
        lengths = _gather_rows(np.array([len(data)], np.int32))[:, 0]
        if not lengths.any():
            return [""] * len(lengths)
        width = 1 << int(lengths.max() - 1).bit_length()  # a power of two, so that few programs are compiled
        rows = _gather_rows(np.pad(data, (0, width - len(data))))
    return [row[:length].tobytes().decode() for row, length in zip(rows, lengths, strict=True)]


def any_process(flag: bool) -> bool:
    """Whether `flag` is true on at least one process."""
    return any(exchange("1" if flag else ""))


def mark_shared(error: BaseException) -> BaseException:
    """Mark an error that all processes raise at the same point, and return it."""
    error.is_shared = True  # type: ignore[attr-defined]
    return error


def is_shared(error: BaseException | None) -> bool:
    """Whether all processes raise this error (or there is none), so that collectives are still possible.

    An error counts as shared if it, or an error that it was raised from, was marked by `mark_shared`.
    """
    while error is not None and is_distributed() and not getattr(error, "is_shared", False):
        if error.__cause__ is None:
            return False
        error = error.__cause__
    return True


@contextlib.contextmanager
def raise_on_all() -> Iterator[None]:
    """Raise an error of one process (ValueError, MemoryError, OSError) on all processes at the end of the block.

    The block itself must not contain collectives. Other errors are raised on their own process alone.
    """
    own = None
    try:
        yield
    except SHARED_ERRORS as error:
        if not is_distributed():
            raise
        own = error
    texts = exchange("" if own is None else json.dumps([_type_name(own), str(own)]))
    if own is not None:
        raise mark_shared(own)
    for number, text in enumerate(texts):
        if text:
            name, message = json.loads(text)
            error_type = next(error_type for error_type in SHARED_ERRORS if error_type.__name__ == name)
            raise mark_shared(error_type(f"process {number}: {message}"))


def _type_name(error: Exception) -> str:
    """The name of the shared error type that an error belongs to."""
    return next(error_type.__name__ for error_type in SHARED_ERRORS if isinstance(error, error_type))


def refuse_differences(arguments: dict[str, Any]) -> None:
    """Raise a one-line ValueError on every process unless all were given the same arguments, values of JSON."""
    if not is_distributed():
        return
    first, *others = (_flatten(json.loads(text)) for text in exchange(json.dumps(arguments)))
    for number, other in enumerate(others, start=1):
        differing = [
            f"{name}={other.get(name)!r} (process 0: {first.get(name)!r})"
            for name in dict.fromkeys([*first, *other])
            if first.get(name) != other.get(name)
        ]
        if differing:
            more = f" and {len(differing) - 3} more" if len(differing) > 3 else ""
            raise mark_shared(
                ValueError(f"process {number} was given other arguments: {', '.join(differing[:3])}{more}")
            )


def _flatten(arguments: dict[str, Any]) -> dict[str, Any]:
    """Nested dictionaries as one, with dotted names."""
    flat: dict[str, Any] = {}
    for name, value in arguments.items():
        inner = _flatten(value) if isinstance(value, dict) else {}
        flat |= {f"{name}.{key}": x for key, x in inner.items()} or {name: value}
    return flat


def gather(tree: Any, *, to_all: bool = True) -> Any:
    """The whole arrays of a tree, whose parts are on the devices of all processes, as NumPy arrays.

    With `to_all=False` process 0 alone gets them and the others get None.
    """
    if not is_distributed():
        return jax.device_get(tree)
    keep = to_all or is_main_process()
    leaves, structure = jax.tree.flatten(tree)
    large = [leaf.nbytes > GATHER_PIECE_BYTES for leaf in leaves]
    with _lost_process_as_os_error():
        small = iter(_replicated([leaf for leaf, is_large in zip(leaves, large, strict=True) if not is_large]))
        found = [
            _gather_in_pieces(leaf, keep) if is_large else _to_host(next(small))
            for leaf, is_large in zip(leaves, large, strict=True)
        ]
    return jax.tree.unflatten(structure, found) if keep else None


def place(x: Any, sharding: Sharding) -> jax.Array:
    """Put an array, which every process has on its host, onto the devices of all processes."""
    if sharding.is_fully_addressable:
        return jax.device_put(x, sharding)
    x = np.asarray(x)
    return jax.make_array_from_callback(x.shape, sharding, lambda index: x[index])


@contextlib.contextmanager
def _lost_process_as_os_error() -> Iterator[None]:
    """Turn what JAX raises when another process does not answer any more into an OSError of one line."""
    try:
        yield
    except (jax.errors.JaxRuntimeError, ValueError) as error:
        raise ConnectionError(f"another process of this run has ended ({first_line(error)})") from error


def _gather_in_pieces(x: jax.Array, keep: bool) -> np.ndarray | None:
    """Gather a large array piece by piece along its longest axis after the first, so no device holds all of it."""
    axis = 1 + int(np.argmax(x.shape[1:]))
    length = x.shape[axis]
    width = max(1, length // -(-x.nbytes // GATHER_PIECE_BYTES))
    whole = np.empty(x.shape, x.dtype) if keep else None
    for start in [*range(0, length - width, width), length - width]:
        piece = _replicated(_slice(x, np.int32(start), width, axis))
        if whole is not None:
            whole[(slice(None),) * axis + (slice(start, start + width),)] = _to_host(piece)
    return whole


@functools.partial(jax.jit, static_argnums=(2, 3))
def _slice(x: jax.Array, start: jax.Array, width: int, axis: int) -> jax.Array:
    return jax.lax.dynamic_slice_in_dim(x, start, width, axis)


@functools.cache
def _to_every_device(mesh: Mesh) -> Callable[[Any], Any]:
    """A function that copies arrays on a mesh to all of its devices. They are connected before it is returned."""
    copy = jax.jit(lambda tree: tree, out_shardings=NamedSharding(mesh, PartitionSpec()))
    spread = place(np.zeros(mesh.size, np.int32), NamedSharding(mesh, PartitionSpec(mesh.axis_names)))
    with _stdout_discarded():  # gloo reports every new connection on stdout
        jax.block_until_ready(copy(spread))
    return copy


@contextlib.contextmanager
def _stdout_discarded() -> Iterator[None]:
    """Discard what is written to the file descriptor of stdout, also by libraries in C."""
    sys.stdout.flush()
    original = os.dup(1)
    with Path(os.devnull).open("w") as null:
        os.dup2(null.fileno(), 1)
    try:
        yield
    finally:
        os.dup2(original, 1)
        os.close(original)


def _replicated(tree: Any) -> Any:
    """The arrays of a tree, which share a mesh, copied to every device of it."""
    leaves = jax.tree.leaves(tree)
    return _to_every_device(leaves[0].sharding.mesh)(tree) if leaves else tree


def _to_host(x: jax.Array) -> np.ndarray:
    """A replicated array as NumPy array."""
    return np.asarray(x.addressable_data(0))


def _gather_rows(row: np.ndarray) -> np.ndarray:
    """The rows `[width]` of all processes as `[processes, width]`, exchanged through one device of each."""
    first: dict[int, Any] = {}
    for device in jax.devices():
        first.setdefault(device.process_index, device)
    mesh = Mesh([first[number] for number in sorted(first)], ("processes",))
    own = jax.make_array_from_process_local_data(NamedSharding(mesh, PartitionSpec("processes")), row[None])
    return _to_host(_replicated(own))
