import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.records import make_episode
from support.registries import registered_only_here

from jaxmac.algorithms import configure, make_algorithm
from jaxmac.envs import BoxPushing
from jaxmac.hyper import hyper_of
from jaxmac.record.replay import SAMPLERS, fresh_episodes, make_sampler, register_sampler
from jaxmac.record.samplers import Tournament, _distinct_windows, tournament_replay
from jaxmac.training.compiled import training_functions


def episodes(values):
    """A batch of one-step episodes with these returns."""
    return batch_of([make_episode([[1, 1]], [value]) for value in values])


def batch_of(made):
    return jax.device_put(jax.tree.map(lambda *x: np.stack(x), *made))


def filled(replay, count):
    return stored(replay, episodes(range(count)))


def stored(replay, batch):
    return jax.jit(lambda e: replay.add(replay.init(jax.tree.map(lambda x: x[0], e)), e))(batch)


def draws(replay, state, times):
    keys = jax.random.split(jax.random.key(0), times)
    sample = jax.jit(jax.vmap(lambda key: replay.sample(key, state).episodes.reward[:, 0]))
    return np.asarray(sample(keys))


def test_batches_hold_distinct_episodes_uniformly_from_those_stored():
    replay = tournament_replay(32, 8)
    batches = draws(replay, filled(replay, 20), 2000)
    assert all(len(set(batch)) == 8 for batch in batches)
    share = np.bincount(batches.astype(int).ravel(), minlength=32) / 2000
    np.testing.assert_allclose(share[:20], 8 / 20, atol=0.05)
    assert (share[20:] == 0).all()


def test_the_oldest_episodes_make_room():
    replay = tournament_replay(8, 8)
    state = filled(replay, 8)
    state = jax.jit(replay.add)(state, episodes([100, 101, 102]))
    assert set(draws(replay, state, 1)[0]) == {3, 4, 5, 6, 7, 100, 101, 102}
    assert int(replay.size(state)) == 8


def test_a_tournament_prefers_good_episodes_for_its_share_only():
    replay = tournament_replay(64, 8, tournament=16, share=0.5)
    batches = draws(replay, filled(replay, 64), 2000)
    winners, rest = batches[:, :4], batches[:, 4:]
    expected = np.mean(np.max(np.random.default_rng(0).integers(0, 64, (4000, 16)), 1))
    assert winners.mean() == pytest.approx(expected, abs=0.5)
    assert rest.mean() == pytest.approx(31.5, abs=0.7)
    assert all(len(set(batch)) == 4 for batch in rest)


def test_storage_keeps_types_and_values():
    replay = tournament_replay(4, 2)
    state = filled(replay, 4)
    sample = jax.jit(replay.sample)(jax.random.key(1), state)
    batch, original = sample.episodes, episodes(range(4))
    assert sample.window_start is None and sample.weight.tolist() == [1, 1]
    assert batch.macro_action.dtype == original.macro_action.dtype
    assert batch.elapsed.dtype == jnp.int16
    for i in range(2):
        source = jax.tree.map(lambda x, row=int(batch.reward[i, 0]): np.asarray(x)[row], original)
        assert sample.index[i] == int(batch.reward[i, 0])
        for name in vars(source):
            np.testing.assert_array_equal(getattr(source, name), np.asarray(getattr(batch, name))[i], err_msg=name)


def of_lengths(lengths, horizon):
    """Episodes told apart by their first reward."""
    ended = [[[1, 1]] * length for length in lengths]
    return batch_of([make_episode(e, [k] * len(e), horizon=horizon) for k, e in enumerate(ended)])


def test_windows_are_distinct_and_uniform_over_all_that_are_held():
    lengths, size = (1, 5, 3), 3
    replay = tournament_replay(8, 6, window=size)
    held = of_lengths(lengths, 6)
    state = stored(replay, held)
    every = {(k, start) for k, length in enumerate(lengths) for start in range(1 - size, length)}

    @jax.jit
    def sample(keys):
        batch = jax.vmap(lambda key: replay.sample(key, state))(keys)
        return batch.episodes.reward[..., 0], batch.window_start

    which, start = jax.device_get(sample(jax.random.split(jax.random.key(0), 3000)))
    drawn = [list(zip(*batch, strict=True)) for batch in zip(which.astype(int), start, strict=True)]
    assert all(len(set(batch)) == 6 for batch in drawn)
    counts = {window: sum(window in batch for batch in drawn) / 3000 for window in every}
    assert {window for batch in drawn for window in batch} == every
    np.testing.assert_allclose(list(counts.values()), 6 / len(every), atol=0.04)


def test_what_is_chosen_by_tournament_begins_anywhere():
    replay = tournament_replay(4, 4, window=3, tournament=8, share=0.5)
    held = of_lengths((2, 6), 6)
    state = stored(replay, held)
    sample = jax.jit(jax.vmap(lambda key: replay.sample(key, state)))
    batch = sample(jax.random.split(jax.random.key(0), 400))
    assert (batch.episodes.reward[:, :2, 0] == 1).mean() > 0.95  # the longer one pays more
    assert set(np.asarray(batch.window_start[:, :2]).ravel()) == set(range(-2, 6))


def test_fresh_episodes_come_back_as_they_were_added():
    replay = fresh_episodes(3)
    state = stored(replay, episodes([5, 6, 7]))
    state = jax.jit(replay.add)(state, episodes([1, 2, 3]))
    assert replay.sample(jax.random.key(0), state).episodes.reward[:, 0].tolist() == [1, 2, 3]


def test_a_batch_larger_than_the_replay_is_refused():
    with pytest.raises(ValueError, match=r"batch_size is 9, but must be <= 8, the episodes of the replay"):
        make_sampler("uniform", None, 8, 9, 0)


def test_a_rule_that_makes_no_replay_is_refused(monkeypatch):
    monkeypatch.setattr("jaxmac.record.replay.SAMPLERS._parts", dict(SAMPLERS._parts))
    monkeypatch.setattr("jaxmac.record.replay.SAMPLERS._origins", dict(SAMPLERS._origins))
    register_sampler("broken", lambda capacity, batch_size, window: [])
    with pytest.raises(ValueError, match=r"sampler 'broken' made a list, but must make a jaxmac.record.Replay"):
        make_sampler("broken", None, 8, 4, 0)
    with pytest.raises(ValueError, match=r"sampler 'uniform' is registered already, by jaxmac.record.samplers"):
        register_sampler("uniform", lambda capacity, batch_size, window: [])
    with pytest.raises(ValueError, match=r"sampler 'x' is 3, but must be a callable dataclass or a function"):
        register_sampler("x", 3)


def test_a_rule_may_inherit_what_it_does():
    class Fierce(Tournament):
        """The same rule under another name."""

    with registered_only_here():
        register_sampler("fierce", Fierce)
        assert "fierce" in SAMPLERS


def test_fewer_windows_than_asked_for_come_again():
    """Never one of an episode that is not there."""
    counts = jnp.array([2, 0, 1, 0])
    episode, rank = _distinct_windows(jax.random.key(0), counts, 8)
    pairs = set(zip(episode.tolist(), rank.tolist(), strict=True))
    assert pairs == {(0, 0), (0, 1), (2, 0)}


def test_windows_of_a_large_replay_are_equally_likely():
    """34 million of them, where neighbouring integers are one number in float32."""
    counts = jnp.full(340_000, 100, jnp.int32)
    rank = jax.jit(lambda key: _distinct_windows(key, counts, 512)[1])(jax.random.key(0))
    each = np.bincount(np.asarray(rank) % 4, minlength=4)
    assert (abs(each - 128) < 50).all()  # 128 with a standard deviation of 10


@pytest.mark.parametrize("share", [0.9, 1.0])
def test_a_batch_of_windows_may_be_drawn_by_tournament_alone(share):
    settings = {"replay_episodes": 16, "batch_size": 4, "replay_tournament": 3, "tournament_share": share}
    config = configure("mac-dec-q", "reference", BoxPushing(4), settings)
    replay = make_sampler("windows", config, 16, 4, config.trajectory)
    drawn = replay.sample(jax.random.key(0), filled(replay, 5))
    assert (drawn.index < 5).all() and drawn.window_start.shape == (4,)


def test_a_tournament_draws_the_share_of_a_batch_that_is_set():
    """Of 64 episodes one has a return; a tournament of thousands finds it."""
    settings = {"sampling": "tournament", "replay_tournament": 2000, "tournament_share": 0.25, "batch_size": 16}
    config = configure("avf-vdn", "tuned", BoxPushing(4), settings)
    replay = make_sampler("tournament", config, 64, 16, 1)
    index = replay.sample(jax.random.key(0), stored(replay, episodes([0] * 63 + [1]))).index
    assert (index[:4] == 63).all() and (index[4:] == 63).sum() <= 1


def test_a_sampler_from_outside_is_given_episodes_as_they_are():
    """The library's own store them packed, as multiples of the units of the environment."""
    added, env = [], BoxPushing(4)

    def watching(capacity, batch_size, window):
        replay = tournament_replay(capacity, batch_size)

        def add(storage, episodes):
            added.append(episodes.state.shape)
            return replay.add(storage, episodes)

        return replay._replace(add=add)

    with registered_only_here():
        register_sampler("watching", watching)
        config = configure("avf-vdn", "tuned", env, {"sampling": "watching", "num_envs": 4})
        algorithm = make_algorithm("avf-vdn", env, config)
        functions = training_functions(env, algorithm, config)
        hyper, key = hyper_of(config), jax.random.key(0)
        member = jax.eval_shape(functions.init, key, hyper)
        jax.eval_shape(functions.advance, member, key, hyper, jnp.int32(0), jnp.int32(1))
    assert set(added) == {(4, env.horizon + 1, env.state_size)}
