"""Options of JAX that hold for a whole process: jaxmac works under each, and its numbers stay what they are."""

import contextlib
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.probes import Asynchronous
from support.runs import FAMILIES, TINY

import jaxmac
from jaxmac.algorithms.stochastic_policy import sampled_policy
from jaxmac.networks.agent import make_agent_networks
from jaxmac.networks.memory import memory_of
from jaxmac.runs.members import make_members
from jaxmac.training.program import Program

TESTS = Path(__file__).parents[1]
OPTIONS = {
    "none": {},
    "64 bits": {"JAX_ENABLE_X64": "1"},
    "strict ranks": {"JAX_NUMPY_RANK_PROMOTION": "raise"},
    "no NaN": {"JAX_DEBUG_NANS": "1"},
    "no jit": {"JAX_DISABLE_JIT": "1"},
    "rbg": {"JAX_DEFAULT_PRNG_IMPL": "rbg"},
}
PHYSICS = ("BoxPushing-4", "Warehouse-D", "CaptureTarget-2", "Overcooked-A")
ENVIRONMENTS = [f"{name}{kind}" for name in PHYSICS for kind in ("", "-primitive")]
SAME = ("64 bits", "strict ranks", "no NaN")  # options that leave every number as it is, up to rounding
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


@contextlib.contextmanager
def strictest():
    """All options at once that leave the numbers as they are, in this process."""
    with jax.enable_x64(True), jax.numpy_rank_promotion("raise"), jax.debug_nans(True):
        yield


@pytest.mark.slow
def test_half_a_run_under_the_options_and_half_without_them_is_the_run_without_them(tmp_path):
    env, settings = Asynchronous(), {**TINY, "seeds": 1, "progress": False, "check_environment": False}
    whole = jaxmac.train("avf-vdn", env, episodes=48, **settings)
    with strictest():
        jaxmac.train("avf-vdn", env, episodes=24, out=tmp_path / "run", **settings)
    resumed = jaxmac.resume(tmp_path / "run", env=env, episodes=48, progress=False)
    for name, column in whole.metrics.items():
        if name != "wall_seconds":
            np.testing.assert_allclose(resumed.metrics[name], column, **CLOSE, err_msg=name)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **CLOSE), resumed.learners, whole.learners)
    types = jax.tree.map(lambda x: x.dtype, whole.learners)
    assert jax.tree.map(lambda x: x.dtype, resumed.learners) == types
    assert np.isfinite(whole.metrics["loss"][-1]).all(), "no update was made"


def test_an_agent_with_nothing_to_choose_from_samples_macro_action_0():
    """As wherever the maximum over nothing is taken, and without NaN on the way, which `jax_debug_nans` refuses."""
    env = Asynchronous()
    networks = make_agent_networks(env.obs_sizes, env.num_actions, hidden_size=4)

    @jax.jit
    def choices(key):
        policy = sampled_policy(networks, networks.init(key), env.num_actions)
        _, ts = jax.vmap(env.reset)(jax.random.split(key, 16))
        ts = ts.replace(avail=ts.avail.at[:, 0].set(False))
        return policy.act(key, policy.initial_carry(16), ts, jnp.zeros(16, jnp.float32))[1]

    chosen = choices(jax.random.key(2))
    assert (chosen[:, 0] == 0).all()
    assert len(set(chosen[:, 1].tolist())) == 2


@pytest.mark.parametrize("name", [pytest.param("gru", marks=pytest.mark.slow), "mingru"])
def test_a_memory_has_the_same_outputs_and_gradients_under_the_strictest_options(name):
    memory = memory_of(name, None)(4)
    inputs = jax.random.normal(jax.random.key(0), (5, 3, 2), jnp.float32)
    advance = jax.random.bernoulli(jax.random.key(1), 0.7, (5, 3))
    hidden = jnp.full((3, 4), 0.5, jnp.float32)
    params = memory.init(jax.random.key(2), hidden, inputs, advance)

    def outputs(params, inputs, advance):
        last, states = memory.apply(params, hidden, inputs, advance)
        one = memory.apply(params, last, inputs[:1], advance[:1])[1]  # a single entry, as when acting
        return (states**2).sum() + (one**2).sum()

    plain = jax.jit(jax.value_and_grad(outputs))(params, inputs, advance)
    with strictest():
        strict = jax.jit(jax.value_and_grad(outputs))(params, inputs, advance)
    assert jax.tree.map(lambda x: x.dtype, strict) == jax.tree.map(lambda x: x.dtype, plain)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **CLOSE), strict, plain)


def test_the_contract_of_an_environment_is_checked_in_the_same_episodes_whatever_the_type_of_keys():
    with jax.default_prng_impl("rbg"):
        jaxmac.check_environment(Asynchronous())


@pytest.mark.slow
def test_a_run_goes_on_with_the_type_of_keys_that_it_began_with(tmp_path):
    env, settings = Asynchronous(), {**FAMILIES["mac-iaicc"], "progress": False, "eval_every": 8}
    with jax.default_prng_impl("rbg"):
        whole = jaxmac.train("mac-iaicc", env, episodes=16, seeds=2, **settings)
        jaxmac.train("mac-iaicc", env, episodes=8, seeds=2, out=tmp_path / "run", **settings)
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["key_type"] == "rbg"
    resumed = jaxmac.resume(tmp_path / "run", env=env, episodes=16, progress=False)
    for name in ("eval_return", "loss", "train_return"):
        np.testing.assert_allclose(
            resumed.metrics[name], whole.metrics[name], rtol=1e-6
        )  # seven digits in metrics.csv


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """(option, name) -> what `support.under_jax_options` prints of it, in a process with that option."""

    @cache
    def run(option, name):
        folder = tmp_path_factory.mktemp("options")
        command = [sys.executable, "-m", "support.under_jax_options", str(folder), name]
        environment = {**os.environ, "PYTHONPATH": str(TESTS), "JAXTYPING_DISABLE": "1", **OPTIONS[option]}
        done = subprocess.run(command, cwd=TESTS, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout.splitlines()[-1])[name]

    return run


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("option", [option for option in OPTIONS if option != "none"])
def test_an_algorithm_trains_resumes_and_is_evaluated_under_an_option(found, option, name):
    plain, under = found("none", name), found(option, name)
    assert under["types"] == plain["types"]
    assert np.isfinite(under["evaluation"]).all()
    for column, values in under["metrics"].items():
        expected = np.asarray(plain["metrics"][column], float)
        if option == "no jit":  # one member, fewer episodes
            expected = expected[: len(values), :1]
        if option == "rbg":  # other random numbers
            assert np.shape(values) == expected.shape
            assert (np.isfinite(np.asarray(values, float)) == np.isfinite(expected)).all(), column
        else:
            np.testing.assert_allclose(np.asarray(values, float), expected, **CLOSE, err_msg=column)
    if option in SAME:
        np.testing.assert_allclose(under["evaluation"], plain["evaluation"], **CLOSE)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", ENVIRONMENTS)
@pytest.mark.parametrize("option", [option for option in OPTIONS if option != "none"])
def test_an_environment_is_reset_and_stepped_under_an_option(found, option, name):
    plain, under = found("none", name), found(option, name)
    assert {field: value["type"] for field, value in under.items()} == {
        field: value["type"] for field, value in plain.items()
    }
    if option in SAME:
        for field, value in under.items():
            np.testing.assert_allclose(value["sums"], plain[field]["sums"], **CLOSE, err_msg=field)
    if option == "no jit":  # one step instead of six
        for field in ("obs", "avail", "macro_action", "ended", "reward"):
            np.testing.assert_allclose(under[field]["sums"][0], plain[field]["sums"][0], **CLOSE, err_msg=field)


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_a_checkpoint_has_the_same_types_with_64_bits(name):
    """Whatever is stored is float32, int32 or smaller, so that runs go on with and without the option."""
    env = Asynchronous()
    members = make_members(name, env, "tuned", FAMILIES[name], 2, None)
    shapes = Program(name, env, members).shapes()
    with strictest():
        assert Program(name, env, members).shapes() == shapes
