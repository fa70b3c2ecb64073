"""Runs as the JSON that marl-eval reads, for its plots and tables.

Gorsane et al., *Towards a Standardised Performance Evaluation Protocol for Cooperative MARL*, NeurIPS 2022.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxmac.evaluation.comparison import gather
from jaxmac.runs.result import Result

METRICS = {
    "mean_episode_return": "eval_return",
    "mean_discounted_return": "eval_discounted_return",
    "mean_episode_length": "eval_length",
}


def marl_eval(results: Sequence[Result], window: int = 10) -> dict[str, Any]:
    """Environment -> task -> algorithm -> `seed_N` -> `step_K` -> counts and means.

    Means are lists of one; `absolute_metrics` are those over the last `window` evaluations. The environment is the
    part of the id before the dash; it and the task are in lower case, as marl-eval looks them up.

    Raises ValueError for no runs.
    """
    written: dict[str, Any] = {}
    for line in gather(results):
        result, task = results[line.run], line.task.lower()
        family = written.setdefault(task.split("-")[0].split(" ")[0], {})
        seeds = family.setdefault(task, {}).setdefault(line.label, {})
        for member in line.members:
            seeds[f"seed_{result.members[member]['seed']}"] = _member(result.metrics, member, window)
    return written


def _member(metrics: dict[str, np.ndarray], member: int, window: int) -> dict[str, Any]:
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
