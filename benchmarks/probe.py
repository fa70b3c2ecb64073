"""Measures the version of jaxmac in the current folder when asked; `benchmarks.paired` runs it in both versions.

Arguments: algorithm, environment, members, settings (JSON), iterations before an evaluation (0: time updates).
Prints `ready` when all is compiled, and a rate (per second) for each line that it reads.
"""

import json
import os
import sys
import time

try:  # today's places, then those of 0.1.0
    from jaxmac.bench import training
except ImportError:
    from benchmarks import training

import jax

import jaxmac

algorithm, env_id, members, settings, iterations = sys.argv[1:]
if hasattr(jaxmac, "use_cpu_devices"):
    jaxmac.use_cpu_devices(os.cpu_count() or 1)
training.SIZES["case"] = json.loads(settings)
training.EARLY |= (
    {"replay_episodes": 1024} if iterations == "0" else {"learning_starts": 2048, "replay_episodes": 2500}
)
EVALUATIONS = 20  # in one measurement, as one is short
program = training.build(algorithm, env_id, "case", int(members))
program.compile()
done = int(iterations) or program.first_learning_iteration
program.advance(0, done, 50)


def updates():
    """Updates of one iteration, summed over members."""
    global done
    program.advance(done, done + 1, 1)
    done += 1
    return program.algorithm.collection.updates * len(program.specs)


def evaluations():
    """Some evaluations of all members."""
    for _ in range(EVALUATIONS):
        rows = program.evaluate(done)
    returns = sorted(row["eval_return"] for row in rows)
    if returns[len(rows) // 2] < 90:
        raise SystemExit(f"the task is not solved: {returns}")
    return EVALUATIONS


measured = evaluations if int(iterations) else updates
measured()
print("ready", flush=True)
for _ in sys.stdin:
    jax.block_until_ready(program.members.tally)
    began = time.perf_counter()
    count = measured()
    jax.block_until_ready(program.members.tally)
    print(count / (time.perf_counter() - began), flush=True)
