"""How often seeds of a stored cell of experiments.tasks fail an evaluation after the first that they pass.

    python -m experiments.failing_evaluations --env Overcooked-B --algorithm AVF-QMIX
    python -m experiments.failing_evaluations --env Overcooked-B --algorithm AVF-QMIX --commit 2915fcc

An evaluation passes from the level on that the task counts as solved. Nothing is written.
"""

from __future__ import annotations

import csv
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from experiments.common import RESULTS, slug
from experiments.tasks import FOUR, TASKS
from jaxmac.cli.scripts import ScriptParser


def failing(returns: Iterable[Sequence[float]], level: float) -> tuple[int, int, int]:
    """Seeds that ever pass, evaluations after a seed's first that passes, and those of them below `level`.

    Args:
        returns: for each seed the returns of its evaluations, in order.
        level: the least return that passes.
    """
    passing = later = failed = 0
    for evaluations in returns:
        first = next((i for i, value in enumerate(evaluations) if value >= level), None)
        if first is None:
            continue
        after = evaluations[first + 1 :]
        passing, later, failed = passing + 1, later + len(after), failed + sum(value < level for value in after)
    return passing, later, failed


def stored(env_id: str, algorithm: str, commit: str | None) -> list[list[float]]:
    """The returns of each seed's evaluations, as they are in the working tree or were in a commit.

    Raises:
        SystemExit: the cell is not stored there.
    """
    path = RESULTS / "tasks" / slug(env_id) / f"{algorithm.lower()}.csv"
    try:
        text = path.read_text() if commit is None else _at(commit, path)
    except (OSError, subprocess.CalledProcessError):
        where = "is stored" if commit is None else f"in commit {commit}"
        raise SystemExit(f"no result of {algorithm} on {env_id} {where}") from None
    seeds: dict[str, list[float]] = {}
    for row in csv.DictReader(text.splitlines()):
        seeds.setdefault(row["seed"], []).append(float(row["eval_return"]))
    return list(seeds.values())


def _at(commit: str, path: Path) -> str:
    words = ["git", "show", f"{commit}:./{path.name}"]
    return subprocess.run(words, cwd=path.parent, check=True, capture_output=True, text=True).stdout


def main() -> None:
    """Print one line for the cell that the command line names."""
    parser = ScriptParser(__doc__.partition("\n")[0])
    parser.add_argument("--env", required=True, choices=list(TASKS))
    parser.add_argument("--algorithm", required=True, choices=list(FOUR))
    parser.add_argument("--commit", help="the results as they were in this commit")
    given = parser.parse_args()
    seeds = stored(given.env, given.algorithm, given.commit)
    passing, later, failed = failing(seeds, TASKS[given.env].threshold)
    print(f"{given.algorithm} on {given.env}: {passing} of {len(seeds)} seeds pass, then {failed} of {later} fail")


if __name__ == "__main__":
    main()
