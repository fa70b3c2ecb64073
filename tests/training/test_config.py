import dataclasses

import numpy as np
import pytest
from support.probes import Additive

import jaxmac
from jaxmac import make
from jaxmac.algorithms import configure, make_algorithm
from jaxmac.algorithms.avf import AVFConfig
from jaxmac.config import build, traced_fields
from jaxmac.runs.members import group_members, make_members, seed_list


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("learning_rate", -1.0, r"learning_rate is -1.0, but must be > 0 and <= 1"),
        ("gamma", 1.1, r"gamma is 1.1, but must be >= 0 and <= 1"),
        ("batch_size", 0, r"batch_size is 0, but must be >= 1"),
        ("batch_size", 1.5, r"batch_size is 1.5, but must be an integer"),
        ("batch_size", True, r"batch_size is True, but must be an integer"),
        ("double_q", 1, r"double_q is 1, but must be True or False"),
        ("macro_state", "jiont", r"macro_state is 'jiont', but must be one of joint, real, terminated"),
        ("learning_rate", float("nan"), r"learning_rate is nan, but must be"),
        ("lerning_rate", 0.1, r"unknown hyperparameter 'lerning_rate'; did you mean learning_rate"),
    ],
)
def test_bad_values_are_named_with_their_range(name, value, message):
    with pytest.raises(ValueError, match=message) as error:
        build(AVFConfig, {name: value})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("algorithm", "values", "message"),
    [
        (
            "avf-vdn",
            {"reward_scale": 1e39},
            r"reward_scale is 1e\+39, inf in float32, in which it is used, but must be > 0$",
        ),
        (
            "avf-vdn",
            {"learning_rate": 1e-46},
            r"learning_rate is 1e-46, 0 in float32, .*, but must be > 0 and <= 1$",
        ),
        (
            "tomacvf-qmix",
            {"ablation": "mac-sjert", "reward_scheme": "own", "td_lambda": 0.5},
            r"td_lambda=0\.5 chains rows, and with reward_scheme='own'",
        ),
        ("avf-vdn", {"epsilon_episodes": 1e-40}, r"epsilon_episodes is 1e-40, 0 in float32, .*, but must be > 0$"),
        (
            "avf-qtran",
            {"opt_weight": 1e39},
            r"opt_weight is 1e\+39, inf in float32, .*, but must be >= 0$",
        ),  # static
        ("tomacvf-qmix", {"attention_threshold": 1e300}, r"attention_threshold is 1e\+300, inf in float32"),
        ("mac-iac", {"entropy_weight": 4e38}, r"entropy_weight is 4e\+38, inf in float32"),
        (
            "avf-vdn",
            {"target_steps": 2**31},
            r"target_steps is 2147483648, but must be >= 0 and <= 2147483647",
        ),
        (
            "avf-vdn",
            {"learning_starts": 10**12},
            r"learning_starts is 10{12}, but must be >= 1 and <= 2147483647",
        ),
        ("avf-qplex", {"kernels": 10**400}, r"kernels is 10{400}, but must be >= 1 and <= 2147483647"),
        ("avf-qplex", {"reward_scale": 10**400}, r"reward_scale is inf, but must be finite, > 0$"),
        ("avf-qplex", {"kernels": 10**20}, r"kernels is 10{20}, but must be >= 1 and <= 2147483647"),
    ],
)
def test_settings_are_checked_in_the_type_in_which_they_are_used(algorithm, values, message):
    with pytest.raises(ValueError, match=message):
        configure(algorithm, "tuned", Additive(), values)
    with pytest.raises(ValueError, match=message):
        make_members(algorithm, Additive(), "tuned", {}, 1, {name: [value] for name, value in values.items()})


def test_extreme_values_that_float32_holds_are_taken():
    largest = float(np.finfo(np.float32).max)
    config = build(AVFConfig, {"reward_scale": largest, "learning_rate": 2e-38, "gamma": 0.0, "polyak": 1e-60})
    assert (config.reward_scale, config.gamma, config.polyak) == (largest, 0.0, 1e-60)


def test_later_layers_win_and_integers_serve_as_floats():
    config = build(AVFConfig, {"gamma": 0.5, "batch_size": 3}, {"gamma": 1})
    assert (config.gamma, config.batch_size) == (1.0, 3)


def test_table_5_of_the_paper():
    expected = {
        ("avf-vdn", "BoxPushing-10"): (5e-5, 0.9, 15),
        ("avf-qmix", "BoxPushing-10"): (5e-5, 0.99, 15),
        ("avf-qplex", "BoxPushing-10"): (1e-4, 0.99, 15),
        ("avf-qmix", "BoxPushing-20"): (5e-5, 0.99, 35),
        ("avf-qplex", "BoxPushing-30"): (1e-4, 0.99, 45),
    }
    for (algorithm, env_id), values in expected.items():
        config = configure(algorithm, "paper", make(env_id), {})
        assert (config.learning_rate, config.gamma, config.train_freq) == values
        shared = (config.replay_episodes, config.batch_size, config.trajectory, config.polyak, config.hidden_size)
        assert shared == (2500, 64, 25, 0.995, 64)
        assert config.hidden_layers == 2
        mixer = {"avf-vdn": {}, "avf-qmix": {"mixing_embed": 32, "hypernet_embed": 32}}.get(algorithm)
        mixer = {"kernels": 4, "hypernet_embed": 32} if mixer is None else mixer
        assert {name: getattr(config, name) for name in mixer} == mixer
        off = (config.sampling, config.hysteresis, config.explore_fraction, config.reward_scale)
        assert off == ("uniform", 1.0, 0.0, 1.0)


def test_members_are_every_combination_with_seeds_fastest():
    members = make_members("avf-vdn", Additive(), "paper", {}, [7, 9], {"gamma": [0.9, 0.5], "batch_size": [4, 8]})
    assert [(m.seed, m.swept["gamma"], m.swept["batch_size"]) for m in members] == [
        (seed, gamma, batch) for gamma in (0.9, 0.5) for batch in (4, 8) for seed in (7, 9)
    ]
    assert [m.index for m in members] == list(range(8))
    groups = group_members(members)
    assert [[m.index for m in group] for group in groups] == [[0, 1, 4, 5], [2, 3, 6, 7]]


@pytest.mark.parametrize(
    ("algorithm", "settings", "message"),
    [
        ("mac-ippo", {"num_envs": 3, "minibatches": 2}, "num_envs is 3, but must be a multiple of minibatches=2"),
        ("tomacvf-qmix", {"encoding_size": 7}, "encoding_size is 7, but must be even"),
        ("tomacvf-qmix", {"attention_heads": 3}, "attention_width is 32, but must be a multiple of"),
        ("mac-dec-ddrqn", {"exploration_switch": True}, "needs centralised_exploration=True"),
        ("avf-qmix", {"reward_scheme": "own"}, "td_lambda=0.3 chains rows"),
    ],
)
def test_values_that_do_not_go_together_are_refused_before_anything_is_built(algorithm, settings, message):
    with pytest.raises(ValueError, match=message):
        configure(algorithm, "tuned", make("BoxPushing-6"), settings)


def test_a_preset_that_is_no_name_is_refused():
    with pytest.raises(ValueError, match=r"unknown preset \['tuned'\] of avf-vdn; "):
        configure("avf-vdn", ["tuned"], make("BoxPushing-6"), {})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sedes": 3}, "unknown hyperparameter 'sedes'; did you mean seeds"),
        ({"total_timesteps": 3}, "unknown hyperparameter 'total_timesteps'; did you mean episodes"),
        ({"horizon": 9}, "horizon is an option of BoxPushing-6: set it in env_options, which are not swept"),
    ],
)
def test_what_is_no_setting_is_led_to_where_it_belongs(given, message):
    with pytest.raises(ValueError, match=message):
        jaxmac.train("avf-vdn", "BoxPushing-6", progress=False, **given)


def test_what_does_not_go_together_is_refused_by_make_algorithm_too():
    env = make("BoxPushing-6")
    config = dataclasses.replace(configure("tomacvf-qmix", "tuned", env, {}), attention_heads=3)
    with pytest.raises(ValueError, match="but must be a multiple of attention_heads=3"):
        make_algorithm("tomacvf-qmix", env, config)


@pytest.mark.parametrize("seeds", [0, -1, [], [1, 1], [-1], True, 2.0, [0.7], ["a"], "ab", np.int64(0)])
def test_bad_seeds(seeds):
    with pytest.raises(ValueError, match=r"^seeds is .*, but must be "):
        seed_list(seeds)


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        ({"gama": [1.0]}, "unknown hyperparameter 'gama'; did you mean gamma"),
        ({"kernels": [2, 4]}, "kernels is a setting of mixer qplex; avf-vdn has mixer vdn"),
        ({"gamma": 0.9}, "must be a non-empty list"),
        ({"gamma": []}, "must be a non-empty list"),
        ({"gamma": [2.0]}, "gamma is 2.0, but must be"),
        ({"num_envs": [4, 8]}, "num_envs cannot be swept"),
    ],
)
def test_bad_sweeps(sweep, message):
    with pytest.raises(ValueError, match=message):
        make_members("avf-vdn", Additive(), "paper", {}, 1, sweep)


def test_every_field_says_what_it_means_and_floats_that_sweep_are_traced():
    for field in dataclasses.fields(AVFConfig):
        assert field.metadata["help"]
    assert {"learning_rate", "gamma", "polyak", "reward_scale", "hysteresis"} <= set(traced_fields(AVFConfig))
    assert "batch_size" not in traced_fields(AVFConfig)


@pytest.mark.parametrize("algorithm", ["avf-qmix", "tomacvf-qmix", "mac-dec-q"])
def test_the_number_of_updates_follows_the_number_of_episodes(algorithm):
    """Three updates for eight episodes, however long these are."""

    class Unknown(Additive):
        steps = 30

    assert configure(algorithm, "tuned", Unknown(), {}).train_freq == 80
    assert configure(algorithm, "tuned", make("Warehouse-D"), {}).train_freq == 400
    assert configure(algorithm, "tuned", make("BoxPushing-10"), {}).train_freq == 267
