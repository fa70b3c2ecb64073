"""ToMacVF's ablations on BoxPushing-10, preset `tuned`.

    python -m experiments.tomacvf

Results: experiments/results/tomacvf_ablations. ToMacVF against AVF: `experiments.tasks`.
"""

from experiments.common import Job, arguments, run

ABLATIONS = {"none": "whole", "atpg": "without ATPG", "mac-sjert": "without Mac-SJERT", "both": "without both"}


def main() -> None:
    """Train every ablation."""
    given = arguments(__doc__, range(200, 208))
    jobs = [
        Job(label, "tomacvf-qmix", "BoxPushing-10", 5_000, settings={"ablation": ablation})
        for ablation, label in ABLATIONS.items()
    ]
    run("tomacvf_ablations", "ToMacVF-QMIX, Box Pushing 10x10, preset tuned", jobs, given, 95.0)


if __name__ == "__main__":
    main()
