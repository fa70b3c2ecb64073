"""The baselines compared with the reference's results, at its settings (preset `reference`, `neurips22` rewards).

    python -m experiments.macro_baselines --env BoxPushing-10
    python -m experiments.macro_baselines --env Warehouse-T --episodes 80000 --seeds $(seq 0 19)

Without `--episodes` the jobs are sized for a small machine, with fewer episodes than the reference's.
Results: experiments/results/baselines_ENVIRONMENT.
"""

from typing import Any

import jaxmac
from experiments.baselines import anchors
from experiments.common import Job, arguments, run, slug

JOBS = {  # environment: (threshold of solved, jobs and their episodes); the reference trains 40, 120, 80 thousand
    "BoxPushing-10": (
        290.0,
        (("mac-dec-q", 12_000), ("mac-cen-q", 3_000), ("mac-iaicc", 40_000), ("first", 40_000)),
    ),
    "Overcooked-B": (200.0, (("mac-iaicc", 32_000),)),
    "Warehouse-T": (700.0, (("mac-iaicc", 16_000),)),
}
LABELS: dict[str, tuple[str, str, dict[str, Any]]] = {  # label, algorithm, settings
    "mac-dec-q": ("MacDec-Q", "mac-dec-q", {}),
    "mac-cen-q": ("MacCen-Q", "mac-cen-q", {}),
    "mac-iaicc": ("Mac-IAICC", "mac-iaicc", {}),
    "first": ("Mac-IAICC, first to finish", "mac-iaicc", {"episodes_per_env": 4}),  # as the reference collects
}
OPTIONS = {"BoxPushing-10": {"preset": "neurips22"}, "Warehouse-T": {"preset": "neurips22"}}


def main() -> None:
    """Run the environments asked for."""
    choices = {"nargs": "+", "choices": JOBS, "default": list(JOBS), "help": "environments"}
    given = arguments(__doc__, range(200, 208), env=choices)
    for env_id in given.env:
        given.running = ["--env", env_id]
        threshold, jobs = JOBS[env_id]
        options = OPTIONS.get(env_id, {})
        made = []
        for name, episodes in jobs:
            label, algorithm, settings = LABELS[name]
            made.append(
                Job(label, algorithm, env_id, episodes, "reference", {"eval_every": 200} | settings, options)
            )
        known = anchors(jaxmac.make(env_id, **options))
        run(f"baselines_{slug(env_id)}", f"{env_id}, the reference's settings", made, given, threshold, known)


if __name__ == "__main__":
    main()
