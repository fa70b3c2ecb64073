"""Every task of the AVF and ToMacVF papers with preset `tuned`: four algorithms, eight seeds each.

On the grids that the benchmark leaves out there are two baselines of the papers as well.

    python -m experiments.tasks --env Warehouse-D --only AVF-QMIX
    python -m experiments.tasks --only          # draw the stored metrics and write the table anew

Results: experiments/results/tasks/ENVIRONMENT and the table experiments/results/tasks/summary.md.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import jaxmac
from experiments.baselines import anchors
from experiments.common import RESULTS, Job, arguments, folders, mean_in_words, run, slug

ALGORITHMS = {
    "AVF-QMIX": "avf-qmix",
    "AVF-QPLEX": "avf-qplex",
    "AVF-VDN": "avf-vdn",
    "ToMacVF-QMIX": "tomacvf-qmix",
    "MacDec-Q": "mac-dec-q",
    "Mac-IAICC": "mac-iaicc",
}
SIX = tuple(ALGORITHMS)
FOUR, AVF = SIX[:4], SIX[:3]


class Task(NamedTuple):
    """How long an environment is trained and from which return a seed counts as solved."""

    episodes: int
    threshold: float
    labels: tuple[str, ...] = FOUR
    options: dict[str, Any] = {}


TASKS = {
    "BoxPushing-6": Task(5_000, 98.4, SIX),
    "BoxPushing-8": Task(5_000, 98.2, SIX),
    "BoxPushing-10": Task(5_000, 97.9),
    "BoxPushing-12": Task(5_000, 97.6, SIX),
    "BoxPushing-14": Task(5_000, 97.3, SIX),
    "BoxPushing-20": Task(10_000, 95.4, AVF),
    "BoxPushing-30": Task(10_000, 93.9, AVF),
    "Warehouse-S": Task(8_000, 250.0),
    "Warehouse-D": Task(8_000, 500.0),
    "Warehouse-D1": Task(8_000, 500.0),
    "Warehouse-T": Task(15_000, 760.0),
    "Warehouse-T1": Task(15_000, 740.0),
    "Warehouse-Q": Task(25_000, 1000.0, ("AVF-QMIX", "AVF-QPLEX", "ToMacVF-QMIX"), {"preset": "neurips22"}),
    "Overcooked-A": Task(60_000, 220.0, ("AVF-QMIX", "AVF-QPLEX", "ToMacVF-QMIX")),
    "Overcooked-B": Task(60_000, 220.0, ("AVF-QMIX", "AVF-QPLEX", "ToMacVF-QMIX")),
    "Overcooked-C": Task(60_000, 219.5, ("AVF-QMIX", "AVF-QPLEX", "ToMacVF-QMIX")),
    "CaptureTarget-10": Task(60_000, 0.47, AVF),
}


def main() -> None:
    """Train the tasks asked for, then write the table of all stored results."""
    choices = {"nargs": "+", "choices": list(TASKS), "default": list(TASKS), "help": "environments"}
    given = arguments(__doc__, range(200, 208), env=choices)
    written: list[Path | None] = []
    for env_id, folder in folders(given, "tasks"):
        task = TASKS[env_id]
        jobs = [
            Job(label, ALGORITHMS[label], env_id, task.episodes, env_options=task.options) for label in task.labels
        ]
        options = "".join(f", {name}={value}" for name, value in task.options.items())
        known = anchors(jaxmac.make(env_id, **task.options))
        title = f"{env_id}{options}, preset tuned"
        written.append(run(folder, title, jobs, given, task.threshold, known))
    if any(written):
        (RESULTS / "tasks" / "summary.md").write_text(table())
        print("python -m experiments.readme_table puts the results into the README")


def table() -> str:
    """The table of all tasks, from the summaries that are stored."""
    lines = [
        "# Every task, preset tuned",
        "",
        "Command: `python -m experiments.tasks`",
        "",
        "Seeds 200 to 207. A seed's result is the mean of its last ten evaluations, which are greedy (Mac-IAICC "
        "samples from its policies, as in the reference program); mean over seeds with a 95 % bootstrap interval. "
        "Solved: seeds at the threshold or more. Wall time is for all eight seeds, "
        "without compiling, while other work shared the machine (experiments/README.md); where docs/benchmark.md "
        "gives the minutes of a cell of AVF for 18 seeds, this is the time of those 18.",
        "",
        "| task | solved from | best known | algorithm | solved | mean [interval] | episodes | wall s | on |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for env_id in TASKS:
        path = RESULTS / "tasks" / slug(env_id) / "summary.json"
        if path.exists():
            lines += _rows(env_id, json.loads(path.read_text()))
    return "\n".join(lines) + "\n"


def _rows(env_id: str, content: dict[str, Any]) -> list[str]:
    digits = 2 if content["threshold"] < 1 else 1
    best = f"{best_known(env_id, content['anchors'].get('scripted play')):.{digits}f}"
    lines = []
    for row in content["rows"]:
        solved = f"{row['solved']} of {row['members']}"
        lines.append(
            f"| {task_name(env_id)} | {content['threshold']:g} | {best} | {row['label']} | {solved} "
            f"| {mean_in_words(row, digits)} | {row['episodes']:,} | {row['wall_seconds']:.0f} | {row['backend']} |"
        )
    return lines


def task_name(env_id: str) -> str:
    """The id of a task with the options that it is trained with."""
    return ", ".join([env_id, *(f"{name}={value}" for name, value in TASKS[env_id].options.items())])


def best_known(env_id: str, scripted: float | None) -> float:
    """The optimum of a task, else the best return known, else that of the script (Capture Target: always move)."""
    env = jaxmac.make(env_id, **TASKS[env_id].options)
    return next(value for value in (env.optimal_return, env.best_known_return, scripted) if value is not None)


if __name__ == "__main__":
    main()
