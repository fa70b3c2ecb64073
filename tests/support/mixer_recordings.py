from functools import partial
from pathlib import Path

import jax
import numpy as np

from jaxmac.mixers import MixerInputs
from jaxmac.mixers.testing import quick_jit, utility_gradient

close = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)
GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "mixers.npz", allow_pickle=False)


def linear(prefix):
    return {"kernel": GOLDEN[f"{prefix}.weight"].T, "bias": GOLDEN[f"{prefix}.bias"]}


def mlp(prefix, layers):
    """Recorded layers `prefix.0, prefix.2, ..` (or `prefix` alone where there is one) as our `MLP`."""
    names = [prefix] if layers == 1 else [f"{prefix}.{2 * i}" for i in range(layers)]
    return {f"linear_{i}": linear(name) for i, name in enumerate(names)}


def golden_inputs():
    q_all, action, hidden, state = (GOLDEN[name] for name in ("q_all", "action", "hidden", "state"))
    return MixerInputs(*jax.device_put((q_all, action, np.ones(q_all.shape, bool), hidden, state)))


def value_of(mixer, params, inputs):
    """The joint values of the inputs' rows."""
    return np.asarray(quick_jit(mixer.apply)(params, inputs))


def gradient_of(mixer, params, inputs):
    """Their derivatives with respect to the utilities of the chosen macro-actions."""
    return np.asarray(quick_jit(partial(utility_gradient, mixer))(params, inputs))
