"""Prints a rate of the version of jaxmac in the current folder; `benchmarks.paired` runs it in both versions.

Arguments: algorithm, environment, members, settings (JSON), iterations before an evaluation (0: time updates).
"""

import json
import os
import sys

try:  # today's places, then those of 0.1.0
    from jaxmac.bench import training
    from jaxmac.bench.timing import timed
except ImportError:
    from benchmarks import training
    from benchmarks.timing import timed

import jaxmac

algorithm, env_id, members, settings, iterations = sys.argv[1:]
if hasattr(jaxmac, "use_cpu_devices"):
    jaxmac.use_cpu_devices(os.cpu_count() or 1)
training.SIZES["case"] = json.loads(settings)
training.EARLY |= (
    {"replay_episodes": 1024} if iterations == "0" else {"learning_starts": 2048, "replay_episodes": 2500}
)
program = training.build(algorithm, env_id, "case", int(members))
if iterations == "0":
    print(training.throughput(program, algorithm, "case", repeats=5)["updates_per_second"]["median"])
else:
    program.compile()
    program.advance(0, int(iterations), 50)
    number = int(iterations)

    def evaluate():
        program.evaluate(number)
        return program.members.tally

    rows = program.evaluate(number)
    returns = sorted(row["eval_return"] for row in rows)
    if returns[len(rows) // 2] < 90:
        raise SystemExit(f"the task is not solved: {returns}")
    print(1 / timed(evaluate, 20).median)
