"""Memories: recurrent layers of the agents' networks, chosen by the hyperparameter `memory` of every algorithm."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxmac.config import check_settings, settings_of
from jaxmac.envs.shapes import one_line
from jaxmac.networks.layers import add_bias, symmetric_uniform
from jaxmac.registry import Registry

MEMORIES: Registry[type[nn.Module]] = Registry("memory")
UNROLLED = 8  # entries in a turn of a loop on an accelerator, where starting a turn costs more than computing it


def register_memory(name: str, module: type[nn.Module]) -> None:
    """Add a recurrent layer: hyperparameter `memory="NAME"` of every algorithm with agent networks.

    Args:
        name: the name of the recurrent layer.
        module: a flax module class with a field `size`, the width of its output. It is called with
            `(hidden [batch, carry], inputs [time, batch, features], advance [time, batch] bool)` and returns the
            final hidden state `[batch, carry]` and the output `[time, batch, size]` after every entry. Where
            `advance` is False, the hidden state and the output keep their values. The hidden state starts at 0; its
            width `carry` is the module's property `carry_size`, or `size` where it has none. Fields made with
            `jaxmac.setting` are its hyperparameters.

    Raises ValueError, in one line, for a name that is taken or a module of the wrong kind.
    """
    fields = getattr(module, "__dataclass_fields__", {})
    if not inspect.isclass(module) or not issubclass(module, nn.Module) or "size" not in fields:
        raise ValueError(
            f"memory {name!r} is {one_line(module)}, but must be a flax.linen module class with a field size"
        )
    check_settings("memory", name, module, may_trace=False)
    MEMORIES.register(name, module)


def memory_of(name: str, config: Any) -> Callable[..., nn.Module]:
    """A function from the size to the recurrent layer `name`, with its settings from `config`."""
    module = MEMORIES[name]
    settings = {setting: getattr(config, setting) for setting in settings_of(module)}
    return partial(module, **settings) if settings else module


def carry_size(memory: Callable[..., nn.Module], size: int) -> int:
    """Width of the hidden state of a memory whose output has width `size`."""
    return int(getattr(memory(size), "carry_size", size))


class GRU(nn.Module):
    """The GRU cell of PyTorch (two trained bias vectors); its hidden state advances only where `advance` is True.

    r = sigmoid(i_r + h_r), z = sigmoid(i_z + h_z), n = tanh(i_n + r h_n), hidden = (1 - z) n + z hidden, where i is
    the projection of the input and h that of the hidden state. Source: Kyunghyun Cho et al., "Learning Phrase
    Representations using RNN Encoder-Decoder for Statistical Machine Translation", 2014, equations 5 to 8, in
    PyTorch's form. The input is projected once for the whole sequence; only the hidden state is projected inside
    the scan, whose loop takes several entries to a turn on an accelerator.
    """

    size: int

    @nn.compact
    def __call__(
        self,
        hidden: Float[Array, "batch h"],
        inputs: Float[Array, "time batch i"],
        advance: Bool[Array, "time batch"],
    ) -> tuple[Float[Array, "batch h"], Float[Array, "time batch h"]]:
        """The final hidden state and the output after every entry; arguments as in `register_memory`."""
        init = symmetric_uniform(self.size**-0.5)
        weight_ih = self.param("weight_ih", init, (inputs.shape[-1], 3 * self.size))
        weight_hh = self.param("weight_hh", init, (self.size, 3 * self.size))
        bias_ih = self.param("bias_ih", init, (3 * self.size,))
        bias_hh = self.param("bias_hh", init, (3 * self.size,))
        # One array per gate: cutting a joint one inside the scan costs 2.5 times the scan on CPU.
        flat = inputs.reshape(-1, inputs.shape[-1])
        gates = zip(jnp.split(weight_ih, 3, axis=-1), jnp.split(bias_ih, 3), strict=True)
        projected = tuple(
            add_bias(flat @ weight, bias).reshape(*advance.shape, self.size) for weight, bias in gates
        )

        def step(hidden: Array, entry: tuple[tuple[Array, ...], Array]) -> tuple[Array, Array]:
            (reset_i, update_i, new_i), advances = entry
            reset_h, update_h, new_h = jnp.split(add_bias(hidden @ weight_hh, bias_hh), 3, axis=-1)
            reset, update = nn.sigmoid(reset_i + reset_h), nn.sigmoid(update_i + update_h)
            new = nn.tanh(new_i + reset * new_h)
            hidden = jnp.where(advances[..., None], (1.0 - update) * new + update * hidden, hidden)
            return hidden, hidden

        if inputs.shape[0] == 1:  # a single entry, as when acting: no scan needed
            hidden, out = step(hidden, (tuple(gate[0] for gate in projected), advance[0]))
            return hidden, out[None]
        unroll = 1 if jax.default_backend() == "cpu" else UNROLLED
        return jax.lax.scan(step, hidden, (projected, advance), unroll=unroll)


class MinGRU(nn.Module):
    """A recurrent layer whose gates read the input alone, so that all its products are outside the scan.

    z = sigmoid(W_z x + b_z), n = tanh(W_n x + b_n), hidden = (1 - z) hidden + z n where `advance` is True. Source:
    Leo Feng et al., "Were RNNs All We Needed?", 2024, minGRU, with tanh. On a CPU the hidden states are computed
    one after the other, elsewhere by an associative scan; the results differ by rounding only.
    """

    size: int

    @nn.compact
    def __call__(
        self,
        hidden: Float[Array, "batch h"],
        inputs: Float[Array, "time batch i"],
        advance: Bool[Array, "time batch"],
    ) -> tuple[Float[Array, "batch h"], Float[Array, "time batch h"]]:
        """The final hidden state and the output after every entry; arguments as in `register_memory`."""
        init = symmetric_uniform(self.size**-0.5)
        weight = self.param("weight", init, (inputs.shape[-1], 2 * self.size))
        bias = self.param("bias", init, (2 * self.size,))
        flat = inputs.reshape(-1, inputs.shape[-1])
        gates = zip(jnp.split(weight, 2, axis=-1), jnp.split(bias, 2), strict=True)
        update, new = (add_bias(flat @ w, b).reshape(*advance.shape, self.size) for w, b in gates)
        share = jnp.where(advance[..., None], nn.sigmoid(update), 0.0)
        added = share * nn.tanh(new)
        if inputs.shape[0] == 1:  # a single entry, as when acting: no scan needed
            hidden = (1.0 - share[0]) * hidden + added[0]
            return hidden, hidden[None]
        states = jax.lax.platform_dependent(hidden, 1.0 - share, added, cpu=_in_order, default=_associatively)
        return states[-1], states


def _in_order(hidden: Array, kept: Array, added: Array) -> Array:
    """The states h_t = kept_t h_{t-1} + added_t, one after the other."""

    def step(before: Array, entry: tuple[Array, Array]) -> tuple[Array, Array]:
        after = entry[0] * before + entry[1]
        return after, after

    return jax.lax.scan(step, hidden, (kept, added))[1]


def _associatively(hidden: Array, kept: Array, added: Array) -> Array:
    """The same states in a number of steps that is logarithmic in the length of the sequence."""

    def compose(earlier: tuple[Array, Array], later: tuple[Array, Array]) -> tuple[Array, Array]:
        return later[0] * earlier[0], later[0] * earlier[1] + later[1]

    factor, offset = jax.lax.associative_scan(compose, (kept, added))
    return factor * hidden[None] + offset


register_memory("gru", GRU)
register_memory("mingru", MinGRU)
