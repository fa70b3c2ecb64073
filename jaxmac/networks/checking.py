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

from jaxmac.envs.shapes import kind_and_line
from jaxmac.networks.memory import carry_size, memory_of

TIME, BATCH, FEATURES = 6, 3, 5
LATER = 4  # the first of the entries that are changed to see whether earlier outputs follow


def check_memory(name: str, config: Any, size: int) -> None:
    """Raise a one-line ValueError if the memory `name` fails or does not do what `register_memory` says.

    Checked are shapes and types, and with random numbers that other episodes and later entries have no influence,
    that nothing changes where `advance` is False, and that one entry at a time, as in acting, gives what all at
    once give, as in learning.
    """
    memory = memory_of(name, config)
    try:
        carry = carry_size(memory, size)
        given = jnp.zeros((BATCH, carry)), jnp.zeros((TIME, BATCH, FEATURES)), jnp.ones((TIME, BATCH), bool)
        made = jax.eval_shape(lambda: memory(size).init_with_output(jax.random.key(0), *given)[0])
        shapes = [x.shape for x in made]
    except Exception as error:
        raise ValueError(f"memory {name!r} raised {kind_and_line(error)}") from error
    if shapes != [(BATCH, carry), (TIME, BATCH, size)]:
        wanted = f"[({BATCH}, {carry}), ({TIME}, {BATCH}, {size})]"
        raise ValueError(f"memory {name!r} returns shapes {shapes}, but must return hidden and outputs {wanted}")
    if made[0].dtype != jnp.float32 or not jnp.issubdtype(made[1].dtype, jnp.floating):
        dtypes = f"{made[0].dtype} and {made[1].dtype}"
        raise ValueError(
            f"memory {name!r} returns {dtypes}, but must return a float32 hidden state and outputs of floats"
        )
    if problem := _wrong_behaviour(memory(size), carry):
        raise ValueError(f"memory {name!r}: {problem}")


def _wrong_behaviour(module: nn.Module, carry: int) -> str:
    """Which property of a memory does not hold on random numbers; "" if all do."""
    rng = np.random.default_rng(0)
    hidden = jnp.asarray(rng.normal(size=(BATCH, carry)), jnp.float32)
    inputs = jnp.asarray(rng.normal(size=(TIME, BATCH, FEATURES)), jnp.float32)
    advance = jnp.asarray(rng.random((TIME, BATCH)) < 0.5).at[0].set(True)
    params = module.init(jax.random.key(0), hidden, inputs, advance)
    quick = jax.jit(module.apply, compiler_options={"xla_backend_optimization_level": 0})
    run: Callable[..., Any] = partial(quick, params)
    final, outputs = run(hidden, inputs, advance)
    if not _same(run(hidden, inputs.at[:, 1:].add(1.0), advance)[1][:, 0], outputs[:, 0]):
        return "the output of an episode depends on the other episodes of the batch"
    if not _same(run(hidden, inputs.at[LATER:].add(1.0), advance)[1][:LATER], outputs[:LATER]):
        return "an output depends on later entries"
    if not _same(run(hidden, inputs + 1.0 * ~advance[..., None], advance), (final, outputs)):
        return "an input has an influence where advance is False"
    if not _same(jnp.where(advance[1:, :, None], 0.0, outputs[1:] - outputs[:-1]), jnp.zeros_like(outputs[1:])):
        return "the output changes where advance is False"
    if not _same(_one_by_one(run, hidden, inputs, advance), (final, outputs)):
        return "one entry at a time gives other outputs than all at once"
    return ""


def _one_by_one(
    run: Callable[..., Any],
    hidden: Float[Array, "batch carry"],
    inputs: Float[Array, "time batch features"],
    advance: Bool[Array, "time batch"],
) -> tuple[Array, Array]:
    outputs = []
    for entry in range(TIME):
        hidden, output = run(hidden, inputs[entry : entry + 1], advance[entry : entry + 1])
        outputs.append(output)
    return hidden, jnp.concatenate(outputs)


def _same(found: Any, expected: Any) -> bool:
    pairs = zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True)
    return all(np.allclose(a, b, rtol=1e-4, atol=1e-5) for a, b in pairs)
