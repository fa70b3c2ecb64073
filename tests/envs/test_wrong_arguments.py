"""Wrong macro-actions and wrong arguments of environments are refused in one line; unusual right ones are not."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.line import Line

import jaxmac
from jaxmac import envs
from jaxmac.envs import Environment, Option, Outcome, WithOptions, check_environment
from jaxmac.envs.multiples import Multiples
from jaxmac.envs.rendering import frame, write_gif


@pytest.fixture(scope="module")
def started():
    """An environment of two agents, and the state at its reset."""
    env = envs.make("BoxPushing-4")
    return env, env.reset(jax.random.key(0))[0]


@pytest.mark.parametrize(
    ("choices", "what"),
    [
        (2, r"int32\[\]"),
        ([2], r"int32\[1\]"),
        ([[2], [3]], r"int32\[2, 1\]"),
        ([2.7, 3.2], r"float32\[2\]"),
        (np.array([True, False]), r"bool\[2\]"),
        ("23", "'23'"),
        ([2**40, 0], r"\[1099511627776, 0\]"),
        ([[1], [2, 3]], r"\[\[1\], \[2, 3\]\]"),
    ],
)
def test_macro_actions_are_an_integer_for_each_agent(started, choices, what):
    env, state = started
    advance = inspect.unwrap(Environment.advance)  # without the type checks of the tests
    with pytest.raises(ValueError, match=rf"^macro_actions is {what}, but must be an integer for each of 2 agents"):
        advance(env, state, choices, env.sample_noise(jax.random.key(1)))


@pytest.mark.parametrize("choices", [[2, 3], (2, 3), np.array([2, 3], np.int64), jnp.array([2, 3], jnp.uint8)])
def test_lists_and_all_types_of_integers_are_macro_actions(started, choices):
    env, state = started
    assert env.step(jax.random.key(1), state, choices)[1].macro_action.tolist() == [2, 3]


class Free(Environment):
    """One agent, whose physics `[physics]` never changes."""

    def __init__(self, physics, **options):
        sizes = {"action_names": [("go $x_$ on",)], "obs_sizes": [1], "state_size": 1, "horizon": 4}
        super().__init__(**(sizes | options))
        self.start = physics

    def initial_physics(self, key):
        return self.start

    def transition(self, physics, macro_actions, started, noise):
        return physics, Outcome(started, macro_actions, 0.0, False)

    def observe(self, physics):
        return jnp.zeros((1, 1))

    def global_state(self, physics):
        return jnp.zeros(1)

    def draw(self, state, ax):
        from jaxmac.envs.rendering import draw_caption

        draw_caption(self, state, ax)


@pytest.mark.parametrize("physics", [{"a": 0, "b": 1.5}, np.full(2, np.nan), (np.float32(np.inf), True)])
def test_physics_may_be_numbers_of_python_and_not_finite(physics):
    check_environment(Free(physics))


def test_sizes_may_be_integers_of_numpy_and_jax():
    assert envs.BoxPushing(np.int64(6), num_agents=np.array(2)).num_agents == 2
    assert envs.CaptureTarget(jnp.int32(2), grid=np.int8(5)).grid == 5


def test_an_environment_below_options_may_name_no_macro_action():
    class Silent(Free):
        def transition(self, physics, macro_actions, started, noise):
            return physics, Outcome(started, macro_actions * 0 - 1, 0.0, False)

    check_environment(WithOptions(Silent(0), [wait()]))


def test_observations_of_64_bits_are_rounded_not_refused():
    class Precise(Free):
        def observe(self, physics):
            return jnp.full((1, 1), 0.1)

    with jax.enable_x64(True):
        assert Precise(0).observe(0).dtype == np.float64
        check_environment(Precise(0))


def test_names_with_dollars_are_drawn_as_they_are():
    env = Free(0)
    env.name = "from $a_$ to $b"
    state, _ = env.step(jax.random.key(0), env.reset(jax.random.key(0))[0], [0])
    assert frame(env, jax.device_get(state)).std() > 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"obs_dtype": "foo"}, "obs_dtype is 'foo', but must be a type of bools, integers or floats"),
        ({"obs_dtype": complex}, "obs_dtype is <class 'complex'>, but must be"),
        ({"obs_multiples": 3}, "obs_multiples is 3, but must be envs.multiples.Multiples or None"),
        ({"obs_sizes": ["x"]}, "an entry of obs_sizes is 'x', but must be an integer of at least 0"),
        ({"state_size": "no"}, "state_size is 'no', but must be an integer"),
        ({"state_size": -1}, "state_size is -1, but must be an integer of at least 0"),
        ({"horizon_is_terminal": "yes"}, "horizon_is_terminal is 'yes', but must be True or False"),
        ({"optimal_return": "best"}, "optimal_return is 'best', but must be a finite number or None"),
    ],
)
def test_types_of_the_base_class(options, words):
    with pytest.raises(ValueError, match=words):
        Free(0, **options)


@pytest.mark.parametrize(
    ("unit", "largest", "most"),
    [
        (1.0, 0, 2**24),
        (1.0, 2**24 + 1, 2**24),
        (1.0, 1.5, 2**24),
        (1.0, True, 2**24),
        (-0.5, 2**24 + 1, 2**24),
        (0.1, 4097, 4096),
    ],
)
def test_multiples_are_of_integers_whose_products_are_exact(unit, largest, most):
    with pytest.raises(ValueError, match=f"largest is {largest}, but must be an integer from 1 to {most}$"):
        Multiples((0.0, unit), largest)


@pytest.mark.parametrize(("unit", "largest"), [(1.0, 2**24), (-0.5, 2**24), (0.1, 4096), (1 / 7, 4096)])
def test_the_largest_multiples_come_back(unit, largest):
    values = jnp.asarray(np.float32(np.arange(max(0, largest - 500), largest + 1) * unit))[:, None]
    multiples = Multiples((unit,), largest)
    np.testing.assert_array_equal(multiples.unpack(multiples.pack(values)), values)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: envs.Warehouse(envs.LAYOUTS["D"], mobile_speed="1"), "mobile_speed is '1', but must be"),
        (lambda: envs.CaptureTarget(2.0), "num_agents is 2.0, but must be"),
        (lambda: envs.CaptureTarget(2, grid=5.0), "grid is 5.0, but must be"),
        (lambda: envs.CaptureTarget(2, slip="a"), "slip is 'a', but must be"),
        (lambda: envs.BoxPushing(6.0), "size is 6.0, but must be"),
        (lambda: envs.BoxPushing(6, num_agents=2.0), "num_agents is 2.0, but must be"),
        (lambda: envs.Overcooked("A", task=6.0), "task is 6.0, but must be"),
        (lambda: WithOptions(Line(), [wait()], horizon="20"), "horizon is '20', but must be an integer"),
        (lambda: WithOptions(Line(), [wait()], name=3), "name is 3, but must be a string"),
        (lambda: WithOptions(Line(), [wait(max_duration=10**12)]), "max_duration is 1000000000000, but must be"),
        (lambda: envs.register_environment("-x", Line), "environment id '-x' must be"),
        (lambda: envs.register_environment("..", Line), "environment id '..' must be"),
        (lambda: write_gif(Line(), [], "x.gif", fps=0), "fps is 0, but must be a number above 0"),
        (
            lambda: jaxmac.make_train("avf-vdn", check_environment="no"),
            "check_environment is 'no', but must be True",
        ),
    ],
)
def test_other_arguments(build, words):
    with pytest.raises(ValueError, match=words) as error:
        build()
    assert "\n" not in str(error.value)


def wait(**rest):
    return Option("wait", lambda view: 0, lambda view: True, **rest)


def test_an_option_must_take_actions_that_there_are():
    """The action is computed, so that it shows only when the option is played."""
    below = envs.make("BoxPushing-4-primitive", horizon=5)
    drive = Option("drive", lambda view: view.elapsed + 1, lambda view: view.elapsed >= 5)
    with pytest.raises(ValueError, match=r"option 'drive' of agent 0 takes the action 4 at step 4, .* from 0 to 3"):
        check_environment(WithOptions(below, [drive]))
    inner = WithOptions(below, [Option("stay", lambda view: 3, lambda view: True)])
    far = Option("far", lambda view: view.elapsed + 1, lambda view: True)
    with pytest.raises(ValueError, match=r"option 'far' of agent 0 takes the action 1 at step 1, .* from 0 to 0"):
        check_environment(WithOptions(inner, [far]))
