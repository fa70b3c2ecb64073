"""What happens between calls of one session: things that change, and results that outlive their run."""

import collections
import dataclasses
import functools
import os
import pickle
import threading

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.line import Line
from support.probes import Asynchronous
from support.registries import registered_only_here
from support.runs import ENV, TINY, copied, tiny

import jaxmac
from jaxmac import envs
from jaxmac.algorithms import configure
from jaxmac.algorithms.registry import mixer_spec_of
from jaxmac.errors import RunDirectoryError, RunNote
from jaxmac.mixers import MIXERS, register_mixer
from jaxmac.networks.choice import take_chosen
from jaxmac.runs.contents import attributes_of, function_key, plain_digest
from jaxmac.training import program
from jaxmac.training.member_functions import _environment_key

STEP_REWARD = -0.1


class Settings:
    """A plain object, whose `repr` shows nothing of what it holds."""

    scale = 1.0


class Walk(Line):
    """A line with rewards that come from many places."""

    bonus = 1.0

    def __init__(self, **rest):
        super().__init__(**rest)
        self.settings, self.reward = Settings(), STEP_REWARD

    def paid(self):
        return STEP_REWARD * 2 + self.bonus


def changed(monkeypatch, env, how):
    if how == "class attribute":
        monkeypatch.setattr(Walk, "bonus", 1000.0)
    elif how == "method":
        monkeypatch.setattr(Walk, "paid", lambda self: 3.0)
    elif how == "constant of the module":
        monkeypatch.setitem(Walk.paid.__globals__, "STEP_REWARD", -5.0)
    elif how == "plain object":
        env.settings.scale = 100.0
    elif how == "class of an object":
        env.settings.__class__ = type("Settings", (Settings,), {"scale": 2.0})
    elif how == "function":
        env.shaping = lambda x: x + 1
    elif how == "dict without order":
        env.table = {1: 2, "a": 4}


CHANGES = ["class attribute", "method", "constant of the module", "plain object", "class of an object", "function"]


@pytest.mark.parametrize("how", [*CHANGES, "dict without order"])
def test_every_change_of_an_environment_makes_it_another_one(how, monkeypatch):
    env = Walk()
    env.shaping, env.table = lambda x: x, {1: 2, "a": 3}
    before = attributes_of(env)
    assert attributes_of(env) == before and hash(before) == hash(attributes_of(env))
    changed(monkeypatch, env, how)
    assert attributes_of(env) != before


class Params(dict):
    """A container with a class of its own."""


class Forwards:
    """Raises whatever is asked of it."""

    def __getattr__(self, name):
        raise ValueError(name)


class Cell:
    """A link of a chain."""

    next = None


def helper(x):
    return x


class Helped(Line):
    """Its method calls a function of its module."""

    def paid(self):
        return helper(1)


def scaled(factor):
    def decorate(function):
        @functools.wraps(function)
        def wrapper(x):
            return factor * function(x)

        return wrapper

    return decorate


def test_another_choice_among_what_it_holds_counts():
    env = Walk()
    env.each = [Settings(), Settings()]
    env.used = env.each[0]
    before = attributes_of(env)
    env.used = env.each[1]
    assert attributes_of(env) != before


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Params(offset=1), Params(offset=2)),
        (collections.Counter("a"), collections.Counter("aa")),
        (scaled(1)(helper), scaled(9)(helper)),
        (({1: 2, "a": 3},), ({1: 2, "a": 4},)),
    ],
)
def test_what_containers_and_wrappers_hold_counts(first, second):
    env = Walk()
    env.held = first
    before = attributes_of(env)
    env.held = second
    assert attributes_of(env) != before


def test_a_function_of_the_same_module_counts(monkeypatch):
    env = Helped()
    before = attributes_of(env)
    monkeypatch.setattr(helper, "__code__", (lambda x: x + 5).__code__)  # as a cell or %autoreload defines it anew
    assert attributes_of(env) != before


def test_what_raises_or_has_no_end_is_no_error():
    chain = first = Cell()
    for _ in range(5000):
        chain.next = Cell()
        chain = chain.next
    for odd in (Forwards(), first, [{1: 2, "a": 3}], threading.Lock(), object(), (x for x in "a")):
        env = Walk()
        env.odd = odd
        assert attributes_of(env) == attributes_of(env)
        assert function_key(functools.partial(helper, odd)) == function_key(functools.partial(helper, odd))


@pytest.mark.parametrize("make", [object, threading.Lock, lambda: nn.Dense(3), lambda: np.random.default_rng(0)])
def test_what_has_an_address_or_a_number_is_the_same_in_the_next_instance(make):
    keys = []
    for _ in range(2):
        env = Walk()
        env.odd = make()
        keys.append(attributes_of(env))
    assert keys[0] == keys[1]


def test_an_environment_that_contains_itself_has_an_end():
    env = Walk()
    env.settings.env, env.again = env, env.paid
    assert attributes_of(env) == attributes_of(env)


def test_a_factory_that_builds_something_else_now_is_another_environment():
    with registered_only_here():
        pay = [-0.1]

        def make():
            env = Walk()
            env.reward = pay[0]
            return env

        envs.register("Changing", make)
        before = _environment_key(envs.make("Changing"), "Changing")
        assert _environment_key(envs.make("Changing"), "Changing") == before
        pay[0] = -5.0
        assert _environment_key(envs.make("Changing"), "Changing") != before


@pytest.mark.parametrize("env_id", ["BoxPushing-10", "Warehouse-D", "Overcooked-A", "CaptureTarget-10"])
def test_the_same_id_is_compiled_once(env_id):
    assert _environment_key(envs.make(env_id), env_id) == _environment_key(envs.make(env_id), env_id)


def test_bound_arrays_count_in_full():
    def with_table(table):
        return function_key(jax.tree_util.Partial(np.add, table))

    table = np.zeros(5000)
    before = with_table(table)
    assert with_table(table.copy()) == before
    table[2500] = 1e-9
    assert with_table(table) != before


class Sum(nn.Module):
    """The sum of the utilities."""

    factorised = True

    def __call__(self, inputs):
        return take_chosen(inputs.q_all, inputs.chosen).sum(-1)


def test_a_mixer_that_is_registered_with_another_head_is_another_one():
    with registered_only_here():
        register_mixer("mysum", Sum)
        before = mixer_spec_of("avf-mysum")
        MIXERS.unregister("mysum")
        register_mixer("mysum", Sum, dueling="centred")
        assert mixer_spec_of("avf-mysum") != before and mixer_spec_of("mac-dec-q") is None


def test_the_default_key_type_may_change_in_a_session():
    """A compiled function that keeps the first one would train with it, and config.json name the other."""
    members = jaxmac.runs.members.make_members("avf-vdn", ENV, "tuned", TINY, 1, None)
    for kind in ("threefry2x32", "rbg"):
        with jax.default_prng_impl(kind):
            made = program.Program("avf-vdn", ENV, members)
            assert str(jax.random.key_impl(made.keys)) == kind


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("sessions") / "run"
    return tiny(out), out


@pytest.mark.slow
def test_a_result_does_not_answer_for_another_run(run, tmp_path):
    out = copied(run[1], tmp_path)
    result = jaxmac.load(out, ENV)
    jaxmac.resume(out, env=ENV, episodes=96, progress=False)
    with pytest.raises(RunDirectoryError, match="was trained further since it was read: load it again"):
        result.learned()
    result = jaxmac.load(out, ENV)
    again = tiny(out, seeds=[7], overwrite=True)
    with pytest.raises(RunDirectoryError, match="was replaced by another run since it was read: load it again"):
        result.learned()
    assert again.learned(best=True) is not None
    again.learners.pop((0, "best"))  # as if it had not been read yet
    tiny(out, overwrite=True)
    with pytest.raises(RunDirectoryError, match="was replaced"):
        again.learned(best=True)
    result, other = jaxmac.load(out, ENV), Asynchronous()
    other.pay = 3.0  # the same class and settings
    tiny(out, other, overwrite=True)
    with pytest.raises(RunDirectoryError, match="was replaced"):
        result.learned()


def test_the_best_learner_is_played_by_the_program_of_the_last_one(run):
    result = jaxmac.load(run[1], ENV)
    result.learners[0] = jax.device_get(run[0].learners[0])  # as training leaves them; the best is read from disk
    jaxmac.evaluate(result, episodes=4), jaxmac.evaluate(result, episodes=4, best=True)
    assert [play._cache_size() for _, _, play in result.players.values()] == [1]


def test_a_result_without_a_checkpoint_does_not_take_that_of_a_later_run(run, tmp_path):
    out, elsewhere = copied(run[1], tmp_path), tmp_path / "elsewhere"
    (out / "checkpoints").rename(elsewhere)
    result = jaxmac.load(out, ENV)
    elsewhere.rename(out / "checkpoints")
    with pytest.raises(RunDirectoryError, match="was trained further since it was read: load it again"):
        result.learned()


def test_a_relative_path_is_that_of_the_moment(run, tmp_path, monkeypatch):
    copied(run[1], tmp_path)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    result = jaxmac.load("run", ENV)
    monkeypatch.chdir("elsewhere")
    assert result.learned() is not None and result.path == tmp_path / "run"


@pytest.mark.slow
def test_the_current_directory_may_change_while_a_run_goes_on(tmp_path, monkeypatch):
    class Moves:
        def __init__(self, path, config, members):
            pass

        def write(self, row):
            os.chdir(tmp_path / "elsewhere")

        def close(self):
            pass

    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    with registered_only_here():
        jaxmac.register_sink("moves", Moves)
        assert tiny("run", log="moves").status == "finished"
    assert not list((tmp_path / "elsewhere").iterdir()) and (tmp_path / "run" / "curve.png").exists()


def test_a_result_can_be_handed_to_another_process(run):
    result, _ = run
    jaxmac.evaluate(result, episodes=4)
    again = pickle.loads(pickle.dumps(result))
    assert again.specs[0].config == result.specs[0].config and again.players == {}
    assert type(again.specs[0].config) is type(result.specs[0].config)
    jax.tree.map(np.testing.assert_array_equal, again.learned(1).learner, result.learned(1).learner)
    config = configure("avf-qplex", "tuned", ENV, {"kernels": 6})
    assert pickle.loads(pickle.dumps(config)) == config and dataclasses.replace(config).kernels == 6


def test_an_environment_may_change_between_two_evaluations():
    env = Asynchronous()
    result = jaxmac.train("avf-vdn", env, seeds=1, episodes=16, progress=False, **TINY)
    before = jaxmac.evaluate(result, episodes=4)[0]["mean"]
    outcome = env.outcome
    env.outcome = lambda *given: (outcome(*given)[0] - 100.0, outcome(*given)[1])
    assert jaxmac.evaluate(result, episodes=4)[0]["mean"] < before - 50


def test_another_instance_is_noted(run, tmp_path):
    out = copied(run[1], tmp_path)
    other = Asynchronous()
    assert plain_digest(other) == plain_digest(Asynchronous())
    other.hidden = jnp.float32(-9.0)
    with pytest.warns(RunNote, match="env= has other attributes than the environment that the run was trained on"):
        jaxmac.load(out, other)


def test_rows_of_another_run_are_refused(run, tmp_path):
    out = copied(run[1], tmp_path)
    tiny(tmp_path / "other", learning_rate=0.01, train_freq=12)
    (out / "metrics.csv").write_bytes((tmp_path / "other" / "metrics.csv").read_bytes())
    with pytest.raises(RunDirectoryError, match=r"metrics.csv is of another run: member 0 has"):
        jaxmac.resume(out, env=ENV, episodes=96, progress=False)
