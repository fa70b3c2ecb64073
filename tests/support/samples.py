import jax.numpy as jnp

from jaxmac.record.replay import Sample


def sample_of(episodes, window_start=None):
    """A batch of episodes as a replay hands it out, all of one weight."""
    count = episodes.mask.shape[0]
    return Sample(episodes, window_start, jnp.arange(count), jnp.ones(count))
