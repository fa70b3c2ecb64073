"""Temporal encodings, and the attention that conditions the mixer."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.selection import slow_except

from jaxmac import envs
from jaxmac.algorithms import configure, tomacvf
from jaxmac.networks.attention import AgentContext, causal_attention
from jaxmac.networks.temporal import temporal_encoding

TIME, BATCH, AGENTS, INPUTS = 6, 3, 3, 5


@pytest.fixture(scope="module")
def tokens():
    return np.random.default_rng(0).normal(size=(TIME, BATCH, AGENTS, INPUTS)).astype(np.float32)


def apply(params, tokens, agents=AGENTS, **options):
    module = AgentContext((INPUTS,) * agents, width=8, **options)
    return np.asarray(jax.jit(module.apply)(params, tokens))


def encode(tokens, agents=AGENTS, scale=3.0, **options):
    """With parameters large enough for attention that is far from uniform."""
    module = AgentContext((INPUTS,) * agents, width=8, **options)
    drawn = jax.device_get(jax.jit(module.init)(jax.random.key(1), tokens))
    params = jax.tree.map(lambda x: scale * x, drawn)
    return apply(params, tokens, agents, **options), params


def raised(tokens, index, by):
    tokens = tokens.copy()
    tokens[index] += by
    return tokens


def test_encoding_values():
    known = {
        0: (0, 1, 0, 1, 0, 1, 0, 1),
        1: (0.841471, 0.540302, 0.099833, 0.995004, 0.01, 0.99995, 0.001, 1),
        5: (-0.958924, 0.283662, 0.479426, 0.877583, 0.049979, 0.99875, 0.005, 0.999988),
    }
    encoding = jax.jit(partial(temporal_encoding, size=8))
    for steps, values in known.items():
        np.testing.assert_allclose(encoding(np.float32(steps)), values, atol=1e-6)
    with pytest.raises(ValueError, match="encoding_size is 7, but must be even"):
        temporal_encoding(jnp.zeros(3), 7)


def test_later_tokens_change_nothing_before_them(tokens):
    before, params = encode(tokens)
    after = apply(params, raised(tokens, np.s_[2:], 10.0))  # entries 1 and 2 are of one block
    np.testing.assert_allclose(after[:2], before[:2], atol=1e-6)
    assert (np.abs(after[2:] - before[2:]).max(axis=(1, 2, 3)) > 0.05).all()


def test_earlier_tokens_and_the_other_agents_do_matter(tokens):
    before, params = encode(tokens, threshold=0.0)
    earlier = apply(params, raised(tokens, 1, 2.0), threshold=0.0)
    assert np.abs(earlier[5] - before[5]).max() > 1e-3
    own = apply(params, raised(tokens, np.s_[:, :, 0], 2.0), threshold=0.0)
    assert np.abs(own - before)[:, :, 1:].max() > 1e-2


def test_by_hand_for_one_entry(tokens):
    """The whole module written out with loops for the last entry of the first episode."""
    out, params = encode(tokens, threshold=0.3)
    p = params["params"]
    x = np.maximum(np.einsum("tni,nio->tno", tokens[:, 0], p["encode_0"]["kernel"]) + p["encode_0"]["bias"], 0)
    x = np.maximum(np.einsum("tni,nio->tno", x, p["encode_1"]["kernel"]) + p["encode_1"]["bias"], 0)
    past = np.zeros((AGENTS, 8))
    for i in range(AGENTS):
        query, key, value = (x[:, i] @ w for w in p["over_time"])
        score = np.exp(key @ query[-1] / np.sqrt(8))
        past[i] = score / score.sum() @ value
    query, key, value = (past @ w for w in p["across_agents"])
    for i in range(AGENTS):
        weight = np.exp(key @ query[i] / np.sqrt(8))
        weight = weight / weight.sum()
        weight[i] = 0.0
        weight[weight < 0.3] = 0.0
        np.testing.assert_allclose(out[-1, 0, i], weight @ value, atol=1e-5)


def test_a_threshold_above_one_leaves_nothing(tokens):
    assert (encode(tokens, threshold=1.01)[0] == 0).all()
    assert (encode(tokens, threshold=1.01, renormalise=True)[0] == 0).all()
    assert (np.abs(encode(tokens, threshold=1.01, residual=True)[0]) > 0).any()


def test_the_cut_is_at_the_threshold_and_has_no_gradient(tokens):
    one = tokens[:, :, :2]
    full, params = encode(one, agents=2, threshold=0.0)
    cut = apply(params, one, agents=2, threshold=0.5)
    # With two agents each looks at one other: it is either kept as it is or gone.
    kept = (cut != 0).any(-1)
    assert kept.any() and not kept.all()
    np.testing.assert_array_equal(cut, np.where(kept[..., None], full, 0))
    renormalised = apply(params, one, agents=2, threshold=0.0, renormalise=True)
    assert np.abs(renormalised - full).max() > 1e-2


def test_several_heads_attend_apart(tokens):
    single, params = encode(tokens)
    double = apply(params, tokens, heads=2)
    assert double.shape == single.shape and np.abs(double - single).max() > 1e-3


def test_padded_inputs_do_not_shrink_an_agents_initial_weights():
    tokens = np.zeros((1, 1, 2, 40), np.float32)
    params = jax.jit(AgentContext((10, 40), width=64).init)(jax.random.key(0), tokens)["params"]
    largest = np.abs(params["encode_0"]["kernel"]).max(axis=(1, 2))
    np.testing.assert_allclose(largest, [10**-0.5, 40**-0.5], rtol=0.05)


def test_tokens_of_unequal_agents_are_counted_without_their_padding():
    """Inputs of ToMacVF's context on Warehouse-D: macro-observation, two clocks, last macro-action."""
    env = envs.make("Warehouse-D")
    parts = tomacvf.make_networks(env, configure("tomacvf-qmix", "paper", env, {"encoding_size": 8}), "qmix")
    assert parts.context.fan_in == (18 + 16 + 4, 18 + 16 + 4, 5 + 16 + 6) and parts.tokens == 18 + 16 + 6


@pytest.mark.parametrize("time", slow_except([1, 11], [1, 3, 4, 11]))
@pytest.mark.parametrize("heads", slow_except([2], [1, 2]))
def test_causal_attention_is_that_of_jax(time, heads):
    inputs = np.random.default_rng(time).normal(size=(3, 2, time, heads, 5)).astype(np.float32)

    def value_and_gradient(attention):
        def summed(x):
            out = attention(*x)
            return jnp.sum(jnp.sin(out)), out

        (_, out), gradient = jax.jit(jax.value_and_grad(summed, has_aux=True))(inputs)
        return out, gradient

    library = partial(jax.nn.dot_product_attention, is_causal=True)
    (ours, our_gradient), (theirs, their_gradient) = map(value_and_gradient, (causal_attention, library))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(our_gradient, their_gradient, rtol=1e-4, atol=1e-6)
