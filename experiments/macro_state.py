"""The macro-states of the mixer: joint, real, terminated or start (after Figure 5 of the AVF paper), BoxPushing-10.

    python -m experiments.macro_state

Results: experiments/results/macro_state_{qmix,qplex}.
"""

from experiments.common import Job, arguments, run
from jaxmac.record.joint_rows import MACRO_STATES


def main() -> None:
    """Train every macro-state with both mixers."""
    given = arguments(__doc__, range(200, 208))
    for mixer in ("qmix", "qplex"):
        jobs = [
            Job(mode, f"avf-{mixer}", "BoxPushing-10", 5_000, settings={"macro_state": mode})
            for mode in MACRO_STATES
        ]
        title = f"Macro-state of AVF-{mixer.upper()}, Box Pushing 10x10, preset tuned"
        run(f"macro_state_{mixer}", title, jobs, given, 98.0)


if __name__ == "__main__":
    main()
