"""What an accelerator does with jaxmac: environments, updates, and a study of twenty seeds.

    python -m benchmarks.accelerator                  # needs a GPU or TPU
    python -m benchmarks.accelerator --parts study    # one part of it
    python -m benchmarks.accelerator --anyway         # tiny sizes on any device, to see that it runs
    XLA_FLAGS=--xla_gpu_enable_command_buffer=+WHILE,+CONDITIONAL python -m benchmarks.accelerator --out graphs.json

The last one has XLA record loops and conditions in CUDA graphs, so that their turns start without the host.
Writes benchmarks/results/accelerator.json with machine, versions and XLA's flags; parts that are not measured keep
what the file has. The goals are 100 million steps/s on Box Pushing and less than a minute for the study.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from benchmarks import studies
from jaxmac.bench.environments import bench_environments
from jaxmac.bench.machine import machine
from jaxmac.bench.training import build, throughput
from jaxmac.cli.scripts import ScriptParser
from jaxmac.runs.directory import versions
from jaxmac.training.cache import without_compilation_cache

OUT = Path(__file__).parent / "results" / "accelerator.json"
TINY_OUT = OUT.with_name("accelerator-tiny.json")  # not among the results that are kept
PARTS = ("environments", "training", "study")
FAMILIES = ("BoxPushing-10", "Warehouse-D", "CaptureTarget-10", "Overcooked-A")
PARALLEL = (4096, 16_384, 65_536)
TINY_STUDY = {**studies.TWENTY, "seeds": 2, "episodes": 64, "num_envs": 16, "batch_size": 4, "learning_starts": 16}


def main(words: Sequence[str] | None = None) -> int:
    """Measure, print a line for each figure and write them all; returns the exit status."""
    parser = ScriptParser(__doc__)
    parser.add_argument("--anyway", action="store_true", help="tiny sizes, on whatever device there is")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="what to measure (default: all)")
    parser.add_argument("--out", type=Path, help=f"JSON file to write (default: {OUT}, with --anyway {TINY_OUT})")
    given = parser.parse_args(words)
    given.out = given.out or (TINY_OUT if given.anyway else OUT)
    if jax.default_backend() == "cpu" and not given.anyway:
        print("no accelerator: JAX finds CPUs only; --anyway runs tiny sizes on them", file=sys.stderr)
        return 2
    report = json.loads(given.out.read_text(encoding="utf-8")) if given.out.exists() else {}
    given.out.parent.mkdir(parents=True, exist_ok=True)
    with without_compilation_cache():
        for part in given.parts:
            about = {"machine": machine(), "versions": versions(), "xla_flags": os.environ.get("XLA_FLAGS", "")}
            report[part] = about | {"tiny": given.anyway, "found": MEASURE[part](given.anyway)}
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
    found = studies.study(TINY_STUDY if tiny else studies.TWENTY, margin=1.0)
    print(studies.line("BoxPushing-10", found))
    return found


MEASURE = {"environments": environments, "training": training, "study": study}

if __name__ == "__main__":
    sys.exit(main())
