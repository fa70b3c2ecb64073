"""The comparisons of the papers' figures, one command each, with as many seeds and episodes as wanted.

    python -m experiments.figures avf-4                                   # AVF, Figure 4
    python -m experiments.figures tomacvf-5 --env Warehouse-D --episodes 2000 --seeds 0 1
    python -m experiments.figures tomacvf-4 --preset paper --episodes 40000 --seeds $(seq 0 19)

The curves of a figure are those of the paper: `tomacvf-4` is Box Pushing, `-5` Warehouse, `-6` Overcooked.
Results: experiments/results/FIGURE_ENVIRONMENT.
"""

import jaxmac
from experiments.common import Job, arguments, run, slug
from experiments.tasks import TASKS

AVF = {"avf-vdn": "AVF-VDN", "avf-qmix": "AVF-QMIX", "avf-qplex": "AVF-QPLEX"}
DEC, CEN = {"mac-dec-q": "Mac-Dec-MADDRQN"}, {"mac-cen-q": "Mac-Cen-DDRQN"}
GRADIENT = {"mac-cac": "Mac-CAC", "mac-niacc": "Mac-NIACC", "mac-iaicc": "Mac-IAICC"}
TOMACVF = {"tomacvf-qmix": "ToMacVF"}
FIGURES = {  # figure: environments, algorithms -> labels
    "avf-4": (
        (
            "BoxPushing-10",
            "BoxPushing-20",
            "BoxPushing-30",
            "Warehouse-S",
            "Warehouse-D",
            "Warehouse-T",
            "Warehouse-T1",
        ),
        AVF | DEC,
    ),
    "avf-table-1": (("CaptureTarget-10",), AVF | DEC | CEN | {"mac-iaicc": "Mac-IAICC"}),
    "tomacvf-4": (tuple(f"BoxPushing-{n}" for n in (6, 8, 10, 12, 14)), TOMACVF | AVF | GRADIENT | DEC | CEN),
    "tomacvf-5": (tuple(f"Warehouse-{v}" for v in ("D", "D1", "T", "T1", "Q")), TOMACVF | AVF | GRADIENT),
    "tomacvf-6": (tuple(f"Overcooked-{v}" for v in "ABC"), TOMACVF | AVF | GRADIENT | DEC | CEN),
}
EVERY = tuple(dict.fromkeys(env_id for env_ids, _ in FIGURES.values() for env_id in env_ids))


def main() -> None:
    """Run one figure."""
    given = arguments(
        __doc__,
        range(4),
        figure={"positional": True, "choices": FIGURES, "help": "the figure"},
        env={"nargs": "+", "choices": EVERY, "default": None, "help": "only these of its environments"},
        preset={"choices": ("tuned", "paper"), "default": "tuned", "help": "hyperparameters (default: tuned)"},
    )
    env_ids, labels = FIGURES[given.figure]
    unknown = set(given.env or ()) - set(env_ids)
    if unknown:
        raise SystemExit(
            f"{given.figure} has no {', '.join(sorted(unknown))}; its environments: {', '.join(env_ids)}"
        )
    for env_id in given.env or env_ids:
        given.running = [given.figure, "--env", env_id, "--preset", given.preset]
        jobs = [Job(label, name, env_id, 5_000, given.preset) for name, label in labels.items()]
        env = jaxmac.make(env_id)
        best = env.optimal_return or env.best_known_return
        task = TASKS[env_id]
        threshold = 0.95 * best if task.options and best else task.threshold  # a level is for the task's options
        name = f"{slug(given.figure)}_{slug(env_id)}"
        run(name, f"{env_id}, preset {given.preset}", jobs, given, threshold)


if __name__ == "__main__":
    main()
