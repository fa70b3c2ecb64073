"""A tiny run that is spread over processes: `spread.py COORDINATOR PROCESSES PROCESS DEVICES OUT` is one of them.

Its algorithm compiles in no time: a table of values per agent and macro-action, moved towards the returns.
"""

import sys

import jax
import jax.numpy as jnp
from support.probes import Asynchronous

import jaxmac
from jaxmac.algorithms import Algorithm, AlgorithmSpec, register_algorithm
from jaxmac.algorithms.value_based import ValueBasedConfig, collection
from jaxmac.processes import collective
from jaxmac.record.policy import Policy, uniform_available

SETTINGS = {"num_envs": 4, "batch_size": 4, "replay_episodes": 16, "learning_starts": 8, "train_freq": 6}
SETTINGS |= {"eval_every": 8, "eval_episodes": 4}
RUN = {"seeds": 3, "episodes": 24, "checkpoint_every": 1, "progress": False, **SETTINGS}


def make(env, config):
    def init(key, hyper):
        return {"value": jax.random.normal(key, (env.num_agents, env.max_actions))}

    def policy(state, hyper, stream="main"):
        def act(key, carry, timestep, epsilon):
            random = uniform_available(key, timestep.avail)
            greedy = jnp.where(timestep.avail, state["value"], -1e9).argmax(axis=-1)
            explores = jax.random.uniform(jax.random.fold_in(key, 1), random.shape) < epsilon[:, None]
            return carry, jnp.where(explores, random, greedy).astype(jnp.int32)

        return Policy(lambda batch: (), act)

    def update(state, hyper, batches, progress, key):
        episodes = batches["main"].episodes
        taken = jax.nn.one_hot(episodes.macro_action, env.max_actions) * episodes.mask[..., None, None]
        error = episodes.undiscounted_return[:, None, None] - state["value"]
        moved = state["value"] + hyper.learning_rate * (taken.mean(axis=1) * error).mean(axis=0)
        return {"value": moved}, {"loss": jnp.mean(error**2)}

    return Algorithm(("main",), init, policy, policy, update, collection(config, env))


TABLE = AlgorithmSpec(ValueBasedConfig, make, {"tuned": lambda env: {}})

if __name__ == "__main__":
    coordinator, processes, process, devices, out = sys.argv[1:]
    jaxmac.use_cpu_devices(int(devices))
    jaxmac.initialize_distributed(coordinator, int(processes), int(process), timeout=120)
    register_algorithm("table", TABLE)
    collective.GATHER_PIECE_BYTES = 512  # so that replays are gathered in pieces, as large ones are
    result = jaxmac.train("table", Asynchronous(), out=out, learning_rate=0.1, **RUN)
    assert result.status == "finished" and result.metrics["loss"].shape == (4, 3) and result.policy(2)
