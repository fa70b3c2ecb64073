"""What mixers are refused, and what `check_mixer` finds."""

import inspect

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest
from support.probes import Asynchronous
from support.registries import registered_only_here

import jaxmac
from jaxmac.algorithms import configure, make_algorithm
from jaxmac.hyper import hyper_of
from jaxmac.mixers import QMIX, MixerError, check_mixer, make_mixer, register_mixer, testing
from jaxmac.mixers.base import init_mixer
from jaxmac.networks.choice import take_chosen


def test_errors_name_the_known():
    with pytest.raises(ValueError, match=r"unknown mixer 'qmx'; did you mean qmix"):
        make_mixer("qmx")
    with pytest.raises(ValueError, match=r"unknown option 'width' of mixer 'qmix'; known: mixing_embed"):
        make_mixer("qmix", width=3)
    with pytest.raises(ValueError, match="hypernet_layers is 0"):
        make_mixer("qmix", hypernet_layers=0)
    assert make_mixer("qmix", mixing_embed=7).mixing_embed == 7


def test_check_mixer_names_what_is_broken():
    class Broken(nn.Module):
        how: str

        def __call__(self, inputs):
            q = jnp.take_along_axis(inputs.q_all, inputs.chosen[..., None], -1)[..., 0]
            return {
                "shape": lambda: q,
                "rows": lambda: q.sum(-1) + q.mean(),
                "padding": lambda: q.sum(-1) + inputs.q_all.sum((-1, -2)),
                "monotone": lambda: q[..., 0] - q[..., 1] + q[..., 2:].sum(-1),
                "raises": lambda: q @ q,
            }[self.how]()

    for how, message in (
        ("shape", r"mixer 'Broken': 12 rows give values of shape \(12, 3\), but must give \(12,\)"),
        ("rows", "the values of a row depend on the other rows"),
        ("padding", "an infeasible utility of 100000000.0 changes the value or its gradient"),
        ("monotone", "the joint value falls as a utility rises"),
        ("raises", "mixer 'Broken' raised "),
    ):
        with pytest.raises(MixerError, match=message) as error:
            check_mixer(Broken(how), instances=40)
        assert "\n" not in str(error.value)


def test_an_auxiliary_loss_is_checked_like_the_value():
    class Extra(nn.Module):
        how: str = ""

        @nn.compact
        def __call__(self, inputs):
            return inputs.hidden.sum((-1, -2)) * 0.0

        def auxiliary(self, inputs):
            q = jnp.take_along_axis(inputs.q_all, inputs.chosen[..., None], -1)[..., 0]
            return {
                "": lambda: q.sum(-1),
                "agents": lambda: q,
                "scalar": lambda: q.mean(),
                "rows": lambda: q.sum(-1) + q.mean(),
                "padding": lambda: q.sum(-1) + inputs.q_all.sum((-1, -2)),
                "raises": lambda: inputs.nothing,
            }[self.how]()

    for how, message in (
        ("agents", r"12 rows give auxiliary losses of shape \(12, 3\), but must give \(12,\)"),
        ("scalar", r"12 rows give auxiliary losses of shape \(\), but must give \(12,\)"),
        ("rows", "the auxiliary losses of a row depend on the other rows"),
        ("padding", "an infeasible utility of 100000000.0 changes the auxiliary loss or its gradient"),
        ("raises", "mixer 'Extra' raised AttributeError"),
    ):
        with pytest.raises(MixerError, match=message):
            check_mixer(Extra(how), instances=40)
    init_mixer(Extra(), jax.random.key(0), 3, 2, 4, 5)
    with pytest.raises(ValueError, match=r"auxiliary loss of mixer Extra has shape \(1, 3\) for one row"):
        init_mixer(Extra("agents"), jax.random.key(0), 3, 2, 4, 5)


def test_a_mixer_that_says_that_it_reads_no_state_must_not():
    with registered_only_here():
        register_mixer("blind", QMIX, reads_state=False)
        with pytest.raises(MixerError, match="mixer 'blind': reads the state, but is registered with"):
            check_mixer("blind", instances=20)
    check_mixer("vdn", instances=20)


class Signed(nn.Module):
    """A weighted sum that promises to be factorised, which it is for a positive weight only."""

    weight: float = jaxmac.setting(1.0, "weight of every utility")
    gain: float = jaxmac.setting(1.0, "another one, which is traced", traced=True)
    factorised = True

    @nn.compact
    def __call__(self, inputs):
        """The joint value, with a bias that is learned."""
        bias = self.param("bias", nn.initializers.zeros, ())
        return self.gain * self.weight * take_chosen(inputs.q_all, inputs.chosen).sum(-1) + bias


def test_training_checks_a_mixer_from_outside_with_its_settings(monkeypatch):
    calls = []
    monkeypatch.setattr(testing, "check_mixer", lambda *given: calls.append(given) or check_mixer(*given))
    with registered_only_here():
        register_mixer("signed", Signed, reads_state=False)
        env = Asynchronous()
        for _ in range(2):
            jaxmac.make_train("avf-signed", env)
        assert len(calls) == 1 and calls[0][0].weight == 1.0
        falls = "mixer 'signed': the joint value falls as a utility rises: .*; check_environment=False"
        for call in (jaxmac.make_train, jaxmac.train):
            with pytest.raises(MixerError, match=falls):
                call("avf-signed", env, weight=-1.0)
        with pytest.raises(MixerError, match=falls):
            jaxmac.make_train("avf-signed", env, gain=-1.0)
        count = len(calls)
        jaxmac.make_train("avf-signed", env, weight=-1.0, check_environment=False)
        make_algorithm("avf-signed", env, configure("avf-signed", "tuned", env, {"weight": -1.0}))  # to evaluate it
        jaxmac.make_train("avf-vdn", env)  # the library's own are not checked again
        assert len(calls) == count


class Fixed(nn.Module):
    """A weighted sum for two agents."""

    @nn.compact
    def __call__(self, inputs):
        """The joint value."""
        weights = self.param("weights", nn.initializers.ones, (2,))
        return (nn.softplus(weights) * take_chosen(inputs.q_all, inputs.chosen)).sum(-1)


def test_a_mixer_for_one_number_of_agents_is_trained_unchecked():
    with registered_only_here():
        register_mixer("fixed", Fixed, reads_state=False)
        with pytest.raises(MixerError, match="mixer 'fixed' raised"):
            check_mixer("fixed", instances=20)
        train = jaxmac.make_train("avf-fixed", Asynchronous())
        assert jax.eval_shape(train.algorithm.init, jax.random.key(0), hyper_of(train.config))


def test_options_of_a_mixer_are_checked_like_settings():
    assert make_mixer("qmix", weight_floor=0.0).weight_floor == 0.0
    with pytest.raises(ValueError, match=r"weight_floor is -3\.0, but must be >= 0"):
        make_mixer("qmix", weight_floor=-3.0)


def test_registration_refuses_what_is_no_mixer():
    for name, module, options, message in (
        ("qmix", QMIX, {}, "mixer 'qmix' is registered already, by jaxmac.mixers.qmix"),
        ("two words", QMIX, {}, "mixer 'two words': a name is a word"),
        ("mine", QMIX(), {}, "but must be a flax.linen module class"),
        ("mine", dict, {}, "but must be a flax.linen module class"),
        ("mine", QMIX, {"dueling": "centered"}, "dueling is 'centered', but must be one of none, centred, raw"),
    ):
        with pytest.raises(ValueError, match=message) as refused:
            register_mixer(name, module, **options)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize("algorithm", ["avf-qmix", "tomacvf-qmix"])
def test_a_mixer_that_reads_the_state_is_refused_where_there_is_none(algorithm):
    env = Asynchronous()
    env.state_size = 0
    config = configure(algorithm, "tuned", env, {})
    with pytest.raises(ValueError, match="has no global state, which the mixer reads; mixers that read none: vdn"):
        jax.eval_shape(make_algorithm(algorithm, env, config).init, jax.random.key(0), hyper_of(config))


class Needs(nn.Module):
    """A mixer without a default for its size."""

    size: int


class Spoilt(nn.Module):
    """A mixer that gives NaN."""

    def __call__(self, inputs):
        return inputs.q_all.sum(axis=(-2, -1)) * jnp.nan


@pytest.mark.parametrize(
    ("mixer", "words"),
    [
        (int, "mixer is <class 'int'>, but must be a registered name, or a flax module or its class"),
        (None, "mixer is None, but must be a registered name"),
        (Needs, "mixer 'Needs' cannot be built with its defaults: "),
        (Spoilt, "mixer 'Spoilt': gives values that are not finite"),
    ],
)
def test_what_is_no_mixer_is_named(mixer, words):
    with pytest.raises(MixerError) as error:
        check_mixer(mixer)
    assert str(error.value).startswith(words) and "\n" not in str(error.value)


@pytest.mark.parametrize("instances", [0, -1, 1.5, True])
def test_instances_are_counted(instances):
    with pytest.raises(ValueError, match=f"instances is {instances}, but must be an integer >= 1"):
        inspect.unwrap(check_mixer)("vdn", instances=instances)
