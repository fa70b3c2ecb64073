"""AVF-QPLEX with preset `tuned` on an environment of each other family, against random and scripted play.

    python -m experiments.environments --env Warehouse-S CaptureTarget-10 Overcooked-A

Results: experiments/results/ENVIRONMENT.
"""

import jaxmac
from experiments.baselines import anchors
from experiments.common import Job, arguments, run, slug

EPISODES = {"Warehouse-S": 3_000, "CaptureTarget-10": 3_000, "Overcooked-A": 3_000}
THRESHOLD = {"Warehouse-S": 250.0, "CaptureTarget-10": 0.5, "Overcooked-A": 200.0}


def main() -> None:
    """Run the environments asked for."""
    choices = {"nargs": "+", "choices": EPISODES, "default": list(EPISODES), "help": "environments"}
    given = arguments(__doc__, range(200, 208), env=choices)
    for env_id in given.env:
        given.running = ["--env", env_id]
        jobs = [Job("AVF-QPLEX", "avf-qplex", env_id, EPISODES[env_id])]
        run(slug(env_id), f"{env_id}, preset tuned", jobs, given, THRESHOLD[env_id], anchors(jaxmac.make(env_id)))


if __name__ == "__main__":
    main()
