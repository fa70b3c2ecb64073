"""The recurrent layers: the same step by step as over a sequence, and unchanged where an agent does not decide."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import operations
from jaxmac.networks import memory as memories
from jaxmac.networks.memory import GRU, MinGRU


@pytest.fixture(scope="module", params=[GRU, MinGRU])
def sequence(request):
    """(layer, parameters, hidden states, inputs, advance) of 9 entries and 4 sequences."""
    layer, rng = request.param(6), np.random.default_rng(0)
    hidden, inputs = (rng.normal(size=shape).astype(np.float32) for shape in ((4, 6), (9, 4, 5)))
    inputs, advance = 2 * inputs, rng.random((9, 4)) < 0.6
    return layer, jax.jit(layer.init)(jax.random.key(0), hidden, inputs, advance), hidden, inputs, advance


def test_a_sequence_is_the_same_as_its_entries_one_by_one(sequence):
    layer, params, hidden, inputs, advance = sequence
    apply = jax.jit(layer.apply)
    last, outputs = jax.device_get(apply(params, hidden, inputs, advance))
    for time in range(len(inputs)):
        before = hidden
        hidden, out = jax.device_get(apply(params, hidden, inputs[time : time + 1], advance[time : time + 1]))
        np.testing.assert_allclose(out[0], outputs[time], atol=1e-6)
        np.testing.assert_array_equal(hidden[~advance[time]], before[~advance[time]])
        assert (hidden[advance[time]] != before[advance[time]]).any(axis=-1).all()
    np.testing.assert_allclose(hidden, last, atol=1e-6)


def test_on_an_accelerator_loops_are_unrolled_and_the_results_are_the_same(sequence, monkeypatch):
    layer, params, *given = sequence
    wanted = jax.jit(layer.apply)(params, *given)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    unrolled = jax.jit(lambda *arguments: layer.apply(*arguments))
    for mine, theirs in zip(unrolled(params, *given), wanted, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6)
    text = unrolled.trace(params, *given).lower(lowering_platforms=("cuda",)).as_text()
    if isinstance(layer, GRU):
        assert operations.operations(text)["tanh"] == 9  # a loop's turn of 8 entries, and the one that remains
        assert operations.turns(text) == 1


def test_an_associative_scan_gives_the_same_states_and_gradients():
    keys = jax.random.split(jax.random.key(1), 3)
    hidden, kept = jax.random.normal(keys[0], (3, 4)), jax.random.uniform(keys[1], (20, 3, 4))
    added = jax.random.normal(keys[2], (20, 3, 4))
    given, associatively, in_order = (hidden, kept, added), memories._associatively, memories._in_order
    found, wanted = jax.jit(associatively)(*given), jax.jit(in_order)(*given)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)

    def gradient(states):
        return jax.jit(jax.grad(lambda *given: jnp.sum(states(*given) ** 2), argnums=(0, 1, 2)))(*given)

    for mine, theirs in zip(gradient(associatively), gradient(in_order), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=1e-4)


def test_mingru_by_hand():
    layer, weight, bias = MinGRU(1), jnp.array([[0.5, -1.0]]), jnp.array([0.25, 0.5])
    inputs, advance = jnp.array([[[1.0]], [[2.0]], [[3.0]]]), jnp.array([[True], [False], [True]])
    _, states = jax.jit(layer.apply)(
        {"params": {"weight": weight, "bias": bias}}, jnp.array([[0.1]]), inputs, advance
    )
    sigmoid = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731
    first = (1 - sigmoid(0.75)) * 0.1 + sigmoid(0.75) * np.tanh(-0.5)
    third = (1 - sigmoid(1.75)) * first + sigmoid(1.75) * np.tanh(-2.5)
    np.testing.assert_allclose(states[:, 0, 0], [first, first, third], rtol=1e-6)
