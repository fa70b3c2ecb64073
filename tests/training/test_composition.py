"""Configs composed of an algorithm's settings and those of its parts; traced and static hyperparameters."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest
from support.probes import Additive
from support.readers import unread_settings
from support.registries import registered_only_here

import jaxmac
from jaxmac.algorithms import CommonConfig, configure, list_algorithms
from jaxmac.config import compose, part_of, setting, settings_of
from jaxmac.hyper import Hyper, hyper_arrays, hyper_of, static_view
from jaxmac.mixers import QPLEX, VDN, register_mixer
from jaxmac.runs.members import group_members, make_members


def config_of(algorithm, **values):
    return configure(algorithm, "tuned", Additive(), values)


def test_a_config_has_the_settings_of_its_parts_and_no_others():
    for mixer, has, others in (
        ("vdn", (), ("kernels", "mixing_embed", "critic_embed", "hypernet_embed")),
        ("qmix", ("mixing_embed", "hypernet_embed"), ("kernels", "critic_embed")),
        ("qplex", ("kernels", "hypernet_embed"), ("mixing_embed", "critic_embed")),
        ("qtran", ("critic_embed", "nopt_weight"), ("kernels", "hypernet_embed")),
    ):
        known = settings_of(type(config_of(f"avf-{mixer}")))
        assert set(has) <= set(known) and not set(others) & set(known)
        assert all(part_of(known[name]) == f"mixer {mixer}" for name in has)
    of_tournament = settings_of(type(config_of("avf-vdn", sampling="tournament")))
    assert part_of(of_tournament["replay_tournament"]) == "sampler tournament"
    assert not hasattr(config_of("avf-vdn", sampling="uniform"), "replay_tournament")
    windows = {"sampling": "windows", "trajectory_unit": "steps"}
    box_pushing = configure("avf-vdn", "tuned", jaxmac.make("BoxPushing-10"), windows)
    assert box_pushing.replay_tournament == 64  # of the preset


@pytest.mark.parametrize(
    ("algorithm", "values", "message"),
    [
        ("avf-vdn", {"kernels": 8}, "kernels is a setting of mixer qplex; avf-vdn has mixer vdn"),
        ("avf-vdn", {"hypernet_embed": 8}, "is a setting of mixer qmix and qplex; avf-vdn has mixer vdn"),
        ("mac-dec-q", {"kernels": 8}, "kernels is a setting of mixer qplex; mac-dec-q has no mixer"),
        (
            "avf-qmix",
            {"ent_coef": 2},
            "ent_coef is entropy_weight in jaxmac: .*mix does not have it",
        ),
        ("avf-qmix", {"n_step": 3}, "n_step is a setting of tomacvf-.*; avf-qmix does not have it"),
        (
            "avf-qmix",
            {"sampling": "uniform", "replay_tournament": 4},
            "of sampler tournament and windows; avf-qmix has",
        ),
        ("mac-iac", {"sampling": "uniform"}, "sampling is a setting of avf-q.*; mac-iac does not have it"),
        ("avf-qmix", {"memory": "lstm"}, "memory='lstm': unknown memory; known: gru"),
        ("avf-qmix", {"sampling": "episodes"}, "sampling='episodes': unknown sampler; known: uniform, tournament"),
        ("avf-qmix", {"learning_rat": 1.0}, "unknown hyperparameter 'learning_rat'; did you mean learning_rate"),
    ],
)
def test_a_setting_of_another_part_is_refused_with_its_owner(algorithm, values, message):
    with pytest.raises(ValueError, match=message) as error:
        config_of(algorithm, **values)
    assert "\n" not in str(error.value)


def test_ids_are_derived_from_the_mixers():
    assert {f"avf-{mixer}" for mixer in ("vdn", "qmix", "qplex", "qtran")} <= set(list_algorithms())
    assert "tomacvf-qmix" in list_algorithms() and "tomacvf-vdn" not in list_algorithms()
    with registered_only_here():
        register_mixer("plain-sum", VDN, reads_state=False)
        register_mixer("mine", QPLEX, dueling="centred")
        assert "avf-plain-sum" in list_algorithms() and "tomacvf-plain-sum" not in list_algorithms()
        assert config_of("tomacvf-mine").kernels == 4
        with pytest.raises(ValueError, match="algorithm 'avf-mine' is derived from the mixer mine"):
            spec = jaxmac.AlgorithmSpec(CommonConfig, print, {"tuned": lambda env: {}})
            jaxmac.register_algorithm("avf-mine", spec)
    assert "avf-mine" not in list_algorithms()


def test_two_parts_with_one_setting_name_are_refused():
    @dataclasses.dataclass(frozen=True)
    class Part:
        gamma: float = setting(0.5, "another discount")

    with pytest.raises(ValueError, match="sampler mine has a setting gamma, which its algorithm has, too"):
        compose(CommonConfig, {"sampler mine": Part})
    with pytest.raises(ValueError, match="a setting size, which sampler one has, too"):

        @dataclasses.dataclass(frozen=True)
        class One:
            size: int = setting(1, "of one")

        compose(CommonConfig, {"sampler one": One, "memory two": One})


def test_traced_settings_are_read_from_hyper_and_static_ones_from_the_config():
    config = config_of("avf-qplex", learning_rate=0.5)
    static, hyper = static_view(config), hyper_of(config)
    assert static.kernels == 4 and float(hyper.learning_rate) == 0.5
    with pytest.raises(AttributeError, match="learning_rate is traced, so members may differ in it: read"):
        static.learning_rate  # noqa: B018
    with pytest.raises(AttributeError, match="kernels is not traced, read it from the config"):
        hyper.kernels  # noqa: B018
    other = config_of("avf-qplex", learning_rate=0.1)
    assert static == static_view(other) and hash(static) == hash(static_view(other))
    assert static != static_view(config_of("avf-qplex", kernels=2)) and isinstance(static, type(config))


def test_hyper_is_a_tree_of_arrays_by_name():
    hyper = hyper_arrays([config_of("avf-vdn", gamma=gamma) for gamma in (0.5, 0.25)])
    assert hyper.gamma.tolist() == [0.5, 0.25] and hyper.gamma.dtype == jnp.float32
    halved = jax.jit(jax.vmap(lambda h: jax.tree.map(lambda x: x / 2, h)))(hyper)
    assert isinstance(halved, Hyper) and halved.gamma.tolist() == [0.25, 0.125]
    with pytest.raises(AttributeError, match="are not assigned to"):
        hyper.gamma = 1.0


def test_swept_settings_that_shape_the_program_make_groups():
    members = make_members("avf-vdn", Additive(), "paper", {}, 2, {"memory": ["gru"], "gamma": [0.5, 0.9]})
    assert [len(group) for group in group_members(members)] == [4]
    members = make_members("avf-vdn", Additive(), "paper", {}, 1, {"sampling": ["uniform", "tournament"]})
    assert [len(group) for group in group_members(members)] == [1, 1]


READERS = ("avf-qplex", "mac-iaicc")
WATCHED = [name if name in READERS else pytest.param(name, marks=pytest.mark.slow) for name in list_algorithms()]


@pytest.mark.parametrize("algorithm", WATCHED)
def test_no_setting_is_without_a_reader(algorithm):
    needed = {"centralised_exploration": True} if algorithm == "mac-dec-ddrqn" else {}  # of exploration_switch
    unread = unread_settings(algorithm, config_of(algorithm, **needed))
    assert not unread, f"{algorithm} never reads {unread}"
