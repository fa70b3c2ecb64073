"""Rows are cut to the shortest of a few lengths that holds them, and results are those of the full length."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.samples import sample_of, with_garbage

from jaxmac import envs
from jaxmac.algorithms import Progress, configure, make_algorithm
from jaxmac.hyper import hyper_of
from jaxmac.record import buckets
from jaxmac.record.buckets import at_needed_length, bucket_lengths, first_rows, rows_needed
from jaxmac.record.policy import random_policy
from jaxmac.record.rollout import rollout


class SomeRows(NamedTuple):
    entry: jax.Array  # [rows + 1, batch]
    value: jax.Array  # [rows, batch]
    mask: jax.Array  # [rows, batch]
    dropped: jax.Array  # [batch]


def rows_with(*counts, rows=100):
    mask = np.arange(rows)[:, None] < np.asarray(counts)
    value = np.arange(rows, dtype=np.float32)[:, None] + np.zeros(len(counts), np.float32)
    entry = np.concatenate([value, value[-1:] + 1])
    return jax.device_put(SomeRows(entry, value, mask, np.zeros(len(counts), np.int32)))


def computed_length(rows):
    """The number of rows, of which one entry more is there, without any effect of padding."""
    assert rows.entry.shape[0] == rows.mask.shape[0] + 1
    return jnp.int32(rows.mask.shape[0])


def test_lengths_rise_to_the_full_one_and_short_ones_are_not_worth_a_copy():
    assert bucket_lengths(100) == [30, 60, 100]
    assert bucket_lengths(30) == [18, 30]
    assert bucket_lengths(9) == [9]


def test_rows_are_counted_up_to_the_last_real_one():
    assert rows_needed(jnp.array([[False, True], [True, False], [False, False]])) == 2
    assert rows_needed(jnp.zeros((4, 2, 3), bool)) == 0


def test_the_first_rows_keep_one_entry_more_and_everything_without_rows():
    rows = rows_with(2, 3, rows=3)._replace(dropped=jnp.arange(3))  # as many as there are rows
    first = first_rows(rows, 2)
    assert [x.shape[0] for x in first] == [3, 2, 2, 3]
    np.testing.assert_array_equal(first.entry[:, 0], [0, 1, 2])


@pytest.mark.parametrize(
    ("count", "length"), [(0, 30), (1, 30), (30, 30), (31, 60), (60, 60), (61, 100), (100, 100)]
)
def test_the_shortest_length_that_holds_every_row_is_computed(count, length):
    assert jax.jit(lambda rows: at_needed_length(computed_length, rows))(rows_with(0, count)) == length


def test_no_real_row_is_left_out_whatever_their_number():
    def total(rows):
        return jnp.sum(jnp.where(rows.mask, rows.value + 1, 0))

    compute = jax.jit(lambda rows: at_needed_length(total, rows))
    for count in range(101):
        assert compute(rows_with(count)) == count * (count + 1) / 2


def test_the_longest_of_several_batches_decides():
    def both(first, second):
        return jnp.stack([computed_length(first), computed_length(second)])

    assert jax.jit(lambda *rows: at_needed_length(both, *rows))(rows_with(3), rows_with(40)).tolist() == [60, 60]


def test_there_is_one_length_on_an_accelerator(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert jax.jit(lambda rows: at_needed_length(computed_length, rows))(rows_with(3)) == 100


def test_members_under_vmap_share_one_branch():
    batches = jax.tree.map(lambda *x: jnp.stack(x), rows_with(1), rows_with(45))
    mapped = jax.vmap(lambda rows: at_needed_length(computed_length, rows) + rows.dropped[0])
    assert jax.jit(mapped)(batches).tolist() == [60, 60]
    branching = [e for e in jax.make_jaxpr(mapped)(batches).eqns if e.primitive.name == "cond"]
    assert len(branching) == 1
    assert branching[0].invars[0].aval.shape == ()


ON_POLICY = ("mac-iaicc", "mac-niacc", "mac-mappo")
NAMES = ("avf-qplex", "tomacvf-qmix", "mac-dec-q", "mac-cen-q", "mac-dec-ddrqn", *ON_POLICY)
NOW = Progress(jnp.int32(0), jnp.int32(200), jnp.int32(0))


@pytest.fixture(scope="module")
def env():
    return envs.make("BoxPushing-4", horizon=16)


@pytest.fixture(scope="module")
def episodes(env):
    """The shortest of many episodes, with garbage behind their ends."""
    played = jax.jit(lambda key: rollout(env, random_policy(), key, jnp.ones(64)))(jax.random.key(1))
    shortest = jnp.argsort(played.length)[:6]
    return with_garbage(jax.tree.map(lambda x: np.asarray(x)[shortest], played))


def updated(name, env, episodes):
    sizes = {"num_envs": 6, "hidden_size": 4} | ({} if name in ON_POLICY else {"batch_size": 6})
    config = configure(name, "tuned", env, sizes)
    algorithm, hyper = make_algorithm(name, env, config), hyper_of(config)
    state = jax.jit(algorithm.init)(jax.random.key(0), hyper)
    samples = dict.fromkeys(algorithm.streams, sample_of(episodes))
    return jax.jit(algorithm.update)(state, hyper, samples, NOW, jax.random.key(5))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_an_update_from_short_rows_is_that_from_all_rows(name, env, episodes, monkeypatch):
    whole, metrics = updated(name, env, episodes)
    lengths = []
    monkeypatch.setattr(buckets, "FEWEST", 1)
    monkeypatch.setattr(buckets, "bucket_lengths", lambda rows: lengths.append(rows) or [rows // 2, rows])
    monkeypatch.setattr(jax.lax, "switch", lambda index, branches, operand: branches[0](operand))
    short, short_metrics = updated(name, env, episodes)
    assert lengths and set(lengths) == {16}
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-6, rtol=1e-5), short, whole)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-6, rtol=1e-5), short_metrics, metrics)
