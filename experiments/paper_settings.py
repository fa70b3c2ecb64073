"""The AVF paper's own hyperparameters (preset `paper`) at its scale, 15,000 episodes, on BoxPushing-10.

    python -m experiments.paper_settings                     # two seeds
    python -m experiments.paper_settings --seeds $(seq 0 19) # the paper's twenty

A window of 25 steps holds about six joint rows; it is padded to 16 of them instead of 25, which halves the time.
Results: experiments/results/paper_settings.
"""

from experiments.common import Job, arguments, run

MIXERS = ("qplex", "qmix", "vdn")


def main() -> None:
    """Train the three mixers."""
    given = arguments(__doc__, range(200, 202))
    jobs = [
        Job(f"AVF-{m.upper()}", f"avf-{m}", "BoxPushing-10", 15_000, preset="paper", settings={"max_rows": 16})
        for m in MIXERS
    ]
    run("paper_settings", "Box Pushing 10x10, preset paper", jobs, given, 98.0)


if __name__ == "__main__":
    main()
