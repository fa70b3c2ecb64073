"""The recorded batches and networks of the value-based baselines."""

import json
from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
from conftest import GOLDEN
from support.records import recorded_squeeze
from support.samples import sample_of
from support.torch_params import recurrent_net

from jaxmac.algorithms import Progress, configure, mac_q
from jaxmac.algorithms.mac_q import WindowBatch
from jaxmac.algorithms.mac_q_config import NETWORK_ROLES
from jaxmac.algorithms.value_based import ValueBasedState
from jaxmac.envs.environment import Environment
from jaxmac.hyper import hyper_of

SQUEEZE = json.loads((GOLDEN / "value_based_squeeze.json").read_text())
SIZES, ACTIONS = SQUEEZE["obs_size"], SQUEEZE["n_action"]
AGENTS = range(len(SIZES))


class Recorded(Environment):
    """The sizes of the recorded team; it is never stepped."""

    def __init__(self):
        names = tuple(tuple(f"m{k}" for k in range(count)) for count in ACTIONS)
        super().__init__(obs_sizes=tuple(SIZES), state_size=1, horizon=8, action_names=names)


def recorded_episode(index, horizon=8, garbage=0):
    return recorded_squeeze(SQUEEZE["episodes"][index], horizon=horizon, garbage=garbage)


def small(kind, **overrides):
    """Networks and hyperparameters with the recording's sizes, rate, hysteresis and whole episodes."""
    values = {"layer_size": 8, "hidden_size": 6, "gamma": 0.9, "learning_rate": 1e-3}
    values |= {"centralised_hidden_size": 6} if kind.endswith("ddrqn") else {}
    values |= {"hysteresis": 0.3, "hysteresis_end": 0.3, "sampling": "uniform", "trajectory_unit": "episode"}
    values |= {"memory": "gru", "layer_norm": False, "td_lambda": 0.0}  # the recorded networks and targets
    config = configure(kind, "tuned", Recorded(), values | NEUTRAL | overrides)
    hyper = hyper_of(config)
    return mac_q.make_networks(Recorded(), config, NETWORK_ROLES[kind]), hyper


NEUTRAL = {"reward_scale": 1.0, "grad_clip": 0.0, "max_rows": 0, "close_on_terminal": False, "target_steps": 5000}
NOW = Progress(jnp.int32(0), jnp.int32(0), jnp.int32(1))


def drawn_state(parts, hyper, seed=0):
    return jax.jit(partial(mac_q.init, parts))(jax.random.key(seed), hyper)


def recorded_state(parts, hyper, net):
    with np.load(GOLDEN / "value_based_losses.npz") as file:

        def read(kind):
            nets = {}
            if parts.agents is not None:
                nets["agents"] = recurrent_net(file.__getitem__, [f"{net}/{i}/{kind}/" for i in AGENTS])
            if parts.centralised is not None:
                name = "cenq" if parts.agents is None else f"{net}/cen"
                nets["centralised"] = recurrent_net(file.__getitem__, [f"{name}/{kind}/"])
            return nets

        drawn = drawn_state(parts, hyper)
        found = {kind: read(kind) for kind in ("policy", "target", "grad", "after")}
    chex.assert_trees_all_equal_shapes_and_dtypes(jax.device_get(drawn.params), found["policy"])
    return ValueBasedState(found["policy"], found["target"], drawn.opt_state), found


def recorded_rows(parts, hyper, garbage=0, horizon=8):
    episodes = [recorded_episode(i, horizon, garbage) for i in range(len(SQUEEZE["episodes"]))]
    batch = jax.device_put(jax.tree.map(lambda *leaves: np.stack(leaves), *episodes))
    return batch_of(parts, hyper, batch)


def batch_of(parts, hyper, episodes):
    @jax.jit
    def cut(sample):
        return mac_q.rows_of(parts.config, sample, hyper, jax.random.key(0))

    sample = sample_of(episodes)
    return WindowBatch(*cut(sample), sample.weight)
