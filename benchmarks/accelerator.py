"""What an accelerator does with jaxmac: environments, updates, and a study of twenty seeds.

    python -m benchmarks.accelerator                  # needs a GPU or TPU
    python -m benchmarks.accelerator --parts study    # one part of it
    python -m benchmarks.accelerator --anyway         # tiny sizes on any device, to see that it runs

Writes benchmarks/results/accelerator.json with the machine and the versions; parts that are not measured keep what
the file has. The goals are 100 million steps/s on
Box Pushing and less than a minute for the study.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

import jaxmac
from jaxmac.bench.environments import bench_environments
from jaxmac.bench.machine import machine
from jaxmac.bench.training import build, throughput
from jaxmac.training.cache import without_compilation_cache

OUT = Path(__file__).parent / "results" / "accelerator.json"
PARTS = ("environments", "training", "study")
FAMILIES = ("BoxPushing-10", "Warehouse-D", "CaptureTarget-10", "Overcooked-A")
PARALLEL = (4096, 16_384, 65_536)
STUDY = {"algorithm": "avf-qmix", "env": "BoxPushing-10", "seeds": 20, "episodes": 40_000}
TINY_STUDY = {**STUDY, "seeds": 2, "episodes": 64, "num_envs": 16, "batch_size": 4, "learning_starts": 16}


def main(words: Sequence[str] | None = None) -> int:
    """Measure, print a line for each figure and write them all; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--anyway", action="store_true", help="tiny sizes, on whatever device there is")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="what to measure (default: all)")
    parser.add_argument("--out", type=Path, default=OUT, help="JSON file to write (default: %(default)s)")
    given = parser.parse_args(words)
    if jax.default_backend() == "cpu" and not given.anyway:
        print("no accelerator: JAX finds CPUs only; --anyway runs tiny sizes on them", file=sys.stderr)
        return 2
    report = json.loads(given.out.read_text(encoding="utf-8")) if given.out.exists() else {}
    given.out.parent.mkdir(parents=True, exist_ok=True)
    with without_compilation_cache():
        for part in given.parts:
            found = {"machine": machine(), "tiny": given.anyway, "found": MEASURE[part](given.anyway)}
            report[part] = found
            given.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(f"written to {given.out}")
    return 0


def environments(tiny: bool) -> dict[str, Any]:
    """Steps per second of each family by number of parallel environments."""
    families, parallel = (FAMILIES[:1], (64,)) if tiny else (FAMILIES, PARALLEL)
    return bench_environments(families, True, print, parallel)


def training(tiny: bool) -> list[dict[str, Any]]:
    """Updates per second of tuned AVF-QMIX by number of members."""
    found = []
    for members in (1,) if tiny else (1, 8, 20, 64):
        program = build("avf-qmix", "BoxPushing-10", "episodes", members)
        found.append(throughput(program, "avf-qmix", "episodes", repeats=1 if tiny else 5))
        print(f"avf-qmix, {members} members: {found[-1]['updates_per_second']['median']:,.0f} updates/s")
    return found


def study(tiny: bool) -> dict[str, Any]:
    """Train as a user would; seconds in all and without compiling, and how many seeds end at the optimum."""
    settings = TINY_STUDY if tiny else STUDY
    start = time.perf_counter()
    result = jaxmac.train(**settings, progress=False)
    seconds = time.perf_counter() - start
    final = result.metrics["eval_return"][-1]
    found = {
        "settings": settings,
        "seconds": seconds,
        "seconds_without_compiling": float(result.metrics["wall_seconds"][-1].max()),
        "seeds_within_1_of_the_optimum": int((final > result.env.optimal_return - 1).sum()),
    }
    print(f"{settings['seeds']} seeds x {settings['episodes']:,} episodes: {seconds:.0f} s")
    return found


MEASURE = {"environments": environments, "training": training, "study": study}

if __name__ == "__main__":
    sys.exit(main())
