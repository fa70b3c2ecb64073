"""VDN, QMIX and QPLEX on primitive actions, the tasks of the AVF paper's Table 3, preset `tuned`.

    python -m experiments.primitive --env BoxPushing-10-primitive --only QMIX

As long as the task with macro-actions. Results: experiments/results/primitive/ENVIRONMENT.
"""

from experiments.common import RESULTS, Job, arguments, run, slug
from experiments.tasks import TASKS

ENVIRONMENTS = tuple(f"{task}-primitive" for task in ("BoxPushing-10", "Warehouse-S", "CaptureTarget-10"))
ALGORITHMS = {"VDN": "avf-vdn", "QMIX": "avf-qmix", "QPLEX": "avf-qplex"}


def main() -> None:
    """Train every algorithm on every task asked for."""
    choices = {"nargs": "+", "choices": ENVIRONMENTS, "default": ENVIRONMENTS, "help": "environments"}
    given = arguments(__doc__, range(200, 208), env=choices)
    for env_id in given.env:
        given.running = ["--env", env_id]
        name, task = f"primitive/{slug(env_id)}", TASKS[env_id.removesuffix("-primitive")]
        if given.only == [] and not (RESULTS / name).exists():
            continue
        jobs = [Job(label, algorithm, env_id, task.episodes) for label, algorithm in ALGORITHMS.items()]
        run(name, f"{env_id}, preset tuned", jobs, given, task.threshold)


if __name__ == "__main__":
    main()
