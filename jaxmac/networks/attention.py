"""The attention of ToMacVF's parameter generator (ATPG): over the past of each agent, then across agents.

Its output conditions the mixer together with the state. Its input does not include the macro-action that is being
maximised: mixing weights that depend on it break the individual-global-max property
(docs/specifications/tomacvf.md, section 9, issue 1).
"""

from __future__ import annotations

import itertools

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxmac.networks.layers import StackedLinear, symmetric_uniform

CAUSAL_BLOCKS = 4


def causal_attention(
    query: Float[Array, "batch time heads features"],
    key: Float[Array, "batch time heads features"],
    value: Float[Array, "batch time heads features"],
) -> Float[Array, "batch time heads features"]:
    """Scaled dot-product attention of each timestep to itself and those before it.

    On a CPU the queries come in a few blocks, and the keys after a block, which are masked for all of it, are left
    out. That is faster there than `jax.nn.dot_product_attention`, and equal up to rounding.
    """
    if jax.default_backend() != "cpu":
        return jax.nn.dot_product_attention(query, key, value, is_causal=True)
    batch, time, heads, features = query.shape
    query, key, value = (x.swapaxes(1, 2).reshape(batch * heads, time, features) for x in (query, key, value))
    query = query / jnp.sqrt(jnp.float32(features)).astype(query.dtype)
    edges = [time * block // CAUSAL_BLOCKS for block in range(CAUSAL_BLOCKS + 1)]
    blocks = []
    for first, end in itertools.pairwise(edges):
        score = jnp.einsum("btf,bsf->bts", query[:, first:end], key[:, :end])
        is_past = jnp.arange(first, end)[None, :, None] >= jnp.arange(end)[None, None]
        blocks.append(nn.softmax(jnp.where(is_past, score, -jnp.inf)) @ value[:, :end])
    return jnp.concatenate(blocks, axis=1).reshape(batch, heads, time, features).swapaxes(1, 2)


class AgentContext(nn.Module):
    """Encoded histories of all agents, `[time, batch, agents, tokens] -> [time, batch, agents, width]`.

    Every agent has its own two-layer encoder; the attention matrices are shared (docs/specifications/tomacvf.md,
    section 4). Entry t depends on entries up to t only, so padding at the end cannot change the entries before it.

    Attributes:
        fan_in: real number of inputs of each agent's token (the rest is padding), for the initial weights.
        width: width of encoders and attention, divided evenly among `heads`.
        heads: number of attention heads.
        threshold: attention weights to other agents below this value are set to 0 (delta in the paper).
        renormalise: rescale the remaining attention weights to sum to one.
        residual: add each agent's own encoded history, which attention across agents leaves out.
    """

    fan_in: tuple[int, ...]
    width: int = 32
    heads: int = 1
    threshold: float = 0.1
    renormalise: bool = False
    residual: bool = False

    @nn.compact
    def __call__(self, tokens: Float[Array, "time batch agents f"]) -> Float[Array, "time batch agents width"]:
        """Encode, attend over time, attend across agents."""
        x = nn.relu(StackedLinear(self.width, self.fan_in, name="encode_0")(tokens))
        x = nn.relu(StackedLinear(self.width, name="encode_1")(x))
        past = self._over_time(x)
        out = self._across_agents(past)
        return out + past if self.residual else out

    def _heads(self, name: str, x: Array) -> list[Array]:
        """Query, key and value `[..., heads, width / heads]`, without bias."""
        weight = self.param(name, symmetric_uniform(self.width**-0.5), (3, self.width, self.width))
        return [(x @ weight[k]).reshape(*x.shape[:-1], self.heads, -1) for k in range(3)]

    def _over_time(self, x: Float[Array, "time batch agents w"]) -> Float[Array, "time batch agents w"]:
        """Causal self-attention of each agent over its own past and present."""
        time, batch, agents, width = x.shape
        sequences = jnp.moveaxis(x, 0, 2).reshape(batch * agents, time, width)
        out = causal_attention(*self._heads("over_time", sequences))
        return jnp.moveaxis(out.reshape(batch, agents, time, width), 2, 0)

    def _across_agents(self, x: Float[Array, "*rows agents w"]) -> Float[Array, "*rows agents w"]:
        """Attention to the other agents at the same time: softmax over all, then own and weak weights set to 0."""
        query, key, value = self._heads("across_agents", x)
        weight = nn.softmax(
            jnp.einsum("...ihd,...jhd->...hij", query, key) / jnp.sqrt(jnp.float32(query.shape[-1]))
        )
        kept = (weight >= self.threshold) & ~jnp.broadcast_to(jnp.eye(x.shape[-2], dtype=bool), weight.shape)
        weight = jnp.where(jax.lax.stop_gradient(kept), weight, 0.0)
        if self.renormalise:
            weight = weight / jnp.maximum(jnp.sum(weight, axis=-1, keepdims=True), 1e-9)
        self.sow("intermediates", "across_agents", weight)  # for `apply(..., mutable="intermediates")` only
        return jnp.einsum("...hij,...jhd->...ihd", weight, value).reshape(x.shape)
