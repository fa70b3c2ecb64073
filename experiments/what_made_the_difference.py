"""One change at a time from preset `tuned` of AVF-QMIX on BoxPushing-10.

    python -m experiments.what_made_the_difference

Results: experiments/results/what_made_the_difference.
"""

from experiments.common import Job, arguments, run

CHANGES = {
    "tuned": {},
    "no tournament": {"sampling": "uniform"},
    "no random half": {"explore_fraction": 0.0},
    "raw rewards": {"reward_scale": 1.0},
    "paper's learning rate": {"learning_rate": 5e-5},
    "half the updates": {"train_freq": 200},
    "slow target": {"polyak": 0.995},
}


def main() -> None:
    """Train every change."""
    given = arguments(__doc__, range(200, 208))
    jobs = [Job(label, "avf-qmix", "BoxPushing-10", 5_000, settings=values) for label, values in CHANGES.items()]
    run("what_made_the_difference", "AVF-QMIX, Box Pushing 10x10: one change from tuned", jobs, given, 98.0)


if __name__ == "__main__":
    main()
