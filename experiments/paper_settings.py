"""The AVF paper's own hyperparameters (preset `paper`) at its scale, 15,000 episodes, on BoxPushing-10.

    python -m experiments.paper_settings                     # two seeds
    python -m experiments.paper_settings --seeds $(seq 0 19) # the paper's twenty

Results: experiments/results/paper_settings.
"""

from experiments.common import Job, arguments, run


def main() -> None:
    given = arguments(__doc__, range(200, 202))
    jobs = [
        Job(f"AVF-{m.upper()}", f"avf-{m}", "BoxPushing-10", 15_000, preset="paper")
        for m in ("qplex", "qmix", "vdn")
    ]
    run("paper_settings", "Box Pushing 10x10, preset paper", jobs, given, 98.0)


if __name__ == "__main__":
    main()
