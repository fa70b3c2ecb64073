"""Runs as the JSON that the library marl-eval reads for its plots and tables.

The protocol is that of Gorsane et al., "Towards a Standardised Performance Evaluation Protocol for Cooperative
MARL" (2022).
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from jaxmac.analysis.returns import check_window
from jaxmac.errors import RunNote
from jaxmac.evaluation.comparison import Runs, gather, results_of

METRICS = {  # marl-eval's name -> column of metrics.csv
    "mean_episode_return": "eval_return",
    "mean_discounted_return": "eval_discounted_return",
    "mean_episode_length": "eval_length",
}


def marl_eval_data(runs: Runs, window: int = 10) -> dict[str, Any]:
    """Environment -> task -> algorithm -> `seed_N` -> `step_K` -> counts and means of one evaluation.

    Every mean is a list with one number. `absolute_metrics`, beside the steps, holds the means over the last
    `window` evaluations. The environment is the part of its id before the dash. It and the task are written in
    lower case, as marl-eval expects.

    What is not finite stays so, as Python's json reads and writes it, and comes with a `RunNote`.

    `runs` and `window` are as for `jaxmac.compare`. Raises ValueError if there are no runs, or `window` is below 1;
    RunDirectoryError if a run cannot be read.
    """
    check_window(window)
    results = results_of(runs)
    data: dict[str, Any] = {}
    for line in gather(results):
        result, task = results[line.run], line.task.lower()
        family = data.setdefault(task.split("-")[0].split(" ")[0], {})
        seeds = family.setdefault(task, {}).setdefault(line.label, {})
        for member in line.members:
            metrics = {name: values[: len(line.curve.returns)] for name, values in result.metrics.items()}
            missing = int((~np.isfinite(metrics["eval_return"][:, member])).sum())
            if missing:
                warnings.warn(
                    f"{line.label}, member {member}: evaluations that are not finite: {missing}",
                    RunNote,
                    stacklevel=2,
                )
            seeds[f"seed_{result.members[member]['seed']}"] = _member(metrics, member, window)
    return data


def _member(metrics: dict[str, np.ndarray], member: int, window: int) -> dict[str, Any]:
    """The evaluations of one member."""
    steps: dict[str, Any] = {}
    for evaluation in range(len(metrics["episodes"])):
        counts = {
            "step_count": int(metrics["env_steps"][evaluation, member]),
            "elapsed_time": float(metrics["wall_seconds"][evaluation, member]),
        }
        means = {name: [float(metrics[column][evaluation, member])] for name, column in METRICS.items()}
        steps[f"step_{evaluation}"] = counts | means
    last = {name: [float(metrics[column][-window:, member].mean())] for name, column in METRICS.items()}
    return {**steps, "absolute_metrics": last}
