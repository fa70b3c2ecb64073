"""The benchmark: nine algorithms on thirteen tasks with preset `tuned`, ten seeds that no sweep was tuned on.

    python -m experiments.benchmark                                       # all cells that are missing
    python -m experiments.benchmark --env Warehouse-D --algorithm avf-qmix mac-ippo
    python -m experiments.benchmark --report                              # docs/benchmark.md from what is stored

A cell is an algorithm on a task. It is stored in results/benchmark/TASK/ALGORITHM.{csv,json} once it is trained; a
stopped one goes on from its checkpoint. A cell that failed, or that its algorithm cannot hold, is stored with the
reason and left alone unless --retry is given; so is one whose process was killed again and again without progress.
A disk that is full is no failure of a cell: it is missing still.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import jaxmac
from experiments import benchmark_cells, benchmark_report
from experiments.common import RUNS, Job, slug, train_or_go_on
from experiments.tasks import TASKS
from jaxmac.algorithms.registry import configure, make_algorithm
from jaxmac.algorithms.value_based import episodes_before_learning
from jaxmac.analysis import final_returns
from jaxmac.bench.machine import machine
from jaxmac.cli.scripts import ScriptParser

# The most telling ones first, in both lists.
ALGORITHMS = (
    "avf-qmix",
    "mac-ippo",
    "mac-mappo",
    "mac-dec-q",
    "mac-iaicc",
    "mac-cen-q",
    "avf-vdn",
    "avf-qplex",
    "tomacvf-qmix",
)
ENVIRONMENTS = (
    "Warehouse-D",
    "BoxPushing-10",
    "Warehouse-S",
    "Warehouse-T",
    "CaptureTarget-10",
    "Overcooked-A",
    "BoxPushing-30",
    "Warehouse-D1",
    "Warehouse-T1",
    "Warehouse-Q",
    "BoxPushing-20",
    "Overcooked-B",
    "Overcooked-C",
)
EVALUATIONS = 100  # kept of a curve, about; each the mean of its neighbours
MOST_KILLS = 3  # of a cell's process, without an evaluation in between, before the cell counts as failed


class Cell(NamedTuple):
    """An algorithm on a task, and the stem of the files that hold it."""

    env: str
    algorithm: str

    @property
    def stem(self) -> Path:
        """Path of its files without their endings."""
        return benchmark_cells.FOLDER / slug(self.env) / self.algorithm

    def stored(self) -> dict[str, Any] | None:
        """What is known of it: see `train_cell`."""
        return benchmark_cells.read_cell(self.stem)


def main() -> None:
    """Train the missing cells of the algorithms and tasks asked for, then write the report."""
    given = _arguments()
    commit()  # that of the programs that are imported now
    cells = [Cell(env, algorithm) for env in given.env for algorithm in given.algorithm]
    for cell in () if given.report else cells:
        seeds, stored = seeds_of(cell, given.seeds), cell.stored()
        if is_wanted(cell, stored, seeds, given.retry):
            try:
                store(cell, train_cell(cell, seeds, retry=stored is not None and "failed" in stored), stored)
            except OSError as error:  # a full disk, or a run directory that could be a user's
                print(f"{cell.env}, {cell.algorithm} is left out: {error}")
    benchmark_report.write(ENVIRONMENTS, ALGORITHMS)


def _arguments() -> argparse.Namespace:
    parser = ScriptParser(__doc__)
    tasks = "tasks (default: all)"
    parser.add_argument("--env", nargs="+", choices=ENVIRONMENTS, default=ENVIRONMENTS, metavar="TASK", help=tasks)
    parser.add_argument(
        "--algorithm", nargs="+", choices=ALGORITHMS, default=ALGORITHMS, metavar="NAME", help="default: all"
    )
    parser.add_argument("--seeds", type=int, default=10, metavar="N", help="how many seeds (default: 10)")
    parser.add_argument(
        "--retry", action="store_true", help="train failed cells again, from a sound checkpoint if there is one"
    )
    parser.add_argument("--report", action="store_true", help="train nothing")
    parser.add_argument("--devices", type=int, default=os.cpu_count() or 1, help="virtual CPU devices")
    given = parser.parse_args()
    if given.seeds < 1:
        parser.error(f"--seeds {given.seeds} is not a number of seeds; allowed: 1 or more")
    jaxmac.use_cpu_devices(given.devices)
    return given


def seeds_of(cell: Cell, count: int) -> list[int]:
    """The first `count` seeds of a cell: from 300 on, or after those that its preset was chosen with."""
    first = benchmark_report.OTHER_SEEDS.get((cell.env, cell.algorithm), benchmark_report.FIRST_SEED)
    return [*range(first, first + count)]


def is_wanted(cell: Cell, stored: dict[str, Any] | None, seeds: Sequence[int], retry: bool) -> bool:
    """Whether a cell has to be trained: missing, with fewer seeds, of another task, or failed and to be retried.

    A result of more seeds is never replaced by one of fewer.
    """
    if stored is None:
        return True
    if "failed" in stored:
        return retry
    task = {"episodes": TASKS[cell.env].episodes, "env_options": TASKS[cell.env].options}
    other = any(stored.get(name, value) != value for name, value in task.items())
    return other or not set(seeds) <= set(stored["seeds"])


def train_cell(cell: Cell, seeds: list[int], retry: bool = False) -> dict[str, Any]:
    """Train a cell, or go on with it, and return what is stored of it; with `retry` earlier kills do not count.

    `failed` holds the reason why there is no result. Otherwise: `curve`, rows of training episodes and the return
    of each seed; `final` and `final_discounted`, the mean of each seed's last ten evaluations; `greedy`, where
    these sample macro-actions, each seed's mean return in greedy play at the end, and `greedy_seeds`, those of the
    episodes (without them: 0 for all); settings, minutes, and `trained_on`. Some that are stored have
    `trained_before`, the result of the same seeds when greedy play was not measured yet. Raises OSError if a file
    could not be written, which says nothing of the cell.
    """
    task = TASKS[cell.env]
    about: dict[str, Any] = {"env": cell.env, "algorithm": cell.algorithm, "seeds": seeds}
    about |= {"episodes": task.episodes, "env_options": task.options}
    try:
        env = jaxmac.make(cell.env, **task.options)
        make_algorithm(cell.algorithm, env, configure(cell.algorithm, "tuned", env, {}))
        result = _train_or_go_on(cell, seeds, retry)
    except (ValueError, MemoryError, RuntimeError) as error:
        if isinstance(error.__cause__, OSError):
            raise error.__cause__ from None
        failed = " ".join(str(error).split("\n")[0].split())
        return about | {"jaxmac": jaxmac.__version__, "failed": failed, "trained_on": trained_on({})}
    start = episodes_before_learning(result.config["settings"])
    if result.policy().act_greedily is not None:
        # Each seed in episodes of its own, so that an interval over seeds has their error, too.
        about["greedy"] = [
            jaxmac.evaluate(result, seed=seed, member=member, greedy=True)[0]["mean"]
            for member, seed in enumerate(seeds)
        ]
        about["greedy_seeds"] = seeds
    return about | {
        "curve": thinned(result.metrics["episodes"][:, 0], result.metrics["eval_return"], start),
        "final": final_returns(result.metrics["eval_return"]).tolist(),
        "final_discounted": final_returns(result.metrics["eval_discounted_return"]).tolist(),
        "minutes": round(float(result.metrics["wall_seconds"][-1].max()) / 60, 2),
        "settings": result.config["settings"] | result.config["hyperparameters"],
        "backend": result.config["backend"],
        "jaxmac": result.config["versions"]["jaxmac"],
        "trained_on": trained_on(result.config["versions"]),
    }


def trained_on(versions: dict[str, str]) -> dict[str, Any]:
    """The machine that a cell ended on, the versions that its run began with, and the commit if git knows one."""
    here = machine()
    about = {name: here[name] for name in ("cpu", "cores", "device")}
    return about | {"versions": versions, "commit": commit()}


@cache
def commit() -> str | None:
    """The repository's commit when the process first asks, with "+" if its programs differ; None without git."""
    git = ("git", "-C", str(Path(__file__).parents[1]))
    try:
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
        changed = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", "*.py"]).returncode
    except (OSError, subprocess.CalledProcessError):
        return None
    return head.stdout.strip() + "+" * bool(changed)


def _train_or_go_on(cell: Cell, seeds: list[int], retry: bool) -> jaxmac.Result:
    out, task = RUNS / "benchmark" / slug(cell.env) / cell.algorithm, TASKS[cell.env]
    with counted_kills(out, forget=retry):
        job = Job(cell.algorithm, cell.algorithm, cell.env, task.episodes, env_options=task.options)
        return train_or_go_on(job, seeds, task.episodes, out, keep_finished=True)


@contextmanager
def counted_kills(out: Path, forget: bool = False) -> Iterator[None]:
    """Count, in a file beside the run directory `out`, the processes that end within without being able to say so.

    Raises RuntimeError after `MOST_KILLS` of them of which none came further than those before, in evaluations.
    """
    file, metrics = out.with_name(f"{out.name}.kills"), out / "metrics.csv"
    rows = metrics.read_bytes().count(b"\n") if metrics.exists() else 0
    counts = file.read_text().split() if file.exists() else []
    kills, most = map(int, counts) if len(counts) == 2 else (0, rows)  # none, or half written
    if rows > most or forget:
        kills, most = 0, rows
    if kills >= MOST_KILLS:
        raise RuntimeError(f"its process was killed {kills} times without progress, perhaps for memory")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{kills + 1} {most}\n")
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def thinned(
    episodes: np.ndarray, returns: np.ndarray, start: float = 0, most: int = EVALUATIONS
) -> list[list[float]]:
    """About `most` rows `[episodes, return of each seed]`; a row is the mean of as many evaluations as needed.

    Evaluations before `start`, where learning starts, are not mixed with those after it.
    """
    untrained, size = int(((episodes <= 0) | (episodes < start)).sum()), -(-len(episodes) // most)
    parts = np.arange(untrained), np.arange(untrained, len(episodes))
    blocks = [part[first : first + size] for part in parts for first in range(0, len(part), size)]
    rows = [[float(episodes[block[-1]]), *returns[block].mean(0)] for block in blocks]
    return [[float(f"{value:.5g}") for value in row] for row in rows]


def store(cell: Cell, content: dict[str, Any], before: dict[str, Any] | None) -> None:
    """Write a cell, unless it has failed and there is a result of `before`, which stays."""
    if "failed" in content and before is not None and "failed" not in before:
        print(f"{cell.env}, {cell.algorithm}: the stored result stays, as it failed anew: {content['failed']}")
        return
    write(cell, content)


def write(cell: Cell, content: dict[str, Any]) -> None:
    """Store a cell: the curve as CSV, all else as JSON, each of them whole or not at all."""
    cell.stem.parent.mkdir(parents=True, exist_ok=True)
    curve = content.pop("curve", None)
    if curve is not None:
        text = io.StringIO(newline="")
        csv.writer(text).writerows([["episodes", *content["seeds"]], *curve])
        _replace(cell.stem.with_suffix(".csv"), text.getvalue())
    _replace(cell.stem.with_suffix(".json"), json.dumps(content, indent=1) + "\n")


def _replace(path: Path, text: str) -> None:
    draft = path.with_name(f"{path.name}.part")
    try:
        draft.write_text(text, newline="")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
