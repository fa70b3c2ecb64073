"""ToMacVF against AVF at equal episodes, preset `tuned`, and ToMacVF's ablations on BoxPushing-10.

    python -m experiments.tomacvf --env BoxPushing-10
    python -m experiments.tomacvf --env ablations

Results: experiments/results/tomacvf_ENVIRONMENT, experiments/results/tomacvf_ablations.
"""

import jaxmac
from experiments.baselines import anchors
from experiments.common import Job, arguments, run, slug

EPISODES = {"BoxPushing-6": 5_000, "BoxPushing-10": 5_000, "Warehouse-D": 4_000, "Overcooked-A": 4_000}
THRESHOLD = {"BoxPushing-6": 95.0, "BoxPushing-10": 95.0, "Warehouse-D": 500.0, "Overcooked-A": 200.0}
ALGORITHMS = ("tomacvf-qmix", "avf-qmix", "avf-qplex")
ABLATIONS = {"none": "whole", "atpg": "without ATPG", "mac-sjert": "without Mac-SJERT", "both": "without both"}
NAMES = {"tomacvf-qmix": "ToMacVF-QMIX", "avf-qmix": "AVF-QMIX", "avf-qplex": "AVF-QPLEX"}


def main() -> None:
    """Run the environments asked for."""
    choices = [*EPISODES, "ablations"]
    given = arguments(
        __doc__,
        range(200, 208),
        env={"nargs": "+", "choices": choices, "default": choices, "help": "environments, or the ablations"},
    )
    for env_id in given.env:
        given.running = ["--env", env_id]
        if env_id == "ablations":
            jobs = [
                Job(label, "tomacvf-qmix", "BoxPushing-10", 5_000, settings={"ablation": ablation})
                for ablation, label in ABLATIONS.items()
            ]
            run("tomacvf_ablations", "ToMacVF-QMIX, Box Pushing 10x10, preset tuned", jobs, given, 95.0)
            continue
        jobs = [Job(NAMES[name], name, env_id, EPISODES[env_id]) for name in ALGORITHMS]
        known = anchors(jaxmac.make(env_id))
        run(f"tomacvf_{slug(env_id)}", f"{env_id}, preset tuned", jobs, given, THRESHOLD[env_id], known)


if __name__ == "__main__":
    main()
