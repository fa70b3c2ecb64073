"""Warehouse-Q with its own 150 steps and rewards, preset tuned (the papers' runs have 300: preset neurips22).

    python -m experiments.warehouse_q --only AVF-QMIX

A seed counts as solved from the level of 300 steps on. Results: experiments/results/warehouse_q.
"""

import jaxmac
from experiments.baselines import anchors
from experiments.common import Job, arguments, run
from experiments.tasks import TASKS

EPISODES = 25_000
ALGORITHMS = {"AVF-QMIX": "avf-qmix", "AVF-VDN": "avf-vdn"}


def main() -> None:
    """Train AVF."""
    given = arguments(__doc__, range(200, 208))
    env = jaxmac.make("Warehouse-Q")
    jobs = [Job(label, algorithm, env.name, EPISODES) for label, algorithm in ALGORITHMS.items()]
    run("warehouse_q", "Warehouse-Q, 150 steps, preset tuned", jobs, given, TASKS[env.name].threshold, anchors(env))


if __name__ == "__main__":
    main()
