import inspect
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.selection import slow_except

import jaxmac.record.rollout as rollout_module
from jaxmac import envs
from jaxmac.record.episode import mark
from jaxmac.record.policy import Policy, random_policy, scripted_policy, uniform_available
from jaxmac.record.rollout import play, rollout


@pytest.fixture(scope="module")
def env():
    return envs.make("BoxPushing-4", horizon=40)


@pytest.fixture(scope="module")
def recorded(env):
    run = jax.jit(lambda key: rollout(env, random_policy(), key, jnp.ones(32)))
    return jax.device_get(run(jax.random.key(0)))


def test_the_record_replays_through_the_environment(env, recorded):
    """Stepping the environment by hand with the recorded macro-actions gives the record back."""
    step = jax.jit(env.step)
    for episode in range(4):
        state, ts = jax.jit(env.reset)(jax.random.key(0))
        for t in range(int(recorded.length[episode])):
            np.testing.assert_array_equal(recorded.obs[episode, t], ts.obs)
            np.testing.assert_array_equal(recorded.state[episode, t], ts.state)
            np.testing.assert_array_equal(recorded.elapsed[episode, t], ts.elapsed)
            state, ts = step(jax.random.key(0), state, recorded.macro_action[episode, t].astype(np.int32))
            np.testing.assert_array_equal(recorded.ended[episode, t], ts.ended)
            assert recorded.reward[episode, t] == ts.reward
            assert (recorded.terminal[episode, t], recorded.truncated[episode, t]) == (ts.terminal, ts.truncated)
        assert ts.terminal | ts.truncated


def test_masks_lengths_and_small_types(env, recorded):
    assert recorded.obs.dtype == env.obs_dtype == np.uint8
    assert (recorded.macro_action.dtype, recorded.elapsed.dtype) == (np.int8, np.int8)
    over = recorded.terminal | recorded.truncated
    for episode in range(32):
        length = recorded.length[episode]
        assert recorded.mask[episode, :length].all() and not recorded.mask[episode, length:].any()
        assert over[episode, length - 1] and not over[episode, : length - 1].any()
    assert (recorded.length < 40).any() and recorded.length.max() <= 40


def counting_policy(counter):
    """A random policy that counts, on the host, the steps that are computed for a whole batch."""
    policy = random_policy()

    def act(key, carry, ts, epsilon):
        jax.debug.callback(counter.append, ts.time.max())
        return policy.act(key, carry, ts, epsilon)

    return Policy(policy.initial_carry, act)


@pytest.mark.parametrize("members", [None, pytest.param(3, marks=pytest.mark.slow)])
def test_no_step_is_computed_once_all_episodes_have_ended_and_the_record_is_that_of_all_steps(members, monkeypatch):
    env = envs.make("BoxPushing-4", horizon=200)

    def played(counter):
        run = partial(rollout, env, counting_policy(counter), epsilon=jnp.ones(4))
        keys = jax.random.key(2) if members is None else jax.random.split(jax.random.key(2), members)
        record = jax.jit(run if members is None else jax.vmap(run))(keys)
        jax.effects_barrier()
        return jax.device_get(record)

    few, all_ = [], []
    stopped = played(few)
    monkeypatch.setattr(
        rollout_module, "_until_over", lambda step, loop, steps: jax.lax.scan(step, loop, jnp.arange(steps))
    )
    whole = played(all_)
    for name, value in vars(whole).items():
        found = getattr(stopped, name)
        assert found.dtype == value.dtype
        np.testing.assert_array_equal(found, value, err_msg=name)
    computed, longest = len(few) / (members or 1), stopped.length.max()
    assert len(all_) / (members or 1) == 200
    assert longest < 190
    assert computed == longest + 1


def test_held_macro_observations_follow_from_the_marks(env, recorded):
    """What marks derive (observation at the last start) is what the environment holds."""
    episode = jax.tree.map(lambda x: x[0], recorded)
    marks = jax.device_get(jax.jit(partial(mark, close_on_terminal=False))(episode))
    step = jax.jit(env.step)
    state, ts = jax.jit(env.reset)(jax.random.key(0))
    for t in range(int(episode.length)):
        for agent in range(2):
            np.testing.assert_array_equal(episode.obs[marks.started[t, agent], agent], ts.macro_obs[agent])
        state, ts = step(jax.random.key(0), state, episode.macro_action[t].astype(np.int32))


def test_uniform_available_is_uniform_over_what_is_available():
    avail = jnp.array([[True, False, True, True], [False, True, False, False]])
    keys = jax.random.split(jax.random.key(1), 6000)
    drawn = np.asarray(jax.jit(jax.vmap(lambda key: uniform_available(key, avail)))(keys))
    share = np.bincount(drawn[:, 0], minlength=4) / 6000
    np.testing.assert_allclose(share, [1 / 3, 0, 1 / 3, 1 / 3], atol=0.03)
    assert (drawn[:, 1] == 1).all()


def test_play_gives_the_states_of_one_episode(env):
    always_push = Policy(lambda batch: (), lambda key, carry, ts, eps: (carry, jnp.full((1, 2), 4)))
    states, steps = play(env, always_push, jax.random.key(0))
    played = jax.jit(lambda key: rollout(env, always_push, key, jnp.zeros(1)))(jax.random.key(0))
    assert len(states.time) == int(played.length[0]) + 1
    assert states.time.tolist() == list(range(len(states.time)))
    assert states.episode_return[-1] == pytest.approx(float(played.undiscounted_return[0]))
    np.testing.assert_array_equal(steps.reward[1:], played.reward[0, : int(played.length[0])])


@pytest.mark.parametrize("suffix", slow_except([""], ["", "-primitive"]))
@pytest.mark.parametrize("options", slow_except([{}], [{}, {"num_agents": 3}, {"preset": "corl19"}]))
def test_box_pushings_script_attains_the_optimum(suffix, options):
    for size in (4, 10, 12):
        env = envs.make(f"BoxPushing-{size}{suffix}", **options)
        states, _ = play(env, scripted_policy(env), jax.random.key(0))
        assert states.episode_return[-1] == pytest.approx(env.optimal_return, abs=1e-3)


def test_no_script_is_an_error_in_words():
    env = envs.make("BoxPushing-4", random_init=True)
    with pytest.raises(ValueError, match="BoxPushing-4 has no scripted policy under these options"):
        scripted_policy(env)


def test_a_scripts_last_choice_repeats_and_only_own_choices_count():
    env = envs.make("BoxPushing-4")
    env.script = lambda: ((5, 6), (0, 6, 7))
    played = jax.jit(lambda key: rollout(env, scripted_policy(env), key, jnp.zeros(1)))(jax.random.key(0))
    ran, ended = played.macro_action[0], played.ended[0]
    assert ran[:4, 0].tolist() == [5, 6, 6, 6]
    arrived = int(jnp.argmax(ended[:, 1]))
    assert arrived > 0 and (ran[: arrived + 1, 1] == 0).all()
    assert ran[arrived + 1 : arrived + 4, 1].tolist() == [6, 7, 7]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("BoxPushing-4", random_policy(), jnp.ones(2)), "BoxPushing-4"),
        ((None, "random", jnp.ones(2)), "policy is 'random', but must be a Policy"),
        ((None, random_policy(), 0.0), "epsilon is 0.0, but must be an array of exploration rates"),
        ((None, random_policy(), [0.0]), "epsilon is [0.0], but must be an array of exploration rates"),
    ],
)
def test_wrong_arguments_of_a_rollout_are_one_line(env, arguments, message):
    given, policy, epsilon = arguments
    with pytest.raises(ValueError) as error:
        inspect.unwrap(rollout)(given or env, policy, jax.random.key(0), epsilon)  # without the suite's own checks
    assert message in str(error.value) and "\n" not in str(error.value)
