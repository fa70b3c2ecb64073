"""What learners of other libraries ask of an environment of ours seen through PettingZoo, and those learners."""

import copy
import json
import multiprocessing
import os
import pickle
import subprocess
import sys
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import vector_environment

import jaxmac
from jaxmac import envs
from jaxmac.envs.adapters import to_pettingzoo

gymnasium = pytest.importorskip("gymnasium")
pettingzoo = pytest.importorskip("pettingzoo")
TESTS = Path(__file__).parents[1]
PLACES = ("observation", "info")


@pytest.fixture(scope="module")
def env():
    """One environment for all, so that its programs are compiled once. Its agents differ: 3, 3 and 6 actions."""
    return jaxmac.make("Warehouse-S", horizon=12)


@pytest.fixture(scope="module")
def views(env):
    """A view for either place of the mask."""
    return {place: to_pettingzoo(env, render_mode="rgb_array", mask_in=place) for place in PLACES}


@pytest.fixture
def view(views):
    """The view in a new episode, always the same one."""
    views["observation"].reset(seed=1)
    return views["observation"]


@pytest.mark.parametrize("place", PLACES)
def test_the_mask_is_in_one_place(env, views, place):
    view = views[place]
    view.reset(seed=1)
    obs, *_, infos = view.step(dict.fromkeys(view.agents, 1))
    for i, agent in enumerate(view.agents):
        space = view.observation_space(agent)
        assert space.contains(obs[agent])
        count, size = env.num_actions[i], env.obs_sizes[i]
        if place == "info":
            assert isinstance(space, gymnasium.spaces.Box) and obs[agent].shape == (size,)
            mask = infos[agent]["action_mask"]
        else:
            assert "action_mask" not in infos[agent] and obs[agent]["observation"].shape == (size,)
            mask = obs[agent]["action_mask"]
        assert mask.dtype == np.int8 and mask.tolist() == [0, 1] + [0] * (count - 2)  # it goes on with action 1
        assert {"ended", "elapsed", "macro_action"} <= infos[agent].keys()


def test_another_place_for_the_mask_is_one_line(env):
    with pytest.raises(ValueError, match=r"^mask_in is 'state', but must be 'observation' or 'info'$"):
        to_pettingzoo(env, mask_in="state")


@pytest.mark.parametrize("ask", [lambda v: v.state(), lambda v: v.render(), lambda v: v.step({})])
@pytest.mark.parametrize("error", [AssertionError, ValueError])  # PettingZoo's own, and the library's
def test_what_is_asked_before_reset_says_so(env, ask, error):
    with pytest.raises(error, match="no episode is running, call reset first"):
        ask(to_pettingzoo(env, render_mode="rgb_array"))


def test_after_the_end_the_last_state_can_be_seen(view):
    while view.agents:
        view.step(dict.fromkeys(view.agents, 0))
    assert view.state_space.contains(view.state()) and view.render().ndim == 3


@pytest.mark.parametrize(
    "action", [2, np.int64(2), np.array(2), np.array([2]), np.array([[2]], np.uint8), [2], jnp.array([2])]
)
def test_an_action_may_be_an_array_of_one_entry(view, action):
    infos = view.step(dict.fromkeys(view.agents, action))[-1]
    assert [infos[agent]["macro_action"] for agent in view.agents] == [2, 2, 2]


@pytest.mark.parametrize(
    "action", [np.array([0, 1]), np.array([]), 1.0, np.nan, True, None, "0", -1, 3, np.array([3])]
)
def test_an_action_that_is_none_is_one_line(view, action):
    with pytest.raises(ValueError, match=r"^agent_1 chose .*, but may start one of \[0, 1, 2\]$") as error:
        view.step({"agent_0": 0, "agent_1": action, "agent_2": 0})
    assert "\n" not in str(error.value)
    view.step({"agent_0": 0, "agent_1": 1, "agent_2": 0})  # nothing has happened


@pytest.mark.parametrize("place", PLACES)
def test_what_it_returns_belongs_to_the_caller(views, place):
    """Learners write into observations, PyTorch wraps them: they are writable, and the view keeps none of them."""
    view, actions = views[place], {"agent_0": 1, "agent_1": 0, "agent_2": 0}
    view.reset(seed=1)
    state, after = view.state(), view.step(actions)
    arrays = [*jax.tree.leaves(view.reset(seed=1)), view.state()]
    for array in arrays:
        if isinstance(array, np.ndarray):
            array[...] = 0
    np.testing.assert_array_equal(view.state(), state)
    jax.tree.map(np.testing.assert_array_equal, view.step(actions), after)


@pytest.mark.parametrize("seed", [-1, 2**32, 1.0, True, "3", None, np.int64(-1)])
def test_seeds_that_would_equal_others_are_one_line(env, seed):
    words = "but must be an integer of 0 to 4294967295"
    with pytest.raises(ValueError, match=f"^seed is .*, {words}$"):
        to_pettingzoo(env, seed)
    if seed is not None:
        view = to_pettingzoo(env)
        with pytest.raises(ValueError, match=f"^seed is .*, {words}$"):
            view.reset(seed=seed)


def test_seeds_from_the_first_to_the_last_give_their_own_episodes():
    env = jaxmac.make("CaptureTarget-2", horizon=4)
    view = to_pettingzoo(env, 2**32 - 1)
    first = [view.reset()[0], view.reset(seed=np.uint32(2**32 - 1))[0], view.reset(seed=2**31)[0], view.reset(0)[0]]
    seen = [tuple(obs["agent_0"]["observation"].tolist()) for obs in first]
    assert seen[0] == seen[1] and len(set(seen)) == 3


@pytest.mark.parametrize("id", envs.list_ids())
def test_every_environment_and_its_view_pickle(id):
    env = pickle.loads(pickle.dumps(jaxmac.make(id)))
    view = pickle.loads(pickle.dumps(to_pettingzoo(env, seed=3)))
    assert (env.name, view.env.name, env.num_actions) == (id, id, view.env.num_actions)


def test_a_kitchen_pickles_with_its_planner_in_use():
    env = jaxmac.make("Overcooked-A")
    assert env.planner is vars(env)["planner"]  # made by the first step, of functions that do not pickle
    again = pickle.loads(pickle.dumps(to_pettingzoo(env, seed=3))).env
    assert "planner" not in vars(again) and again.planner.layout.map_type == env.layout.map_type


@pytest.mark.parametrize("copied", [lambda view: pickle.loads(pickle.dumps(view)), copy.deepcopy])
def test_a_view_is_copied_in_the_middle_of_an_episode(view, copied):
    actions = {"agent_0": 1, "agent_1": 2, "agent_2": 0}
    view.step(actions)
    other = copied(view)
    jax.tree.map(np.testing.assert_array_equal, view.step(actions), other.step(actions))
    np.testing.assert_array_equal(view.state(), other.state())
    jax.tree.map(np.testing.assert_array_equal, view.reset(), other.reset())


def in_processes(context):
    """What a program prints that runs environments in processes, as AgileRL does."""
    if context not in ("late", *multiprocessing.get_all_start_methods()):
        pytest.skip(f"no {context} here")
    program = [sys.executable, "-m", "support.vector_environment", context]
    done = subprocess.run(program, cwd=TESTS, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_environments_in_processes_answer(context):
    """JAX starts with the first reset: a process that is forked after JAX has started in its parent hangs."""
    for seed, state in zip(vector_environment.SEEDS, in_processes(context), strict=True):
        here = vector_environment.build()
        here.reset(seed)
        for t in range(3):
            here.step(vector_environment.actions_at(t, here.action_spaces))
        assert here.state().tolist() == state


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_process_that_is_forked_too_late_says_so():
    said = "CaptureTarget-2: this process was forked after JAX had started, so it would hang; fork before JAX runs"
    assert [answer.startswith(said) for answer in in_processes("late")] == [True, True]


@pytest.mark.parametrize("place", PLACES)
def test_turn_by_turn_as_an_aec_environment(views, place):
    from pettingzoo.test import api_test
    from pettingzoo.utils.conversions import parallel_to_aec

    turns = parallel_to_aec(views[place])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # advice on spaces: bounds, equal agents, no dicts
        api_test(turns, num_cycles=20)
    turns.reset(seed=1)
    parallel = copy.copy(views["observation"])
    parallel.reset(seed=1)
    while parallel.agents:
        paid = parallel.step(dict.fromkeys(parallel.agents, 1))[1]
        for agent in turns.possible_agents:
            assert turns.agent_selection == agent
            turns.step(np.array([1]))
        assert turns.rewards == paid
        np.testing.assert_array_equal(turns.state(), parallel.state())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # theirs
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("id", ["BoxPushing-4", "Warehouse-S"])
def test_torchrl_resets_and_finds_its_specifications_kept(id, place):
    wrappers = pytest.importorskip("torchrl.envs.libs.pettingzoo")
    from torchrl.envs.utils import MarlGroupMapType, check_env_specs

    # TorchRL stacks the agents of a group, and masks only equal ones: unequal agents are a group each.
    groups = MarlGroupMapType.ONE_GROUP_PER_AGENT if id == "Warehouse-S" else None
    view = to_pettingzoo(jaxmac.make(id, horizon=8), mask_in=place)
    theirs = wrappers.PettingZooWrapper(view, return_state=True, group_map=groups)
    first = theirs.reset()
    check_env_specs(theirs)
    rollout = theirs.rollout(20, break_when_any_done=False)  # random choices among those that the mask leaves
    name = "agent" if groups is None else "agent_2"
    assert first[name, "action_mask"].all() and not rollout[name, "action_mask"].all()
    chosen = rollout[name, "action_mask"].gather(-1, rollout[name, "action"].unsqueeze(-1))
    assert chosen.all() and rollout["next", "done"].sum() == 2


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # theirs
@pytest.mark.parametrize("id", ["BoxPushing-4", "Warehouse-S"])
def test_stable_baselines_trains_through_supersuit(id):
    supersuit = pytest.importorskip("supersuit")
    stable_baselines3 = pytest.importorskip("stable_baselines3")
    env = to_pettingzoo(jaxmac.make(id, horizon=8), mask_in="info")
    if id == "Warehouse-S":  # SuperSuit's own way with unequal agents
        env = supersuit.pad_action_space_v0(supersuit.pad_observations_v0(env))
    env = supersuit.pettingzoo_env_to_vec_env_v1(env)
    env = supersuit.concat_vec_envs_v1(env, 2, num_cpus=1, base_class="stable_baselines3")
    learner = stable_baselines3.PPO("MlpPolicy", env, n_steps=16, batch_size=16, n_epochs=1)
    before = [weights.detach().clone() for weights in learner.policy.parameters()]
    learner.learn(16 * env.num_envs)
    assert learner.num_timesteps == 16 * env.num_envs
    assert any((old != new).any() for old, new in zip(before, learner.policy.parameters(), strict=True))
