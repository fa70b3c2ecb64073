"""The macro-states of the mixer: joint, real, terminated or start (after Figure 5 of the AVF paper), preset tuned.

    python -m experiments.macro_state --env BoxPushing-10

Results: experiments/results/macro_state/ENVIRONMENT_{qmix,qplex}.
"""

from experiments.common import RESULTS, Job, arguments, run, slug
from experiments.tasks import TASKS
from jaxmac.record.joint_rows import MACRO_STATES

ENVIRONMENTS = ("BoxPushing-10", "Warehouse-S")


def main() -> None:
    """Train every macro-state with both mixers."""
    choices = {"nargs": "+", "choices": ENVIRONMENTS, "default": ENVIRONMENTS, "help": "environments"}
    given = arguments(__doc__, range(200, 208), env=choices)
    for env_id in given.env:
        given.running = ["--env", env_id]
        for mixer in ("qmix", "qplex"):
            name = f"macro_state/{slug(env_id)}_{mixer}"
            if given.only == [] and not (RESULTS / name).exists():
                continue
            jobs = [
                Job(mode, f"avf-{mixer}", env_id, TASKS[env_id].episodes, settings={"macro_state": mode})
                for mode in MACRO_STATES
            ]
            title = f"Macro-state of AVF-{mixer.upper()}, {env_id}, preset tuned"
            run(name, title, jobs, given, TASKS[env_id].threshold)


if __name__ == "__main__":
    main()
