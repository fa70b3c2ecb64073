"""The stored cells of the benchmark: results with their curves, and what they are compared with."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import jaxmac
from experiments.baselines import anchors
from experiments.common import RESULTS, slug
from experiments.tasks import TASKS, best_known
from jaxmac.algorithms.value_based import episodes_before_learning
from jaxmac.analysis import Curve
from jaxmac.errors import first_line

FOLDER = RESULTS / "benchmark"


class Results(NamedTuple):
    """All that is stored: cells by task and algorithm, what they are compared with, and what is missing."""

    cells: dict[str, dict[str, dict[str, Any]]]
    anchors: dict[str, dict[str, float]]
    missing: list[str]
    failed: list[str]
    environments: Sequence[str]


def read(environments: Sequence[str], algorithms: Sequence[str]) -> Results:
    """The stored cells, in the order of the arguments."""
    cells: dict[str, dict[str, dict[str, Any]]] = {}
    missing, failed = [], []
    for env in environments:
        absent = []
        for algorithm in algorithms:
            content = read_cell(FOLDER / slug(env) / algorithm)
            if content is None:
                absent.append(algorithm)
            elif "failed" in content:
                failed.append(f"{env}, {algorithm}: {content['failed']}")
            else:
                cells.setdefault(env, {})[algorithm] = content
        if absent:
            missing.append(f"{env}: {', '.join(absent)}")
    return Results(cells, {env: _anchors(env) for env in cells}, missing, failed, environments)


def read_cell(stem: Path) -> dict[str, Any] | None:
    """What is stored of a cell, a result with its `curve`; None if there is nothing, or if it is damaged.

    What is damaged is named on stderr.
    """
    path = stem.with_suffix(".json")
    if not path.exists():
        return None
    try:
        content: dict[str, Any] = json.loads(path.read_text())
        if "failed" in content:
            return content
        curve = _curve(stem.with_suffix(".csv"), episodes_before_learning(content["settings"]))
        return content | {"curve": curve, "final": [float(x) for x in content["final"]]}
    except (ValueError, LookupError, TypeError, OSError) as error:
        print(f"{stem} is damaged, and counts as missing: {first_line(error)}", file=sys.stderr)
        return None


def _curve(path: Path, start: float) -> Curve:
    with path.open() as file:
        rows = np.array(list(csv.reader(file))[1:], float)
    return Curve(rows[:, 0], rows[:, 1:], start)


def _anchors(env_id: str) -> dict[str, float]:
    """Return of random play and the best return known; played once, then read."""
    path = FOLDER / slug(env_id) / "anchors.json"
    if not path.exists():
        env = jaxmac.make(env_id, **TASKS[env_id].options)
        played = anchors(env)
        best = best_known(env_id, played.get("scripted play"))
        path.write_text(json.dumps({"random": played["random play"], "best": best}) + "\n")
    return json.loads(path.read_text())
