"""Policies with drawn parameters, exported, and what they are asked in episodes."""

import functools
import importlib.util
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmac import envs
from jaxmac.algorithms import configure, make_algorithm
from jaxmac.export.folder import write_policy
from jaxmac.hyper import hyper_of
from jaxmac.record.policy import uniform_available

SHARED = {"share_parameters": True, "obs_last_action": True}
CASES = {  # algorithm, environment, hyperparameters
    "avf": ("avf-qmix", "BoxPushing-4", {"layer_size": 6, "decode_size": 5}),
    "avf-dueling-shared": ("avf-qplex", "Warehouse-T", SHARED),
    "tomacvf": ("tomacvf-qmix", "BoxPushing-4", {"encoding_size": 6}),
    "avf-mingru": ("avf-qplex", "BoxPushing-4", {"memory": "mingru", "layer_norm": True}),
    "mac-cen-q": ("mac-cen-q", "Warehouse-T", {}),
    "mac-iaicc": ("mac-iaicc", "Warehouse-T", {"obs_last_action": True}),
    "tomacvf-shared": ("tomacvf-qplex", "Warehouse-T", {"share_parameters": True, "dueling": "raw"}),
    "mac-cac": ("mac-cac", "BoxPushing-4", {}),
    "mac-dec-q": ("mac-dec-q", "Warehouse-T", {"obs_last_action": True}),
    "tomacvf-stale": ("tomacvf-qplex", "BoxPushing-4", {"stale_obs_at_execution": True}),
    "tomacvf-ablation": ("tomacvf-qmix", "BoxPushing-4", {"ablation": "both"}),
    "mac-iac": ("mac-iac", "BoxPushing-4", {}),
    "mac-niacc": ("mac-niacc", "BoxPushing-6", {}),
    "mac-dec-ddrqn": ("mac-dec-ddrqn", "BoxPushing-4", SHARED),
    "parallel-mac-dec-ddrqn": ("parallel-mac-dec-ddrqn", "BoxPushing-4", {}),
    "mac-ippo": ("mac-ippo", "Warehouse-T", {"obs_last_action": True}),
    "mac-mappo": ("mac-mappo", "Warehouse-T", SHARED),
    "overcooked": ("avf-vdn", "Overcooked-A", {}),
}
PLAIN = {"hidden_size": 8, "memory": "gru", "layer_norm": False}  # unless a case has others
QUICK = ["avf", "avf-mingru", "mac-cen-q"]
EPISODES, HORIZON = 4, 30


class Made(NamedTuple):
    """A policy with drawn parameters, its environment and where it was exported to."""

    env: object
    policy: object
    out: object


def made(name, folder, scale=1.2, **more):
    algorithm, env_id, values = CASES[name]
    env = envs.make(env_id, horizon=HORIZON)
    config = configure(algorithm, "tuned", env, {**PLAIN, **values, **more})
    hyper = hyper_of(config)
    found = make_algorithm(algorithm, env, config)
    # Far from the initial weights, so that choices vary and no bias is zero.
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(found.init, jax.random.key(0), hyper)
    learner = jax.tree.map(lambda x: (rng.normal(size=x.shape) * scale).astype(x.dtype), shapes)
    if hasattr(learner, "params"):  # whichever of the two is evaluated
        learner = learner.replace(target=learner.params)
    policy = found.evaluation(learner, hyper)
    out = write_policy(policy, env, folder / name, {"algorithm": algorithm, "member": 0, "seed": 0})
    return Made(env, policy, out)


def runner_of(folder):
    """The Policy class of the file that was copied there."""
    spec = importlib.util.spec_from_file_location("run_policy", folder / "run_policy.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Policy(folder)


@functools.cache
def stepped(env_id):
    """Compiled `reset` and `step` of EPISODES episodes, the same for every policy."""
    env = envs.make(env_id, horizon=HORIZON)
    return jax.jit(jax.vmap(env.reset)), jax.jit(jax.vmap(env.step))


def recorded(env, policy, seed):
    """What happened in EPISODES episodes `[time, episodes, ...]`: the TimeStep, hidden states after it, choices.

    Half of the episodes follow the greedy choices, half random ones: the policy is asked in both.
    """
    reset, step = stepped(env.name)
    keys = jax.random.split(jax.random.key(seed), (HORIZON, 3))
    greedy = policy.act_greedily or policy.act
    follow = (jnp.arange(EPISODES) < EPISODES // 2)[:, None]

    @jax.jit
    def choose(keys, carry, ts):
        carry, choice = greedy(keys[0], carry, ts, jnp.zeros(EPISODES))
        played = jnp.where(follow, choice, uniform_available(keys[1], ts.avail))
        return carry, choice, played, jax.random.split(keys[2], EPISODES)

    state, ts = reset(jax.random.split(jax.random.key(seed), EPISODES))
    carry, found = policy.initial_carry(EPISODES), []
    for time in range(HORIZON):
        carry, choice, played, step_keys = choose(keys[time], carry, ts)
        found.append((ts, carry, choice))
        state, ts = step(step_keys, state, played)
    return jax.tree.map(lambda *x: np.stack(x), *jax.device_get(found))


def asked(about, env, ts):
    """What one policy is given at a TimeStep (of one episode), None where it is not asked."""
    agent = about["agent"]
    if about["when"] == "any_termination":
        if not ts.ended.any():
            return None
        obs = np.concatenate([ts.macro_obs[i, :size] for i, size in enumerate(env.obs_sizes)])
        given = {"last_macro_action": ts.macro_action, "must_choose": ts.ended, "available": ts.avail}
        return {"observation": obs, **given}
    if about["when"] == "own_termination" and not ts.ended[agent]:
        return None
    is_macro = "macro-observation" in about["arguments"]["observation"]["meaning"]
    given = {
        "observation": (ts.macro_obs if is_macro else ts.obs)[agent, : env.obs_sizes[agent]],
        "last_macro_action": ts.macro_action[agent],
        "time": ts.time,
        "elapsed": ts.elapsed[agent],
        "available": ts.avail[agent, : env.num_actions[agent]],
    }
    return {name: given[name] for name in about["arguments"]}
