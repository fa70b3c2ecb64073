"""AVF-QPLEX with preset `tuned` on an environment of each other family, against random and scripted play.

    python -m experiments.environments --env Warehouse-S CaptureTarget-10 Overcooked-A

Results: experiments/results/ENVIRONMENT.
"""

import jaxmac
from experiments.baselines import returns
from experiments.common import Job, arguments, run, slug

EPISODES = {"Warehouse-S": 3_000, "CaptureTarget-10": 3_000, "Overcooked-A": 3_000}
THRESHOLD = {"Warehouse-S": 250.0, "CaptureTarget-10": 0.5, "Overcooked-A": 200.0}


def main() -> None:
    """Run the environments asked for."""
    choices = {"nargs": "+", "choices": EPISODES, "default": list(EPISODES), "help": "environments"}
    given = arguments(__doc__, range(200, 208), env=choices)
    for env_id in given.env:
        given.running = ["--env", env_id]
        played = ("random",) if jaxmac.make(env_id).optimal_return else ("random", "scripted")
        anchors = {f"{policy} play": returns(env_id, policy, 2048)[0] for policy in played}
        jobs = [Job("AVF-QPLEX", "avf-qplex", env_id, EPISODES[env_id])]
        run(slug(env_id), f"{env_id}, preset tuned", jobs, given, THRESHOLD[env_id], anchors)


if __name__ == "__main__":
    main()
