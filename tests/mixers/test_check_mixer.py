"""What mixers are refused, and what `check_mixer` finds."""

import flax.linen as nn
import jax.numpy as jnp
import pytest

from jaxmac.mixers import QMIX, MixerError, check_mixer, make_mixer, register_mixer


def test_errors_name_the_known():
    with pytest.raises(ValueError, match=r"unknown mixer 'qmx'; did you mean qmix"):
        make_mixer("qmx")
    with pytest.raises(ValueError, match=r"unknown option 'width' of mixer 'qmix'; known: mixing_embed"):
        make_mixer("qmix", width=3)
    with pytest.raises(ValueError, match="hypernet_layers=0"):
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
        ("shape", r"mixer 'Broken': 12 rows give values of shape \(12, 3\); expected \(12,\)"),
        ("rows", "the value of a row depends on the other rows"),
        ("padding", "an infeasible utility of 100000000.0 changes the value or its gradient"),
        ("monotone", "the joint value falls as a utility rises"),
        ("raises", "mixer 'Broken' raised "),
    ):
        with pytest.raises(MixerError, match=message) as error:
            check_mixer(Broken(how), instances=40)
        assert "\n" not in str(error.value)


def test_registration_refuses_what_is_no_mixer():
    for name, module, options, message in (
        ("qmix", QMIX, {}, "mixer 'qmix' is registered already, by jaxmac.mixers.qmix"),
        ("two words", QMIX, {}, "mixer 'two words': a name is a word"),
        ("mine", QMIX(), {}, "expected a flax.linen module class"),
        ("mine", dict, {}, "expected a flax.linen module class"),
        ("mine", QMIX, {"dueling": "centered"}, "dueling='centered'; allowed: none, centred, raw"),
    ):
        with pytest.raises(ValueError, match=message):
            register_mixer(name, module, **options)
