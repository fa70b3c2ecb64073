"""VDN, QMIX and QPLEX on primitive actions, the tasks of the AVF paper's Table 3, preset `tuned`.

    python -m experiments.primitive --env BoxPushing-10-primitive --only QMIX

As long as the task with macro-actions. Results: experiments/results/primitive/ENVIRONMENT.
"""

from experiments.common import Job, arguments, folders, run
from experiments.tasks import TASKS

ENVIRONMENTS = tuple(f"{task}-primitive" for task in ("BoxPushing-10", "Warehouse-S", "CaptureTarget-10"))
ALGORITHMS = {"VDN": "avf-vdn", "QMIX": "avf-qmix", "QPLEX": "avf-qplex"}


def main() -> None:
    """Train every algorithm on every task asked for."""
    choices = {"nargs": "+", "choices": ENVIRONMENTS, "default": ENVIRONMENTS, "help": "environments"}
    given = arguments(__doc__, range(200, 208), env=choices)
    for env_id, folder in folders(given, "primitive"):
        task = TASKS[env_id.removesuffix("-primitive")]
        jobs = [Job(label, algorithm, env_id, task.episodes) for label, algorithm in ALGORITHMS.items()]
        run(folder, f"{env_id}, preset tuned", jobs, given, task.threshold)


if __name__ == "__main__":
    main()
