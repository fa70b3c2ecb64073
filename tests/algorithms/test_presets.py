"""The preset `tuned` fits every environment, also one that nobody has heard of, and every algorithm."""

import pytest
from support.probes import Asynchronous
from support.selection import slow_except

from jaxmac import envs
from jaxmac.algorithms import ALGORITHMS, configure, list_algorithms, make_algorithm
from jaxmac.algorithms.presets.recipe import recipe
from jaxmac.config import settings_of

VALUE_BASED = [name for name in list_algorithms() if "learning_starts" in settings_of(ALGORITHMS[name].config)]
CHANGED = {  # settings that a family takes otherwise
    "avf": set(),
    "tomacvf": {"td_lambda"},  # it counts per primitive step
    "mac": {"share_parameters", "hidden_size"},
    "parallel": {"share_parameters"},
}
OWN_RATE = dict.fromkeys(
    ("tomacvf", "mac-dec-q", "mac-cen-q", "mac-dec-ddrqn", "parallel-mac-dec-ddrqn"), "Warehouse"
)

ONE_OF_EACH_FAMILY = ["avf-qmix", "tomacvf-qmix", "mac-dec-q", "mac-cen-q", "mac-iaicc", "mac-mappo"]


@pytest.fixture(scope="module")
def environments():
    """All that are registered, and an unknown one."""
    return [*map(envs.make, envs.list_ids()), Asynchronous()]


@pytest.mark.parametrize("algorithm", slow_except(ONE_OF_EACH_FAMILY, list_algorithms()))
def test_tuned_configures_on_every_environment(algorithm, environments):
    """Whatever must be in the replay before learning starts fits into it."""
    for env in environments:
        config = configure(algorithm, "tuned", env, {})
        if algorithm in VALUE_BASED:
            assert max(config.learning_starts, config.batch_size) <= config.replay_episodes, env.name


def test_only_tuned_has_what_the_papers_do_not(environments):
    """Lambda-returns, layer normalisation and another memory are off in `paper` and `reference`."""
    seen = set()
    for algorithm in list_algorithms():
        for preset in set(ALGORITHMS[algorithm].presets) - {"tuned"}:
            for env in environments[::7]:
                config = vars(configure(algorithm, preset, env, {}))
                found = config.get("td_lambda", 0.0), config.get("layer_norm", False), config.get("memory", "gru")
                assert found == (0.0, False, "gru"), (algorithm, preset, env.name)
            seen.add(preset)
    assert seen == {"paper", "reference"}


def test_all_of_the_recipe_reaches_the_config(environments):
    for env in environments:
        values, config = recipe(env), configure("avf-qmix", "tuned", env, {})
        assert {name: vars(config).get(name) for name in values} == values, env.name


@pytest.mark.parametrize("algorithm", VALUE_BASED)
def test_every_value_based_algorithm_gets_the_recipe(algorithm, environments):
    """As far as it has the settings."""
    for env in [*environments[::5], envs.make("Warehouse-D"), envs.make("Warehouse-D1"), envs.make("Warehouse-T")]:
        config, values = configure(algorithm, "tuned", env, {}), recipe(env)
        same = set(values) & set(vars(config)) - CHANGED[algorithm.partition("-")[0]]
        family = algorithm.partition("-")[0] if algorithm.startswith("tomacvf") else algorithm
        if env.name.startswith(OWN_RATE.get(family, "nowhere")):
            assert config.learning_rate == 3e-3, env.name  # what their own sweeps found
            same.remove("learning_rate")
        assert {name: getattr(config, name) for name in same} == {name: values[name] for name in same}, env.name


@pytest.mark.parametrize(
    ("algorithm", "preset", "env_id", "horizon"),
    [("tomacvf-qmix", "paper", "Overcooked-A", 4), ("mac-cen-q", "reference", "BoxPushing-10", 1000)],
)
def test_presets_fit_short_and_long_episodes(algorithm, preset, env_id, horizon):
    env = envs.make(env_id, horizon=horizon)
    make_algorithm(algorithm, env, configure(algorithm, preset, env, {}))


def test_replays_of_the_reference_hold_a_batch_of_long_episodes():
    config = configure("mac-dec-q", "reference", envs.make("CaptureTarget-10", horizon=2000), {})
    assert config.replay_episodes == config.batch_size == 32
