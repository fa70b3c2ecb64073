"""How many operations an iteration has when it is lowered for a GPU, in this version and in an older one.

    git worktree add OLD 7de6d8f                 # the older version: 0.1.0
    python -m benchmarks.operations OLD          # some minutes on one core, no GPU needed

The programs are those of `benchmarks.paired` with two members. Lowered operations are counted before XLA fuses them
into kernels, a function as often as it is called and the body of a loop once; constants and changes of shape, which
XLA leaves to its kernels, are not counted. The turns of loops, which an accelerator starts one after the other, are
counted through all loops, each with the number that its counter stays below, and as one turn where there is none,
as for the loop over iterations. Writes benchmarks/results/operations.{json,md}.
"""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from functools import cache
from math import prod
from pathlib import Path
from typing import NamedTuple

from benchmarks.paired import CASES, Case, last_words
from jaxmac.cli.scripts import ScriptParser
from jaxmac.runs.directory import versions

OUT = Path(__file__).parent / "results" / "operations.json"
FREE = {"constant", "reshape", "broadcast_in_dim", "return", "iota", "convert", "transpose", "optimization_barrier"}
NAME = r'@"?([^"(\s]+)"?\('  # of a function, before its arguments
CONSTANT = re.compile(r"(%\w+) = stablehlo\.constant dense<(\d+)> : tensor<i32>")
BELOW = re.compile(r"stablehlo\.compare\s+LT, %\w+, (%\w+),")  # a loop's counter and its bound
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


class Counts(NamedTuple):
    """What is counted in a program."""

    operations: Counter[str]  # by kind
    turns: int  # of loops

    def columns(self) -> dict[str, int]:
        """The figures of the table."""
        kinds = self.operations
        products, loops = kinds.get("dot_general", 0), kinds.get("while", 0)
        return {"operations": sum(kinds.values()), "matrix products": products, "loops": loops, "turns": self.turns}


def main(words: Sequence[str] | None = None) -> int:
    """Count the operations of every case in both versions and write the table; returns the exit status."""
    parser = ScriptParser(__doc__)
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
            texts = (lowered(folder, case, settings) for folder, settings in pairs)
            found[name] = [Counts(operations(text), turns(text)) for text in texts]
            print(row(name, found[name]), flush=True)
    report = {"versions": versions(), "cases": {name: [c._asdict() for c in pair] for name, pair in found.items()}}
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
    bodies = functions(text)

    @cache
    def within(name: str) -> Counter[str]:
        counted = Counter(re.findall(r'"?stablehlo\.(\w+)', re.sub(r"#stablehlo[^\n]*", "", bodies[name])))
        for callee in re.findall(rf"\bcall {NAME}", bodies[name]):
            counted += within(callee)
        return counted

    return Counter({kind: count for kind, count in within("main").items() if kind not in FREE})


def turns(text: str) -> int:
    """How many turns the loops of `main` take, those inside others as often as these turn."""
    bodies = functions(text)

    @cache
    def within(name: str) -> int:
        total, bound, constants = 0, 1, dict[str, int]()  # the constants of a loop's condition
        inside = list[tuple[int, int]]()  # indentation and turns of the loops around a line
        for line in bodies[name].splitlines():
            words, indentation = line.strip(), len(line) - len(line.lstrip())
            if words == "cond {":
                bound, constants = 1, {}
            elif found := CONSTANT.search(line):
                constants[found[1]] = int(found[2])
            elif found := BELOW.search(line):
                bound = constants.get(found[1], 1)
            elif words == "} do {":
                inside.append((indentation, bound))
                total += prod(count for _, count in inside)
            elif words == "}" and inside and indentation == inside[-1][0]:
                inside.pop()
            called = sum(within(callee) for callee in re.findall(rf"\bcall {NAME}", line))
            total += called * prod(count for _, count in inside)
        return total

    return within("main")


def functions(text: str) -> dict[str, str]:
    """The functions of a StableHLO module by name."""
    parts = re.split(rf"func\.func (?:public |private )?{NAME}", text)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def row(name: str, found: Sequence[Counts]) -> str:
    """A row of the table: old and new counts of each column."""
    old, new = (counts.columns() for counts in found)
    return f"| {name} | {' | '.join(f'{old[column]:,} / {new[column]:,}' for column in old)} |"


def table(found: dict[str, Sequence[Counts]]) -> str:
    """All cases as a page."""
    columns = next(iter(found.values()))[0].columns()
    lines = [
        "# Operations of an iteration, lowered for a GPU",
        "",
        "Command: `python -m benchmarks.operations OLD`. Version 0.1.0 / this version; the body of a loop is "
        "counted once, and turns are those of all loops, which start one after the other. Not what runs: XLA fuses "
        "operations into kernels.",
        "",
        f"| case | {' | '.join(columns)} |",
        "|---" * (len(columns) + 1) + "|",
        *(row(name, counts) for name, counts in found.items()),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
