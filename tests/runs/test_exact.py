"""What `train` accepts comes back from config.json as it was; what JSON cannot hold is refused before training."""

import enum
import json
import random
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
from support.probes import Additive
from support.registries import registered_only_here

import jaxmac
from jaxmac.algorithms.registry import ALGORITHMS, config_class_of
from jaxmac.config import field_types, settings_of
from jaxmac.envs import register_environment
from jaxmac.envs.arguments import check_seed, python_value
from jaxmac.runs.exact import json_description, json_text, json_value
from jaxmac.training import preparation


@pytest.fixture
def untrained(monkeypatch):
    """`jaxmac.train` writes the run directory and trains nothing."""

    class Session:
        def __init__(self, result, directory, *more, **others):
            self.result, self.directory = result, directory

        def run(self, programs):
            self.directory.begin(self.result.config)

    monkeypatch.setattr("jaxmac.training.loop.Session", Session)
    program = SimpleNamespace(algorithm=SimpleNamespace(diagnostics=()))
    monkeypatch.setattr(preparation, "Program", lambda *arguments, **options: program)
    monkeypatch.setattr(preparation, "announce", lambda *arguments: 0)


class Colour(enum.StrEnum):
    RED = "red"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.float32(0.1), 0.1),
        (np.float64(1e-300), 1e-300),
        (jnp.float32(0.1), 0.1),
        (jnp.int32(7), 7),
        (jnp.bfloat16(0.5), 0.5),
        (np.array(5), 5),
        ((1, [np.int8(2), None]), [1, [2, None]]),
        ({"a": (True, np.float32(3))}, {"a": [True, 3.0]}),
        (Colour.RED, "red"),
        (np.str_("text"), "text"),
    ],
)
def test_values_that_json_holds(value, expected):
    found = json_value("it", value)
    assert found == expected and type(found) is type(expected)
    assert json.loads(json_text({"it": value})) == {"it": expected}


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        np.float32("inf"),
        np.arange(3),
        {1, 2},
        {1: 2},
        {"a": {"b": object()}},
        b"bytes",
        1j,
        2**70,
        "\ud800",
        print,
        [[[float("nan")]]],
    ],
)
def test_values_that_json_does_not_hold(value):
    with pytest.raises(ValueError, match=r"^it") as caught:
        json_value("it", value)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


def test_an_integer_of_thousands_of_digits_is_refused():
    with pytest.raises(ValueError, match=r"^it is a int, which config.json cannot hold"):
        json_value("it", 10**5000)


def test_a_list_inside_itself_is_refused():
    endless = []
    endless.append(endless)
    with pytest.raises(ValueError, match=r"^it\[0\].* is .*, which config.json cannot hold"):
        json_value("it", endless)


def test_an_environment_is_described_by_what_json_holds():
    options = {"speed": np.float32(0.5), "draw": print, "table": np.arange(2)}
    assert json_description(options) == {
        "speed": 0.5,
        "draw": "a builtin_function_or_method",
        "table": "a ndarray",
    }


@pytest.mark.parametrize("seed", [-1, 2**32, 1.0, True, "1", None, np.int64(-3), 2**70])
def test_seeds_that_are_those_of_others_are_refused(seed):
    """A key has 32 bits: -1 would be 4294967295, and 2^32 would be 0."""
    with pytest.raises(ValueError, match=r"^seed is .*, but must be an integer of 0 to 4294967295$"):
        check_seed(seed)


def test_seeds_of_all_kinds_of_integers():
    assert [check_seed(seed) for seed in (0, 2**32 - 1, np.uint32(5), jnp.int32(6))] == [0, 2**32 - 1, 5, 6]


def test_options_are_numbers_of_python(untrained, tmp_path):
    """Stored as a text, `horizon` made a run that could not be opened."""
    options = {"horizon": np.int64(20), "penalty": jnp.float32(-0.1), "random_init": np.bool_(True)}
    result = jaxmac.train("avf-vdn", "BoxPushing-4", seeds=jnp.int32(2), env_options=options, out=tmp_path / "run")
    expected = {"horizon": 20, "penalty": -0.1, "random_init": True}
    assert json.loads((tmp_path / "run" / "config.json").read_text())["env_options"] == expected
    loaded = jaxmac.load(tmp_path / "run", need_rows=False)
    assert loaded.env.options == result.env.options and type(loaded.env.horizon) is int
    assert loaded.specs == result.specs and len(loaded.specs) == 2


def test_a_swept_value_takes_the_place_of_one_that_all_members_share(untrained, tmp_path):
    shared = {"gamma": 0.5, "batch_size": 8}
    jaxmac.train("avf-vdn", "BoxPushing-4", seeds=1, sweep={"gamma": [0.9, 0.8]}, out=tmp_path / "run", **shared)
    loaded = jaxmac.load(tmp_path / "run", need_rows=False)
    assert [spec.config.gamma for spec in loaded.specs] == [0.9, 0.8]
    assert loaded.config["hyperparameters"] == {"batch_size": 8}


def test_a_table_of_an_option_is_the_same_after_loading(untrained, tmp_path):
    speeds = ((np.int64(20), 25, 30, 35), (40, 45, 50, 55))
    env = jaxmac.make("Warehouse-D", human_speeds=[[20, 25, 30, 35], [40, 45, 50, 55]])
    assert env.options == jaxmac.make("Warehouse-D", human_speeds=speeds).options
    result = jaxmac.train(
        "avf-vdn", "Warehouse-D", seeds=1, env_options={"human_speeds": speeds}, out=tmp_path / "run"
    )
    assert jaxmac.load(tmp_path / "run", need_rows=False).env.options == result.env.options


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"env_options": [1]}, r"^env_options is \[1\], but must be a dict, option -> value$"),
        ({"env_options": {1: 2}}, r"^env_options is \{1: 2\}, but must be a dict"),
        ({"env_options": {"horizon": np.arange(2)}}, r"^horizon is .*config.json cannot hold.*horizon.tolist\(\)$"),
        ({"env_options": {"penalty": float("nan")}}, r"^penalty is nan, which config.json cannot hold"),
        ({"seeds": [1, np.int64(1)]}, r"^seeds is .*, but must be a number, or distinct integers"),
        ({"seeds": b"ab"}, r"^seeds is b'ab', but must be"),
        ({"seeds": {0: 1}}, r"^seeds is \{0: 1\}, but must be"),
        ({"seeds": np.array([[1]])}, r"^seeds is .*, but must be"),
        ({"seeds": 99_999_999_999}, r"^seeds is 99999999999, but must be <= 1000000"),
        ({"sweep": {"hidden_size": [8, 8]}}, r"^sweep\['hidden_size'\]=\[8, 8\]: two values are the same"),
        ({"sweep": {"gamma": [1, 1.0]}}, r"^sweep\['gamma'\].*: two values are the same"),
        (
            {"sweep": {"learning_rate": [1e-3, 1e-3 + 1e-12]}},
            r"two values are the same \(after rounding to float32\)$",
        ),
        ({"sweep": {"gamma": jnp.array([0.5, 0.5])}}, r"two values are the same"),
        ({"sweep": [1]}, r"^sweep is \[1\], but must be a dict"),
        ({"sweep": {1: [2]}}, r"^sweep is \{1: \[2\]\}, but must be a dict"),
        ({"sweep": {"gamma": "0.9"}}, r"must be a non-empty list"),
        ({"sweep": {"gamma": {0.9}}}, r"must be a non-empty list"),
        ({"episodes": 10**12}, r"^episodes is 1000000000000, but must be <= 2000000000$"),
        ({"episodes": jnp.float32(3)}, r"^episodes is .*, but must be"),
        ({"learning_rate": 10**400}, r"^learning_rate is inf, but must be"),
        (
            {"sweep": {"sampling": ["tournament", "windows"]}, "preset": "paper"},
            r"^members of this sweep differ in replay_tournament, which is not swept: give or sweep it, too$",
        ),
        ({"overwrite": "no"}, r"^overwrite is 'no', but must be True or False$"),
        ({"checkpoint_replay": 0}, r"^checkpoint_replay is 0, but must be True or False$"),
    ],
)
def test_what_cannot_be_stored_is_refused_before_training(untrained, tmp_path, arguments, message):
    given = {"seeds": 1, **arguments}
    with pytest.raises(ValueError, match=message) as caught:
        jaxmac.train("avf-vdn", "BoxPushing-4", out=tmp_path / "run", **given)
    assert "\n" not in str(caught.value) and not (tmp_path / "run").exists()


def test_too_many_members_are_refused_by_the_estimate_of_one(tmp_path, monkeypatch):
    """A million members took 97 seconds to be refused."""
    monkeypatch.setattr("jaxmac.training.checks.make_members", one_member(preparation.make_members))
    monkeypatch.setattr(preparation, "make_members", lambda *arguments: pytest.fail("all members were made"))
    with pytest.raises(MemoryError, match=r"^this run needs about .* what would fit: at most \d+ members at once"):
        jaxmac.train("avf-vdn", "BoxPushing-4", seeds=1_000_000, out=tmp_path / "run")
    with pytest.raises(MemoryError, match=r"at most \d+ members at once"):
        jaxmac.train("avf-vdn", "BoxPushing-4", seeds=10, sweep={"gamma": np.linspace(0.1, 0.9, 50_000)})


def one_member(make):
    def made(algorithm, env, preset, hyperparameters, seeds, sweep):
        assert len(seeds) == 1 and sweep is None
        return make(algorithm, env, preset, hyperparameters, seeds, sweep)

    return made


def as_given(draw, value):
    """A number of Python in one of the forms in which users give it."""
    if isinstance(value, bool):
        return draw.choice([value, np.bool_(value), jnp.bool_(value)])
    if isinstance(value, int):
        return draw.choice([value, np.int32(value), np.int64(value), jnp.int32(value), np.array(value)])
    if isinstance(value, float):
        return draw.choice([value, np.float32(value), np.float64(value), jnp.float32(value), np.float16(value)])
    return value


def random_value(draw, field):
    """A value of a setting within its range."""
    meta, default = field.metadata, field.default
    if tuple(meta["choices"]):
        return draw.choice(tuple(meta["choices"]))
    if isinstance(default, bool):
        return draw.random() < 0.5
    low = meta["low"] if meta["low"] is not None else meta["above"] if meta["above"] is not None else 0
    high = meta["high"] if meta["high"] is not None else max(low, abs(default)) * 2 + 1
    if isinstance(default, float):
        return draw.uniform(low, high)
    return draw.randint(int(low) + (meta["above"] is not None), int(high))


def random_run(draw):
    """The arguments of a random run, in all forms of numbers."""
    algorithm = draw.choice(tuple(ALGORITHMS))
    fields = settings_of(config_class_of(algorithm, {}))
    names = [name for name, field in fields.items() if not field.metadata["chooses"]]
    given = {
        name: as_given(draw, random_value(draw, fields[name])) for name in draw.sample(names, draw.randint(0, 6))
    }
    swept = [name for name in draw.sample(names, draw.randint(0, 2)) if name not in given]
    sweep = {name: [as_given(draw, random_value(draw, fields[name])) for _ in range(3)] for name in swept}
    seeds = draw.choice([3, np.int64(2), jnp.int32(2), [4, 1], np.array([5, 2]), jnp.array([7]), range(2, 5)])
    options = {"horizon": as_given(draw, draw.randint(1, 90)), "penalty": as_given(draw, draw.uniform(-9, 0))}
    return algorithm, {"seeds": seeds, "env_options": options, "sweep": sweep, **given}


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 6))])
def test_whatever_train_accepts_comes_back_equal(untrained, tmp_path, seed):
    draw, accepted = random.Random(seed), 0
    for number in range(20):
        algorithm, arguments = random_run(draw)
        out = tmp_path / str(number)
        try:
            result = jaxmac.train(algorithm, "BoxPushing-4", out=out, progress=False, **arguments)
        except ValueError as error:
            assert "\n" not in str(error) and not out.exists(), error
            continue
        accepted += 1
        loaded = jaxmac.load(out, need_rows=False)
        assert loaded.specs == result.specs and loaded.members == result.members, arguments
        assert loaded.config == result.config and loaded.env.options == result.env.options, arguments
        for spec in loaded.specs:
            kinds = field_types(type(spec.config))
            assert all(type(value) is kinds[name] for name, value in vars(spec.config).items())
    assert accepted >= 8


def test_an_instance_with_options_of_any_kind_is_described(untrained, tmp_path):
    class Odd(Additive):
        def __init__(self):
            super().__init__()
            self.options = {"speed": np.float32(0.5), "draw": print}

    jaxmac.train("avf-vdn", Odd(), seeds=1, out=tmp_path / "run")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["env_options"] == {"speed": 0.5, "draw": "a builtin_function_or_method"}
    assert jaxmac.load(tmp_path / "run", Odd(), need_rows=False).specs


def test_options_of_an_environment_from_outside_are_those_it_is_built_from(untrained, tmp_path):
    """The factory gets in `train` what it gets in `load`: lists, and numbers of Python."""
    seen = []

    class Listed(Additive):
        def __init__(self, *, weights=()):
            seen.append(weights)
            super().__init__()

    with registered_only_here():
        register_environment("Listed", Listed)
        options = {"weights": (np.float32(0.5), {"a": (1, 2)})}
        jaxmac.train("avf-vdn", "Listed", seeds=1, env_options=options, out=tmp_path / "run")
        jaxmac.load(tmp_path / "run", need_rows=False)
        assert seen == [[0.5, {"a": [1, 2]}]] * 2


def test_python_value_leaves_everything_else_alone():
    array = np.arange(3)
    assert python_value(array) is array and python_value("x") == "x" and python_value(None) is None
