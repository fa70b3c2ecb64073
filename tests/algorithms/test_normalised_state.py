"""`normalise_state`: what a mixer sees of the state (docs/specifications/avf.md, section 3)."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmac.algorithms.factorised import mixer_state_of

ROWS, BATCH, ENTRIES, CODE = 5, 3, 4, 2
PADDED = np.arange(ROWS)[:, None] >= [5, 3, 1]  # rows of each episode that are padding


def seen(state, encoded, normalise):
    networks = SimpleNamespace(config=SimpleNamespace(normalise_state=normalise))
    return np.asarray(mixer_state_of(networks, state, encoded))


def drawn():
    """States of all sizes, and encoded histories."""
    rng = np.random.default_rng(0)
    size = 10.0 ** rng.integers(-3, 5, (ROWS, BATCH, 1))
    shape = (ROWS, BATCH)
    return np.float32(size * rng.normal(1.0, 1.0, (*shape, ENTRIES))), np.float32(rng.normal(size=(*shape, CODE)))


@pytest.mark.parametrize("junk", [np.nan, np.inf, 1e30, 0.0])
@pytest.mark.parametrize("context", [False, True])
def test_rows_are_normalised_each_by_its_own_entries_whatever_the_padding(context, junk):
    state, encoded = drawn()
    dirty, code = np.where(PADDED[..., None], np.float32(junk), state), encoded if context else None
    off, on = seen(dirty, code, False), seen(dirty, code, True)
    for t, b in np.argwhere(~PADDED):
        row = [float(x) for x in state[t, b]]
        mean = sum(row) / ENTRIES
        spread = (sum((x - mean) ** 2 for x in row) / ENTRIES) ** 0.5
        histories = encoded[t, b].tolist() if context else []
        assert off[t, b].tolist() == row + histories
        expected = [(x - mean) / (spread + 0.01) for x in row]
        np.testing.assert_allclose(on[t, b], expected + histories, rtol=1e-4, atol=1e-5)


def test_a_state_of_equal_entries_becomes_zeros():
    """One of a single entry, too."""
    for shape in ((2, 1, 3), (2, 1, 1)):
        assert (seen(np.full(shape, 7.0, np.float32), None, True) == 0).all()


def test_no_state_at_all_is_no_division_by_zero():
    with jax.debug_nans(True):
        assert seen(jnp.zeros((2, 1, 0)), None, True).shape == (2, 1, 0)
