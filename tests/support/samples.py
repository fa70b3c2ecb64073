import jax
import jax.numpy as jnp
import numpy as np

from jaxmac.record.replay import Sample


def sample_of(episodes, window_start=None):
    """A batch of episodes as a replay hands it out, all of one weight."""
    count = episodes.mask.shape[0]
    return Sample(episodes, window_start, jnp.ones(count), jnp.arange(count))


def with_garbage(episodes):
    """Episodes with garbage in everything behind their ends but the mask."""
    written = jax.tree.map(np.array, episodes)
    for name, values in vars(written).items():
        for episode, length in zip(values, np.asarray(written.length), strict=True):
            if name != "mask":
                episode[length + (name in ("obs", "state", "avail", "elapsed")) :] = 77
    return jax.device_put(written)
