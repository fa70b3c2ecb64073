"""Algorithms, samplers, mixers, memories and sinks from outside that do not do what they should: one line each."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest
from support.probes import Additive, Asynchronous
from support.registries import registered_only_here
from support.selection import slow_except

import jaxmac
from jaxmac.algorithms import (
    ALGORITHMS,
    AlgorithmSpec,
    CommonConfig,
    configure,
    list_algorithms,
    make_algorithm,
)
from jaxmac.algorithms.avf import AVFConfig
from jaxmac.mixers import VDN, register_mixer
from jaxmac.mixers.base import init_mixer
from jaxmac.networks.checking import check_memory
from jaxmac.networks.memory import register_memory
from jaxmac.record import Replay, register_sampler
from jaxmac.record.samplers import tournament_replay

ENV = Additive()


@pytest.fixture(autouse=True)
def forgotten():
    with registered_only_here():
        yield


def altered(make, presets=None):
    """An algorithm from outside whose `make` alters that of AVF-VDN; its config."""
    whole = ALGORITHMS["avf-vdn"].make
    spec = AlgorithmSpec(
        AVFConfig,
        lambda env, config: make(whole(env, config)),
        presets or {"tuned": ALGORITHMS["avf-vdn"].presets["tuned"]},
        {"mixer vdn": VDN},
    )
    jaxmac.register_algorithm("mine", spec)
    return configure("mine", "tuned", ENV, {"hidden_size": 4, "num_envs": 4, "batch_size": 4})


def collecting(**fields):
    return lambda algorithm: algorithm._replace(collection=algorithm.collection._replace(**fields))


def updating(change):
    def make(algorithm):
        return algorithm._replace(update=lambda *given: change(*algorithm.update(*given)))

    return make


def fails(*_):
    raise KeyError("nothing")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (fails, "its make raised KeyError: 'nothing'"),
        (lambda algorithm: None, "its make returned a NoneType, but must return an Algorithm"),
        (lambda algorithm: algorithm._replace(streams="main"), "streams is 'main', but must be a tuple of names"),
        (lambda algorithm: algorithm._replace(init=fails), "its init raised KeyError: 'nothing'"),
        (lambda algorithm: algorithm._replace(behaviour=lambda *_: None), "its behaviour returned a NoneType"),
        (
            lambda algorithm: algorithm._replace(evaluation=lambda *_: 3),
            "its evaluation returned a int, but must return a P",
        ),
        (collecting(updates=1.5), r"collection.updates is 1.5, but must be an integer of at least 1"),
        (collecting(replay=None), "must be a Collection with a Replay"),
        (
            collecting(epsilon=lambda hyper, progress: jnp.float32(0.5)),
            r"collection.epsilon returns shape \(\), but must return \(num_envs,\) = \(4,\)",
        ),
        (updating(lambda learner, metrics: None), "its update returned a NoneType, but must return"),
        (
            updating(lambda learner, metrics: (learner, {})),
            "its update has no loss among its metrics, which are",
        ),
        (
            updating(lambda learner, metrics: (learner, metrics | {"loss": jnp.ones(2)})),
            r"its loss is float32\[2\], but must be a scalar",
        ),
        (updating(lambda learner, metrics: (learner, {"loss": None})), "its loss is None, but must be a scalar"),
        (updating(lambda learner, metrics: (learner, 3)), "the metrics of its update are not a dict"),
        (
            updating(lambda learner, metrics: (learner, metrics | {"dropped_rows": jnp.ones(2)})),
            r"its dropped_rows is float32\[2\], but must be a scalar",
        ),
        (
            updating(lambda learner, metrics: (learner.replace(target=None), metrics)),
            "the learner that its update returns has another structure than before",
        ),
        (
            updating(lambda learner, metrics: (jax.tree.map(lambda x: x[None], learner), metrics)),
            r"the learner that its update returns has \w+\[1.* at .*, but must have",
        ),
    ],
)
def test_an_algorithm_is_checked_before_anything_compiles(make, message):
    with pytest.raises(ValueError, match=f"^algorithm 'mine': .*{message}") as refused:
        make_algorithm("mine", ENV, altered(make))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", slow_except(["avf-vdn", "mac-dec-q"], list_algorithms()))
def test_an_algorithm_of_the_library_under_another_id_is_taken(name):
    jaxmac.register_algorithm("mine", ALGORITHMS[name])
    env = Asynchronous()
    make_algorithm("mine", env, configure("mine", "tuned", env, {"hidden_size": 4, "num_envs": 4}))


@pytest.mark.parametrize("errors", [None, 3.0, {"main": jnp.ones(3)}])
def test_errors_that_a_sampler_is_fed_are_checked(errors):
    register_sampler(
        "fed", lambda *sizes: tournament_replay(*sizes[:2])._replace(feedback=lambda storage, *_: storage)
    )
    spec = ALGORITHMS["avf-vdn"]

    def make(env, config):
        whole = spec.make(env, config)
        return whole._replace(update=lambda *given: (given[0], {"loss": jnp.float32(0), "errors": errors}))

    jaxmac.register_algorithm("mine", spec._replace(make=make))
    config = configure("mine", "tuned", ENV, {"num_envs": 4, "batch_size": 4, "sampling": "fed"})
    with pytest.raises(ValueError, match=r"its update gives .*errors .*of stream 'main', which the sampler is fed"):
        make_algorithm("mine", ENV, config)


@pytest.mark.parametrize(
    ("preset", "message"),
    [
        (fails, "algorithm 'mine': its preset 'tuned' raised KeyError: 'nothing'"),
        (lambda env: None, "preset 'tuned' of mine is None, but must be a dict of settings"),
    ],
)
def test_a_preset_that_gives_no_settings_is_refused(preset, message):
    with pytest.raises(ValueError, match=message):
        altered(lambda algorithm: algorithm, {"tuned": preset})


def sampling(change):
    """A sampler from outside that changes what uniform replay does."""

    def factory(capacity, batch_size, window):
        return change(tournament_replay(capacity, batch_size))

    register_sampler("changed", factory)
    config = configure("avf-vdn", "tuned", ENV, {"sampling": "changed", "num_envs": 4, "batch_size": 4})
    return make_algorithm("avf-vdn", ENV, config)


def drawing(**fields):
    return lambda replay: replay._replace(sample=lambda *given: replay.sample(*given)._replace(**fields))


def recast(replay, change):
    def sample(*given):
        drawn = replay.sample(*given)
        return drawn._replace(episodes=jax.tree.map(change, drawn.episodes))

    return replay._replace(sample=sample)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (fails, "raised KeyError: 'nothing'"),
        (lambda replay: replay._replace(capacity=7), "made a replay of capacity 7, but must make one of 2500"),
        (lambda replay: replay._replace(sample=fails), "its replay's sample raised KeyError: 'nothing'"),
        (
            lambda replay: replay._replace(sample=lambda *_: 3),
            "its replay's sample returned a int, but must return a Sample",
        ),
        (drawing(window_start=jnp.zeros(4, jnp.int32)), "a window_start, and chooses_windows=False"),
        (
            lambda replay: replay._replace(add=lambda storage, _: None),
            "its replay's add returns has another structure",
        ),
        (
            lambda replay: replay._replace(feedback=lambda *_: None),
            "its replay's feedback returns has another structure",
        ),
        (lambda replay: replay._replace(size=fails), "its replay's size raised KeyError: 'nothing'"),
        (lambda replay: replay._replace(size=lambda _: jnp.ones(())), r"size is float32\[\], but must be a scalar"),
        (drawing(weight=None), r"weight None, which must be floating\[4\]"),
        (drawing(weight=jnp.ones(5)), r"weight float32\[5\], which must be floating\[4\]"),
        (drawing(weight=jnp.arange(4)), r"weight int32\[4\], which must be floating\[4\]"),
        (drawing(index=jnp.ones(4)), r"index float32\[4\], which must be integer\[4\]"),
        (lambda replay: recast(replay, lambda x: x[:3]), "other episodes than 4 of those that were added"),
        (lambda replay: recast(replay, lambda x: x.astype("float16")), "other episodes than 4 of those that were"),
        (drawing(episodes=3), "other episodes than 4 of those that were added"),
    ],
)
def test_a_sampler_is_checked_before_anything_compiles(change, message):
    with pytest.raises(ValueError, match=f"^sampler 'changed'.*{message}") as refused:
        sampling(change)
    assert "\n" not in str(refused.value)


def test_an_instance_with_settings_is_no_sampler():
    @dataclasses.dataclass(frozen=True)
    class Newest:
        newest_share: float = jaxmac.setting(0.5, "share of new ones", low=0.0, high=1.0)

        def __call__(self, capacity, batch_size, window):
            return Replay(*[None] * 4, capacity)

    with pytest.raises(
        ValueError, match="'newest' is an instance, whose settings could not be set: register its cl"
    ):
        register_sampler("newest", Newest(0.25))
    register_sampler("newest", Newest)


def test_a_mixer_does_not_take_the_place_of_an_algorithm():
    preset = {"tuned": lambda env: {}}
    jaxmac.register_algorithm("avf-later", AlgorithmSpec(CommonConfig, lambda env, config: None, preset))
    with pytest.raises(
        ValueError, match=r"mixer 'later': an algorithm avf-later is registered already, by .*choose"
    ):
        register_mixer("later", VDN)
    with pytest.raises(ValueError, match="reads_state is 'no', but must be True or False"):
        register_mixer("other", VDN, reads_state="no")


def test_settings_that_could_not_be_set_are_refused():
    class Undecorated(CommonConfig):
        extra: float = jaxmac.setting(1.0, "a setting without a field")

    @dataclasses.dataclass(frozen=True)
    class OutOfRange(CommonConfig):
        share: float = jaxmac.setting(2.0, "a share", low=0.0, high=1.0)

    presets = {"tuned": lambda env: {}}
    for config, message in (
        (Undecorated, "its setting extra is not a field, as Undecorated is not a dataclass: add @dataclass"),
        (OutOfRange, r"the default of a setting: share is 2.0, but must be >= 0 and <= 1"),
    ):
        with pytest.raises(ValueError, match=message):
            jaxmac.register_algorithm("mine", AlgorithmSpec(config, print, presets))
    for fields, message in (
        ({"presets": ["tuned"]}, "must have make"),
        ({"parts": 3}, "must have a dict as parts"),
        ({"summary": 3}, "a text as summary"),
    ):
        with pytest.raises(ValueError, match=message):
            jaxmac.register_algorithm("mine", AlgorithmSpec(CommonConfig, print, presets)._replace(**fields))


class Memory(nn.Module):
    """A memory whose output has another type."""

    size: int

    @nn.compact
    def __call__(self, hidden, inputs, advance):
        return hidden, jnp.zeros((*advance.shape, self.size), "int32")


class Unmade(Memory):
    """A memory that cannot be made of its size alone."""

    @property
    def carry_size(self):
        raise KeyError("width")


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (
            Memory,
            "memory 'mine' returns float32 and int32, but must return a float32 hidden state and outputs of f",
        ),
        (Unmade, "memory 'mine' raised KeyError: 'width'"),
    ],
)
def test_the_types_of_a_memory_are_checked(module, message):
    register_memory("mine", module)
    with pytest.raises(ValueError, match=message):
        check_memory("mine", None, 4)


class Mixing(nn.Module):
    """A mixer that does what `how` says."""

    how: str = ""

    @nn.compact
    def __call__(self, inputs):
        total = self.param("bias", nn.initializers.zeros, ()) + inputs.q_all.sum((-1, -2))
        return {
            "none": lambda: None,
            "rows": lambda: total.reshape(-1),
            "integers": lambda: total.astype(jnp.int32),
        }[self.how]()


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("none", r"returns shape NoneType for one row, but must return \(1,\)"),
        ("rows", r"returns shape \(6,\) for two rows of three, but must return \(2, 3\)"),
        ("integers", "returns int32, but must return a float, as it is differentiated"),
    ],
)
def test_what_a_mixer_returns_is_checked(how, message):
    with pytest.raises(ValueError, match=f"^mixer Mixing {message}$"):
        init_mixer(Mixing(how), jax.random.key(0), 2, 3, 4, 5)
