"""VDN, QMIX and QPLEX on primitive actions, the tasks of the AVF paper's Table 3, preset `tuned`.

    python -m experiments.primitive --env BoxPushing-10-primitive --only QMIX

As long as the task with macro-actions. Results: experiments/results/primitive/ENVIRONMENT.
"""

import itertools

import jax
import jax.numpy as jnp

import jaxmac
from experiments.common import Job, arguments, folders, run
from experiments.tasks import TASKS
from jaxmac.analysis import random_return
from jaxmac.envs import Environment
from jaxmac.record import Policy
from jaxmac.record.rollout import rollout

ENVIRONMENTS = tuple(f"{task}-primitive" for task in ("BoxPushing-10", "Warehouse-S", "CaptureTarget-10"))
REPEATED = "one action repeated"
ALGORITHMS = {"VDN": "avf-vdn", "QMIX": "avf-qmix", "QPLEX": "avf-qplex"}


def main() -> None:
    """Train every algorithm on every task asked for."""
    choices = {"nargs": "+", "choices": ENVIRONMENTS, "default": ENVIRONMENTS, "help": "environments"}
    given = arguments(__doc__, range(200, 208), env=choices)
    for env_id, folder in folders(given, "primitive"):
        task = TASKS[env_id.removesuffix("-primitive")]
        jobs = [Job(label, algorithm, env_id, task.episodes) for label, algorithm in ALGORITHMS.items()]
        env = jaxmac.make(env_id)
        anchors = {REPEATED: best_repeated(env)}
        if (random := random_return(env)) is not None:
            anchors["random play"] = random
        run(folder, f"{env_id}, preset tuned", jobs, given, task.threshold, anchors)


def best_repeated(env: Environment, episodes: int = 100) -> float:
    """The best mean return of agents that repeat one action each, such as staying: all combinations are tried.

    Of agents that are alike and more than three, only those that all repeat the same action.
    """
    alike = env.num_agents > 3 and len(set(env.num_actions)) == 1
    several = zip(*[range(env.max_actions)] * env.num_agents, strict=True) if alike else None
    choices = jnp.array([*(several or itertools.product(*map(range, env.num_actions)))], jnp.int32)
    repeated = jnp.repeat(choices, episodes, axis=0)
    policy = Policy(lambda batch: (), lambda key, carry, timestep, epsilon: (carry, repeated))
    played = jax.jit(lambda key: rollout(env, policy, key, jnp.zeros(len(repeated))).undiscounted_return)
    return float(played(jax.random.key(0)).reshape(-1, episodes).mean(axis=1).max())


if __name__ == "__main__":
    main()
