"""How many operations an iteration has when it is lowered for a GPU, in this version and in an older one.

    git worktree add OLD 7de6d8f                 # the older version: 0.1.0
    python -m benchmarks.operations OLD          # some minutes on one core, no GPU needed

The programs are those of `benchmarks.paired` with two members. Lowered operations are counted before XLA fuses them
into kernels, a function as often as it is called and the body of a loop once; constants and changes of shape, which
XLA leaves to its kernels, are not counted. Writes benchmarks/results/operations.{json,md}.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from benchmarks.paired import CASES, Case, last_words
from jaxmac.runs.directory import versions

OUT = Path(__file__).parent / "results" / "operations.json"
FREE = {"constant", "reshape", "broadcast_in_dim", "return", "iota", "convert", "transpose", "optimization_barrier"}
NAME = r'@"?([^"(\s]+)"?\('  # of a function, before its arguments
COLUMNS: dict[str, str | None] = {"operations": None, "matrix products": "dot_general", "loops": "while"}
LOWER = """
import json, sys
import jax, jax.numpy as jnp
try:
    from jaxmac.bench import training
except ImportError:
    from benchmarks import training
jax.default_backend = lambda: "gpu"
algorithm, env_id, settings = sys.argv[1:]
training.SIZES["case"] = json.loads(settings)
program = training.build(algorithm, env_id, "case", 2)
functions = getattr(program, "functions", None) or program.trainer
members = jax.eval_shape(functions.init, program.keys, program.hyper)
number = jax.ShapeDtypeStruct((), jnp.int32)
traced = functions.advance.trace(members, program.keys, program.hyper, number, number)
print(traced.lower(lowering_platforms=("cuda",)).as_text())
"""


def main(words: Sequence[str] | None = None) -> int:
    """Count the operations of every case in both versions and write the table; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("old", type=Path, help="folder of the older version")
    parser.add_argument("--out", type=Path, default=OUT, help="JSON file to write (default: %(default)s)")
    given = parser.parse_args(words)
    if not (given.old / "jaxmac").is_dir():
        print(f"{given.old} has no folder jaxmac: give a checkout of the older version", file=sys.stderr)
        return 2
    given.out.parent.mkdir(parents=True, exist_ok=True)
    here, found = Path(__file__).parents[1], {}
    for name, case in CASES.items():
        if not case.iterations:
            pairs = (given.old, case.settings), (here, case.settings | case.new)
            found[name] = [operations(lowered(folder, case, settings)) for folder, settings in pairs]
            print(row(name, found[name]), flush=True)
    report = {"versions": versions(), "cases": found}
    given.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    given.out.with_suffix(".md").write_text(table(found), encoding="utf-8")
    return 0


def lowered(folder: Path, case: Case, settings: dict[str, object]) -> str:
    """The StableHLO text of the iterations of `case`, lowered for CUDA by the version in `folder`."""
    words = [case.algorithm, case.env, json.dumps(settings)]
    done = subprocess.run([sys.executable, "-c", LOWER, *words], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{folder}: {last_words(done.returncode, io.StringIO(done.stderr))}")
    return done.stdout


def operations(text: str) -> Counter[str]:
    """How many operations of each kind the function `main` of a StableHLO module has, with all that it calls."""
    parts = re.split(rf"func\.func (?:public |private )?{NAME}", text)
    bodies = dict(zip(parts[1::2], parts[2::2], strict=True))

    @cache
    def within(name: str) -> Counter[str]:
        counted = Counter(re.findall(r'"?stablehlo\.(\w+)', re.sub(r"#stablehlo[^\n]*", "", bodies[name])))
        for callee in re.findall(rf"\bcall {NAME}", bodies[name]):
            counted += within(callee)
        return counted

    return Counter({kind: count for kind, count in within("main").items() if kind not in FREE})


def row(name: str, found: Sequence[Counter[str]]) -> str:
    """A row of the table: old and new counts of each column."""
    cells = []
    for kind in COLUMNS.values():
        old, new = (sum(counts.values()) if kind is None else counts.get(kind, 0) for counts in found)
        cells.append(f"{old:,} / {new:,}")
    return f"| {name} | {' | '.join(cells)} |"


def table(found: dict[str, Sequence[Counter[str]]]) -> str:
    """All cases as a page."""
    lines = [
        "# Operations of an iteration, lowered for a GPU",
        "",
        "Command: `python -m benchmarks.operations OLD`. Version 0.1.0 / this version; the body of a loop is "
        "counted once. Not what runs: XLA fuses operations into kernels.",
        "",
        f"| case | {' | '.join(COLUMNS)} |",
        "|---" * (len(COLUMNS) + 1) + "|",
        *(row(name, counts) for name, counts in found.items()),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
