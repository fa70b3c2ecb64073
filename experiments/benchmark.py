"""The benchmark: every algorithm on every task with preset `tuned`, ten seeds that nothing was tuned on.

    python -m experiments.benchmark                                       # all cells that are missing
    python -m experiments.benchmark --env Warehouse-D --algorithm avf-qmix mac-ippo
    python -m experiments.benchmark --report                              # docs/benchmark.md from what is stored

A cell is an algorithm on a task. It is stored in results/benchmark/TASK/ALGORITHM.{csv,json} once it is trained; a
stopped one goes on from its checkpoint. A cell that failed, or that its algorithm cannot hold, is stored with the
reason and left alone unless --retry is given.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import jaxmac
from experiments import benchmark_report
from experiments.common import RUNS, arguments, slug
from experiments.tasks import TASKS
from jaxmac.algorithms.registry import configure, make_algorithm
from jaxmac.algorithms.value_based import episodes_before_learning
from jaxmac.analysis import final_returns

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
FIRST_SEED = 300
EVALUATIONS = 100  # kept of a curve, about; each the mean of its neighbours


class Cell(NamedTuple):
    """An algorithm on a task, and the stem of the files that hold it."""

    env: str
    algorithm: str

    @property
    def stem(self) -> Path:
        """Path of its files without their endings."""
        return benchmark_report.FOLDER / slug(self.env) / self.algorithm

    def stored(self) -> dict[str, Any] | None:
        """What is known of it: see `train_cell`."""
        path = self.stem.with_suffix(".json")
        return json.loads(path.read_text()) if path.exists() else None


def main() -> None:
    """Train the missing cells of the algorithms and tasks asked for, then write the report."""
    given = arguments(
        __doc__,
        [],
        env={"nargs": "+", "choices": ENVIRONMENTS, "default": ENVIRONMENTS, "help": "tasks"},
        algorithm={"nargs": "+", "choices": ALGORITHMS, "default": ALGORITHMS, "help": "algorithms"},
        count={"type": int, "default": 10, "help": f"number of seeds, from {FIRST_SEED} on (default: 10)"},
        retry={"action": "store_true", "help": "train cells anew that failed"},
        report={"action": "store_true", "help": "train nothing"},
    )
    seeds = given.seeds or range(FIRST_SEED, FIRST_SEED + given.count)
    cells = [Cell(env, algorithm) for env in given.env for algorithm in given.algorithm]
    for cell in () if given.report else cells:
        if is_wanted(cell.stored(), seeds, given.retry):
            write(cell, train_cell(cell, seeds, given.episodes))
    benchmark_report.write(ENVIRONMENTS, ALGORITHMS)


def is_wanted(stored: dict[str, Any] | None, seeds: Sequence[int], retry: bool) -> bool:
    """Whether a cell has to be trained: it is missing, has other seeds, or failed and is to be retried."""
    if stored is None:
        return True
    if "failed" in stored:
        return retry
    return bool(set(seeds) - set(stored["seeds"]))


def train_cell(cell: Cell, seeds: Sequence[int], episodes: int | None = None) -> dict[str, Any]:
    """Train a cell, or go on with it, and return what is stored of it.

    `failed` holds the reason why there is no result. Otherwise: `curve`, rows of training episodes and the return
    of each seed; `final` and `final_discounted`, the mean of each seed's last ten evaluations; settings, minutes,
    versions.
    """
    task = TASKS[cell.env]
    about: dict[str, Any] = {"env": cell.env, "algorithm": cell.algorithm, "seeds": [*seeds]}
    about |= {"env_options": task.options, "jaxmac": jaxmac.__version__}
    try:
        env = jaxmac.make(cell.env, **task.options)
        make_algorithm(cell.algorithm, env, configure(cell.algorithm, "tuned", env, {}))
        result = _train_or_go_on(cell, about["seeds"], episodes or task.episodes)
    except (ValueError, MemoryError, RuntimeError) as error:
        return about | {"failed": " ".join(str(error).split("\n")[0].split())}
    start = episodes_before_learning(result.config["settings"])
    return about | {
        "curve": thinned(result.metrics["episodes"][:, 0], result.metrics["eval_return"], start),
        "final": final_returns(result.metrics["eval_return"]).tolist(),
        "final_discounted": final_returns(result.metrics["eval_discounted_return"]).tolist(),
        "minutes": round(float(result.metrics["wall_seconds"][-1].max()) / 60, 2),
        "settings": result.config["settings"] | result.config["hyperparameters"],
        "backend": result.config["backend"],
    }


def _train_or_go_on(cell: Cell, seeds: list[int], episodes: int) -> jaxmac.Result:
    out = RUNS / "benchmark" / slug(cell.env) / cell.algorithm
    if (out / "config.json").exists():
        run = jaxmac.load(out)
        if run.config["seeds"] == seeds and run.config["episodes"] == episodes:
            return run if run.config["status"] == "finished" else jaxmac.resume(out)
    options = {"preset": "tuned", "env_options": TASKS[cell.env].options, "out": out, "overwrite": True}
    return jaxmac.train(cell.algorithm, cell.env, seeds=seeds, episodes=episodes, **options)


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


def write(cell: Cell, content: dict[str, Any]) -> None:
    """Store a cell: the curve as CSV, all else as JSON."""
    cell.stem.parent.mkdir(parents=True, exist_ok=True)
    curve = content.pop("curve", None)
    if curve is not None:
        with cell.stem.with_suffix(".csv").open("w", newline="") as file:
            csv.writer(file).writerows([["episodes", *content["seeds"]], *curve])
    cell.stem.with_suffix(".json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
