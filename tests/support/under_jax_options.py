"""Train, resume, evaluate and export a little, or play, and print the numbers as JSON on the last line.

Tests start it as a process of its own, with options of JAX in its environment:
`python -m support.under_jax_options FOLDER NAME ...`, each name one of `FAMILIES` or an environment.
Without jit everything is slow, so there is less of it.
"""

import json
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from support.probes import Asynchronous
from support.runs import FAMILIES

import jaxmac
from jaxmac.record.policy import random_policy
from jaxmac.record.rollout import rollout

SMALL = {"batch_size": 2, "learning_starts": 2, "num_envs": 2, "eval_every": 2, "eval_episodes": 2, "train_freq": 6}
SMALL |= {"replay_episodes": 4, "replay_tournament": 2, "max_rows": 4, "hidden_size": 4, "target_episodes": 2}


def settings_of(algorithm):
    """The settings of a family, as small as can be: one update in an iteration of two episodes of three steps."""
    settings = {name: value for name, value in FAMILIES[algorithm].items() if name not in SMALL}
    return settings | {name: value for name, value in SMALL.items() if name in (*FAMILIES[algorithm], "eval_every")}


def learned(algorithm, folder):
    """Metrics of a run that was stopped half-way and resumed, and an evaluation of it; its policy is exported."""
    compiles = not jax.config.jax_disable_jit
    out, env, half = folder / algorithm, Asynchronous(), 4 if compiles else 2
    options = {"seeds": 2 if compiles else 1, "checkpoint_every": 1, "check_environment": compiles, "out": out}
    jaxmac.train(algorithm, env, episodes=half, progress=False, **options, **settings_of(algorithm))
    result = jaxmac.resume(out, env=env, episodes=2 * half, progress=False)
    metrics = {name: np.asarray(value).tolist() for name, value in result.metrics.items() if name != "wall_seconds"}
    evaluation = [row["mean"] for row in jaxmac.evaluate(result, episodes=2)]
    jaxmac.export_policy(result, 0, folder / f"{algorithm}-policy")
    types = sorted({str(leaf.dtype) for leaf in jax.tree.leaves(result.learners)})
    return {"metrics": metrics, "evaluation": evaluation, "types": types}


def played(env_id):
    """Of every field of two random episodes the sum at each step and the type."""
    env = jaxmac.make(env_id, horizon=1 if jax.config.jax_disable_jit else 6)
    epsilon = jnp.ones(2, jnp.float32)
    episodes = jax.jit(lambda key: rollout(env, random_policy(), key, epsilon))(jax.random.key(3))
    return {name: {"sums": step_sums(np.asarray(x)), "type": str(x.dtype)} for name, x in vars(episodes).items()}


def step_sums(values):
    """Sums over all axes of `values [batch, time, ...]` but that of time."""
    return np.moveaxis(values, 1, 0).reshape(values.shape[1], -1).sum(axis=1, dtype=np.float64).tolist()


def main(folder, *names):
    """Print what was found for each name."""
    print(json.dumps({name: learned(name, Path(folder)) if name in FAMILIES else played(name) for name in names}))


if __name__ == "__main__":
    main(*sys.argv[1:])
