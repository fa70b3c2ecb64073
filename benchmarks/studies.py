"""Whole runs as a user starts them: seconds in all, seconds without compiling, and how many seeds solve the task.

    python -m benchmarks.studies                          # on all cores; some twenty minutes on two
    python -m benchmarks.studies --study Warehouse-D

Nothing is read from a cache of compiled programs. Writes benchmarks/results/studies.json with the machine and the
versions; studies that are not run keep what the file has.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jaxmac
from jaxmac.bench.machine import machine
from jaxmac.cli.scripts import ScriptParser
from jaxmac.runs.directory import versions
from jaxmac.training.cache import without_compilation_cache

OUT = Path(__file__).parent / "results" / "studies.json"
# Preset `tuned`; solved: within that much of the best return known. `goal` is in seconds, on two idle cores.
TWENTY = {"algorithm": "avf-qmix", "env": "BoxPushing-10", "seeds": 20, "episodes": 40_000}
STUDIES: dict[str, dict[str, Any]] = {
    "BoxPushing-10, 20 seeds": {"run": TWENTY, "margin": 1.0, "goal": 720},
    "Warehouse-D, 8 seeds": {
        "run": {"algorithm": "avf-qmix", "env": "Warehouse-D", "seeds": 8, "episodes": 6_000},
        "margin": 33.0,
        "goal": 240,
    },
    "make train": {
        "run": {"algorithm": "avf-vdn", "env": "BoxPushing-10", "seeds": 8, "episodes": 5_000},
        "margin": 1.0,
        "goal": 60,
    },
}


def main(words: Sequence[str] | None = None) -> int:
    """Run the studies asked for, print a line for each and write them; returns the exit status."""
    parser = ScriptParser(__doc__)
    parser.add_argument("--study", nargs="+", choices=STUDIES, default=list(STUDIES), help="studies (default: all)")
    parser.add_argument("--devices", type=int, default=os.cpu_count() or 1, help="virtual CPU devices")
    parser.add_argument("--out", type=Path, default=OUT, help="JSON file to write (default: %(default)s)")
    given = parser.parse_args(words)
    jaxmac.use_cpu_devices(given.devices)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    report = json.loads(given.out.read_text(encoding="utf-8")) if given.out.exists() else {}
    for name in given.study:
        about = {"machine": machine(), "versions": versions(), "devices": given.devices}
        report[name] = about | {"goal_seconds": STUDIES[name]["goal"]} | study(**STUDIES[name])
        given.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        print(line(name, report[name]), flush=True)
    return 0


def study(run: dict[str, Any], margin: float, **_: Any) -> dict[str, Any]:
    """Train as a user would; `margin` is how far below the best known return a seed may end and count as solved."""
    start = time.perf_counter()
    with without_compilation_cache():
        result = jaxmac.train(**run, progress=False, compilation_cache=False)
    seconds = time.perf_counter() - start
    if result.status != "finished":  # stopped from the keyboard
        raise KeyboardInterrupt
    best = result.env.best_known_return if result.env.optimal_return is None else result.env.optimal_return
    return {
        "settings": run,
        "seconds": seconds,
        "seconds_without_compiling": float(result.metrics["wall_seconds"][-1].max()),
        "solved_from": best - margin,
        "seeds_solved": int((result.metrics["eval_return"][-1] >= best - margin).sum()),
    }


def line(name: str, found: dict[str, Any]) -> str:
    """A study in a line."""
    return (
        f"{name} x {found['settings']['episodes']:,} episodes: {found['seconds']:.0f} s, "
        f"{found['seconds_without_compiling']:.0f} without compiling, {found['seeds_solved']} solved"
    )


if __name__ == "__main__":
    sys.exit(main())
