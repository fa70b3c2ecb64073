"""Layers and activations shared by networks and mixers, initialised as PyTorch initialises them."""

import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

LEAK = 0.01
NORM_EPSILON = 1e-5  # added to the variance by layer normalisation, as in PyTorch
GAIN = (2.0 / (1.0 + LEAK**2)) ** 0.5  # of a leaky-ReLU layer


def xavier(gain: float = 1.0) -> Callable[..., Array]:
    """Uniform in +-gain * sqrt(6 / (fan_in + fan_out)): the Xavier initialiser.

    Source: Xavier Glorot and Yoshua Bengio, "Understanding the difficulty of training deep feedforward neural
    networks", 2010, equation 16.
    """
    return nn.initializers.variance_scaling(gain**2, "fan_avg", "uniform")


def leaky_relu(x: Float[Array, "*rows"]) -> Float[Array, "*rows"]:
    """max(x, 0.01 x), with the gradient 0.01 at x = 0 as in PyTorch (JAX's own has 1 there).

    It matters because a new network whose biases are 0 gives exactly 0 for an observation of zeros.
    """
    return jnp.where(x > 0, x, LEAK * x)


def add_bias(x: Float[Array, "*rows"], bias: Float[Array, "*bias"]) -> Float[Array, "*rows"]:
    """`x [..., *bias] + bias`, with as many axes on both sides (see `jax_numpy_rank_promotion`).

    A reshape would do as well, but XLA then rounds gradients in another order.
    """
    return x + jax.lax.broadcast_to_rank(bias, x.ndim)


def symmetric_uniform(bound: float) -> nn.initializers.Initializer:
    """An initialiser drawing from the uniform distribution on [-bound, bound]."""

    def init(key, shape, dtype=jnp.float32):
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


def _of_each_slice(scale: Float[Array, "stack"], init: nn.initializers.Initializer) -> nn.initializers.Initializer:
    """`init` with slice k multiplied by `scale[k]`."""

    def scaled(key, shape, dtype=jnp.float32):
        return init(key, shape, dtype) * scale.reshape(-1, *(1,) * (len(shape) - 1))

    return scaled


class Linear(nn.Module):
    """Affine map `[..., in] -> [..., features]`; weights and biases uniform in +-1/sqrt(in)."""

    features: int

    @nn.compact
    def __call__(self, x: Float[Array, "*rows inputs"]) -> Float[Array, "*rows features"]:
        """Apply the map to the last axis."""
        init = symmetric_uniform(1 / math.sqrt(x.shape[-1]))
        kernel = self.param("kernel", init, (x.shape[-1], self.features))
        return add_bias(x @ kernel, self.param("bias", init, (self.features,)))


class StackedLinear(nn.Module):
    """`stack` affine maps side by side, `[..., stack, in] -> [..., stack, features]`, slice by slice.

    `fan_in` is the real number of inputs of each slice (the rest is padding), for the initial weights.
    """

    features: int
    fan_in: tuple[int, ...] | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "*rows stack inputs"]) -> Float[Array, "*rows stack features"]:
        """Apply map k to slice k."""
        stack, inputs = x.shape[-2:]
        init = symmetric_uniform(1 / math.sqrt(inputs))
        if self.fan_in:
            init = _of_each_slice(jnp.sqrt(inputs / jnp.array(self.fan_in, jnp.int32)).astype(jnp.float32), init)
        kernel = self.param("kernel", init, (stack, inputs, self.features))
        return add_bias(jnp.einsum("...ki,kio->...ko", x, kernel), self.param("bias", init, (stack, self.features)))


class MLP(nn.Module):
    """`layers` linear layers `[..., in] -> [..., features]` of width `hidden`, with ReLU between them."""

    features: int
    hidden: int
    layers: int = 2

    @nn.compact
    def __call__(self, x: Float[Array, "*rows inputs"]) -> Float[Array, "*rows features"]:
        """Apply the layers to the last axis."""
        for layer in range(self.layers - 1):
            x = nn.relu(Linear(self.hidden, name=f"linear_{layer}")(x))
        return Linear(self.features, name=f"linear_{self.layers - 1}")(x)


class StackedMLP(nn.Module):
    """`stack` independent MLPs reading the same input: `[..., in] -> [..., stack, features]`.

    The first layer is one matrix product for the whole stack, with output index = MLP * width + unit.
    """

    stack: int
    features: int
    hidden: int
    layers: int = 2

    @nn.compact
    def __call__(self, x: Float[Array, "*rows inputs"]) -> Float[Array, "*rows stack features"]:
        """Apply every MLP of the stack to the last axis."""
        widths = [self.hidden] * (self.layers - 1) + [self.features]
        x = Linear(self.stack * widths[0], name="linear_0")(x).reshape(*x.shape[:-1], self.stack, widths[0])
        for layer, width in enumerate(widths[1:], start=1):
            x = StackedLinear(width, name=f"linear_{layer}")(nn.relu(x))
        return x
