import jax
import jax.numpy as jnp
import numpy as np
import pytest
from records import make_episode

from jaxmac.replay import make_replay


def episodes(values):
    """A batch of one-step episodes with these returns."""
    made = [make_episode([[1, 1]], [value]) for value in values]
    return jax.tree.map(lambda *x: jnp.stack(x), *made)


def filled(replay, count):
    state = replay.init(jax.tree.map(lambda x: x[0], episodes([0])))
    return replay.add(state, episodes(range(count)))


def draws(replay, state, times):
    keys = jax.random.split(jax.random.key(0), times)
    sample = jax.jit(jax.vmap(lambda key: replay.sample(key, state).reward[:, 0]))
    return np.asarray(sample(keys))


def test_batches_hold_distinct_episodes_uniformly_from_those_stored():
    replay = make_replay(32, 8)
    batches = draws(replay, filled(replay, 20), 2000)
    assert all(len(set(batch)) == 8 for batch in batches)
    share = np.bincount(batches.astype(int).ravel(), minlength=32) / 2000
    np.testing.assert_allclose(share[:20], 8 / 20, atol=0.05)
    assert (share[20:] == 0).all()


def test_the_oldest_episodes_make_room():
    replay = make_replay(8, 8)
    state = filled(replay, 8)
    state = replay.add(state, episodes([100, 101, 102]))
    assert set(draws(replay, state, 1)[0]) == {3, 4, 5, 6, 7, 100, 101, 102}
    assert int(replay.size(state)) == 8


def test_a_tournament_prefers_good_episodes_for_its_share_only():
    replay = make_replay(64, 8, tournament=16, tournament_share=0.5)
    batches = draws(replay, filled(replay, 64), 2000)
    winners, rest = batches[:, :4], batches[:, 4:]
    expected = np.mean(np.max(np.random.default_rng(0).integers(0, 64, (4000, 16)), 1))
    assert winners.mean() == pytest.approx(expected, abs=0.5)
    assert rest.mean() == pytest.approx(31.5, abs=0.7)
    assert all(len(set(batch)) == 4 for batch in rest)


def test_storage_keeps_types_and_values():
    replay = make_replay(4, 2)
    state = filled(replay, 4)
    batch = replay.sample(jax.random.key(1), state)
    original = episodes(range(4))
    assert batch.macro_action.dtype == original.macro_action.dtype
    assert batch.elapsed.dtype == jnp.int16
    for i in range(2):
        source = jax.tree.map(lambda x, row=int(batch.reward[i, 0]): x[row], original)
        for name, value in vars(source).items():
            np.testing.assert_array_equal(value, getattr(batch, name)[i], err_msg=name)


def test_a_batch_larger_than_the_replay_is_refused():
    with pytest.raises(ValueError, match=r"batch_size=9 is larger than the replay; allowed: <= 8"):
        make_replay(8, 9)
