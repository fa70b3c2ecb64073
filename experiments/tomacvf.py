"""ToMacVF's ablations, preset `tuned`.

    python -m experiments.tomacvf --env Warehouse-D --only "without both"

Results: experiments/results/tomacvf_ablations/ENVIRONMENT. ToMacVF against AVF: `experiments.tasks`.
"""

from experiments.common import Job, arguments, folders, run
from experiments.tasks import TASKS

ENVIRONMENTS = ("BoxPushing-10", "Warehouse-D", "Overcooked-B", "Warehouse-Q")
ABLATIONS = {"none": "whole", "atpg": "without ATPG", "mac-sjert": "without Mac-SJERT", "both": "without both"}


def main() -> None:
    """Train every ablation on every task asked for."""
    choices = {"nargs": "+", "choices": ENVIRONMENTS, "default": ENVIRONMENTS, "help": "environments"}
    given = arguments(__doc__, range(200, 208), env=choices)
    for env_id, folder in folders(given, "tomacvf_ablations"):
        task = TASKS[env_id]
        jobs = [
            Job(
                label,
                "tomacvf-qmix",
                env_id,
                task.episodes,
                settings={"ablation": ablation},
                env_options=task.options,
            )
            for ablation, label in ABLATIONS.items()
        ]
        run(folder, f"{env_id}, ToMacVF-QMIX, preset tuned", jobs, given, task.threshold)


if __name__ == "__main__":
    main()
