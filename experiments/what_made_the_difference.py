"""What each part of preset `tuned` is worth: one change at a time, AVF-QMIX, eight seeds.

    python -m experiments.what_made_the_difference --env Warehouse-D
    python -m experiments.what_made_the_difference --only          # draw the stored metrics anew

Results: experiments/results/what_made_the_difference/ENVIRONMENT; finals.png there shows where every seed ends.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

import jaxmac
from experiments.baselines import anchors
from experiments.common import Job, arguments, folders, run
from experiments.tasks import TASKS
from jaxmac.algorithms.registry import configure
from jaxmac.analysis import interval_figure

NAME = "what_made_the_difference"
ENVIRONMENTS = ("Warehouse-D", "BoxPushing-20", "Overcooked-A", "CaptureTarget-10")
LAMBDAS = (0.0, 0.5, 0.8, 0.95, 1.0)
EPISODES = {"CaptureTarget-10": 20_000}  # `tuned` has learned the task after a fifth of the 60,000 of the others


def changes(env_id: str) -> dict[str, dict[str, Any]]:
    """The changes of an environment by label; those that its `tuned` does not differ from are left out.

    Where `tuned` has a GRU, all but the row `tuned` have a minGRU, so that the tables of all tasks compare.
    """
    tuned = configure("avf-qmix", "tuned", jaxmac.make(env_id), {})
    if tuned.memory == "mingru":
        return {"tuned": {}, "GRU": {"memory": "gru"}} | _single_changes(tuned)
    base = {"memory": "mingru"}
    return {"tuned": {}, "minGRU": base} | {
        label: base | change for label, change in _single_changes(tuned).items()
    }


def _single_changes(tuned: Any) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]]
    found = {f"lambda {value:g}": {"td_lambda": value} for value in LAMBDAS if value != tuned.td_lambda}
    found |= {
        "no layer norm": {"layer_norm": False},
        "windows of 25 steps": {"trajectory_unit": "steps", "trajectory": 25, "max_rows": 0},
        "half the updates": {"train_freq": 2 * tuned.train_freq},
        "twice the updates": {"train_freq": max(1, tuned.train_freq // 2)},
    }
    if tuned.sampling == "tournament":
        found["no tournament"] = {"sampling": "uniform"}
    if tuned.explore_fraction:
        found["no random half"] = {"explore_fraction": 0.0}
    return found


def main() -> None:
    """Train every change of the environments asked for."""
    choices = {"nargs": "+", "choices": ENVIRONMENTS, "default": ENVIRONMENTS, "help": "environments"}
    given = arguments(__doc__, range(200, 208), env=choices)
    written: list[Path | None] = []
    for env_id, folder in folders(given, NAME):
        task = TASKS[env_id]
        jobs = [
            Job(label, "avf-qmix", env_id, EPISODES.get(env_id, task.episodes), settings=values)
            for label, values in changes(env_id).items()
        ]
        base = "row minGRU" if "minGRU" in changes(env_id) else "preset tuned"
        title = f"{env_id}, AVF-QMIX: one change from {base}"
        known = anchors(jaxmac.make(env_id))
        written.append(run(folder, title, jobs, given, task.threshold, known))
    for folder in filter(None, written):
        draw_finals(folder)


def draw_finals(folder: Path) -> None:
    """Draw the final returns of all changes, finals.png, from the summary in `folder`."""
    content = json.loads((folder / "summary.json").read_text())
    rows = content["rows"]
    best = rows[0]["optimum"]
    figure = interval_figure(
        {row["label"]: np.asarray(row["finals"]) for row in rows},
        content["title"],
        "mean return of the last ten evaluations",
        {"solved from": content["threshold"]} | ({} if best is None else {"optimum": best}),
    )
    figure.savefig(folder / "finals.png", dpi=150)


if __name__ == "__main__":
    main()
