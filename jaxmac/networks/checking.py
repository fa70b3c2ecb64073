"""Checks of memories from outside the library, before they learn anything."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxmac.config import settings_of
from jaxmac.envs.shapes import kind_and_line
from jaxmac.networks.memory import MEMORIES, carry_size, memory_of

TIME, BATCH, FEATURES = 6, 3, 5
LATER = 4  # the first of the entries that are changed to see whether earlier outputs follow


def check_memory(name: str, config: Any, size: int) -> None:
    """Raise a one-line ValueError if the memory `name` fails or does not do what `register_memory` says.

    Checked are shapes and types, and with random numbers that other episodes and later entries have no influence,
    that nothing changes where `advance` is False, and that one entry at a time, as in acting, gives what all at
    once give, as in learning. What has passed is not checked again.
    """
    memory = memory_of(name, config)
    key = (MEMORIES[name], tuple(getattr(config, setting) for setting in settings_of(MEMORIES[name])), size)
    if key in _passed:
        return
    try:
        carry, module = carry_size(memory, size), memory(size)
        problem = _wrong_arrays(module, carry, size) or _wrong_behaviour(module, carry)
    except Exception as error:
        raise ValueError(f"memory {name!r} raised {kind_and_line(error)}") from error
    if problem:
        raise ValueError(f"memory {name!r} {problem}")
    _passed.add(key)


_passed: set[tuple[Any, ...]] = set()  # (class, values of its settings, size)


def _wrong_arrays(module: nn.Module, carry: int, size: int) -> str:
    """What is wrong with the shapes and types that a memory returns; "" if nothing is."""
    given = jnp.zeros((BATCH, carry)), jnp.zeros((TIME, BATCH, FEATURES)), jnp.ones((TIME, BATCH), bool)
    made = jax.eval_shape(lambda: module.init_with_output(jax.random.key(0), *given)[0])
    shapes = [x.shape for x in made]
    if shapes != [(BATCH, carry), (TIME, BATCH, size)]:
        wanted = f"[({BATCH}, {carry}), ({TIME}, {BATCH}, {size})]"
        return f"returns shapes {shapes}, but must return hidden and outputs {wanted}"
    if made[0].dtype != jnp.float32 or not jnp.issubdtype(made[1].dtype, jnp.floating):
        dtypes = f"{made[0].dtype} and {made[1].dtype}"
        return f"returns {dtypes}, but must return a float32 hidden state and outputs of floats"
    return ""


def _wrong_behaviour(module: nn.Module, carry: int) -> str:
    """Which property of a memory does not hold on random numbers; "" if all do."""
    rng = np.random.default_rng(0)
    inputs, others = jnp.asarray(rng.normal(size=(2, TIME, BATCH, FEATURES)), jnp.float32)
    advance = jnp.asarray(rng.random((TIME, BATCH)) < 0.5).at[0].set(True)
    start = jnp.zeros((BATCH, carry))
    params = module.init(jax.random.key(0), start, inputs, advance)
    quick = jax.jit(module.apply, compiler_options={"xla_backend_optimization_level": 0})
    run: Callable[..., Any] = partial(quick, params)
    hidden = run(start, others, jnp.ones_like(advance))[0]  # of an episode that has begun
    final, outputs = run(hidden, inputs, advance)
    same = partial(_same, tolerance=1e-4 if outputs.dtype.itemsize >= 4 else 2e-2)
    first_only = jnp.concatenate([inputs[:, :1], others[:, 1:]], axis=1)
    earlier_only = jnp.concatenate([inputs[:LATER], others[LATER:]])
    still = advance.at[LATER:].set(False)
    if not all(np.isfinite(x).all() for x in (final, outputs.astype(jnp.float32))):
        return "returns numbers that are not finite"
    if not same(run(hidden, first_only, advance)[1][:, 0], outputs[:, 0]):
        return "lets the output of an episode depend on the other episodes of the batch"
    if not same(run(hidden, earlier_only, advance)[1][:LATER], outputs[:LATER]):
        return "lets an output depend on later entries"
    if not same(run(hidden, jnp.where(advance[..., None], inputs, others), advance), (final, outputs)):
        return "lets an input have an influence where advance is False"
    if not same(jnp.where(advance[1:, :, None], outputs[:-1], outputs[1:]), outputs[:-1]):
        return "changes its output where advance is False"
    if not same(run(hidden, inputs, still)[0], _one_by_one(run, hidden, inputs[:LATER], advance[:LATER])[0]):
        return "changes its hidden state where advance is False"
    if not same(_one_by_one(run, hidden, inputs, advance), (final, outputs)):
        return "gives other outputs one entry at a time than all at once"
    return ""


def _one_by_one(
    run: Callable[..., Any],
    hidden: Float[Array, "batch carry"],
    inputs: Float[Array, "time batch features"],
    advance: Bool[Array, "time batch"],
) -> tuple[Array, Array]:
    outputs = []
    for entry in range(len(inputs)):
        hidden, output = run(hidden, inputs[entry : entry + 1], advance[entry : entry + 1])
        outputs.append(output)
    return hidden, jnp.concatenate(outputs)


def _same(found: Any, expected: Any, tolerance: float) -> bool:
    pairs = zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True)
    as_floats = ((np.asarray(a, np.float32), np.asarray(b, np.float32)) for a, b in pairs)
    return all(np.allclose(a, b, rtol=tolerance, atol=tolerance) for a, b in as_floats)
