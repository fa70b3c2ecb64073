"""AVF-QPLEX with preset `tuned` on an environment of each other family, against random and scripted play.

    python -m experiments.environments --env Warehouse-S CaptureTarget-10 Overcooked-A

Results: experiments/results/ENVIRONMENT.
"""

import jax
import jax.numpy as jnp

import jaxmac
from experiments.common import Job, arguments, run, slug
from jaxmac.rollout import rollout

EPISODES = {"Warehouse-S": 3_000, "CaptureTarget-10": 3_000, "Overcooked-A": 3_000}
THRESHOLD = {"Warehouse-S": 250.0, "CaptureTarget-10": 0.5, "Overcooked-A": 200.0}


def baseline(env_id: str, policy: str, episodes: int = 2048) -> float:
    """Mean undiscounted return of the scripted or the random policy."""
    env = jaxmac.make(env_id)
    made = jaxmac.random_policy() if policy == "random" else jaxmac.scripted_policy(env)
    played = jax.jit(lambda key: rollout(env, made, key, jnp.zeros(episodes)).undiscounted_return)
    return float(played(jax.random.key(0)).mean())


def main() -> None:
    """Run the environments asked for."""
    choices = {"nargs": "+", "choices": EPISODES, "default": list(EPISODES), "help": "environments"}
    given = arguments(__doc__, range(200, 208), env=choices)
    for env_id in given.env:
        given.running = ["--env", env_id]
        played = ("random",) if jaxmac.make(env_id).optimal_return else ("random", "scripted")
        anchors = {f"{policy} play": baseline(env_id, policy) for policy in played}
        jobs = [Job("AVF-QPLEX", "avf-qplex", env_id, EPISODES[env_id])]
        run(slug(env_id), f"{env_id}, preset tuned", jobs, given, THRESHOLD[env_id], anchors)


if __name__ == "__main__":
    main()
