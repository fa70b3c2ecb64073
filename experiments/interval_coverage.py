"""How far bootstrap intervals over few seeds can be trusted, by simulation.

    python -m experiments.interval_coverage     # a minute

The returns of two algorithms that are equally good are drawn from one normal distribution. How often do 95 %
intervals of the mean and of the interquartile mean hold the true value, and how often does the interval of the
probability of improvement leave .5 out, which looks like evidence that one of the two is better? Writes
results/interval_coverage/summary.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxmac.analysis import statistics
from jaxmac.cli.scripts import ScriptParser

SEEDS = (3, 4, 5, 8, 10, 16, 20)
REPEATS, RESAMPLES = 1000, 1000
FOLDER = Path(__file__).parent / "results" / "interval_coverage"


def main(words: Sequence[str] | None = None) -> int:
    """Simulate every number of seeds, write the table and print it; returns the exit status."""
    parser = ScriptParser(__doc__)
    parser.add_argument("--repeats", type=int, default=REPEATS, help="simulated studies (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder to write to (default: %(default)s)")
    given = parser.parse_args(words)
    if given.repeats < 1:
        parser.error(f"--repeats is {given.repeats}, but must be at least 1")
    rows = [(seeds, *shares(seeds, given.repeats)) for seeds in SEEDS]
    lines = [
        "# Intervals over few seeds",
        "",
        "Command: `python -m experiments.interval_coverage`",
        "",
        f"{given.repeats:,} simulated studies for each number of seeds, normally distributed returns, percentile",
        f"bootstrap with {RESAMPLES:,} resamples.",
        "",
        "| seeds | the interval of the mean holds it | that of the interquartile mean holds it | that of the "
        "probability of improvement leaves .5 out, though neither is better |",
        "|---|---|---|---|",
        *(f"| {seeds} | {mean:.0%} | {iqm:.0%} | {wrong:.0%} |" for seeds, mean, iqm, wrong in rows),
    ]
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "summary.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))
    return 0


def shares(seeds: int, repeats: int) -> tuple[float, float, float]:
    """The three columns for studies with this number of seeds."""
    rng = np.random.default_rng(seeds)
    ours, theirs = rng.normal(size=(2, repeats, seeds))
    mean = statistics.mean([ours], resamples=RESAMPLES)
    iqm = statistics.interquartile_mean([ours], resamples=RESAMPLES)
    better = statistics.probability_of_improvement([ours], [theirs], resamples=RESAMPLES)
    return _holds(mean, 0.0), _holds(iqm, 0.0), 1.0 - _holds(better, 0.5)


def _holds(found: statistics.Estimate, value: float) -> float:
    return float(((found.low <= value) & (value <= found.high)).mean())


if __name__ == "__main__":
    raise SystemExit(main())
