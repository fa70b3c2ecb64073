"""This version against an older one on the same machine, case by case, in turn: old, new, old, new, ...

    git worktree add OLD 7de6d8f                     # the older version: 0.1.0
    python -m benchmarks.paired OLD                  # some twenty minutes on two idle cores
    python -m benchmarks.paired OLD --case episodes --pairs 20

Both get the same batches: sizes, members and updates per step are given. Networks are those of each version's
`tuned`, so the new one has what the recipe adds (minGRU, layer normalisation, lambda-returns), and where it says so
a GRU as the old one has. Each version has a process of its own with all cores, which waits while the other one
works; both are compiled before anything is timed. A pair is an iteration (or twenty evaluations) of each, one right
after the other, so that a machine whose speed changes does so for both; the ratio is new over old, pair by pair.
Writes benchmarks/results/paired.{json,md}.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from subprocess import PIPE
from typing import IO, Any, NamedTuple

from jaxmac.bench.machine import machine
from jaxmac.cli.scripts import ScriptParser
from jaxmac.runs.directory import versions

OUT = Path(__file__).parent / "results" / "paired.json"
READY = "ready"
PROBE = Path(__file__).parent / "probe.py"


class Case(NamedTuple):
    """What is measured: updates per second of a program, or seconds of an evaluation."""

    algorithm: str
    env: str
    members: int
    settings: dict[str, Any]  # of both versions
    new: dict[str, Any] = {}  # of the new version alone
    iterations: int = 0  # before an evaluation is timed; 0: updates are timed
    goal: float = 0.0  # the ratio that was aimed at


WINDOWS = {"trajectory": 25, "trajectory_unit": "steps", "batch_size": 32, "max_rows": 12, "hidden_size": 32}
WINDOWS |= {"train_freq": 100}
PAPER = {"trajectory": 25, "trajectory_unit": "rows", "max_rows": 25, "hidden_size": 64, "batch_size": 64}
PAPER |= {"train_freq": 100}
EPISODES = {"batch_size": 16, "trajectory_unit": "episode", "max_rows": 0, "hidden_size": 32, "train_freq": 400}
MINGRU, GRU = {"memory": "mingru"}, {"memory": "gru"}
CASES = {
    "windows": Case("avf-qmix", "BoxPushing-10", 8, WINDOWS, MINGRU, goal=2.2),
    "windows, GRU": Case("avf-qmix", "BoxPushing-10", 8, WINDOWS, GRU),
    "papers' size": Case("avf-qmix", "BoxPushing-10", 8, PAPER, MINGRU, goal=2.0),
    "episodes": Case("avf-qmix", "Warehouse-D", 8, EPISODES, MINGRU, goal=2.5),
    "episodes, ToMacVF": Case("tomacvf-qmix", "Warehouse-D", 8, EPISODES, MINGRU, goal=2.0),
    "evaluation": Case("avf-qmix", "BoxPushing-10", 8, WINDOWS, MINGRU, iterations=250, goal=5.0),
}


def main(words: Sequence[str] | None = None) -> int:
    """Measure the cases asked for, and write all that are stored as a table; returns the exit status."""
    parser = ScriptParser(__doc__)
    parser.add_argument("old", type=Path, help="folder of the older version")
    parser.add_argument("--case", nargs="+", choices=CASES, default=list(CASES), help="cases (default: all)")
    parser.add_argument(
        "--pairs", type=int, default=15, help="measurements of each version, at least 2 (default: 15)"
    )
    parser.add_argument("--out", type=Path, default=OUT, help="JSON file to write (default: %(default)s)")
    given = parser.parse_args(words)
    if given.pairs < 2:
        parser.error(f"--pairs {given.pairs}: a range needs 2 or more")
    given.out.parent.mkdir(parents=True, exist_ok=True)
    if not (given.old / "jaxmac").is_dir():
        print(f"{given.old} has no folder jaxmac: give a checkout of the older version", file=sys.stderr)
        return 2
    report = json.loads(given.out.read_text(encoding="utf-8")) if given.out.exists() else {}
    for name in given.case:
        report[name] = measured(CASES[name], given.old, given.pairs)
        given.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        print(line(name, report[name]), flush=True)
    given.out.with_suffix(".md").write_text(table(report), encoding="utf-8")
    return 0


def measured(case: Case, old: Path, pairs: int) -> dict[str, Any]:
    """Rates (per second) of the old and the new version in turn, and the median of their ratios."""
    about = {"goal": case.goal, "unit": "evaluations/s" if case.iterations else "updates/s", "machine": machine()}
    here, rates = Path(__file__).parents[1], []
    with probe(case, case.settings, old) as before, probe(case, case.settings | case.new, here) as after:
        for _ in range(pairs):
            rates.append((before(), after()))
    ratios = [new / before for before, new in rates]
    return about | versions() | {"rates": rates, "ratio": statistics.median(ratios), "ratios": ratios}


def probe(case: Case, settings: dict[str, Any], folder: Path) -> AbstractContextManager[Callable[[], float]]:
    """A process of the version in `folder`, ready to measure: a function that gives its rate at each call."""
    words = [case.algorithm, case.env, str(case.members), json.dumps(settings), str(case.iterations)]
    return asked([sys.executable, "-c", PROBE.read_text(encoding="utf-8"), *words], folder)


@contextmanager
def asked(command: Sequence[str], folder: Path) -> Iterator[Callable[[], float]]:
    """A function that asks a process for a number: it prints `READY` once, and a number for each line it reads.

    Raises RuntimeError, with the last line on its stderr, if the process ends.
    """
    with (
        tempfile.TemporaryFile("w+") as errors,  # a pipe that nobody reads would fill up and stop the process
        subprocess.Popen(command, cwd=folder, stdin=PIPE, stdout=PIPE, stderr=errors, text=True) as process,
    ):
        assert process.stdin and process.stdout

        def line() -> str:
            text = process.stdout.readline()
            if not text:
                raise RuntimeError(f"{folder}: {last_words(process.wait(), errors)}")
            return text.strip()

        def ask() -> float:
            process.stdin.write("\n")
            process.stdin.flush()
            return float(line())

        while line() != READY:  # libraries print, too
            pass
        yield ask
        process.stdin.close()


def last_words(status: int, errors: IO[str]) -> str:
    """The last line that an ended process wrote into `errors`, or how it ended."""
    errors.seek(0)
    lines = errors.read().strip().splitlines()
    return lines[-1] if lines else f"the process ended with status {status}"


def line(name: str, found: dict[str, Any]) -> str:
    """A row of the table."""
    old, new = (statistics.median(pair[side] for pair in found["rates"]) for side in (0, 1))
    goal = f"{found['goal']:g}" if found["goal"] else ""
    low, _, high = statistics.quantiles(found["ratios"], n=4, method="inclusive")
    spread = f"{low:.2f} to {high:.2f}"
    return f"| {name} | {old:,.3g} | {new:,.3g} | {found['ratio']:.2f} ({spread}) | {goal} |"


def table(report: dict[str, Any]) -> str:
    """All stored cases as a page."""
    machines: dict[str, list[str]] = {}
    for name, found in report.items():
        machines.setdefault(f"{found['machine']['cpu']}, {found['machine']['cores']} cores", []).append(name)
    about = "; ".join(
        f"{one} ({', '.join(names)})" if len(machines) > 1 else one for one, names in machines.items()
    )
    lines = [
        "# Against version 0.1.0",
        "",
        "Command: `python -m benchmarks.paired OLD`. Updates per second, summed over eight members (evaluation: "
        "times a second that members that solve the task are evaluated over 32 episodes each). Medians, and "
        "the median of the ratios, taken pair by pair, with the range of their middle half. "
        f"Machine: {about}.",
        "",
        "| case | old | new | new / old | goal |",
        "|---|---|---|---|---|",
    ]
    return "\n".join([*lines, *(line(name, found) for name, found in report.items())]) + "\n"


if __name__ == "__main__":
    sys.exit(main())
